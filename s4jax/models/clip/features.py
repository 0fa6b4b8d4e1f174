"""A frozen encoder's states of a split, computed once and kept on disk for all subnets."""

import hashlib
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from s4jax.runtime import mesh as meshes
from s4jax.runtime.files import write_bytes

DIGEST = 16  # bytes at the end of a file


class Features:
    """Batches {states, labels, real} of a split, which can be iterated again and again.

    One file holds one state of one batch and a digest of it. It is written whole or not at all, so
    that a killed run goes on, and checked when it is first read; a damaged one is computed again.
    Files are memory-mapped, never all in memory.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        identity: Any,
        batches: Callable[[], Iterable[dict[str, np.ndarray]]],
        compute: Callable[[dict[str, Any]], tuple[jax.Array, ...]],
        last: int,
        mesh: jax.sharding.Mesh,
        warn: Callable[[str], None],
    ):
        """`batches()` are this host's; `compute(batch)` gives all states of a batch.

        The first state and the last `last` ones are kept. `identity` is all that the states depend
        on, as JSON: it names the folder. They are computed by one program whatever `last` is, since
        another program might round otherwise.
        """
        digest = hashlib.blake2b(
            json.dumps(identity, sort_keys=True).encode(), digest_size=DIGEST
        ).hexdigest()
        self.directory, self.batches, self.compute = directory / digest, batches, compute
        self.last, self.mesh, self.warn = last, mesh, warn
        self.shapes: list[jax.ShapeDtypeStruct] = []
        self._maps: dict[tuple[int, int], np.ndarray] = {}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for n, batch in enumerate(self.batches()):
            states = self._states(n, batch)
            rest = {name: batch[name] for name in ('labels', 'real')}
            yield meshes.shard(self.mesh, {'states': states, **rest})

    def _states(self, n: int, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """This host's states of batch n, from disk where they are there."""
        on_devices = meshes.shard(self.mesh, batch)
        if not self.shapes:
            self.shapes = list(jax.eval_shape(self.compute, on_devices))
        layers = len(self.shapes) - 1
        wanted = [0, *range(1 + layers - self.last, 1 + layers)]
        missing = [k for k in wanted if self._open(k, n, len(batch['labels'])) is None]
        if meshes.any_host(bool(missing)):  # the tower runs on all hosts together
            states = self.compute(on_devices)
            for k in missing:
                self._write(k, n, meshes.local(states[k]))
                self._open(k, n, len(batch['labels']))
        return tuple(self._maps[k, n] for k in wanted)

    def _path(self, k: int, n: int) -> pathlib.Path:
        host = '' if meshes.one_host() else f'-{jax.process_index()}of{jax.process_count()}'
        return self.directory / f'state_{k:02d}' / f'{n:05d}{host}.bin'

    def _open(self, k: int, n: int, rows: int) -> np.ndarray | None:
        """State k of batch n, mapped; None where it is missing or damaged; damage is a warning."""
        path, shape = self._path(k, n), (rows, *self.shapes[k].shape[1:])
        if (k, n) not in self._maps and path.exists():
            array = _read(path, shape, self.shapes[k].dtype)
            if array is None:
                self.warn(f'{path} is damaged: it is computed again')
                path.unlink()
            else:
                self._maps[k, n] = array
        return self._maps.get((k, n))

    def _write(self, k: int, n: int, array: np.ndarray) -> None:
        data = np.ascontiguousarray(array).view(np.uint8).data.cast('B')
        write_bytes(self._path(k, n), data, hashlib.blake2b(data, digest_size=DIGEST).digest())


def _read(path: pathlib.Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray | None:
    """The mapped array of a file; None where it is not what was written."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if path.stat().st_size != size + DIGEST:
        return None
    raw = np.memmap(path, np.uint8, 'r')
    sound = hashlib.blake2b(raw[:size].data, digest_size=DIGEST).digest() == raw[size:].tobytes()
    return raw[:size].view(dtype).reshape(shape) if sound else None
