"""The search methods that can be compared: how each of them finds its architecture."""

from typing import Literal

import pydantic

from s4jax.errors import UsageError
from s4jax.settings import Bool, Int, Section

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

    front: Int | None = pydantic.Field(
        None,
        ge=1,
        le=1000,
        description='most points of the front of accuracy against size, which is searched in the '
        'last space after the winner and not retrained',
        examples=[5],
    )
    source: str | None = pydantic.Field(
        None,
        min_length=1,
        description='the folder of a finished run whose supernets are searched again: none is '
        'trained; --from sets it',
    )

    @pydantic.model_validator(mode='after')
    def _consistent(self) -> 'SearchSettings':
        if self.front and not self.trains_supernets:
            raise UsageError(
                f"front={self.front}, but method='{self.method}' has no supernet to score a front "
                'with: write None'
            )
        return self

    @property
    def kind(self) -> str:
        """The method, whether it keeps to the budget or not."""
        return self.method.removesuffix(UNCONSTRAINED)

    @property
    def trains_supernets(self) -> bool:
        return self.kind not in ('largest', 'stock')

    @property
    def constrained(self) -> bool:
        return not self.method.endswith(UNCONSTRAINED)
