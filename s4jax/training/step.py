"""The compiled training step, the same for a supernet and for one architecture alone."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from s4jax.runtime import mesh as meshes

State = dict[str, Any]


def initial_state(
    model: nn.Module, inputs: Any, tx: optax.GradientTransformation, key: jax.Array
) -> State:
    """{params, batch_stats, opt_state, attempt, step}; `attempt` counts roll-backs after a non-finite loss."""

    def create(key):
        variables = model.init(key, inputs)
        params = variables['params']
        return {
            'params': params,
            'batch_stats': variables.get('batch_stats', {}),
            'opt_state': tx.init(params),
            'attempt': jnp.zeros((), jnp.int32),
            'step': jnp.zeros((), jnp.int32),
        }

    # it runs once: compiling the random draws with care would take five times as long as it saves
    return jax.jit(create, compiler_options={'xla_backend_optimization_level': 0})(key)


def make_step(
    model: nn.Module,
    tx: optax.GradientTransformation,
    augment: Callable,
    seed_key: jax.Array,
    mesh: jax.sharding.Mesh,
    encode: Callable = lambda frozen, images: images,
    frozen: Any = (),
) -> Callable:
    """The compiled `step(state, sizes, batch) -> (state, loss)`.

    `augment(key, batch)` gives images and soft targets on the device, `encode(frozen, images)` the model's inputs: it stands
    outside of what is differentiated, so that none of its activations is kept. A step whose loss or gradient is not
    finite leaves parameters and optimizer as they were and returns NaN, so that nothing bad is ever written.
    """

    def step(state, frozen, sizes, batch):
        key = jax.random.fold_in(jax.random.fold_in(seed_key, state['attempt']), state['step'])
        augment_key, train_key = jax.random.split(key)
        images, targets = augment(augment_key, batch)
        inputs = encode(frozen, images)

        def loss_of(params):
            variables = {'params': params} | (
                {'batch_stats': state['batch_stats']} if state['batch_stats'] else {}
            )
            logits, updates = model.apply(
                variables, inputs, sizes, train_key, mutable=['batch_stats']
            )
            return optax.softmax_cross_entropy(logits, targets).mean(), updates.get(
                'batch_stats', {}
            )

        (loss, batch_stats), gradients = jax.value_and_grad(loss_of, has_aux=True)(state['params'])
        sound = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradients))
        updates, opt_state = tx.update(gradients, state['opt_state'], state['params'])
        new = {
            'params': optax.apply_updates(state['params'], updates),
            'batch_stats': batch_stats,
            'opt_state': opt_state,
        }
        old = {name: state[name] for name in new}
        new = jax.tree.map(lambda a, b: jnp.where(sound, a, b), new, old)
        return new | {'attempt': state['attempt'], 'step': state['step'] + 1}, jnp.where(
            sound, loss, jnp.nan
        )

    everywhere = meshes.replicated(mesh)
    compiled = jax.jit(step, donate_argnums=0, out_shardings=(everywhere, everywhere))
    return lambda state, sizes, batch: compiled(state, frozen, sizes, batch)
