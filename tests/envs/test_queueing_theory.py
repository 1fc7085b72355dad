"""With automation off, dispatch is a queue that queueing theory knows: Erlang C, Erlang A, Little's law, M/G/1."""

import json
from math import exp, lgamma, log
from pathlib import Path

import numpy as np
import pytest

from pointsman import envs
from pointsman.evaluation.rollout import rollout
from pointsman.evaluation.statistics import rate

TRUTH = json.loads((Path(__file__).parents[1] / "truth" / "queueing.json").read_text())
LEVEL = 0.999  # of every interval: some thirty of them are looked at below, and none shall fail by chance


def birth_death(servers, arrival, service, abandonment, size=4000):
    """Stationary distribution of M/M/n+M by its balance equations."""
    logs = [0.0]
    for n in range(1, size):
        leaving = min(n, servers) * service + max(n - servers, 0) * abandonment
        logs.append(logs[-1] + log(arrival / leaving))
    weights = np.exp(np.array(logs) - max(logs))
    return weights / weights.sum()


def closed_form(servers, arrival, service, abandonment):
    """P(wait), P(abandon), mean wait of all."""
    p = birth_death(servers, arrival, service, abandonment)
    queue = (np.maximum(np.arange(len(p)) - servers, 0) * p).sum()
    return p[servers:].sum(), abandonment * queue / arrival, queue / arrival


def simulate(servers, arrival, service, patience, minutes, **overrides):
    """Rollout of everyone-to-people, and its problem: 64 episodes, or more that are shorter where much arrives."""
    episodes = int(64 * max(1.0, arrival * minutes / 15000))
    minutes *= 64 / episodes
    classes = {"request": {"handling_minutes": 1 / service, "patience_minutes": patience, "handling_cv": None}}
    problem = envs.build(
        envs.configure(
            "dispatch/mini",
            arrival_rate=float(arrival),
            classes=classes,
            teams={"people": {"staff": servers}},
            automation={"capacity": 0},
            horizon_minutes=float(minutes),
            warmup_minutes=minutes / 10,
            queue_size=1500,
            **overrides,
        )
    )
    policy = envs.rules(problem)["all_people"](problem)
    return problem, rollout(policy, problem, episodes, seed=9)


def estimates(problem, found):
    """Intervals of P(wait), P(abandon) and mean wait of all."""
    ledger = envs.BatchEnv(problem).ledger
    arrived = ledger.total(found.ledger, "arrived")
    at_once = ledger.total(found.ledger, "wait_bucket/0")
    parts = (arrived - at_once, ledger.total(found.ledger, "abandoned"), ledger.total(found.ledger, "waiting_minutes"))
    return [rate(part, arrived, LEVEL) for part in parts]


ERLANG_C = {key: value for key, value in TRUTH["erlang_c"].items() if isinstance(value, dict)}
C_CASES = [tuple(map(float, key.split(","))) for values in ERLANG_C.values() for key in values] + [
    (3, 1.5),
    (40, 34),
    (6, 3.6),
]
A_CASES = [
    (50, 48, 1, 0.5),
    (2, 3, 1, 0.5),
    (5, 5, 1, 1),
    (10, 12, 1, 0.2),
    (1, 0.9, 1, 2),
    (20, 26, 1, 0.7),
    (8, 6, 1, 0.1),
]


def test_closed_form_reproduces_the_truth_file():
    for values in ERLANG_C.values():
        for key, published in values.items():
            servers, load = map(float, key.split(","))
            assert closed_form(int(servers), load, 1.0, 0.0)[0] == pytest.approx(published, rel=1e-5)
    for values in TRUTH["erlang_a"].values():
        if isinstance(values, dict):
            for key, published in values.items():
                servers, arrival, abandonment = map(float, key.split(","))
                for found, value in zip(closed_form(int(servers), arrival, 1.0, abandonment), published, strict=True):
                    assert value is None or found == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(("servers", "load"), C_CASES)
def test_erlang_c(servers, load):
    expected = closed_form(int(servers), load, 1.0, 0.0)
    found = estimates(*simulate(int(servers), load, 1.0, None, 6000))
    for value, interval in zip((expected[0], expected[2]), (found[0], found[2]), strict=True):
        assert interval.low <= value <= interval.high, (value, interval)
        assert interval.high - interval.low < 0.4 * value


@pytest.mark.parametrize(("servers", "arrival", "service", "abandonment"), A_CASES)
def test_erlang_a(servers, arrival, service, abandonment):
    expected = closed_form(servers, arrival, service, abandonment)
    found = estimates(*simulate(servers, arrival, service, 1 / abandonment, 2500))
    for value, interval in zip(expected, found, strict=True):
        assert interval.low <= value <= interval.high, (value, interval)
        assert interval.high - interval.low < 0.4 * value


def test_pollaczek_khinchine_for_lognormal_handling():
    """M/G/1: mean wait = lambda E[S^2] / 2 (1 - rho), with a coefficient of variation of 1.5."""
    cv, arrival = 1.5, 0.6
    classes = {"request": {"handling_minutes": 1.0, "handling_cv": cv, "patience_minutes": None}}
    problem = envs.build(
        envs.configure(
            "dispatch/mini", arrival_rate=arrival, classes=classes, teams={"people": {"staff": 1}},
            automation={"capacity": 0}, horizon_minutes=20000.0, warmup_minutes=1000.0, queue_size=1500,
        )
    )  # fmt: skip
    found = rollout(envs.rules(problem)["all_people"](problem), problem, 100, seed=4)
    interval = estimates(problem, found)[2]
    assert interval.low <= arrival * (1 + cv**2) / (2 * (1 - arrival)) <= interval.high


def test_littles_law_between_waits_of_requests_and_length_of_the_queue():
    """Number waiting as arrivals see it (PASTA) = rate of entry x mean wait, the two measured apart."""
    env = envs.make("dispatch/mini", 256, automation={"capacity": 0}, arrival_rate=1.9, horizon_minutes=1e9, copy=False)
    observation, _ = env.reset(seed=1)
    queue, waited, elapsed = np.zeros(256), np.zeros(256), np.zeros(256)
    for step in range(3000):
        if step >= 400:
            queue += observation[:, 2]
        observation, *_, info = env.step(np.ones(256, int))
        if step >= 400:
            waited += env.ledger.total(info["ledger"], "waiting_minutes")
            elapsed += info["elapsed"]
    difference = rate(queue / 2600 * elapsed - waited, elapsed, LEVEL)
    assert difference.low <= 0 <= difference.high
    assert waited.sum() / elapsed.sum() > 10 * (difference.high - difference.low)


def test_arrivals_follow_hourly_rates_and_regimes():
    """Counts per hour of the week are Poisson with the given means; a regime's share and rate are as configured."""
    hourly = [float(1 + hour % 4) for hour in range(168)]
    env = envs.make("dispatch/mini", 200, arrival_rate=None, hourly_arrival_rates=hourly, horizon_minutes=1e9, copy=False)
    env.reset(seed=3)
    counts = np.zeros((200, 4))
    while env.state.clock.min() < 8 * 60:
        clock = env.state.clock
        inside = clock < 8 * 60
        counts[np.flatnonzero(inside), (clock[inside] // 60 % 4).astype(int)] += 1
        env.step(np.zeros(200, int))
    for k in range(4):
        # 200 rows x 2 hours x 60 minutes; the standard deviation of a Poisson count is the root of its mean.
        mean = 200 * 2 * 60 * (1 + k)
        assert abs(counts[:, k].sum() - mean) < 4 * np.sqrt(mean)
    env = envs.make("dispatch/surge", 500, horizon_minutes=1e9, copy=False)
    env.reset(seed=4)
    at_surge = []
    for _ in range(2500):
        at_surge.append(env.state.regime == 1)
        env.step(np.zeros(500, int))
    share = rate(np.mean(at_surge, 0), np.ones(500), LEVEL)
    # Calm lasts 240 minutes at 1.5 a minute, a surge 60 at 6: as many requests in either.
    assert share.low <= 0.5 <= share.high


def test_log_gamma_check_of_erlang_b():
    """Blocking of M/M/n/n: no waiting room, against the closed form and the truth file."""
    for key, published in next(v for v in TRUTH["erlang_b"].values() if isinstance(v, dict)).items():
        servers, load = int(key.split(",")[0]), float(key.split(",")[1])
        terms = np.array([exp(n * log(load) - lgamma(n + 1) - load) for n in range(servers + 1)])
        assert terms[-1] / terms.sum() == pytest.approx(published, abs=1e-6)
        minutes = min(2000.0, 20000 / load)
        problem = envs.build(
            envs.configure(
                "dispatch/mini", arrival_rate=load, classes={"request": {"handling_minutes": 1.0}},
                teams={"people": {"staff": servers, "queue_limit": 0}}, automation={"capacity": 0},
                horizon_minutes=minutes, warmup_minutes=minutes / 20,
            )
        )  # fmt: skip
        found = rollout(envs.rules(problem)["all_people"](problem), problem, int(80_000 / minutes), seed=2)
        ledger = envs.BatchEnv(problem).ledger
        interval = rate(ledger.total(found.ledger, "turned_away"), ledger.total(found.ledger, "arrived"), LEVEL)
        assert interval.low <= published <= interval.high
