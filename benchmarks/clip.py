"""The decoder beside a frozen CLIP ViT-B/16 of random weights at 224×224: scoring on states computed once; a step's memory.

    python -m benchmarks.clip scoring [--images=4] [--architectures=8]
    python -m benchmarks.clip memory [--batch=8] [--dtype=float32]

scoring: K subnets of the largest decoder of Table 1 (masked, one at a time) on the encoder's states kept on disk, against K
passes of encoder and decoder, in one run. memory: one supernet step (encoder, forward, backward, AdamW; masked) and the
process's peak resident memory, that of Python and the libraries included.
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
from s4jax.models.clip import inputs as encoder
from s4jax.models.clip.features import Features
from s4jax.pipeline import sizes_maker
from s4jax.runtime import mesh, seeds
from s4jax.search.space import Dimension, SearchSpace
from s4jax.training import evaluate
from s4jax.training.recipe import Recipe
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


def scoring(images: int, count: int, rounds: int, dtype: str) -> None:
    place, widest = mesh.create(), architecture(SPACE.largest())
    tower = encoder.create(place, 0, 224, 3, weights=encoder.RANDOM, dtype=dtype)
    model, rng = ladder.Model(widest, jnp.dtype(dtype)), np.random.default_rng(0)
    batch = {
        'images': rng.normal(size=(images, 224, 224, 3)).astype(np.float32),
        'real': np.ones(images, bool),
        'labels': rng.integers(0, 100, images),
    }
    sizes = [
        sizes_maker(SPACE, architecture, ladder.sizes_of, 'masked')(SPACE.sample(rng))
        for _ in range(count)
    ]
    encode = jax.jit(lambda variables, images: tower.tower.apply(variables, images, 12)[0])
    on_devices = mesh.shard(place, batch)
    first, *layers = jax.eval_shape(encode, tower.variables, on_devices['images'])
    variables = jax.jit(model.init)(
        jax.random.key(0), [np.zeros(s.shape, s.dtype) for s in (first, *layers[: widest.depth])]
    )
    # the encoder's variables are arguments of the full pass, too
    full = jax.jit(
        lambda frozen, variables, sizes, batch: jnp.sum(
            jnp.argmax(
                model.apply(variables, tower.encode(frozen, batch['images'], widest), sizes), -1
            )
            == batch['labels']
        )
    )
    kept = evaluate.make_counter(model, lambda batch: batch['states'], False, place)

    def once():
        with (
            tempfile.TemporaryDirectory() as folder
        ):  # nothing is there before: the states are computed in this call
            states = Features(
                pathlib.Path(folder),
                'benchmark',
                lambda: [batch],
                lambda b: encode(tower.variables, b['images']),
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
    tower = encoder.create(place, 0, 224, 3, weights=encoder.RANDOM, dtype=dtype)
    model = ladder.Model(widest, jnp.dtype(dtype))
    tx = Recipe(epochs=1, batch_size=batch, lr=1e-3).optimizer(100 * batch, ladder.decays)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    shapes = jax.eval_shape(
        lambda variables, image: tower.encode(variables, image, widest), tower.variables, image
    )
    state = initial_state(model, [np.zeros(s.shape, s.dtype) for s in shapes], tx, seeds.key(0))
    step = make_step(
        model,
        tx,
        lambda key, batch: batch,
        seeds.key(0),
        place,
        lambda frozen, images: tower.encode(frozen, images, widest),
        tower.variables,
    )
    images = np.random.default_rng(0).normal(size=(batch, 224, 224, 3)).astype(np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    state, loss = step(
        mesh.replicate(place, state),
        elastic.masked(ladder.sizes_of(widest), ladder.sizes_of(widest)),
        mesh.shard(place, (images, np.eye(100, dtype=np.float32)[np.arange(batch)])),
    )
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
    parser.add_argument('--dtype', default='float32', choices=encoder.DTYPES)
    options = parser.parse_args()
    if options.what == 'scoring':
        scoring(options.images, options.architectures, options.rounds, options.dtype)
    else:
        memory(options.batch, options.dtype)
