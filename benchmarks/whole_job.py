"""One question from end to end, as ids that every contestant is given: which heads carry a concept, and what then?

1. Attention of the last token to the concept's words, every head, on the concept's prompts and on its controls.
2. What every head puts out on control prompts. Off means: the mean over the controls of other templates in its place.
3. Every head off alone: log-odds of the concept's words after each readout.
4. Some heads off together: greedy text of both arms. They are named beforehand, so that all write the same texts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headscope.heads import every_head
from headscope.measure.layout import PromptLayout
from headscope.models.loading import load_model
from headscope.profiles.types import Profile
from headscope.study import Study

WHOLE = "the whole job, one concept"


def whole_task(
    checkpoint: Path, profile: Profile, concept: str, *, max_tokens: int, n_prompts: int | None
) -> dict[str, Any]:
    """The job on a checkpoint, with the concept's first ``n_prompts`` prompts.

    Raises:
        ValueError: a readout has other words than the first, which the contestants' log-odds have no room for.
    """
    model = load_model(checkpoint, unchecked=True)
    named = [prompt.id for prompt in profile.prompts_of(concept)][:n_prompts]
    study = Study(model, profile).only(concept, named)
    mine, controls = study.layouts[: len(named)], study.controls
    lexicons = [next(one for one in of if one.concept == concept) for of in study.lexicons]
    if len({(one.lexicon.ids, one.control.ids) for one in lexicons}) > 1:
        raise ValueError("readouts with lexicons of their own")
    heads = [[head.layer, head.head] for head in every_head(model.heads_per_layer)]
    return {
        "kind": "whole",
        "scaled_by": "heads",
        "concept": concept,
        "names": named,
        "texts": [list(one.tokens.ids) for one in (*mine, *controls)],
        "keys": [_keys(study, one) for one in (*mine, *controls)],
        "templates": [one.template for one in mine],
        "sequences": [list(one.ids) for layout in mine for one in layout.sequences],
        "control_sequences": [list(one.ids) for layout in controls for one in layout.sequences],
        "control_templates": [layout.template for layout in controls for _ in layout.sequences],
        "n_readouts": len(mine[0].sequences),
        "words": list(lexicons[0].lexicon.ids),
        "controls": list(lexicons[0].control.ids),
        "heads": heads,
        "written": [heads[len(heads) * share // 4] for share in (1, 2, 3)],
        "max_tokens": max_tokens,
    }


def _keys(study: Study, layout: PromptLayout) -> list[int]:
    """The tokens of the concept's span; of a prompt without one the first word."""
    prompt = next(one for one in study.profile.prompts if one.id == layout.id)
    if prompt.span is None:
        return [layout.tokens.n_bos]
    return list(layout.tokens.of_span(study.encoder.move_span(prompt.text, prompt.span)))
