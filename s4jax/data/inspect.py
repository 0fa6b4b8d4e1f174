"""A look at a dataset before it is trained on: what there is, what is suspicious, and a contact sheet."""

import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from s4jax.data import Data
from s4jax.data.prepared import Prepared

SPLITS = ('train', 'search', 'test')
TINY = 16  # pixels of the short side below which an image is listed
FEW = 10  # images of a class below which it is listed
LISTED = 10  # lines of each kind
TILE, ACROSS, ROWS = 64, 12, 48  # the contact sheet: pixels, images of a class, classes


def describe(data: Data) -> Iterator[str]:
    """The lines of the report."""
    prepared = data.prepared
    used = prepared.rows[prepared.rows['label'] >= 0]
    short = np.minimum(used['height'], used['width'])
    size, channels = prepared.images.shape[2:]
    yield f'{data.name}: {len(used):,} images of {len(data.class_names):,} classes, stored as {size}×{size}×{channels}'
    if prepared.directory:
        yield f'in {prepared.directory} ({prepared.images.nbytes / 2**20:,.0f} MiB); digest {prepared.digest}'
    yield (
        f'sizes: short side {short.min()} to {short.max()} pixels, median {int(np.median(short))}; '
        f'{np.mean(short < size):.0%} are enlarged'
    )
    yield ''
    counts = class_counts(data)
    width = max(map(len, (*data.class_names, 'all')))
    yield f'{"class":<{width}}' + ''.join(f'{name:>9}' for name in SPLITS)
    for name, row in zip(('all', *data.class_names), (counts.sum(0), *counts)):
        yield f'{name:<{width}}' + ''.join(f'{number:>9,}' for number in row)
    yield ''
    found = False
    for title, lines in suspicious(data, counts):
        if lines:
            found = True
            yield f'{title}: {len(lines):,}'
            yield from (f'    {line}' for line in lines[:LISTED])
            if len(lines) > LISTED:
                yield f'    … and {len(lines) - LISTED:,} more'
    if not found:
        yield 'nothing suspicious'


def class_counts(data: Data) -> np.ndarray:
    """(classes, 3) images in train, search and test."""
    labels = data.prepared.rows['label']
    return np.stack(
        [
            np.bincount(labels[indices], minlength=len(data.class_names))
            for indices in data.splits.values()
        ],
        1,
    )


def suspicious(data: Data, counts: np.ndarray) -> Iterator[tuple[str, list[str]]]:
    """Kinds of findings, each with its lines."""
    prepared, names, rows = data.prepared, data.prepared.names(), data.prepared.rows
    where = np.full(len(rows), '', dtype='U6')
    for split, indices in data.splits.items():
        where[indices] = split
    used = np.flatnonzero(where != '')
    yield (
        'unreadable, skipped',
        [f'{name}: {reason}' for name, reason in prepared.unreadable.items()],
    )

    across, labels_differ, within = [], [], []
    for group in duplicates(prepared, used):
        line = ' = '.join(f'{names[i]} ({where[i]})' for i in group[:4]) + (
            f' and {len(group) - 4} more' if len(group) > 4 else ''
        )
        if len(set(rows['label'][group])) > 1:
            labels_differ.append(line)
        if len(set(where[group])) > 1:
            across.append(line)
        else:
            within.append(line)
    yield 'the same pixels in two splits, which makes accuracies look better than they are', across
    yield 'the same pixels in two classes', labels_differ
    yield 'the same pixels twice in a split', within
    yield 'blank: one colour all over', [names[i] for i in used[rows['blank'][used]]]
    tiny = used[np.minimum(rows['height'], rows['width'])[used] < TINY]
    yield (
        f'tiny: a short side below {TINY} pixels',
        [f'{names[i]}: {rows["width"][i]}×{rows["height"][i]}' for i in tiny],
    )
    yield (
        'animated, of which the first frame is taken',
        [names[i] for i in used[rows['animated'][used]]],
    )
    yield (
        f'classes of fewer than {FEW} images, or without one in a split',
        [
            f'{name}: {", ".join(f"{number} {split}" for split, number in zip(SPLITS, row))}'
            for name, row in zip(data.class_names, counts)
            if row.sum() < FEW or not row.all()
        ],
    )


def duplicates(prepared: Prepared, used: np.ndarray) -> list[np.ndarray]:
    """Groups of indices whose stored pixels are the same."""
    digests = prepared.rows['digest'][used]
    _, group, count = np.unique(
        digests.view('<u8').reshape(-1, 2), axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(group.ravel(), kind='stable')
    return [used[part] for part in np.split(order, np.cumsum(count)[:-1]) if len(part) > 1]


def contact_sheet(data: Data, path: pathlib.Path) -> int:
    """Writes a PNG with a row of images for each class, drawn with a fixed seed; returns how many classes it shows."""
    labels, draw = data.prepared.rows['label'], np.random.default_rng(0)
    shown = np.unique(
        np.linspace(0, len(data.class_names) - 1, min(ROWS, len(data.class_names))).astype(int)
    )
    margin = 180
    sheet = Image.new('RGB', (margin + ACROSS * (TILE + 2), len(shown) * (TILE + 2)), '#ddd')
    pen = ImageDraw.Draw(sheet)
    for row, label in enumerate(shown):
        indices = np.flatnonzero(labels == label)
        pen.text(
            (4, row * (TILE + 2) + 16),
            f'{data.class_names[label][:28]}\n{len(indices):,} images',
            fill='black',
        )
        for column, i in enumerate(draw.permutation(indices)[:ACROSS]):
            pixels = data.prepared.images[i]
            tile = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).resize(
                (TILE, TILE)
            )
            sheet.paste(tile, (margin + column * (TILE + 2), row * (TILE + 2) + 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, 'PNG')
    return len(shown)
