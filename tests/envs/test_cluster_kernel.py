"""The cluster's dynamics: against a slow twin, closed forms and conservation laws; what is shown and what is legal."""

import numpy as np
import pytest
from naive_cluster import Job, blocking, easy, greedy, reservation, simulate

import pointsman
from pointsman import envs
from pointsman.envs.cluster import kernel
from pointsman.envs.cluster.exact import arrivals, bound
from pointsman.errors import PointsmanError
from pointsman.evaluation.rollout import rollout

SWF = "{} {} -1 {} {} -1 -1 {} {} -1 1 {} -1 -1 -1 -1 -1 -1"


def write(path, jobs, processors, header=()):
    """A trace of jobs (submit, duration, estimate, processors)."""
    lines = [f"; MaxProcs: {processors}", *header]
    lines += [SWF.format(n + 1, s, d, m, m, e, n % 3) for n, (s, d, e, m) in enumerate(jobs)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def built(name, **overrides):
    return envs.build(envs.configure(name, **overrides))


def played(problem, name, seed=0, episodes=1, **values):
    """Ledger totals [E, C] of a rule, as a dict of columns."""
    found = rollout(envs.rules(problem)[name](problem, **values), problem, episodes, seed, illegal="raise")
    return dict(zip(problem.columns, found.ledger.T, strict=False)) | {"elapsed": found.elapsed}


RULES = {
    "fcfs": ("fcfs", {}, blocking(lambda job: job.arrival)),
    "easy": ("easy", {}, easy),
    "sjf": ("sjf", {"passing": 0}, blocking(lambda job: job.estimate)),
    "sjf greedy": ("sjf", {"passing": 1}, greedy(lambda job: job.estimate)),
    "smallest greedy": ("smallest", {"passing": 1}, greedy(lambda job: job.units[0])),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_trace_is_replayed_as_the_slow_twin_does(rule, tmp_path):
    """Whole seconds, so that sums are exact; arrivals are apart, as who comes first of two at an instant is a convention."""
    rng = np.random.default_rng(3)
    submit = np.cumsum(rng.integers(1, 40, 300))
    run = rng.integers(0, 150, 300)
    estimate = np.maximum(run + rng.integers(0, 300, 300) * (rng.random(300) < 0.7), 1)
    size = rng.integers(1, 9, 300)
    jobs = list(zip(submit.tolist(), run.tolist(), estimate.tolist(), size.tolist(), strict=True))
    name, values, choose = RULES[rule]
    found = played(built("cluster/kth", trace=write(tmp_path / "a.swf", jobs, 8), trace_folder=None), name, **values)
    twin = [Job(s - jobs[0][0], d, e, [m]) for s, d, e, m in jobs]
    ends = simulate(twin, [8], choose)
    waits = np.array([job.began - job.arrival for job in twin])
    assert found["start_wait"][0] == found["waiting_time"][0] == waits.sum()
    assert found["elapsed"][0] == ends
    assert found["started"][0] == found["done"][0] == 300
    slowdown = np.maximum((waits + run) / np.maximum(run, 10), 1)
    np.testing.assert_allclose(found["bounded_slowdown"][0], slowdown.sum(), rtol=1e-12)
    assert found["used_time/processors"][0] == (run * size).sum()


@pytest.mark.parametrize("preset", ["deeprm", "gpu"])
@pytest.mark.parametrize("rule", ["fcfs", "easy", "sjf greedy"])
def test_several_resources_as_the_slow_twin_has_them(preset, rule):
    problem = built(f"cluster/{preset}", horizon_time=300)
    name, values, choose = RULES[rule]
    found = played(problem, name, episodes=4, **values)
    for e, jobs in enumerate(_jobs(problem, 4)):
        simulate(jobs, problem.params.capacity, choose, 300.0)
        waits = [(job.began if job.began is not None else 300.0) - job.arrival for job in jobs]
        np.testing.assert_allclose(found["waiting_time"][e], np.sum(waits), rtol=1e-9)
        assert found["started"][e] == sum(job.began is not None for job in jobs)


def _jobs(problem, episodes, seed=0):
    """The jobs of episodes, with their estimates, read off the kernel's records."""
    env = envs.BatchEnv(problem, episodes, autoreset=False)
    env.reset(seed=seed)
    for e in range(episodes):
        jobs, clock, env.state.records[e] = [], 0.0, 0
        while True:
            kernel.draw(problem.params, env.state, env.record, e)
            clock += env.record.gap[e] if jobs else 0.0
            if clock >= problem.horizon:
                break
            r = env.record
            jobs.append(Job(clock, float(r.duration[e]), float(r.estimate[e]), r.demand[e].tolist()))
            env.state.records[e] += 1
        yield jobs


def test_jobs_are_those_of_deeprm():
    """Load of each resource: 1.845 jobs per step (Mao et al. 2016), and everything within its range."""
    problem = built("cluster/deeprm", horizon_time=40_000)
    jobs = arrivals(problem, 4, seed=1)
    every = np.concatenate(jobs)
    duration, share = every[:, 1], every[:, 2:]
    area = duration[:, None] * share
    error = area.std() / len(area) ** 0.5
    np.testing.assert_allclose(area.mean(0), 1.845, atol=4 * error)
    np.testing.assert_allclose(len(every) / 160_000, 0.4, atol=4 * (0.4 * 0.6 / 160_000) ** 0.5)
    assert set(duration) == {1, 2, 3, 10, 11, 12, 13, 14, 15}
    assert abs((duration < 5).mean() - 0.8) < 4 * (0.16 / len(every)) ** 0.5
    units = np.sort(np.round(share * 10).astype(int), 1)
    assert (units.min(0) == [1, 5]).all()
    assert (units.max(0) == [2, 10]).all()
    assert all((np.diff(one[:, 0]) >= 1).all() for one in jobs)


def test_first_come_first_served_on_one_unit_is_an_m_g_1_queue():
    """Pollaczek and Khinchine: mean wait lambda E[S^2] / (2 (1 - rho)), from an empty start on a long run."""
    classes = {"job": {"share": 1.0, "duration": [0.2, 1.8], "demand": {"unit": [1, 1]}}}
    times = {"arrival_rate": 0.7, "horizon_time": 3000.0, "warmup_time": 300.0}
    problem = envs.build(envs.complete({"id": "cluster/custom", "resources": {"unit": 1}, "classes": classes, **times}))
    found = played(problem, "fcfs", episodes=200)
    exact = 0.7 * (1.0 + 1.6**2 / 12) / (2 * 0.3)  # in the queue per job; times the rate, the mean number there
    each = found["waiting_time"] / found["elapsed"]
    assert abs(each.mean() - 0.7 * exact) < 3.3 * each.std() / len(each) ** 0.5
    busy = found["used_time/unit"] / found["elapsed"]
    assert abs(busy.mean() - 0.7) < 3.3 * busy.std() / len(busy) ** 0.5


@pytest.mark.parametrize("preset", ["deeprm", "busy", "gpu"])
def test_conservation_under_random_decisions(preset):
    """Jobs and units are neither made nor lost, and nothing overlaps beyond the capacity."""
    env = pointsman.make(f"cluster/{preset}", 16, autoreset=False)
    env.reset(seed=3)
    rng, totals = np.random.default_rng(0), np.zeros((16, len(env.ledger.columns)))
    total = lambda name: env.ledger.total(totals, name)  # noqa: E731
    for _ in range(400):
        mask = env.action_masks()
        *_, info = env.step((mask * rng.random(mask.shape)).argmax(1))
        totals += info["ledger"]
        state, p = env.state, env.problem.params
        np.testing.assert_allclose(state.used, _in_use(state), atol=1e-9)
        assert (state.used <= p.capacity).all()
        np.testing.assert_allclose(state.held.sum(1), state.used, atol=1e-9)
        assert (total("arrived") + 1 == total("started") + state.waiting).all()
        assert (total("started") == total("done") + state.running).all()
        np.testing.assert_allclose(total("used_time") + total("idle_time"), total("time") * p.capacity.sum(), rtol=1e-9)
        np.testing.assert_allclose(total("time"), state.clock, rtol=1e-9)
    assert (total("done") > 20).all()


def _in_use(state):
    return np.stack([state.taken[i, :n].sum(0) for i, n in enumerate(state.running)])


def test_head_and_tail_of_the_queue_are_shown_and_started():
    env = pointsman.make("cluster/deeprm", 8, horizon_time=200, arrival_rate=1.0, window=5)
    seen, _ = env.reset(seed=0)
    ages = [env.layout.candidates.index(name) for name in ("age", "estimate")]
    while not (env.state.waiting > 12).all():
        mask = env.action_masks()
        seen, *_ = env.step(np.where(mask[:, 5], 5, mask.argmax(1)))
    for i in range(8):
        jobs = env.state.job[i, : env.state.waiting[i]]
        shown = jobs[[0, 1, 2, -2, -1]]
        found = seen["candidates"][i][:, ages]
        np.testing.assert_allclose(found[:, 0], env.state.clock[i] - shown[:, kernel.ENTERED], rtol=1e-6)
        np.testing.assert_allclose(found[:, 1], shown[:, kernel.ESTIMATE], rtol=1e-6)
        assert seen["context"][i][:2].tolist() == [env.state.waiting[i], env.state.waiting[i] - 5]
        work = (jobs[3:-2, kernel.ESTIMATE, None] * jobs[3:-2, kernel.JOB :]).sum(0) / 10
        hidden = [k for k, name in enumerate(env.layout.context) if name.startswith("hidden_work")]
        np.testing.assert_allclose(seen["context"][i][hidden], work, rtol=1e-5)
    before = env.state.job[:, :30].copy()
    waiting = env.state.waiting.copy()
    mask = env.action_masks()
    rows = np.flatnonzero(mask[:, 4])
    actions = np.where(mask[:, 4], 4, np.where(mask[:, 5], 5, mask.argmax(1)))
    *_, info = env.step(actions)
    assert len(rows) > 0
    for i in rows:  # the newest job has left, all before it have kept their order
        assert info["ledger"][i, kernel.STARTED] == 1
        assert (env.state.job[i, : waiting[i] - 1] == before[i, : waiting[i] - 1]).all()


def test_reservation_is_that_of_the_slow_twin():
    problem = built("cluster/gpu", window=64)
    env = envs.BatchEnv(problem, 12)
    seen, _ = env.reset(seed=5)
    rng, checked, p = np.random.default_rng(1), 0, problem.params
    spare = [k for k, name in enumerate(env.layout.context) if name.startswith("spare/")]
    passes, start = env.layout.candidates.index("passes"), env.layout.context.index("head_start")
    for _ in range(200):
        for i in np.flatnonzero(env.state.waiting > 1):
            s, clock = env.state, env.state.clock[i]
            running = []
            for r in range(s.running[i]):
                running.append(Job(0.0, 0.0, s.promised[i, r] - clock, s.taken[i, r]))
                running[-1].began = clock
            waiting = [Job(0, 0, row[kernel.ESTIMATE], row[kernel.JOB :]) for row in s.job[i, : s.waiting[i]]]
            free = (p.capacity - s.used[i]).tolist()
            when, left = reservation(clock, waiting[0], running, free)
            np.testing.assert_allclose(seen["context"][i, start], when - clock, rtol=1e-5, atol=1e-3)
            np.testing.assert_allclose(seen["context"][i, spare], np.array(left) * p.unit, atol=1e-6)
            for m in range(1, min(s.waiting[i], 8)):
                job = waiting[m]
                fits = all(job.units <= np.array(free))
                good = fits and (job.estimate <= when - clock or all(job.units <= np.array(left)))
                assert seen["candidates"][i, m, passes] == good
                checked += 1
        mask = env.action_masks()
        seen, *_ = env.step((mask * rng.random(mask.shape)).argmax(1))
    assert checked > 2000


def test_waiting_is_not_legal_on_an_empty_cluster_and_what_does_not_fit_is_masked():
    env = pointsman.make("cluster/deeprm", 64)
    env.reset(seed=0)
    assert not env.action_masks()[:, 5].any()
    for _ in range(60):
        env.step(env.action_masks().argmax(1))
    mask, s, p = env.action_masks(), env.state, env.problem.params
    for i in range(64):
        for m in range(min(s.waiting[i], 5)):
            q = m if s.waiting[i] <= 5 or m < 3 else s.waiting[i] - 5 + m
            assert mask[i, m] == (s.used[i] + s.job[i, q, kernel.JOB :] <= p.capacity).all()
        assert mask[i, 5] == (s.running[i] > 0 or not mask[i, :5].any())


def test_a_full_queue_is_an_error_that_names_its_size():
    env = pointsman.make("cluster/busy", 4, queue_size=20)
    env.reset(seed=0)
    with pytest.raises(PointsmanError, match=r"queue_size=20 is full in environment \d: raise queue_size"):
        for _ in range(300):
            mask = env.action_masks()
            env.step(np.where(mask[:, 16], 16, mask.argmax(1)))


def test_bound_of_hand_worked_cases(tmp_path):
    """One processor, jobs of 1, 2 and 4 at once: shortest first waits 0 + 1 + 3, and the bound is just that."""
    jobs = [(0, 4, 4, 1), (0, 1, 1, 1), (0, 2, 2, 1)]
    for processors, least in ((1, 4.0), (3, 0.0)):
        trace = write(tmp_path / f"{processors}.swf", jobs, processors)
        problem = built("cluster/kth", trace=trace, trace_folder=None)
        assert bound(problem, 1, 0)[0] == pytest.approx(least, abs=1e-9)
    # The longest is on its way when the others come: putting it back (4 at most) is what the machine may and we may not.
    late = write(tmp_path / "late.swf", [(0, 4, 4, 1), (1, 1, 1, 1)], 1)
    assert 0.0 < bound(built("cluster/kth", trace=late, trace_folder=None), 1, 0)[0] <= 3.0


@pytest.mark.parametrize(
    "prices", [{"waiting_time": 1.0}, {"waiting_time": 0.0, "slowdown": 2.0}, {"waiting_time": 0.5, "slowdown": 1.0}]
)
def test_no_rule_costs_less_than_the_bound(prices):
    problem = built("cluster/busy", prices=prices)
    limit = bound(problem, 12, 7)
    assert (limit > 0).all()
    for name, values in (("sjf", {"passing": 1}), ("area", {"passing": 0}), ("easy", {})):
        found = played(problem, name, seed=7, episodes=12, **values)
        cost = sum(price * found[column] for column, price in prices.items())
        assert (cost >= limit).all()


def test_bound_says_what_it_is_not_for():
    with pytest.raises(PointsmanError, match="bound is for prices of slowdown and waiting_time"):
        bound(built("cluster/deeprm", prices={"done": -1.0}), 1, 0)
    with pytest.raises(PointsmanError, match="no exact solution"):
        pointsman.solve("cluster/deeprm")
