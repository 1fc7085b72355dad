"""The console scripts end to end: a run, its curves, its evaluation, an interrupt, and errors of one line."""

import json
import shutil
import signal
import time

import pandas as pd
import pytest
from conftest import SMALL
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import pointsman
from pointsman import envs
from pointsman.agents.checkpoint import contents
from pointsman.errors import PointsmanError
from pointsman.evaluation.runfolder import RunFolder

RULES = {"all_people", "all_automation", "threshold", "queue_threshold", "index"}


def curves(folder):
    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_training_leaves_a_complete_run_folder(trained):
    _, path = trained
    assert path.name.endswith("-seed4")
    assert {file.name for file in path.iterdir()} >= {"config.yaml", "policy", "optimum", "rules", "checkpoint.pt", "tensorboard"}
    assert {file.name for file in (path / "rules").iterdir()} == RULES
    assert float((path / "optimum" / "average_cost.txt").read_text()) == pytest.approx(3.13068, rel=1e-4)


def test_curves_of_learner_rules_and_optimum_share_their_tags(trained):
    _, path = trained
    found = {folder.name: curves(folder) for folder in (path / "tensorboard").iterdir()}
    assert set(found) == RULES | {"ppo", "optimum"}
    assert [step for step, _ in found["ppo"]["reward_rate"]] == [2048, 4096, 6144, 8192]
    kpis = {f"kpi/{name}" for name in ("service_level", "mean_wait", "abandonment", "automation_rate", "bounce_rate")}
    for name, tags in found.items():
        assert "reward_rate" in tags
        assert kpis - {"kpi/bounce_rate"} <= set(tags), name
        if name != "ppo":
            assert [step for step, _ in tags["reward_rate"]] == [0, 8192]  # a level line as long as the learner's
    assert kpis <= set(found["ppo"])
    level = {name: tags["reward_rate"][0][1] for name, tags in found.items()}
    assert level["optimum"] == pytest.approx(-3.13068, rel=0.05)
    assert level["all_people"] < level["all_automation"] < level["optimum"]


def test_evaluation_writes_scores_and_summary(trained, start):
    folder, path = trained
    done = start(folder, "evaluate", "run=latest", "episodes=6", "seed=1")
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(path / "evaluation" / "scores.csv")
    summary = json.loads((path / "evaluation" / "summary.json").read_text())
    assert scores.groupby("policy").size().to_dict() == dict.fromkeys(RULES | {"ppo", "optimum"}, 6)
    assert set(summary["policies"]) == RULES | {"ppo", "optimum"}
    assert summary["best_rule"] in RULES
    assert summary["episodes"] == 6
    totals = scores.groupby("policy")[["cost", "elapsed"]].sum()
    rates = totals["cost"] / totals["elapsed"]
    assert {name: found["cost_rate"] for name, found in summary["policies"].items()} == pytest.approx(rates.to_dict())
    assert done.stdout.strip().splitlines()[-1] == f"report: {path.relative_to(folder)}/evaluation/report.html"
    page = (path / "evaluation" / "report.html").read_text()
    assert all(f"id='{part}'" in page for part in ("result", "headroom", "kpis", "learning", "actions", "rules", "provenance"))
    assert {file.stem for file in (path / "evaluation").glob("*.png")} >= {"costs", "headroom", "learning", "actions"}
    found = EventAccumulator(str(path / "tensorboard" / "evaluation"), size_guidance={"images": 0}).Reload()
    assert "evaluation/actions" in found.Tags()["images"]
    assert "Headroom" in done.stdout
    assert "the best tuned rule" in done.stdout


def test_frozen_policies_are_set_beside_those_of_a_changed_world(trained, start):
    """What drift costs: the policies of before meet the scores of a classifier that has lost half of its discrimination."""
    folder, before = trained
    drifted = folder / "drifted"
    shutil.copytree(before, drifted, ignore=shutil.ignore_patterns("evaluation"))
    config = OmegaConf.load(drifted / "config.yaml")
    config.env.score.drift = {"remains": 0.5, "from_minute": 0.0, "until_minute": 0.0}
    OmegaConf.save(config, drifted / "config.yaml")
    done = start(folder, "evaluate", "run=drifted", f"frozen={before}", "episodes=4", "report=false")
    assert done.returncode == 0, done.stderr
    summary = json.loads((drifted / "evaluation" / "summary.json").read_text())
    exact = {name: found["exact_cost_rate"] for name, found in summary["policies"].items()}
    for name in RULES | {"ppo", "optimum"}:
        assert exact[f"frozen/{name}"] == exact[name]
    assert exact["frozen/optimum"] > pointsman.solve("dispatch/mini", **{"score.drift.remains": 0.5}).average_cost
    assert summary["best_rule"] in RULES
    with pytest.raises(PointsmanError, match="^frozen=nowhere: no such folder"):
        RunFolder.open("nowhere", "frozen")
    with pytest.raises(PointsmanError, match="has other observations or actions than dispatch/surge"):
        RunFolder.open(str(before), "frozen").frozen(envs.build(envs.configure("dispatch/surge")))


def test_curves_come_with_a_layout_and_hyperparameters(trained):
    """TensorBoard's plugins find both in the learner's own run."""
    _, path = trained
    found = EventAccumulator(str(path / "tensorboard" / "ppo")).Reload()
    layout = found.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    assert all(f"^kpi/{name}$".encode() in layout for name in ("service_level", "mean_wait", "abandonment"))
    assert b"^reward_rate$" in layout
    begun = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    for setting in (b"agent.learning_rate", b"agent.gae_lambda", b"seed", b"dispatch/mini"):
        assert setting in begun


def test_gate_and_comparison_of_a_finished_run(trained, start):
    """A policy of 8,192 decisions is not fit to be deployed; one run is compared as any number of them."""
    folder, path = trained
    (folder / "pack.yaml").write_text("busy: {change: {arrival_rate: {times: 1.1}}}")
    (folder / "limits.yaml").write_text("{cost: 0.01, pack: pack.yaml, kpis: {mean_wait: {rises: 10 %}}}")
    done = start(folder, "gate", f"run={path.relative_to(folder)}", "episodes=3", "limits=limits.yaml")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.strip().splitlines()
    assert all(line.startswith(("pass  ", "FAIL  ")) for line in lines[:-1])
    assert lines[-1].startswith("gate: ppo rejected, for cost")
    names = [line[6:].split(":")[0] for line in lines[:-1]]
    assert names == ["illegal actions", "cost", "divergence", "mean_wait", "latency of a decision", "stress busy"]
    done = start(folder, "compare", f"run=[{path.relative_to(folder)}]", "episodes=3", "output=compared")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "report: compared/report.html"
    assert len(pd.read_csv(folder / "compared" / "scores.csv")) == 3 * (len(RULES) + 2)
    page = (folder / "compared" / "report.html").read_text()
    assert "probability to beat the rule" in page
    assert "id='actions'" in page


def test_interrupt_says_how_to_go_on_and_resuming_completes(tmp_path, start, begin):
    """SIGINT after the first checkpoint; the resumed run continues there instead of at 0."""
    process = begin(tmp_path, "train", "agent.total_steps=81920", "agent.epochs=8", "baselines=false", "run_dir=kept", *SMALL)
    deadline = time.time() + 100
    while not (tmp_path / "kept" / "checkpoint.pt").exists() and time.time() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "go on with: pointsman-train resume=kept" in out
    assert "Traceback" not in err
    assert not (tmp_path / "kept" / "policy").exists()
    assert contents(tmp_path / "kept" / "checkpoint.pt")["state"]["batches"] < 40
    done = start(tmp_path, "train", "resume=kept")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "run: kept"
    assert contents(tmp_path / "kept" / "checkpoint.pt")["state"]["batches"] == 40
    files = sorted((tmp_path / "kept" / "tensorboard" / "ppo").iterdir(), key=lambda file: file.stat().st_mtime)
    first = next(event.step for event in EventAccumulator(str(files[-1])).Reload().Scalars("reward_rate"))
    assert first >= 11 * 2048
