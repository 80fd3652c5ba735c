"""A ``probes`` table that never was: heads of the later half of the layers tell the concept, the others do not."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from headscope.tables import TABLES


def fake_probes(
    n_layers: int, n_heads: int, concepts: Sequence[str], *, n_prompts: int, n_templates: int
) -> pd.DataFrame:
    """A row a concept and head."""
    rows = [
        {
            "concept": concept,
            "layer": layer,
            "head": head,
            "probe_auroc": 0.97 - 0.001 * head if tells else 0.53,
            "probe_auroc_low": 0.9 if tells else 0.41,
            "probe_auroc_high": 1.0 if tells else 0.65,
            "probe_accuracy": 0.81 if tells else 0.52,
            "p_value": 0.0005 if tells else 0.3,
            "p_max_t": 0.0005 if tells else 0.95,
            "q_value": 0.001 if tells else 0.4,
            "shuffled_auroc": 0.498,
            "residual_auroc": 0.99,
            "n_prompts": n_prompts,
            "n_templates": n_templates,
            "status": "exploratory",
            "note": "",
        }
        for concept in concepts
        for layer in range(n_layers)
        for head in range(n_heads)
        for tells in (2 * layer >= n_layers,)
    ]
    return pd.DataFrame(rows)[list(TABLES["probes"].columns)]
