"""Training: the optimizer, the compiled step, and `fit`, the same for a supernet and for one architecture alone."""

import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from s4jax import fold, mesh as meshes
from s4jax.errors import UsageError

State = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """AdamW with a linear warm-up and a cosine from `lr` to `min_lr`; lr as written, whatever the batch size."""

    epochs: int
    batch_size: int
    lr: float
    min_lr: float = 0.0
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    drop_path: float = 0.0

    def __post_init__(self):
        for name, fine in (('epochs', self.epochs > 0), ('batch_size', self.batch_size > 0), ('lr', self.lr > 0),
                           ('min_lr', 0 <= self.min_lr <= self.lr), ('warmup_epochs', 0 <= self.warmup_epochs <= self.epochs),
                           ('weight_decay', self.weight_decay >= 0), ('drop_path', 0 <= self.drop_path < 1)):
            if not fine:
                raise UsageError(f'{name}={getattr(self, name)} is out of range in a recipe of lr={self.lr} and '
                                 f'epochs={self.epochs}')

    def steps(self, images: int) -> int:
        return max(1, int(self.epochs * images / self.batch_size))

    def optimizer(self, images: int, decays: Callable[[tuple[str, ...]], bool]) -> optax.GradientTransformation:
        """For `images` training images; decay goes by the parameter's name, since stacked biases are not 1-D."""
        warmup = int(self.warmup_epochs * images / self.batch_size)
        schedule = optax.warmup_cosine_decay_schedule(min(self.lr, 1e-6) if warmup else self.lr, self.lr, warmup,
                                                      max(self.steps(images), warmup + 1), self.min_lr)

        def mask(params):
            return jax.tree_util.tree_map_with_path(
                lambda path, _: decays(tuple(str(getattr(k, 'key', k)) for k in path)), params)
        return optax.adamw(schedule, weight_decay=self.weight_decay, mask=mask)


def initial_state(model: nn.Module, inputs: Any, tx: optax.GradientTransformation, key: jax.Array) -> State:
    """{params, batch_stats, opt_state, attempt, step}; `attempt` counts roll-backs after a non-finite loss."""
    def create(key):
        variables = model.init(key, inputs)
        params = variables['params']
        return {'params': params, 'batch_stats': variables.get('batch_stats', {}), 'opt_state': tx.init(params),
                'attempt': jnp.zeros((), jnp.int32), 'step': jnp.zeros((), jnp.int32)}
    # it runs once: compiling the random draws with care would take five times as long as it saves
    return jax.jit(create, compiler_options={'xla_backend_optimization_level': 0})(key)


def make_step(model: nn.Module, tx: optax.GradientTransformation, augment: Callable, seed_key: jax.Array,
              mesh: jax.sharding.Mesh, encode: Callable = lambda frozen, images: images, frozen: Any = ()) -> Callable:
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
            variables = {'params': params} | ({'batch_stats': state['batch_stats']} if state['batch_stats'] else {})
            logits, updates = model.apply(variables, inputs, sizes, train_key, mutable=['batch_stats'])
            return optax.softmax_cross_entropy(logits, targets).mean(), updates.get('batch_stats', {})

        (loss, batch_stats), gradients = jax.value_and_grad(loss_of, has_aux=True)(state['params'])
        sound = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradients))
        updates, opt_state = tx.update(gradients, state['opt_state'], state['params'])
        new = {'params': optax.apply_updates(state['params'], updates), 'batch_stats': batch_stats, 'opt_state': opt_state}
        old = {name: state[name] for name in new}
        new = jax.tree.map(lambda a, b: jnp.where(sound, a, b), new, old)
        return new | {'attempt': state['attempt'], 'step': state['step'] + 1}, jnp.where(sound, loss, jnp.nan)

    everywhere = meshes.replicated(mesh)
    compiled = jax.jit(step, donate_argnums=0, out_shardings=(everywhere, everywhere))
    return lambda state, sizes, batch: compiled(state, frozen, sizes, batch)


@dataclasses.dataclass(frozen=True)
class Trained:
    """The outcome of a fit: variables for `model.apply` and a digest of them."""

    variables: dict[str, Any]
    digest: str


def fit(state: State, step: Callable, sizes: Callable[[int, int], Any], batch: Callable[[int], Any], *, steps: int,
        checkpoints: fold.Checkpoints, metrics_path: pathlib.Path, save_every: int, log_every: int,
        mesh: jax.sharding.Mesh, signals: fold.Signals, describe: Callable[[int, int], str],
        report: Any, warn: Callable[[str], None], max_rollbacks: int = 3) -> Trained:
    """Folds `step` over `steps` batches from `state`, or from the newest sound checkpoint.

    `sizes(attempt, i)` are the sampled architecture's, `batch(i)` is this host's part of batch i. Every `log_every` steps
    the losses are fetched, looked at and written, one line a step; after a non-finite one the fold goes back to the last
    regular checkpoint and draws anew (`attempt` enters every key), at most `max_rollbacks` times. `describe(attempt, i)`
    names the architecture; `report.start(i)` and `report.reached(i, losses)` hear of progress.
    """
    start = jax.tree.map(np.array, state)      # a copy: the step donates its input, and a roll-back may need the start
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
                        meshes.replicate(mesh, start))

    def load(at_most: int | None = None) -> State:
        found = checkpoints.latest(like, at_most)
        return found[1] if found else meshes.replicate(mesh, start)

    state = load()
    i, attempt, losses = int(state['step']), int(state['attempt']), []
    metrics = fold.Lines(metrics_path, lambda row: row['step'] <= i)
    report.start(i)
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        following = reader.submit(batch, i)
        while i < steps:
            inputs = meshes.shard(mesh, following.result())
            following = reader.submit(batch, i + 1)
            state, loss = step(state, sizes(attempt, i), inputs)
            losses.append(loss)
            i += 1
            saving = i % save_every == 0 or i == steps
            looking = saving or i % log_every == 0
            stopping = meshes.any_host(signals.received is not None) if looking or meshes.one_host() else False
            if not (looking or stopping):
                continue
            values = np.asarray(jax.device_get(losses), np.float64)
            first, losses = i - len(values), []
            if not np.all(np.isfinite(values)):
                bad = first + int(np.argmin(np.isfinite(values)))
                told = f'non-finite loss at step {bad} (batch {bad}, {describe(attempt, bad)})'
                if attempt == max_rollbacks:
                    raise UsageError(f'{told}, again after {max_rollbacks} roll-backs: lower the learning rate')
                state = load(bad // save_every * save_every)
                attempt, i = attempt + 1, int(state['step'])
                state |= {'attempt': meshes.replicate(mesh, np.int32(attempt))}
                checkpoints.delete_after(i)
                metrics = fold.Lines(metrics_path, lambda row: row['step'] <= i)
                following = reader.submit(batch, i)
                warn(f'{told}; back to step {i}')
                continue
            metrics.append(*({'step': k, 'loss': float(value), 'attempt': attempt}
                             for k, value in enumerate(values, start=first + 1)))
            report.reached(i, values)
            if saving or stopping:
                checkpoints.save(i, state)
            if stopping and i < steps:
                raise fold.Interrupted
    variables = {name: state[name] for name in ('params', 'batch_stats') if state[name]}
    return Trained(variables, fold.digest(variables))
