"""`python -m s4jax.predict --run=runs/mine photo.jpg photos/`: the classes of images.

One line for each image, `path: class 97.3%, …`. Of a folder, the image files at any depth are
taken. Exit codes: 0; 2 after a mistake, before anything is predicted; 3 where images could not be
read: they are named and passed over.
"""

import concurrent.futures
import csv
import dataclasses
import io
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from s4jax.errors import UsageError
from s4jax.runtime.arguments import Parser, read_flags
from s4jax.settings import Int, Section

if TYPE_CHECKING:
    from s4jax.predictor import Prediction, Predictor

UNREADABLE = 3  # the exit code where images were passed over
EXAMPLE = 'python -m s4jax.predict --run=runs/mine photo.jpg'


class PredictSettings(Section):
    """The flags."""

    run: str = pydantic.Field(min_length=1, description='the folder of a finished run')
    which: Literal['winner', 'baseline'] = pydantic.Field(
        'winner', description='winner, or baseline: the hand-made model'
    )
    top: Int = pydantic.Field(5, ge=1, le=10**6, description='classes for each image')
    csv: str = pydantic.Field(
        '', description='a file to write as well: path, rank, class, probability'
    )
    images: tuple[str, ...] = pydantic.Field(description='image files, and folders of them')


def parser() -> Parser:
    """All flags as text; the section above checks their values."""
    result = Parser(prog='python -m s4jax.predict', description=__doc__)
    for name, field in PredictSettings.model_fields.items():
        if name != 'images':
            result.add_argument(f'--{name}', required=field.is_required(), help=field.description)
    about = PredictSettings.model_fields['images'].description
    result.add_argument('images', nargs='*', metavar='IMAGES', help=about)
    return result


def read(arguments: Sequence[str] | None) -> PredictSettings:
    options = parser().parse_intermixed_args(arguments)
    given = {name: value for name, value in vars(options).items() if value is not None}
    settings = read_flags(PredictSettings, given)
    if not settings.images:
        raise UsageError(f'no image is named; write {EXAMPLE}')
    return settings


def find(names: Sequence[str]) -> list[pathlib.Path]:
    """The files that are named, and those in folders that are, by name; hidden ones are left out.

    Raises UsageError where there is none.
    """
    from s4jax.data.decode import SUFFIXES

    found: list[pathlib.Path] = []
    for name in names:
        path = pathlib.Path(name).expanduser()
        if not _exists(path, name):
            raise UsageError(f'{name} is not a file or a folder')
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(
            file
            for place, _, files in os.walk(path)
            for file in (pathlib.Path(place, name) for name in files)
            if file.suffix.lower() in SUFFIXES
            and not any(part.startswith('.') for part in file.relative_to(path).parts)
        )
        if not inside:
            raise UsageError(f'the folder {name} holds no image ({", ".join(SUFFIXES)})')
        found += inside
    return found


def _exists(path: pathlib.Path, name: str) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # too long, no permission, a null character
        why = getattr(error, 'strerror', None) or error
        raise UsageError(f'{name[:60]} cannot be read: {why}') from None


def check_csv(name: str) -> None:
    """Raises where no file of that name can be written."""
    path = pathlib.Path(name).expanduser()
    if path.is_dir():
        raise UsageError(f'--csv={name} is a folder; write the path of a file')
    if not path.parent.is_dir():
        raise UsageError(f'--csv={name}: the folder {path.parent} does not exist; make it first')
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(f'--csv={name}: no permission to write in {path.parent}')


def load(settings: PredictSettings, images: int) -> 'Predictor':
    """The model; the libraries take seconds to load: after the flags are known to be sound."""
    from s4jax.runtime.hosts import check_devices

    check_devices()
    from s4jax import predictor
    from s4jax.runtime import mesh

    found = predictor.load(settings.run, settings.which)
    few = mesh.round_up(min(images, found.batch_size))  # one image does not wait for 63 of padding
    return dataclasses.replace(found, batch_size=few)


Found = tuple[pathlib.Path, 'Prediction | str']  # a file, and its classes or why there are none


def predictions(
    predictor: 'Predictor', paths: Sequence[pathlib.Path], top: int
) -> Iterator[list[Found]]:
    """Batches of files; the next one is read while one is on the devices."""
    import numpy as np

    from s4jax.data.decode import Unreadable
    from s4jax.predictor import reason

    def pixels(path: pathlib.Path) -> np.ndarray | str:
        try:
            return predictor.stored(path)
        except (Unreadable, OSError) as error:
            return reason(error)

    size = predictor.batch_size
    parts = [paths[start : start + size] for start in range(0, len(paths), size)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        following = pool.map(pixels, parts[0])
        for part, then in zip(parts, [*parts[1:], []]):
            read, following = list(following), pool.map(pixels, then)
            sound = [item for item in read if not isinstance(item, str)]
            found = iter(predictor.predict(np.stack(sound), top) if sound else [])
            yield [(p, r if isinstance(r, str) else next(found)) for p, r in zip(part, read)]


def execute(settings: PredictSettings) -> int:
    """Predicts, prints, and returns the exit code."""
    import tqdm

    paths = find(settings.images)
    if settings.csv:
        check_csv(settings.csv)
    predictor = load(settings, len(paths))
    rows: list[tuple[Any, ...]] = [('path', 'rank', 'class', 'probability')]
    unreadable = 0
    shown = sys.stderr.isatty()
    bar = tqdm.tqdm(
        total=len(paths),
        desc='predicting',
        unit='img',
        file=sys.stderr,
        mininterval=0.5 if shown else 10,
    )
    say = bar.write if shown else print  # above the line of progress, where there is one
    with bar:
        for found in predictions(predictor, paths, settings.top):
            lines = []
            for path, prediction in found:
                name = os.fsencode(path).decode(errors='replace')
                if isinstance(prediction, str):
                    unreadable += 1
                    text = _line(f'{name} cannot be read: {prediction}')
                    say(f's4jax: {text}', file=sys.stderr)
                    continue
                pairs = list(zip(prediction.classes, prediction.probabilities))
                shares = ', '.join(f'{label} {share:.1%}' for label, share in pairs)
                lines.append(_line(f'{name}: {shares}'))
                rows += [(name, rank, *pair) for rank, pair in enumerate(pairs, start=1)]
            if lines:
                say('\n'.join(lines), file=sys.stdout)
            bar.update(len(found))
    sys.stdout.flush()
    if settings.csv:
        write(rows, pathlib.Path(settings.csv).expanduser())
    if unreadable:
        print(
            f's4jax: {unreadable:,} of {len(paths):,} images cannot be read and are passed over',
            file=sys.stderr,
        )
    return UNREADABLE if unreadable else 0


def write(rows: Sequence[tuple[Any, ...]], path: pathlib.Path) -> None:
    """The rows as CSV, the whole file or nothing."""
    from s4jax.runtime.files import write_bytes

    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    write_bytes(path, text.getvalue().encode())


def _line(text: str) -> str:
    """On one line, whatever a file or a class is called."""
    return ' '.join(text.splitlines())


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        return execute(read(arguments))
    except UsageError as error:
        print('s4jax:', _line(str(error)), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('s4jax: stopped', file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the lines has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == '__main__':
    sys.exit(main())
