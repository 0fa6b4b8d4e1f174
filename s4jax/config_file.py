"""Config files: Python files whose `get_config` returns an ml_collections ConfigDict.

Overrides are merged as text and typed by the sections that they belong to, so that a key which the
file leaves out can be set, too, and numbers may be written 60k.
"""

import difflib
import importlib.resources
import inspect
import pathlib
import traceback
from collections.abc import Iterable
from typing import Any

import ml_collections

from s4jax.errors import UsageError


def load(name: str) -> dict[str, Any]:
    """The values of `FILE.py` or `FILE.py:VARIANT`; raises UsageError with what is wrong where.

    A file that does not exist here is looked for among the configs of the package.
    """
    text, colon, variant = name.partition(':')
    path = _find(text)
    namespace: dict[str, Any] = {'__name__': path.stem, '__file__': str(path)}
    try:
        exec(compile(path.read_bytes(), str(path), 'exec'), namespace)
    except SyntaxError as error:
        raise UsageError(f'{path}, line {error.lineno}: {error.msg}') from None
    except OSError as error:
        raise UsageError(f'{path} cannot be read: {error.strerror}') from None
    except Exception as error:
        raise UsageError(_where(path, error)) from None
    make = namespace.get('get_config')
    if not callable(make):
        raise UsageError(f'{path} has no function get_config')
    arguments = (variant,) if colon else ()
    try:
        inspect.signature(make).bind(*arguments)
    except TypeError:
        advice = f'without :{variant}' if colon else 'with a variant, as in FILE.py:VARIANT'
        raise UsageError(f'--config={name}: {path.name} is written {advice}') from None
    try:
        config = make(*arguments)
    except Exception as error:
        raise UsageError(_where(path, error)) from None
    if not isinstance(config, ml_collections.ConfigDict):
        kind = type(config).__name__
        raise UsageError(f'{path}: get_config returns a {kind}; it must return a ConfigDict')
    return config.to_dict()


def _find(text: str) -> pathlib.Path:
    path = pathlib.Path(text)
    try:
        if path.is_file():
            return path
        packaged = configs() / path.name
        if path.parent.name in ('', 'configs') and packaged.is_file():
            return packaged
        folder = path.is_dir()
        known = [str(other) for other in path.parent.glob('*.py')]
        known += [f'configs/{other.name}' for other in configs().glob('*.py')]
    except (OSError, ValueError):  # too long, no permission, a null character
        folder, known = False, []
    if folder:
        raise UsageError(f'--config={text} is a folder: name a file in it')
    found = difflib.get_close_matches(text, known, 1)
    near = f'; did you mean {found[0]}?' if found else ''
    raise UsageError(f'--config={text} does not exist{near}')


def configs() -> pathlib.Path:
    """The folder of the configs that come with the package."""
    package = pathlib.Path(str(importlib.resources.files('s4jax')))
    inside = package / 'configs'
    return inside if inside.is_dir() else package.parent / 'configs'


def _where(path: pathlib.Path, error: Exception) -> str:
    """An error of a config file in one line, with the line where it was raised."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    place = f', line {frames[-1].lineno}' if frames else ''
    message = ' '.join(f'{type(error).__name__}: {error}'.split())
    return f'{path}{place}: {message}'


def read(name: str, assignments: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The values of a config file with keys set as on a command line; not typed yet."""
    values = load(name)
    override(values, assignments)
    return values


def override(values: dict[str, Any], assignments: Iterable[tuple[str, str]]) -> None:
    """Sets keys such as 'evolve.population' in nested values to the text given."""
    for key, text in assignments:
        place: Any = values
        *path, last = key.split('.')
        for n, part in enumerate(path):
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                where = '.'.join(['config', *path[: n + 1]])
                raise UsageError(f'--config.{key}={text}: {where} is a value, not a group of keys')
        place[last] = None if text == 'None' else text
