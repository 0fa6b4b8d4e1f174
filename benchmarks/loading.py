"""Does training wait for data? The loader's throughput over the training step's, in one run.

    python -m benchmarks.loading [--image-size=224] [--batch=8]

The loader reads random images from a memory-mapped file of stored images, as in training. The step
is that of the smallest, fastest model of the paper's ViT space (Table 1), with and without the
paper's augmentation on the device.
"""

import argparse
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from s4jax import data, elastic
from s4jax.data import augment
from s4jax.data.prepared import ROW, Prepared
from s4jax.models import FAMILIES
from s4jax.runtime import mesh, seeds
from s4jax.training.recipe import Recipe
from s4jax.training.step import initial_state, make_step

STORED = {32: 50_000, 64: 20_000, 256: 4_000}  # storage size: images in the file
SMALLEST = dict(embed_dim=336, depth=12, num_heads=(2,) * 12, mlp_ratio=(3.5,) * 12)
PIXELS = augment.PreprocessSettings(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
PLAIN = augment.AugmentSettings(
    crop='none', flip=False, rand_augment='', erasing=0.0, mixup=0.0, cutmix=0.0
)


def stored_split(directory: pathlib.Path, size: int, classes: int) -> data.Split:
    """Images of noise in a memory-mapped file, all of them one split."""
    count = STORED[size]
    images = np.lib.format.open_memmap(
        directory / f'{size}.npy', 'w+', np.uint8, (count, size, size, 3)
    )
    block = np.random.default_rng(0).integers(0, 256, (1000, size, size, 3), np.uint8)
    for start in range(0, count, len(block)):
        images[start : start + len(block)] = block[: count - start]
    images.flush()
    rows = np.zeros(count, ROW)
    rows['label'] = np.arange(count) % classes
    stored = np.load(directory / f'{size}.npy', mmap_mode='r')
    names = tuple(map(str, range(classes)))
    return data.Split(Prepared(names, stored, rows, digest=''), np.arange(count))


def step_call(
    split: data.Split, batch: int, image_size: int, augmented: bool, dtype: jnp.dtype
) -> Callable[[], jax.Array]:
    """A call that runs one training step on images that are on the device already."""
    family, classes = FAMILIES['vit'], len(split.prepared.class_names)
    arch = family.architecture(
        SMALLEST,
        image_size=image_size,
        patch=16 if image_size >= 64 else 4,
        channels=3,
        classes=classes,
        head_dim=64,
    )
    model, devices = family.Model(arch, dtype), mesh.create()
    settings = augment.AugmentSettings() if augmented else PLAIN

    def augmentation(key, batch):
        images, labels = batch['images'], batch['labels']
        return augment.train_batch(
            key, images, labels, classes, image_size, settings, PIXELS, devices.size
        )

    tx = Recipe(epochs=1, batch_size=batch, lr=1e-3).optimizer(100 * batch, family.decays)
    step = make_step(model, tx, augmentation, seeds.key(0), devices)
    example = jnp.zeros((1, image_size, image_size, 3))
    state = mesh.replicate(devices, initial_state(model, example, tx, seeds.key(1)))
    inputs = mesh.shard(devices, data.Batches(split, batch, 0)(0))
    sizes = elastic.fixed(family.sizes_of(arch))

    def call():
        nonlocal state
        state, loss = step(state, sizes, inputs)
        return loss

    return call


def loader_rate(split: data.Split, batch: int, seconds: float = 3) -> float:
    """Images a second of one reader thread's work, median over batches."""
    make, times = data.Batches(split, batch, 0), []
    make(0)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        make(len(times))
        times.append(time.perf_counter() - began)
    return batch / statistics.median(times)


def measure(batch: int, image_size: int, rounds: int, dtype) -> None:
    with tempfile.TemporaryDirectory() as directory:
        splits = {size: stored_split(pathlib.Path(directory), size, 100) for size in STORED}
        calls = {
            name: step_call(splits[64], batch, image_size, name == 'augmented', dtype)
            for name in ('plain', 'augmented')
        }
        seconds = timing.interleaved(calls, rounds)
        steps = {name: batch / taken for name, taken in seconds.items()}
        print(f'batch {batch}, model input {image_size}; {timing.machine()}')
        print('step: ' + ', '.join(f'{rate:,.1f} img/s {name}' for name, rate in steps.items()))
        columns = ''.join(f'{"over " + name:>16}' for name in steps)
        print(f'{"stored":>7}{"loader img/s":>14}{columns}')
        for size, split in splits.items():
            loader = loader_rate(split, batch)
            ratios = ''.join(f'{loader / rate:>16,.0f}' for rate in steps.values())
            print(f'{size:>7}{loader:>14,.0f}{ratios}', flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--image-size', type=int, default=224)
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--dtype', default='float32', choices=('float32', 'bfloat16'))
    options = parser.parse_args()
    measure(options.batch, options.image_size, options.rounds, jnp.dtype(options.dtype))
