"""How many tokens a batch may hold whose backward pass keeps what it needs, from the request alone."""

from __future__ import annotations

from collections.abc import Sequence

from headscope.measure.layout import PromptLayout
from headscope.models.anatomy import matrix_shapes, vocabulary_size
from headscope.models.head_model import HeadModel

GRADIENT_BYTES = 2**30
"""Most bytes that one batch may keep for its backward pass, by ``bytes_per_token``."""

_COPIES = 3  # of a layer's inputs and outputs that autograd keeps: as they are, normed, and inside the activation


def gradient_batch_tokens(model: HeadModel, prompts: Sequence[PromptLayout], batch_tokens: int) -> int:
    """Most tokens of a batch whose backward pass keeps at most ``GRADIENT_BYTES``, and at most ``batch_tokens``."""
    rows = [row for prompt in prompts for row in prompt.rows]
    lengths, n_ends = [len(row) for row in rows], max(len(row.paths) for row in rows)
    by_memory = GRADIENT_BYTES // bytes_per_token(model, max(lengths), n_ends / min(lengths))
    return max(1, min(batch_tokens, by_memory))


def bytes_per_token(model: HeadModel, longest: int, ends_per_token: float) -> int:
    """About what one token keeps for a backward pass: inputs and outputs of every matrix, attention rows, its logits.

    An estimate from the request alone (never from free memory), so that the batches, and with them the bits, are
    the same wherever it is asked.
    """
    widths = sum(map(sum, matrix_shapes(model.hf)))
    rows = sum(model.heads_per_layer) * longest
    logits = int(4 * _COPIES * vocabulary_size(model.hf) * ends_per_token)
    return model.dtype.itemsize * _COPIES * (widths + rows) + logits
