"""Random search problems in plain arithmetic, and their answers by brute force."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np

from s4jax.models import vit
from s4jax.search.budget import Budget
from s4jax.search.space import Dimension, SearchSpace


@dataclasses.dataclass(frozen=True)
class Problem:
    """A space, a budget, and its costs in plain arithmetic.

    `cost` maps upper bounds (spaces, dimensions) to costs (spaces, limits).
    """

    space: SearchSpace
    budget: Budget
    cost: Any

    def size(self, space):
        (costs,) = self.cost(np.array([[d.upper for d in space.dimensions]], float))
        names = [name for name, _ in self.budget.limits]
        return dict(zip(names, map(float, costs))) | {'unlimited': 1.0}

    def arrays(self, gammas):
        """Which of `gammas` a dimension of one choice, a floor or a ceiling forbids, and all costs.

        Without the code under test.
        """
        dimensions, gammas = self.space.dimensions, np.asarray(gammas, float)
        lower, upper, tau, floor = (
            np.array([getattr(d, n) for d in dimensions], float)
            for n in ('lower', 'upper', 'tau', 'floor')
        )
        ceiling = np.array([np.inf if d.ceiling is None else d.ceiling for d in dimensions])
        stays = (gammas != 0) & (lower == upper)
        below, above = lower + gammas * tau < floor - 1e-9, upper + gammas * tau > ceiling + 1e-9
        return stays, below, above, self.cost(upper + gammas * tau)

    def legal(self, gammas):
        stays, below, above, costs = self.arrays(gammas)
        fits = np.all(costs < [limit for _, limit in self.budget.limits], 1)
        return ~np.any(stays | below | above, 1) & fits


def stages_cost(rng, dimensions, stages, shared, limits, monotone):
    """A random cost that is a sum over stages while the first `shared` dimensions are held."""
    weights = rng.uniform(0.5, 2, (limits, dimensions))
    powers = rng.integers(1, 4, dimensions)

    def cost(upper):
        columns = []
        for w in weights:
            terms = w * upper**powers
            own = [np.prod(1 + terms[:, shared + s :: stages] / 9, 1) for s in range(stages)]
            whole = np.prod(1 + terms[:, :shared] / 9, 1)
            if not monotone:
                own = [x * (1.5 + np.sin(40 * x)) for x in own]
                whole = whole * (1.5 + np.sin(40 * whole))
            columns.append(whole * np.sum(own, 0) if stages else whole)
        return np.stack(columns, 1)

    return cost


def random_problem(rng, n, stages, limits=1, monotone=True, tightness=None):
    """n dimensions, those beyond the first 1–2 (all without stages) of single stages."""
    shared = min(n - 1, int(rng.integers(1, 3))) if stages else n
    dimensions = []
    for k in range(n):
        name = f'shared {k}' if k < shared else f'own {k}_{(k - shared) % stages + 1}'
        low, count = int(rng.integers(1, 5)), int(rng.choice([0, 1, 2, 3], p=[0.1, 0.3, 0.3, 0.3]))
        step = float(rng.choice([1, 0.5]))
        ceiling = (low + count + rng.integers(0, 2)) * step if rng.random() < 0.2 else None
        dimensions.append(Dimension(name, low * step, (low + count) * step, step, ceiling=ceiling))
    space = SearchSpace(tuple(dimensions), ((1, None),) * max(stages, 1))
    cost = stages_cost(rng, n, stages, shared, limits, monotone)
    (now,) = cost(np.array([[d.upper for d in dimensions]], float))
    tightness = (
        rng.choice([0.6, 0.9, 1.0, 1.01, 1.2, 3.0], size=limits) if tightness is None else tightness
    )
    budget = tuple((f'cost {i}', float(limit)) for i, limit in enumerate(now * tightness))
    return Problem(space, Budget(budget), cost)


def random_z(rng, n):
    kind = rng.integers(9)
    z = rng.normal(size=n)
    if kind == 0:
        z = np.abs(z)
    elif kind == 1:
        z = -np.abs(z)
    elif kind == 2:
        z = np.ones(n) * rng.choice([-1, 1])  # ties everywhere
    elif kind == 3:
        z = 1 + 1e-3 * z
    elif kind == 4:
        z[rng.integers(n)] *= 30
    elif kind == 5:
        z = rng.integers(-2, 3, size=n).astype(float)  # ties and zero components
    elif kind == 8:
        z = rng.integers(-7, 8, size=n) / 10  # ties but for rounding: 0.1 + 0.7 < 0.3 + 0.5
    elif kind == 6:
        z = z * (rng.random(n) < 0.5)
    return tuple(map(float, z)) if rng.random() > 0.03 else (0.0,) * n


def all_gammas(n):
    return np.array([g for g in itertools.product((-1, 0, 1), repeat=n) if any(g)])


def brute_best(problem, z, gammas):
    """(gamma, cosine) of Eq. 6, or None: equal cosines by lexicographic gamma."""
    legal = gammas[problem.legal(gammas)]
    if not len(legal):
        return None
    lengths = np.sqrt((legal**2).sum(1)) * math.hypot(*z)
    cosines = legal @ z / np.where(lengths, lengths, 1)
    tied = legal[cosines >= cosines.max() - 1e-12]
    return min(map(tuple, tied.tolist())), cosines.max()


def vit_space(segments):
    dimensions = [Dimension('embed_dim', 336, 384, 24, floor=24)]
    for name, low, high, step in (
        ('depth', 2, 3, 1),
        ('num_heads', 2, 8, 2),
        ('mlp_ratio', 3.5, 4.0, 0.5),
    ):
        dimensions += [
            Dimension(f'{name}_{s}', low + shift, high + shift, step, per_block=name != 'depth')
            for s, shift in zip(range(1, segments + 1), itertools.cycle((step, 0)))
        ]
    return SearchSpace(tuple(dimensions), vit.stages(tuple(d.name for d in dimensions)))


def vit_params(uppers, segments, classes=100):
    """The closed form of DESIGN.md, section 5, at 224/16."""
    d = uppers[:, 0]
    total = 967 * d + 2 * d + classes * (d + 1)
    for depth, heads, ratio in (uppers[:, 1 + s :: segments].T for s in range(segments)):
        hidden = np.floor(d * ratio)
        total += depth * (6 * d + 256 * heads * d + 192 * heads + 7680 + 2 * hidden * d + hidden)
    return total[:, None]


def vit_problem(segments, tightness):
    space = vit_space(segments)
    now = vit_params(np.array([[d.upper for d in space.dimensions]], float), segments)[0, 0]
    return Problem(
        space, Budget((('params', tightness * now),)), lambda uppers: vit_params(uppers, segments)
    )


def vit_size(space):
    return {'params': vit.params(vit.architecture(space.largest(), image_size=224, classes=100))}


def two_dimensions(limit=1e9):
    space = SearchSpace(
        (Dimension('embed_dim', 336, 384, 24), Dimension('mlp_ratio', 3.5, 4.5, 0.5)), ((1, None),)
    )
    budget = Budget((('params', limit),))
    return space, budget, lambda s: {'params': math.prod(s.largest().values())}


def frozen(choices):
    return tuple(choices.items())
