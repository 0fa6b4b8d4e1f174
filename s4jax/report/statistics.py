"""Intervals of accuracies, and the moving average of a curve."""

import math

import numpy as np


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


def moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over the `window` values before and after each, fewer at the ends.

    `values` float (N,); returns float64 (N,).
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, last = np.maximum(places - window, 0), np.minimum(places + window + 1, len(values))
    return (total[last] - total[first]) / (last - first)
