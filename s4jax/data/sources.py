"""Where images come from: scikit-learn's digits, and any image classification dataset of TensorFlow Datasets."""

import dataclasses
import difflib
import json
import os
import pathlib
import shutil

import numpy as np

from s4jax.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Split:
    """uint8 images (n, height, width, channels) and int32 labels (n,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> 'Split':
        return Split(self.images[indices], self.labels[indices])


@dataclasses.dataclass(frozen=True)
class Source:
    """The splits that a dataset comes with; None where it has none of its own."""

    class_names: tuple[str, ...]
    train: Split
    validation: Split | None = None
    test: Split | None = None


def load(name: str, root: str, storage_size: int) -> Source:
    """The dataset `name`; `root` is TFDS's data directory (default: its own)."""
    return digits() if name == 'digits' else tfds_dataset(name, root, storage_size)


def digits() -> Source:
    """1,797 real handwritten digits, 8×8×1, that come with scikit-learn (UCI's optical recognition of digits, test part)."""
    from sklearn.datasets import load_digits
    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return Source(tuple(map(str, bunch.target_names)), Split(images, bunch.target.astype(np.int32)))


def tfds_dataset(name: str, root: str, storage_size: int) -> Source:
    """A TFDS dataset, decoded once into memory-mapped arrays of `storage_size` (short side resized, centre crop)."""
    import tensorflow_datasets as tfds
    directory = pathlib.Path(root or tfds.core.constants.DATA_DIR).expanduser()
    try:
        builder = tfds.builder(name, data_dir=directory)
    except tfds.core.DatasetNotFoundError:
        near = difflib.get_close_matches(name, ['digits', *tfds.list_builders(with_community_datasets=False)], 3)
        raise UsageError(f"data.name='{name}' is no dataset" + (f'; near: {", ".join(near)}' if near else '')) from None
    if not (builder.data_path / 'dataset_info.json').exists():
        raise UsageError(f'{name} is not prepared in {directory}. Once, where TensorFlow and the network are at hand: '
                         f"pip install 's4jax[prepare]' && tfds build {name} --data_dir={directory} "
                         '--file_format=array_record')
    features = builder.info.features
    if not {'image', 'label'} <= set(features):
        raise UsageError(f"data.name='{name}' has the features {sorted(features)}: image and label are needed")
    cache = directory / 's4jax' / f'{builder.info.full_name.replace("/", "-")}-{storage_size}'
    splits = {split: _decoded(builder, split, cache / split, storage_size)
              for split in ('train', 'validation', 'test') if split in builder.info.splits}
    if 'test' not in splits:
        splits['test'] = splits.pop('validation', None)
    return Source(tuple(features['label'].names), **splits)


def _decoded(builder, split: str, cache: pathlib.Path, size: int) -> Split:
    """The split as memory-mapped arrays under `cache`, decoded there on the first call; half a decoding leaves nothing."""
    if not cache.exists():
        import tqdm
        source = builder.as_data_source(split=split)
        half = cache.with_name(f'.{cache.name}.{os.getpid()}')
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        channels = builder.info.features['image'].shape[-1] or 3
        images = np.lib.format.open_memmap(half / 'images.npy', 'w+', np.uint8, (len(source), size, size, channels))
        labels = np.empty(len(source), np.int32)
        for i, example in enumerate(tqdm.tqdm(source, desc=f'decoding {builder.name} {split}', unit='img', mininterval=1)):
            images[i], labels[i] = stored(example['image'], size), example['label']
        images.flush()
        np.save(half / 'labels.npy', labels)
        (half / 'about.json').write_text(json.dumps({'dataset': builder.info.full_name, 'split': split, 'size': size}))
        half.rename(cache)
    return Split(np.load(cache / 'images.npy', mmap_mode='r'), np.load(cache / 'labels.npy'))


def stored(image: np.ndarray, size: int) -> np.ndarray:
    """(height, width, channels) -> (size, size, channels): short side resized (bicubic), centre crop."""
    from PIL import Image
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    scale = size / min(height, width)
    resized = (max(size, round(width * scale)), max(size, round(height * scale)))
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).resize(resized, Image.Resampling.BICUBIC)
    left, top = (resized[0] - size) // 2, (resized[1] - size) // 2
    return np.asarray(picture)[top:top + size, left:left + size].reshape(size, size, -1)
