"""The queueing kernel: a slow twin that moves requests by name, conservation, what actions mean, and bad configurations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pointsman
from pointsman import envs
from pointsman.envs.queueing import kernel
from pointsman.errors import PointsmanError

NETWORKS = {
    "criss_cross": ("queueing/criss_cross", {}),
    "idling": ("queueing/criss_cross", {"work_conserving": False}),
    "slow_server": ("queueing/slow_server", {}),
    "reentrant": ("queueing/reentrant", {"stations": 3}),
    "several_servers": (
        "queueing/criss_cross",
        {
            "network": "custom", "arrival_rate": None, "mu2": None, "prices": {"in_system": 1.0}, "preemptive": False,
            "classes": {"a": {"arrival_rate": 1.0, "next": {"b": 0.5}}, "b": {"arrival_rate": 0.3}},
            "pools": {"both": {"servers": 2, "rates": {"a": 1.0, "b": 0.6}}, "one": {"rates": {"b": 1.5}}},
        },
    ),
    "pools": ("queueing/criss_cross", {"decisions": "pools"}),
}  # fmt: skip


class Twin:
    """One row: buffers are lists of names, servers hold a name or None; nothing is shared with the kernel but the records."""

    def __init__(self, problem):
        config = problem.config
        self.params = problem.params
        self.classes = len(problem.params.start)
        self.pools = [name for name in problem.columns if name.startswith("busy_time/")]
        self.preemptive = config["preemptive"]
        self.buffer = [[] for _ in range(self.classes)]
        self.server = [None] * len(problem.params.service)
        self.names = 0
        self.of = {}  # class of a request

    def pass_event(self, event, route):
        """What the event of a record does; returns (arrived class, departed class) or Nones."""
        p = self.params
        if p.event_kind[event] == kernel.ARRIVAL:
            c = int(p.event_of[event])
            self.names += 1
            self.of[self.names] = c
            self.buffer[c].append(self.names)
            return c, None
        request = self.server[p.event_of[event]]
        if request is None or p.service[p.event_of[event], self.of[request]] < p.event_level[event]:
            return None, None
        self.server[p.event_of[event]] = None
        share, c = np.diff(p.route_cumulative[self.of[request]], prepend=0.0), self.of[request]
        to = next(k for k in range(self.classes + 1) if route < share[: k + 1].sum() or k == self.classes)
        if to == self.classes:
            return None, c
        self.of[request] = to
        self.buffer[to].append(request)
        return None, None

    def call_back(self):
        """Preemption: what is being served waits again, at the head."""
        for s in reversed(range(len(self.server))):
            if self.server[s] is not None:
                self.buffer[self.of[self.server[s]]].insert(0, self.server[s])
                self.server[s] = None

    def assign(self, s, c):
        self.server[s] = self.buffer[c].pop(0)

    def able(self, s):
        return [c for c in range(self.classes) if self.buffer[c] and self.params.service[s, c] > 0]


@pytest.mark.parametrize("network", NETWORKS)
def test_ledger_equals_the_slow_twin(network):
    """A thousand decisions: who is asked, what is booked, and where requests are."""
    name, overrides = NETWORKS[network]
    env = pointsman.make(name, 1, horizon_time=1e6, **overrides)
    env.reset(seed=3)
    twin, p, rng = Twin(env.problem), env.problem.params, np.random.default_rng(0)
    s = len(twin.server)  # the server that is asked; all of them: nobody
    for _ in range(1000):
        mask = env.action_masks()[0]
        action = _random_action(mask, env.layout.parts, rng)
        *_, info = env.step(action[None] if len(env.layout.parts) > 1 else action)
        booked = dict(zip(env.ledger.columns, info["ledger"][0], strict=True))
        if p.kind == kernel.POOLS:
            for server in range(len(twin.server)):
                choice = action[p.pool[server]]
                if twin.server[server] is None and choice in twin.able(server):
                    twin.assign(server, choice)
        elif s < len(twin.server):
            assert set(np.flatnonzero(mask)) - {twin.classes} == set(twin.able(s))
            if action[0] < twin.classes:
                twin.assign(s, action[0])
            s = _next_asked(twin, p, s + 1)
        if p.kind == kernel.POOLS or s == len(twin.server):
            assert info["elapsed"][0] == pytest.approx(1 / p.rate)
            waiting = [len(buffer) for buffer in twin.buffer]
            for c, label in enumerate(env.problem.columns[: twin.classes]):
                inside = waiting[c] + sum(r is not None and twin.of[r] == c for r in twin.server)
                assert booked[label] == pytest.approx(inside / p.rate), label
            arrived, departed = twin.pass_event(env.record.event[0], env.record.route[0])
            for c in range(twin.classes):
                assert booked[env.problem.columns[kernel.ARRIVED * twin.classes + c]] == (c == arrived)
                assert booked[env.problem.columns[kernel.DEPARTED * twin.classes + c]] == (c == departed)
            if p.preemptive:
                twin.call_back()
            s = _next_asked(twin, p, 0)
        else:
            assert info["elapsed"][0] == 0
            assert not info["ledger"].any()
        assert [len(buffer) for buffer in twin.buffer] == env.state.queue[0].tolist()
    assert twin.names > 50


def _random_action(mask, parts, rng):
    """A legal action per part."""
    first = np.concatenate([[0], np.cumsum(parts)[:-1]])
    return np.array([rng.choice(np.flatnonzero(mask[f : f + size])) for f, size in zip(first, parts, strict=True)])


def _next_asked(twin, p, s):
    """The next server with a choice; those before it take what they must."""
    if p.kind == kernel.POOLS:
        return len(twin.server)
    while s < len(twin.server):
        able = twin.able(s) if twin.server[s] is None else []
        if len(able) > 1 or (able and p.may_idle[s]):
            return s
        if able:
            twin.assign(s, able[0])
        s += 1
    return s


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["servers", "pools"]),
    st.one_of(st.none(), st.integers(1, 30)),
)
def test_requests_and_server_time_are_conserved(seed, classes, preemptive, work_conserving, decisions, capacity):
    """Random networks, random legal actions: what came in is inside or has left, and no server works two jobs at once."""
    rng = np.random.default_rng(seed)
    names = [f"c{k}" for k in range(classes)]
    overrides = {
        "network": "custom", "arrival_rate": None, "mu2": None, "prices": {"in_system": 1.0},
        "preemptive": preemptive, "work_conserving": work_conserving, "decisions": decisions, "capacity": capacity or 1000,
        "classes": {n: {"arrival_rate": float(rng.uniform(0.1, 1)), "next": {str(rng.choice(names)): 0.4}} for n in names},
        "pools": {
            f"p{k}": {"servers": int(rng.integers(1, 4)), "rates": {n: float(rng.uniform(0.2, 2)) for n in names}}
            for k in range(int(rng.integers(1, 3)))
        },
        "horizon_time": 1e6,
    }  # fmt: skip
    env = pointsman.make("queueing/criss_cross", 8, **overrides)
    env.reset(seed=int(rng.integers(1 << 30)))
    total = np.zeros(len(env.ledger.columns))
    for _ in range(300):
        action = np.stack([_random_action(mask, env.layout.parts, rng) for mask in env.action_masks()])
        *_, info = env.step(action if len(env.layout.parts) > 1 else action[:, 0])
        total += info["ledger"].sum(0)
        assert (env.state.queue >= 0).all()
    columns = env.ledger.columns
    sums = {name: sum(total[k] for k, c in enumerate(columns) if c.split("/")[0] == name) for name in kernel.PER_CLASS}
    inside = env.state.queue.sum() + (env.state.serving >= 0).sum()
    assert sums["arrived"] == sums["admitted"] + sums["lost"]
    assert sums["admitted"] == sums["departed"] + inside
    pool_size, time = env.problem.params.pool_size, total[columns.index("time")]
    for k, name in enumerate(c for c in columns if c.startswith("busy_time/")):
        assert total[columns.index(name)] <= pool_size[k] * time * (1 + 1e-9)


def test_a_pool_whose_class_has_no_request_left_idles():
    """Two pools choose the same class with one request in it: the first takes it, the second idles, and neither is illegal."""
    pools = {"first": {"rates": {"a": 1.0, "b": 1.0}}, "second": {"rates": {"a": 1.0, "b": 1.0}}}
    classes = {"a": {"arrival_rate": 0.1, "start": 1}, "b": {"arrival_rate": 0.1, "start": 1}}
    given = {"network": "custom", "arrival_rate": None, "mu2": None, "prices": {"in_system": 1.0}, "decisions": "pools"}
    env = pointsman.make("queueing/criss_cross", 1, **given, classes=classes, pools=pools)
    env.reset(seed=0)
    *_, info = env.step(np.array([[0, 0]]))
    busy = [info["ledger"][0][env.ledger.columns.index(f"busy_time/{name}")] for name in pools]
    assert busy[0] > 0
    assert busy[1] == 0


@pytest.mark.parametrize("work_conserving", [True, False])
@pytest.mark.parametrize("name", ["queueing/n_model", "queueing/reentrant"])
def test_rules_that_decide_for_pools_are_legal(name, work_conserving):
    """Also where an earlier pool takes the last request of the only class that a later one could serve."""
    problem = envs.build(envs.configure(name, decisions="pools", work_conserving=work_conserving))
    for rule in envs.rules(problem).values():
        env, policy = envs.BatchEnv(problem, 16), rule(problem)  # an illegal action is an error
        observation, _ = env.reset(seed=0)
        for _ in range(200):
            observation, *_ = env.step(policy.act(observation, env.action_masks(), env.action_uniforms()))


def test_arrivals_follow_the_profile():
    """Slots of 10 units with rates 0.2, 1.0 and 0.6: counts by slot lie within 4 standard deviations of Poisson's."""
    env = pointsman.make(
        "queueing/multiclass", 256, arrival_rates=[1.0], service_rates=[3.0], holding_costs=[1.0],
        arrival_profile=[0.2, 1.0, 0.6], slot_time=10.0, horizon_time=1e6, service_rate=None,
    )  # fmt: skip
    env.reset(seed=1)
    counts, column = np.zeros(3), env.ledger.columns.index("arrived/1")
    while env.state.clock[0] < 29.9:
        slot = int(env.state.clock[0] / 10.0 + 1e-9)
        *_, info = env.step(env.action_masks().argmax(1))
        counts[slot] += info["ledger"][:, column].sum()
    expected = 256 * 10 * np.array([0.2, 1.0, 0.6])
    assert (abs(counts - expected) < 4.5 * np.sqrt(expected)).all(), counts


BAD = [
    ("queueing/criss_cross", {"arrival_rate": 1.1}, r"pool 'server1' is 1\.100, at least 1"),
    ("queueing/n_model", {"rho": 1.0}, r"pools 'server1' and 'server2' is 1\.000, at least 1"),
    ("queueing/criss_cross", {"arrival_rate": -0.1}, "arrival_rate"),
    ("queueing/criss_cross", {"rho": 0.5}, "rho"),
    ("queueing/criss_cross", {"network": "criss"}, "criss_cross"),
    ("queueing/criss_cross", {"decisions": "server"}, "servers"),
    ("queueing/reentrant", {"stations": 8}, "stations must be between 2 and 7"),
    ("queueing/multiclass", {"service_rates": [1.0, 2.0]}, "service_rates must be a list of 3"),
    ("queueing/trunk_reservation", {"capacity": 0}, "capacity"),
    ("queueing/trunk_reservation", {"servers": 0}, "servers"),
]


@pytest.mark.parametrize(("name", "overrides", "message"), BAD)
def test_bad_networks_are_refused_by_key(name, overrides, message):
    """Among them networks that no policy keeps stable: the pool and its load are named."""
    with pytest.raises(PointsmanError, match=message):
        envs.build(envs.configure(name, **overrides))


def test_load_is_the_least_possible():
    """A flexible server helps: alone, class 1 would need 1.2 of server 1; shared, the network is stable."""
    envs.build(envs.configure("queueing/n_model", rho=0.92))


def test_the_buffer_of_an_episode_that_is_over_does_not_fill():
    """Nobody is served, and the others, which still go on, are not stopped by it."""
    given = {"work_conserving": False, "head_ages": True, "queue_size": 20, "horizon_time": 5.0, "warmup_time": 0.0}
    env = pointsman.make("queueing/criss_cross", 1, autoreset=False, **given)
    env.reset(seed=0)
    for _ in range(400):
        env.step(np.array([env.problem.actions.index("idle")]))
    assert env.state.clock[0] < 6.0
