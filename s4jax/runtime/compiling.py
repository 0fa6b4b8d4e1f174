"""How long JAX compiles: counted apart, so that no rate of a training has it in it."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax.monitoring

TRACED = '/jax/core/compile/jaxpr_trace_duration'
LOWERED = '/jax/core/compile/jaxpr_to_mlir_module_duration'
COMPILED = '/jax/core/compile/backend_compile_duration'


class Compiling:
    """The time spent in tracing, lowering and compiling, as JAX reports it, by `clock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self._spans: list[tuple[float, float]] = []  # disjoint, in order
        self._began: float | None = None  # of the program that is compiled now

    def hear(self, event: str, duration_secs: float, **_: Any) -> None:
        """An event of jax.monitoring: it comes when its `duration_secs` are over."""
        if event not in (TRACED, LOWERED, COMPILED):
            return
        end = self.clock()
        start = end - duration_secs
        # what is traced inside of something else has been reported before it
        while self._spans and self._spans[-1][1] > start:
            start = min(start, self._spans.pop()[0])
        self._spans.append((start, end))
        self._began = end if event == LOWERED else None  # lowered: the compiler has it now

    @property
    def under_way(self) -> bool:
        """Whether a program is being compiled."""
        return self._began is not None

    def seconds(self, since: float) -> float:
        """The seconds of compilation from `since`, a time of the clock, until now."""
        spans = [*self._spans]
        if self._began is not None:
            spans.append((self._began, self.clock()))
        return sum(max(0.0, end - max(start, since)) for start, end in spans)


@functools.cache
def watch() -> Compiling:
    """The compilation of this process from the first call on."""
    result = Compiling()
    jax.monitoring.register_event_duration_secs_listener(result.hear)
    return result
