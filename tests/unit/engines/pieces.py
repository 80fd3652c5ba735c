"""Pieces of work, an outcome and an edit for workers, in a module that they import in no time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscope.errors import RequestError
from headscope.models.head_model import HeadModel

PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Piece:
    number: int


PIECES = [Piece(number) for number in range(8)]


def square(piece: Piece) -> dict[str, Any]:
    return {"square": np.array([piece.number**2]), "pid": np.array([os.getpid()])}


def square_or(what: Callable[[], None], at: int, piece: Piece) -> dict[str, Any]:
    """The square, but ``what`` of the piece ``at``."""
    if piece.number == at:
        what()
    return square(piece)


def ended() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refused() -> None:
    raise RequestError("this piece cannot be served", expected="another one", got="this one")


def waiting() -> None:
    time.sleep(PATIENCE_SECONDS)


def looked_at(model: HeadModel, piece: Piece) -> dict[str, Any]:
    """What a worker sees of its model: whether each weight is shared, its bytes in a row, and the threads."""
    weights = [*model.hf.parameters(), *model.hf.buffers()]
    return {
        "shared": np.array([weight.is_shared() for weight in weights if weight.numel()]),
        "bytes": np.concatenate([weight.contiguous().flatten().view(torch.uint8).numpy() for weight in weights]),
        "threads": np.array(torch.get_num_threads()),
    }


def largest_logit(logits: Tensor, places: Any) -> Tensor:
    return logits.double().amax(-1)


def halved_mean(states: Any, prompt: Any, layer: int, places: Any) -> Any:
    return states.mean(prompt, layer) / 2
