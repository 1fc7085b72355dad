"""From configuration to learner: what is stored, and errors that name the key."""

import inspect
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from pointsman import conf
from pointsman.agents import build_learner
from pointsman.agents.dqn import DQN
from pointsman.agents.ppo import PPO
from pointsman.agents.sb3 import SB3
from pointsman.errors import PointsmanError

FILES = sorted(Path(inspect.getfile(conf)).parent.glob("agent/*.yaml"))
TARGET = {"_target_": "pointsman.agents.ppo.PPO", "name": "ppo"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_shipped_configurations_arrive_unchanged(file):
    with initialize_config_module("pointsman.conf", version_base="1.3"):
        config = OmegaConf.to_container(compose("train", [f"agent={file.stem}"]).agent, resolve=True)
    learner = build_learner(config)
    assert config["name"] == file.stem
    assert isinstance(learner, {"ppo": PPO, "dqn": DQN}.get(file.stem.split("_")[0], SB3))
    for key, value in config.items():
        if key not in ("_target_", "name"):
            assert getattr(learner, key) == value


def test_ppo_yaml_states_every_key_of_the_learner():
    config = OmegaConf.load(next(file for file in FILES if file.stem == "ppo"))
    assert set(config) - {"_target_", "name"} == set(inspect.signature(PPO).parameters)


def test_whole_numbers_serve_as_fractions_but_not_the_other_way_round():
    assert build_learner(TARGET | {"discount": 1}).discount == 1
    with pytest.raises(PointsmanError, match=r"^agent\.total_steps must be of type int, got 3000000\.0$"):
        build_learner(TARGET | {"total_steps": 3e6})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "tpu"}, r"^device must be cpu.*, got 'tpu'"),
        ({"totl_steps": 5}, r"unknown key 'agent\.totl_steps'; did you mean agent\.total_steps"),
        ({"learning_rate": "fast"}, r"agent\.learning_rate must be of type float, got 'fast'"),
        ({"num_envs": None}, r"agent\.num_envs must be of type int, got None"),
        ({"epochs": True}, r"agent\.epochs must be of type int, got True"),
        ({"objective": 3}, r"agent\.objective must be of type str, got 3"),
        ({"hidden": 64}, r"agent\.hidden must be a list of widths"),
        ({"_target_": "os.system"}, r"agent\._target_ must name a learner of pointsman\.agents, got os\.system"),
        ({"_target_": "pointsman.agents_evil.PPO"}, r"agent\._target_ must name a learner"),
        ({"_target_": None}, r"agent\._target_ must name a learner of pointsman\.agents, got None"),
        ({"_target_": "pointsman.agents.ppo.PPPO"}, r"agent\._target_: there is no pointsman\.agents\.ppo\.PPPO"),
        ({"_target_": "pointsman.agents.nowhere.PPO"}, r"agent\._target_: there is no pointsman\.agents\.nowhere\.PPO"),
        ({"_target_": "pointsman.agents.ppo.Path"}, r"agent\._target_: .*pointsman\.agents\.ppo\.Path is no learner"),
        ({"_target_": "pointsman.agents.checkpoint.os"}, r"agent\._target_: .*is no learner"),
        ({"_target_": "pointsman.agents.table.TablePolicy"}, r"agent\._target_: .*is no learner"),
    ],
)
def test_errors_name_the_key(change, message):
    with pytest.raises(PointsmanError, match=f"^{message}") as caught:
        build_learner(TARGET | change)
    assert "\n" not in str(caught.value)


def test_missing_arguments_are_named():
    with pytest.raises(PointsmanError, match=r"^agent\.total_steps is missing$"):
        build_learner({"_target_": "pointsman.agents.sb3.SB3", "algorithm": "A2C"})


def test_the_device_is_said_once_for_every_learner():
    """`device` of pointsman-train reaches each shipped agent; a GPU that is not there is a sentence, not a traceback."""
    with initialize_config_module("pointsman.conf", version_base="1.3"):
        for file in FILES:
            config = OmegaConf.to_container(compose("train", [f"agent={file.stem}", "device=cuda"]).agent, resolve=True)
            assert config["device"] == "cuda"
            if not torch.cuda.is_available():
                with pytest.raises(PointsmanError, match=r"^device must be cpu on this machine, got 'cuda'$"):
                    build_learner(config)
