"""Lengths beyond which a model's positions depend on more than the row: a prompt's numbers must not.

Some models compute positions anew for each pass from its longest row: LongRoPE (Phi-3 to Phi-4-mini) takes other
frequencies beyond a length, dynamic NTK others for each length; Llama 4 and Inkling scale queries beyond a length, and
count padding. So rows beyond the length share a pass with rows of their own length only, unpadded, which then is what
transformers computes of each alone. That rule stands in ``tokens.RowLimits``, by which every plan of batches is made;
``running`` refuses a pass that breaks it. The load check tries rows on both sides of each length that a configuration
names, also of those where positions are said not to depend on the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import PreTrainedModel

from headscope.models.anatomy import context_length, vocabulary_size
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.law_report import Law, unmeasured
from headscope.models.law_rows import N_STEPS, all_logits, compare, gone_on
from headscope.models.running import prefill
from headscope.random_streams import generator
from headscope.tokens import plan_batches

# Frequencies that are settled when the model is built; any other scheme is taken to look at the pass.
_SETTLED = frozenset({"default", "linear", "yarn", "llama3", "proportional"})

MOST_TRIED = 128
"""Longest of such lengths, in tokens, that the load check tries: it runs about 17 rows of this length."""


def mixed_row_limit(hf: PreTrainedModel) -> int | None:
    """Longest row, in tokens, that may lie beside rows of other lengths; None where every row may."""
    return min((length for length, looks_at_pass in _named_lengths(hf).items() if looks_at_pass), default=None)


def _named_lengths(hf: PreTrainedModel) -> dict[int, bool]:
    """Each length at which the configuration says that positions change -> whether they then depend on the pass."""
    config: Any = hf.config.get_text_config()
    context = context_length(hf)
    found: dict[int, bool] = {}
    for scheme in _schemes(getattr(config, "rope_parameters", None)):
        length = scheme.get("original_max_position_embeddings") or context
        looks_at_pass = scheme.get("rope_type", "default") not in _SETTLED
        if isinstance(length, int):
            found[length] = looks_at_pass or found.get(length, False)
    if getattr(config, "attn_temperature_tuning", False):
        found[max(1, int(config.floor_scale) - 1)] = True  # token number floor_scale is the first that is scaled
    scaled_after: int | None = getattr(config, "log_scaling_n_floor", None)
    if scaled_after is not None:
        found[scaled_after] = True
    return {length: looks for length, looks in found.items() if context is None or length < context}


def _schemes(parameters: Any) -> Iterator[dict[str, Any]]:
    """The rotary schemes of a configuration: one, or one for each kind of layer."""
    if isinstance(parameters, dict):
        inner = [one for one in parameters.values() if isinstance(one, dict)]
        yield from inner or [parameters]


def length_laws(model: HeadModel, tolerance: float) -> list[Law]:
    """For each length that the configuration names: rows around it, as they are planned, against each alone."""
    laws: list[Law] = []
    for length in sorted(_named_lengths(model.hf)):
        name = f"beside rows of more than {length} tokens = alone"
        if length > MOST_TRIED:
            laws.append(unmeasured(name, f"not tried: it takes rows of more than {MOST_TRIED}"))
        else:
            laws.append(_length_law(model, name, length, tolerance))
    return laws


def _length_law(model: HeadModel, name: str, length: int, tolerance: float) -> Law:
    """Rows of four lengths, two of them alike, in planned passes; and a row beyond the length, cached."""
    longest = min(length + 2 + N_STEPS, model.context_length or length + 2 + N_STEPS)
    lengths = [max(1, length - 1), length, *(min(length + n, longest) for n in (1, 2, 2))]
    draws = generator(0, "load check of lengths").integers(0, vocabulary_size(model.hf), size=(5, longest))
    sequences = [row[:n].tolist() for row, n in zip(draws, lengths, strict=True)]
    alone = [all_logits(model, Batch.of_chains([ids], device=model.device))[0] for ids in sequences]
    got, expected = list[torch.Tensor](), list[torch.Tensor]()
    for members in plan_batches(lengths, sum(lengths) * 16, model.row_limits):
        for side in ("right", "left"):
            rows = [sequences[index] for index in members]
            got += all_logits(model, Batch.of_chains(rows, device=model.device, padding=side))
            expected += [alone[index] for index in members]
    whole = draws[-1].tolist()
    if len(whole) - N_STEPS > length:
        begun = Batch.of_chains([whole[:-N_STEPS]], device=model.device)
        got += gone_on(model, *prefill(model, begun), begun, [whole])
        expected.append(all_logits(model, Batch.of_chains([whole], device=model.device))[0][-N_STEPS - 1 :])
    limited = model.mixed_row_limit is not None and length >= model.mixed_row_limit
    note = "longer rows run beside those of their own length" if limited else ""
    return compare(name, got, expected, tolerance, note)
