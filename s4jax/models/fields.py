"""The fields that the architectures of several families have: type, range, meaning, unit."""

from typing import Annotated, Any

import pydantic
from pydantic import Field

from s4jax.errors import UsageError
from s4jax.settings import Float, Int, sequence

MAX_IMAGE_SIZE = 4096
MAX_BLOCKS = 1000
MAX_STAGES = 8
SEQUENCE = pydantic.BeforeValidator(sequence)


def _as_given(value: Any, validate: pydantic.ValidatorFunctionWrapHandler) -> Any:
    """The value checked but not converted: a ratio of 4 stays 4, as the space's grid has it."""
    checked = validate(value)
    return value if isinstance(value, int | float) else checked


Heads = Annotated[Int, Field(ge=1, le=1024)]
Blocks = Annotated[Int, Field(ge=1, le=MAX_BLOCKS)]
Ratio = Annotated[Float, Field(gt=0, le=64), pydantic.WrapValidator(_as_given)]

EmbedDim = Annotated[Int, Field(ge=1, le=16_384, description='embedding width, in channels')]
Depth = Annotated[Blocks, Field(description='number of blocks')]
Patch = Annotated[Int, Field(ge=1, le=4096, description='side of a patch, in pixels')]
HeadDim = Annotated[
    Int, Field(ge=1, le=1024, description='width of an attention head, in channels')
]
BlockHeads = Annotated[
    tuple[Heads, ...],
    SEQUENCE,
    Field(min_length=1, max_length=MAX_BLOCKS, description='attention heads of each block'),
]
BlockRatios = Annotated[
    tuple[Ratio, ...],
    SEQUENCE,
    Field(
        min_length=1,
        max_length=MAX_BLOCKS,
        description="hidden width of each block's MLP, in multiples of its tokens' width",
    ),
]
StageDepths = Annotated[
    tuple[Blocks, ...],
    SEQUENCE,
    Field(min_length=1, max_length=MAX_STAGES, description='number of blocks of each stage'),
]
StageHeads = Annotated[
    tuple[Heads, ...],
    SEQUENCE,
    Field(min_length=1, max_length=MAX_STAGES, description='attention heads of each stage'),
]


def check_hidden(ratios: tuple[float, ...], hidden: tuple[int, ...]) -> None:
    """Refuses MLP ratios so small that a block's hidden width rounds down to 0."""
    for ratio, width in zip(ratios, hidden, strict=True):
        if width < 1:
            raise UsageError(
                f'mlp_ratio={ratio} leaves an MLP without a hidden channel; write a larger '
                'mlp_ratio or embed_dim'
            )
