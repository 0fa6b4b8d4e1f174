"""Why a space moved as it did, or stayed, in one sentence."""

from collections.abc import Sequence

from s4jax.report.drawing import signed
from s4jax.search.budget import Budget, readable
from s4jax.search.explore import Step
from s4jax.search.neighbours import Candidate
from s4jax.search.space import Dimension, Gamma, SearchSpace

# what a dimension becomes when it moves up, and when it moves down
WORDS = {
    'embed_dim': ('wider', 'narrower'),
    'num_heads': ('more heads', 'fewer heads'),
    'mlp_ratio': ('larger MLPs', 'smaller MLPs'),
}
NUMBERS = {1: 'one', 2: 'two', 3: 'three'}


def sentence(step: Step, space: SearchSpace, budget: Budget) -> str:
    """Why the search moved from `space`, or stayed there, as its candidates tell it."""
    if step.gamma is None:
        return _stayed(step, space, budget)
    found = {candidate.gamma: candidate for candidate in step.candidates}
    chosen = found[step.gamma]
    move, size = phrase(step.gamma, space), costs(chosen, budget)
    grown: Gamma = tuple(max(g, 0) for g in step.gamma)
    alone, closer = found.get(grown), _closest(step.candidates)
    legal = sum(c.rejected is None for c in step.candidates)
    of = f'of the {legal:,} legal neighbours' if _listed(step) else 'of all legal neighbours'
    if alone is not None and _too_large(alone, budget):
        less: Gamma = tuple(min(g, 0) for g in step.gamma)
        wanted = all(z < 0 for g, z in zip(step.gamma, step.z) if g < 0)
        pays = 'pays for it' if not wanted else 'pays for it and follows the gradient, too'
        text = (
            f'{phrase(grown, space)} alone would be {costs(alone, budget)}; {phrase(less, space)} '
            f'{pays}, at {size}: {of}, this trade is the closest to the gradient '
            f'(cosine {number(chosen.cosine)}).'
        )
    elif closer.cosine <= chosen.cosine:
        text = (
            f'{move} follows the gradient more closely than every other neighbour '
            f'(cosine {number(chosen.cosine)}), and fits: {size}.'
        )
    else:
        text = (
            f'{phrase(closer.gamma, space)} would be closer to the gradient (cosine '
            f'{number(closer.cosine)}), but {obstacle(closer, budget)}; {move} is the closest '
            f'{of} (cosine {number(chosen.cosine)}): {size}.'
        )
    if chosen.cosine < 0:
        text += ' It goes against the gradient: the space before it did not fit, and had to move.'
    return text[0].upper() + text[1:]


def _stayed(step: Step, space: SearchSpace, budget: Budget) -> str:
    """Why there is no move."""
    legal = [c for c in step.candidates if c.rejected is None]
    if not legal and _listed(step):
        over = sum(c.costs is not None for c in step.candidates)
        beyond = len(step.candidates) - over
        return (
            f'It stayed: none of the {len(step.candidates):,} neighbours is legal. The largest '
            f'model of {over:,} would be over the budget, and {beyond:,} would leave the limits of '
            'a dimension.'
        )
    if not legal:
        return 'It stayed: no neighbour is legal.'
    if not any(step.z):
        return (
            'It stayed: accuracy did not change along any dimension, so there is no direction to '
            'move in.'
        )
    top, closer = _closest(legal), _closest(step.candidates)
    text = (
        f'It stayed: even the closest legal neighbour, {phrase(top.gamma, space)}, goes against '
        f'the gradient (cosine {number(top.cosine)})'
    )
    if closer.cosine <= top.cosine:
        return f'{text}.'
    return (
        f'{text}; {phrase(closer.gamma, space)} would follow it (cosine {number(closer.cosine)}), '
        f'but {obstacle(closer, budget)}.'
    )


def _listed(step: Step) -> bool:
    """Whether the candidates are all neighbours, and not the two that decide."""
    return len(step.candidates) == 3 ** len(step.z) - 1


def _closest(candidates: Sequence[Candidate]) -> Candidate:
    """The one of the highest cosine; of equal ones a legal one, then the first direction."""
    return min(candidates, key=lambda c: (-round(c.cosine, 12), c.rejected is not None, c.gamma))


def _too_large(candidate: Candidate, budget: Budget) -> bool:
    return candidate.costs is not None and not budget.fits(candidate.costs, strict=True)


def obstacle(candidate: Candidate, budget: Budget) -> str:
    """Why a neighbour is not legal."""
    if candidate.costs is None:
        return str(candidate.rejected)
    return f'its largest model would be {costs(candidate, budget)}'


def costs(candidate: Candidate, budget: Budget) -> str:
    """A largest model's costs beside their limits; of one that is over, only what is too much."""
    known = candidate.costs or {}
    pairs = [(name, known[name], limit) for name, limit in budget.limits if name in known]
    over = [pair for pair in pairs if pair[1] >= pair[2]]
    parts = (f'{exact(cost, limit)} of {readable(limit)} {n}' for n, cost, limit in over or pairs)
    return ', '.join(parts) or 'no limit'


def exact(cost: float, limit: float) -> str:
    """A cost in short, or in full where it would read like the limit."""
    short = readable(cost)
    return f'{cost:,.15g}' if short == readable(limit) and cost != limit else short


def phrase(gamma: Gamma, space: SearchSpace) -> str:
    """A move in words: wider (embed_dim +8) and one block less (depth −1)."""
    parts = [one(steps, d) for steps, d in zip(gamma, space.dimensions) if steps]
    return ' and '.join([', '.join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def one(steps: int, dimension: Dimension) -> str:
    """A move along one dimension."""
    amount = abs(steps) * dimension.tau
    shift = f'{dimension.name} {signed(steps)[0]}{readable(amount)}'
    if dimension.base == 'depth':
        count = NUMBERS.get(int(amount), readable(amount))
        blocks = 'block' if amount == 1 else 'blocks'
        return f'{count} {blocks} {"more" if steps > 0 else "less"} ({shift})'
    if dimension.base in WORDS:
        return f'{WORDS[dimension.base][steps < 0]} ({shift})'
    return shift


def number(cosine: float) -> str:
    return f'{cosine:.2f}'.replace('-', '−')
