"""What holds for every shipped learner: a trivial problem is solved, masks are kept, saving and resuming change nothing."""

import numpy as np
import pytest
import torch
import toy
from configs import composed, options
from gym_toys import Push  # registers PointsmanPush-v0

from pointsman import envs
from pointsman.agents import build_learner, policy
from pointsman.agents.log import Log
from pointsman.agents.sb3 import SB3Policy
from pointsman.evaluation.rollout import EVALUATION, rollout

WINDOW, WIDER = 3, 9
SMALL = {"total_steps": 20_000, "num_envs": 32, "hidden": [16, 16]}
OURS = SMALL | {"objective": "discounted", "discount": 0.0}
CHANGES = {
    "ppo": OURS | {"minibatch": 128, "rollout_steps": 16},
    "dqn": OURS | {"batch": 64, "learning_starts": 1_000, "steps": 1, "replay": 20_000},
}
THEIRS = {
    "n_steps": 16, "batch_size": 128, "n_epochs": 4, "learning_rate": 0.003, "learning_starts": 500, "gamma": 0.0,
    "train_freq": 1, "gradient_steps": 2,
}  # fmt: skip
"""Arguments of stable-baselines3 for a problem of seconds; each algorithm takes those that its shipped configuration has."""


def share_of_best(policy, window, illegal="raise"):
    """Gain on fresh episodes, as a share of what the best choice among `window` candidates gains; and the totals."""
    grid = (np.arange(1000) + 0.5) / 1000
    # The largest of those present is below x with probability (0.2 + 0.8 x)^window; to pass is worth a half.
    best = 0.5 + (1 - (0.2 + 0.8 * grid[grid > 0.5]) ** window).sum() / 1000
    totals = rollout(policy, toy.problem(window=window), 200, EVALUATION, illegal=illegal)
    return totals.ledger[:, 0].sum() / totals.elapsed.sum() / best, totals


def small(name):
    """The shipped configuration with a budget of seconds, and the problem that it is tried on."""
    config = composed("train", f"agent={name}")["agent"]
    if name == "sb3_sac":  # the one for actions that are numbers
        found = envs.build(envs.complete({"family": "gym", "id": "PointsmanPush-v0"}))
    else:
        found = toy.problem(window=WINDOW)
    if name.startswith("sb3_"):
        config["arguments"] |= {key: value for key, value in THEIRS.items() if key in config["arguments"]}
        if name == "sb3_qrdqn":
            config["arguments"]["policy_kwargs"] = {"n_quantiles": 8}
        config |= {"total_steps": 3_000 if "learning_starts" in config["arguments"] else 10_000, "num_envs": 8}
    else:
        config |= {key: value for key, value in CHANGES[name.split("_")[0]].items() if key in config}
    return config, found


@pytest.mark.parametrize("name", [name for name in options("agent") if not name.startswith(("ppo_", "privileged"))])
def test_a_trivial_problem_is_solved_within_the_masks_and_the_saved_policy_acts_the_same(name, tmp_path):
    """Which of three has the most? (SAC: push as far as is asked for; `privileged` needs a chain, and has tests of its own.)"""
    config, found = small(name)
    learner = build_learner(config)
    made = learner.fit(envs.BatchEnv(found, learner.num_envs), Log(), seed=0)
    if name == "sb3_sac":
        totals = rollout(made, found, 200, EVALUATION)
        assert totals.ledger[:, 3].mean() > -0.3  # at random about -2.3
    elif isinstance(made, SB3Policy):
        knows_masks = made.name == "MaskablePPO"
        share, totals = share_of_best(made, WINDOW, "raise" if knows_masks else "fallback")
        assert share > 0.95
    else:
        share, totals = share_of_best(made, WINDOW)
        assert share > 0.97
        assert share_of_best(made, WIDER)[0] > 0.97
    policy.save(made, tmp_path)
    again = rollout(policy.load(tmp_path), found, 200, EVALUATION)
    np.testing.assert_array_equal(again.ledger, totals.ledger)


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(name, tmp_path):
    config, found = small(name)
    if name == "dqn":  # which keeps a checkpoint every 40,960 decisions
        config |= {"num_envs": 512, "total_steps": 46_000}

    class Stop(Log):
        def update(self, *given):
            if (tmp_path / "checkpoint.pt").is_file():
                raise KeyboardInterrupt

    def fit(log, kept):
        learner = build_learner(config)
        return learner.fit(envs.BatchEnv(found, learner.num_envs), log, seed=3, checkpoint=kept).network.state_dict()

    whole = fit(Log(), tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        fit(Stop(), tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").is_file()
    resumed = fit(Log(), tmp_path / "checkpoint.pt")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_all_that_is_shipped_is_held_to_this():
    assert Push.action_space.shape == (2,)
    assert {name.split("_")[0] for name in options("agent")} == {"ppo", "dqn", "privileged", "sb3"}
