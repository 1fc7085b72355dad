"""From configuration to learner: what is stored, and errors that name the key."""

import pytest
import torch
from configs import composed, options

from pointsman.agents import build_learner
from pointsman.errors import PointsmanError

TARGET = {"_target_": "pointsman.agents.ppo.PPO", "name": "ppo"}


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
        (
            {"_target_": "os.system"},
            r"agent\._target_: os\.system is neither a class of pointsman\.agents nor of a module",
        ),
        ({"_target_": "pointsman.agents_evil.PPO"}, r"agent\._target_: .* is neither"),
        ({"_target_": None}, r"agent\._target_: None is neither"),
        ({"_target_": "pointsman.agents.ppo.PPPO"}, r"agent\._target_: there is no pointsman\.agents\.ppo\.PPPO"),
        ({"_target_": "pointsman.agents.nowhere.PPO"}, r"agent\._target_: there is no pointsman\.agents\.nowhere\.PPO"),
        ({"_target_": "pointsman.agents.ppo.Path"}, r"agent\._target_: pointsman\.agents\.ppo\.Path is no class of that module"),
        ({"_target_": "pointsman.agents.checkpoint.os"}, r"agent\._target_: .*is no class"),
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


@pytest.mark.parametrize("name", options("agent"))
def test_the_device_is_said_once_for_every_learner(name):
    """`device` of pointsman-train reaches each shipped agent; a GPU that is not there is a sentence, not a traceback."""
    config = composed("train", f"agent={name}", "device=cuda")["agent"]
    assert config["device"] == "cuda"
    if not torch.cuda.is_available():
        with pytest.raises(PointsmanError, match=r"^device must be cpu on this machine, got 'cuda'$"):
            build_learner(config)
