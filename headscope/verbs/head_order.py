"""Heads in the order of their effect on one half of the templates, to be used on the other half.

Whatever is chosen from the data must be measured elsewhere, or choosing flatters it. The templates of a concept are
halved once; each half orders the heads by their single effects, and what follows from its order (top sets, curves,
searches) is measured on the other half. Both directions are done, so that every template is measured once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from headscope.errors import RequestError
from headscope.heads import Head, HeadSet
from headscope.stats import split_templates
from headscope.stats.clusters import FloatArray, equal_weight_mean, template_means
from headscope.terms import ANSWERS
from headscope.verbs.effect_rows import DECIDING_EDIT, without_partner
from headscope.verbs.sweep import SweepResult


@dataclass(frozen=True)
class Order:
    """The heads of one concept, ordered on one half of its templates.

    Attributes:
        concept: the concept.
        half: 1 or 2, the half that ordered them.
        heads: the one whose removal lowers the concept most comes first.
        effects_nats: [n_heads], mean effect on the ordering half, in the order of ``heads``.
        chosen_on: ids of the prompts that ordered the heads.
        prompts: ids of the prompts on which what follows is measured.
    """

    concept: str
    half: int
    heads: tuple[Head, ...]
    effects_nats: FloatArray
    chosen_on: tuple[str, ...]
    prompts: tuple[str, ...]

    def top(self, k: int) -> HeadSet:
        """The k heads that lower the concept most."""
        return HeadSet.of(self.heads[:k])

    def bottom(self, k: int) -> HeadSet:
        """The k heads that change the concept least, in either direction."""
        least = np.argsort(np.abs(self.effects_nats), kind="stable")[:k]
        return HeadSet.of(self.heads[int(i)] for i in least)


def orders(sweep: SweepResult, concept: str, *, seed: int) -> tuple[Order, Order]:
    """The two orders of a concept's heads, one from each half of its templates.

    Raises:
        RequestError: the concept was not swept with the deciding edit, or has fewer than two templates.
    """
    values = single_effects(sweep, concept)
    first, second = split_templates([str(t) for t in values["template"].to_numpy()], seed=seed, name=f"joint/{concept}")
    return _order(values, concept, 1, first, second), _order(values, concept, 2, second, first)


def _order(values: xr.DataArray, concept: str, half: int, chosen_on: np.ndarray, measured_on: np.ndarray) -> Order:
    part = values[:, chosen_on].transpose("prompt", "edit")
    means = equal_weight_mean(template_means(part.to_numpy(), [str(t) for t in part["template"].to_numpy()]).means)
    order = np.argsort(means, kind="stable")
    names, ids = values["heads"].to_numpy(), values["prompt"].to_numpy()
    return Order(
        concept,
        half,
        tuple(head_of(str(names[i])) for i in order),
        means[order],
        tuple(map(str, ids[chosen_on])),
        tuple(map(str, ids[measured_on])),
    )


def single_effects(sweep: SweepResult, concept: str) -> xr.DataArray:
    """[edit, prompt] change of the primary outcome by each head alone, on the concept's prompts."""
    values = sweep.values
    mine = (values["concept"] == concept).to_numpy()
    if not mine.any():
        raise RequestError(f'"{concept}" was not swept', expected=", ".join(sweep.record["concepts"]), got=concept)
    deciding = (values["kind"] == DECIDING_EDIT).to_numpy()
    if not deciding.any():
        raise RequestError(f'the sweep has no edit "{DECIDING_EDIT}", which chooses the top heads')
    baseline = values["baseline"].sel(lexicon=concept)[mine]
    return values["edited"].sel(lexicon=concept)[deciding][:, mine] - baseline


def concept_gaps(sweep: SweepResult, concept: str) -> dict[str, float]:
    """Prompt id -> concept - control on the primary outcome, no edit; see ``without_partner``."""
    values = sweep.values
    baseline = values["baseline"].sel(lexicon=concept)
    of_id = {str(i): float(v) for i, v in zip(values["prompt"].to_numpy(), baseline.to_numpy(), strict=True)}
    concepts = [str(c) for c in values["concept"].to_numpy()]
    controls = [of_id[i] for i, c in zip(of_id, concepts, strict=True) if c not in sweep.record["concepts"]]
    pairs = zip(of_id, concepts, (str(p) for p in values["pair"].to_numpy()), strict=True)
    has_answers = bool((sweep.tables["assay"]["outcome"] == ANSWERS).any())
    unpaired = without_partner(np.array(controls), has_answers=has_answers)
    return {i: of_id[i] - (of_id[pair] if pair else unpaired) for i, c, pair in pairs if c == concept}


def orders_table(both: tuple[Order, Order]) -> pd.DataFrame:
    """The ``orders`` table of one concept: which half ordered the heads how."""
    return pd.DataFrame(
        {
            "concept": order.concept,
            "half": order.half,
            "rank": rank,
            "layer": head.layer,
            "head": head.head,
            "effect_nats": float(effect),
        }
        for order in both
        for rank, (head, effect) in enumerate(zip(order.heads, order.effects_nats, strict=True), start=1)
    )


def head_of(spec: str) -> Head:
    """The head that ``layer:head`` names."""
    layer, head = spec.split(":")
    return Head(int(layer), int(head))
