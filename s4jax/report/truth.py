"""A supernet held against architectures that were trained alone: three tables.

Ranks (Kendall's τ beside its ceiling), the gradient along every dimension, and the spaces around.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import scipy.stats

from s4jax.report.comparison.tables import Table
from s4jax.report.statistics import mean_interval
from s4jax.search.explore import NORMAL, Slopes, Step
from s4jax.search.neighbours import Candidate, best, cosine
from s4jax.search.space import SearchSpace

RESAMPLED = 2000  # times, for an interval
COSTS = ('params', 'macs')
CEILING = 'one training alone with another'
Statistic = Callable[[np.ndarray], float]  # a number of the architectures of some rows


def tau(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's τ-b; 0 where all values of one are equal."""
    found = float(scipy.stats.kendalltau(one, other).statistic)
    return found if np.isfinite(found) else 0.0


def resampled(statistic: Statistic, count: int) -> tuple[float, float, float]:
    """(value, low, high) of `statistic(rows)`: the 95% percentile bootstrap over `count` rows."""
    rng = np.random.default_rng(0)
    drawn = [statistic(rng.integers(count, size=count)) for _ in range(RESAMPLED)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return statistic(np.arange(count)), float(low), float(high)


def against(one: np.ndarray, other: np.ndarray) -> Statistic:
    """τ of two sets of values (N,)."""
    return lambda rows: tau(one[rows], other[rows])


def less(one: Statistic, other: Statistic) -> Statistic:
    return lambda rows: one(rows) - other(rows)


def ceiling(values: np.ndarray) -> Statistic:
    """τ of independent trainings (N, R) of the same architectures, the mean over their pairs."""
    pairs = list(itertools.combinations(values.T, 2))
    return lambda rows: float(np.mean([tau(one[rows], other[rows]) for one, other in pairs]))


def ranks_table(alone: Mapping[str, np.ndarray], estimates: Mapping[str, np.ndarray]) -> Table:
    """τ of each estimate against the mean of the repeats, beside the τ of the repeats.

    `alone` holds by kind of value those (N, R) of N architectures of which each was trained alone R
    times; `estimates` by name those (N,) that need no training, with the costs ('params', …).
    """
    count, repeats = next(iter(alone.values())).shape
    means = [values.mean(1) for values in alone.values()]

    def row(name: str, *each: Statistic) -> list[str]:
        return [name, *(shown(*resampled(statistic, count)) for statistic in each)]

    rows = [row(name, *(against(v, mean) for mean in means)) for name, v in estimates.items()]
    for name, values in estimates.items():
        if name not in COSTS:
            own = name.partition(': ')[2]  # of another run's supernet: beside that of the run
            beside, words = (own, 'the run') if own in estimates else ('params', 'params')
            both = [(against(values, m), against(estimates[beside], m)) for m in means]
            rows.append(row(f'{name}, less {words}', *(less(*pair) for pair in both)))
    if repeats > 1:
        rows.append(row(CEILING, *map(ceiling, alone.values())))
    text = (
        f"Kendall's τ of {count} architectures against the mean of {repeats} "
        f'training{"s" * (repeats > 1)} alone, with 95% bootstrap intervals over architectures.'
    )
    if repeats > 1:
        text += ' The last row is the ceiling: how well one training alone predicts another one.'
    return Table('Ranks', text, ['τ of', *(f'with {kind} alone' for kind in alone)], rows)


def gradient_table(space: SearchSpace, step: Step, alone: Slopes) -> Table:
    """The explorer's gradient of a space beside that of architectures trained alone."""
    scale = [d.tau for d in space.dimensions]
    ours, our_error, theirs, their_error = (
        np.multiply(values, scale)
        for values in (step.slopes.mean, step.slopes.error, alone.mean, alone.error)
    )
    same = np.sign(ours) == np.sign(theirs)
    known = (np.abs(theirs) > NORMAL * their_error) & (their_error > 0)
    rows = [
        [
            name,
            points(ours[k], our_error[k]),
            points(theirs[k], their_error[k]),
            ('yes' if same[k] else 'no') + ('' if known[k] else ', within the noise'),
        ]
        for k, name in enumerate(space.names)
    ]
    rng, shape = np.random.default_rng(0), (RESAMPLED, len(ours))
    pairs = zip(rng.normal(ours, our_error, shape), rng.normal(theirs, their_error, shape))
    low, high = np.quantile([cosine(one, other) for one, other in pairs], (0.025, 0.975))
    text = (
        f'Accuracy in percentage points per move, with standard errors: by the supernet '
        f'({step.slopes.pairs} pairs a dimension) and alone ({alone.pairs} pairs). Cosine of the '
        f'two: {shown(cosine(ours, theirs), float(low), float(high))}, its interval by normal '
        f'errors. Of {known.sum()} true slopes that differ from 0, the supernet has the sign of '
        f'{(known & same).sum()}.{_chosen(step.candidates, theirs)}'
    )
    return Table('Accuracy gradient', text, ['dimension', 'supernet', 'alone', 'same sign'], rows)


def _chosen(candidates: Sequence[Candidate], truth: np.ndarray) -> str:
    """What the true gradient says of the move that is nearest the supernet's."""
    chosen = best(candidates)
    if chosen is None:
        return ' No neighbour is legal.'
    true = {c.gamma: cosine(c.gamma, truth) for c in candidates if c.rejected is None}
    mine = true[chosen.gamma]
    place = 1 + sum(value > mine for value in true.values())
    return (
        f" By the true gradient the explorer's choice has a cosine of {mine:.2f} and is number "
        f'{place} of {len(true)} legal moves.'
    )


def spaces_table(
    origin: SearchSpace, around: Sequence[tuple[Candidate | None, np.ndarray]]
) -> Table:
    """The mean accuracy of the architectures of a space and of its neighbours, trained alone.

    `around` holds the move to each space (None first: the space itself; then the one that the
    explorer chooses) and the accuracies (N,) of its architectures.
    """
    (_, here), *others = around
    rows = [['the space itself', '', accuracy(here), '']]
    for place, (move, values) in enumerate(others):
        assert move
        gain = scipy.stats.ttest_ind(values, here, equal_var=False).confidence_interval(0.95)
        sure = gain.low > 0 or gain.high < 0
        difference = 100 * (values.mean() - here.mean())
        rows.append(
            [
                described(origin, move) + ('' if place else ' (chosen)'),
                f'{move.cosine:.2f}',
                accuracy(values),
                f'{difference:+.2f} [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]'
                + ('' if sure else ', within the noise'),
            ]
        )
    text = (
        f'Mean accuracy of {len(here)} architectures of each space, drawn uniformly and trained '
        'alone, with 95% intervals; the difference from the space itself in percentage points, '
        "with Welch's interval; the cosine of the move to the supernet's gradient."
    )
    return Table('Spaces', text, ['space', 'cosine', 'accuracy', 'difference'], rows)


def accuracy(values: np.ndarray) -> str:
    mean, half = mean_interval(values.tolist())
    return f'{mean:.2%}' if half is None else f'{mean:.2%} ± {100 * half:.2f}'


def described(space: SearchSpace, move: Candidate) -> str:
    """A move in words: embed_dim +1, depth −1."""
    parts = [
        f'{name} {"+" if step > 0 else "−"}{abs(step)}'
        for name, step in zip(space.names, move.gamma)
        if step
    ]
    return ', '.join(parts)


def shown(value: float, low: float, high: float) -> str:
    return f'{value:.2f} [{low:.2f}, {high:.2f}]'


def points(value: float, error: float) -> str:
    return f'{100 * value:+.2f} ± {100 * error:.2f}'
