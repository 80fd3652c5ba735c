"""Batches that do not fit into memory: halved and run again, never a lost result.

The plan of batches follows from the request; where one does not fit, its halves run in its place, and the number of
halvings is kept beside the result, because bits depend on what shares a batch.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from headscope.errors import WorkError

Item = TypeVar("Item")
_SAID = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
)  # by CPU and MPS, which have no error of their own


class RowTooLargeError(WorkError, MemoryError):
    """A single row does not fit; where the batch that needs it can itself be halved, that is tried next (``fits``)."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAID)


def fits(run: Callable[[], None]) -> bool:
    """Call ``run``; False where it ran out of memory, with what it held given back."""
    try:
        run()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    gc.collect()  # only here, where the traceback no longer holds the pass's tensors
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False


def in_halves(items: Sequence[Item], run: Callable[[Sequence[Item]], None]) -> int:
    """Run ``items`` as one batch, or where that does not fit as two halves, each by the same rule.

    ``run`` leaves nothing behind where it fails.

    Returns:
        How many batches were halved.

    Raises:
        RowTooLargeError: a single item does not fit.
    """
    if fits(lambda: run(items)):
        return 0
    first, second = halves(items)
    return 1 + in_halves(first, run) + in_halves(second, run)


def halves(items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    """Two halves; RowTooLargeError where there is a single item."""
    if len(items) == 1:
        raise RowTooLargeError(
            "a single row does not fit into memory",
            expected="room for one row of the longest prompt",
            fix="shorten the prompts, load the model in bfloat16 (--dtype), or use a device with more memory",
        )
    middle = len(items) // 2
    return items[:middle], items[middle:]
