"""Sweeps end to end: failing jobs, dying processes, sweeps that go on, a shared search, a Ray cluster that loses a node."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import torch
from conftest import SMALL, command
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from pointsman.envs import plugins
from pointsman.errors import PointsmanError
from pointsman.evaluation.many import labels
from pointsman.sweeps import study as search
from pointsman.sweeps.cluster import require_reachable
from pointsman.sweeps.job import Job, finished, name_of, work
from pointsman.sweeps.loop import require_success, run_all

QUICK = ["env=dispatch/mini", "agent.total_steps=40960", "baselines=false", *SMALL]


def weights(run):
    return torch.load(run / "policy" / "network.pt", weights_only=True)


def test_names_of_jobs_need_no_quotes():
    assert name_of(["env=dispatch/mini", "agent.learning_rate=1e-3", "sweep_dir=x"]) == "env-dispatch_mini+learning_rate-1e-3"
    long = [f"agent.key{k}=value" for k in range(40)]
    assert len(name_of(long)) < 120
    assert name_of(long) != name_of([*long[:-1], "agent.key39=other"])


class Counting:
    """An executor whose jobs end after as many polls as their name says; job 3 fails."""

    def __init__(self):
        self.slots, self.running, self.most, self.stopped, self.closed = 2, {}, 0, [], None

    def start(self, job):
        self.running[job.name] = int(job.name)
        self.most = max(self.most, len(self.running))

    def stop(self, job):
        self.stopped.append(job.name)

    def poll(self):
        told = {}
        for name in list(self.running):
            self.running[name] -= 1
            if self.running[name] == 0:
                del self.running[name]
                told[name] = {"state": "failed", "error": "too odd"} if name == "3" else {"state": "finished", "cost": 1.0}
            else:
                told[name] = {"cost": 2.0}
        return told

    def close(self, kill=False):
        self.closed = kill


def test_the_loop_keeps_its_slots_full_and_a_failure_stops_nothing():
    executor, asked = Counting(), []

    def jobs():
        for k in (4, 1, 3, 2):
            asked.append((k, len(executor.running)))
            yield Job(str(k), "", "", "")

    outcomes = run_all(jobs(), 4, executor, lambda job, facts: job.name == "4" and "state" not in facts)
    assert executor.most == 2
    assert [running for _, running in asked] == [0, 1, 1, 0]  # a job is asked for when there is room, not before
    assert {name: facts["state"] for name, facts in outcomes.items()} == {
        "1": "finished", "2": "finished", "3": "failed", "4": "finished"
    }  # fmt: skip
    assert set(executor.stopped) == {"4"}
    assert executor.closed is False
    with pytest.raises(PointsmanError, match=r"^1 of 4 jobs failed, 3 first: too odd"):
        require_success(outcomes, "logs/sweeps/x")


def test_a_folder_with_another_run_is_not_gone_on_with(tmp_path):
    (tmp_path / "config.yaml").write_text("env: {id: dispatch/mini}\nagent: {name: ppo}\nseed: 1\n")
    job = Job("x", str(tmp_path), "env: {id: dispatch/mini}\nagent: {name: ppo}\nseed: 2\n", "")
    with pytest.raises(PointsmanError, match="holds a run with another seed"):
        finished(job)


def test_a_job_imports_the_plug_ins_that_it_names(tmp_path, monkeypatch):
    """Its process has not seen the command line; that the problem is found is told by what it raises."""
    monkeypatch.setattr(plugins, "_plugged", {})
    refusal = "raise PointsmanError('built by the plug-in')"
    (tmp_path / "barrow.py").write_text(f"from pointsman import PointsmanError\nSCHEMA = {{}}\ndef build(config): {refusal}\n")
    config = {"plugins": [str(tmp_path / "barrow.py")], "env": {"id": "barrow/red"}, "resume": None}
    assert work(Job("x", str(tmp_path), json.dumps(config), "")) == {"state": "failed", "error": "built by the plug-in"}


def test_runs_of_a_sweep_are_told_apart_by_what_differs():
    agents = [{"name": "ppo", "lr": lr, "clip": 0.2} for lr in (1, 1, 2)] + [{"name": "dqn", "lr": 3}]
    assert labels(agents) == ["ppo lr=1", "ppo lr=1", "ppo lr=2", "dqn"]


def test_failing_jobs_are_told_and_a_sweep_goes_on(tmp_path, start):
    """Two jobs of three fail the first time; then a larger grid in the same folder: what is finished is not run again."""
    (tmp_path / "mine.py").touch()
    quick = ["plugins=[mine.py]", *QUICK]
    done = start(tmp_path, "train", "-m", "seed=0,-1,-2", "sweep_dir=sweep", *quick)
    assert done.returncode == 2
    assert "2 of 3 jobs failed" in done.stderr
    assert "seed must be an integer from 0 to 4294967295, got -" in done.stderr
    assert "Traceback" not in done.stderr
    first = next((tmp_path / "sweep").glob("seed-0*")) / "score.json"
    score, written = json.loads(first.read_text()), first.stat().st_mtime_ns
    assert 3.1 < score["cost"] < 40
    assert OmegaConf.load(first.parent / "config.yaml").plugins == [str(tmp_path / "mine.py")]  # found from wherever it runs
    made = json.loads((first.parent / "made.json").read_text())
    assert {"versions", "commit", "command"} <= made.keys()
    assert made["command"].startswith("pointsman-train seed=0 ")
    done = start(tmp_path, "train", "-m", "seed=0,1", "sweep_dir=sweep", *quick)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 jobs: 2 finished; least cost" in " ".join(done.stderr.split())
    assert first.stat().st_mtime_ns == written
    done = start(tmp_path, "train", "-m", "seed=0,0", "sweep_dir=other", *QUICK)
    assert done.returncode == 2
    assert "two jobs of this sweep are the same" in done.stderr


def test_a_job_whose_process_dies_is_started_again_where_it_was(tmp_path, start, begin):
    """Its weights are those of the same run alone."""
    longer = [*QUICK, "agent.total_steps=81920"]
    sweep = begin(tmp_path, "train", "-m", "seed=0,1", "sweep_dir=sweep", *longer)
    deadline = time.time() + 120
    while not list((tmp_path / "sweep").glob("seed-0*/checkpoint.pt")) and time.time() < deadline:
        time.sleep(0.005)
    workers = [pid for pid in children(sweep.pid) if "popen_loky" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(workers[0], signal.SIGKILL)
    _, err = sweep.communicate(timeout=200)
    assert sweep.returncode == 0, err
    done = start(tmp_path, "train", "seed=0", "threads=1", "run_dir=alone", *longer)
    assert done.returncode == 0, done.stderr
    one, other = weights(next((tmp_path / "sweep").glob("seed-0*"))), weights(tmp_path / "alone")
    assert all(torch.equal(one[name], other[name]) for name in one)


def children(pid):
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def test_words_of_hydra_become_a_search_space():
    overrides = OverridesParser.create().parse_overrides(
        ["a=tag(log,interval(1e-4,1e-2))", "b=int(interval(1,8))", "c=range(2,10,2)", "d=choice(x,0.5)", "e=7", "f=1,2"]
    )
    space, fixed = search.split(overrides)
    assert space == {
        "a": FloatDistribution(1e-4, 1e-2, log=True),
        "b": IntDistribution(1, 8),
        "c": IntDistribution(2, 8, step=2),
        "d": CategoricalDistribution(("x", "0.5")),
        "f": CategoricalDistribution(("1", "2")),
    }
    assert fixed == ["e=7"]


def test_trials_of_the_dead_are_asked_for_once_more():
    study = optuna.create_study()
    for process in (search.HERE, "elsewhere:1", f"{search.platform.node()}:0x"):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        for key, value in {"process": process, "seen": time.time(), "folder": f"trial-{trial.number}"}.items():
            trial.set_user_attr(key, value)
    search.give_up_the_dead(study)
    assert [trial.state for trial in study.trials[:3]] == [TrialState.RUNNING, TrialState.RUNNING, TrialState.FAIL]
    again = study.ask()
    assert again.user_attrs["folder"] == "trial-2"
    assert again.suggest_float("x", 0.0, 1.0) == study.trials[2].params["x"]
    assert len(search.used(study)) == 3  # the withdrawn one does not count
    assert search.ask(study, 3) is None
    assert search.ask(study, 4) is not None


SEARCH = ["hydra/sweeper=pointsman_optuna", "agent.learning_rate=tag(log,interval(1e-4,1e-2))", "sweep_dir=search"]


def trials_of(folder):
    found = optuna.load_study(study_name="study", storage=search.opened(None, folder))
    return {state: [trial for trial in found.trials if trial.state == state] for state in TrialState}


def shared_search(folder, trials, begin, start, pruner):
    """Two processes on one journal, one of them killed in the middle; a third looks whether anything is left to do."""
    arguments = [*SEARCH, f"hydra.sweeper.trials={trials}", f"hydra.sweeper.pruner={pruner}", "hydra.launcher.slots=1", *QUICK]
    one, other = (begin(folder, "train", "-m", *arguments) for _ in range(2))
    deadline = time.time() + 600
    while len(list((folder / "search").glob("*/score.json"))) < trials // 3 and time.time() < deadline:
        assert one.poll() is None or other.poll() is None, one.communicate()[1] + other.communicate()[1]
        time.sleep(0.05)
    one.send_signal(signal.SIGKILL)
    one.communicate()
    _, err = other.communicate(timeout=1200)
    assert other.returncode == 0, err
    done = start(folder, "train", "-m", *arguments)
    assert done.returncode == 0, done.stderr
    assert (folder / "search" / "best.yaml").is_file()
    return trials_of(folder / "search")


def test_two_processes_share_a_search_and_one_is_killed(tmp_path, begin, start):
    found = shared_search(tmp_path, 5, begin, start, "none")
    assert len(found[TrialState.COMPLETE]) == 5
    assert len({trial.user_attrs["folder"] for trial in found[TrialState.COMPLETE]}) == 5
    assert not found[TrialState.RUNNING]
    for trial in found[TrialState.COMPLETE]:
        score = json.loads((tmp_path / "search" / trial.user_attrs["folder"] / "score.json").read_text())
        assert trial.value == score["cost"]


@pytest.mark.long
def test_forty_trials_with_hyperband(tmp_path, begin, start):
    """None lost, none doubled, a third pruned at least."""
    found = shared_search(tmp_path, 40, begin, start, "hyperband")
    ended = found[TrialState.COMPLETE] + found[TrialState.PRUNED]
    assert len(ended) == 40
    assert len({trial.user_attrs["folder"] for trial in ended}) == 40
    assert len(found[TrialState.PRUNED]) >= 14


def test_a_cluster_that_is_not_there_is_told_at_once():
    with pytest.raises(PointsmanError, match="hydra.launcher.address=127.0.0.1:1: no Ray cluster answers there"):
        require_reachable("127.0.0.1:1")
    require_reachable(None)
    require_reachable("auto")


def ray(*arguments, hide=None, **environment):
    words = [str(Path(sys.executable).with_name("ray")), *arguments]
    if hide is not None:  # a node that cannot see this folder
        words = ["unshare", "-m", "sh", "-c", f"mount -t tmpfs none {hide} && exec {' '.join(words)}"]
    done = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def raylets():
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and "raylet/raylet" in (entry / "cmdline").read_text().split("\0")[0]:
                found.add(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="hides a folder from a node, which takes root")
def test_a_ray_cluster_that_loses_a_node_brings_all_runs_home(tmp_path):
    """Two nodes, the second without sight of the first's folder; its raylet is killed in the middle of eight jobs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    once = ["--num-cpus=1", "--disable-usage-stats"]
    try:
        ray("start", "--head", f"--port={port}", "--include-dashboard=false", *once, **token)
        head = raylets()
        ray("start", f"--address=127.0.0.1:{port}", *once, hide=tmp_path, **token)
        second = raylets() - head
        words = ["hydra/launcher=pointsman_ray", f"hydra.launcher.address=127.0.0.1:{port}", "sweep_dir=sweep"]
        arguments = ["-m", "seed=0,1,2,3,4,5,6,-7", *words, *QUICK, "agent.total_steps=409600"]
        sweep = subprocess.Popen(
            command("train", *arguments),
            cwd=tmp_path,
            env=os.environ | token,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.time() + 300
        while not list((tmp_path / "sweep").glob("*/score.json")) and time.time() < deadline:
            time.sleep(0.05)
        for pid in second:
            os.kill(pid, signal.SIGKILL)
        _, err = sweep.communicate(timeout=400)
    finally:
        subprocess.run([str(Path(sys.executable).with_name("ray")), "stop", "--force"], capture_output=True, check=False)
    assert second
    assert sweep.returncode == 2, err  # the exit status says that one failed: the seed that does not exist
    assert "1 of 8 jobs failed" in err
    homes = list((tmp_path / "sweep").glob("*/policy/policy.json"))
    assert len(homes) == 7, err
    assert len(list((tmp_path / "sweep").glob("*/score.json"))) == 7
