"""Scoring subnets: many at once (masked, `vmap`) against one by one (masked, sliced), in one run.

python -m benchmarks.scoring [--space=digits|paper] [--images=N] [--architectures=K]
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from benchmarks.supernet_step import SPACES
from s4jax import elastic
from s4jax.models import FAMILIES
from s4jax.runtime import mesh
from s4jax.search.space import Dimension, SearchSpace
from s4jax.training import evaluate
from s4jax.training.sampling import sizes_maker

DIGITS = (
    dict(image_size=8, channels=1, patch=2, head_dim=8, classes=10),
    (
        Dimension('embed_dim', 16, 32, 8),
        Dimension('depth', 2, 4, 1),
        Dimension('num_heads', 2, 4, 1, per_block=True),
        Dimension('mlp_ratio', 2.0, 4.0, 1.0, per_block=True),
    ),
)


def measure(
    facts: dict, dimensions: tuple, images: int, count: int, rounds: int, dtype: str
) -> None:
    family = FAMILIES['vit']
    space = SearchSpace(dimensions, family.stages(tuple(d.name for d in dimensions)))

    def architecture(choices):
        return family.architecture(choices, **facts)

    model, place = family.Model(architecture(space.largest()), jnp.dtype(dtype)), mesh.create()
    rng = np.random.default_rng(0)
    width = dimensions[0].values[
        len(dimensions[0].values) // 2
    ]  # one width: a sliced program is compiled per width
    drawn = [space.sample(rng) | {'embed_dim': width} for _ in range(count)]
    shape = (images, facts['image_size'], facts['image_size'], facts.get('channels', 3))
    batch = mesh.shard(
        place,
        {
            'images': rng.integers(0, 256, shape).astype(np.uint8),
            'real': np.ones(images, bool),
            'labels': rng.integers(0, facts['classes'], images),
        },
    )
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *shape[1:])))
    makers = {
        mode: sizes_maker(space, architecture, family.sizes_of, mode)
        for mode in ('masked', 'sliced')
    }
    forms = {mode: list(map(make, drawn)) for mode, make in makers.items()}
    stacked = elastic.stacked(forms['masked'])
    one, many = (
        evaluate.make_counter(model, lambda batch: batch['images'] / 255.0, flag, place)
        for flag in (False, True)
    )
    together = np.asarray(many(variables, stacked, batch))[:, 0]  # the correct images
    apart = {
        mode: np.array([one(variables, sizes, batch)[0] for sizes in forms[mode]]) for mode in forms
    }
    seconds = timing.interleaved(
        {
            'at once': lambda: many(variables, stacked, batch),
            'one by one, masked': lambda: [
                one(variables, sizes, batch) for sizes in forms['masked']
            ],
            'one by one, sliced': lambda: [
                one(variables, sizes, batch) for sizes in forms['sliced']
            ],
        },
        rounds,
    )
    print(
        f'{count} architectures on {images} images of {facts["image_size"]}, {dtype}; '
        f'{timing.machine()}'
    )
    for name, value in seconds.items():
        print(f'  {name:<20} {value:8.3f} s   {value / seconds["at once"]:.2f} × at once')
    print(
        '  counts that differ from at once: '
        + ', '.join(f'{mode} {np.sum(counts != together)}' for mode, counts in apart.items())
    )


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--space', default='digits', choices=('digits', 'paper'))
    parser.add_argument('--images', type=int, default=400)
    parser.add_argument('--architectures', type=int, default=16)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--dtype', default='float32', choices=('float32', 'bfloat16'))
    options = parser.parse_args()
    facts, dimensions = DIGITS if options.space == 'digits' else SPACES['vit']
    measure(
        facts,
        dimensions,
        options.images,
        options.architectures,
        options.rounds,
        options.dtype,
    )
