"""Weights that one model takes from another: the prefix that both have."""

from typing import Any

import numpy as np

from s4jax.elastic.stacks import join_blocks, split_blocks


def inherit(source: Any, target: Any) -> Any:
    """The target's weights, with those that the source has too taken from the source.

    Of every array that is the common prefix of all axes. With a smaller target this extracts a
    subnet, with a larger one it starts a grown supernet. Both are trees of arrays of one family;
    blocks that only the target has, and weights between blocks, stay as they are.
    """
    if isinstance(target, dict) and 'blocks' in target:
        source_blocks, target_blocks = (split_blocks(tree['blocks']) for tree in (source, target))
        blocks = [inherit(*pair) for pair in zip(source_blocks, target_blocks)]
        blocks += target_blocks[len(blocks) :]
        rest = {
            name: inherit(source[name], leaf) if name in source else leaf
            for name, leaf in target.items()
            if name != 'blocks'
        }
        return rest | {'blocks': join_blocks(blocks)}
    if isinstance(target, dict):
        return {name: inherit(source[name], leaf) for name, leaf in target.items()}
    shared = tuple(slice(0, min(a, b)) for a, b in zip(source.shape, target.shape, strict=True))
    result = np.array(target)
    result[shared] = source[shared]
    return result
