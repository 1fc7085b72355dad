"""The inventory kernel: a slow twin that moves units by hand, demand against its laws, rules by hand, items, and bad input."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pointsman
from pointsman import envs
from pointsman.envs.inventory import items
from pointsman.errors import PointsmanError

CASES = {
    "lost_sales": ("lost_sales", {"lead_time": 3}),
    "at_once": ("lost_sales", {"lead_time": 0}),
    "backlog": ("backlog", {"lead_time": 2, "min_order": 4, "lot": 3}),
    "dual": ("dual_sourcing", {"lead_time": 3, "expedite_lead_time": 1}),
    "dual_at_once": ("dual_sourcing", {"start": 7}),
    "trace": ("lost_sales", {"demand": "trace", "demand_mean": None, "trace": [0, 4, 11, 2, 0, 6], "max_order": 12}),
    "limited": ("lost_sales", {"position_limit": 12}),
}


DATA = Path(__file__).parents[3] / "shared" / "data"


class Twin:
    """One row; orders are a list of (arrives in, units), and demand is read off the ledger."""

    def __init__(self, problem):
        self.config, self.on_hand, self.waiting, self.orders = problem.config, problem.config["start"], 0, []
        self.leads = [problem.config["lead_time"]]
        if problem.config["expedite_lead_time"] is not None:
            self.leads.append(problem.config["expedite_lead_time"])

    def receive(self, units):
        served = min(units, self.waiting)
        self.waiting -= served
        self.on_hand += units - served

    def period(self, placed, demand):
        for lead, units in zip(self.leads, placed, strict=True):
            self.orders.append([lead, units])
        self.receive(sum(units for left, units in self.orders if left == 0))
        self.orders = [order for order in self.orders if order[0] > 0]
        filled = min(demand, self.on_hand)
        short = demand - filled
        self.on_hand -= filled
        lost = short if self.config["unmet"] == "lost" else 0
        self.waiting += short - lost
        booked = {"demand": demand, "filled": filled, "lost": lost, "backlogged": self.waiting, "held": self.on_hand}
        for order in self.orders:
            order[0] -= 1
        self.receive(sum(units for left, units in self.orders if left == 0))
        self.orders = [order for order in self.orders if order[0] > 0]
        return booked

    def seen(self):
        due = [sum(units for left, units in self.orders if left == k) for k in range(1, max(self.leads))]
        return [self.on_hand - self.waiting, *due]


def legal_actions(env, rng):
    """A random legal action of every part, [N, K]."""
    first = np.concatenate([[0], np.cumsum(env.layout.parts)])
    mask = env.action_masks()
    noise = rng.random(mask.shape) * mask
    return np.stack([noise[:, a:b].argmax(1) for a, b in pairwise(first)], 1)


@pytest.mark.parametrize("case", CASES)
def test_kernel_equals_a_slow_twin(case):
    name, given = CASES[case]
    env = pointsman.make(f"inventory/{name}", 5, **given)
    observation, _ = env.reset(seed=3)
    twins, rng = [Twin(env.problem) for _ in range(5)], np.random.default_rng(0)
    names = env.ledger.columns
    for _ in range(120):
        np.testing.assert_array_equal(observation, [twin.seen() for twin in twins])
        actions = legal_actions(env, rng)
        observation, reward, _, _, info = env.step(actions.reshape(env.action_space.shape))
        for i, twin in enumerate(twins):
            placed = [int(env.problem.params.quantity[s, a]) for s, a in enumerate(actions[i])]
            booked = dict(zip(names, info["ledger"][i], strict=True))
            for column, wanted in twin.period(placed, int(booked["demand"])).items():
                assert booked[column] == wanted, column
            for s, source in enumerate(("regular", "expedited")[: len(placed)]):
                assert booked[f"ordered/{source}"] == placed[s]
                assert booked[f"orders/{source}"] == (placed[s] > 0)
            costs = sum(price * env.ledger.total(info["ledger"][i], column) for column, price in env.problem.prices.items())
            assert reward[i] == pytest.approx(-costs)
            assert info["elapsed"][i] == booked["periods"] == 1.0


def test_demand_does_not_depend_on_the_orders():
    one, other = (pointsman.make("inventory/lost_sales", 1, indices=[6]) for _ in range(2))
    column = one.ledger["demand"][0]
    one.reset(seed=5), other.reset(seed=5)
    for _ in range(50):
        assert one.step(np.array([0]))[4]["ledger"][0, column] == other.step(np.array([9]))[4]["ledger"][0, column]


LAWS = {
    "poisson": ({}, stats.poisson(5)),
    "geometric": ({}, stats.geom(1 / 6, loc=-1)),
    "negative_binomial": ({"demand_variance": 20.0}, stats.nbinom(25 / 15, 5 / 20)),
    "uniform": ({"demand_low": 2, "demand_high": 9}, stats.randint(2, 10)),
}


@pytest.mark.parametrize("law", LAWS)
def test_demand_follows_its_law(law):
    """Chi-square against scipy's probabilities; fixed seed, rejected at 1 in 10,000. And all of them in the list of events."""
    given, wanted = LAWS[law]
    env = pointsman.make("inventory/lost_sales", 4000, demand=law, **given)
    env.reset(seed=0)
    column, found = env.ledger["demand"][0], []
    for _ in range(10):
        found.append(env.step(np.zeros(4000, int))[4]["ledger"][:, column])
    counts = np.bincount(np.concatenate(found).astype(int))
    expected = wanted.pmf(np.arange(len(counts))) * counts.sum()
    common = expected > 10
    counts, expected = np.append(counts[common], counts[~common].sum()), np.append(expected[common], 0)
    expected[-1] = counts.sum() - expected.sum()
    keep = expected > 1e-6
    assert stats.chisquare(counts[keep], expected[keep]).pvalue > 1e-4
    p = env.problem.params
    np.testing.assert_allclose(np.diff(p.demand_cumulative, prepend=0.0), wanted.pmf(p.demand_value), atol=1.1e-10)
    events = env.problem.events
    assert events.probability(env.state).sum(1) == pytest.approx(1.0)


def test_intermittent_demand_has_the_moments_that_were_asked_for():
    params = envs.build(
        envs.configure(
            "inventory/lost_sales",
            demand="intermittent",
            demand_mean=None,
            demand_probability=0.25,
            size_mean=4.0,
            size_variance=9.0,
        )
    ).params
    probability = np.diff(params.demand_cumulative, prepend=0.0)
    some = params.demand_value > 0
    assert probability[some].sum() == pytest.approx(0.25)
    mean = probability[some] @ params.demand_value[some] / 0.25
    assert mean == pytest.approx(4.0, rel=1e-6)
    assert probability[some] @ (params.demand_value[some] - mean) ** 2 / 0.25 == pytest.approx(9.0, rel=1e-6)


def test_a_trace_is_replayed_from_a_period_drawn_at_random():
    trace = [3, 0, 7, 1, 12]
    env = pointsman.make("inventory/lost_sales", 200, demand="trace", trace=trace, max_order=20)
    env.reset(seed=0)
    column = env.ledger["demand"][0]
    seen = np.stack([env.step(np.zeros(200, int))[4]["ledger"][:, column] for _ in range(10)], 1)
    starts = {int(np.argmax([(np.roll(trace * 2, -k)[:10] == row).all() for k in range(5)])) for row in seen}
    assert starts == set(range(5))
    with pytest.raises(PointsmanError, match="no exact solution here: its demand is recorded"):
        pointsman.solve("inventory/lost_sales", demand="trace", trace=trace)


def act(name, rule, observation, given=None, **values):
    """What a rule orders, in units by source, in one state without limits."""
    problem = envs.build(envs.configure(f"inventory/{name}", **(given or {})))
    actions = envs.rules(problem)[rule](problem, **values).act(
        np.array([observation], np.float32), np.ones((1, len(problem.actions)), bool), np.zeros(1)
    )
    return [int(problem.params.quantity[s, a]) for s, a in enumerate(actions.reshape(-1))]


@pytest.mark.parametrize(
    ("name", "rule", "seen", "given", "values", "ordered"),
    [
        ("lost_sales", "base_stock", [3, 4], {}, {"level": 12}, [5]),
        ("lost_sales", "base_stock", [9, 4], {}, {"level": 12}, [0]),
        ("lost_sales", "capped_base_stock", [0, 1], {}, {"level": 12, "cap": 6}, [6]),
        ("lost_sales", "constant_order", [90, 1], {}, {"quantity": 4}, [4]),
        ("backlog", "s_S", [-2], {}, {"reorder": 3, "batch": 10}, [15]),
        ("backlog", "s_S", [3], {}, {"reorder": 3, "batch": 10}, [10]),
        ("backlog", "s_S", [4], {}, {"reorder": 3, "batch": 10}, [0]),
        ("backlog", "base_stock", [9], {"min_order": 6, "lot": 2}, {"level": 12}, [6]),
        ("backlog", "base_stock", [9], {"min_order": 6, "lot": 2}, {"level": 16}, [8]),
        # Stock 1 and 2 due next period: 3 are missing from 4 at once; then 4 + 2 of 9 are there or on order.
        ("dual_sourcing", "dual_index", [1, 2], {}, {"level": 9, "expedite_level": 4}, [3, 3]),
        ("dual_sourcing", "capped_dual_index", [1, 2], {}, {"level": 9, "expedite_level": 4, "cap": 2}, [2, 3]),
        ("dual_sourcing", "tailored_base_surge", [3, 2], {}, {"quantity": 1, "expedite_level": 4}, [1, 1]),
        # An expedited order takes a period: what is due then counts.
        ("dual_sourcing", "dual_index", [1, 2], {"expedite_lead_time": 1}, {"level": 9, "expedite_level": 4}, [5, 1]),
    ],
)
def test_rules_order_what_they_say(name, rule, seen, given, values, ordered):
    assert act(name, rule, seen, given, **values) == ordered


@pytest.mark.parametrize(("rule", "lead"), [("myopic1", 0), ("myopic1", 2), ("myopic2", 1), ("myopic2", 2)])
def test_myopic_rules_minimise_what_they_say_by_enumeration_of_all_demands(rule, lead):
    """Three values of demand, every path of them, every order."""
    given = {"demand": "uniform", "demand_mean": None, "demand_low": 0, "demand_high": 2, "lead_time": lead, "max_order": 4}
    problem = envs.build(envs.configure("inventory/lost_sales", **given))
    found = envs.rules(problem)[rule](problem)

    def run(state, order):
        """Next states and costs of this period by demand."""
        stock, *due = [*state, order]
        if lead == 0:
            stock, due = stock + order, []
        for d in (0, 1, 2):
            left, cost = max(stock - d, 0), max(stock - d, 0) + 4.0 * max(d - stock, 0)
            yield ((left + due[0], *due[1:]) if due else (left,)), cost

    def later(state, periods, order=0):
        """Expected cost of the period that is so many ahead."""
        if periods == 0:
            return np.mean([cost for _, cost in run(state, order)])
        return np.mean([later(ahead, periods - 1) for ahead, _ in run(state, order)])

    def two(state, order):
        ahead = [min(later(next_, lead, a) for a in range(5)) for next_, _ in run(state, order)]
        return later(state, lead, order) + np.mean(ahead)

    for state in [(0,), (1,), (3,)] if lead < 2 else [(0, 0), (1, 2), (3, 1)]:
        wanted = [later(state, lead, a) if rule == "myopic1" else two(state, a) for a in range(5)]
        np.testing.assert_allclose(found.costs(np.array([state]))[0], wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"lead_time": -1}, "lead_time must be a whole number of at least 0, got -1"),
        ({"lead_time": 1.5}, "lead_time must be a whole number .* got 1.5"),
        ({"expedite_lead_time": 2}, "expedite_lead_time must be below lead_time=2, got 2"),
        ({"demand": "poison"}, "unknown demand 'poison'.*poisson"),
        ({"demand_mean": -3.0}, "demand_mean must be a number above 0, got -3"),
        ({"demand_mean": None}, "demand_mean must be given for demand=poisson"),
        ({"demand_variance": 3.0}, "demand_variance has no meaning for demand=poisson"),
        ({"demand": "negative_binomial", "demand_variance": 4.0}, "demand_variance must be above demand_mean=5"),
        ({"demand": "uniform", "demand_low": 0.5, "demand_high": 4}, "demand_low must be a whole number .* got 0.5"),
        ({"demand": "uniform", "demand_low": 5, "demand_high": 4}, "demand_high must be above 0 and at least demand_low=5"),
        ({"demand": "trace", "trace": [1, 2.5]}, r"trace\[1\] must be a whole number of at least 0, got '2.5'"),
        ({"demand": "trace", "trace": [1, -2]}, r"trace\[1\] must be a whole number of at least 0, got '-2'"),
        ({"demand": "trace", "trace": "nowhere.csv"}, "trace: no file at nowhere.csv"),
        ({"unmet": "wait"}, "unknown unmet 'wait'"),
        ({"penalty": -4.0}, "penalty must be a number of at least 0, got -4"),
        ({"position_limit": "lots"}, "position_limit must be a whole number of at least 0, got lots"),
        ({"min_order": 2.5}, "min_order must be a whole number"),
        ({"max_order": 3, "min_order": 5}, "max_order must be at least min_order=5, got 3"),
        ({"max_order": 5000, "lot": 1}, "max_order=5000 in lots of 1 makes .* raise lot"),
        ({"item": "12"}, "item must be null, or items the path"),
        ({"items": "nowhere.csv", "item": "1"}, "items: no file at nowhere.csv"),
        ({"prices": {"stolen": 1.0}}, "stolen"),
    ],
)
def test_bad_configurations_are_one_line_that_names_the_key(overrides, message):
    with pytest.raises(PointsmanError, match=message) as caught:
        pointsman.make("inventory/lost_sales", **overrides)
    assert "\n" not in str(caught.value)


def test_a_trace_file_with_a_fraction_names_the_line(tmp_path):
    file = tmp_path / "demand.csv"
    file.write_text("demand\n3\n\n1\n")
    with pytest.raises(PointsmanError, match=r"demand.csv, line 3: demand must be a whole number .* got nothing: it is missing"):
        pointsman.make("inventory/lost_sales", demand="trace", trace=str(file))
    file.write_text("demand\n3\n0\n1\n")
    assert pointsman.make("inventory/lost_sales", demand="trace", trace=str(file)).problem.params.trace.tolist() == [3, 0, 1]


TABLE = f"""sku,{",".join(items.COLUMNS)},2012-W01,2012-W02,2012-W03
a,10,5,5.2,3,2,0,3,0
b,10,5,5.2,,2,0,3,0
c,10,5,5.2,3,2,0,,0
d,10,5,5.2,3,2,0,0.5,0
e,10,5,5.2,3,2,0,0,0
f,10,5,5.2,-7,2,0,1,0
"""


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("b", "item b: lead_time_weeks must be a whole number of at least 0, got nothing: it is missing"),
        ("c", "item c: demand of 2012-W02 must be a whole number of at least 0, got nothing: it is missing"),
        ("d", "item d: demand of 2012-W02 must be a whole number of packs, got '0.5': item_unit=piece"),
        ("e", "item e has no demand in any of its 3 weeks"),
        ("f", "item f: lead_time_weeks must be .* got '-7'"),
        ("g", "unknown item 'g'"),
        (None, "item must be the sku of one of the 6 items"),
    ],
)
def test_items_with_missing_data_are_named(item, message, tmp_path):
    file = tmp_path / "items.csv"
    file.write_text(TABLE)
    with pytest.raises(PointsmanError, match=message) as caught:
        pointsman.make("inventory/spare_parts", items=str(file), item=item)
    assert "\n" not in str(caught.value)


def test_an_item_in_packs_and_in_pieces(tmp_path):
    """Ten pieces a pack: quantities ten times, holding a tenth."""
    file = tmp_path / "items.csv"
    file.write_text(TABLE)
    pack, piece = (
        envs.build(envs.configure("inventory/spare_parts", items=str(file), item="a", item_unit=unit, demand="trace"))
        for unit in ("pack", "piece")
    )
    assert pack.params.trace.tolist() == [0, 3, 0]
    assert piece.params.trace.tolist() == [0, 30, 0]
    assert pack.params.quantity[0, 1] == 2
    assert piece.params.quantity[0, 1] == 20
    assert pack.prices["held"] == pytest.approx(0.1)
    assert piece.prices["held"] == pytest.approx(0.01)
    half = envs.build(envs.configure("inventory/spare_parts", items=str(file), item="d", item_unit="piece", demand="trace"))
    assert half.params.trace.tolist() == [0, 5, 0]


@pytest.mark.data
def test_the_shipped_part_is_the_fit_to_its_record_and_every_item_is_read_or_named():
    path = str(DATA / "spare_parts" / "MAN_wide.csv.gz")
    shipped = envs.configure("inventory/spare_parts")
    fitted = items.with_item(envs.configure("inventory/spare_parts", items=path, item="617"))
    for key in ("demand_probability", "size_mean", "size_variance", "lead_time", "min_order", "holding_cost", "fixed_cost"):
        assert shipped[key] == pytest.approx(fitted[key], rel=1e-3), key
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    weekly = table[[name for name in table if items.WEEK.fullmatch(name)]].astype(float)
    nothing, fractions = weekly.sum(axis=1) == 0, (weekly % 1 > 0).any(axis=1)
    assert (len(table), nothing.sum()) == (3451, 1510)
    for k in range(0, len(table), 25):
        row = dict(table.iloc[k])
        pieces = int(row["units_per_pack"]) if fractions[k] else 1
        if nothing[k]:
            with pytest.raises(PointsmanError, match=f"item {row['sku']} has no demand"):
                items.fit(items.weeks(row), row["sku"])
            continue
        found = items.fit(items.weeks(row, pieces), row["sku"])
        mean = found["demand_probability"] * found["size_mean"]
        assert mean == pytest.approx(pieces * weekly.iloc[k].mean(), rel=1e-9)
