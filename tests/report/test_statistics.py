"""Intervals against published examples; the moving average against its definition."""

import numpy as np
import pytest

from s4jax.report.statistics import moving_average, newcombe, wilson


def test_intervals_are_the_published_ones():
    """Newcombe, Statistics in Medicine 17 (1998): 81 of 263 (857–872); 56 of 70 and 48 of 80
    (873–890)."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert newcombe((56, 70), (48, 80)) == pytest.approx((0.0524, 0.2, 0.3339), abs=5e-5)
    assert wilson(0, 20)[0] == 0 and wilson(20, 20)[1] == 1


def test_moving_average_is_the_mean_of_what_is_there():
    values = np.random.default_rng(0).normal(size=50)
    expected = [values[max(0, k - 3) : k + 4].mean() for k in range(50)]
    np.testing.assert_allclose(moving_average(values, 3), expected)
