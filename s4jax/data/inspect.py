"""A look at a dataset before training: what it holds, what is suspicious, a contact sheet."""

import math
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from s4jax.data import Data
from s4jax.data.prepared import UNREADABLE
from s4jax.data.stored import Prepared

SPLITS = ('train', 'search', 'test')
BROKEN = 'unreadable, skipped'
TINY = 16  # pixels of the short side below which an image is listed
FEW = 10  # images of a class below which it is listed
LISTED = 10  # lines of each kind; files that cannot be read are all listed
# The contact sheet, in pixels: an image, an image with its gap, and the names at the left.
TILE, CELL, MARGIN = 64, 66, 180
ACROSS, ROWS = 12, 48  # images of a class, classes


def describe(data: Data) -> Iterator[str]:
    """The lines of the report."""
    prepared = data.prepared
    used = prepared.rows[prepared.rows['label'] >= 0]
    size, channels = prepared.images.shape[2:]
    yield (
        f'{data.name}: {len(used):,} images of {len(data.class_names):,} classes, stored as '
        f'{size}×{size}×{channels}'
    )
    if prepared.directory:
        mebibytes = prepared.images.nbytes / 2**20
        yield f'in {prepared.directory} ({mebibytes:,.0f} MiB); digest {prepared.digest}'
    if len(used):
        short = np.minimum(used['height'], used['width'])
        yield (
            f'sizes: short side {short.min()} to {short.max()} pixels, median '
            f'{int(np.median(short))}; {np.mean(short < size):.0%} are enlarged'
        )
    yield ''
    counts = class_counts(data)
    yield from _table(data.class_names, counts, unreadable_counts(data))
    yield ''
    findings = [(title, lines) for title, lines in suspicious(data, counts) if lines]
    for title, lines in findings:
        yield f'{title}: {len(lines):,}'
        most = len(lines) if title == BROKEN else LISTED
        yield from (f'    {line}' for line in lines[:most])
        if len(lines) > most:
            yield f'    … and {len(lines) - most:,} more'
    if not findings:
        yield 'nothing suspicious'
    if prepared.unreadable:
        yield ''
        yield advice(prepared)


def advice(prepared: Prepared) -> str:
    """How to go on where images cannot be read."""
    count, images = len(prepared.unreadable), len(prepared.rows)
    share = math.ceil(100 * count / images) / 100
    if share <= UNREADABLE:
        return f'{count:,} of {images:,} images cannot be read: a run skips them'
    return (
        f'{count:,} of {images:,} images cannot be read, more than a run skips: repair or remove '
        f'them, or go on without them by --config.data.unreadable={share}'
    )


def _table(
    class_names: tuple[str, ...], counts: np.ndarray, unreadable: np.ndarray
) -> Iterator[str]:
    """The lines of a table of counts (classes, 3), the sum of all classes first.

    The images that cannot be read (classes,) have a column of their own where there are some.
    """
    width = max(map(len, (*class_names, 'all')))
    if unreadable.any():
        counts = np.column_stack([counts, unreadable])
    heads = (*SPLITS, 'unread')[: counts.shape[1]]
    yield f'{"class":<{width}}' + ''.join(f'{name:>9}' for name in heads)
    for name, row in zip(('all', *class_names), (counts.sum(0), *counts)):
        yield f'{name:<{width}}' + ''.join(f'{number:>9,}' for number in row)


def class_counts(data: Data) -> np.ndarray:
    """How many images of each class are in train, search and test: (classes, 3)."""
    labels, classes = data.prepared.rows['label'], len(data.class_names)
    counts = [np.bincount(labels[part], minlength=classes) for part in data.splits.values()]
    return np.stack(counts, axis=1)


def unreadable_counts(data: Data) -> np.ndarray:
    """How many images of each class cannot be read (classes,), as far as their names say it."""
    label = {name: k for k, name in enumerate(data.class_names)}
    counts = np.zeros(len(label), int)
    for path in data.prepared.unreadable:  # class/…, or split/class/…
        known = [label[part] for part in path.split('/')[:2] if part in label]
        if known:
            counts[known[0]] += 1
    return counts


def suspicious(data: Data, counts: np.ndarray) -> Iterator[tuple[str, list[str]]]:
    """Kinds of findings, each with its lines; counts (classes, 3) are those of the classes."""
    prepared, names, rows = data.prepared, data.prepared.names(), data.prepared.rows
    where = np.full(len(rows), '', dtype='U6')  # each image's split
    for split, indices in data.splits.items():
        where[indices] = split
    used = np.flatnonzero(where != '')
    unreadable = [f'{name}: {reason}' for name, reason in prepared.unreadable.items()]
    yield BROKEN, unreadable
    yield from _same_pixels(prepared, names, where, used)
    yield 'blank: a single colour', [names[i] for i in used[rows['blank'][used]]]
    tiny = used[np.minimum(rows['height'], rows['width'])[used] < TINY]
    sizes = [f'{names[i]}: {rows["width"][i]}×{rows["height"][i]}' for i in tiny]
    yield f'tiny: a short side below {TINY} pixels', sizes
    animated = [names[i] for i in used[rows['animated'][used]]]
    yield 'animated: only the first frame is used', animated
    few = [
        f'{name}: {", ".join(f"{number} {split}" for split, number in zip(SPLITS, row))}'
        for name, row in zip(data.class_names, counts)
        if row.sum() < FEW or not row.all()
    ]
    yield f'classes of fewer than {FEW} images, or without one in a split', few


def _same_pixels(
    prepared: Prepared, names: list[str], where: np.ndarray, used: np.ndarray
) -> Iterator[tuple[str, list[str]]]:
    """Findings about images whose stored pixels are the same; each group is in one of them.

    names, where: each image's name and its split (n,); used: indices of the images in a split.
    """
    classes: list[str] = []
    across: list[str] = []
    within: list[str] = []
    for group in duplicates(prepared, used):
        line = ' = '.join(f'{names[i]} ({where[i]})' for i in group[:4])
        if len(group) > 4:
            line += f' and {len(group) - 4} more'
        if len(set(prepared.rows['label'][group])) > 1:
            classes.append(line)
        elif len(set(where[group])) > 1:
            across.append(line)
        else:
            within.append(line)
    yield 'the same pixels in two classes, of which one is wrong', classes
    leak = 'which makes accuracies look better than they are'
    yield f'the same pixels of one class in two splits, {leak}', across
    yield 'the same pixels twice in a class of one split', within


def duplicates(prepared: Prepared, used: np.ndarray) -> list[np.ndarray]:
    """Groups of indices, among those used (n,), whose stored pixels are the same."""
    digests = prepared.rows['digest'][used]
    _, group, count = np.unique(
        digests.view('<u8').reshape(-1, 2), axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(group.ravel(), kind='stable')
    return [used[part] for part in np.split(order, np.cumsum(count)[:-1]) if len(part) > 1]


def contact_sheet(data: Data, path: pathlib.Path) -> int:
    """Writes a PNG with a row of images for each class; returns how many classes it shows.

    The images are drawn with a fixed seed.
    """
    labels, draw = data.prepared.rows['label'], np.random.default_rng(0)
    classes = len(data.class_names)
    shown = np.unique(np.linspace(0, classes - 1, min(ROWS, classes)).astype(int))
    sheet = Image.new('RGB', (MARGIN + ACROSS * CELL, len(shown) * CELL), '#ddd')
    pen = ImageDraw.Draw(sheet)
    for row, label in enumerate(shown):
        indices = np.flatnonzero(labels == label)
        text = f'{data.class_names[label][:28]}\n{len(indices):,} images'
        pen.text((4, row * CELL + 16), text, fill='black')
        for column, i in enumerate(draw.permutation(indices)[:ACROSS]):
            pixels = data.prepared.images[i]
            tile = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            place = MARGIN + column * CELL, row * CELL + 1
            sheet.paste(tile.resize((TILE, TILE)), place)
    sheet.save(path, 'PNG')
    return len(shown)
