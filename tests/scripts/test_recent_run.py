"""A run whose policy sees rates of the recent past: they come along with its environment, to evaluation and gate."""

import json

import pytest
from configs import composed
from conftest import SEARCH, SMALL
from omegaconf import OmegaConf

import pointsman
from pointsman import envs
from pointsman.evaluation.runfolder import RunFolder
from pointsman.scripts.evaluate import evaluate
from pointsman.scripts.gate import gate
from pointsman.scripts.train import train

HIDDEN = ["env=dispatch/surge", "env.regime_observed=false", "env.recent.over=[2,8]"]
SHORT = ["env.horizon_minutes=40", "env.warmup_minutes=0", "agent.total_steps=4096", "threads=1"]


def test_a_run_with_rates_is_evaluated_and_judged(tmp_path, capsys):
    """All in this process: starting the scripts takes longer than what they do here."""

    def call(script, name, *overrides):
        script(OmegaConf.create(composed(name, *overrides)))

    path = tmp_path / "run"
    call(train, "train", *HIDDEN, *SHORT, *SMALL, *SEARCH, f"run_dir={path}")
    problem = envs.build(envs.complete(RunFolder.open(str(path)).config().env))
    policy = pointsman.load(str(path))
    assert policy.network.layout.context == ("score", "in_service", "waiting", "arrived_over_2", "arrived_over_8")
    env = envs.BatchEnv(problem, 3)
    assert set(policy.act(env.reset(seed=0)[0], env.action_masks(), env.action_uniforms())) <= {0, 1}
    call(evaluate, "evaluate", f"run={path}", "episodes=4", "report=false")
    assert "ppo" in json.dumps(json.loads((path / "evaluation" / "summary.json").read_text()))
    with pytest.raises(SystemExit):
        call(gate, "gate", f"run={path}", "episodes=4")
    assert "gate: ppo" in capsys.readouterr().out
