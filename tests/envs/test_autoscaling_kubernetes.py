"""Kubernetes' autoscaler against cases worked by hand from its documentation, and as a rule on the environment's history."""

import numpy as np
import pytest

from pointsman import envs
from pointsman.envs.autoscaling.kubernetes import behave, recommend, recommend_external

# usage, target, measured, unready, missing -> desired; shares of what a pod requests
RECOMMENDED = {
    # "if the current metric value is 200m, and the desired value is 100m, the number of replicas will be doubled"
    "doubled": ((2.0, 1.0, 3, 0, 0), 6),
    # "if the current value is instead 50m, you'll halve the number of replicas"
    "halved": ((0.5, 1.0, 4, 0, 0), 2),
    "rounded up": ((0.75, 0.5, 3, 0, 0), 5),  # 3 x 1.5 = 4.5
    "down is rounded up too": ((0.3, 0.5, 3, 0, 0), 2),  # 3 x 0.6 = 1.8
    "whole ratios stay whole": ((0.9, 0.6, 4, 0, 0), 6),  # 4 x 1.5, although 0.9 / 0.6 is no whole number of halves in binary
    "edge of tolerance above": ((0.55, 0.5, 10, 0, 0), 10),  # 1.1: changes nothing
    "beyond tolerance above": ((0.56, 0.5, 10, 0, 0), 12),  # 10 x 1.12 = 11.2
    "edge of tolerance below": ((0.45, 0.5, 10, 0, 0), 10),
    "beyond tolerance below": ((0.44, 0.5, 10, 0, 0), 9),  # 8.8
    # Three pods at twice the target and one that is not ready: (2 + 2 + 2 + 0) / 4 = 1.5, of 4 pods: 6 instead of 8.
    "unready damps a scale-up": ((1.0, 0.5, 3, 1, 0), 6),
    # 2 pods at 1.2 and 2 that are not ready: 1.2 > 1, but with them it is 0.6: the direction has turned, so nothing.
    "unready turns a scale-up": ((0.6, 0.5, 2, 2, 0), 4),
    # 10 at 1.2 and 1 not ready: 12 / 11 = 1.0909 is within the tolerance.
    "unready within tolerance": ((0.6, 0.5, 10, 1, 0), 11),
    # A scale-down takes the pods with a metric only: 4 x 0.5 = 2, the one that starts does not count.
    "unready and a scale-down": ((0.25, 0.5, 4, 1, 0), 2),
    # 4 at 0.5 of the target 0.5 (usage .25), 1 missing at 1.0: (4 x .25 + 1) / 5 = .4 -> 0.8 x 5 = 4 instead of 2.
    "missing damps a scale-down": ((0.25, 0.5, 4, 0, 1), 4),
    # 2 at .25, 1 missing at 1.0: 1.5 / 3 = .5 -> 1: within the tolerance.
    "missing stops a scale-down": ((0.25, 0.5, 2, 0, 1), 3),
    # 1 at .25, 2 missing: 2.25 / 3 = .75 -> 1.5 > 1: turned, nothing.
    "missing turns a scale-down": ((0.25, 0.5, 1, 0, 2), 3),
    # 4 at twice the target, 1 missing at 0: 8 / 5 = 1.6 x 5 = 8 instead of 10 for 5 alike.
    "missing damps a scale-up": ((1.0, 0.5, 4, 0, 1), 8),
    # 3 at twice the target, 1 unready and 1 missing, both at 0: 6 / 5 = 1.2 x 5 = 6.
    "unready and missing": ((1.0, 0.5, 3, 1, 1), 6),
    # A scale-down with both: the missing one at 1.0, the unready one left out: (4 x .1 + 1) / 5 = .28 -> .56 x 5 = 2.8 -> 3.
    "unready and missing below": ((0.1, 0.5, 4, 1, 1), 3),
    "missing and on target": ((0.5, 0.5, 4, 0, 1), 5),  # neither up nor down: nothing is filled in
    "nothing measured": ((0.0, 0.5, 0, 3, 0), 3),
}


@pytest.mark.parametrize("case", RECOMMENDED.values(), ids=RECOMMENDED)
def test_recommendations(case):
    given, wanted = case
    assert recommend(*given).tolist() == wanted


def test_recommendations_for_many_at_once():
    columns = np.array([given for given, _ in RECOMMENDED.values()]).T
    assert recommend(*columns).tolist() == [wanted for _, wanted in RECOMMENDED.values()]


@pytest.mark.parametrize(
    ("load", "target", "current", "wanted"),
    [(100.0, 10.0, 5, 10), (54.0, 10.0, 5, 5), (56.0, 10.0, 5, 6), (44.0, 10.0, 5, 5), (20.0, 10.0, 5, 2), (5.0, 10.0, 0, 1)],
)
def test_metrics_of_the_whole_service(load, target, current, wanted):
    """desired = ceil(total / target per pod), unless total / (target x current) is within the tolerance."""
    assert recommend_external(load, target, current).tolist() == wanted


# current, recommendations newest first, added and removed in the period, bounds -> replicas
BEHAVED = {
    "up at once": ((5, [8, 5, 5]), {}, 8),
    "down waits for the highest of the window": ((9, [4, 9, 6]), {}, 9),
    "down to the highest of the window": ((9, [4, 5, 6]), {}, 6),
    "down without a past": ((9, [4]), {}, 4),
    "the window never scales up": ((5, [4, 9, 9]), {}, 5),
    "up is not held back by a lower past": ((5, [7, 3, 3]), {}, 7),
    "at most four pods more": ((2, [20]), {}, 6),  # max(2 + 4, 2 x 2)
    "at most twice as many": ((10, [50]), {}, 20),  # max(10 + 4, 2 x 10)
    "the period's start counts": ((14, [50]), {"added": 4}, 20),  # it began with 10
    "used up": ((20, [50]), {"added": 10}, 20),
    "removed ones may come back": ((6, [50]), {"removed": 2}, 16),  # it began with 8
    "least": ((3, [0]), {}, 1),
    "most": ((30, [60]), {}, 40),
}


@pytest.mark.parametrize("case", BEHAVED.values(), ids=BEHAVED)
def test_stabilisation_and_limits(case):
    (current, past), others, wanted = case
    assert behave(np.array([current]), np.array([past], float), 1, 40, **others).tolist() == [wanted]


def decide(rows, control=1.0, rule="kubernetes", **values):
    """Changes of replicas that the rule decides on rows of observations; lags that are not given are as now."""
    problem = envs.build(envs.configure("autoscaling/sinusoid", control_minutes=control, max_change=20, slo_minutes=control / 2))
    names = [field.name for field in problem.observation]
    now = {name: f"{name[:-1]}0" for name in names if name[:-2] in ("load", "replicas", "measured", "utilisation")}
    observation = np.array([[row.get(name, row.get(now.get(name), 0.0)) for name in names] for row in rows], np.float32)
    mask = np.ones((len(rows), len(problem.actions)), bool)
    return (envs.rules(problem)[rule](problem, **values).act(observation, mask, np.zeros(len(rows))) - 20).tolist()


def test_the_rule_reads_the_past_from_the_observation():
    """10 replicas at 30 % with a target of 60 %: 5, unless some minutes ago more was wanted."""
    calm = {"ready": 10, "replicas_0": 10, "measured_0": 10, "utilisation_0": 0.3}
    rows = [
        calm,
        calm | {"utilisation_4": 0.6},  # four minutes ago: 10 were right
        calm | {"utilisation_3": 0.48},  # 8
        calm | {"utilisation_0": 0.9},  # 15, at once
        calm | {"utilisation_0": 0.9, "measured_0": 8, "ready": 8, "starting_1": 2},  # 8 x 1.5 = 12 of 10: 12
        calm | {"replicas_4": 12, "measured_4": 12, "utilisation_4": 0.4},  # four minutes ago: 12 x 2/3 = 8
    ]
    assert decide(rows, utilisation=0.6) == [-5, 0, -2, 5, 2, -2]


def test_the_rule_counts_what_it_added_within_fifteen_seconds():
    """Decisions every 7.5 s: from 6 to 10 at the last one leaves max(6 + 4, 12) - 10 = 2 more."""
    row = {"ready": 10, "replicas_0": 10, "replicas_1": 6, "replicas_2": 6, "measured_0": 10, "utilisation_0": 1.0}
    assert decide([row], control=0.125, utilisation=0.2) == [2]
    assert decide([row | {"replicas_1": 10}], control=0.125, utilisation=0.2) == [10]


def test_on_requests_the_load_counts_and_not_who_is_ready():
    row = {"ready": 4, "starting_0": 4, "load_0": 6.0, "replicas_0": 8, "utilisation_0": 1.0}
    assert decide([row, row | {"load_0": 4.1}, row | {"load_0": 3.0}], rule="kubernetes_requests", utilisation=0.5) == [4, 0, -2]
