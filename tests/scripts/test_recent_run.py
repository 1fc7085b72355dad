"""A run whose policy sees rates of the recent past: they come along with its environment, to evaluation and gate."""

import json

from conftest import SEARCH, SMALL

import pointsman
from pointsman import envs
from pointsman.evaluation.runfolder import RunFolder

HIDDEN = ["env=dispatch/surge", "env.regime_observed=false", "env.recent.over=[2,8]"]
SHORT = ["env.horizon_minutes=40", "env.warmup_minutes=0"]


def test_a_run_with_rates_is_evaluated_and_judged(tmp_path, start):
    done = start(tmp_path, "train", *HIDDEN, *SHORT, "agent.total_steps=4096", *SMALL, *SEARCH, "run_dir=run")
    assert done.returncode == 0, done.stderr
    problem = envs.build(envs.complete(RunFolder.open(str(tmp_path / "run")).config().env))
    policy = pointsman.load(str(tmp_path / "run"))
    assert policy.network.layout.context == ("score", "in_service", "waiting", "arrived_over_2", "arrived_over_8")
    env = envs.BatchEnv(problem, 3)
    assert set(policy.act(env.reset(seed=0)[0], env.action_masks(), env.action_uniforms())) <= {0, 1}
    done = start(tmp_path, "evaluate", "run=run", "episodes=4", "report=false")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "evaluation" / "summary.json").read_text())
    assert "ppo" in json.dumps(summary)
    done = start(tmp_path, "gate", "run=run", "episodes=4")
    assert done.returncode in (0, 1), done.stderr
    assert "gate: ppo" in done.stdout
    assert "Traceback" not in done.stderr
