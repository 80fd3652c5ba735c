"""Cached generation begun with every distinct prefix run once.

1. Sequences lie in trees of shared prefixes. The trees run in batches, each with a cache of its own.
2. In a causal model a token's keys and values depend on its ancestors alone. So a sequence's keys and values are those
   on its path, in order, and all sequences' paths are gathered into one cache, padded on the left, in which every
   sequence has a row to go on in. It has room for the new tokens, so that it is not copied for each of them.

The load check measures whether a model's cache can be taken apart and put together like this (``prefills_trees``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from headscope.errors import RequestError
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.running import at_places, finite_logits, forward_arguments, output_at
from headscope.tokens import IntArray


@dataclass(frozen=True)
class PathOf:
    """Where a sequence stands: its index, its row in the batch, and [n] indices of its tokens there, in order."""

    sequence: int
    row: int
    tokens: IntArray


class _RoomyLayer(DynamicLayer):
    """A layer of a cache that takes new tokens without a copy of the old ones, while there is room."""

    def __init__(self, keys: Float[Tensor, "B H_kv T d"], values: Float[Tensor, "B H_kv T d_v"], room: int) -> None:
        """Keys and values, of which the last ``room`` are free."""
        super().__init__()
        self.lazy_initialization(keys, values)
        self._used = keys.shape[-2] - room
        self._whole = [keys, values]
        self.keys, self.values = (one[..., : self._used, :] for one in self._whole)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add the keys and values [B, H_kv, t, d] of new tokens; all of them so far."""
        start, self._used = self._used, self._used + key_states.shape[-2]
        for whole, new in zip(self._whole, (key_states, value_states), strict=True):
            whole[..., start : self._used, :] = new
        self.keys, self.values = (one[..., : self._used, :] for one in self._whole)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Int[Tensor, " kept"]) -> None:
        """Keep only some rows."""
        self._whole = [one[beam_idx.to(one.device)] for one in self._whole]
        self.keys, self.values = (one[..., : self._used, :] for one in self._whole)


class SharedPrefill:
    """The beginning of sequences: ``run`` batches, then ``finish``."""

    def __init__(self, model: HeadModel, n_sequences: int, width: int, *, room: int) -> None:
        """Nothing run yet; ``width``: tokens of the longest sequence, ``room``: how many each goes on for."""
        self._model, self._shape, self._room = model, (n_sequences, width), room
        self._parts: list[tuple[Tensor, Tensor, Tensor, list[tuple[Tensor, Tensor]]]] = []
        self._logits: list[Tensor] = [torch.empty(0)] * n_sequences

    @torch.inference_mode()
    def run(self, batch: Batch, paths: Sequence[PathOf]) -> None:
        """Run some trees, which hold the sequences of ``paths``.

        Raises:
            RequestError: the model's cache holds something else than the keys and values of every token.
        """
        ends = [(path.row, int(path.tokens[-1])) for path in paths]
        distinct = {end: index for index, end in enumerate(dict.fromkeys(ends))}
        at = torch.tensor(list(distinct), device=batch.ids.device)
        arguments = forward_arguments(self._model, batch) | {"use_cache": True}
        with output_at(self._model, at_places(at[:, 0], at[:, 1])):
            output = self._model.hf(**arguments)
        logits = finite_logits(self._model, output.logits[0])
        for path, end in zip(paths, ends, strict=True):
            self._logits[path.sequence] = logits[distinct[end]]
        tokens = torch.zeros(len(paths), self._shape[1], dtype=torch.long)
        for index, path in enumerate(paths):
            tokens[index, self._shape[1] - len(path.tokens) :] = torch.from_numpy(path.tokens)
        sequences, rows = (torch.tensor([getattr(path, name) for path in paths]) for name in ("sequence", "row"))
        self._parts.append((sequences, rows, tokens, _keys_and_values(self._model, output, batch.width)))

    @torch.inference_mode()
    def finish(self) -> tuple[Float[Tensor, "n_sequences V"], DynamicCache]:
        """Logits after each sequence, and the cache for ``running.step``."""
        cache = DynamicCache(config=self._model.hf.config)
        for layer in range(len(self._parts[0][3])):
            keys, values = (self._gathered(layer, which) for which in (0, 1))
            for *_, layers in self._parts:
                layers[layer] = (keys[:0], values[:0])  # given back as we go
            if type(cache.layers[layer]) is DynamicLayer:
                cache.layers[layer] = _RoomyLayer(keys, values, self._room)
            else:
                width = self._shape[1]
                cache.update(keys[:, :, :width], values[:, :, :width], layer)
        return torch.stack(self._logits), cache

    def _gathered(self, layer: int, which: int) -> Float[Tensor, "n_sequences H_kv width d"]:
        """The keys (0) or values (1) of a layer, each sequence's own."""
        like = self._parts[0][3][layer][which]
        n, width = self._shape
        whole = like.new_empty(n, like.shape[1], width + self._room, like.shape[3])
        for sequences, rows, tokens, layers in self._parts:
            index = [one.to(like.device) for one in (sequences, rows[:, None], tokens)]
            whole[index[0], :, :width] = layers[layer][which].transpose(1, 2)[index[1], index[2]].transpose(1, 2)
        return whole


def _keys_and_values(model: HeadModel, output: Any, width: int) -> list[tuple[Tensor, Tensor]]:
    cache = getattr(output, "past_key_values", None)
    layers: list[Any] = list(cache.layers) if type(cache) is DynamicCache else []
    kinds = (DynamicLayer, DynamicSlidingWindowLayer)
    if not layers or any(type(one) not in kinds or one.keys is None or one.keys.shape[-2] != width for one in layers):
        raise RequestError(f'the cache of model "{model.name}" holds more than the keys and values of every token')
    return [(one.keys, one.values) for one in layers]
