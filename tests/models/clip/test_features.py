"""An encoder's states on disk: as computed anew, resumable, checked, extended by further layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s4jax.errors import UsageError
from s4jax.models.clip.features import Features
from s4jax.runtime import files, mesh


class Case:
    """Features of 10 images in batches of 4 by a "tower" of 4 layers that counts its calls.

    Each layer adds one to 3 tokens.
    """

    def __init__(self, directory, dtype=np.float32):
        self.directory, self.mesh, self.dtype = directory, mesh.create(), dtype
        self.calls, self.warnings, self.stop_at = 0, [], None
        self.images = np.random.default_rng(0).normal(size=(10, 3, 2)).astype(np.float32)
        self.jitted = jax.jit(
            lambda images: tuple(jnp.asarray(images + k, dtype) for k in range(5))
        )

    def batches(self):
        for start in (0, 4, 8):
            rows = np.minimum(np.arange(start, start + 4), 9)
            yield {
                'images': self.images[rows],
                'labels': rows,
                'real': np.arange(start, start + 4) < 10,
            }

    def compute(self, batch):
        if not isinstance(batch['images'], jax.core.Tracer):
            if self.calls == self.stop_at:
                raise KeyboardInterrupt
            self.calls += 1
        return self.jitted(batch['images'])

    def run(self, last, identity='one', stop_at=None):
        """(states of all batches, calls of the tower)"""
        self.calls, self.stop_at = 0, stop_at
        found = Features(
            self.directory,
            {'data': identity},
            self.batches,
            self.compute,
            last,
            self.mesh,
            self.warnings.append,
        )
        first, second = list(found), list(found)
        for one, other in zip(first, second, strict=True):
            jax.tree.map(np.testing.assert_array_equal, one, other)
        return first, self.calls

    def check(self, batches, last):
        for batch, given in zip(batches, self.batches(), strict=True):
            np.testing.assert_array_equal(batch['labels'], given['labels'])
            np.testing.assert_array_equal(batch['real'], given['real'])
            assert len(batch['states']) == 1 + last
            for k, state in zip((0, *range(5 - last, 5)), batch['states']):
                np.testing.assert_array_equal(state, (given['images'] + k).astype(self.dtype))


@pytest.mark.parametrize('dtype', [np.float32, jnp.bfloat16])
def test_states_are_computed_once_and_layers_added(tmp_path, dtype):
    case = Case(tmp_path, dtype)
    for last, calls in ((2, 3), (2, 0), (1, 0), (3, 3), (3, 0)):
        batches, called = case.run(last)
        assert called == calls
        case.check(batches, last)
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [f'state_0{k}' for k in (0, 2, 3, 4)]
    # what they depend on names the folder
    assert case.run(2, 'other data')[1] == 3 and len(list(tmp_path.iterdir())) == 2
    assert not case.warnings


def test_a_run_that_was_killed_goes_on(tmp_path):
    case = Case(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        case.run(2, stop_at=2)
    batches, calls = case.run(2)
    assert calls == 1  # the two that were finished are there
    case.check(batches, 2)


def test_damaged_and_cut_files_are_named_and_computed_again(tmp_path):
    case = Case(tmp_path)
    case.run(2)
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob('*.bin'))}
    assert len(before) == 9
    for victim, change in (
        (1, lambda data: data[:-1]),
        (4, lambda data: b''),
        (5, lambda data: b'\0' + data[1:]),
        (7, lambda data: data[:-3] + b'abc'),
    ):
        path = list(before)[victim]
        path.write_bytes(change(before[path]))
        batches, calls = case.run(2)
        assert calls == 1 and case.warnings.pop() == f'{path} is damaged: it is computed again'
        case.check(batches, 2)
        assert {path: path.read_bytes() for path in before} == before


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(files.os, 'fsync', full)
    with pytest.raises(UsageError, match='the disk is full: .*bin could not be written'):
        Case(tmp_path).run(2)
