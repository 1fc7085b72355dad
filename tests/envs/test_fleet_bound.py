"""The hindsight bound against the best schedule of small days, found by trying all, and against policies on busy days."""

import itertools

import numpy as np
import pytest

from pointsman import envs
from pointsman.envs.fleet import kernel
from pointsman.envs.fleet.bound import hindsight, known
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import rollout

SMALL = {"vehicles": 2, "arrival_rate": 0.25, "horizon_minutes": 24.0, "width_km": 4.0, "height_km": 4.0, "batch_minutes": 0.0}


def small(**overrides):
    config = {k: v for k, v in envs.configure("fleet/busy").items() if k != "zones"} | SMALL
    return envs.build(envs.complete(config | overrides))


def best_schedule(problem, seed, index):
    """Least cost of an episode whose requests are known: every way of sharing them out and of putting them in order."""
    requests, starts = known(problem, seed, index)
    p, price = problem.params, problem.prices
    n = len(requests)

    def lost(r):
        leaves, since = requests[r, kernel.DEADLINE], requests[r, kernel.SINCE]
        return min(price["lost"], price["waiting_minutes"] * (p.horizon - since)) if leaves > p.horizon else price["lost"]

    def serve(order, place):
        """Cost of one vehicle that serves requests in this order, each as soon as it can; infinite if it comes too late."""
        free, total = 0.0, 0.0
        for r in order:
            q = requests[r]
            now = max(free, q[kernel.SINCE])
            now = np.ceil(now / p.batch) * p.batch if p.batch > 0 else now
            if now > min(q[kernel.DEADLINE], p.horizon):
                return np.inf
            empty = p.detour * np.hypot(place[0] - q[kernel.X], place[1] - q[kernel.Y])
            total += price["empty_km"] * empty + price["pickup_minutes"] * empty * p.minutes_per_km - q[kernel.WORTH_OF]
            total += price["loaded_km"] * q[kernel.KM] + price["waiting_minutes"] * (now - q[kernel.SINCE])
            free = now + (empty + q[kernel.KM]) * p.minutes_per_km + p.service_minutes
            place = q[[kernel.TO_X, kernel.TO_Y]]
        return total

    best = np.inf
    for who in itertools.product(range(len(starts) + 1), repeat=n):
        total = sum(lost(r) for r in range(n) if who[r] == len(starts))
        for v, start in enumerate(starts):
            mine = [r for r in range(n) if who[r] == v]
            total += min(serve(order, start) for order in itertools.permutations(mine))
        best = min(best, total)
    return best


def days_of(problem, seed, most=6, wanted=20):
    """Indices of episodes with few requests."""
    return [index for index in range(60) if 0 < len(known(problem, seed, index)[0]) <= most][:wanted]


@pytest.mark.parametrize("batch", [0.0, 2.0])
def test_small_days_against_every_schedule(batch):
    """Never above the best schedule, and near it."""
    problem = small(batch_minutes=batch)
    days = days_of(problem, 1)
    bound = hindsight(problem, 1, max(days) + 1, slot=0.05)[days]
    best = np.array([best_schedule(problem, 1, index) for index in days])
    assert (bound <= best + 1e-6).all()
    assert (best - bound).mean() < 0.02 * abs(best.mean())


def test_exact_for_one_vehicle_if_nobody_can_be_kept_waiting():
    """Nothing is relaxed then: no path meets a request twice."""
    problem = small(vehicles=1, patience_minutes=1e-9)
    days = days_of(problem, 2)
    bound = hindsight(problem, 2, max(days) + 1, slot=0.01)[days]
    np.testing.assert_allclose(bound, [best_schedule(problem, 2, index) for index in days], atol=1e-6)


def test_shorter_slots_are_tighter():
    problem = small(vehicles=1, patience_minutes=1e-9, horizon_minutes=120.0)
    coarse, fine = (hindsight(problem, 3, 10, slot=slot, rounds=0) for slot in (2.0, 0.05))
    assert (coarse <= fine + 1e-9).all()
    assert (coarse < fine - 0.01).any()


@pytest.mark.parametrize(
    ("preset", "overrides"),
    [
        ("fleet/busy", {}),
        ("fleet/busy", {"batch_minutes": 0.0, "arrival_profile": [0.3, 1.5], "slot_minutes": 30.0}),
        ("fleet/city", {"patience_minutes": 1.0}),
        ("fleet/zones", {"warmup_minutes": 0.0}),
    ],
)
def test_no_policy_gets_below(preset, overrides):
    problem = envs.build(envs.configure(preset, horizon_minutes=90.0, **overrides))
    bound = hindsight(problem, 4, 5, rounds=60)
    prices, rng = envs.BatchEnv(problem).prices, np.random.default_rng(0)

    class Anything:
        def act(self, observation, mask, u):
            return (rng.random(mask.shape) * mask).argmax(1)

    settings = {"batched_value": {"minute_worth": 0.27}, "batched": {"within": 7.0}, "nearest_within": {"within": 7.0}}
    everyone = {name: rule(problem, **settings.get(name, {})) for name, rule in envs.rules(problem).items()}
    for name, policy in (everyone | {"anything": Anything()}).items():
        cost = rollout(policy, problem, 5, seed=4).ledger @ prices
        assert (cost > bound).all(), name


def test_prices_that_the_bound_does_not_know_are_refused():
    with pytest.raises(PointsmanError, match=r"price on busy_minutes, got 0\.1"):
        hindsight(small(prices={"busy_minutes": 0.1}), 0, 1)
    with pytest.raises(PointsmanError, match=r"prices\.waiting_minutes of at least 0, got -1"):
        hindsight(small(prices={"waiting_minutes": -1.0}), 0, 1)
