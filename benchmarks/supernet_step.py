"""A supernet's training step against the static model of the same architectures.

    python -m benchmarks.supernet_step [--family=vit|swin|shunted] [--batch=4] [--autoformer=PATH]

PATH is the AutoFormer folder of a clone of microsoft/Cream: then its step is measured, too. Each
row is a ratio to the static model's step (the faster of unrolled and, for an architecture of equal
blocks, scanned) on the same architectures in the same run. A step is augmentation-free: forward,
backward, AdamW.
"""

import argparse
import collections.abc
import dataclasses
import statistics
import sys
import types
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from s4jax import elastic
from s4jax.models import FAMILIES
from s4jax.runtime import mesh, seeds
from s4jax.search.space import Dimension, SearchSpace
from s4jax.training.recipe import Recipe
from s4jax.training.sampling import sizes_maker
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


MODES = ('sliced', 'masked', 'scanned', 'torch')  # compared with the static model


@dataclasses.dataclass(frozen=True)
class Case:
    """A family on its space at one batch size and type of numbers."""

    family: Any
    space: SearchSpace
    facts: dict
    batch: int
    dtype: Any

    @classmethod
    def create(cls, name: str, batch: int, dtype: Any) -> 'Case':
        (facts, dimensions), family = SPACES[name], FAMILIES[name]
        stages = family.stages(tuple(d.name for d in dimensions))
        return cls(family, SearchSpace(dimensions, stages), facts, batch, dtype)

    def architecture(self, choices: dict) -> Any:
        return self.family.architecture(choices, **self.facts)

    def sizes(self, space: SearchSpace, mode: str, choices: dict) -> Any:
        return sizes_maker(space, self.architecture, self.family.sizes_of, mode)(choices)

    def drawn(self, count: int) -> list[dict]:
        """Choices of equal blocks in the middle of the space, then random ones of that width."""
        rng = np.random.default_rng(0)
        middle = {d.name: d.values[len(d.values) // 2] for d in self.space.dimensions}
        equal = {
            d.name: (middle[d.name],) * self.space.blocks(d, middle)
            if d.per_block
            else middle[d.name]
            for d in self.space.dimensions
        }
        width = {'embed_dim': middle['embed_dim']}
        return [equal] + [self.space.sample(rng) | width for _ in range(count - 1)]

    def step(self, model: Any, sizes: Callable[[], Any]) -> Callable:
        """A call that runs one training step of `sizes()` and keeps the state."""
        size, classes = self.facts['image_size'], self.facts['classes']
        recipe = Recipe(epochs=300, batch_size=self.batch, lr=5e-4, min_lr=1e-5, weight_decay=0.05)
        tx = recipe.optimizer(100 * self.batch, lambda path: path[-1] not in ('bias', 'scale'))
        rng = np.random.default_rng(0)
        images = rng.normal(size=(self.batch, size, size, 3)).astype(np.float32)
        targets = np.eye(classes, dtype=np.float32)[np.arange(self.batch) % classes]
        place = mesh.create()
        step = make_step(model, tx, lambda key, batch: batch, seeds.key(0), place)
        state = initial_state(model, images[:1], tx, seeds.key(1))
        held = {'state': mesh.replicate(place, state)}
        inputs = mesh.shard(place, (images, targets))

        def call():
            held['state'], loss = step(held['state'], sizes(), inputs)
            return loss

        return call


def autoformer_step(path: str, case: Case, choices: dict) -> Callable:
    """The same step in AutoFormer's own PyTorch code, on a GPU where PyTorch has one.

    In bfloat16 by autocast, as PyTorch trains in it.
    """
    sys.path.insert(0, path)
    sys.modules['torch._six'] = types.ModuleType('torch._six')  # gone from today's PyTorch
    sys.modules['torch._six'].container_abcs = collections.abc
    import torch
    from model.module.Linear_super import LinearSuper
    from model.module.qkv_super import qkv_super
    from model.supernet_transformer import Vision_TransformerSuper

    largest, batch, classes = case.space.largest(), case.batch, case.facts['classes']
    width, heads = max(largest['embed_dim'], 64), max(largest['num_heads'])
    net = Vision_TransformerSuper(
        img_size=case.facts['image_size'],
        embed_dim=width,
        num_heads=width // 64,
        qkv_bias=True,
        mlp_ratio=max(largest['mlp_ratio']),
        depth=largest['depth'],
        num_classes=classes,
        gp=True,
        relative_position=True,
        change_qkv=True,
    )
    # heads beyond width / 64, as the paper's space has them, without widening all the rest
    for block in net.blocks:
        block.attn.qkv = qkv_super(width, 3 * 64 * heads)
        block.attn.proj = LinearSuper(64 * heads, width)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    net.to(device)
    half = torch.autocast(device, torch.bfloat16, enabled=case.dtype == jnp.bfloat16)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-4, weight_decay=0.05)
    size = case.facts['image_size']
    images = torch.randn(batch, 3, size, size, device=device)
    labels = torch.arange(batch, device=device) % classes
    depth = choices['depth']
    sampled = {
        'embed_dim': [choices['embed_dim']] * depth,
        'layer_num': depth,
        'num_heads': list(choices['num_heads']),
        'mlp_ratio': list(choices['mlp_ratio']),
    }

    def call():
        net.set_sample_config(sampled)
        optimizer.zero_grad()
        with half:
            loss = torch.nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        if device == 'cuda':
            torch.cuda.synchronize()
        return 0

    return call


def measure(case: Case, rounds: int, architectures: int, autoformer: str) -> None:
    """Prints a row for each architecture, and the medians of all rows."""
    supernet = case.family.Model(case.architecture(case.space.largest()), case.dtype)
    current = {}
    calls = {
        mode: case.step(supernet, lambda mode=mode: current[mode]) for mode in ('sliced', 'masked')
    }
    rate = timing.matmul_rate(case.dtype)
    print(
        f'{case.family.__name__.rpartition(".")[2]}, batch {case.batch}, '
        f'{jnp.dtype(case.dtype).name}; {timing.machine()}; '
        f'plain matmul {rate / 1e9:,.0f} GFLOP/s'
    )
    print(
        f'{"architecture":<34}{"static s":>10}'
        + ''.join(f'{mode:>9}' for mode in MODES)
        + f'{"FLOP limit":>12}'
    )
    rows = []
    for n, choices in enumerate(case.drawn(architectures)):
        for mode in calls:
            current[mode] = case.sizes(case.space, mode, choices)
        alone = standalone(case, choices, equal=n == 0)
        if autoformer:
            alone['torch'] = autoformer_step(autoformer, case, choices)
        seconds = timing.interleaved(calls | alone, rounds)
        rows.append(row(case, choices, seconds, rate))
    medians = {
        mode: statistics.median(r[mode] for r in rows if mode in r)
        for mode in rows[0]
        if mode != 'torch / sliced'
    }
    print('medians: ' + ', '.join(f'{mode} {value:.2f}' for mode, value in medians.items()))
    if autoformer:
        ratio = statistics.median(r['torch / sliced'] for r in rows)
        print(f"AutoFormer's PyTorch step takes {ratio:.2f} times the sliced one")


def standalone(case: Case, choices: dict, equal: bool) -> dict[str, Callable]:
    """Steps of the model of one architecture: unrolled and, where its blocks are equal, scanned."""
    arch = case.architecture(choices)
    model, sizes = case.family.Model(arch, case.dtype), elastic.fixed(case.family.sizes_of(arch))
    steps = {'static': case.step(model, lambda: sizes)}
    if equal:
        scanned = case.sizes(single(case.space, choices), 'sliced', choices)
        steps['scanned'] = case.step(model, lambda: scanned)
    return steps


def row(case: Case, choices: dict, seconds: dict[str, float], rate: float) -> dict[str, float]:
    """Prints the seconds of one architecture; returns them as ratios to the static model's."""
    arch = case.architecture(choices)
    params, macs = case.family.params(arch), case.family.macs(arch)
    static = min(seconds['static'], seconds.get('scanned', np.inf))
    limit = 6 * macs * case.batch / rate
    ratios = {mode: value / static for mode, value in seconds.items()}
    cells = [f'{ratios[mode]:>9.2f}' if mode in ratios else f'{"-":>9}' for mode in MODES]
    label = f'{params / 1e6:.1f}M, {macs / 1e9:.1f}G MACs'
    print(f'{label:<34}{static:>10.3f}{"".join(cells)}{limit / static:>12.2f}', flush=True)
    ratios['limit'] = limit / seconds['sliced']
    if 'torch' in seconds:
        ratios['torch / sliced'] = seconds['torch'] / seconds['sliced']
    return ratios


def single(space: SearchSpace, choices: dict) -> SearchSpace:
    """The space that holds the one architecture of equal blocks."""
    values = [choices[d.name][0] if d.per_block else choices[d.name] for d in space.dimensions]
    dimensions = (
        Dimension(d.name, value, value, d.step, per_block=d.per_block)
        for d, value in zip(space.dimensions, values)
    )
    return SearchSpace(tuple(dimensions), space.stages)


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
    case = Case.create(options.family, options.batch, jnp.dtype(options.dtype))
    measure(case, options.rounds, options.architectures, options.autoformer)
