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
    checkpoints.wait()
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
    checkpoints.wait()
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
    again.wait()
    assert again.latest(like())[0] == 20 and len(warnings) == 1


def test_a_state_given_away_while_it_is_saved_comes_back_as_it_was(tmp_path):
    """A step donates the state: the save must have a copy of its own, also on a CPU."""
    checkpoints = Checkpoints(tmp_path, print)
    overwrite = jax.jit(
        lambda tree: jax.tree.map(lambda leaf: leaf * 0 - 1, tree), donate_argnums=0
    )
    for step in (1, 2, 3):
        given = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), state(step))
        checkpoints.save(step, given)
        overwrite(given)
        found = checkpoints.latest(like())
        assert found[0] == step and tree_digest(found[1]) == tree_digest(state(step))


@pytest.mark.parametrize('swap', ['steps', 'trainings'])
def test_a_checkpoint_in_the_place_of_another_is_damaged(tmp_path, swap):
    warnings = []
    for name in ('one', 'other'):
        checkpoints = Checkpoints(tmp_path / name, warnings.append)
        for step in (10, 20):
            checkpoints.save(step, state(step))
        checkpoints.wait()
    first, second = {
        'steps': (tmp_path / 'one' / '10', tmp_path / 'one' / '20'),
        'trainings': (tmp_path / 'one' / '20', tmp_path / 'other' / '20'),
    }[swap]
    first.rename(tmp_path / 'aside')
    second.rename(first)
    (tmp_path / 'aside').rename(second)
    found = Checkpoints(tmp_path / 'one', warnings.append).latest(like())
    assert found is None if swap == 'steps' else found[0] == 10
    assert len(warnings) == (2 if swap == 'steps' else 1)


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
