"""A longer demo that is killed some times: how much of the work is kept.

    python tests/faults/long.py --workdir=runs/long --times=10 --kills=5 --every=180

The epochs are `--times` those of the demo; about `--every` seconds after each start the run gets
kill -9. A further start ends it; its own account of the work done and kept is printed.
"""

import argparse
import pathlib
import random
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

from runs import command, config  # noqa: E402

from s4jax.runtime import goodput  # noqa: E402


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--workdir', type=pathlib.Path, required=True)
    parser.add_argument('--times', type=int, default=10)
    parser.add_argument('--kills', type=int, default=5)
    parser.add_argument('--every', type=float, default=180, help='seconds')
    options = parser.parse_args()
    demo, rng, killed = config(), random.Random(0), 0
    longer = {
        f'{name}.epochs': getattr(demo, name).epochs * options.times
        for name in ('supernet', 'retrain')
    }
    arguments = command(options.workdir.absolute(), base=longer)
    while True:
        process = subprocess.Popen(arguments, cwd=ROOT)
        try:
            wait = options.every * rng.uniform(0.5, 1.5) if killed < options.kills else None
            code = process.wait(wait)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    if code or killed < options.kills:
        sys.exit(f'it ended with {code} after {killed} of {options.kills} kills: lower --every')
    print(f'{killed} kills: {goodput.read(options.workdir)}')


if __name__ == '__main__':
    main()
