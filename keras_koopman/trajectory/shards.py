"""How a snapshot is divided over the devices of a mesh; JAX alone knows of one.

Each device packs what it holds of each tensor, and of what several devices hold alike each takes its share.
So a row takes no more memory on all devices together than one copy of the values, nothing is sent to append
it, and an inner product is a sum over the devices.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from ..backend import engine
from .layout import Group, Layout, Part


@dataclass(frozen=True)
class Shards:
    """Where the tensors of a snapshot lie.

    Attributes:
        mesh: of the devices.
        specs: for each tensor, over which axes of the mesh each of its dimensions is divided.
    """

    mesh: Any
    specs: tuple[Any, ...]

    @classmethod
    def of(cls, tensors: list[Any]) -> Shards | None:
        """Where these tensors lie; None if all of them lie on one device."""
        if engine() != "jax":
            return None
        from jax.sharding import NamedSharding, PartitionSpec

        found = [getattr(tensor, "sharding", None) for tensor in tensors]
        named = [sharding for sharding in found if isinstance(sharding, NamedSharding)]
        mesh = next((sharding.mesh for sharding in named if sharding.mesh.size > 1), None)
        if mesh is None:
            return None
        return cls(
            mesh,
            tuple(
                sharding.spec
                if isinstance(sharding, NamedSharding) and sharding.mesh == mesh
                else PartitionSpec()
                for sharding in found
            ),
        )

    @property
    def count(self) -> int:
        """How many devices there are."""
        return int(self.mesh.size)

    @property
    def several_processes(self) -> bool:
        """Whether some of the devices belong to other processes."""
        return len({device.process_index for device in self.mesh.devices.flat}) > 1

    def local(self, layout: Layout) -> Layout:
        """Layout of what one device keeps, which is the same on each."""
        specs = iter(self.specs)
        return Layout(
            tuple(
                Group(
                    group.name,
                    tuple(
                        Part(part.name, (self._share(part, next(specs)),), part.dtype) for part in group.parts
                    ),
                    "list",
                )
                for group in layout.groups
            ),
            "list",
        )

    def place(self, tensors: list[Any]) -> list[Any]:
        """The tensors on the devices: those from elsewhere, equal in each process, are brought there."""
        import jax

        devices = set(self.mesh.devices.flat)

        def placed(tensor: Any, spec: Any) -> Any:
            if isinstance(tensor, jax.Array) and tensor.sharding.device_set == devices:
                return tensor
            host = np.asarray(ops.convert_to_numpy(tensor))
            sharding = jax.sharding.NamedSharding(self.mesh, spec)
            return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

        return [placed(tensor, spec) for tensor, spec in zip(tensors, self.specs, strict=True)]

    def pack(self, layout: Layout, tensors: list[Any]) -> Any:
        """As `Layout.pack`, for use within a compiled function; the blocks are divided over the devices."""
        import jax

        local = self.local(layout)

        def on_device(*held: Any) -> Any:
            shares = []
            for tensor, spec, share in zip(held, self.specs, _sizes(local), strict=True):
                flat, others = ops.reshape(tensor, (-1,)), self._others(spec)
                missing = self._copies(spec) * share - flat.shape[0]
                if missing:
                    flat = ops.concatenate([flat, ops.zeros((missing,), flat.dtype)])
                if others:
                    flat = jax.lax.dynamic_slice(flat, (jax.lax.axis_index(others) * share,), (share,))
                shares.append(flat)
            return local.pack(shares)

        return self._mapped(on_device, self.specs, self._over_all())(*tensors)

    def unpack(self, layout: Layout, packed: Any) -> list[Any]:
        """The tensors, each where it was, for use within a compiled function; the reverse of `pack`."""
        import jax

        local = self.local(layout)
        parts = [part for group in layout.groups for part in group.parts]

        def on_device(row: Any) -> tuple[Any, ...]:
            tensors = []
            shares = (share for group in local.split(row) for share in group)
            for share, part, spec in zip(shares, parts, self.specs, strict=True):
                others, shape = self._others(spec), self._held_shape(part, spec)
                flat = jax.lax.all_gather(share, others, tiled=True) if others else share
                tensors.append(ops.reshape(flat[: math.prod(shape)], shape))
            return tuple(tensors)

        return list(self._mapped(on_device, (self._over_all(),), self.specs)(packed))

    def summed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of packed values as the sum of what it gives on each device, known to all."""
        import jax

        def on_device(*rows: Any) -> Any:
            return jax.lax.psum(function(*rows), self.mesh.axis_names)

        def call(*rows: Any) -> Any:
            nowhere = jax.sharding.PartitionSpec()
            return self._mapped(on_device, (self._over_all(),) * len(rows), nowhere)(*rows)

        return call

    def _mapped(self, function: Callable[..., Any], inputs: Any, outputs: Any) -> Callable[..., Any]:
        """A function that runs on each device on what lies there."""
        import jax

        if hasattr(jax, "shard_map"):
            shard_map = functools.partial(jax.shard_map, check_vma=False)
        else:
            shard_map = functools.partial(jax.experimental.shard_map.shard_map, check_rep=False)
        mapped: Callable[..., Any] = shard_map(function, mesh=self.mesh, in_specs=inputs, out_specs=outputs)
        return mapped

    def _over_all(self) -> Any:
        import jax

        return jax.sharding.PartitionSpec(self.mesh.axis_names)

    def _others(self, spec: Any) -> tuple[str, ...]:
        """Axes of the mesh along which all devices hold the same."""
        used = {axis for entry in spec if entry is not None for axis in _axes(entry)}
        return tuple(axis for axis in self.mesh.axis_names if axis not in used)

    def _copies(self, spec: Any) -> int:
        """How many devices hold the same."""
        return math.prod(self.mesh.shape[axis] for axis in self._others(spec))

    def _held_shape(self, part: Part, spec: Any) -> tuple[int, ...]:
        """Shape of what one device holds of a tensor."""
        entries = [*spec, *[None] * (len(part.shape) - len(spec))]
        return tuple(
            side if entry is None else side // math.prod(self.mesh.shape[axis] for axis in _axes(entry))
            for side, entry in zip(part.shape, entries, strict=True)
        )

    def _share(self, part: Part, spec: Any) -> int:
        """How many numbers of a tensor one device keeps."""
        return -(-math.prod(self._held_shape(part, spec)) // self._copies(spec))


def _axes(entry: Any) -> tuple[str, ...]:
    """Axes over which one dimension is divided."""
    return tuple(entry) if isinstance(entry, tuple | list) else (entry,)


def _sizes(layout: Layout) -> Iterator[int]:
    return (part.size for group in layout.groups for part in group.parts)
