"""Digits, splits, batches: pure functions of the seed, and a test split that opens once."""

import concurrent.futures
import hashlib
import shutil
import sys

import numpy as np
import pytest

from s4jax import data
from s4jax.data import sources
from s4jax.data.prepared import in_memory
from s4jax.errors import UsageError
from s4jax.runtime import seeds


@pytest.fixture(scope='module')
def digits():
    return data.load(name='digits', seed=0, search=400, test=400)


def rows(split):
    return {
        image.tobytes() + bytes([label])
        for image, label in zip(split.images, split.labels.astype(np.uint8))
    }


def test_digits_are_scikit_learns(digits):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    assert len(digits.everything) + 400 == len(bunch.target) == 1797
    assert digits.train.images.shape == (997, 8, 8, 1) and digits.train.images.dtype == np.uint8
    together = np.concatenate([digits.everything.images, digits._test.images])[..., 0]
    assert np.allclose(
        np.sort(together.mean((1, 2))), np.sort(np.round(bunch.images * 255 / 16).mean((1, 2)))
    )


def test_splits_are_disjoint_stratified_and_seeded(digits):
    train, search, tested = rows(digits.train), rows(digits.search), rows(digits._test)
    assert not train & search and not train & tested and not search & tested
    assert rows(digits.everything) == train | search
    for split in (digits.search, digits._test):
        assert np.ptp(np.bincount(split.labels)) <= 2
    again, other = (data.load(name='digits', seed=seed, search=400, test=400) for seed in (0, 1))
    assert again.digest == digits.digest != other.digest


def test_the_test_split_is_sealed_until_the_last_stage(digits):
    for finished in ([], ['retrain'], ['supernet_0', 'evolve', 'baseline']):
        with pytest.raises(data.TestSplitSealed, match='still to come'):
            digits.test(finished)
    assert len(digits.test(['retrain', 'baseline'])) == 400


def test_sizes_of_splits_are_checked():
    for wrong in (dict(search=5), dict(test=1796), dict(search=0.999)):
        with pytest.raises(UsageError, match='must be between the number of classes'):
            data.load(name='digits', seed=0, **dict(search=400, test=400) | wrong)


def test_batches_are_a_function_of_the_step(digits):
    make = data.Batches(digits.train, 64, seeds.number(0, 'order'))
    forward = [make(i)['images'].tobytes() for i in range(40)]
    assert [make(i)['images'].tobytes() for i in reversed(range(40))] == forward[::-1]
    other = data.Batches(digits.train, 64, seeds.number(1, 'order'))
    assert other(0)['images'].tobytes() != forward[0]
    labels = np.concatenate(
        [make(i)['labels'] for i in range(15)]
    )  # 960 of 997: an epoch repeats nothing
    assert max(np.bincount(labels) - np.bincount(digits.train.labels)) <= 0


def hashed(batches):
    digest = hashlib.blake2b(digest_size=16)
    for batch in batches:
        digest.update(batch['images'].tobytes() + batch['labels'].tobytes())
    return digest.hexdigest()


@pytest.fixture(scope='module')
def thousand():
    """1,000 batches of known images in order, and their hash."""
    rng = np.random.default_rng(0)
    images, labels = (
        rng.integers(0, 256, (60000, 2, 2, 1), np.uint8),
        rng.integers(0, 10, 60000),
    )  # Grain is slow on few
    split = data.Split(in_memory(tuple('0123456789'), images, labels), np.arange(20, 60000))
    return split, hashed(map(data.Batches(split, 16, 5), range(1000)))


def test_a_thousand_batches_are_those_of_every_machine_and_version(thousand):
    assert thousand[1] == 'bf61c66d929720a00282fdf18acc8eba', (
        'a run that was begun before would go on with other batches'
    )


@pytest.mark.parametrize('workers', [1, 2, 8])
def test_batches_do_not_depend_on_the_workers(thousand, workers):
    split, expected = thousand
    make = data.Batches(split, 16, 5)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        assert hashed(pool.map(make, range(1000))) == expected


@pytest.mark.parametrize('hosts', [1, 2, 4, 8])
def test_hosts_have_the_parts_of_the_same_batches(thousand, hosts, monkeypatch):
    import jax

    split, expected = thousand
    monkeypatch.setattr(jax, 'process_count', lambda: hosts)
    parts = []
    for host in range(hosts):
        monkeypatch.setattr(jax, 'process_index', lambda: host)
        parts.append(list(map(data.Batches(split, 16, 5), range(1000))))
    assert {len(part['labels']) for batches in parts for part in batches} == {16 // hosts}
    assert (
        hashed(
            {
                name: np.concatenate([part[name] for part in of_step])
                for name in ('images', 'labels')
            }
            for of_step in zip(*parts)
        )
        == expected
    )


def test_in_order_covers_a_split_once(digits):
    batches = list(data.in_order(digits.search, 64))
    real = np.concatenate([batch['real'] for batch in batches])
    labels = np.concatenate([batch['labels'] for batch in batches])
    assert len({batch['images'].shape for batch in batches}) == 1
    np.testing.assert_array_equal(labels[real], digits.search.labels)


def test_too_large_a_batch_is_told(digits):
    with pytest.raises(UsageError, match='batch_size=2000 exceeds the 997 training images'):
        data.Batches(digits.train, 2000, 0)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    """A small dataset prepared by TFDS itself in array_record, as `tfds build` leaves it."""
    import tensorflow_datasets as tfds
    from PIL import Image

    root = tmp_path_factory.mktemp('tfds')

    class Shapes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version('1.0.0')

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        'image': tfds.features.Image(shape=(None, None, 3)),
                        'label': tfds.features.ClassLabel(names=['low', 'high']),
                    }
                ),
            )

        def _split_generators(self, _):
            return {
                'train': self._generate_examples(0, 30),
                'test': self._generate_examples(30, 40),
            }

        def _generate_examples(self, start, stop):
            for i in range(start, stop):
                pixels = np.random.default_rng(i).integers(0, 100, (20, 24, 3)) + 100 * (i % 2)
                yield i, {'image': Image.fromarray(pixels.astype(np.uint8)), 'label': i % 2}

    Shapes(data_dir=root, file_format='array_record').download_and_prepare()
    return root


def test_a_tfds_dataset_without_tensorflow(prepared):
    loaded = data.load(name='shapes', seed=0, root=str(prepared), storage_size=16, search=6)
    assert loaded.class_names == ('low', 'high') and loaded.facts['test'] == 10
    assert (
        len(loaded.train) == 24
        and len(loaded.search) == 6
        and loaded.train.images.shape[1:] == (16, 16, 3)
    )
    means = loaded.everything.images.mean((1, 2, 3))
    np.testing.assert_array_equal(means > 100, loaded.everything.labels == 1)
    again = data.load(name='shapes', seed=0, root=str(prepared), storage_size=16, search=6)
    assert again.digest == loaded.digest


def test_what_only_tensorflow_can_do_is_told(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared / 'shapes', tmp_path / 'shapes')
    info = tmp_path / 'shapes' / '1.0.0' / 'dataset_info.json'
    info.write_text(info.read_text().replace('array_record', 'tfrecord'))
    with pytest.raises(
        UsageError,
        match='shapes/1.0.0 was prepared as tfrecord, which TensorFlow alone reads: remove .*prepare',
    ):
        data.load(name='shapes', seed=0, root=str(tmp_path))

    class NeedsTensorFlow:
        data_path = tmp_path

        def download_and_prepare(self, **_):
            import tensorflow  # noqa: F401

    monkeypatch.setitem(sys.modules, 'tensorflow', None)
    monkeypatch.setattr(sources, 'makers', lambda *_: [NeedsTensorFlow])
    with pytest.raises(
        UsageError,
        match=r"TFDS needs more to prepare beans .*tensorflow.*: pip install 's4jax\[prepare\]'",
    ):
        sources.download('beans', str(tmp_path), '', False)


def test_datasets_that_are_not_there_are_told(tmp_path):
    with pytest.raises(UsageError, match="data.name='cifar1O' is no dataset; near: cifar10"):
        data.load(name='cifar1O', seed=0, root=str(tmp_path))
    with pytest.raises(
        UsageError,
        match='cifar10 is not prepared in .*: python -m s4jax.data prepare --name=cifar10 --root=',
    ):
        data.load(name='cifar10', seed=0, root=str(tmp_path))
