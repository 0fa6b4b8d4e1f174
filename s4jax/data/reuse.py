"""Pixels of an earlier preparation: files that did not change are not decoded again."""

import json
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from s4jax.runtime.files import read_json, write_bytes

KEYS = 'keys.json'
CHUNK = 512  # images that are copied at once

Known = Sequence[tuple[str, int]]  # of each image: a key that changes when it does, its label


def old(directory: pathlib.Path) -> pathlib.Path:
    """Where an earlier preparation lies while its pixels are copied into `directory`."""
    return directory.with_name(f'{directory.name}.old')


def put_aside(directory: pathlib.Path, identity: dict[str, Any]) -> None:
    """Makes room for a new preparation; keeps one whose pixels are stored as `identity` says.

    What a killed copy left aside is kept: it holds more than the copy.
    """
    begun = read_json(directory / 'begun.json')
    same = isinstance(begun, dict) and all(
        begun.get(name) == identity[name] for name in ('format', 'size', 'channels')
    )
    if same and (directory / KEYS).is_file() and not old(directory).exists():
        directory.rename(old(directory))
    shutil.rmtree(directory, ignore_errors=True)


def drop(directory: pathlib.Path) -> None:
    shutil.rmtree(old(directory), ignore_errors=True)


def write_keys(directory: pathlib.Path, known: Known | None) -> None:
    if known is not None:
        write_bytes(directory / KEYS, json.dumps([key for key, _ in known]).encode())


def reuse(
    directory: pathlib.Path,
    known: Known | None,
    images: np.memmap,
    rows: np.memmap,
    digest: Callable[[np.ndarray], bytes],
) -> None:
    """Copies what an earlier preparation holds of these images, and removes it.

    Pixels whose digest is not that of their row are left to be decoded.
    """
    before = old(directory)
    keys = read_json(before / KEYS)
    try:
        stored = np.load(before / 'images.npy', mmap_mode='r', allow_pickle=False)
        facts = np.load(before / 'rows.npy', allow_pickle=False)
        sound = facts.dtype == rows.dtype and stored.shape[1:] == images.shape[1:]
        sound = sound and len(keys or ()) == len(stored) == len(facts)
    except (OSError, ValueError, EOFError):
        sound = False
    if known is None or not sound or not isinstance(keys, list):
        drop(directory)
        return
    place = {key: i for i, key in enumerate(keys) if facts['label'][i] >= 0}
    pairs = [
        (i, place[key], label)
        for i, (key, label) in enumerate(known)
        if key in place and rows['label'][i] < 0
    ]
    for start in range(0, len(pairs), CHUNK):
        part = [
            (i, k, label)
            for i, k, label in pairs[start : start + CHUNK]
            if digest(stored[k]) == facts['digest'][k].tobytes()
        ]
        for i, k, _ in part:
            images[i] = stored[k]
        images.flush()
        for i, k, label in part:
            split = rows['split'][i]
            rows[i] = facts[k]
            rows['split'][i], rows['label'][i] = split, label
        rows.flush()
    drop(directory)
