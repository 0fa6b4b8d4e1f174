"""Published datasets: those of TensorFlow Datasets (TFDS), and the paper's by builders of ours."""

import contextlib
import errno
import io
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from s4jax.data.locks import locked
from s4jax.data.messages import near
from s4jax.data.places import data_directory, neighbours, path_of, permitted, prepared_directory
from s4jax.data.prepared import Items
from s4jax.data.stored import SPLITS
from s4jax.errors import UsageError
from s4jax.runtime.files import disk_full

Builder = Any  # tfds.core.DatasetBuilder: TFDS is imported only where it is needed


def find(name: str, root: str) -> Builder:
    """The TFDS builder of a dataset that is on the disk; UsageError where it is not."""
    builder = _on_disk(name, root)
    if builder is None:
        command = f'python -m s4jax.data prepare --name={name}'
        place = f' --root={root}' if root else ''
        raise UsageError(f'{name} is not prepared in {data_directory(root)}: {command}{place}')
    return builder


def _on_disk(name: str, root: str) -> Builder | None:
    """The builder whose data is on the disk, TFDS's own before ours; None where it is not."""
    for make in makers(name, root):
        builder = make()
        if (builder.data_path / 'dataset_info.json').exists():
            return builder
    return None


def makers(name: str, root: str) -> list[Callable[[], Builder]]:
    """Functions that make the builders of a dataset: TFDS's own, then ours without TensorFlow."""
    import tensorflow_datasets as tfds

    from s4jax.data.builders import BUILDERS

    directory = data_directory(root)
    ours: list[Callable[[], Builder]] = []
    if name in BUILDERS:
        ours = [lambda: BUILDERS[name](data_dir=directory, file_format='array_record')]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints that TensorFlow is missing
            builder = tfds.builder(name, data_dir=directory)
        return [lambda: builder, *ours]
    except tfds.core.DatasetNotFoundError:
        if ours:
            return ours
        listed = tfds.list_builders(with_community_datasets=False)
        known = ['digits', 'folder', *BUILDERS, *listed]
        raise UsageError(f"data.name='{name}' is not a dataset{near(name, known)}") from None
    except ImportError as error:
        raise _needs_more(name, error) from None
    except (AssertionError, TypeError, ValueError) as error:  # a wrong config, version or syntax
        raise UsageError(
            f"data.name='{name}' is not a dataset of TensorFlow Datasets ({_reason(error)})"
        ) from None


def items(builder: Builder) -> Items:
    """A prepared TFDS dataset's encoded images."""
    import tensorflow_datasets as tfds

    features, name = builder.info.features, builder.info.full_name
    if not {'image', 'label'} <= set(features) or not isinstance(
        features['label'], tfds.features.ClassLabel
    ):
        raise UsageError(
            f"data.name='{name}' has the features {sorted(features)}: image, and label as a class, "
            'are needed'
        )
    splits = [split for split in SPLITS if split in builder.info.splits]
    if 'train' not in splits:
        raise UsageError(
            f"data.name='{name}' has no split called train, but {', '.join(builder.info.splits)}"
        )
    decoders = {'image': tfds.decode.SkipDecoding()}
    try:
        sources = [builder.as_data_source(split=split, decoders=decoders) for split in splits]
    except NotImplementedError:
        raise UsageError(
            f'{name} was prepared as {builder.info.file_format.value}, which only TensorFlow '
            f'reads: remove {builder.data_path} and run python -m s4jax.data prepare'
        ) from None
    counts = {split: len(source) for split, source in zip(splits, sources)}
    ends = np.cumsum(list(counts.values()))

    def read(i: int) -> tuple[bytes, int]:
        part = int(np.searchsorted(ends, i, side='right'))
        example = sources[part][int(i - ends[part] + counts[splits[part]])]
        return example['image'], example['label']

    names = [f'{split}[{i}]' for split, count in counts.items() for i in range(count)]
    return Items(tuple(features['label'].names), counts, names, read, f'{name} {counts}')


def download(name: str, root: str, archive: str | None = None, any_checksum: bool = False) -> None:
    """Makes TFDS prepare a dataset, from an archive on the disk or from the network.

    Nothing happens where it is prepared already.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.checksums import compute_url_info

    # a wrong name or archive is refused before anything is written
    builder = makers(name, root)[-1]()
    archive_name = _archive_name(builder, archive) if archive else ''
    with (
        locked(prepared_directory(root) / name.replace('/', '-')),
        tempfile.TemporaryDirectory() as manual,
    ):
        if _on_disk(name, root) is not None:
            return
        if archive:
            link = pathlib.Path(manual, archive_name)
            link.symlink_to(archive_path(archive))  # where TFDS looks before it downloads
            if any_checksum and hasattr(builder, 'URL'):
                builder.url_infos = {builder.URL: compute_url_info(link)}
        config = tfds.download.DownloadConfig(manual_dir=manual if archive else None)
        with _download_errors(name, root, archive):
            builder.download_and_prepare(file_format='array_record', download_config=config)


@contextlib.contextmanager
def _download_errors(name: str, root: str, archive: str | None) -> Iterator[None]:
    """What TFDS raises while it prepares a dataset, as one clear line."""
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    try:
        yield
    except NonMatchingChecksumError as error:
        official = str(error).splitlines()[1].lstrip('* ')
        override = '; --any-checksum accepts it anyway' if archive else ''
        raise UsageError(
            f'{archive or name} does not have the official checksum: it is damaged, incomplete or '
            f'another archive ({official}){override}'
        ) from None
    except ImportError as error:
        raise _needs_more(name, error) from None
    except Exception as error:  # a wrong archive, no network: TFDS and zlib raise almost anything
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise disk_full(data_directory(root)) from None
        source = archive or 'the network'
        raise UsageError(
            f'{name} could not be prepared from {source} ({_reason(error)}): take the official '
            'archive, with --archive=FILE where there is no network'
        ) from None


def _needs_more(name: str, error: ImportError) -> UsageError:
    return UsageError(
        f"TFDS needs more to prepare {name} ({_reason(error)}): pip install 's4jax[prepare]'"
    )


def _reason(error: Exception) -> str:
    """An error in one line that is not too long."""
    return ' '.join(f'{type(error).__name__}: {error}'.split())[:300]


def archive_path(archive: str) -> pathlib.Path:
    """The file that --archive names; UsageError where there is none."""
    path = path_of(archive, '--archive')
    if not archive:
        raise UsageError('--archive= is empty; write --archive=FILE')
    if path.is_dir():
        raise UsageError(f'--archive={archive} is a folder; write the path of the archive in it')
    if not path.is_file():
        others = [other.name for other in neighbours(path)]
        raise UsageError(f'--archive={archive} is not a file{near(path.name, others)}')
    if not permitted(path, os.R_OK):
        raise UsageError(f'--archive={archive}: no permission to read this file')
    return path


def _archive_name(builder: Builder, archive: str) -> str:
    """The name under which TFDS looks for an archive; an archive of our builders may have any."""
    if hasattr(builder, 'filename'):
        return builder.filename()
    name = archive_path(archive).name
    known = [info.filename for info in (builder.url_infos or {}).values()]
    if known and name not in known:
        raise UsageError(
            f'--archive={archive} is none of the archives of which {builder.name} is made: '
            f'{", ".join(known[:5])}'
        )
    return name
