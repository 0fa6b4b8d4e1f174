"""`python -m s4jax.data prepare --name=…` and `python -m s4jax.data inspect --name=…`."""

import argparse
import os
import pathlib
import sys
import typing

import pydantic

from s4jax.data import inspect, places, published, sources, splits
from s4jax.data.messages import first_few
from s4jax.data.prepared import UNREADABLE
from s4jax.data.sources import DataSettings
from s4jax.errors import UsageError
from s4jax.runtime.arguments import Parser, read_flags
from s4jax.settings import Int, S, Section

LOCAL = ('digits', 'folder')  # nothing is downloaded for these


class PrepareSettings(Section):
    """The flags of `prepare`, without those of the dataset."""

    archive: str | None = pydantic.Field(
        None, description='path of the official archive, where it is on the disk already'
    )
    any_checksum: bool = pydantic.Field(
        False, description='accept an archive that is not the official one'
    )

    @pydantic.model_validator(mode='after')
    def _checksum_of_an_archive(self) -> typing.Self:
        if self.archive is None and self.any_checksum:
            raise UsageError('any_checksum is used with --archive=FILE only; leave it out')
        return self


class InspectSettings(Section):
    """The flags of `inspect`, without those of the dataset."""

    sheet: str | None = pydantic.Field(
        None, description='path of the contact sheet to write (default: NAME.png)'
    )
    seed: Int = pydantic.Field(0, ge=0, le=2**31 - 1, description='seed of the splits')


def parser() -> Parser:
    """All flags as text; the sections above and DataSettings check their values."""
    shared = Parser(add_help=False)
    _add(shared, DataSettings, '--name', required=True)
    _add(shared, DataSettings, '--root', default='')
    _add(shared, DataSettings, '--storage-size')
    result = Parser(prog='python -m s4jax.data', description='Prepares a dataset, or looks at it.')
    commands = result.add_subparsers(dest='command', required=True)
    prepare = commands.add_parser(
        'prepare', parents=[shared], help='download (or take an archive) and store the pixels, once'
    )
    _add(prepare, PrepareSettings, '--archive')
    _add(prepare, PrepareSettings, '--any-checksum', action='store_true')
    _add(prepare, DataSettings, '--unreadable', default=UNREADABLE)
    look = commands.add_parser(
        'inspect', parents=[shared], help='counts, sizes, what is suspicious, a contact sheet'
    )
    _add(look, InspectSettings, '--sheet')
    _add(look, InspectSettings, '--seed', default=0)
    return result


def _add(to: Parser, section: type[Section], flag: str, **options: typing.Any) -> None:
    """A flag with the description of the section's field of this name."""
    field = section.model_fields[flag.removeprefix('--').replace('-', '_')]
    to.add_argument(flag, help=(field.description or '').replace('%', '%%'), **options)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns the exit code; 2 for a mistake, which is printed in one line."""
    try:
        options = parser().parse_args(arguments)
        settings = _settings(DataSettings, options)
        if options.command == 'prepare':
            prepare(settings, _settings(PrepareSettings, options))
        else:
            look(settings, _settings(InspectSettings, options))
        return 0
    except UsageError as error:
        print(f's4jax: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('s4jax: stopped; to go on, run the same command again', file=sys.stderr)
        return 130


def _settings(section: type[S], options: argparse.Namespace) -> S:
    """The flags that a section knows."""
    given = {name: value for name, value in vars(options).items() if name in section.model_fields}
    return read_flags(section, given)


def prepare(settings: DataSettings, options: PrepareSettings) -> None:
    """Stores a dataset's pixels and prints what there is."""
    name = settings.name
    if options.archive is not None:
        if name in LOCAL:
            raise UsageError(f'--archive={options.archive} is not used with --name={name}')
        published.archive_path(options.archive)
    if name not in LOCAL:
        published.download(name, settings.root, options.archive, options.any_checksum)
    prepared = sources.load(settings)
    print(
        f'{name}: {len(prepared.rows):,} images of {len(prepared.class_names):,} classes in '
        f'{prepared.directory or "memory"}; digest {prepared.digest}'
    )
    unreadable = prepared.unreadable
    if unreadable:
        print(
            f'{len(unreadable):,} of them cannot be read and are skipped: {first_few(unreadable)}'
        )


def look(settings: DataSettings, options: InspectSettings) -> None:
    """Prints the report on a dataset, even one that no run takes, and writes its contact sheet."""
    sheet = sheet_path(options.sheet, f'{settings.name.replace("/", "-")}.png')
    prepared = sources.load(settings.model_copy(update={'unreadable': 1.0}))
    try:
        loaded, refusal = splits.divide(prepared, settings, options.seed), ''
    except UsageError as error:
        loaded, refusal = splits.undivided(prepared, settings), str(error)
    print(*inspect.describe(loaded), sep='\n')
    if refusal:
        print(f'\na run cannot use these images: {refusal}')
    try:
        print(f'\n{sheet}: images of {inspect.contact_sheet(loaded, sheet)} classes')
    except OSError as error:
        raise UsageError(f'--sheet={sheet} cannot be written: {error.strerror}') from None


def sheet_path(given: str | None, default: str) -> pathlib.Path:
    """Where the contact sheet is to be written; UsageError where it cannot be."""
    text = default if given is None else given
    path = places.path_of(text, '--sheet')
    folder = path.parent
    if not text or path.is_dir():
        raise UsageError(f'--sheet={text} is not a file; write a path such as sheets/{default}')
    if not folder.is_dir():
        raise UsageError(f'--sheet={text}: the folder {folder} does not exist; make it first')
    if not places.permitted(folder, os.W_OK | os.X_OK):
        raise UsageError(f'--sheet={text}: no permission to write in {folder}')
    if path.exists() and not places.permitted(path, os.W_OK):
        raise UsageError(f'--sheet={text}: no permission to replace this file')
    return pathlib.Path(text).expanduser()


if __name__ == '__main__':
    sys.exit(main())
