"""Devices and hosts: parts of a batch, and what hosts agree on, with one process."""

import jax
import numpy as np

from s4jax.runtime import mesh


def test_what_goes_to_the_devices_comes_back():
    place, rows = mesh.create(), np.arange(24.0).reshape(8, 3)
    tree = {'a': rows, 'b': rows.astype(np.int32)}
    for back in (mesh.local, mesh.everywhere):
        found = jax.tree.map(back, mesh.shard(place, tree))
        jax.tree.map(np.testing.assert_array_equal, found, tree)
    jax.tree.map(np.testing.assert_array_equal, mesh.replicate(place, tree), tree)
    assert mesh.any_host(True) is True and mesh.any_host(False) is False
    assert mesh.one_host() and mesh.is_first_host()


def test_every_host_has_its_part_of_a_batch(monkeypatch):
    monkeypatch.setattr(jax, 'process_count', lambda: 4)
    parts = []
    for host in range(4):
        monkeypatch.setattr(jax, 'process_index', lambda host=host: host)
        parts += list(range(12))[mesh.local_slice(12)]
        assert mesh.is_first_host() == (host == 0) and not mesh.one_host()
    assert parts == list(range(12))
    monkeypatch.setattr(jax, 'device_count', lambda: 8)
    assert [mesh.round_up(size) for size in (1, 8, 9, 100)] == [8, 8, 16, 104]
