"""Ledger: families, prices, ratios and percentiles on hand-worked rows."""

import numpy as np
import pytest

from pointsman.envs.ledger import Ledger, Percentile, Ratio
from pointsman.errors import PointsmanError

LEDGER = Ledger(["abandoned/a", "abandoned/b", "arrived", "bucket/0", "bucket/1", "bucket/2", "illegal"])


def test_price_of_a_family_covers_its_classes_and_a_class_overrides_it():
    assert LEDGER.price_vector({"abandoned/b": 5, "abandoned": 2}).tolist() == [2, 5, 0, 0, 0, 0, 0]


def test_unknown_price_names_the_key_and_a_near_one():
    with pytest.raises(PointsmanError, match="'abandonned'.*abandoned"):
        LEDGER.price_vector({"abandonned": 1.0})


def test_infinite_price_is_an_error():
    with pytest.raises(PointsmanError, match=r"prices\.arrived"):
        LEDGER.price_vector({"arrived": float("inf")})


def test_ratio_sums_families_and_is_nan_without_a_denominator():
    ratio = Ratio(("abandoned",), ("arrived",))
    rows = np.array([[1, 2, 6, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]], float)
    assert ratio(LEDGER, rows)[0] == 0.5
    assert np.isnan(ratio(LEDGER, rows)[1])


@pytest.mark.parametrize(("level", "expected"), [(0.25, 0.0), (0.5, 0.0), (0.75, 5.0), (1.0, 10.0)])
def test_percentile_is_linear_inside_a_bucket(level, expected):
    """Ten values of exactly 0, ten spread evenly over 0 to 10."""
    percentile = Percentile("bucket", (0.0, 0.0, 10.0), level)
    assert percentile(LEDGER, np.array([0, 0, 0, 10, 10, 0, 0], float)) == pytest.approx(expected)


def test_percentile_in_the_open_bucket_is_its_lower_edge():
    assert Percentile("bucket", (0.0, 0.0, 10.0), 0.9)(LEDGER, np.array([0, 0, 0, 1, 1, 98, 0], float)) == 10.0
