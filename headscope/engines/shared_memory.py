"""An object laid once into memory that processes share: its tensors and arrays are read there by all, never copied.

A pickle is small where the bytes of tensors and arrays lie beside it. They lie in one block of shared memory, each at a
multiple of 64 bytes, where torch would put them, and the pickle after them. The block is one tensor of bytes, which
torch.multiprocessing hands over by one file descriptor, however many weights a model has. It has no name in the file
system, so it is gone with the last process that holds it, however that ended.
"""

from __future__ import annotations

import io
import pickle
import shutil
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscope.errors import RequestError
from headscope.models.head_model import HeadModel

_ALIGNED_BYTES = 64
_SHARED = Path("/dev/shm")  # noqa: S108 - only asked how much is free  # nosec B108
_MODEL = "model"


@dataclass(frozen=True)
class Packed:
    """An object in shared memory.

    Attributes:
        memory: [n] bytes: of its tensors, of its arrays, and its pickle.
        starts: where each of these begins.
        sizes: how many bytes each of them has.
        n_tensors: how many of them are of tensors.
    """

    memory: Tensor
    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    n_tensors: int


def pack(what: Any, model: HeadModel | None = None) -> Packed:
    """Lay an object into shared memory; where it refers to ``model``, its reader puts its own.

    Raises:
        RequestError: it refers to another model, or there is too little shared memory.
        pickle.PicklingError, AttributeError, TypeError: a part of it cannot be sent to another process.
    """
    return _packed(what, model)[0]


def unpack(packed: Packed, model: HeadModel | None = None) -> Any:
    """The object, its tensors and arrays read where they lie; ``model`` stands for what was left out."""
    return _Unpickler(packed, model).load()


def share(model: HeadModel) -> Packed:
    """The whole model in shared memory, its weights there and no longer in this process.

    The model goes on as it was: the same parameters with the same bits, which now lie in the shared block.

    Raises:
        As ``pack``.
    """
    packed, pickler = _packed(model, None)
    for weight in chain(model.hf.parameters(), model.hf.buffers()):
        if weight.data.untyped_storage().data_ptr() in pickler.blocks:
            weight.data = _tensor(packed, *pickler.place(weight.data))
    return packed


def _packed(what: Any, model: HeadModel | None) -> tuple[Packed, _Pickler]:
    written = io.BytesIO()
    pickler = _Pickler(written, model)
    pickler.dump(what)
    arrays = [*map(_bytes, pickler.storages), *map(_bytes, pickler.arrays), _bytes(written.getbuffer())]
    ends = list(accumulate(-(-len(array) // _ALIGNED_BYTES) * _ALIGNED_BYTES for array in arrays))
    _require(ends[-1])
    memory = torch.empty(ends[-1], dtype=torch.uint8).share_memory_()
    packed = Packed(memory, (0, *ends[:-1]), tuple(map(len, arrays)), len(pickler.storages))
    for start, array in zip(packed.starts, arrays, strict=True):
        memory.numpy()[start : start + len(array)] = array
    return packed, pickler


def _bytes(held: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if isinstance(held, torch.UntypedStorage):
        return torch.empty(0, dtype=torch.uint8).set_(held).numpy()
    return np.frombuffer(held.raw() if isinstance(held, pickle.PickleBuffer) else held, dtype=np.uint8)


def _require(n_bytes: int) -> None:
    """RequestError where shared memory is too small; written beyond its end, it would kill the process."""
    if _SHARED.is_dir() and (free := shutil.disk_usage(_SHARED).free) < n_bytes:
        raise RequestError(
            "there is too little shared memory for workers",
            expected=f"{n_bytes / 2**20:,.0f} MiB",
            got=f"{free / 2**20:,.0f} MiB are free",
            where=str(_SHARED),
            fix="give the container more (docker run --shm-size), or leave out the workers",
        )


def _lies_on_the_cpu(tensor: Tensor) -> bool:
    """Whether a tensor is told by its bytes, type, shape and strides."""
    return (
        type(tensor) is Tensor
        and tensor.device.type == "cpu"
        and tensor.layout is torch.strided
        and tensor.numel() > 0
        and not (tensor.requires_grad or tensor.is_quantized or tensor.is_conj() or tensor.is_neg())
    )


def _tensor(packed: Packed, block: int, offset: int, about: tuple[Any, ...]) -> Tensor:
    dtype, size, stride = about
    start = packed.starts[block] // dtype.itemsize + offset
    return torch.empty(0, dtype=dtype).set_(packed.memory.untyped_storage(), start, size, stride)


class _Pickler(pickle.Pickler):
    """Leaves bytes of tensors and arrays aside, and the model out."""

    def __init__(self, file: io.BytesIO, model: HeadModel | None) -> None:
        self.storages: list[torch.UntypedStorage] = []
        self.arrays: list[pickle.PickleBuffer] = []
        self.blocks: dict[int, int] = {}
        self._model = model
        super().__init__(file, protocol=5, buffer_callback=self.arrays.append)

    def persistent_id(self, obj: Any, /) -> Any:
        if isinstance(obj, HeadModel) and self._model is not None:
            if obj is not self._model:
                raise RequestError(
                    "the workers hold another model", expected=self._model.name, got=obj.name,
                    fix="make a runner for each model",
                )  # fmt: skip
            return _MODEL
        return self.place(obj) if isinstance(obj, Tensor) and _lies_on_the_cpu(obj) else None

    def place(self, tensor: Tensor) -> tuple[int, int, tuple[Any, ...]]:
        """The block that holds the tensor's bytes, where in it, counted in elements, and type, shape and strides."""
        storage = tensor.untyped_storage()
        block = self.blocks.setdefault(storage.data_ptr(), len(self.storages))
        if block == len(self.storages):
            self.storages.append(storage)
        return block, int(tensor.storage_offset()), (tensor.dtype, tuple(tensor.shape), tensor.stride())


class _Unpickler(pickle.Unpickler):
    def __init__(self, packed: Packed, model: HeadModel | None) -> None:
        self._packed, self._model = packed, model
        held = packed.memory.numpy().data
        blocks = [held[start : start + size] for start, size in zip(packed.starts, packed.sizes, strict=True)]
        super().__init__(io.BytesIO(blocks[-1]), buffers=blocks[packed.n_tensors : -1])

    def persistent_load(self, pid: Any, /) -> Any:
        return self._model if pid == _MODEL else _tensor(self._packed, *pid)
