"""The user's own vectors for heads, from a NumPy or safetensors file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from headscope.errors import RequestError

_EXPECTED = "[heads, d] numbers: a .npy file, or a .safetensors file of one such tensor or of one vector for each head"


def read_values(path: str | Path) -> Tensor | dict[str, Tensor]:
    """[heads, d], or a vector [d] by head (``1:10``); whether it fits the heads is for the edit to say.

    Raises:
        RequestError: there is no such file, it is damaged, or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise RequestError("there is no such file of values", expected=_EXPECTED, got=str(path))
    if path.suffix not in (".npy", ".safetensors"):
        raise RequestError(
            "the file of values has an ending that names no known format", expected=_EXPECTED, got=path.name
        )
    try:
        read = _of_numpy(path) if path.suffix == ".npy" else load_file(path)
    except (SafetensorError, OSError, ValueError, EOFError, TypeError) as error:
        raise RequestError(
            "the file of values cannot be read", expected=_EXPECTED, got=str(error).splitlines()[0][:200] or "nothing",
            where=str(path),
        ) from error  # fmt: skip
    tensors = list(read.values())
    if len(tensors) == 1 and tensors[0].dim() == 2 and tensors[0].is_floating_point():
        return tensors[0]
    if tensors and all(each.dim() == 1 and each.is_floating_point() for each in tensors) and "" not in read:
        return read
    shapes = ", ".join(f"{name or 'the array'} {tuple(each.shape)} {each.dtype}" for name, each in read.items())
    raise RequestError("the file of values holds something else", expected=_EXPECTED, got=shapes[:200] or "nothing",
                       where=str(path))  # fmt: skip


def _of_numpy(path: Path) -> dict[str, Tensor]:
    """The array under the name ""; whole numbers as float32."""
    array = np.load(path, allow_pickle=False, mmap_mode="r")
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError("the file holds no array of numbers")
    kind = array.dtype if array.dtype in (np.float16, np.float32, np.float64) else np.float32
    return {"": torch.from_numpy(np.array(array, dtype=kind))}
