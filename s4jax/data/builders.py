"""The paper's datasets as TFDS builders over the official archives, prepared without TensorFlow.

TFDS's own CIFAR and SUN397 builders need TensorFlow (and OpenCV) only to decode and encode images.
These hand Pillow's images to TFDS instead, which downloads the archive, checks its checksum and
writes array_record. The result for CIFAR is that of TFDS's own builder.
"""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.image_classification import cifar

from s4jax.data.decode import FORMATS

Examples = Iterator[tuple[Any, dict[str, Any]]]  # of (key, features)
Path = str | os.PathLike[str]
MOST_BYTES = 2**28  # of a file in an archive: CIFAR-100's training images are 154 million


class Archive:
    """A builder's one official archive, of known size in bytes and SHA-256."""

    URL: str
    SIZE: int
    SHA256: str
    url_infos: dict[str, UrlInfo] = {}  # where TFDS's download manager looks

    def __init__(self, **options: Any) -> None:
        self.url_infos = {self.URL: UrlInfo(self.SIZE, self.SHA256, self.filename())}
        super().__init__(**options)

    @classmethod
    def filename(cls) -> str:
        """The archive's name, under which TFDS looks for it."""
        return cls.URL.rpartition('/')[2]


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the wanted files of a .tar.gz, read once from its beginning to its end.

    Nothing is written to the disk, whatever the paths are; links and devices are no files.
    """
    with tarfile.open(path, 'r|gz') as archive:
        for member in archive:
            if not (member.isfile() and wanted(member.name)):
                continue
            file = archive.extractfile(member)
            if file is not None:
                yield member.name, file.read(_checked(member.name, member.size))


def unzipped(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of a file of a .zip; a longer one than its header says is an error of zipfile."""
    _checked(name, archive.getinfo(name).file_size)
    return archive.read(name)


def _checked(name: str, size: int) -> int:
    """A file's size in bytes; raises where it is larger than any of the official archives."""
    if size > MOST_BYTES:
        raise ValueError(f'{name} has {size:,} bytes, more than {MOST_BYTES:,}')
    return size


with tfds.core.registered.skip_registration():  # two of the names are TFDS's own

    class Cifar10(Archive, cifar.Cifar10):
        """CIFAR-10: version, features and order are TFDS's."""

        URL = 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz'
        SIZE, SHA256 = 170052171, 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd'

        def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Examples]:
            facts = self._cifar_info
            needed = {*facts.train_files, *facts.test_files, *facts.label_files}
            wanted = lambda path: path.removeprefix(facts.prefix) in needed
            files = {
                path.removeprefix(facts.prefix): content
                for path, content in members(manager.download(self.URL), wanted)
            }
            missing = needed - set(files)
            if missing:
                raise ValueError(f'the archive lacks {", ".join(sorted(missing))}')
            for key, file in zip(facts.label_keys, facts.label_files):
                self.info.features[key].names = files[file].decode().split()
            train = [files[name] for name in facts.train_files]
            test = [files[name] for name in facts.test_files]
            return {
                'train': self._generate_examples('train_', train),
                'test': self._generate_examples('test_', test),
            }

        def _generate_examples(self, prefix: str, files: list[bytes]) -> Examples:
            """An image is one byte for each label, then 32×32 bytes for each channel."""
            keys = self._cifar_info.label_keys
            width = len(keys) + 3 * 32 * 32
            parts = [np.frombuffer(file, np.uint8).reshape(-1, width) for file in files]
            for index, row in enumerate(np.concatenate(parts)):
                pixels = row[len(keys) :].reshape(3, 32, 32).transpose(1, 2, 0)
                example = {'id': f'{prefix}{index:05d}', 'image': Image.fromarray(pixels)}
                yield index, example | dict(zip(keys, row[: len(keys)]))

    class Cifar100(Cifar10, cifar.Cifar100):
        """CIFAR-100, with the 100 fine labels as `label`."""

        URL = 'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz'
        SIZE, SHA256 = 168513733, '58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec'

    class TinyImagenet(Archive, tfds.core.GeneratorBasedBuilder):
        """Tiny ImageNet: 200 classes, 100,000 training images of 64×64.

        The official test images have no labels. As is usual, the official validation images, which
        have labels, are the test split.
        """

        VERSION = tfds.core.Version('1.0.0')
        URL = 'http://cs231n.stanford.edu/tiny-imagenet-200.zip'
        SIZE, SHA256 = 248100043, '6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821'

        def _info(self) -> tfds.core.DatasetInfo:
            return tfds.core.DatasetInfo(
                builder=self,
                homepage='http://cs231n.stanford.edu',
                features=tfds.features.FeaturesDict(
                    {
                        'file_name': tfds.features.Text(),
                        'image': tfds.features.Image(shape=(None, None, 3)),
                        'label': tfds.features.ClassLabel(num_classes=None),
                    }
                ),
            )

        def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Examples]:
            path = manager.download(self.URL)
            with zipfile.ZipFile(path) as archive:
                lines = {
                    name: unzipped(archive, f'tiny-imagenet-200/{name}').decode().splitlines()
                    for name in ('wnids.txt', 'words.txt', 'val/val_annotations.txt')
                }
                files = [name for name in archive.namelist() if name.lower().endswith('.jpeg')]
            words = dict(line.split('\t', 1) for line in lines['words.txt'])
            wnids = [line for line in lines['wnids.txt'] if line]
            # with the WordNet id, because two classes share a word
            names = {wnid: f'{wnid} {words[wnid].split(",")[0]}' for wnid in wnids}
            self.info.features['label'].names = list(names.values())
            annotated = dict(line.split('\t')[:2] for line in lines['val/val_annotations.txt'])
            train, test = [], []  # (path in the archive, class)
            for name in files:
                _, split, *rest = name.split('/')
                if split == 'train':
                    train.append((name, names[rest[0]]))
                elif split == 'val':
                    test.append((name, names[annotated[rest[-1]]]))
            return {
                'train': self._generate_examples(path, train),
                'test': self._generate_examples(path, test),
            }

        def _generate_examples(self, path: Path, files: list[tuple[str, str]]) -> Examples:
            with zipfile.ZipFile(path) as archive:
                for name, label in files:
                    image = io.BytesIO(unzipped(archive, name))
                    yield name, {'file_name': name, 'image': image, 'label': label}

    class Sun397(Archive, tfds.core.GeneratorBasedBuilder):
        """SUN397 in TFDS's 70/10/20 split.

        Its images are reduced to 120,000 pixels as by TFDS, but by Pillow instead of OpenCV.
        """

        VERSION = tfds.core.Version('4.0.0')
        # not 'tfds', whose pixels differ by the codec's rounding
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name='pillow')]
        URL = 'https://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz'
        SIZE = 39077296924
        SHA256 = 'f404130965a7ad77bed5ececc71e720ab50f3cc1e1bb257257610d38f3b928ec'
        PIXELS = 120_000
        DAMAGED = (
            '/c/church/outdoor/sun_bhenjvsvrtumjuri.jpg',
            '/t/track/outdoor/sun_aophkoiosslinihb.jpg',
        )

        def _info(self) -> tfds.core.DatasetInfo:
            names = tfds.core.tfds_path('image_classification/sun397_labels.txt')
            return tfds.core.DatasetInfo(
                builder=self,
                homepage=self.URL.rpartition('/')[0],
                features=tfds.features.FeaturesDict(
                    {
                        'file_name': tfds.features.Text(),
                        'image': tfds.features.Image(shape=(None, None, 3), encoding_format='jpeg'),
                        'label': tfds.features.ClassLabel(names_file=names),
                    }
                ),
            )

        def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Examples]:
            path = manager.download(self.URL)
            return {
                split: self._generate_examples(path, short)
                for split, short in (('train', 'tr'), ('validation', 'va'), ('test', 'te'))
            }

        def _generate_examples(self, path: Path, short: str) -> Examples:
            listed = tfds.core.tfds_path(f'image_classification/sun397_tfds_{short}.txt')
            wanted = set(listed.read_text().split()).difference(self.DAMAGED)
            for path_inside, content in members(path, lambda p: p.removeprefix('SUN397') in wanted):
                name = path_inside.removeprefix('SUN397')
                image, label = self._reduced(content), name.rpartition('/')[0]
                yield name, {'file_name': name, 'image': image, 'label': label}

        def _reduced(self, data: bytes) -> io.BytesIO:
            """An image as JPEG: some files of the archive named .jpg are PNG, GIF or BMP."""
            # only these formats: Pillow hands others, as PostScript, to programs that run them
            image = Image.open(io.BytesIO(data), formats=FORMATS).convert('RGB')
            factor = (self.PIXELS / (image.width * image.height)) ** 0.5
            if factor < 1:
                size = round(image.width * factor), round(image.height * factor)
                image = image.resize(size, Image.Resampling.BICUBIC)
            result = io.BytesIO()
            image.save(result, 'JPEG', quality=95)
            result.seek(0)
            return result


BUILDERS = {cls.name: cls for cls in (Cifar10, Cifar100, Sun397, TinyImagenet)}
