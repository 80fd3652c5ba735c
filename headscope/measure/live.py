"""One prompt, read again and again under edits: the unedited pass is kept, and only what an edit changes runs.

1. The unedited pass keeps what enters every block, and the logits at the places that are read.
2. An edited pass begins at the lowest layer that is edited, where the model's load check allows it; the blocks below
   give back what they gave.
3. Attention of one head changes only by edits of lower layers, so the pass that shows it begins at the lowest of these,
   or at the head's own layer, and ends there.
4. Between blocks every pass asks whether it is still wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from headscope.errors import Cancelled, RequestError, WorkError
from headscope.models.attention import ROWS_AT_ONCE, Attention
from headscope.models.batches import Batch
from headscope.models.blocks import blocks_of, keeping_inputs, starting_at
from headscope.models.editing import HeadEdit, LayerEdit, editing
from headscope.models.head_model import HeadModel
from headscope.models.reading import watching_attention
from headscope.models.running import Stop, logits_at, of_tokens, run_hidden

Wanted = Callable[[], bool]
"""Asked between blocks and tokens: whether the work is given up."""


@contextmanager
def stopping(model: HeadModel, cancelled: Wanted | None) -> Generator[None]:
    """Ask ``cancelled`` before every block of the passes inside; before the first where blocks lie in no one list.

    Raises:
        Cancelled: it says so.
    """
    if cancelled is None:
        yield
        return
    asked = cancelled

    def ask(*_: Any) -> None:
        if asked():
            raise Cancelled

    ask()
    with model.thread.hooks() as hooks:
        for block in blocks_of(model) if model.skips_lower_blocks else ():
            hooks.before(block, ask)
        yield


def merged(model: HeadModel, edits: Sequence[HeadEdit]) -> dict[int, LayerEdit]:
    """Edits of heads that are all different, as one edit of each layer.

    Raises:
        RequestError: two of them edit the same head, or one does not fit the model.
    """
    taken: set[Any] = set()
    together: dict[int, LayerEdit] = {}
    for edit in edits:
        heads = set(model.head_set(edit.heads))
        if twice := sorted(taken & heads):
            raise RequestError(
                f"head {twice[0]} is edited twice", expected="edits of heads that are all different",
                got=", ".join(map(str, twice)), fix="give each head one edit",
            )  # fmt: skip
        taken |= heads
        for layer, one in edit.layer_edits(model).items():
            together[layer] = _both(together[layer], one) if layer in together else one
    return together


def _both(one: LayerEdit, other: LayerEdit) -> LayerEdit:
    """Two edits of different heads of a layer: each has gain 1 and value 0 where the other acts."""
    values = [edit.value for edit in (one, other) if isinstance(edit.value, Tensor)]
    return LayerEdit(one.gain * other.gain, sum(values[1:], values[0]) if values else None)


@dataclass(frozen=True)
class KeptPass:
    """An unedited pass over one prompt, and what it takes to run it under edits.

    Attributes:
        batch: the rows of the prompt.
        rows, tokens: [N] the places where logits are read.
        reads: the tokens whose logits are given, ascending ids; None for all.
        logits: [N, V] of the unedited model, V as ``reads`` has it.
        entering: layer -> what enters its block, of every layer above the first; empty where every block has to run.
    """

    model: HeadModel
    batch: Batch
    rows: Int[Tensor, " N"]
    tokens: Int[Tensor, " N"]
    reads: Int[Tensor, " kept"] | None
    logits: Float[Tensor, "N V"]
    entering: Mapping[int, Any]

    @classmethod
    def run(
        cls, model: HeadModel, batch: Batch, places: Sequence[tuple[int, int]], *,
        reads: Int[Tensor, " kept"] | None = None, cancelled: Wanted | None = None,
    ) -> KeptPass:  # fmt: skip
        """Run the rows; ``places``: (row, token) of each place.

        Raises:
            Cancelled: it is not wanted any more.
            RequestError, WorkError: as ``running.logits_at``.
        """
        rows, tokens = torch.tensor(places, device=model.device).T
        layers = range(1, len(model.anatomy)) if model.skips_lower_blocks else ()
        with (
            stopping(model, cancelled),
            nullcontext() if reads is None else of_tokens(model, reads),
            keeping_inputs(model, layers) as entering,
        ):
            logits = logits_at(model, batch, rows, tokens)
        return cls(model, batch, rows, tokens, reads, logits, entering)

    def edited(self, edits: Mapping[int, LayerEdit], cancelled: Wanted | None = None) -> Float[Tensor, "N V"]:
        """Logits at the places under edits; those of the unedited pass where there are none.

        Raises:
            Cancelled: it is not wanted any more.
            WorkError: a logit is NaN or infinite.
        """
        if not edits:
            return self.logits
        with (
            stopping(self.model, cancelled),
            editing(self.model, edits),
            self.starting(min(edits)),
            nullcontext() if self.reads is None else of_tokens(self.model, self.reads),
        ):
            return logits_at(self.model, self.batch, self.rows, self.tokens)

    @contextmanager
    def starting(self, layer: int) -> Generator[None]:
        """Passes over the batch inside begin at this layer, where they may."""
        if layer not in self.entering:
            yield
            return
        with starting_at(self.model, layer, self.entering[layer]):
            yield

    def attention(
        self, layer: int, head: int, edits: Mapping[int, LayerEdit], queries: Sequence[int] | None = None,
        cancelled: Wanted | None = None,
    ) -> Float32[Tensor, "Q T"]:  # fmt: skip
        """What one head attends to in the first row, from each token, or from ``queries``, under edits.

        Raises:
            RequestError: there is no such head, or no such token.
            Cancelled: it is not wanted any more.
        """
        model, n_tokens = self.model, self.batch.width
        model.head_set(f"{layer}:{head}")
        asked = range(n_tokens) if queries is None else queries
        check_tokens(asked, n_tokens)
        below = {at: edit for at, edit in edits.items() if at < layer}
        found: list[Tensor] = []

        def saw(at: int, attention: Attention, _: Tensor) -> None:
            if at == layer:
                found.append(_rows_of(attention, head, list(asked)))
                raise Stop

        with (
            stopping(model, cancelled),
            editing(model, below),
            self.starting(min(below, default=layer)),
            watching_attention(model, saw, (len(self.batch), n_tokens)),
        ):
            run_hidden(model, self.batch)
        if not found:
            raise WorkError(f"layer {layer} was not seen while the model ran", where=model.name)
        return found[0]


def _rows_of(attention: Attention, head: int, queries: list[int]) -> Float32[Tensor, "Q T"]:
    """Attention rows of one head in the first row of the batch, on the CPU; in parts, so that memory stays flat."""
    n_rows, n_tokens = attention.value.shape[0], attention.value.shape[2]
    at_once = max(1, ROWS_AT_ONCE // (n_rows * attention.n_heads * n_tokens))
    parts = [torch.tensor([queries[i : i + at_once]] * n_rows) for i in range(0, len(queries), at_once)]
    return torch.cat([attention.rows(part)[0, head].cpu() for part in parts])


def check_tokens(asked: Sequence[int], n_tokens: int) -> None:
    """Raise RequestError where a token is asked for that the prompt does not have."""
    if wrong := [token for token in asked if not 0 <= token < n_tokens]:
        raise RequestError(
            f"the prompt has no token {wrong[0]}", expected=f"0 to {n_tokens - 1}, counted from 0", got=str(wrong[0])
        )
