"""One number a head for a prompt: what it looks at, what it writes from there, what it says to one next word directly.

*Attention* and *value-weighted*: as ``attention.read_probes`` measures them, from chosen tokens to chosen tokens.

*Direct*: what a head adds to the logit of one token, norms frozen (``direct_parts``), against the mean logit of the
vocabulary: along u = W_U[token] - mean of W_U. What a head adds to every logit alike changes no probability and is left
out so. With the embedding, feed-forward layers and biases heads add up to the token's logit - the mean logit, before a
soft cap; every pass is held to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscope.errors import RequestError, WorkError
from headscope.measure.attention import Probe, read_probes
from headscope.measure.direct_parts import FrozenNorms, StatesAt
from headscope.models.anatomy import vocabulary_size
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.law_rows import tolerance_of
from headscope.models.residual import Residual, find_residual, watching_parts
from headscope.models.running import run_hidden

FloatArray = npt.NDArray[np.float64]


def attention_map(
    model: HeadModel, ids: Sequence[int], measure: str, queries: Sequence[int], keys: Sequence[int], batch_tokens: int
) -> FloatArray:
    """[L, H] ``attention`` or ``value_weighted``: the mean over queries of what they pay to the keys together.

    A query that is a key, too, counts.
    """
    probe = Probe(0, tuple(queries), tuple(keys), exclude_query=False)
    return read_probes(model, [ids], [probe], batch_tokens=batch_tokens, pack=False)[measure][0]


@dataclass(frozen=True)
class DirectMap:
    """What each head adds to a token's logit - the mean logit, the mean over places.

    Attributes:
        heads: [L, H]; NaN where there is no such head.
        rest: what the embedding, feed-forward layers and biases add.
        total: the logit difference itself, before a soft cap.
    """

    heads: FloatArray
    rest: float
    total: float


class DirectReader:
    """Of one model; where its stream is plain is found once.

    Raises:
        ModelError: at the first reading: the model's logits are no sum over its parts.
    """

    def __init__(self, model: HeadModel) -> None:
        self._model = model

    def read(self, batch: Batch, tokens: Sequence[int], token_id: int) -> DirectMap:
        """Run one row and read after ``tokens``.

        Raises:
            RequestError: there is no such token in the vocabulary.
            WorkError: the parts do not add up.
        """
        model, residual = self._model, self._residual
        if not 0 <= token_id < vocabulary_size(model.hf):
            raise RequestError(
                f"the vocabulary has no token {token_id}", expected=f"0 to {vocabulary_size(model.hf) - 1}",
                got=str(token_id),
            )  # fmt: skip
        at = torch.tensor(list(tokens), device=model.device)
        states = StatesAt(torch.zeros_like(at), at)
        with watching_parts(model, residual, states.parts()):
            run_hidden(model, batch)
        everywhere = torch.arange(len(at), device=model.device)
        norms = FrozenNorms(model, residual, states, everywhere, model.device)
        mean, mean_bias = self._mean
        k = residual.logit_scale
        u = k * (residual.unembedding[token_id].to(model.device).double() - mean)[None]  # [1, D]
        bias = k * (float(residual.unembedding_bias[token_id]) - mean_bias)
        own = (states.y.to(u) @ u.T)[:, 0] + bias
        parts = norms.contributions(norms.through_final(u) * norms.scale)
        offset = float(u @ residual.norm.bias.to(u)) + bias
        largest = float((states.y.to(u).norm(dim=-1) * u.norm()).max().clamp(min=1.0))
        error = max(norms.error, float((parts.total() + offset - own).abs().max()) / largest)
        if error > (limit := 2 * tolerance_of(model)):
            raise WorkError(
                f'the parts of model "{model.name}" do not add up to a logit, so direct attribution would be wrong',
                expected=f"a relative error of at most {limit:.1e}", got=f"{error:.1e}", fix="load it in float32",
            )  # fmt: skip
        heads = np.full((len(model.anatomy), max(model.heads_per_layer)), np.nan)
        for layer, of_layer in parts.heads.items():
            heads[layer, : of_layer.shape[1]] = of_layer.mean(0).cpu().numpy()
        total = float(own.mean())
        return DirectMap(heads, total - float(np.nansum(heads)), total)

    @cached_property
    def _residual(self) -> Residual:
        return find_residual(self._model)

    @cached_property
    def _mean(self) -> tuple[Tensor, float]:
        """Of W_U's rows, float64, and of their biases."""
        weights = self._residual.unembedding
        mean = weights.mean(0, dtype=torch.float64).to(self._model.device)
        return mean, float(self._residual.unembedding_bias.mean(dtype=torch.float64))
