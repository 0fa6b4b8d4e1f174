"""The best neighbour, and the nearest space that fits, of ViTs whose segments have own dimensions.

    python -m benchmarks.neighbour_search

One segment is the paper's n = 4; five are n = 16 and 43,046,720 neighbours. `neighbours.search` is
timed over gradients of all signs and shapes and budgets about the current size, `start.start` over
budgets down to 0.3 of it, for one and for two limits. Costed: spaces whose parameters and MACs were
counted, per call. Listing: `neighbours.candidates`.
"""

import itertools
import statistics
import time

import numpy as np

from benchmarks import timing
from s4jax.models import vit
from s4jax.search.budget import Budget
from s4jax.search.neighbours import candidates, search
from s4jax.search.space import Dimension, SearchSpace
from s4jax.search.start import start

GRADIENTS = {
    'positive': lambda rng, n: np.abs(rng.normal(size=n)),
    'mixed': lambda rng, n: rng.normal(size=n),
    'one dominant': lambda rng, n: rng.normal(size=n) + 10 * (np.arange(n) == rng.integers(n)),
    'nearly equal': lambda rng, n: 1 + 1e-3 * rng.normal(size=n),
    'equal': lambda rng, n: np.ones(n),
}


def space_of(segments: int) -> SearchSpace:
    dimensions = [Dimension('embed_dim', 336, 384, 24, floor=24)]
    for name, lower, upper, step in (
        ('depth', 2, 4, 1),
        ('num_heads', 4, 14, 2),
        ('mlp_ratio', 3.0, 4.0, 0.5),
    ):
        dimensions += [
            Dimension(f'{name}_{s}', lower, upper + step * (s % 3), step, per_block=name != 'depth')
            for s in range(1, segments + 1)
        ]
    return SearchSpace(tuple(dimensions), vit.stages(tuple(d.name for d in dimensions)))


class Size:
    """The costs of a space's largest architecture, counting how often they are asked for."""

    def __init__(self):
        self.asked = 0

    def __call__(self, space: SearchSpace) -> dict[str, int]:
        self.asked += 1
        arch = vit.architecture(space.largest(), image_size=224, classes=100)
        return {'params': vit.params(arch), 'macs': vit.macs(arch)}


def timed(call, *arguments) -> float:
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def budgets(space: SearchSpace, fractions: tuple[float, ...]) -> list[Budget]:
    """Each fraction of the current size, of the parameters alone and of parameters and MACs."""
    now = Size()(space)
    return [
        Budget(tuple((name, fraction * now[name]) for name in names))
        for fraction, names in itertools.product(fractions, (('params',), ('params', 'macs')))
    ]


def measure(segments: int, seeds: int) -> None:
    space, size, searched, started = space_of(segments), Size(), [], []
    n = len(space.dimensions)
    about_now = budgets(space, (1.001, 1.03, 0.95))
    for budget, draw, seed in itertools.product(about_now, GRADIENTS.values(), range(seeds)):
        z = tuple(draw(np.random.default_rng(seed), n))
        searched.append(timed(search, space, budget, size, z))
    costed, size.asked = size.asked / len(searched), 0
    for budget in budgets(space, (0.95, 0.85, 0.7, 0.5, 0.4, 0.3)):
        before = size.asked
        started.append((timed(start, space, budget, size, 'project'), size.asked - before))
    listing = timed(candidates, space, budget, size, z) if n <= 7 else None
    ratio = f'{statistics.median(searched) / listing:.3f}' if listing else '-'
    times, counts = zip(*started)
    print(
        f'{n:>2}{3**n - 1:>12,}{statistics.median(searched):>11.3f}{max(searched):>9.3f}'
        f'{costed:>9.0f}{ratio:>12}'
        f'{statistics.median(times):>13.3f}{max(times):>9.3f}{max(counts):>9}',
        flush=True,
    )


if __name__ == '__main__':
    print(timing.machine())
    print(
        f'{"n":>2}{"neighbours":>12}{"search: s":>11}{"worst":>9}{"costed":>9}{"/ listing":>12}'
        f'{"start: s":>13}{"worst":>9}{"costed":>9}'
    )
    for count in range(1, 6):
        measure(count, seeds=2)
