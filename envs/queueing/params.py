"""From a configuration of a queueing network to the kernel's parameters; every check names the key at fault."""

import math
from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np

from pointsman.envs.checks import UNLIMITED, cumulative, number, numbers, require, whole
from pointsman.envs.queueing.kernel import ADMISSION, ARRIVAL, POOLS, SERVERS, SERVICE, Params
from pointsman.envs.queueing.networks import NETWORKS, PARAMETERS, Network, checked
from pointsman.errors import PointsmanError, unknown

DECISIONS = {"servers": SERVERS, "pools": POOLS, "admission": ADMISSION}


def network_of(config: Mapping[str, Any]) -> Network:
    """Classes, pools and prices, of a named network or as given."""
    given = {key: config[key] for key in PARAMETERS if config[key] is not None}
    name = config["network"]
    if name == "custom":
        require(not given, ", ".join(given), "left out of a custom network, which classes and pools describe", "values")
        return {"classes": dict(config["classes"]), "pools": dict(config["pools"]), "prices": dict(config["prices"])}
    if name not in NETWORKS:
        raise unknown("network", name, [*NETWORKS, "custom"])
    wanted = signature(NETWORKS[name]).parameters
    for key in given:
        if key not in wanted:
            raise unknown(f"parameter of network {name}:", key, wanted)
    for key, parameter in wanted.items():
        require(key in given or parameter.default is not parameter.empty, key, f"given for network {name}", "null")
    found = NETWORKS[name](**{key: checked(key, value) for key, value in given.items()})
    return found | {"prices": found["prices"] | dict(config["prices"])}


def params_from(config: Mapping[str, Any], network: Network) -> Params:
    """The kernel's parameters; an error if no policy could keep the network stable."""
    if config["decisions"] not in DECISIONS:
        raise unknown("kind of decisions", config["decisions"], DECISIONS)
    kind, classes, pools = DECISIONS[config["decisions"]], network["classes"], network["pools"]
    require(len(classes) > 0, "classes", "at least one class", "none")
    require(len(pools) > 0, "pools", "at least one pool", "none")
    names = list(classes)
    arrival = np.array([number(f"classes.{name}.arrival_rate", classes[name].get("arrival_rate", 0.0)) for name in names])
    require(bool(arrival.max() > 0), "classes.*.arrival_rate", "positive for some class", arrival.tolist())
    service, pool, may_idle = [], [], []
    for p, (name, given) in enumerate(pools.items()):
        servers, idle = whole(f"pools.{name}.servers", given.get("servers", 1), 1), given.get("may_idle")
        for known in given.get("rates", {}):
            if known not in names:
                raise unknown(f"class in pools.{name}.rates:", str(known), names)
        rates = [number(f"pools.{name}.rates.{c}", given.get("rates", {}).get(c, 0.0)) for c in names]
        require(max(rates) > 0, f"pools.{name}.rates", "positive for some class", rates)
        service += [rates] * servers
        pool += [p] * servers
        may_idle += [not config["work_conserving"] if idle is None else bool(idle)] * servers
    profile = config["arrival_profile"]
    share = np.ones((1, len(names))) if profile is None else np.outer(numbers("arrival_profile", profile), np.ones(len(names)))
    require(bool(share.max() > 0), "arrival_profile", "positive somewhere", profile)
    highest = arrival * share.max()
    capacity, start = config["capacity"], [whole(f"classes.{name}.start", classes[name].get("start", 0)) for name in names]
    if capacity is not None:
        require(
            isinstance(capacity, int) and capacity >= max(sum(start), 1),
            "capacity",
            "at least the requests at the start",
            capacity,
        )
    route = np.array([_route(f"classes.{name}.next", classes[name].get("next"), names) for name in names])
    work = np.array(service)
    if kind != ADMISSION and capacity is None:
        refuse_unstable(arrival * share.mean(), work, np.array(pool), route, list(pools), names)
    event_rate, event_kind, event_of, event_level = _events(highest, work)
    require(config["queue_size"] >= 1, "queue_size", "at least 1", config["queue_size"])
    return Params(
        rate=float(event_rate.sum()),
        event_cumulative=event_rate.cumsum() / event_rate.sum(),
        event_kind=event_kind,
        event_of=event_of,
        event_level=event_level,
        arrival_share=share / share.max(),
        slot_time=number("slot_time", config["slot_time"], strict=True) if profile else math.inf,
        service=work,
        pool=np.array(pool),
        pool_size=np.bincount(pool),
        route_cumulative=cumulative("next", route),
        capacity=UNLIMITED if capacity is None else capacity,
        preemptive=config["preemptive"],
        may_idle=np.array(may_idle),
        kind=kind,
        head_ages=config["head_ages"],
        start=np.array(start),
        horizon=number("horizon_time", config["horizon_time"], strict=True),
    )


def _route(key: str, to: Any, names: list[str]) -> np.ndarray:
    """Probabilities [C + 1] of the classes that follow, and of leaving."""
    to = {to: 1.0} if isinstance(to, str | int) else (to or {})
    found = np.zeros(len(names) + 1)
    for name, share in to.items():
        if str(name) not in names:
            raise unknown(f"class in {key}:", str(name), names)
        found[names.index(str(name))] = number(f"{key}.{name}", share)
    require(found.sum() <= 1 + 1e-9, key, "probabilities that sum to at most 1", to)
    found[-1] = max(1.0 - found.sum(), 0.0)
    return found


def _events(arrival: np.ndarray, service: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rate, kind, subject and level of every event: per server, one for each of its distinct rates."""
    found = [(rate, ARRIVAL, c, 0.0) for c, rate in enumerate(arrival) if rate > 0]
    for s, rates in enumerate(service):
        levels = np.unique(rates[rates > 0])
        found += [(step, SERVICE, s, level) for step, level in zip(np.diff(levels, prepend=0.0), levels, strict=True)]
    rate, kind, of, level = zip(*found, strict=True)
    return np.array(rate), np.array(kind), np.array(of), np.array(level)


def refuse_unstable(
    arrival: np.ndarray, service: np.ndarray, pool: np.ndarray, route: np.ndarray, pools: list[str], names: list[str]
) -> None:
    """An error if the least possible load of the busiest pool is 1 or more, by the static planning problem (Harrison 2000).

    Servers' time is shared out so that every class is served as fast as it comes, and the largest load is least.
    """
    inside = route[:, :-1]
    try:
        flow = np.linalg.solve(np.eye(len(names)) - inside.T, arrival)
    except np.linalg.LinAlgError:
        raise PointsmanError("classes.*.next: some requests never leave the network") from None
    servers, classes = service.shape
    # Unknowns: share of each server's time on each class, then the largest load.
    served = np.zeros((classes, servers * classes + 1))
    busy = np.zeros((servers, servers * classes + 1))
    for s in range(servers):
        served[:, s * classes : (s + 1) * classes] = np.diag(service[s])
        busy[s, s * classes : (s + 1) * classes] = 1.0
    busy[:, -1] = -1.0
    goal = np.zeros(servers * classes + 1)
    goal[-1] = 1.0
    for c in np.flatnonzero(flow > 0):
        require(bool(service[:, c].max() > 0), f"pools.*.rates.{names[c]}", "positive somewhere: requests arrive there", 0)
    from scipy.optimize import linprog  # slow to import

    found = linprog(goal, busy, np.zeros(servers), served, flow, bounds=[(0, None)] * (servers * classes + 1))
    load, binding = found.x[-1], pool[found.ineqlin.marginals < -1e-9]
    if load >= 1 - 1e-9:
        which = " and ".join(f"'{pools[p]}'" for p in sorted(set(binding.tolist())))
        plural = "s" if len(set(binding.tolist())) > 1 else ""
        raise PointsmanError(f"no policy keeps this network stable: the load of pool{plural} {which} is {load:.3f}, at least 1")
