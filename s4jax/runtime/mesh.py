"""Devices, hosts and shardings: data parallelism over one mesh axis.

The same code runs on 1 device, on 8 GPUs and on a TPU pod.
"""

import os
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

AXIS = 'data'


def create() -> jax.sharding.Mesh:
    """All devices of all hosts in a row.

    The axis type is Auto: Explicit, the default, rejects the reshape of a batch.
    """
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def replicate(mesh: jax.sharding.Mesh, tree: Any) -> Any:
    """The same host values on every device."""
    return jax.tree.map(
        lambda leaf: jax.make_array_from_callback(
            np.shape(leaf), replicated(mesh), lambda index: np.asarray(leaf)[index]
        ),
        tree,
    )


def shard(mesh: jax.sharding.Mesh, tree: Any) -> Any:
    """This host's part of a batch, as an array over the devices of all hosts.

    The leading axis is split.
    """
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), tree
    )


def local(array: jax.Array) -> np.ndarray:
    """This host's rows of an array split on its leading axis, or all rows of a replicated one."""
    pieces = {shard.index[0].start or 0: shard.data for shard in array.addressable_shards}
    return np.concatenate([np.asarray(pieces[start]) for start in sorted(pieces)])


def everywhere(array: jax.Array) -> np.ndarray:
    """All rows of a split array, on every host."""
    return np.asarray(array) if one_host() else multihost_utils.process_allgather(array, tiled=True)


def local_slice(size: int) -> slice:
    """This host's part of a global batch of `size` examples."""
    part = size // jax.process_count()
    return slice(part * jax.process_index(), part * (jax.process_index() + 1))


def round_up(size: int) -> int:
    """The smallest batch of at least `size` that every device has an equal part of."""
    return -(-size // jax.device_count()) * jax.device_count()


def any_host(flag: bool) -> bool:
    """Whether the flag is raised on any host; every host gets the same answer at the same point."""
    if one_host():
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def described() -> str:
    """The devices of a run in words: 8 × NVIDIA A100; for a CPU also its cores."""
    kind, count = jax.devices()[0].device_kind, jax.device_count()
    cores = f', {os.cpu_count()} cores' if jax.default_backend() == 'cpu' else ''
    hosts = '' if one_host() else f' on {jax.process_count()} hosts'
    return f'{count} × {kind}{hosts}{cores}'


def one_host() -> bool:
    return jax.process_count() == 1


def is_first_host() -> bool:
    return jax.process_index() == 0
