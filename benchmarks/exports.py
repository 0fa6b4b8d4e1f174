"""Exports of finished runs in every format beside JAX, as one Markdown table.

python -m benchmarks.exports runs/digits runs/swin runs/shunted runs/clip
"""

import argparse
import contextlib
import io
import json
import pathlib
import tempfile

from s4jax import export

WAYS = [(kind, weights) for kind, known in export.QUANTIZED.items() for weights in known]


def exported(run, kind, weights):
    """The rows of an export's parity.json, or none where the format refuses the family."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [f'--run={run}', f'--to={folder}', f'--format={kind}', f'--quantize={weights}']
        with contextlib.redirect_stdout(io.StringIO()):
            code = export.main(flags)
        return [] if code == 2 else json.loads((pathlib.Path(folder) / 'parity.json').read_text())


def cells(run, kind, row):
    weights = 'float32' if row['weights'] == 'none' else row['weights']
    return (
        json.loads((run / 'config.json').read_text())['config']['family'],
        f'{kind}, {weights}',
        row['run_by'],
        f'{row["difference"]:.1e} of {row["logit"]:.2f}',
        f'{row["equal"]} of {row["images"]}',
        f'{row["bytes"] / 1000:.0f} kB',
        f'{row["milliseconds"]:.3f}',
        f'{row["jax_milliseconds"]:.3f}',
        row['failure'] or 'yes',
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('runs', nargs='+', type=pathlib.Path)
    parser.add_argument('--formats', default=','.join(export.QUANTIZED))
    options = parser.parse_args()
    print(
        '| family | format, weights | run by | largest difference | equal class | on disk |', end=''
    )
    print(' ms an image | in JAX | sound |')
    print('| --- ' * 9 + '|')
    for run in options.runs:
        for kind, weights in WAYS:
            if kind in options.formats.split(','):
                for row in exported(run, kind, weights):
                    print(f'| {" | ".join(cells(run, kind, row))} |', flush=True)


if __name__ == '__main__':
    main()
