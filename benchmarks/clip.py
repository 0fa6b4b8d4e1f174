"""The decoder beside a frozen CLIP ViT-B/16 of random weights at 224×224.

    python -m benchmarks.clip scoring [--images=4] [--architectures=8]
    python -m benchmarks.clip memory [--batch=8] [--dtype=float32]

scoring: K subnets of the largest decoder of Table 1 (masked, one at a time) on the encoder's states
kept on disk, against K passes of encoder and decoder, in one run. memory: one supernet step
(encoder, forward, backward, AdamW; masked) and the process's peak resident memory, that of Python
and the libraries included.
"""

import argparse
import pathlib
import resource
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from s4jax import elastic
from s4jax.models.clip import decoder as ladder
from s4jax.models.clip.features import Features
from s4jax.models.clip.inputs import RANDOM, EncoderSettings, States
from s4jax.runtime import mesh, seeds
from s4jax.search.space import Dimension, SearchSpace
from s4jax.training import evaluate
from s4jax.training.recipe import Recipe
from s4jax.training.sampling import sizes_maker
from s4jax.training.step import initial_state, make_step

SPACE = SearchSpace(
    (  # Table 1 of the paper
        Dimension('embed_dim', 336, 384, 24),
        Dimension('depth', 3, 4, 1),
        Dimension('num_heads', 2, 14, 2, per_block=True),
        Dimension('mlp_ratio', 3.5, 4.0, 0.5, per_block=True),
    ),
    ladder.stages(()),
)


def architecture(choices: dict) -> ladder.Architecture:
    return ladder.architecture(choices, image_size=224, classes=100)


def encoder(place: jax.sharding.Mesh, dtype: str) -> States:
    """The frozen ViT-B/16 of random weights; its images are normalised already."""
    settings = EncoderSettings(weights=RANDOM, dtype=dtype)
    model = {'image_size': 224, 'channels': 3}
    return States.create(settings, model, lambda images: images, place, seed=0)


def scoring(images: int, count: int, rounds: int, dtype: str) -> None:
    place, widest = mesh.create(), architecture(SPACE.largest())
    tower = encoder(place, dtype)
    model, rng = ladder.Model(widest, jnp.dtype(dtype)), np.random.default_rng(0)
    batch = {
        'images': rng.normal(size=(images, 224, 224, 3)).astype(np.float32),
        'real': np.ones(images, bool),
        'labels': rng.integers(0, 100, images),
    }
    make = sizes_maker(SPACE, architecture, ladder.sizes_of, 'masked')
    sizes = [make(SPACE.sample(rng)) for _ in range(count)]
    on_devices = mesh.shard(place, batch)
    variables = jax.jit(model.init)(jax.random.key(0), tower.example(widest))

    @jax.jit
    def full(frozen, variables, sizes, batch):  # the encoder's variables are arguments, too
        logits = model.apply(variables, tower.train(widest, frozen, batch['images']), sizes)
        return jnp.sum(jnp.argmax(logits, -1) == batch['labels'])

    kept = evaluate.make_counter(model, lambda batch: batch['states'], False, place)

    def once():
        with tempfile.TemporaryDirectory() as folder:  # empty: this call computes the states
            states = Features(
                pathlib.Path(folder),
                'benchmark',
                lambda: [batch],
                lambda batch: tower.encoded(batch)['states'],
                widest.depth,
                place,
                print,
            )
            return [sum(int(kept(variables, each, batch)) for batch in states) for each in sizes]

    def again():
        return [int(full(tower.variables, variables, each, on_devices)) for each in sizes]

    print(f'{count} decoders on {images} images, {dtype}; {timing.machine()}')
    seconds = timing.interleaved({'states once': once, 'full passes': again}, rounds)
    print(f'  counts that differ: {np.sum(np.array(once()) != np.array(again()))}')
    for name, value in seconds.items():
        print(f'  {name:<12} {value:8.2f} s   {value / seconds["states once"]:.2f} × states once')


def memory(batch: int, dtype: str) -> None:
    place, widest = mesh.create(), architecture(SPACE.largest())
    tower = encoder(place, dtype)
    model = ladder.Model(widest, jnp.dtype(dtype))
    tx = Recipe(epochs=1, batch_size=batch, lr=1e-3).optimizer(100 * batch, ladder.decays)

    def encode(frozen, images):
        return tower.train(widest, frozen, images)

    state = initial_state(model, tower.example(widest), tx, seeds.key(0))
    step = make_step(
        model, tx, lambda key, batch: batch, seeds.key(0), place, encode, tower.variables
    )
    images = np.random.default_rng(0).normal(size=(batch, 224, 224, 3)).astype(np.float32)
    targets = np.eye(100, dtype=np.float32)[np.arange(batch)]
    sizes = elastic.masked(ladder.sizes_of(widest), ladder.sizes_of(widest))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    inputs = mesh.shard(place, (images, targets))
    state, loss = step(mesh.replicate(place, state), sizes, inputs)
    print(f'one step, batch {batch}, {dtype}, loss {float(loss):.3f}; {timing.machine()}')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f'  peak resident memory {peak:.2f} GiB, {before:.2f} of it before the step')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('what', choices=('scoring', 'memory'))
    parser.add_argument('--images', type=int, default=4)
    parser.add_argument('--architectures', type=int, default=8)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--dtype', default='float32', choices=('float32', 'bfloat16'))
    options = parser.parse_args()
    if options.what == 'scoring':
        scoring(options.images, options.architectures, options.rounds, options.dtype)
    else:
        memory(options.batch, options.dtype)
