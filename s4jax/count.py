"""`python -m s4jax.count --architecture=FILE`: exact parameters and MACs, without building a model.

FILE holds one architecture as JSON, as a run writes it, or a list of them.
"""

import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from s4jax.errors import UsageError
from s4jax.models import COSTS, FAMILIES
from s4jax.runtime.arguments import Parser
from s4jax.settings import near, shown


def count(row: Mapping[str, Any]) -> dict[str, int]:
    """{params, macs} of a row such as {"family": "vit", "embed_dim": 192, …}."""
    if 'family' not in row:
        raise UsageError(f'architecture: family is missing; it is one of {", ".join(FAMILIES)}')
    name = row['family']
    if not isinstance(name, str) or name not in FAMILIES:
        raise UsageError(
            f'architecture: family={shown(name)} is unknown{near(str(name), list(FAMILIES))}'
        )
    family = FAMILIES[name]
    arch = family.Architecture.from_json(row)
    return {name: getattr(family, name)(arch) for name in COSTS}


def read(path: pathlib.Path) -> list[Any]:
    """The rows of a file of JSON; raises UsageError where it cannot be read or holds none."""
    try:
        rows = json.loads(path.read_bytes(), parse_constant=_refuse)
    except OSError as error:
        raise UsageError(f'{path} cannot be read: {error.strerror}') from None
    except UnicodeDecodeError:
        raise UsageError(f'{path} is not text in UTF-8') from None
    except ValueError as error:
        raise UsageError(f'{path} is not JSON: {error}') from None
    rows = rows if isinstance(rows, list) else [rows]
    if not rows:
        raise UsageError(f'{path} holds an empty list; write at least one architecture')
    for row in rows:
        if not isinstance(row, dict):
            raise UsageError(f'{path} must hold an object or a list of objects, not {shown(row)}')
    return rows


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f'{constant} is not a number')


def _counts(path: pathlib.Path) -> list[dict[str, int]]:
    try:
        return [count(row) for row in read(path)]
    except RecursionError:
        raise UsageError(f'{path} is nested too deeply for an architecture') from None


def main(arguments: list[str] | None = None) -> int:
    """Prints one line of JSON per architecture; returns the exit code, 2 after a wrong input."""
    parser = Parser(prog='python -m s4jax.count', description=__doc__)
    parser.add_argument(
        '--architecture',
        required=True,
        type=pathlib.Path,
        help='a JSON file with one architecture or a list of them',
    )
    try:
        counts = _counts(parser.parse_args(arguments).architecture)
    except UsageError as error:
        print('s4jax:', *str(error).split(), file=sys.stderr)  # on one line whatever it repeats
        return 2
    print('\n'.join(json.dumps(row) for row in counts))
    return 0


if __name__ == '__main__':
    sys.exit(main())
