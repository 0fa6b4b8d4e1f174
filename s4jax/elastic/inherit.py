"""Weights that one model takes from another: the prefix that they share."""

from typing import Any

import numpy as np

from s4jax.elastic.blocks import join_blocks, split_blocks


def inherit(source: Any, target: Any) -> Any:
    """The target's weights with the prefix that it shares with the source: extracts a subnet, and grows a supernet.

    Both are parameters of one family; blocks, and weights between blocks, that only one of them has are left as they are.
    """
    if isinstance(target, dict) and 'blocks' in target:
        blocks = [
            inherit(ours, theirs)
            for ours, theirs in zip(split_blocks(source['blocks']), split_blocks(target['blocks']))
        ]
        blocks += split_blocks(target['blocks'])[len(blocks) :]
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
