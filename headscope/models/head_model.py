"""A loaded causal language model whose heads are known by place, and what is kept about it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Float32
from torch import Tensor
from transformers import PreTrainedModel

from headscope.heads import HeadSet
from headscope.models.anatomy import Anatomy, embedding_weight
from headscope.models.edit_format import EditRecord, write_record
from headscope.models.interface import own_implementation
from headscope.models.law_report import LawReport
from headscope.models.one_thread import OneThread, thread_of
from headscope.models.weights import norm_factors
from headscope.runs.head_files import read_heads
from headscope.tokens import RowLimits


class Edit(Protocol):
    """What ``HeadModel.edit`` takes, such as ``editing.zero("1:10")``."""

    def on(self, model: HeadModel) -> AbstractContextManager[object]:
        """The model edited inside the block."""
        ...


class Recorded(Protocol):
    """What ``HeadModel.save_edit`` takes: an edit that can say all that it does, such as ``editing.zero("1:10")``."""

    def record(self, model: HeadModel) -> EditRecord:
        """What a file of the edit holds."""
        ...


@dataclass(eq=False)
class HeadModel:
    """A model, its tokenizer, and what headscope knows about it.

    Attributes:
        hf: the transformers model, in eval mode.
        name: as it was asked for.
        source: ``bundled``, ``folder``, ``file``, ``hub`` or ``live``.
        fingerprint: SHA-256 of the weights as loaded and of the configuration.
        bos: whether a BOS token is prepended to every text.
        bos_token_id: the token that is prepended; None where nothing is.
        anatomy: where its heads are.
        context_length: most tokens it takes; None where it has no limit.
        laws: what was proved when it was loaded.
        tree_row_limit: longest row, in tokens, that may hold several prompts packed as a tree; None where the load
            check did not find such rows equal to prompts run alone.
        mixed_row_limit: longest row, in tokens, that may lie beside rows of other lengths (see ``lengths``); None for
            no such limit.
        skips_lower_blocks: whether a pass may begin at the block it edits; False where the load check did not find
            such a pass equal to a whole one.
        prefills_trees: whether cached generation may begin with prompts packed as trees; False where the load check did
            not find it equal to each prompt alone.
        gives_some_tokens: whether the language-model head may run for some tokens alone; False where the load check did
            not find their logits equal.
        notes: what loading let pass, in plain sentences.
        memory_budget_bytes: what a batch may hold where its tokens are not named; None for a quarter of the device.
        commit: of a hub model, the commit that was taken.
        adapter: kind and base of the adapter in it, and whether it is merged; None without one.
        gguf: of a GGUF file its name, how many weights it stores in each type, and the type they were unpacked to; None
            for every other model.
        tokenizer_name: of a tokenizer that was named; None for the checkpoint's own, or one handed over.
        checkpoint: the folder whose weights these are as they lie there; None of a GGUF file, with an adapter, or live.
        tokens_beyond: added tokens of the tokenizer for which the model has no embedding, by id.
    """

    hf: PreTrainedModel
    tokenizer: Any
    name: str
    source: Literal["bundled", "folder", "file", "hub", "live"]
    fingerprint: str
    bos: Literal["always", "never"]
    bos_token_id: int | None
    anatomy: Anatomy
    context_length: int | None
    laws: LawReport
    tree_row_limit: int | None = None
    mixed_row_limit: int | None = None
    skips_lower_blocks: bool = False
    prefills_trees: bool = False
    gives_some_tokens: bool = False
    notes: tuple[str, ...] = ()
    memory_budget_bytes: int | None = None
    commit: str | None = None
    adapter: dict[str, Any] | None = None
    gguf: dict[str, Any] | None = None
    tokenizer_name: str | None = None
    checkpoint: Path | None = field(default=None, repr=False)
    tokens_beyond: dict[int, str] = field(default_factory=dict, repr=False)
    factors: dict[int, Tensor] = field(default_factory=dict, repr=False)
    value_biases: dict[int, Tensor] | None = field(default=None, repr=False)

    @property
    def device(self) -> torch.device:
        """Where ids must be: the device of the input embedding."""
        return embedding_weight(self.hf).device

    @property
    def thread(self) -> OneThread:
        """Whose model it is just now: a block that edits or reads it is entered under ``thread.held()``."""
        return thread_of(self.hf)

    @property
    def dtype(self) -> torch.dtype:
        """The floating type of the weights."""
        return self.hf.dtype

    @property
    def heads_per_layer(self) -> tuple[int, ...]:
        """Number of heads of each layer; 0 where a layer has no attention."""
        return self.anatomy.heads_per_layer

    @property
    def row_limits(self) -> RowLimits:
        """Which rows may share a batch."""
        return RowLimits(self.tree_row_limit, self.mixed_row_limit)

    @property
    def own_attention(self) -> str:
        """The attention implementation the model was loaded with: ``sdpa``, ``eager``, ``flash_attention_2``, ..."""
        return own_implementation(self.hf)

    def head_set(self, spec: str) -> HeadSet:
        """Read a head spec against this model, e.g. ``"1:10,3:2"``, or the heads of a file, ``"@circuit.json"``.

        Raises:
            RequestError: a head does not exist, or see ``runs.head_files.read_heads``.
        """
        return read_heads(spec, self.heads_per_layer)

    @contextmanager
    def edit(self, *edits: Edit) -> Generator[PreTrainedModel]:
        """The model with heads edited, for every row, position and step, until the block ends.

        The block belongs to the thread that enters it; a pass of another thread is refused (``one_thread.py``).

        >>> with model.edit(hs.zero("1:10")):           # doctest: +SKIP
        ...     model.hf.generate(**inputs)
        """
        with ExitStack() as stack:
            for edit in edits:
                stack.enter_context(edit.on(self))
            yield self.hf

    def save_edit(self, path: str | Path, edit: Recorded) -> Path:
        """Write an edit of this model to a .safetensors file, for ``load_edit``; the path written.

        Raises:
            RequestError: the edit does not fit the model, or the file cannot be written.
        """
        return write_record(path, edit.record(self))

    def norm_factor(self, layer: int) -> Float32[Tensor, "H d_v d_v"]:
        """R of a layer's output projection (see ``weights.norm_factors``), computed once."""
        if layer not in self.factors:
            self.factors[layer] = norm_factors(self.anatomy.layers[layer])
        return self.factors[layer]

    def describe(self) -> dict[str, Any]:
        """JSON-able facts for the manifest."""
        layers = self.anatomy.layers.values()
        return {
            "name": self.name,
            "source": self.source,
            "commit": self.commit,
            "adapter": self.adapter,
            "gguf": self.gguf,
            "tokenizer": self.tokenizer_name,
            "family": self.hf.config.model_type,
            "class": type(self.hf).__name__,
            "fingerprint": self.fingerprint,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
            "attention": self.own_attention,
            "routed": self.anatomy.routed,
            "value_weighted": self.anatomy.direct,
            "n_layers": len(self.anatomy),
            "heads_per_layer": list(self.heads_per_layer),
            "d_model": getattr(self.hf.config.get_text_config(), "hidden_size", None),
            "layers_without_heads": list(self.anatomy.without_heads),
            "kv_heads_per_layer": [layer.n_kv_heads for layer in layers],
            "head_size_per_layer": [layer.head_size for layer in layers],
            "projections": [layer.name for layer in layers],
            "parameters_count": self.hf.num_parameters(),
            "context_length": self.context_length,
            "bos": self.bos,
            "bos_token_id": self.bos_token_id,
            "tree_row_limit": self.tree_row_limit,
            "mixed_row_limit": self.mixed_row_limit,
            "skips_lower_blocks": self.skips_lower_blocks,
            "gives_some_tokens": self.gives_some_tokens,
            "prefills_trees": self.prefills_trees,
            "load_check": self.laws.as_dict(),
            "notes": list(self.notes),
        }
