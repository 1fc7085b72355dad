"""Every shipped configuration is composed, and what it configures is built, so that no dead key survives."""

from inspect import signature

import pytest
from configs import composed, options
from data import ROOT, marked
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from pointsman import envs
from pointsman.agents import build_learner
from pointsman.agents.ppo import PPO
from pointsman.envs.dispatch.log import load_mapping
from pointsman.evaluation.gate import load_limits
from pointsman.evaluation.stress import load_pack, stresses

SCRIPTS = sorted(file.stem for file in (ROOT / "conf").glob("*.yaml"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_composes(script):
    """All take problems of your own but calibrate, which is about one of ours."""
    assert ("plugins" in composed(script)) == (script != "calibrate")


@pytest.mark.parametrize("name", marked([name for name in options("env") if "/" in name]))
def test_every_problem_composes_and_builds(name):
    given = composed("train", f"env={name}")["env"]
    assert envs.build(envs.complete(given)).id == name
    assert envs.complete(given) == envs.configure(name)


def test_gym_composes_with_its_own_agent_unless_told_otherwise():
    own, other = composed("train", "env=gym", "env.id=Acrobot-v1"), composed("train", "env=gym", "agent=sb3_dqn")
    assert envs.build(envs.complete(own["env"])).id == "Acrobot-v1"
    assert (own["agent"]["name"], other["agent"]["name"]) == ("ppo_gym", "sb3_dqn")


def assert_arrives(config, name):
    """The learner has the name of its file, and every key of its configuration."""
    learner = build_learner(config)
    assert config["name"] == name
    assert {key: getattr(learner, key) for key in config if key not in ("_target_", "name")} == {
        key: value for key, value in config.items() if key not in ("_target_", "name")
    }


@pytest.mark.parametrize("name", options("agent"))
def test_every_agent_composes_and_builds(name):
    assert_arrives(composed("train", f"agent={name}")["agent"], name)


@pytest.mark.parametrize("name", options("learner"))
def test_every_learner_from_logs_composes_and_builds(name):
    assert_arrives(composed("learn_offline", f"learner={name}")["learner"], name)


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_composes_and_builds(name):
    config = composed("train", f"experiment={name}")
    if name != "lunar_lander":  # which needs an extra
        envs.build(envs.complete(config["env"]))
    build_learner(config["agent"])


@pytest.mark.parametrize("name", options("sweep"))
def test_every_search_space_names_keys_of_its_agent(name):
    space = OmegaConf.load(ROOT / "conf" / "sweep" / f"{name}.yaml")
    agent = composed("train", f"agent={name}")["agent"]
    found = OmegaConf.to_container(space)["params"]
    for key, values in found.items():
        assert key.removeprefix("agent.") in agent, key
        assert OverridesParser.create().parse_override(f"{key}={values}").is_sweep_override(), key


@pytest.mark.parametrize("name", options("stress"))
def test_every_stress_of_a_pack_fits_some_problem_of_its_family(name):
    """And is an error on none of those that are synthetic."""
    pack, fitting = load_pack(name), set()
    for problem in options(f"env/{name}"):
        if problem not in ("kth", "kth_weeks"):
            fitting |= {stress.name for stress in stresses(envs.build(envs.configure(f"{name}/{problem}")), pack)}
    assert fitting == set(pack)


@pytest.mark.parametrize("name", options("gates"))
def test_all_limits_load(name):
    assert load_limits(name)


@pytest.mark.parametrize("name", options("mappings"))
def test_all_mappings_load(name):
    assert load_mapping(name).env


def test_shipped_ppo_config_states_the_defaults_of_the_class():
    """One fact in two places must be the same in both."""
    given = composed("train", "agent=ppo")["agent"]
    defaults = {name: p.default for name, p in signature(PPO).parameters.items()}
    assert {k: v for k, v in given.items() if k not in ("_target_", "name")} == {
        k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()
    }
