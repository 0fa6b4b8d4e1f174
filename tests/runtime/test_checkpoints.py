"""Checkpoints: back to the bit; a damaged one is named and the one before it used."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s4jax.runtime.checkpoints import Checkpoints, tree_digest


def state(step):
    return {
        'params': {'kernel': jnp.arange(4096.0) * step, 'bias': jnp.full((3,), step, jnp.int32)},
        'step': jnp.int32(step),
    }


def like():
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state(0)
    )


def largest_file(directory):
    return max(
        (path for path in directory.rglob('*') if path.is_file()),
        key=lambda path: path.stat().st_size,
    )


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_checkpoints_come_back_to_the_bit(tmp_path):
    warnings = []
    checkpoints = Checkpoints(tmp_path, warnings.append)
    assert checkpoints.latest(like()) is None
    for step in (10, 20, 30, 40):
        checkpoints.save(step, state(step))
    step, found = Checkpoints(tmp_path, warnings.append).latest(like())
    assert step == 40 and tree_digest(found) == tree_digest(state(40))
    assert checkpoints.latest(like(), at_most=35)[0] == 30
    assert len(list(tmp_path.glob('[0-9]*'))) == 3 and not warnings


@pytest.mark.parametrize('damage', ['flip', 'cut', 'delete'])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, damage):
    warnings = []
    checkpoints = Checkpoints(tmp_path, warnings.append)
    for step in (10, 20):
        checkpoints.save(step, state(step))
    victim = largest_file(tmp_path / '20')
    {
        'flip': lambda: flip(victim),
        'cut': lambda: os.truncate(victim, victim.stat().st_size // 2),
        'delete': victim.unlink,
    }[damage]()
    step, found = Checkpoints(tmp_path, warnings.append).latest(like())
    assert step == 10 and tree_digest(found) == tree_digest(state(10))
    assert len(warnings) == 1 and str(tmp_path / '20') in warnings[0]
    again = Checkpoints(tmp_path, warnings.append)  # and the step can be written anew
    again.save(20, state(20))
    assert again.latest(like())[0] == 20 and len(warnings) == 1


def test_digest_sees_names_types_shapes_and_every_bit():
    base = {'a': np.zeros((2, 3), np.float32), 'b': np.int32(1)}
    others = [
        {'a': base['a'].reshape(3, 2), 'b': base['b']},
        {'a': base['a'], 'c': base['b']},
        {'a': base['a'].astype(np.int32), 'b': base['b']},
        {'a': -base['a'], 'b': base['b']},
    ]
    assert tree_digest(base) == tree_digest(
        {name: jnp.asarray(leaf) for name, leaf in base.items()}
    )
    assert len({tree_digest(tree) for tree in [base, *others]}) == 5
