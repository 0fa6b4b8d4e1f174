"""The compiled training step, the same for a supernet and for one architecture alone."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from s4jax import elastic
from s4jax.runtime import mesh as meshes
from s4jax.runtime.mesh import Sharding
from s4jax.training.recipe import Recipe

State = dict[str, Any]
Augment = Callable[[jax.Array, dict[str, jax.Array]], tuple[jax.Array, jax.Array]]
Step = Callable[[State, Any, dict[str, jax.Array]], tuple[State, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Compiled:
    """`step(state, sizes, batch) -> (state, loss)`, compiled once for each kind of sizes."""

    function: Any  # jitted, of (state, constants, sizes, batch)
    constants: Any  # the key of the training and the frozen weights

    def __call__(self, state: State, sizes: Any, batch: Any) -> tuple[State, jax.Array]:
        return self.function(state, self.constants, sizes, batch)

    def compile(self, state: State, sizes: Any, batch: Any) -> Any:
        """The program for these arguments: it says what memory it needs."""
        return self.function.lower(state, self.constants, sizes, batch).compile()

    def with_key(self, key: jax.Array) -> 'Compiled':
        """The same program for a training of another seed."""
        words = np.asarray(jax.random.key_data(key))
        return dataclasses.replace(self, constants=(words, *self.constants[1:]))


def state_program(model: nn.Module, inputs: Any, tx: optax.GradientTransformation) -> Any:
    """The compiled `create(key) -> state` of a model of `inputs` (one example).

    The state is {params, batch_stats, opt_state, attempt, step}; `attempt` counts the roll-backs
    after a non-finite loss.
    """

    def create(key: jax.Array) -> State:
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
    return jax.jit(create, compiler_options={'xla_backend_optimization_level': 0})


def initial_state(
    model: nn.Module, inputs: Any, tx: optax.GradientTransformation, key: jax.Array
) -> State:
    """The state with which the training of a model of `inputs` (one example) begins."""
    return state_program(model, inputs, tx)(key)


def normalises_batches(model: nn.Module, inputs: Any) -> bool:
    """Whether a model has BatchNorm, whose statistics are those of a batch; nothing is computed."""
    return 'batch_stats' in jax.eval_shape(model.init, jax.random.key(0), inputs)


def images_as_they_are(frozen: Any, images: jax.Array) -> jax.Array:
    """The inputs of a model that sees the images themselves."""
    return images


def make_step(
    model: nn.Module,
    tx: optax.GradientTransformation,
    augment: Augment,
    seed_key: jax.Array,
    mesh: jax.sharding.Mesh,
    encode: Callable[[Any, jax.Array], Any] = images_as_they_are,
    frozen: Any = (),
    recipe: Recipe | None = None,
) -> Compiled:
    """The compiled `step(state, sizes, batch) -> (state, loss)`.

    `augment(key, batch)` gives images (B, S, S, C) and soft targets (B, classes) on the device;
    `encode(frozen, images)` gives the model's inputs. It stands outside of what is differentiated,
    so that none of its activations is kept. A step whose loss or gradient is not finite leaves
    parameters and optimizer as they were and returns NaN, so that nothing bad is ever written.

    With `recipe.microbatches`, the batch is augmented as a whole (mixup pairs its images) and then
    run in parts; the gradient is the mean over the parts, that of the whole batch but for rounding.
    With `recipe.sharding`, the state is taken and returned split over the devices.

    The key is an argument of the program: another seed or phase finds it compiled.
    """
    recipe = recipe or Recipe()
    split: Sharding = recipe.sharding
    place = elastic.Place.of(mesh)

    def step(state: State, constants: Any, sizes: Any, batch: Any) -> tuple[State, jax.Array]:
        words, frozen = constants
        start = jax.random.wrap_key_data(words)
        key = jax.random.fold_in(jax.random.fold_in(start, state['attempt']), state['step'])
        augment_key, train_key = jax.random.split(key)
        images, targets = augment(augment_key, batch)
        statistics = {'batch_stats': state['batch_stats']} if state['batch_stats'] else {}

        def loss_of(params: Any, inputs: Any, targets: Any, key: Any, one: Any) -> Any:
            variables = {'params': params} | statistics
            logits, updates = model.apply(variables, inputs, one, key, mutable=['batch_stats'])
            loss = optax.softmax_cross_entropy(logits, targets).mean()
            return loss, (updates.get('batch_stats', {}), logits)

        def differentiate(images: jax.Array, targets: jax.Array, key: Any) -> Any:
            inputs = encode(frozen, images)
            gradient = functools.partial(
                jax.value_and_grad(loss_of, has_aux=True), state['params'], inputs
            )
            if recipe.together > 1:
                taught = None if recipe.distilled is None else state['step'] / recipe.distilled
                return of_several(gradient, targets, key, sizes, taught)
            (loss, (batch_stats, _)), gradients = gradient(targets, key, sizes)
            return (loss, batch_stats), gradients

        with elastic.on(place):
            (loss, batch_stats), gradients = in_parts(
                differentiate, images, targets, train_key, recipe.microbatches, mesh
            )
        sound = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradients))
        updates, opt_state = tx.update(gradients, state['opt_state'], state['params'])
        new = {
            'params': optax.apply_updates(state['params'], updates),
            'batch_stats': batch_stats,
            'opt_state': opt_state,
        }
        old = {name: state[name] for name in new}
        new = jax.tree.map(lambda a, b: jnp.where(sound, a, b), new, old)
        new |= {'attempt': state['attempt'], 'step': state['step'] + 1}
        if split != 'replicated':
            new = meshes.constrain(mesh, new, split)
        return new, jnp.where(sound, loss, jnp.nan)

    everywhere = meshes.replicated(mesh)
    states = everywhere if split == 'replicated' else None  # None: as constrained
    compiled = jax.jit(step, donate_argnums=0, out_shardings=(states, everywhere))
    # as numbers of this host: several hosts may not share an array of one device
    return Compiled(compiled, (np.asarray(jax.random.key_data(seed_key)), frozen))


def of_several(
    gradient: Callable[..., Any], targets: jax.Array, key: Any, sizes: Any, taught: Any = None
) -> Any:
    """The mean over several architectures of `((loss, batch_stats), gradients)` on one batch.

    `gradient(targets, key, sizes)` gives ((loss, (batch_stats, logits)), gradients) of one of them;
    `sizes` are stacked. With a share `taught` (0…, at most 1 counts), the first architecture's
    outputs replace that share of the labels of the others (in-place distillation of Yu et al.,
    ECCV 2020). BatchNorm's statistics are the mean of those that each would leave.
    """

    def body(carry: Any, each: Any) -> tuple[Any, None]:
        total, labels = carry
        first, one = each
        (loss, (batch_stats, logits)), gradients = gradient(labels, key, one)
        total = jax.tree.map(jnp.add, total, ((loss, batch_stats), gradients))
        if taught is not None:
            share = jnp.where(first, jnp.minimum(taught, 1.0), 0.0)
            outputs = jax.lax.stop_gradient(jax.nn.softmax(logits))
            labels = labels + share * (outputs - labels).astype(labels.dtype)
        return (total, labels), None

    count = jax.tree.leaves(sizes)[0].shape[0]
    (loss, (batch_stats, _)), gradients = jax.eval_shape(
        lambda: gradient(targets, key, jax.tree.map(lambda leaf: leaf[0], sizes))
    )
    zeros = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), ((loss, batch_stats), gradients)
    )
    (total, _), _ = jax.lax.scan(body, (zeros, targets), (jnp.arange(count) == 0, sizes))
    return jax.tree.map(lambda leaf: leaf / count, total)


def in_parts(
    differentiate: Callable[[jax.Array, jax.Array, Any], Any],
    images: jax.Array,
    targets: jax.Array,
    key: jax.Array,
    parts: int,
    mesh: jax.sharding.Mesh,
) -> Any:
    """`differentiate(images, targets, key)` of a batch, the mean over its parts.

    Returns ((loss, batch_stats), gradients). Part k has the rows k, k + parts, …: as many of every
    device's own rows as of any other's, so that no image moves. Stochastic depth is drawn for the
    whole batch (`elastic.Part`).
    """
    if parts == 1:
        return differentiate(images, targets, key)

    def split(rows: jax.Array) -> jax.Array:
        each = jnp.moveaxis(rows.reshape(-1, parts, *rows.shape[1:]), 1, 0)
        return jax.lax.with_sharding_constraint(each, meshes.rows_of_parts(mesh))

    def add(total: Any, part: Any) -> tuple[Any, None]:
        k, some_images, some_targets = part
        found = differentiate(some_images, some_targets, elastic.Part(key, k, parts))
        return jax.tree.map(jnp.add, total, found), None

    inputs = (jnp.arange(parts), split(images), split(targets))
    shapes = jax.eval_shape(
        lambda k, some, their: differentiate(some, their, elastic.Part(key, k, parts)),
        *(leaf[0] for leaf in inputs),
    )
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, inputs)
    return jax.tree.map(lambda leaf: leaf / parts, total)
