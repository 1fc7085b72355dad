"""From the simulator to a verdict, as a user goes: collect, evaluate, validate; exit statuses; the report."""

import pandas as pd
import pytest

from pointsman import envs
from pointsman.evaluation.ope.collect import collect, write
from pointsman.scripts.log import validate

CONFIG = envs.configure("dispatch/mini", horizon_minutes=60.0)


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """A log of a threshold at 0.5 that explores in three of ten decisions."""
    path = tmp_path_factory.mktemp("offline") / "log.parquet"
    problem = envs.without_warmup(CONFIG)
    rule = envs.rules(problem)["threshold"](problem, threshold=0.5)
    write(collect(rule, CONFIG, 8000, 0.3, 0), path, CONFIG, 0.3, {"policy": "threshold", "parameters": {"threshold": 0.5}})
    return path


def test_a_worse_policy_is_told_with_the_truth_beside(explored, start):
    asked = ["policy=threshold", "parameters={threshold: 0.8}", "objective=rate", "markov=true", "truth_episodes=60"]
    done = start(explored.parent, "evaluate_offline", "log=log.parquet", "output=out", *asked)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "verdict: worse" in done.stdout
    assert "truth: reward per minute" in done.stdout
    assert (explored.parent / "out" / "report.html").read_text().count("<svg") == 3


def test_a_log_without_exploration_is_refused_with_what_it_still_tells(tmp_path, start):
    made = ["policy=threshold", "parameters={threshold: 0.5}", "env.horizon_minutes=60", "decisions=8000", "epsilon=0"]
    done = start(tmp_path, "collect", *made, "output=sure.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "log: sure.csv"
    done = start(tmp_path, "evaluate_offline", "log=sure.csv", "policy=all_people", "objective=decision", "output=sure")
    assert done.returncode == 3, done.stdout + done.stderr
    for part in (
        "verdict: refused",
        "agreement:",
        "one-step bounds:",
        "extrapolation",
        "replay: in the simulator",
        "logging plan",
    ):
        assert part in done.stdout, done.stdout


def test_validate_names_rows_and_the_file(explored, tmp_path, capsys):
    assert validate(explored, None) == 0
    table = pd.read_parquet(explored)
    table.loc[4, "action"] = 17
    path = tmp_path / "log.parquet"
    table.to_parquet(path)
    (tmp_path / "log.parquet.json").write_text((explored.parent / "log.parquet.json").read_text())
    capsys.readouterr()
    assert validate(path, None) == 1
    said = capsys.readouterr().out
    assert "row 5: action is neither" in said
    assert "file: is not the file whose hash" in said
    assert validate(path, tmp_path / "found.csv") == 1
    assert set(pd.read_csv(tmp_path / "found.csv")["row"]) == {0, 5}
