"""Devices, hosts and shardings: data parallelism over one mesh axis.

The same code runs on 1 device, on 8 GPUs and on a TPU pod.
"""

import os
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec

AXIS = 'data'
Sharding = Literal['replicated', 'fsdp']


def create() -> jax.sharding.Mesh:
    """All devices of all hosts in a row.

    The axis type is Auto: Explicit, the default, rejects the reshape of a batch.
    """
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def replicate(mesh: jax.sharding.Mesh, tree: Any) -> Any:
    """The same host values on every device."""
    return place(mesh, tree, 'replicated')


def sharding_of(mesh: jax.sharding.Mesh, shape: tuple[int, ...], how: Sharding) -> NamedSharding:
    """Where the parts of an array lie.

    'replicated': all of it on every device. 'fsdp': its largest axis that the devices can share
    equally is split (fully sharded data parallelism, ZeRO stage 3); where there is none, it is
    replicated.
    """
    divisible = [k for k, size in enumerate(shape) if size and size % mesh.size == 0]
    if how == 'replicated' or not divisible:
        return replicated(mesh)
    split = max(divisible, key=lambda k: shape[k])
    return NamedSharding(
        mesh, PartitionSpec(*(AXIS if k == split else None for k in range(split + 1)))
    )


def rows_of_parts(mesh: jax.sharding.Mesh) -> NamedSharding:
    """Of arrays (parts, rows, …): the rows are split."""
    return NamedSharding(mesh, PartitionSpec(None, AXIS))


def place(mesh: jax.sharding.Mesh, tree: Any, how: Sharding) -> Any:
    """Host values on the devices, each as `sharding_of` says."""
    return jax.tree.map(
        lambda leaf: jax.make_array_from_callback(
            np.shape(leaf),
            sharding_of(mesh, np.shape(leaf), how),
            lambda index: np.asarray(leaf)[index],
        ),
        tree,
    )


def constrain(mesh: jax.sharding.Mesh, tree: Any, how: Sharding) -> Any:
    """The same within a compiled function."""
    return jax.tree.map(
        lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding_of(mesh, leaf.shape, how)),
        tree,
    )


def summed(mesh: jax.sharding.Mesh, count: Callable[..., Any]) -> Callable[..., Any]:
    """`count(variables, sizes, batch)`, computed by every device for its own rows of the batch and
    added up. Variables and sizes are on every device."""
    everywhere, rows = PartitionSpec(), PartitionSpec(AXIS)
    return jax.shard_map(
        lambda *arguments: jax.lax.psum(count(*arguments), AXIS),
        mesh=mesh,
        in_specs=(everywhere, everywhere, rows),
        out_specs=everywhere,
        check_vma=False,
    )


def gather(mesh: jax.sharding.Mesh, tree: Any) -> Any:
    """A tree of arrays on the devices, all of it on every device."""
    return jax.jit(lambda leaves: leaves, out_shardings=replicated(mesh))(tree)


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


def largest(number: float) -> float:
    """The largest of all hosts' numbers; every host gets the same answer at the same point."""
    if one_host():
        return number
    return float(np.max(multihost_utils.process_allgather(np.asarray(number, np.float32))))


def one_host() -> bool:
    return jax.process_count() == 1


def is_first_host() -> bool:
    return jax.process_index() == 0
