"""The latency of random architectures as the sum of their blocks, beside whole models, in one run.

    python -m benchmarks.latency --config=configs/digits.py [--architectures=20] [--batch=1]

A line for each architecture of the config's first space: the sum, the whole, the error of the sum.
"""

import argparse
import pathlib
import tempfile

import numpy as np

from s4jax import config as configs
from s4jax import config_file
from s4jax.latency import Latency, LatencySettings
from s4jax.run import prepare
from s4jax.runtime.signals import Signals


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default='configs/digits.py')
    parser.add_argument('--architectures', type=int, default=20)
    parser.add_argument('--batch', type=int, default=1)
    options = parser.parse_args()
    config = configs.read(config_file.read(options.config, []))
    with tempfile.TemporaryDirectory() as folder, Signals() as signals:
        task, _ = prepare(config, pathlib.Path(folder) / 'run', signals)
    settings = LatencySettings(batch=options.batch)
    latency = Latency(task.family, task.inputs.example, settings, config.dtype)
    rng, errors = np.random.default_rng(0), []
    print('| sum, ms | whole, ms | error | MACs | params |\n| --- | --- | --- | --- | --- |')
    for _ in range(options.architectures):
        arch = task.architecture(task.space.sample(rng))
        summed, whole, costs = latency(arch), latency.whole(arch), task.cost(arch)
        errors.append(summed / whole - 1)
        print(
            f'| {summed:.4f} | {whole:.4f} | {errors[-1]:+.1%} | {costs["macs"]:,} '
            f'| {costs["params"]:,} |',
            flush=True,
        )
    size = np.abs(errors)
    print(
        f'\n{len(errors)} architectures of {len(latency.known)} measured parts: mean error '
        f'{np.mean(errors):+.1%}, mean of sizes {size.mean():.1%}, largest {size.max():.1%}'
    )


if __name__ == '__main__':
    main()
