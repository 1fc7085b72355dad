"""Counter-based uniforms: pure, uniform, uncorrelated, the same in plain Python."""

import numpy as np
import pytest
from numba import njit
from scipy import stats

from pointsman.envs import noise


@njit
def table(keys, counters, columns):
    """Uniforms [keys, counters, columns]."""
    out = np.empty((keys, counters, columns))
    for k in range(keys):
        key = noise.episode_key(k, 0, 0)
        for r in range(counters):
            record = noise.mix(key, r)
            for c in range(columns):
                out[k, r, c] = noise.uniform(record, c)
    return out


SAMPLE = table(20, 500, 12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbours_along_every_level_of_the_key_are_uncorrelated(axis):
    moved = np.moveaxis(SAMPLE, axis, 0)
    r = np.corrcoef(moved[:-1].ravel(), moved[1:].ravel())[0, 1]
    assert abs(r) < 4.5 / np.sqrt(moved[1:].size)


def test_uniforms_pass_kolmogorov_smirnov_in_every_column():
    p = [stats.kstest(SAMPLE[:, :, c].ravel(), "uniform").pvalue for c in range(SAMPLE.shape[2])]
    assert min(p) > 1e-4
    assert SAMPLE.min() > 0
    assert SAMPLE.max() < 1


def test_exponential_and_normal_have_their_distributions():
    keys = [np.uint64(noise.mix(np.uint64(1), i)) for i in range(4000)]
    exponentials = [noise.exponential(key, 0) for key in keys]
    assert stats.kstest(exponentials, "expon").pvalue > 1e-4
    normals = [noise.normal(e, noise.uniform(key, 3)) for e, key in zip(exponentials, keys, strict=True)]
    assert stats.kstest(normals, "norm").pvalue > 1e-4


def test_logarithm_is_that_of_the_c_library():
    """Within 2 units in the last place, from the smallest uniform to 1."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.random(20_000), 10.0 ** -rng.uniform(0, 16, 20_000), 1.0 - 10.0 ** -rng.uniform(1, 15, 20_000)])
    exact = np.log(points)
    assert np.abs([noise.log(x) for x in points] - exact).max() < 1e-14
    assert (np.abs([noise.log(x) for x in points] - exact) <= 2 * np.spacing(np.abs(exact))).all()


def test_extreme_hashes_give_uniforms_strictly_inside():
    assert 0.5 * noise._UNIT > 0.0
    assert (2.0**52 - 1 + 0.5) * noise._UNIT < 1.0


def test_streams_of_seed_index_and_episode_are_distinct():
    keys = {int(noise.episode_key(s, i, e)) for s in range(10) for i in range(10) for e in range(10)}
    assert len(keys) == 1000


def test_known_value_of_splitmix64():
    """First outputs of splitmix64 seeded with 1234567, from its author's reference code."""
    assert [int(noise.mix(np.uint64(1234567), i)) for i in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]
