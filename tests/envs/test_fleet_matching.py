"""The compiled matching against scipy's, and the rules that use it on hand-made positions."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from pointsman.envs.fleet.matching import Room, match, match_rows


def best_total(gain):
    """By scipy: whoever stays alone gains 0."""
    rows, columns = linear_sum_assignment(gain.clip(0), maximize=True)
    return gain.clip(0)[rows, columns].sum()


@pytest.mark.parametrize("whole", [False, True], ids=["real", "ties"])
def test_matching_is_as_good_as_scipys(whole):
    rng = np.random.default_rng(0)
    room = Room.of_size(9, 7)
    for _ in range(400):
        n, m = rng.integers(1, 10), rng.integers(0, 8)
        gain = rng.normal(0.5, 2.0, (n, m))
        gain = np.round(gain) if whole else gain
        room.gain[:n, :m] = gain
        match.py_func(room, n, m)
        given = room.of[1 : m + 1]
        assert sorted(room.of[1 : n + m + 1][room.of[1 : n + m + 1] > 0]) == list(range(1, n + 1))
        total = sum(gain[request - 1, v] for v, request in enumerate(given) if request > 0)
        assert total == pytest.approx(best_total(gain), abs=1e-9)


def test_what_is_left_of_a_best_matching_is_a_best_matching():
    """Requests are at hand one after the other: taking each one's vehicle in turn gives the total of the whole matching."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        requests, vehicles = 6, 5
        at, place = rng.random((2, 1, requests)) * 10, rng.random((2, 1, vehicles)) * 10
        idle, here = np.ones((1, vehicles), bool), np.ones((1, requests), bool)
        gain = 4.0 - np.hypot(at[0, 0][:, None] - place[0, 0], at[1, 0][:, None] - place[1, 0])
        total, chosen = 0.0, np.zeros(1, np.int64)
        for r in range(requests):
            room = Room.of_size(requests - r, vehicles)
            rest = [np.ascontiguousarray(a[:, r:]) for a in (here, at[0], at[1])]
            match_rows(room, place[0], place[1], idle, *rest, np.full((1, requests - r), 4.0), np.ones(1), chosen)
            if chosen[0] >= 0:
                total += gain[r, chosen[0]]
                idle[0, chosen[0]] = False
        assert total == pytest.approx(best_total(gain), abs=1e-9)
