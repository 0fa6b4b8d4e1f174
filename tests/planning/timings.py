"""Timings of a machine that there is not."""

from s4jax.planning.timing import Timed, Timings

MASKED = Timed(0.002, 30.0, 10**9, 1, 0.5, 10**6)
SLICED = Timed(0.001, 300.0, 10**9, 3, 0.5, 10**6)
TIMINGS = Timings(
    {'masked': MASKED, 'sliced': SLICED},
    Timed(0.0001, 10.0, 10**8),
    Timed(0.001, 20.0, 10**9, 1, 0.5, 10**6),
    Timed(0.0008, 20.0, 10**9, 1, 0.5, 10**6),
)
