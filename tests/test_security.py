"""What SECURITY.md promises: files that a stranger may have made run no code, and name no code that would be imported."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from pointsman import envs
from pointsman.agents import build_learner, policy
from pointsman.agents.checkpoint import read_checkpoint
from pointsman.agents.log import Log
from pointsman.agents.ppo import PPO
from pointsman.agents.sb3 import SB3
from pointsman.agents.table import TablePolicy
from pointsman.errors import PointsmanError

ROOT = Path(__file__).parents[1]
LEARNER = """
class Constant:
    def __init__(self, action: int, num_envs: int = 1):
        self.action, self.num_envs = action, num_envs

    def fit(self, env, log, seed=0, checkpoint=None):
        return Same(self.action)


class Same:
    def __init__(self, action):
        self.action = action

    def act(self, observation, mask, u):
        return self.action + 0 * mask.argmax(1)

    def save(self, folder):
        return {"action": self.action}

    @classmethod
    def load(cls, folder, facts):
        return cls(facts["action"])
"""


class Bomb:
    """What a stranger would put into a pickle: it writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def small():
    return envs.build(envs.configure("dispatch/mini", warmup_minutes=0.0, horizon_minutes=6.0))


def saved(found, folder):
    policy.save(found, folder)
    return folder


@pytest.mark.parametrize("kind", ["ppo", "sb3"])
def test_no_pickle_is_unpacked_from_weights(tmp_path, kind):
    learner = PPO(64, 4, 16, hidden=(4,)) if kind == "ppo" else SB3("A2C", 40, 4)
    folder = saved(learner.fit(envs.BatchEnv(small(), 4), Log(), seed=0), tmp_path)
    assert {file.name for file in folder.iterdir()} == {"policy.json", "network.pt"}
    torch.save(Bomb(tmp_path / "ran"), folder / "network.pt")
    with pytest.raises(PointsmanError, match="does not load"):
        policy.load(folder)
    (folder / "network.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(PointsmanError, match="does not load"):
        policy.load(folder)
    assert not (tmp_path / "ran").exists()


def test_no_pickle_is_unpacked_from_arrays(tmp_path):
    folder = saved(TablePolicy(np.zeros((2, 3), np.float32), np.zeros(2, np.int64)), tmp_path)
    np.savez(folder / "table.npz", keys=np.array([Bomb(tmp_path / "ran")], object), actions=np.zeros(1))
    with pytest.raises(PointsmanError, match="does not load"):
        policy.load(folder)
    assert not (tmp_path / "ran").exists()


def test_no_pickle_is_unpacked_from_a_checkpoint(tmp_path):
    from hashlib import sha256

    torch.save({"state": Bomb(tmp_path / "ran")}, tmp_path / "bomb")
    held = (tmp_path / "bomb").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(sha256(held).digest() + held)
    with pytest.warns(UserWarning, match="is damaged"), pytest.raises(PointsmanError, match="every checkpoint is damaged"):
        read_checkpoint(tmp_path / "checkpoint.pt", {})
    assert not (tmp_path / "ran").exists()


def test_learners_and_policies_of_a_module_are_taken_only_once_it_is_plugged_in(tmp_path):
    (tmp_path / "stranger.py").write_text(LEARNER)
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.json").write_text(json.dumps({"class": "stranger:Same", "action": 1}))
    named = {"_target_": "stranger.Constant", "name": "constant", "action": 1}
    for attempt in (lambda: build_learner(named), lambda: policy.load(tmp_path / "policy")):
        with pytest.raises(PointsmanError, match=r"stranger.* nor of a module named in plugins="):
            attempt()
    envs.plug(str(tmp_path / "stranger.py"))
    found = build_learner(named).fit(None, Log())
    again = policy.load(saved(found, tmp_path / "again"))
    assert again.act(None, np.ones((3, 2), bool), np.zeros(3)).tolist() == [1, 1, 1]
    assert policy.load(tmp_path / "policy").action == 1


@pytest.mark.parametrize(
    "name",
    ["os:system", "pathlib:Path", "pointsman.agents.policy:json", "pointsman.agents.networks:torch", "pointsman.cli:launch"],
)
def test_policies_name_classes_of_their_own_module_only(tmp_path, name):
    (tmp_path / "policy.json").write_text(json.dumps({"class": name}))
    with pytest.raises(PointsmanError, match=f"{re.escape(name.replace(':', '.'))} is"):
        policy.load(tmp_path)


def test_a_foreign_configuration_names_no_module():
    with pytest.raises(PointsmanError, match="unknown problem family"):
        envs.complete(OmegaConf.create({"id": "os.path/join"}))
    with pytest.raises(PointsmanError, match="no module is imported by an id"):
        envs.build(envs.complete({"family": "gym", "id": "antigravity:Fly-v0"}))


def test_nothing_in_the_package_unpickles():
    """Every torch.load says weights_only, no np.load allows pickles, and nothing else is called that reads them."""
    for part in ("envs", "agents", "evaluation", "conf", "scripts", "src/pointsman", "src/hydra_plugins"):
        for file in (ROOT / part).rglob("*.py"):
            text = file.read_text()
            assert text.count("torch.load(") == len(re.findall(r"torch\.load\(.*weights_only=True\)", text)), file
            assert not re.search(r"allow_pickle|\bpickle\.load|joblib\.load|read_pickle|hydra\.utils|\beval\(|\bexec\(", text), (
                file
            )
