"""Timing of alternatives in one run: interleaved, so that a drifting machine affects all alike."""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp


def interleaved(alternatives: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of a call of each alternative, called in turn after one call that compiles."""
    for call in alternatives.values():
        jax.block_until_ready(call())
    seconds = {name: [] for name in alternatives}
    for _ in range(rounds):
        for name, call in alternatives.items():
            began = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def matmul_rate(dtype=jnp.float32, size: int | None = None) -> float:
    """FLOP/s of a plain square matmul on this device: the limit that steps are compared with."""
    size = size or (2048 if jax.default_backend() == 'cpu' else 8192)
    a = jnp.ones((size, size), dtype)
    multiply = jax.jit(jnp.matmul)
    return 2 * size**3 / interleaved({'matmul': lambda: multiply(a, a)}, 7)['matmul']


def machine() -> str:
    """Device, cores and versions, to stand beside every table."""
    import os
    import platform

    import flax

    return (
        f'{jax.devices()[0].device_kind} × {jax.device_count()}, {os.cpu_count()} cores, '
        f'Python {platform.python_version()}, jax {jax.__version__}, flax {flax.__version__}'
    )
