"""The report in a real browser without a network, and many runs compared, against numbers worked out by hand."""

import re
import subprocess

import numpy as np
import pytest

import pointsman
from pointsman import envs
from pointsman.errors import PointsmanError
from pointsman.evaluation import many, report
from pointsman.evaluation.compare import Comparison
from pointsman.evaluation.curves import Band
from pointsman.evaluation.exact_costs import exact_costs
from pointsman.evaluation.provenance import provenance
from pointsman.evaluation.rollout import Rollout, run_all
from pointsman.evaluation.runfolder import RunFolder
from pointsman.evaluation.shown import words
from pointsman.evaluation.stress import load_pack, stresses, under_stress
from pointsman.evaluation.understand import understand
from pointsman.evaluation.until import run_until

PARTS = ("result", "headroom", "differences", "kpis", "learning", "stress", "actions", "rules", "provenance")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A small report with every part."""
    folder = tmp_path_factory.mktemp("report")
    problem = envs.build(envs.configure("dispatch/mini", horizon_minutes=150.0, warmup_minutes=30.0))
    rules = envs.rules(problem)
    policies = {"threshold": rules["threshold"](problem, threshold=0.4), "all_people": rules["all_people"](problem)}
    policies |= {
        "ppo": pointsman.solve("dispatch/mini", arrival_rate=2.5).policy,
        "optimum": pointsman.solve_problem(problem).policy,
    }
    names = ["threshold", "all_people"]
    found = Comparison(
        problem, run_all(problem, policies, 20, 0, lambda share: None), "ppo", names, 3.13068, exact_costs(problem, policies)
    )
    pack = [stress for stress in stresses(problem, load_pack("dispatch")) if stress.name in ("arrivals_x2", "observed_late")]
    under = {stress.name: under_stress(stress, policies, "ppo", names, 10, 0) for stress in pack}
    steps = np.linspace(0, 1e6, 50)
    curve = 3.0 + 5.0 * np.exp(-steps / 1e5)
    bands = {"ppo": Band(steps, curve, curve - 0.2, curve + 0.2)}
    levels = {"threshold": 3.2, "all_people": 28.0, "optimum": 3.13}
    says = {stress.name: stress.says for stress in pack}
    evidence = report.Evidence(found, bands, levels, under, says, understand(found, policies, 0))
    file = report.write(folder, "ppo on <dispatch/mini>", [evidence], {"evaluation seed": "0"} | provenance(), "env: {}")
    return folder, file, found, evidence


def test_the_file_refers_to_nothing_outside(written):
    """No address, no script, no imported style: only names of XML namespaces look like addresses."""
    _, file, *_ = written
    text = file.read_text()
    assert not re.findall(r"<(?:script|iframe|object|embed|base)\b", text)
    assert not re.findall(r"@import|url\((?!#)", text)
    for attribute in re.findall(r"(?:\bsrc|\bhref|xlink:href|srcset)\s*=\s*[\"']([^\"']*)", text):
        assert attribute.startswith(("#", "data:")), attribute
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@pytest.mark.browser
def test_the_rendered_page_shows_every_part(written, tmp_path):
    """In chromium with all names resolving to nowhere; what is looked for is what the page holds once it is laid out."""
    _, file, found, evidence = written
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={tmp_path / 'net.json'}", "--virtual-time-budget=3000"]
    shot = [f"--screenshot={tmp_path / 'page.png'}", "--window-size=1160,3000"]
    command = ["chromium", *flags, *shot, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    page = done.stdout
    for part in PARTS:
        assert f'id="{part}"' in page, part
    assert page.count("<svg") >= 6
    assert "ppo on &lt;dispatch/mini&gt;" in page
    rows = re.findall(r"<tr class=\"[^\"]*\"><td>(\w+)</td><td>([\d.]+)</td>", page)
    for name, shown in rows[:4]:
        assert float(shown) == pytest.approx(found.rate(name).estimate, abs=6e-5)
    assert {name for name, _ in rows[:4]} == set(found.rollouts)
    for rule in evidence.understanding.rules:
        assert f"<b>{rule.action}</b>" in page
    for fact in ("commit", "versions", "machine", "evaluation seed"):
        assert f"<dt>{fact}</dt>" in page
    # Requests that the page itself makes go through its own request context; chromium's own services find no host.
    requested = re.findall(r'"url":"(https?://[^"]+)"', (tmp_path / "net.json").read_text())
    assert not [url for url in requested if not re.search(r"google|gstatic|chromium|gvt\d", url)]


def test_every_figure_is_a_picture_too(written):
    from PIL import Image

    folder, *_ = written
    wanted = {"costs", "headroom", "differences", "learning", "stress", "actions"}
    assert {file.stem for file in folder.glob("*.png")} == wanted
    for name in wanted:
        with Image.open(folder / f"{name}.png") as image:
            assert image.width > 1000
            assert np.asarray(image.convert("L")).std() > 5


def rollouts_of(problem, rates, rng, runs=1):
    """Invented rollouts: bounces at 2 each make costs of any size around `rates` per minute; worlds are shared."""
    world = rng.normal(0, 0.3, 40)
    found = {}
    for name, means in rates.items():
        each = []
        for mean in np.atleast_1d(means):
            ledger = np.zeros((40, len(problem.columns) + 1))
            ledger[:, problem.columns.index("bounces")] = (mean + world + rng.normal(0, 0.01, 40)) * 100 / 2
            ledger[:, problem.columns.index("arrived")] = 300
            each.append(Rollout(ledger, np.full(40, 100.0), np.ones((40, 240))))
        found[name] = each if len(each) > 1 else each[0]
    return found


def test_many_runs_by_hand():
    """Rule 10; learner a at 9, 9.2 and 8.8, learner b at 10 and 12; optimum 8: shares, probabilities, corrected p-values."""
    problem, rng = envs.build(envs.configure("dispatch/mini")), np.random.default_rng(0)
    rollouts = rollouts_of(problem, {"r": 10.0, "a": [9.0, 9.2, 8.8], "b": [10.0, 12.0], "optimum": 8.0}, rng)
    found = {name: Comparison(problem, rollouts, name, ["r"], 8.0) for name in ("a", "b")}
    assert found["a"].seeds("a") == 3
    assert found["a"].relative("a", "r").estimate == pytest.approx(-0.1, abs=0.01)
    assert found["a"].headroom().estimate == pytest.approx(0.5, abs=0.02)
    assert found["a"].rate("a").low < 9.0 < found["a"].rate("a").high
    assert "3 training seeds" in words(found["a"])[-1]
    assert len(found["a"].scores()) == (1 + 3 + 2 + 1) * 40
    shown = many.per_problem([found])
    columns = {str(column.header): list(column.cells) for column in shown.columns}
    assert columns["learner"] == ["a", "b"]
    assert columns["gap closed"][0] in ("49 %", "50 %", "51 %")
    assert float(columns["p (Holm)"][0]) < 0.05 < float(columns["p (Holm)"][1])
    over = many.over_problems([found, found], rng)
    cells = {str(column.header): list(column.cells) for column in over.columns}
    assert cells["probability to beat the rule"][0] == "1.00"
    assert float(cells["b?"][0]) == 1.0  # every run of a costs less than every one of b
    assert float(cells["a?"][0]) == 0.5
    assert cells["interquartile mean beside the best rule"][0].startswith("-10")


def test_sequential_evaluation_stops_where_it_was_asked_to():
    problem = envs.build(envs.configure("dispatch/mini", horizon_minutes=90.0, warmup_minutes=30.0))
    rules = envs.rules(problem)
    policies = {"rule": rules["threshold"](problem, threshold=0.4), "learned": rules["threshold"](problem, threshold=0.2)}
    rollouts, pilot = run_until(problem, policies, "learned", ["rule"], 30, 0.02, 0, lambda share: None)
    found = Comparison(problem, rollouts, "learned", ["rule"], pilot=pilot)
    assert pilot == 30 < len(found.elapsed)
    difference = found.difference("learned", "rule")
    assert (difference.high - difference.low) / 2 <= 0.021 * found.rate("rule").estimate
    whole = run_all(problem, policies, len(found.elapsed), 0, lambda share: None)  # in one go: the same episodes
    assert (whole["learned"].ledger == rollouts["learned"].ledger).all()
    with pytest.raises(PointsmanError, match=r"until=1e-06 would take .* ask for less"):
        run_until(problem, policies, "learned", ["rule"], 10, 1e-6, 0, lambda share: None)
    with pytest.raises(PointsmanError, match="until must be a positive share"):
        run_until(problem, policies, "learned", ["rule"], 10, -1.0, 0, lambda share: None)


def test_runs_that_do_not_belong_together_are_named(tmp_path):
    def run(name, seed, **overrides):
        from omegaconf import OmegaConf

        folder = tmp_path / name
        folder.mkdir()
        env = envs.configure("dispatch/mini", **overrides)
        OmegaConf.save({"env": env, "agent": {"name": "ppo"}, "seed": seed}, folder / "config.yaml")
        return RunFolder(folder)

    one, two, again, other = run("one", 0), run("two", 1), run("again", 0), run("other", 2, arrival_rate=2.0)
    assert [len(group.runs["ppo"]) for group in many.groups([one, two])] == [2]
    with pytest.raises(PointsmanError, match="again: there are two runs of ppo on dispatch/mini with seed 0"):
        many.groups([one, two, again])
    with pytest.raises(PointsmanError, match=r"other.*one differ in env\.arrival_rate"):
        many.groups([one, other])
    with pytest.raises(PointsmanError, match="no finished run matches"):
        RunFolder.matching(str(tmp_path / "*"))
