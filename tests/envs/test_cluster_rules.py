"""Rules for clusters: hand-worked orders, the whole queue is theirs, and a learner's network takes any window and cluster."""

import numpy as np
import pytest
from test_cluster_kernel import built, write

from pointsman import envs
from pointsman.agents.log import Log
from pointsman.agents.networks import NetworkPolicy
from pointsman.agents.ppo import PPO
from pointsman.agents.rules import RulePolicy
from pointsman.evaluation.rollout import rollout

# One hour after the first submission 8 of 10 processors run, until two hours by estimate, and these wait, in order of arrival:
WAITING = [
    # submitted, duration, estimate, processors
    (600, 1000, 7000, 9),  # the head: 2 are free, so it can start after two hours, with 1 spare
    (700, 9000, 9000, 2),  # fits, but would delay the head
    (900, 50, 60, 3),  # does not fit
    (1500, 3000, 3600, 1),
    (3599, 400, 3601, 2),  # by estimate it ends just when the head can start
]
WAIT = None
FIRST = {
    # rule: choice where the best blocks, where any that fits may pass, and where the head must not be delayed
    "fcfs": (WAIT,),
    "easy": (3,),
    "sjf": (WAIT, 3, 3),  # 7000, 9000, 60, 3600, 3601
    "smallest": (3, 3, 3),
    "area": (WAIT, 3, 3),  # 63000, 18000, 180, 3600, 7202
    "wfp3": (WAIT, 3, 3),  # 9 (2999/7000)^3 = 0.7, 2 (2899/9000)^3 = 0.07, 3 (2699/60)^3, 1 (2099/3600)^3 = 0.2, 0
    "unicep": (WAIT, 3, 3),  # 0.14, 0.32, 28, 0.58, 0
    "f1": (WAIT, 1, 3),  # 34.6 + 2417, 7.9 + 2475, 5.3 + 2570, 3.6 + 2763, 7.1 + 3094
    "tetris": (WAIT, 4, 4),  # processors over estimate: 9/7000, 2/9000, 3/60, 1/3600, 2/3601
    "drf": (WAIT, 1, 3),  # the third is of the user whose job runs; of the others the first does not fit
}


def at_the_hour(tmp_path):
    """The observation at the last arrival, and the rules' view of the problem."""
    jobs = [(0, 3700, 7200, 8), *WAITING, (9000, 1, 1, 1)]
    trace = write(tmp_path / "hour.swf", jobs, 10)
    problem = built("cluster/kth", trace=trace, trace_folder=None)
    wide = envs.rules(problem)["fcfs"](problem).view(problem)
    env = envs.BatchEnv(wide, 1)
    env.reset(seed=0)
    env.step(np.array([0]))
    while env.state.waiting[0] < 5:
        seen, *_ = env.step(np.array([wide.window]))
    return problem, wide, seen, env.action_masks()


def test_rules_choose_what_their_formulas_say(tmp_path):
    problem, wide, seen, mask = at_the_hour(tmp_path)
    assert mask[0, :5].tolist() == [False, True, False, True, True]
    for name, choices in FIRST.items():
        for passing, place in enumerate(choices):
            values = {"passing": passing} if len(choices) > 1 else {}
            rule = envs.rules(problem)[name](problem, **values)
            expected = wide.window if place is WAIT else place
            assert rule.act(seen, mask, np.zeros(1)).tolist() == [expected], (name, passing)


def test_weighted_rule_holds_other_rules():
    """Without aging, all weight on the estimate is SJF, and all on the share is smallest first."""
    problem = built("cluster/gpu", horizon_time=600)
    for name, smallness in (("sjf", 0.0), ("smallest", 1.0)):
        one = envs.rules(problem)["weighted"](problem, passing=1, smallness=smallness, aging=0.0)
        other = envs.rules(problem)[name](problem, passing=1)
        found = [rollout(rule, problem, 6, 0).ledger for rule in (one, other)]
        np.testing.assert_allclose(*found)


def test_parameters_may_differ_by_row():
    """As a search has them: each copy ends where a rule of its own would."""
    problem = built("cluster/busy", horizon_time=60)
    tetris = envs.rules(problem)["tetris"]
    rows = tetris(problem, passing=np.repeat([0.0, 1.0, 2.0], 5), shortness=np.repeat([0.2, 1.0, 1.8], 5))
    together = rollout(rows, problem, 5, 0, copies=3).ledger.reshape(3, 5, -1)
    for k, (passing, shortness) in enumerate([(0, 0.2), (1, 1.0), (2, 1.8)]):
        alone = rollout(tetris(problem, passing=passing, shortness=shortness), problem, 5, 0).ledger
        np.testing.assert_array_equal(together[k], alone)


def test_rules_see_the_whole_queue_and_learners_the_window():
    """A rule costs the same whatever window learners have; what is saved with a run does too."""
    problems = [built("cluster/busy", window=window, horizon_time=100) for window in (2, 16)]
    for name in ("sjf", "easy"):
        costs = []
        for problem in problems:
            rule = envs.rules(problem)[name](problem, **({"passing": 1} if name == "sjf" else {}))
            costs += [rollout(policy, problem, 8, 0).ledger for policy in (rule, RulePolicy(name, rule, dict(problem.config)))]
        for other in costs[1:]:
            np.testing.assert_array_equal(costs[0], other)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    """A policy trained a little at window 16 on ten units of each resource, saved and loaded."""
    problem = built("cluster/busy")
    assert problem.window == 16
    learner = PPO(16_384, 32, 128, minibatch=1024, hidden=(16, 16), objective="discounted", discount=0.98, learning_rate=1e-2)
    policy = learner.fit(envs.BatchEnv(problem, 32), Log(), seed=0)
    folder = tmp_path_factory.mktemp("scorer")
    return NetworkPolicy.load(folder, policy.save(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {"window": 64},
        {"resources": {"cpu": 20, "memory": 20}, "arrival_rate": 1.2},
        {"window": 64, "resources": {"cpu": 20, "memory": 20}, "arrival_rate": 1.2},
    ],
    ids=["window 64", "twice the cluster", "both"],
)
def test_a_policy_trained_at_window_16_runs_on_any_window_and_cluster(scorer, changes):
    """Unchanged, with legal actions only, and still better than first come first served."""
    problem = built("cluster/busy", **changes, queue_size=512)
    learnt = rollout(scorer, problem, 20, 0, illegal="raise")
    column = problem.columns.index("waiting_time")
    plain = rollout(envs.rules(problem)["fcfs"](problem), problem, 20, 0)
    assert learnt.ledger[:, column].mean() < plain.ledger[:, column].mean()


def test_places_beyond_the_queue_change_nothing(scorer):
    """While the whole queue fits in 16 places the policy decides as with 64."""
    narrow, wide = (envs.BatchEnv(built("cluster/busy", arrival_rate=0.3, window=window), 16) for window in (16, 64))
    seen, more = narrow.reset(seed=1)[0], wide.reset(seed=1)[0]
    for _ in range(40):
        short = narrow.state.waiting <= 16
        actions, others = (scorer.act(o, env.action_masks(), np.zeros(16)) for o, env in ((seen, narrow), (more, wide)))
        assert short.all()
        np.testing.assert_array_equal(np.where(actions == 16, 64, actions), others)
        seen, more = narrow.step(actions)[0], wide.step(others)[0]
