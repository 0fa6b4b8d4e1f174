"""A supernet's training step: sliced and masked against the static model of the same architectures, and AutoFormer's.

    python -m benchmarks.supernet_step [--family=vit|swin|shunted] [--batch=4] [--autoformer=PATH to a clone's AutoFormer folder]

Each row is a ratio to the static model's step (the faster of unrolled and, for an architecture of equal blocks, scanned) on
the same architectures in the same run. A step is augmentation-free: forward, backward, AdamW.
"""

import argparse
import collections.abc
import statistics
import sys
import types
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from s4jax import elastic
from s4jax.models import FAMILIES
from s4jax.pipeline import sizes_maker
from s4jax.runtime import mesh, seeds
from s4jax.search.space import Dimension, SearchSpace
from s4jax.training.recipe import Recipe
from s4jax.training.step import initial_state, make_step

SPACES = {  # Table 1 of the paper
    'vit': (
        dict(image_size=224, classes=100),
        (
            Dimension('embed_dim', 336, 384, 24),
            Dimension('depth', 12, 14, 1),
            Dimension('num_heads', 2, 14, 2, per_block=True),
            Dimension('mlp_ratio', 3.5, 4.0, 0.5, per_block=True),
        ),
    ),
    'swin': (
        dict(image_size=224, classes=100, num_heads=(3, 6, 12, 12)),
        (
            Dimension('embed_dim', 72, 96, 12),
            Dimension('depth', 4, 8, 2),
            Dimension('mlp_ratio', 3.0, 4.0, 0.5, per_block=True),
        ),
    ),
    'shunted': (
        dict(image_size=224, classes=100),
        (
            Dimension('embed_dim', 36, 60, 12),
            Dimension('depth', 3, 4, 1),
            Dimension('mlp_ratio', 6, 8, 1, per_block=True),
        ),
    ),
}


def make_call(model, sizes, batch: int, image_size: int, classes: int, dtype) -> Callable:
    """A call that runs one training step and keeps the state."""
    tx = Recipe(epochs=300, batch_size=batch, lr=5e-4, min_lr=1e-5, weight_decay=0.05).optimizer(
        100 * batch, lambda path: path[-1] not in ('bias', 'scale')
    )
    images = (
        np.random.default_rng(0).normal(size=(batch, image_size, image_size, 3)).astype(np.float32)
    )
    targets = np.eye(classes, dtype=np.float32)[np.arange(batch) % classes]
    mesh_ = mesh.create()
    step = make_step(model, tx, lambda key, batch: batch, seeds.key(0), mesh_)
    held = {'state': mesh.replicate(mesh_, initial_state(model, images[:1], tx, seeds.key(1)))}
    inputs = mesh.shard(mesh_, (images, targets))

    def call():
        held['state'], loss = step(held['state'], sizes(), inputs)
        return loss

    return call


def autoformer_call(
    path: str, space: SearchSpace, choices: dict, batch: int, image_size: int, classes: int
) -> Callable:
    """The same step in AutoFormer's own PyTorch code."""
    sys.path.insert(0, path)
    sys.modules['torch._six'] = types.ModuleType('torch._six')  # gone from today's PyTorch
    sys.modules['torch._six'].container_abcs = collections.abc
    import torch
    from model.module.Linear_super import LinearSuper
    from model.module.qkv_super import qkv_super
    from model.supernet_transformer import Vision_TransformerSuper

    width, heads = max(space.largest()['embed_dim'], 64), max(space.largest()['num_heads'])
    net = Vision_TransformerSuper(
        img_size=image_size,
        embed_dim=width,
        num_heads=width // 64,
        qkv_bias=True,
        mlp_ratio=max(space.largest()['mlp_ratio']),
        depth=space.largest()['depth'],
        num_classes=classes,
        gp=True,
        relative_position=True,
        change_qkv=True,
    )
    for block in (
        net.blocks
    ):  # heads beyond width / 64, as the paper's space has them, without widening all the rest
        block.attn.qkv, block.attn.proj = (
            qkv_super(width, 3 * 64 * heads),
            LinearSuper(64 * heads, width),
        )
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-4, weight_decay=0.05)
    images, labels = torch.randn(batch, 3, image_size, image_size), torch.arange(batch) % classes

    def call():
        depth = choices['depth']
        net.set_sample_config(
            {
                'embed_dim': [choices['embed_dim']] * depth,
                'layer_num': depth,
                'num_heads': list(choices['num_heads']),
                'mlp_ratio': list(choices['mlp_ratio']),
            }
        )
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
        return 0

    return call


def measure(
    family_name: str, batch: int, rounds: int, architectures: int, autoformer: str, dtype
) -> None:
    facts, dimensions = SPACES[family_name]
    family = FAMILIES[family_name]
    space = SearchSpace(dimensions, family.stages(tuple(d.name for d in dimensions)))

    def architecture(choices):
        return family.architecture(choices, **facts)

    rng = np.random.default_rng(0)
    middle = {d.name: d.values[len(d.values) // 2] for d in dimensions}
    drawn = [
        {
            n: (v,) * space.blocks(d, middle) if d.per_block else v
            for d, (n, v) in zip(dimensions, middle.items())
        }
    ]
    drawn += [
        space.sample(rng) | {'embed_dim': middle['embed_dim']} for _ in range(architectures - 1)
    ]
    supernet = family.Model(architecture(space.largest()), dtype)
    current = {}
    calls = {
        mode: make_call(
            supernet,
            lambda mode=mode: current[mode],
            batch,
            facts['image_size'],
            facts['classes'],
            dtype,
        )
        for mode in ('sliced', 'masked')
    }
    rate = timing.matmul_rate(dtype)
    print(
        f'{family_name}, batch {batch}, {jnp.dtype(dtype).name}; {timing.machine()}; plain matmul {rate / 1e9:,.0f} GFLOP/s'
    )
    print(
        f'{"architecture":<34}{"static s":>10}{"sliced":>9}{"masked":>9}{"scanned":>9}{"torch":>9}{"FLOP limit":>12}'
    )
    ratios = []
    for n, choices in enumerate(drawn):
        arch = architecture(choices)
        current.update(
            {
                mode: sizes_maker(space, architecture, family.sizes_of, mode)(choices)
                for mode in calls
            }
        )
        here = calls | {
            'static': make_call(
                family.Model(arch, dtype),
                lambda: elastic.fixed(family.sizes_of(arch)),
                batch,
                facts['image_size'],
                facts['classes'],
                dtype,
            )
        }
        if n == 0:  # equal blocks: the standalone model can be scanned too
            alone = sizes_maker(single(space, choices), architecture, family.sizes_of, 'sliced')(
                choices
            )
            here['scanned'] = make_call(
                family.Model(arch, dtype),
                lambda: alone,
                batch,
                facts['image_size'],
                facts['classes'],
                dtype,
            )
        if autoformer:
            here['torch'] = autoformer_call(
                autoformer, space, choices, batch, facts['image_size'], facts['classes']
            )
        seconds = timing.interleaved(here, rounds)
        static = min(seconds['static'], seconds.get('scanned', np.inf))
        limit = 6 * family.macs(arch) * batch / rate
        row = [
            f'{seconds[m] / static:>9.2f}' if m in seconds else f'{"-":>9}'
            for m in ('sliced', 'masked', 'scanned', 'torch')
        ]
        label = f'{family.params(arch) / 1e6:.1f}M, {family.macs(arch) / 1e9:.1f}G MACs'
        print(f'{label:<34}{static:>10.3f}{"".join(row)}{limit / static:>12.2f}', flush=True)
        ratios.append(
            {m: seconds[m] / static for m in seconds} | {'limit': limit / seconds['sliced']}
        )
    print(
        'medians: '
        + ', '.join(
            f'{m} {statistics.median(r[m] for r in ratios if m in r):.2f}' for m in ratios[0]
        )
    )
    if autoformer:
        print(
            f"AutoFormer's PyTorch step takes {statistics.median(r['torch'] / r['sliced'] for r in ratios):.2f} times the sliced one"
        )


def single(space: SearchSpace, choices: dict) -> SearchSpace:
    """The space that holds the one architecture of equal blocks."""
    values = [choices[d.name][0] if d.per_block else choices[d.name] for d in space.dimensions]
    return SearchSpace(
        tuple(
            Dimension(d.name, v, v, d.step, per_block=d.per_block)
            for d, v in zip(space.dimensions, values)
        ),
        space.stages,
    )


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--family', default='vit', choices=SPACES)
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--architectures', type=int, default=2)
    parser.add_argument(
        '--autoformer',
        default='',
        metavar='PATH',
        help='the AutoFormer folder of a clone of microsoft/Cream',
    )
    parser.add_argument('--dtype', default='float32', choices=('float32', 'bfloat16'))
    options = parser.parse_args()
    measure(
        options.family,
        options.batch,
        options.rounds,
        options.architectures,
        options.autoformer,
        jnp.dtype(options.dtype),
    )
