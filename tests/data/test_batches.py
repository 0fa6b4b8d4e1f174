"""Batches: a pure function of the step, whatever the hosts and workers."""

import concurrent.futures
import hashlib
import math

import numpy as np
import pytest

from s4jax import data
from s4jax.data.stored import in_memory
from s4jax.errors import UsageError
from s4jax.runtime import seeds


def test_batches_are_a_function_of_the_step(digits):
    make = data.Batches(digits.train, 64, seeds.number(0, 'order'))
    forward = [make(i)['images'].tobytes() for i in range(40)]
    assert [make(i)['images'].tobytes() for i in reversed(range(40))] == forward[::-1]
    other = data.Batches(digits.train, 64, seeds.number(1, 'order'))
    assert other(0)['images'].tobytes() != forward[0]
    labels = np.concatenate([make(i)['labels'] for i in range(15)])
    # 960 of 997: an epoch repeats nothing
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
    images = rng.integers(0, 256, (60000, 2, 2, 1), np.uint8)  # many: Grain is slow on few
    labels = rng.integers(0, 10, 60000)
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
        monkeypatch.setattr(jax, 'process_index', lambda host=host: host)
        parts.append(list(map(data.Batches(split, 16, 5), range(1000))))
    assert {len(part['labels']) for batches in parts for part in batches} == {16 // hosts}
    together = (
        {name: np.concatenate([part[name] for part in step]) for name in ('images', 'labels')}
        for step in zip(*parts)
    )
    assert hashed(together) == expected


def test_in_order_covers_a_split_once(digits):
    batches = list(data.in_order(digits.search, 64))
    real = np.concatenate([batch['real'] for batch in batches])
    labels = np.concatenate([batch['labels'] for batch in batches])
    assert len({batch['images'].shape for batch in batches}) == 1
    np.testing.assert_array_equal(labels[real], digits.search.labels)


@pytest.mark.parametrize('size', [1, 64, 133, 299, 399, 400, 512])
def test_batches_in_order_have_little_padding(digits, size):
    """As many batches as 400 images need, less than one padded image for each."""
    sizes = [len(batch['real']) for batch in data.in_order(digits.search, size)]
    assert len(sizes) == math.ceil(400 / size) and max(sizes) <= size
    assert sum(sizes) - 400 < len(sizes)


def test_too_large_a_batch_is_refused(digits):
    with pytest.raises(UsageError, match='batch_size=2000 exceeds the 997 training images'):
        data.Batches(digits.train, 2000, 0)
