"""`python -m s4jax.count --architecture=FILE`: parameters and MACs of architectures, without building a model."""

import argparse
import json
import pathlib
import sys

from s4jax.errors import UsageError
from s4jax.models import FAMILIES


def count(row: dict) -> dict[str, int]:
    """{params, macs} of a row such as {"family": "vit", "image_size": 224, "classes": 10, "embed_dim": 192, …}."""
    family = FAMILIES.get(row.get('family'))
    if family is None:
        raise UsageError(f'family={row.get("family")!r} is unknown; known: {", ".join(FAMILIES)}')
    arch = family.Architecture.from_json(row)
    return {'params': family.params(arch), 'macs': family.macs(arch)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='python -m s4jax.count', description=__doc__)
    parser.add_argument(
        '--architecture',
        required=True,
        type=pathlib.Path,
        help='a JSON file with one architecture or a list of them',
    )
    path = parser.parse_args(arguments).architecture
    try:
        try:
            rows = json.loads(path.read_text())
        except OSError as error:
            raise UsageError(f'{path} cannot be read: {error.strerror}') from None
        except ValueError as error:
            raise UsageError(f'{path} is no JSON: {error}') from None
        for row in rows if isinstance(rows, list) else [rows]:
            if not isinstance(row, dict):
                raise UsageError(f'{path} must hold an object, or a list of objects, not {row!r}')
            print(json.dumps(count(row)))
    except UsageError as error:
        print(f's4jax: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
