"""Rules for inventories: how much to order, given what is in stock and on order."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pointsman.envs.arrays import Floats
from pointsman.envs.inventory.demand import demand_of
from pointsman.envs.inventory.items import with_item
from pointsman.envs.inventory.myopic import Myopic1, Myopic2
from pointsman.envs.inventory.params import sources, worth_while
from pointsman.envs.problem import Problem
from pointsman.envs.rule import Parameter, Rule

Actions = NDArray[np.int64]


class Ordering(Rule):
    """What the rules share: positions, and orders that come as near as the legal quantities allow."""

    wanted: ClassVar[tuple[str, ...]] = ()
    """Parameters, out of those of `ranges`."""

    @classmethod
    def space_for(cls, problem: Problem) -> dict[str, Parameter]:
        found = ranges(problem)
        return {name: found[name] for name in cls.wanted}

    def position(self, observation: Any, periods: int | None = None) -> Floats:
        """Units in stock, less those that wait, and on order [N]; with `periods`, only what arrives within so many."""
        arrivals = int(self.params.lead.max()) - 1
        names = ["stock", *(f"due_{k}" for k in range(1, 1 + (arrivals if periods is None else min(periods, arrivals))))]
        return np.sum([self.column(observation, name) for name in names], axis=0, dtype=np.float64)

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        self.params = problem.params
        self.first = np.concatenate([[0], np.cumsum(problem.params.choices)])

    def order(self, source: int, units: Any, mask: NDArray[np.bool_]) -> Actions:
        """The least legal order of a source of at least so many units, or the largest there is; none for none."""
        quantity = self.params.quantity[source][: self.params.choices[source]]
        legal = mask[:, self.first[source] : self.first[source + 1]].sum(1)
        units = np.broadcast_to(np.asarray(units, float), (len(mask),))
        return np.minimum(np.searchsorted(quantity, units - 1e-6), legal - 1)


class BaseStock(Ordering):
    """Order up to a level."""

    wanted = ("level",)

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        return self.order(0, self.values["level"] - self.position(observation), mask)


class CappedBaseStock(Ordering):
    """Order up to a level, but no more than a cap at a time (Johansen and Thorstenson 2008; Xin 2021)."""

    wanted = ("level", "cap")

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        return self.order(0, np.minimum(self.values["level"] - self.position(observation), self.values["cap"]), mask)


class ConstantOrder(Ordering):
    """The same order every period (Reiman 2004)."""

    wanted = ("quantity",)

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        return self.order(0, self.values["quantity"], mask)


class ReorderPoint(Ordering):
    """(s, S): once the position is at s = `reorder` or below, order up to S = s + `batch` (Scarf 1960)."""

    wanted = ("reorder", "batch")

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        position, reorder = self.position(observation), self.values["reorder"]
        return self.order(0, np.where(position <= reorder, reorder + self.values["batch"] - position, 0.0), mask)


class DualIndex(Ordering):
    """Two base stocks: one for what is there by the time that an expedited order arrives, one for all that is on order.

    Veeraraghavan and Scheller-Wolf (2008), "Now or later: a simple policy for effective dual sourcing in capacitated systems".
    """

    wanted: ClassVar[tuple[str, ...]] = ("level", "expedite_level")

    def regular(self, short: Floats) -> Any:
        """Units of the regular source, given what the position lacks."""
        return short

    def decide(self, observation: Any, mask: NDArray[np.bool_]) -> Actions:
        soon = self.position(observation, int(self.params.lead[1]))
        expedited = self.order(1, self.values["expedite_level"] - soon, mask)
        position = self.position(observation) + self.params.quantity[1][expedited]
        return np.stack([self.order(0, self.regular(self.values["level"] - position), mask), expedited], 1)


class CappedDualIndex(DualIndex):
    """Dual index with a cap on regular orders (Sun and Van Mieghem 2019)."""

    wanted = ("level", "expedite_level", "cap")

    def regular(self, short: Floats) -> Any:
        return np.minimum(short, self.values["cap"])


class TailoredBaseSurge(DualIndex):
    """The same regular order every period, and expedited ones up to a level (Allon and Van Mieghem 2010)."""

    wanted = ("expedite_level", "quantity")

    def __init__(self, problem: Problem, **values: Any):
        super().__init__(problem, **values)
        self.values["level"] = np.inf

    def regular(self, short: Floats) -> Any:
        return self.values["quantity"]


def ranges(problem: Problem) -> dict[str, Parameter]:
    """Where the parameters of the rules may lie, in units."""
    config = with_item(problem.config)
    demand, lead = demand_of(config), problem.params.lead
    reach = [demand.level(int(periods) + 1, 0.999) for periods in lead]
    batch = max(worth_while(config, demand, 0), int(problem.params.quantity[0][1]))
    found = {
        "level": Parameter(0, reach[0] + batch, integer=True),
        "cap": Parameter(1, max(demand.level(1, 0.999), 2), integer=True),
        "quantity": Parameter(0, int(np.ceil(demand.mean)) + 1, integer=True),
        "reorder": Parameter(-1, reach[0], integer=True),
        "batch": Parameter(1, 2 * batch, integer=True),
    }
    if len(lead) > 1:
        found["expedite_level"] = Parameter(-demand.level(1, 0.999), reach[1], integer=True)
    return found


def rules(problem: Problem) -> dict[str, type[Rule]]:
    """The rules for one source or for two; the myopic ones follow lost sales from order to arrival."""
    if len(sources(problem.config)) > 1:
        return {"dual_index": DualIndex, "capped_dual_index": CappedDualIndex, "tailored_base_surge": TailoredBaseSurge}
    found: dict[str, type[Rule]] = {
        "base_stock": BaseStock,
        "capped_base_stock": CappedBaseStock,
        "constant_order": ConstantOrder,
        "s_S": ReorderPoint,
    }
    if problem.params.backlog_limit == 0:
        found |= {"myopic1": Myopic1, "myopic2": Myopic2}
    return found
