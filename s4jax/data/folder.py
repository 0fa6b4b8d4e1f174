"""A folder of images: root/{train,val,test}/<class>/, or root/<class>/."""

import hashlib
import os
import pathlib

from s4jax.data.decode import SUFFIXES, read
from s4jax.data.places import existing_directory
from s4jax.data.prepared import Items
from s4jax.data.stored import SPLITS
from s4jax.errors import UsageError

# What the folders of the splits may be called.
FOLDERS = {
    'train': 'train',
    'val': 'validation',
    'valid': 'validation',
    'validation': 'validation',
    'test': 'test',
}

Files = list[pathlib.Path]


def resolved(root: str) -> pathlib.Path:
    """The folder that `data.root` names; UsageError where it is missing or cannot be read."""
    return existing_directory(root, 'data.root')


def place(root: pathlib.Path, size: int, channels: int = 3) -> str:
    """The name under which a folder's images are prepared; another folder has another one."""
    digest = hashlib.blake2b(str(root).encode(), digest_size=4).hexdigest()
    return f'folder-{root.name}-{digest}-{size}{"-grey" * (channels == 1)}'


def items(root: pathlib.Path) -> Items:
    """The images of root/{train,val,test}/<class>/, or of root/<class>/.

    Folders below a class belong to it. Hidden files and folders, and files without an image's
    suffix, are left out.
    """
    split_folders = _split_folders(root)
    found = {
        split: {path.name: _image_files(path) for path in _folders(split_folders[split])}
        for split in SPLITS
        if split in split_folders
    }
    _check_classes(split_folders, found)
    class_names = tuple(sorted(found['train']))
    files: Files = []
    labels: list[int] = []
    for classes in found.values():
        for label, name in enumerate(class_names):
            files += classes[name]
            labels += [label] * len(classes[name])
    keys = [_key(root, path) for path in files]
    return Items(
        class_names,
        {split: sum(map(len, classes.values())) for split, classes in found.items()},
        [os.fsencode(path.relative_to(root)).decode(errors='replace') for path in files],
        lambda i: (read(files[i]), labels[i]),
        _identity(keys),
        list(zip(keys, labels)),
    )


def _split_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folder of every split that has one of its own; the root is 'train' where none has."""
    if not _folders(root / 'train'):  # 'train' may also be a class, like cars and planes
        return {'train': root}
    named = [path for path in _folders(root) if path.name in FOLDERS]
    result = {FOLDERS[path.name]: path for path in named}
    if len(result) < len(named):
        names = ', '.join(path.name for path in named)
        raise UsageError(f'{root} has two folders for one split: {names}; keep one of them')
    return result


def _key(root: pathlib.Path, path: pathlib.Path) -> str:
    """A digest of a file's name, size and time: it changes when the file does."""
    text = f'{path.relative_to(root)}\n'
    try:
        facts = path.stat()
        text += f'{facts.st_size}\n{facts.st_mtime_ns}\n'
    except OSError:  # a link to nowhere: it is reported when it is read
        pass
    return hashlib.blake2b(text.encode(errors='surrogateescape'), digest_size=8).hexdigest()


def _identity(keys: list[str]) -> str:
    """A digest of all files: it changes when one of them does."""
    return hashlib.blake2b(''.join(keys).encode(), digest_size=16).hexdigest()


def _folders(path: pathlib.Path) -> Files:
    return sorted(p for p in path.glob('*') if p.is_dir() and not p.name.startswith('.'))


def _image_files(path: pathlib.Path) -> Files:
    """The images below a class's folder, in an order that is the same on every machine."""
    files = (
        pathlib.Path(place, file)
        for place, _, files in os.walk(path)
        for file in files
        if file.lower().endswith(SUFFIXES)
    )
    hidden = lambda file: any(part.startswith('.') for part in file.relative_to(path).parts)
    return sorted(file for file in files if not hidden(file))


def _check_classes(
    split_folders: dict[str, pathlib.Path], found: dict[str, dict[str, Files]]
) -> None:
    """Raises where the folders do not say what the classes are."""
    train, root = found['train'], split_folders['train']
    if len(train) < 2:
        raise UsageError(
            f'{root} holds {len(train)} folders of images: at least two classes are needed, each '
            'in a folder of its own'
        )
    for split, classes in found.items():
        differing = sorted(set(classes) ^ set(train))
        if differing:
            raise UsageError(
                f'the classes of {split_folders[split]} and {root} differ: only one of them has '
                f'{", ".join(differing[:5])}'
            )
        empty = [name for name, files in classes.items() if not files]
        if empty:
            raise UsageError(
                f'{split_folders[split] / empty[0]} holds no image ({", ".join(SUFFIXES)}): remove '
                'the folder or fill it'
            )
