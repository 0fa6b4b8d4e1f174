"""`python -m s4jax.data prepare --name=…` and `python -m s4jax.data inspect --name=…`."""

import argparse
import pathlib
import sys

from s4jax import data
from s4jax.data import inspect, sources
from s4jax.data.prepared import told
from s4jax.errors import UsageError


def parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        '--name',
        required=True,
        help='folder, cifar10, cifar100, tiny_imagenet, sun397, digits, or any image '
        'classification dataset of TensorFlow Datasets',
    )
    shared.add_argument(
        '--root',
        default='',
        help="the folder of images; else TFDS's data directory (default: TFDS_DATA_DIR or "
        '~/tensorflow_datasets)',
    )
    shared.add_argument(
        '--storage-size',
        type=int,
        help='pixels of the stored images (default: 32 for CIFAR, 64 for Tiny '
        'ImageNet, 256 for others)',
    )
    result = argparse.ArgumentParser(
        prog='python -m s4jax.data', description='Prepares a dataset, or looks at it.'
    )
    commands = result.add_subparsers(dest='command', required=True)
    prepare = commands.add_parser(
        'prepare', parents=[shared], help='download (or take an archive) and store the pixels, once'
    )
    prepare.add_argument(
        '--archive', default='', help='the official archive, where it is on the disk already'
    )
    prepare.add_argument(
        '--any-checksum', action='store_true', help='take an archive that is not the official one'
    )
    look = commands.add_parser(
        'inspect', parents=[shared], help='counts, sizes, what is suspicious, a contact sheet'
    )
    look.add_argument(
        '--sheet', type=pathlib.Path, help='where to write the contact sheet (default: NAME.png)'
    )
    look.add_argument('--seed', type=int, default=0, help='of the splits (default: 0)')
    return result


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        if options.storage_size is not None and options.storage_size < 1:
            raise UsageError(f'--storage-size={options.storage_size} must be at least 1')
        if options.command == 'prepare':
            return prepare(options)
        loaded = data.load(
            options.name, options.seed, root=options.root, storage_size=options.storage_size
        )
        print(*inspect.describe(loaded), sep='\n')
        sheet = options.sheet or pathlib.Path(f'{options.name.replace("/", "-")}.png')
        try:
            print(f'\n{sheet}: images of {inspect.contact_sheet(loaded, sheet)} classes')
        except OSError as error:
            raise UsageError(f'--sheet={sheet} cannot be written: {error.strerror}') from None
        return 0
    except UsageError as error:
        print(f's4jax: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('s4jax: stopped; to go on, run the same command again', file=sys.stderr)
        return 130


def prepare(options: argparse.Namespace) -> int:
    if options.name not in ('digits', 'folder'):
        sources.download(options.name, options.root, options.archive, options.any_checksum)
    prepared = sources.load(options.name, options.root, options.storage_size)
    print(
        f'{options.name}: {len(prepared.rows):,} images of {len(prepared.class_names):,} classes in '
        f'{prepared.directory or "memory"}; digest {prepared.digest}'
    )
    if prepared.unreadable:
        print(
            f'{len(prepared.unreadable):,} of them cannot be read and are skipped: {told(prepared.unreadable)}'
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
