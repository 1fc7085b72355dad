"""The autoscaling kernel: a slow twin with replicas and requests as objects, demand as configured, and bad configurations."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import pointsman
from pointsman import envs
from pointsman.envs.autoscaling.fit import fit
from pointsman.envs.noise import exponential
from pointsman.errors import PointsmanError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
CASES = {
    "sinusoid": {},
    "finer": {"ticks": 4, "slo_minutes": 0.75, "start_minutes": 2.6, "start_spread_minutes": 3.0},
    "late_at_once": {"ticks": 1, "slo_minutes": 0.0, "start_minutes": 0.0, "control_minutes": 0.5},
    "long_objective": {"ticks": 2, "slo_minutes": 4.0, "max_replicas": 9, "service_cv": 0.0, "min_replicas": 3, "ages": 2},
}


class Twin:
    """One row: starting replicas are pairs of clocks, waiting work a list of [tick of arrival, left, all of it, requests]."""

    def __init__(self, problem, ready):
        self.p, self.prices = problem.params, problem.prices
        self.clock, self.tick, self.ready, self.starting, self.waiting = 0.0, 0, ready, [], []

    def step(self, by, arrivals, works, delays):
        p, booked = self.p, dict.fromkeys(self.columns, 0.0)
        booked["scale_actions"] = float(by != 0)
        for k in range(max(by, 0)):
            self.starting.append((self.clock, self.clock + p.start + delays[k]))
            booked["starts"] += 1
        for _ in range(max(-by, 0)):
            if self.starting:
                self.starting.remove(max(self.starting[::-1], key=lambda pair: pair[0]))
                booked["cancelled"] += 1
            else:
                self.ready -= 1
                booked["stops"] += 1
        self.come_up()
        begin = self.clock
        for t in range(p.ticks):
            self.flow(arrivals[t], works[t], booked)
            self.clock = begin + (t + 1) * p.tick
            self.come_up()
        booked["replica_hours"] /= 60
        booked["busy_hours"] /= 60
        return booked

    columns = pointsman.envs.build(envs.configure("autoscaling/sinusoid")).columns

    def come_up(self):
        self.ready += sum(due <= self.clock + 1e-9 for _, due in self.starting)
        self.starting = [pair for pair in self.starting if pair[1] > self.clock + 1e-9]

    def flow(self, requests, work, booked):
        p, before = self.p, sum(entry[1] for entry in self.waiting)
        self.waiting.append([self.tick, work, work, requests])
        capacity = left = self.ready * p.tick
        for entry in self.waiting:
            done = min(entry[1], left)
            entry[1], left = entry[1] - done, left - done
        after = sum(entry[1] for entry in self.waiting)
        late = [entry for entry in self.waiting if entry[0] == self.tick - p.lag and entry[1] > 1e-9]
        booked["late"] += sum(entry[3] * entry[1] / entry[2] for entry in late)
        booked["late_minutes"] += p.tick * bool(late)
        booked["replica_hours"] += (self.ready + len(self.starting)) * p.tick
        booked["arrived"] += requests
        booked["served"] += (capacity - left) / p.service
        booked["busy_hours"] += capacity - left
        booked["hours"] += p.tick / 60
        booked["waiting_minutes"] += (before + after) / 2 * p.tick / p.service
        self.waiting = [entry for entry in self.waiting if entry[1] > 0]
        self.tick += 1


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_slow_twin_books_the_same(case):
    env = pointsman.make("autoscaling/sinusoid", 3, **case)
    p, rng = env.problem.params, np.random.default_rng(0)
    observation, info = env.reset(seed=3)
    twins = [Twin(env.problem, int(ready)) for ready in env.state.ready]
    names = [field.name for field in env.problem.observation]
    late = starts = 0.0
    for step in range(240):
        legal = info["action_mask"].astype(bool)
        # Too few replicas now and then, so that queues build up.
        lean = np.clip(p.max_change - 2 + rng.integers(-2, 5, 3) - 2 * (step % 40 < 6), 0, 2 * p.max_change)
        actions = np.where(legal[np.arange(3), lean], lean, legal.argmax(1))
        observation, _, _, _, info = env.step(actions)
        for i, twin in enumerate(twins):
            by, key = int(actions[i]) - p.max_change, env.record.key[i]
            delays = [p.start_spread * exponential(key, 8 + k) if p.start_spread else 0.0 for k in range(max(by, 0))]
            booked = twin.step(by, env.record.arrivals[i], env.record.work[i], delays)
            found = dict(zip(env.problem.columns, info["ledger"][i], strict=False))
            assert found == pytest.approx(booked, rel=1e-7, abs=1e-6)
            seen = dict(zip(names, observation[i].tolist(), strict=True))
            assert seen["ready"] == twin.ready
            assert seen["backlog"] == pytest.approx(sum(entry[1] for entry in twin.waiting), rel=1e-5, abs=1e-5)
            ages = [round((twin.clock - began) / p.control) for began, _ in twin.starting]
            for k in range(p.ages):
                last = k == p.ages - 1
                assert seen[f"starting_{k}"] == sum(age == k + 1 or (last and age > k) for age in ages)
            late, starts = late + booked["late"], starts + booked["starts"]
    assert late > 0
    assert starts > 0


def test_the_youngest_start_is_cancelled_even_if_another_is_due_later():
    env = pointsman.make("autoscaling/sinusoid", 1, start_minutes=5.0, start_spread_minutes=20.0, initial_replicas=10)
    env.reset(seed=2)
    hold = env.problem.params.max_change
    for by in (3, 2, 2):
        env.step(np.array([hold + by]))
    began, due = env.state.began[0, :7].copy(), env.state.due[0, :7].copy()
    assert began.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert due.argmax() < 4  # the last to come is not the youngest
    env.step(np.array([hold - 3]))
    left = int(env.state.starting[0])
    gone = 4 - left  # got ready within the interval
    assert env.state.ready[0] == 10 + gone
    assert set(env.state.due[0, :left]) <= set(due[:4])
    assert np.isin(env.state.began[0, :left], began[:4]).all()


def test_masks_keep_replicas_within_their_limits():
    env = pointsman.make("autoscaling/sinusoid", 1, min_replicas=2, max_replicas=7, initial_replicas=3, max_change=3)
    _, info = env.reset(seed=0)
    assert info["action_mask"][0].tolist() == [0, 0, 1, 1, 1, 1, 1]
    info = env.step(np.array([6]))[4]
    assert info["action_mask"][0].tolist() == [1, 1, 1, 1, 1, 0, 0]


def records(episodes, **overrides):
    """Arrivals and work [steps, episodes, ticks] of the sinusoid with changes, whatever is done."""
    env = pointsman.make("autoscaling/sinusoid", episodes, autoreset=False, **overrides)
    env.reset(seed=1)
    arrivals, work, ended = [], [], False
    while not ended:
        ended = env.step(np.full(episodes, env.problem.params.max_change))[3].all()
        arrivals.append(env.record.arrivals.copy())
        work.append(env.record.work.copy())
    return np.array(arrivals), np.array(work)


CALM = {"amplitude": 0.0, "noise.cv": 0.0, "bursts.every_minutes": None, "ticks": 1, "slo_minutes": 1.0}


@pytest.mark.parametrize("mean", [0.7, 9.0, 13.0, 300.0])
def test_counts_are_poisson(mean):
    arrivals, _ = records(40, arrival_rate=mean, horizon_minutes=1000.0, **CALM)
    counts = arrivals.ravel()
    edges = np.unique(stats.poisson.ppf(np.linspace(0.0, 1.0, 15)[1:-1], mean))
    expected = np.diff(stats.poisson.cdf(edges, mean), prepend=0.0, append=1.0)
    observed = np.bincount(np.searchsorted(edges, counts), minlength=len(expected))
    assert stats.chisquare(observed, expected * len(counts)).pvalue > 1e-3
    assert (counts == np.floor(counts)).all()


def test_work_of_a_tick_has_the_mean_and_the_spread_of_its_requests():
    arrivals, work = records(40, arrival_rate=200.0, service_cv=1.5, horizon_minutes=1000.0, **CALM)
    z = (work / 0.03333 - arrivals) / np.sqrt(arrivals) / 1.5
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3


def test_the_profile_is_the_mean_of_what_comes():
    """With bursts and noise, over the hours of the day; each hour's mean is within 4.5 of its standard errors."""
    changes = {"noise": {"cv": 0.3, "minutes": 20.0}, "bursts": {"every_minutes": 60.0, "last_minutes": 15.0, "factor": 2.0}}
    arrivals, _ = records(300, **changes)
    each = arrivals.sum(2).reshape(24, 60, 300).sum(1)
    profile = envs.build(envs.configure("autoscaling/sinusoid", **changes)).params.profile.reshape(24, 12).mean(1) * 60
    error = each.std(1) / 300**0.5
    assert (np.abs(each.mean(1) - profile)[1:] < 4.5 * error[1:]).all()  # an episode begins without a burst
    assert (error < 0.05 * profile).all()


def test_noise_has_the_configured_spread_and_memory():
    arrivals, _ = records(600, arrival_rate=20000.0, horizon_minutes=60.0, **CALM | {"noise.cv": 0.3, "noise.minutes": 30.0})
    log_rate = np.log(arrivals[:, :, 0] / 20000)
    std = math.sqrt(math.log(1.09))
    assert log_rate.std() == pytest.approx(std, rel=0.06)
    assert np.corrcoef(log_rate[0], log_rate[30])[0, 1] == pytest.approx(math.exp(-1), abs=0.12)


@pytest.fixture
def counts(tmp_path):
    """Three days of counts per 12 hours, one of which is missing."""
    path = tmp_path / "counts.csv"
    values = {"01 00": 7200, "01 12": 14400, "02 00": 7200, "03 00": 21600, "03 12": 14400}
    path.write_text("timestamp,value\n" + "".join(f"2024-01-{at}:00:00,{value}\n" for at, value in values.items()))
    return str(path)


def test_counts_are_replayed_as_rates(counts):
    """Rates between the middles of slots follow a line; what is missing is filled in; the profile is a mean of days."""
    trace = {"file": counts, "slot_minutes": 720.0, "days": [1, 1], "profile_days": [0, 1], "scale": 2.0}
    env = pointsman.make("autoscaling/sinusoid", 200, trace=trace)
    env.reset(seed=0)
    p = env.problem.params
    assert (p.rate * 720).tolist() == [14400, 28800, 14400, 28800, 43200, 28800]
    assert (p.profile * 720).tolist() == [14400, 28800]
    assert (env.state.begin == 1440).all()
    hold, come = np.full(200, p.max_change), []
    for _ in range(720):
        env.step(hold)
        come.append(env.record.arrivals.sum())
    assert np.mean(come[350:370]) / 200 == pytest.approx(20.0, rel=0.02)
    assert np.mean(come[710:]) / 200 == pytest.approx(30.0, rel=0.02)


def test_single_requests_are_replayed_as_they_came(tmp_path):
    path = tmp_path / "requests.csv"
    rows = [("18:15:46.5", 100, 10), ("18:16:10", 0, 40), ("18:17:30", 200, 20), ("18:18:59", 0, 10)]
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"2023-11-16 {t},{c},{g}\n" for t, c, g in rows))
    trace = {"file": str(path), "begin_minute": 1.0}
    env = pointsman.make("autoscaling/llm", 1, trace=trace, control_minutes=0.5, slo_minutes=0.5, horizon_minutes=3.0)
    env.reset(seed=0)
    seen = []
    for _ in range(6):
        env.step(np.array([4]))
        seen.append((env.record.arrivals[0, 0], env.record.work[0, 0] / 0.03))
    mean = (20 + 40 + 40 + 10) / 4
    expected = [(1, 40 / mean), (0, 0), (0, 0), (1, 40 / mean), (0, 0), (1, 10 / mean)]
    np.testing.assert_allclose(seen, expected)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, r"trace\.file: no file at .*nowhere\.csv \(looked for as /.*docs/autoscaling\.md"),
        ("a,b\n1,2\n", "must have the columns timestamp,value or .* got a,b"),
        ("timestamp,value\n2024-01-01 00:00:00,1\n2024-01-01 00:05:00,x\n", "line 3 of .* is bad: 2024-01-01 00:05:00,x"),
        ("timestamp,value\n2024-01-01 00:00:00,1\nyesterday,2\n", "line 3 of .* is bad: yesterday,2"),
        ("timestamp,value\n2024-01-01 00:00:00,-1\n", "line 2 of .* is bad"),
        ("timestamp,value\n2024-01-01 00:05:00,1\n2024-01-01 00:00:00,1\n", "line 3 of .* is earlier than the line before"),
        ("timestamp,value\n", "has no rows"),
        ("", "is no CSV file"),
    ],
)
def test_bad_recordings_are_named(tmp_path, text, named):
    path = tmp_path / "nowhere.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PointsmanError, match=named) as caught:
        pointsman.make("autoscaling/load_balancer", **{"trace.file": str(path)})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"model": "fluid"}, "model must be flow or markov, got fluid"),
        ({"min_replicas": 32}, "min_replicas must be below max_replicas, 32"),
        ({"initial_replicas": 40}, "initial_replicas must be from 1 to 32"),
        ({"slo_minutes": 0.7}, "slo_minutes must be a multiple of a tick, 0.5"),
        ({"arrival_rate": 0.0}, "arrival_rate must be a number above 0"),
        ({"amplitude": 1.5}, "amplitude must be .* at most 1"),
        ({"hourly_rates": [1.0] * 25}, "hourly_rates must be 24 or 168 numbers"),
        ({"bursts.factor": -1.0}, r"bursts\.factor"),
        ({"noise.minutes": 0.0}, r"noise\.minutes"),
        ({"queue_limit": 5}, "queue_limit must be null with model=flow"),
        ({"model": "markov", "max_replicas": 3}, r"bursts\.every_minutes must be null with model=markov"),
        ({"max_change": 0}, "max_change must be a whole number of at least 1"),
        ({"replica": 3}, "replica"),
        ({"trace.days": [2, 1], "trace.file": "counts"}, r"trace\.days must be \[first, last\] day of the 3 from 0 on"),
        ({"trace.slot_minutes": 7, "trace.file": "counts"}, r"trace\.slot_minutes must be a divisor of a day"),
        ({"trace.weekly": True, "trace.file": "counts"}, r"trace\.profile_days must be days that hold a whole week"),
    ],
)
def test_bad_configurations_name_the_key(counts, overrides, named):
    if "trace.file" in overrides:
        overrides = {"trace.slot_minutes": 720.0} | overrides | {"trace.file": counts}
    with pytest.raises(PointsmanError, match=named):
        pointsman.make("autoscaling/sinusoid", **overrides)


def test_fit_finds_the_noise_of_a_recording(tmp_path):
    """Counts made from a known process: rates within 8 %, its spread and time constant within the error of 200 days."""
    rng, rates, level, values = np.random.default_rng(0), np.repeat([40.0, 80.0], 12), 0.0, []
    keep, std = math.exp(-10 / 25), math.sqrt(math.log1p(0.4**2))
    for slot in range(200 * 144):
        level = keep * level + math.sqrt(1 - keep**2) * rng.normal()
        values.append(rng.poisson(10 * rates[slot // 6 % 24] * math.exp(std * level - std**2 / 2)))
    times = np.datetime64("2024-01-01") + np.arange(len(values)) * np.timedelta64(10, "m")
    path = tmp_path / "made.csv"
    path.write_text("timestamp,value\n" + "".join(f"{t},{v}\n" for t, v in zip(times, values, strict=True)))
    found = fit({"file": str(path), "slot_minutes": 10.0, "scale": 1.0}, (0, 199))
    np.testing.assert_allclose(found["hourly_rates"], rates, rtol=0.08)
    assert found["noise"]["cv"] == pytest.approx(0.4, rel=0.05)
    assert found["noise"]["minutes"] == pytest.approx(25.0, rel=0.1)


@pytest.mark.data
@pytest.mark.parametrize(
    ("preset", "file", "part"),
    [
        ("load_balancer", "request_rates/elb_request_count_8c0756.csv", (0, 9)),
        ("taxi", "request_rates/nyc_taxi.csv", (0, 167)),
        ("llm", "llm_requests/AzureLLMInferenceTrace_conv.csv.gz", (0, 39)),
    ],
)
def test_presets_are_what_the_recordings_say(preset, file, part):
    config = envs.configure(f"autoscaling/{preset}", **{"trace.file": str(DATA / file)})
    found = fit(config["trace"], part, config["trace"]["weekly"])
    assert {key: config[key] for key in found} == found
    held = pointsman.make(config["id"], 8, **{"trace.file": str(DATA / file)})
    held.reset(seed=0)
    first = config["trace"]["days"][0] * 1440 if config["trace"]["days"] else config["trace"]["begin_minute"]
    assert (held.state.begin >= first).all()
    learner = envs.training(config)
    assert learner.fields == held.problem.fields
    assert len(learner.params.recorded) == 0
