"""The content of the Phase 6 study's ablation file, from what ``ablate`` gave or from the run folder it was kept in.

The file is of one edit, the first that was asked for; texts are prompt + continuation, as the study had them. Added
keys hold the continuations alone, every tested effect, and what was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from headscope.errors import WorkError
from headscope.heads import HeadSet


def ablation_document(
    model: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], record: Mapping[str, Any], **added: Any
) -> dict[str, Any]:
    """The ablation file's content; see ``runs.phase6.write_ablation``.

    ``added``: further keys (versions, fingerprints, ...), plain data.

    Raises:
        WorkError: the ablation wrote no texts.
    """
    if "texts" not in tables or tables["texts"].empty:
        raise WorkError("the ablation wrote no texts, which the study's file is made of", fix="leave out --no-generate")
    edit = record["edits"][0]
    texts = tables["texts"]
    texts = texts[texts["edit"] == edit]
    effects = tables["effects"]
    effects = effects[effects["edit"] == edit]
    heads = HeadSet.parse(record["heads"], model["heads_per_layer"])
    return {
        "model": model["name"],
        "heads": [(head.layer, head.head) for head in heads],
        "prompts": texts.loc[texts["sample"] == 0, "prompt"].tolist(),
        "baseline_texts": (texts["prompt"] + texts["baseline_text"]).tolist(),
        "ablation_texts": (texts["prompt"] + texts["edited_text"]).tolist(),
        "baseline_metrics": record["baseline_metrics"],
        "ablation_metrics": record["edited_metrics"][edit],
        "edit": edit,
        "concepts": list(dict.fromkeys(texts["concept"])),
        "baseline_continuations": texts["baseline_text"].tolist(),
        "ablation_continuations": texts["edited_text"].tolist(),
        "sampling": record["sampling"],
        "sentiment_scorer": record["sentiment"],
        "keyword_counting": record["keyword_counting"],
        "effects": effects.astype(object).where(effects.notna(), None).to_dict("records"),
        "warnings": list(record.get("warnings", ())),
        **added,
    }
