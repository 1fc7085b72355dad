"""The race to 2 % of the optimum: its clocks, its exact costs, and the choice among the trials."""

import json

import pytest

import pointsman
from pointsman.scripts.bench import race, search

TINY = {"num_envs": 16, "rollout_steps": 16, "minibatch": 128, "epochs": 1, "total_steps": 512}


class Clocks:
    """Time that passes when it is told to: the clock runs twice as fast as the processor works."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(race.time, "time", lambda: 1000.0 + 2.0 * self.now)
        monkeypatch.setattr(race.time, "process_time", lambda: self.now)


def test_a_look_stops_the_clocks(monkeypatch):
    """Looks at 1 s and 4 s of training take 5 s each, which count for nothing; at 1.01 s it is too early for one."""
    clocks, gaps = Clocks(monkeypatch), iter([0.5, 0.03, 0.019])

    def gap(policy):
        clocks.now += 5.0
        return next(gaps)

    watch = race.Watch(gap, begun=1000.0, limit=100.0)
    clocks.now = 1.0
    watch.look(10, lambda: None)
    assert watch.finish == race.Finish(2.0, 1.0, 10, 0.5, 0.5)
    clocks.now = 6.01
    watch.look(11, lambda: None)
    assert watch.finish.steps == 10
    clocks.now = 9.0
    watch.look(40, lambda: None)
    assert watch.finish == race.Finish(8.0, 4.0, 40, 0.03, 0.03)
    clocks.now = 20.0
    with pytest.raises(race.RaceOver):
        watch.look(70, lambda: None)
    assert watch.finish == race.Finish(20.0, 10.0, 70, 0.019, 0.019)


def test_a_run_is_given_up_at_its_limit(monkeypatch):
    clocks = Clocks(monkeypatch)
    watch = race.Watch(lambda policy: 0.3, begun=1000.0, limit=10.0)
    clocks.now = 10.5
    with pytest.raises(race.RaceOver):
        watch.look(5, lambda: None)
    assert watch.finish.gap == 0.3


@pytest.mark.parametrize("side", race.SIDES)
@pytest.mark.parametrize("name", list(race.SETTINGS))
def test_no_policy_costs_less_than_the_optimum(name, side):
    """Policies of 512 decisions; stable-baselines3's know no masks, and what they may not do must not pass for free."""
    settings = search.START[side] | TINY
    optimum = pointsman.solve(name, **race.SETTINGS[name]).average_cost
    end = race.one(side, name, settings, 0, optimum, limit=1e9, begun=0.0)
    assert -1e-6 <= end.gap < 100
    assert end.steps == 512


def test_the_least_mean_over_all_seeds_is_chosen(tmp_path, monkeypatch):
    """One that was lucky on the first seed loses to one that is good on three; one with a single seed is not chosen."""
    file = tmp_path / "trials.csv"
    monkeypatch.setattr(search, "TRIALS", file)
    lines = [",".join(search.FIELDS)]
    for settings, times in (({"a": 1}, (2.0, 9.0, 9.0)), ({"a": 2}, (4.0, 4.0, 5.0)), ({"a": 3}, (3.0,))):
        text = json.dumps(settings).replace('"', '""')
        lines += [f'dispatch/mini,pointsman,0,{seed},{seconds},0.01,"{text}"' for seed, seconds in enumerate(times)]
    file.write_text("\n".join(lines) + "\n")
    assert search.chosen("dispatch/mini", "pointsman") == {"a": 2}
