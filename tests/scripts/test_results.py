"""make results: tables from rows, a row from training to page, and what goes wrong."""

import csv
import json
import shlex
import shutil
import subprocess

import pytest
from configs import composed
from data import ROOT

import pointsman
from pointsman.evaluation.statistics import Interval
from pointsman.scripts import results, results_page

PAGE = """Cost per minute.

<!-- rows toy -->
what stood there before
<!-- end -->
Between.
<!-- costs toy/one toy/two -->
<!-- end -->
"""


def row(**cells):
    return dict.fromkeys(results_page.COLUMNS, "") | cells


ROWS = {
    "toy/one": row(
        row="toy/one", optimum="-3", rule="all, -2.5, +16.667 % above", learned="-2.9", costs="all -2.5; ppo -2.9; optimum -3",
        date="2026-01-02 03:04:05 +0000", command="pointsman-train env=toy/one penalty=-1",
    ),
    "toy/two": row(row="toy/two", costs="none 9; ppo 4; optimum 4", date="2026-01-02"),
    "other/one": row(row="other/one", date="2026-01-02"),
}  # fmt: skip


class Simulated:
    """A comparison of three policies, as far as a row is concerned: no exact costs, and an optimum if one is given."""

    learned, rules, exact, elapsed = "ppo", ["first", "second"], {}, range(100)

    def __init__(self, optimum=None, gap=None):
        self.optimum, self.gap, self.costs = optimum, gap, {"second": 2.5, "first": 2.0, "ppo": 1.9}
        self.costs |= {"optimum": optimum} if optimum else {}

    def ordered(self):
        return list(self.costs)

    def seeds(self, name):
        return 10

    def rate(self, name):
        return Interval(self.costs[name], 0, 9)

    def relative(self, name, baseline):
        return Interval(self.costs[name] / self.costs[baseline] - 1, -0.06, -0.04)

    def room(self):
        return Interval(-0.1, -0.12, -0.08 if self.gap else 0.01)

    def headroom(self):
        return self.gap and Interval(self.gap, 0, 1)


@pytest.mark.parametrize(
    ("found", "learned", "gap"),
    [
        (Simulated(), "114, -5.0 % beside the rule [-6.0, -4.0] (10 seeds, 100 episodes)", "not known"),
        (Simulated(1.6, 0.25), "114, +18.750 % above (10 seeds, 100 episodes)", "25 %"),
        (Simulated(1.6, -0.25), "114, +18.750 % above (10 seeds, 100 episodes)", "negative"),
        (Simulated(1.6), "114, +18.750 % above (10 seeds, 100 episodes)", "none to close"),
    ],
)
def test_simulated_costs_in_cells(found, learned, gap):
    shown = results.cells(found, times=60)
    assert (shown["learned"], shown["gap_closed"]) == (learned, gap)
    assert shown["rule"] == "first, 120" + (", +25.000 % above" if found.optimum else "")
    assert shown.get("optimum") == ("96" if found.optimum else None)
    assert shown["costs"].startswith("second 150; first 120; ppo 114")


def test_tables_are_those_of_the_rows():
    page = results_page.filled(PAGE, ROWS)
    assert page.startswith("Cost per minute.\n\n<!-- rows toy -->\n\n| preset |")
    assert "what stood there before" not in page
    assert "other/one" not in page
    one = "| `toy/one` | −3 | all, −2.5, +16.667 % above | −2.9 |  |  | 2026-01-02 | `pointsman-train env=toy/one penalty=-1` |"  # noqa: RUF001
    assert one in page.splitlines()
    costs = page.split("-->")[-2].splitlines()
    assert costs[2:-1] == [
        "| policy | `toy/one` | `toy/two` |", "|---|---|---|", "| none |  | 9 |", "| ppo | −2.9 | 4 |",  # noqa: RUF001
        "| all | −2.5 |  |", "| optimum | −3 | 4 |", "",  # noqa: RUF001
    ]  # fmt: skip


def test_what_is_written_is_read_again_and_written_alike(tmp_path):
    (tmp_path / "results.md").write_text(PAGE)
    results_page.write(tmp_path, ROWS)
    first = (tmp_path / "results.md").read_text()
    assert results_page.read(tmp_path / "results.csv") == ROWS
    results_page.write(tmp_path, results_page.read(tmp_path / "results.csv"))
    assert (tmp_path / "results.md").read_text() == first


def test_a_table_without_an_end_is_an_error():
    with pytest.raises(pointsman.PointsmanError, match="not closed by a line <!-- end -->"):
        results_page.filled("<!-- rows toy -->\n| a |\n", ROWS)


def test_the_page_is_that_of_its_rows():
    page = (ROOT / "docs" / "results.md").read_text()
    assert results_page.filled(page, results_page.read(ROOT / "docs" / "results.csv")) == page


def test_every_row_that_is_listed_composes():
    for name, wanted in results.load(ROOT / "docs" / "results.yaml").items():
        assert name.startswith(composed("train", *shlex.split(wanted.train))["env"]["id"]), name


def test_rows_are_chosen_by_name_or_by_its_beginning():
    rows = {"toy/one/a": 0, "toy/one/b": 0, "toy/two": 0, "toys/one": 0}
    assert results.chosen(rows, []) == list(rows)
    assert results.chosen(rows, ["toys", "toy/one"]) == ["toy/one/a", "toy/one/b", "toys/one"]
    with pytest.raises(pointsman.PointsmanError, match="no row toy/o; there are toy/one/a, toy/one/b, toy/two, toys/one"):
        results.chosen(rows, ["toy/two", "toy/o"])


def run(monkeypatch, *arguments):
    """Exit status of the script."""
    monkeypatch.setattr("sys.argv", ["results.py", *arguments])
    with pytest.raises(SystemExit) as left:
        results.main()
    return left.value.code


def test_a_failing_row_is_told_and_the_others_are_made_once(trained, tmp_path, monkeypatch, capsys):
    """The row that fails does so in pointsman-train; for the other one, runs that are there already stand in."""
    monkeypatch.chdir(tmp_path)
    real, run_there, told = subprocess.run, trained[0] / trained[1], []
    known = json.loads((run_there / "made.json").read_text())
    assert known["command"].startswith("train.py agent.total_steps=8192 seed=4 ")

    def train(command, **rest):
        told.append(command[3:])
        if "agent.total_steps=-1" in command:
            return real(command, **rest)
        folder = tmp_path / command[-1 - ("baselines=false" in command)].removeprefix("run_dir=")
        shutil.copytree(run_there, folder)
        (folder / "made.json").write_text(json.dumps(known | {"command": " ".join(["train.py", *command[3:]])}))
        config = (folder / "config.yaml").read_text()
        (folder / "config.yaml").write_text(config.replace("seed: 4\n", f"seed: {folder.name}\n"))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(results.subprocess, "run", train)
    (tmp_path / "results.md").write_text("<!-- rows dispatch -->\n<!-- end -->\n")
    bad, good = "env=dispatch/mini agent.total_steps=-1", "env=dispatch/mini 'agent.hidden=[8]'"
    rows = f'dispatch/bad: {{train: {bad}}}\ndispatch/mini: {{train: "{good}", seeds: 2, episodes: 3, times: 60}}\n'
    (tmp_path / "results.yaml").write_text(rows)
    assert run(monkeypatch, "--docs=.") == 2
    said = capsys.readouterr().err
    assert f"dispatch/bad: failed: pointsman-train {bad} threads=1 seed=0" in said
    assert "total_steps must be" in said
    assert told[1:] == [
        ["env=dispatch/mini", "agent.hidden=[8]", "threads=1", "seed=0", "run_dir=logs/results/dispatch/mini/0"],
        [
            "env=dispatch/mini",
            "agent.hidden=[8]",
            "threads=1",
            "seed=1",
            "run_dir=logs/results/dispatch/mini/1",
            "baselines=false",
        ],
    ]
    with open("results.csv", newline="") as file:
        (found,) = csv.DictReader(file)
    costs = {name: float(cost) for name, cost in (pair.split(" ") for pair in found["costs"].split("; "))}
    best = min(cost for name, cost in costs.items() if name not in ("ppo", "optimum"))
    assert (
        float(found["optimum"]) == costs["optimum"] == pytest.approx(60 * pointsman.solve("dispatch/mini").average_cost, rel=1e-4)
    )
    assert costs["ppo"] >= best >= costs["optimum"]
    above = float(found["learned"].split("+")[1].split(" %")[0])
    assert above == pytest.approx(100 * (costs["ppo"] / costs["optimum"] - 1), abs=0.01)
    assert "(2 seeds, exact)" in found["learned"]
    assert found["command"] == f"pointsman-train {good} threads=1 seed=0 … 1"
    assert [found[key] for key in ("date", "commit", "versions", "machine")] == [
        known[key] for key in ("date", "commit", "versions", "machine")
    ]
    assert float(found["took"].removesuffix(" s")) > 0
    assert "| `dispatch/mini` |" in (tmp_path / "results.md").read_text()

    told.clear()
    assert run(monkeypatch, "--docs=.", "dispatch/mini") == 0
    assert "dispatch/mini: was there" in capsys.readouterr().err
    assert told == []
    (tmp_path / "results.yaml").write_text(
        f"dispatch/mini: {{train: {bad}}}\n"
    )  # what a row is changed: its runs are not its own
    assert run(monkeypatch, "--docs=.") == 2
    assert len(told) == 1


@pytest.mark.parametrize(
    ("listed", "arguments", "reason"),
    [
        ("toy/one: {train: env=toy/one}", ["toy/two"], "error: no row toy/two; there are toy/one"),
        ("toy/one: {train: env=toy/one, sedes: 2}", [], "Key 'sedes' not in 'Wanted'"),
        (None, [], "results.yaml"),
    ],
)
def test_bad_input_is_an_error_of_one_line(listed, arguments, reason, tmp_path, monkeypatch, capsys):
    if listed:
        (tmp_path / "results.yaml").write_text(listed)
    assert run(monkeypatch, f"--docs={tmp_path}", *arguments) == 2
    told = capsys.readouterr().err
    assert reason in told
    assert told.startswith("error: ")
    assert len(told.splitlines()) == 1
