"""The costs of an architecture, by name: what a budget can limit."""

import hashlib
import importlib.util
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from s4jax.config import Config
from s4jax.errors import UsageError
from s4jax.latency import TABLE, Latency
from s4jax.models import COSTS
from s4jax.search.space import Architecture

Cost = Callable[[Any], float]
LATENCY, OWN = 'latency_ms', 'own'


def costs_of(
    config: Config,
    family: Any,
    example: Callable[[Any], Any],
    workdir: pathlib.Path,
    say: Callable[[str], None],
) -> Mapping[str, Cost]:
    """Parameters, multiply-accumulates, and the costs that the config asks for.

    `example(arch)` gives a model's inputs for one image; the table of latencies begins with what
    the workdir, or the run that is searched again, knows. Where dimensions of single stages are
    searched, a cost must be a sum over the stages of a space.
    """
    found: dict[str, Cost] = {name: getattr(family, name) for name in COSTS}
    if config.budget.latency_ms is not None:
        latency = found[LATENCY] = Latency(family, example, config.latency, config.dtype, say)
        for folder in (config.search.source, workdir):
            if folder is not None:
                latency.read(pathlib.Path(folder) / TABLE)
    if config.cost.file is not None:
        found[OWN] = of_file(config.cost.file)
    return found


def keep(costs: Mapping[str, Cost], workdir: pathlib.Path) -> None:
    """From now on, what is measured is written to the workdir."""
    latency = costs.get(LATENCY)
    if isinstance(latency, Latency):
        latency.keep(workdir / TABLE)


def digest(path: str) -> str:
    """Of the file of a cost: another file is another run."""
    return hashlib.blake2b(_file(path).read_bytes(), digest_size=16).hexdigest()


def of_file(path: str) -> Cost:
    """The function `cost` of a Python file; whatever is wrong with it is one line."""
    spec = importlib.util.spec_from_file_location('own_cost', _file(path))
    if spec is None or spec.loader is None:
        raise UsageError(f'config.cost.file={path} is no Python file')
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f'config.cost.file={path}: {type(error).__name__}: {error}') from None
    function = getattr(module, 'cost', None)
    if not callable(function):
        raise UsageError(f'config.cost.file={path} has no function cost(architecture)')

    def cost(arch: Architecture) -> float:
        try:
            value = float(function(arch))
        except Exception as error:
            raise UsageError(
                f'config.cost.file={path}: cost({arch}): {type(error).__name__}: {error}'
            ) from None
        if not math.isfinite(value) or value < 0:
            raise UsageError(
                f'config.cost.file={path}: cost({arch}) is {value}: it must be a number from 0'
            )
        return value

    return cost


def _file(path: str) -> pathlib.Path:
    file = pathlib.Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f'config.cost.file={path} is no file')
    return file
