"""Intervals of accuracies, and the moving average of a curve."""

import math
from collections.abc import Sequence

import numpy as np
import scipy.stats


def wilson(correct: int, images: int, z: float = 1.959964) -> tuple[float, float]:
    """(low, high) of Wilson's score interval of a proportion; the default z gives 95%."""
    p, scale = correct / images, 1 + z**2 / images
    middle = (p + z**2 / (2 * images)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / images + z**2 / (4 * images**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float, float]:
    """(low, difference, high) of two proportions, each given as (correct, images), at 95%.

    This is Newcombe's hybrid score interval (1998, method 10). It assumes independent samples. Two
    models that were tested on the same images mostly fail on the same ones, so for them the
    interval is too wide rather than too narrow.
    """
    (p_low, p_high), (q_low, q_high) = wilson(*one), wilson(*other)
    p, q = one[0] / one[1], other[0] / other[1]
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    return low, p - q, high


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and half its 95% interval by Student's t; None of fewer than two values."""
    n = len(values)
    if n < 2:
        return float(np.mean(values)), None
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    return float(np.mean(values)), error * float(scipy.stats.t.ppf(0.975, n - 1))


def mcnemar(one: int, other: int) -> float:
    """The two-sided p-value of McNemar's exact test.

    `one` counts the images that only the first model got right, `other` those that only the second
    did.
    """
    return float(scipy.stats.binomtest(one, one + other).pvalue) if one + other else 1.0


def moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over the `window` values before and after each, fewer at the ends.

    `values` float (N,); returns float64 (N,).
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, last = np.maximum(places - window, 0), np.minimum(places + window + 1, len(values))
    return (total[last] - total[first]) / (last - first)
