"""Patches of every head in both directions with known effects, and the tables made of them."""

import numpy as np
import pandas as pd

from headscope.stats import EffectBlock
from headscope.stats.patching import PatchedOutcome, dissociation_table
from headscope.stats.patching import patch_blocks as blocks_of
from headscope.stats.tables import patching_table
from tests.unit.report.fake_tables import CONCEPTS

SETTINGS = {"what": "z", "source": "partner", "target": "from_span", "alpha": 1.0}
HEADS = [(layer, head) for layer in range(4) for head in range(4)]
TESTS = [{"layer": l, "head": h, "heads": f"{l}:{h}", "role": "single", "k": 1} for l, h in HEADS]  # noqa: E741
TEMPLATES = [f"t{i // 2}" for i in range(24)]


def patch_blocks() -> list[EffectBlock]:
    """A block a concept and direction: effects spread evenly over the heads, in another order each."""
    made: list[EffectBlock] = []
    for c, concept in enumerate(CONCEPTS):
        for direction, sign in (("necessity", -1.0), ("sufficiency", 1.0)):
            rng = np.random.default_rng([c, int(sign > 0)])
            effect = sign * np.linspace(0.0, 3.0, len(HEADS))[rng.permutation(len(HEADS))]
            control = rng.normal(-3.0, 0.1, (24, len(HEADS)))
            patched = control + effect + rng.normal(0.0, 0.1, control.shape)
            gap = np.full(24, sign * 6.0)
            outcome = PatchedOutcome("lexicon_logodds_nats", "nats", np.full(24, -3.0), patched, control, gap)
            made += blocks_of(
                outcome, ["control_patch"],
                concept=concept, direction=direction, tests=TESTS, settings=SETTINGS, templates=TEMPLATES,
            )  # fmt: skip
    return made


def fake_patching() -> dict[str, pd.DataFrame]:
    """The tables ``patching`` and ``dissociation``."""
    made = patch_blocks()
    return {"patching": patching_table(made, seed=0), "dissociation": dissociation_table(made, seed=0)}


def fake_scores(effects: pd.DataFrame) -> pd.DataFrame:
    """Attribution patching of every head that was removed alone, each other head's exact effect beside it."""
    rows = effects.reset_index(drop=True)
    measured = rows["estimate"].where(rows.index % 2 == 0)
    return pd.DataFrame(
        {
            **{name: rows[name] for name in ("concept", "layer", "head")},
            "measure": "attribution_patching",
            "edit": "mean",
            "rank": 1,
            "estimate": rows["estimate"] * 0.75,
            "unit": "nats",
            "mean_abs": rows["estimate"].abs(),
            "exact_estimate": measured,
            "exact_sim_low": measured - 0.25,
            "exact_sim_high": measured + 0.25,
            "n_prompts": 70,
            "n_templates": 35,
        }
    )
