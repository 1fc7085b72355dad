"""Named networks: each function gives the classes, pools and prices that its parameters stand for."""

from collections.abc import Callable
from typing import Any

from pointsman.envs.checks import number, numbers, require

Network = dict[str, dict[str, Any]]
"""classes, pools and prices, in the form of QueueingConfig."""


def criss_cross(arrival_rate: float, mu2: float) -> Network:
    """Two stations in the manner of Harrison and Wein (1989): server 1 chooses between classes 1 and 3."""
    return {
        "classes": {"1": {"arrival_rate": arrival_rate, "next": "2"}, "2": {}, "3": {"arrival_rate": arrival_rate}},
        "pools": {"server1": {"rates": {"1": 2.0, "3": 2.0}}, "server2": {"rates": {"2": mu2}}},
        "prices": {"in_system": 1.0},
    }


def n_model(rho: float) -> Network:
    """Two servers of which the second can help the first, at half the speed."""
    return {
        "classes": {"1": {"arrival_rate": 1.3 * rho}, "2": {"arrival_rate": 0.4 * rho}},
        "pools": {"server1": {"rates": {"1": 1.0}}, "server2": {"rates": {"1": 0.5, "2": 1.0}}},
        "prices": {"in_system/1": 3.0, "in_system/2": 1.0},
    }


def slow_server(arrival_rate: float, mu_slow: float, mu_fast: float = 1.0) -> Network:
    """A fast server that never idles and a slow one that may (Lin and Kumar 1984); a started request stays."""
    return {
        "classes": {"request": {"arrival_rate": arrival_rate}},
        "pools": {
            "fast": {"rates": {"request": mu_fast}, "may_idle": False},
            "slow": {"rates": {"request": mu_slow}, "may_idle": True},
        },
        "prices": {"in_system": 1.0},
    }


def multiclass(arrival_rates: list[float], service_rates: list[float], holding_costs: list[float]) -> Network:
    """One server and several classes: preemptive priorities."""
    number_of = len(arrival_rates)
    names = [str(k + 1) for k in range(number_of)]
    rates = dict(zip(names, numbers("service_rates", service_rates, number_of, strict=True).tolist(), strict=True))
    costs = numbers("holding_costs", holding_costs, number_of).tolist()
    return {
        "classes": {name: {"arrival_rate": rate} for name, rate in zip(names, arrival_rates, strict=True)},
        "pools": {"server": {"rates": rates}},
        "prices": {f"in_system/{name}": cost for name, cost in zip(names, costs, strict=True)},
    }


def trunk_reservation(servers: int, arrival_rates: list[float], rewards: list[float]) -> Network:
    """A loss system with two classes of different worth, admitted or refused (Miller 1969); service at rate 1."""
    arrivals, worth = numbers("arrival_rates", arrival_rates, 2).tolist(), numbers("rewards", rewards, 2).tolist()
    return {
        "classes": {"high": {"arrival_rate": arrivals[0]}, "low": {"arrival_rate": arrivals[1]}},
        "pools": {"servers": {"servers": servers, "rates": {"high": 1.0, "low": 1.0}}},
        "prices": {"admitted/high": -worth[0], "admitted/low": -worth[1]},
    }


def admission(arrival_rate: float, service_rate: float, reward: float, holding_cost: float) -> Network:
    """One server; each request let in earns a reward and costs its time in the system (Naor 1969)."""
    return {
        "classes": {"request": {"arrival_rate": arrival_rate}},
        "pools": {"server": {"rates": {"request": service_rate}}},
        "prices": {"admitted": -reward, "in_system": holding_cost},
    }


def reentrant(stations: int) -> Network:
    """Stations in a line, each serving three classes, with a loop back to the first station (Bertsimas et al. 2015)."""
    require(2 <= stations <= 7, "stations", "between 2 and 7", stations)
    classes: dict[str, Any] = {str(c): {"next": str(c + 3)} for c in range(1, 3 * stations + 1)}
    classes["1"]["arrival_rate"] = classes["3"]["arrival_rate"] = 9 / 140
    classes[str(3 * stations - 2)]["next"] = "2"
    classes[str(3 * stations - 1)]["next"] = classes[str(3 * stations)]["next"] = None
    odd, even = (1 / 8, 1 / 2, 1 / 4), (1 / 6, 1 / 7, 1.0)
    pools = {}
    for k in range(1, stations + 1):
        speeds = odd if k % 2 else even
        pools[f"station{k}"] = {"rates": {str(3 * k - 2 + j): speed for j, speed in enumerate(speeds)}}
    return {"classes": classes, "pools": pools, "prices": {"in_system": 1.0}}


NETWORKS: dict[str, Callable[..., Network]] = {
    function.__name__: function
    for function in (criss_cross, n_model, slow_server, multiclass, trunk_reservation, admission, reentrant)
}
PARAMETERS = (
    "arrival_rate", "arrival_rates", "service_rate", "service_rates", "holding_cost", "holding_costs", "reward", "rewards",
    "servers", "mu2", "mu_fast", "mu_slow", "rho", "stations",
)  # fmt: skip
"""Configuration keys that are parameters of named networks."""


def checked(key: str, value: Any) -> Any:
    """A parameter that is a positive number, or a list of such."""
    if isinstance(value, list):
        return numbers(key, value).tolist()
    return value if key in ("servers", "stations") else number(key, value, strict=key not in ("reward", "holding_cost"))
