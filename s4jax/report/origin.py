"""Where the winner of an evolution came from.

The record holds no parents. What it holds is enough: every generation is bred from the best before
it, so that the parents are among them.
"""

import itertools
from collections.abc import Iterator, Sequence

from s4jax.search.budget import readable
from s4jax.search.evolve import Evolution, Member, rank
from s4jax.search.space import Choices

MOST = 6  # choices that are listed


def origin(evolution: Evolution, parents: int) -> str:
    """The winner's way of breeding, its generation, and how it differs from possible parents."""
    best = evolution.best
    generation = f'generation {best.generation}'
    if best.origin == 'random':
        first = (
            'before anything was bred' if best.generation == 0 else 'beside those that were bred'
        )
        return f'The winner was drawn at random in {generation}, {first}.'
    pool = rank([m for m in evolution.members if m.generation < best.generation])[:parents]
    text = f'The winner is a {best.origin} of {generation}'
    if not pool:
        return f'{text}.'
    if best.origin == 'crossover':
        pair = _parents(pool, best.choices)
        if pair:
            one, other = (f'{m.accuracy:.2%} (generation {m.generation})' for m in pair)
            return (
                f'{text}: each of its choices is that of one of two of the {len(pool)} best before '
                f'it, with {one} and {other}.'
            )
    nearest = min(pool, key=lambda m: sum(1 for _ in differences(m.choices, best.choices)))
    changed = list(differences(nearest.choices, best.choices))
    more = f' and {len(changed) - MOST} more' if len(changed) > MOST else ''
    return (
        f'{text}. Of the {len(pool)} best before it, from which that generation was bred, the '
        f'nearest had {nearest.accuracy:.2%} (generation {nearest.generation}) and differs in '
        f'{", ".join(changed[:MOST])}{more}.'
    )


def _parents(pool: Sequence[Member], child: Choices) -> tuple[Member, Member] | None:
    """The best two of a pool that have all choices of a child between them, or None."""
    for one, other in itertools.combinations_with_replacement(pool, 2):
        if _between(child, one.choices, other.choices):
            return one, other
    return None


def _between(child: Choices, one: Choices, other: Choices) -> bool:
    """Whether every choice of the child, block by block, is one of its two parents'."""
    for name, value in child.items():
        genes = [c[name] if isinstance(value, tuple) else (c[name],) for c in (child, one, other)]
        if len(set(map(len, genes))) > 1:
            return False
        if any(gene not in (a, b) for gene, a, b in zip(*genes)):
            return False
    return True


def differences(before: Choices, after: Choices) -> Iterator[str]:
    """Each choice that differs, in words; blocks that only one of the two has count as one."""
    for name, value in after.items():
        known = before[name]
        if not isinstance(value, tuple):
            if known != value:
                yield f'{name} {readable(known)} → {readable(value)}'
            continue
        for k, (old, new) in enumerate(zip(known, value), start=1):
            if old != new:
                yield f'{name} of block {k}: {readable(old)} → {readable(new)}'
        if len(known) < len(value):
            new = ', '.join(map(readable, value[len(known) :]))
            yield f'{name} of the new blocks: {new}'
