"""The search methods that can be compared: how each of them finds its architecture."""

from typing import Literal

import pydantic

from s4jax.settings import Bool, Section

UNCONSTRAINED = '_unconstrained'
Method = Literal[
    's4',
    's4_unconstrained',
    's3',
    's3_unconstrained',
    'autoformer',
    'random',
    'largest',
    'stock',
]


class SearchSettings(Section):
    """Which method searches, and what it is asked for."""

    method: Method = pydantic.Field(
        's4',
        description='s4; s3; autoformer: evolution in the space as given; random: as many '
        'architectures of it, scored; largest: the one of most parameters; stock: the hand-made '
        'one; _unconstrained: moves and evolution know no budget',
    )
    each_space: Bool = pydantic.Field(
        False,
        description='whether every space that was visited gets an evolution and a winner of its '
        'own, which are retrained and tested, too',
    )

    @property
    def kind(self) -> str:
        """The method, whether it keeps to the budget or not."""
        return self.method.removesuffix(UNCONSTRAINED)

    @property
    def constrained(self) -> bool:
        return not self.method.endswith(UNCONSTRAINED)
