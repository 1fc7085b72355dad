"""Runs killed at any moment end, once resumed, as if they had never been interrupted."""

import random
import shutil
import signal
import time

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pointsman.agents import checkpoint
from pointsman.errors import PointsmanError

LEARNERS = {
    "ppo": ["agent=ppo", "agent.total_steps=204800", "agent.num_envs=64", "agent.rollout_steps=32", "agent.hidden=[8]"],
    "dqn": [
        "agent=dqn",
        "agent.total_steps=40000",
        "agent.num_envs=64",
        "agent.replay=8000",
        "agent.batch=64",
        "agent.hidden=[8]",
    ],
}
FIXED = ["env=dispatch/mini", "env.horizon_minutes=20", "env.warmup_minutes=0", "baselines=false", "threads=1"]


def scalars(run):
    """All curves but those of time, as a reader of TensorBoard sees them after purging."""
    found = EventAccumulator(str(next((run / "tensorboard").iterdir())), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in found.Tags()["scalars"] if not tag.startswith("time/")]
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in tags}


def flat(part, prefix=""):
    """All tensors and numbers of a checkpoint, by path."""
    if isinstance(part, dict | list | tuple):
        items = part.items() if isinstance(part, dict) else enumerate(part)
        return {name: value for key, inner in items for name, value in flat(inner, f"{prefix}/{key}").items()}
    return {prefix: part}


def equal(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def same(one, other):
    pairs = [flat(checkpoint.contents(run / "checkpoint.pt")) for run in (one, other)]
    pairs_of_weights = [torch.load(run / "policy" / "network.pt", weights_only=True) for run in (one, other)]
    for left, right in (pairs, pairs_of_weights):
        assert left.keys() == right.keys()
        assert not [name for name in left if not equal(left[name], right[name])]
    assert scalars(one) == scalars(other)


def killed(process, run, moment):
    """Kill a run: as it writes a checkpoint, or so many seconds after it began to train. False if it ended before.

    Where the writing is over too soon to be seen, the second checkpoint will do.
    """
    begun, signs = None, [run / "checkpoint.draft", run / "checkpoint.before.pt"]
    while process.poll() is None:
        if moment is None and any(sign.exists() for sign in signs):
            break
        if moment is not None and begun is None and (run / "tensorboard").is_dir():
            begun = time.monotonic()
        if begun and time.monotonic() - begun > moment:
            break
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def whole(folder, learner, start):
    done = start(folder, "train", *LEARNERS[learner], *FIXED, "run_dir=whole")
    assert done.returncode == 0, done.stderr
    return folder / "whole"


def kill_and_resume(folder, learner, moments, start, begin):
    """How many kills there were."""
    run, kills = folder / "killed", 0
    for moment in moments:
        again = ["resume=killed"] if (run / "config.yaml").is_file() else [*LEARNERS[learner], *FIXED, "run_dir=killed"]
        kills += killed(begin(folder, "train", *again), run, moment)
    done = start(folder, "train", "resume=killed")
    assert done.returncode == 0, done.stderr
    return kills


@pytest.mark.parametrize("learner", list(LEARNERS))
def test_a_run_killed_while_it_writes_ends_as_an_uninterrupted_one(learner, tmp_path, start, begin):
    assert kill_and_resume(tmp_path, learner, [None], start, begin) == 1
    same(tmp_path / "killed", whole(tmp_path, learner, start))


@pytest.mark.long
@pytest.mark.parametrize("learner", list(LEARNERS))
def test_killed_at_twenty_random_moments(learner, tmp_path, start, begin):
    """Each in a run of its own, killed once or twice, every third time while a checkpoint is written."""
    rng = random.Random(2)
    uninterrupted = whole(tmp_path, learner, start)
    kills = 0
    for case in range(20):
        moments = [None if case % 3 == 0 else rng.uniform(0.0, 4.0) for _ in range(1 + case % 2)]
        found = kill_and_resume(tmp_path, learner, moments, start, begin)
        kills += found
        same(tmp_path / "killed", uninterrupted)
        shutil.rmtree(tmp_path / "killed")
    assert kills >= 20


def test_a_damaged_checkpoint_is_known_and_the_one_before_used(tmp_path):
    path, thing = tmp_path / "checkpoint.pt", torch.nn.Linear(3, 2)
    for turn in range(3):
        torch.nn.init.constant_(thing.weight, turn)
        checkpoint.write_checkpoint(path, {"thing": thing}, {"turn": turn})
    assert len(list(tmp_path.iterdir())) == 2  # the last two, no draft
    assert checkpoint.read_checkpoint(path, {"thing": thing}) == {"turn": 2}
    written = bytearray(path.read_bytes())
    written[len(written) // 2] ^= 1
    path.write_bytes(written)
    with pytest.warns(UserWarning, match=f"{path} is damaged"):
        assert checkpoint.read_checkpoint(path, {"thing": thing}) == {"turn": 1}
    assert (thing.weight == 1).all()
    path.unlink()  # as if killed between the two renamings
    assert checkpoint.read_checkpoint(path, {"thing": thing}) == {"turn": 1}
    checkpoint.before(path).write_bytes(b"no checkpoint")
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(PointsmanError, match="every checkpoint is damaged"),
    ):
        checkpoint.read_checkpoint(path, {"thing": thing})
    assert checkpoint.read_checkpoint(tmp_path / "none.pt", {}) is None


def test_a_lost_folder_or_a_full_disk_is_told_and_the_last_checkpoint_remains(tmp_path, monkeypatch):
    path, thing = tmp_path / "run" / "checkpoint.pt", torch.nn.Linear(3, 2)
    with pytest.raises(PointsmanError, match=r"cannot be written \(No such file or directory\); there is none"):
        checkpoint.write_checkpoint(path, {"thing": thing}, {})
    path.parent.mkdir()
    checkpoint.write_checkpoint(path, {"thing": thing}, {"turn": 0})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(PointsmanError, match=r"No space left on device\); the last good one is .*checkpoint.pt"):
        checkpoint.write_checkpoint(path, {"thing": thing}, {"turn": 1})
    assert checkpoint.read_checkpoint(path, {"thing": thing}) == {"turn": 0}
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]
