"""The checksum: every bit and its place, whatever devices the arrays lie on."""

import jax.numpy as jnp
import numpy as np

from s4jax.runtime.checksum import checksum


def tree(seed=0):
    rng = np.random.default_rng(seed)
    return {
        'a': jnp.asarray(rng.normal(size=(5, 3, 2)).astype(np.float32)),
        'b': jnp.asarray(rng.normal(size=(4,)), jnp.bfloat16),
        'c': jnp.int32(7),
        'd': jnp.asarray([True, False]),
        'e': jnp.zeros((0, 3)),
    }


def test_it_sees_every_bit_of_every_element():
    base = tree()
    seen = {checksum(base)}
    flat = np.asarray(base['a']).view(np.uint32).ravel()
    for element in range(0, flat.size, 7):
        for bit in range(32):
            changed = flat.copy()
            changed[element] ^= np.uint32(1 << bit)
            array = changed.view(np.float32).reshape(5, 3, 2)
            seen.add(checksum(base | {'a': jnp.asarray(array)}))
    assert len(seen) == 1 + 5 * 32


def test_it_sees_names_types_shapes_order_and_swaps():
    base, other = tree(), tree()
    assert checksum(base) == checksum(other)
    a = np.asarray(base['a'])
    swapped = a.copy()
    swapped[0], swapped[1] = a[1], a[0]
    changes = [
        base | {'a': jnp.asarray(swapped)},
        base | {'a': jnp.asarray(a.reshape(3, 5, 2))},
        base | {'a': jnp.asarray(a.view(np.int32))},
        base | {'a': -base['a']},
        base | {'c': jnp.int32(8)},
        base | {'d': jnp.asarray([False, True])},
        base | {'b': base['b'][::-1]},
        {('z' if name == 'c' else name): leaf for name, leaf in base.items()},
    ]
    assert len({checksum(changed) for changed in [base, *changes]}) == 1 + len(changes)
