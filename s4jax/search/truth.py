"""What of a space is trained alone, so that its supernet can be held against the truth."""

from collections.abc import Sequence

import numpy as np

from s4jax.search.neighbours import Candidate, best
from s4jax.search.space import Choices, SearchSpace


def sample(space: SearchSpace, rng: np.random.Generator, count: int) -> list[Choices]:
    """At most `count` different choices, drawn uniformly; fewer where the space has fewer."""
    found: dict[str, Choices] = {}
    for _ in range(100 * count):
        choices = space.sample(rng)
        found.setdefault(repr(choices), choices)
        if len(found) == count:
            break
    return list(found.values())


def neighbours(found: Sequence[Candidate], count: int) -> list[Candidate]:
    """`count` legal neighbours from the highest cosine to the lowest, evenly by rank.

    The first is the one that the explorer moves to; the last is the one most against the gradient.
    """
    chosen = best(found)
    if chosen is None or count < 1:
        return []
    legal = sorted(
        (c for c in found if c.rejected is None and c.gamma != chosen.gamma),
        key=lambda c: -c.cosine,
    )
    places = np.linspace(len(legal) - 1, 0, min(count - 1, len(legal))).round().astype(int)
    return [chosen, *(legal[i] for i in sorted(set(places.tolist())))]


def enclosing(spaces: Sequence[SearchSpace]) -> Choices:
    """The choices of a model that is as large as the largest of every space, in every size."""
    each = [space.largest() for space in spaces]
    first, together = spaces[0], Choices()
    for dimension in first.dimensions:
        values = [choices[dimension.name] for choices in each]
        if dimension.per_block:  # the largest has one value in every block
            together[dimension.name] = (max(v[0] for v in values),) * max(map(len, values))
        else:
            together[dimension.name] = max(values)
    return together
