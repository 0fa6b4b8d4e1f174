"""Where images come from: scikit-learn's digits, a folder, and image classification datasets of TensorFlow Datasets."""

import difflib
import errno
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from s4jax.data.decode import SUFFIXES
from s4jax.data.prepared import SPLITS, Items, Prepared, in_memory, locked, prepare
from s4jax.errors import UsageError
from s4jax.runtime.files import disk_full

STORAGE_SIZES = {
    'cifar10': 32,
    'cifar100': 32,
    'tiny_imagenet': 64,
}  # pixels of the short side, as published; others 256
FOLDERS = {
    'train': 'train',
    'val': 'validation',
    'valid': 'validation',
    'validation': 'validation',
    'test': 'test',
}


def load(
    name: str, root: str, storage_size: int | None, stop: Callable[[], bool] = lambda: False
) -> Prepared:
    """The dataset `name`, prepared now if its images are at hand. `root`: the folder, or TFDS's data directory."""
    size = storage_size or STORAGE_SIZES.get(name, 256)
    if name == 'digits':
        return digits()
    if name == 'folder':
        path = folder_path(root)
        place = hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()
        return prepare(
            prepared_directory('') / f'folder-{path.name}-{place}-{size}',
            folder(path),
            size,
            3,
            stop,
        )
    builder = prepared_builder(name, root)
    if builder is None:
        raise UsageError(
            f'{name} is not prepared in {data_directory(root)}: python -m s4jax.data prepare --name={name}'
            + (f' --root={root}' if root else '')
        )
    channels = 1 if builder.info.features['image'].shape[-1] == 1 else 3
    directory = prepared_directory(root) / f'{builder.info.full_name.replace("/", "-")}-{size}'
    return prepare(directory, tfds_items(builder), size, channels, stop)


def data_directory(root: str) -> pathlib.Path:
    """TFDS's: `root`, or TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return pathlib.Path(
        root or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
    ).expanduser()


def prepared_directory(root: str) -> pathlib.Path:
    return data_directory(root) / 's4jax'


def digits() -> Prepared:
    """1,797 real handwritten digits, 8×8×1, that come with scikit-learn (UCI's optical recognition of digits, test part)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return in_memory(tuple(map(str, bunch.target_names)), images, bunch.target)


def near(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is not known."""
    found = difflib.get_close_matches(name, list(known), 3)
    return f'; near: {", ".join(found)}' if found else ''


def folder_path(root: str) -> pathlib.Path:
    if not root:
        raise UsageError(
            "data.name='folder' needs data.root: a folder with one folder of images for each class"
        )
    path = pathlib.Path(root).expanduser().resolve()
    if not path.is_dir():
        beside = (
            [other.name for other in path.parent.iterdir() if other.is_dir()]
            if path.parent.is_dir()
            else []
        )
        raise UsageError(f'data.root={root} is no folder{near(path.name, beside)}')
    if not os.access(path, os.R_OK | os.X_OK):
        raise UsageError(f'no permission to read data.root={root}')
    return path


def folder(root: pathlib.Path) -> Items:
    """The images of root/{train,val,test}/<class>/, or of root/<class>/; folders below a class belong to it.

    Hidden files and folders, and files without an image's suffix are not looked at.
    """
    named = [path for path in folders(root) if path.name in FOLDERS]
    own = {FOLDERS[path.name]: path for path in named}
    if not folders(root / 'train'):  # 'train' may be a class, too, beside cars and planes
        own = {'train': root}
    elif len(own) < len(named):
        raise UsageError(
            f'{root} has two folders for one split: {", ".join(path.name for path in named)}'
        )
    found = {
        split: {path.name: image_files(path) for path in folders(own[split])}
        for split in SPLITS
        if split in own
    }
    check_classes(own, found)
    class_names = tuple(sorted(found['train']))
    files, labels = [], []
    for split in found:
        for label, name in enumerate(class_names):
            files += found[split][name]
            labels += [label] * len(found[split][name])
    identity = hashlib.blake2b(digest_size=16)
    for path in files:
        try:
            facts = path.stat()
            identity.update(
                f'{path.relative_to(root)}\n{facts.st_size}\n{facts.st_mtime_ns}\n'.encode(
                    errors='surrogateescape'
                )
            )
        except OSError:  # a link to nowhere: reading it will tell
            identity.update(f'{path.relative_to(root)}\n'.encode(errors='surrogateescape'))
    return Items(
        class_names,
        {split: sum(map(len, classes.values())) for split, classes in found.items()},
        [os.fsencode(path.relative_to(root)).decode(errors='replace') for path in files],
        lambda i: (files[i].read_bytes(), labels[i]),
        identity.hexdigest(),
    )


def folders(path: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in path.glob('*') if p.is_dir() and not p.name.startswith('.'))


def image_files(path: pathlib.Path) -> list[pathlib.Path]:
    """The images below a class's folder, in an order that is the same on every machine."""
    files = (
        pathlib.Path(place, file)
        for place, _, files in os.walk(path)
        for file in files
        if file.lower().endswith(SUFFIXES)
    )
    return sorted(
        file
        for file in files
        if not any(part.startswith('.') for part in file.relative_to(path).parts)
    )


def check_classes(
    own: dict[str, pathlib.Path], found: dict[str, dict[str, list[pathlib.Path]]]
) -> None:
    """Raises where the folders do not say what the classes are."""
    train = found['train']
    if len(train) < 2:
        raise UsageError(
            f'{own["train"]} holds {len(train)} folders of images: at least two classes are needed, each a folder '
            'of its own'
        )
    for split, classes in found.items():
        differing = sorted(set(classes) ^ set(train))
        if differing:
            raise UsageError(
                f'the classes of {own[split]} and {own["train"]} differ: {", ".join(differing[:5])} '
                f'{"is" if len(differing) == 1 else "are"} in one of them alone'
            )
        empty = [name for name, files in classes.items() if not files]
        if empty:
            raise UsageError(
                f'{own[split] / empty[0]} holds no image ({", ".join(SUFFIXES)}): remove the folder or fill it'
            )


def prepared_builder(name: str, root: str) -> Any | None:
    """The TFDS builder of a dataset that is on the disk, TFDS's own before ours; None where it is not."""
    for make in makers(name, root):
        builder = make()
        if (builder.data_path / 'dataset_info.json').exists():
            return builder
    return None


def makers(name: str, root: str) -> list[Callable[[], Any]]:
    """Functions that make the builders of a dataset: TFDS's own, then ours that needs no TensorFlow."""
    import tensorflow_datasets as tfds

    from s4jax.data.builders import BUILDERS

    directory = data_directory(root)
    result = (
        [lambda: BUILDERS[name](data_dir=directory, file_format='array_record')]
        if name in BUILDERS
        else []
    )
    try:
        builder = tfds.builder(name, data_dir=directory)
        return [lambda: builder, *result]
    except tfds.core.DatasetNotFoundError:
        if not result:
            known = [
                'digits',
                'folder',
                *BUILDERS,
                *tfds.list_builders(with_community_datasets=False),
            ]
            raise UsageError(f"data.name='{name}' is no dataset{near(name, known)}") from None
        return result


def tfds_items(builder: Any) -> Items:
    """A prepared TFDS dataset's encoded images."""
    import tensorflow_datasets as tfds

    features, name = builder.info.features, builder.info.full_name
    if not {'image', 'label'} <= set(features) or not isinstance(
        features['label'], tfds.features.ClassLabel
    ):
        raise UsageError(
            f"data.name='{name}' has the features {sorted(features)}: image, and label as a class, are needed"
        )
    splits = [split for split in SPLITS if split in builder.info.splits]
    if 'train' not in splits:
        raise UsageError(
            f"data.name='{name}' has no split called train, but {', '.join(builder.info.splits)}"
        )
    try:
        sources = [
            builder.as_data_source(split=split, decoders={'image': tfds.decode.SkipDecoding()})
            for split in splits
        ]
    except NotImplementedError:
        raise UsageError(
            f'{name} was prepared as {builder.info.file_format.value}, which TensorFlow alone reads: remove '
            f'{builder.data_path} and run python -m s4jax.data prepare'
        ) from None
    counts = {split: len(source) for split, source in zip(splits, sources)}
    ends = np.cumsum(list(counts.values()))

    def read(i: int) -> tuple[bytes, int]:
        part = int(np.searchsorted(ends, i, side='right'))
        example = sources[part][int(i - ends[part] + counts[splits[part]])]
        return example['image'], example['label']

    names = [f'{split}[{i}]' for split, count in counts.items() for i in range(count)]
    return Items(tuple(features['label'].names), counts, names, read, f'{name} {counts}')


def download(name: str, root: str, archive: str, any_checksum: bool) -> None:
    """Has TFDS prepare a dataset, from an archive on the disk or from the network; nothing where it is prepared."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.checksums import compute_url_info
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    with (
        locked(prepared_directory(root) / name.replace('/', '-')),
        tempfile.TemporaryDirectory() as manual,
    ):
        if prepared_builder(name, root) is not None:
            return
        builder = makers(name, root)[-1]()
        if archive:
            link = pathlib.Path(manual, archive_name(builder, archive))
            link.symlink_to(archive_path(archive))  # where TFDS looks before it downloads
            if any_checksum and hasattr(builder, 'URL'):
                builder.url_infos = {builder.URL: compute_url_info(link)}
        try:
            builder.download_and_prepare(
                file_format='array_record',
                download_config=tfds.download.DownloadConfig(
                    manual_dir=manual if archive else None
                ),
            )
        except NonMatchingChecksumError as error:
            raise UsageError(
                f'{archive or name} has not the official checksum: it is damaged, cut off or another archive '
                f'({str(error).splitlines()[1].lstrip("* ")})'
                + ('; --any-checksum takes it all the same' if archive else '')
            ) from None
        except ImportError as error:
            raise UsageError(
                f"TFDS needs more to prepare {name} ({error}): pip install 's4jax[prepare]'"
            ) from None
        except Exception as error:  # an archive that is none, a network that is not there: whatever TFDS and zlib raise
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise disk_full(data_directory(root)) from None
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())
            raise UsageError(
                f'{name} could not be prepared from {archive or "the network"} ({reason[:300]}): take the official '
                'archive, with --archive=FILE where there is no network'
            ) from None


def archive_path(archive: str) -> pathlib.Path:
    path = pathlib.Path(archive).expanduser().resolve()
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UsageError(f'--archive={archive} is no file{near(path.name, beside)}')
    return path


def archive_name(builder: Any, archive: str) -> str:
    """The name under which TFDS looks for an archive: ours have one, which may be called as it likes."""
    if hasattr(builder, 'filename'):
        return builder.filename()
    name, known = (
        archive_path(archive).name,
        [info.filename for info in (builder.url_infos or {}).values()],
    )
    if known and name not in known:
        raise UsageError(
            f'--archive={archive} is none of {", ".join(known[:5])}, of which {builder.name} is made'
        )
    return name
