"""What ``ablate`` and ``sweep`` share: prompts asked, passes run, and the rows that say what each edit did.

1. Every prompt of the chosen concepts and of the control class is laid out with the profile's readouts.
2. Assay: on the unedited model, does the primary outcome tell concept prompts from their controls? Where it does not,
   the record says so and no verdict on a head can follow.
3. Each edit's effect on each outcome is edited - baseline for each prompt; the statistics room turns these into rows.

Outcomes of fixed text: ``lexicon_logodds_nats`` (primary) on the concept's own prompts; ``lexicon_logodds_nats:other``,
these prompts read with another concept's lexicon; ``specificity_nats:other``, the difference of these two changes;
``kl_nats_per_token`` and ``perplexity_ratio`` on control prompts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from headscope.engines.engine import Engine
from headscope.errors import ProfileError
from headscope.heads import HeadSet
from headscope.measure.asked import AskedPrompt, ask, encoder_of, special_token_warnings
from headscope.measure.edits import Arm, ControlStates
from headscope.measure.forced import ForcedOutcomes, ForcedPasses, check_distinct
from headscope.measure.lexicons import ConceptTokens, concept_tokens
from headscope.measure.passes import Progress, Work
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.stats import EffectBlock, assay_table
from headscope.stats.specificity import specificity_blocks
from headscope.verbs.request import chosen_concepts, templates_of

FloatArray = npt.NDArray[np.float64]

PRIMARY = "lexicon_logodds_nats"


@dataclass(frozen=True)
class Edited:
    """One edit and the part it plays: ``role`` and ``k`` as in the ``effects`` table."""

    arm: Arm
    role: str

    def test(self) -> dict[str, object]:
        """The columns that identify the edit's rows."""
        heads = tuple(self.arm.heads)
        place = {"layer": heads[0].layer, "head": heads[0].head} if len(heads) == 1 else {}
        return {**place, "heads": str(self.arm.heads), "role": self.role, "k": len(heads)}


class CausalStudy:
    """A model and a profile, ready for edits."""

    def __init__(
        self,
        model: HeadModel,
        profile: Profile,
        *,
        concepts: Sequence[str] | str | None,
        kinds: Sequence[str],
        seed: int,
        batch_tokens: int,
        chat_template: bool | str,
        pack: bool,
        progress: Progress | None,
        prompts: Collection[str] | None = None,
        engine: Engine | None = None,
    ) -> None:
        """Lay out the prompts and run the control prompts once, where an edit takes values from them.

        ``prompts`` keeps only these ids of the concepts' prompts; control prompts always stay. ``engine`` runs the
        passes and keeps their results; this process by default, nothing kept.

        Raises:
            RequestError: an unknown concept or edit, or too few controls for an edit.
            ProfileError: a prompt or lexicon that this model cannot be asked with.
        """
        self.model, self.profile, self.seed, self.pack, self._progress = model, profile, seed, pack, progress
        self.names = chosen_concepts(profile, concepts)
        asked = [prompt for name in (*self.names, profile.control) for prompt in profile.prompts_of(name)]
        if not profile.controls:
            raise ProfileError(
                f'profile "{profile.name}" has no control prompts',
                expected="prompts without the concept to compare with",
            )
        self.templates = templates_of(profile)
        if prompts is not None:
            asked = [prompt for prompt in asked if prompt.concept == profile.control or prompt.id in prompts]
        encoder = encoder_of(model, chat_template=chat_template)
        self.warnings = [*self.templates.warnings, *special_token_warnings(encoder, asked)]
        self.asked = ask(model, asked, profile.readouts, self.templates.of, encoder=encoder, pack=pack)
        self.controls = [one for one in self.asked if one.concept == profile.control]
        self.lexicons = self._lexicons(encoder)
        needs_states = any(not kind.startswith("zero") for kind in kinds)
        self.states = (
            ControlStates(model, self.controls, kinds=kinds, seed=seed, batch_tokens=batch_tokens, progress=progress)
            if needs_states
            else None
        )
        self._batch_tokens = batch_tokens
        self._engine = engine or Engine()
        self.n_halved = 0 if self.states is None else self.states.n_halved

    def _lexicons(self, encoder: Any) -> list[list[ConceptTokens]]:
        names = tuple(self.profile.concepts)
        if self.profile.readouts:
            return [concept_tokens(encoder, self.profile, names, readout) for readout in self.profile.readouts]
        return [concept_tokens(encoder, self.profile, names, self.asked[0].tokens.text)]

    def work(self, stage: str, arms: Sequence[Arm], asked: Sequence[AskedPrompt], **about: Any) -> Work:
        """Who runs the passes of ``arms`` over ``asked``; ``about`` tells what else the results depend on."""
        named, prompts = [str(arm) for arm in arms], [one.id for one in asked]
        return self._engine.stage(stage, {"arms": named, "prompts": prompts, **about})

    def measure(
        self, edits: Sequence[Edited], rows: Sequence[int] | None = None, *, stage: str = "edited"
    ) -> ForcedOutcomes:
        """Run every prompt, or only those of ``rows``, unedited and under every edit."""
        arms = [edit.arm for edit in edits]
        check_distinct(arms)
        asked = self._chosen(rows)
        work = self.work(stage, arms, asked, lexicons=self.lexicon_ids())
        outcomes = self.passes(rows).measure(arms, self._progress, work)
        self.n_halved += outcomes.n_halved
        return outcomes

    def lexicon_ids(self) -> list[list[tuple[Any, Any]]]:
        """The scored tokens of each readout and concept, its own and its controls'; results depend on them."""
        return [[(one.lexicon.ids, one.control.ids) for one in found] for found in self.lexicons]

    def _chosen(self, rows: Sequence[int] | None) -> list[AskedPrompt]:
        return list(self.asked) if rows is None else [self.asked[i] for i in rows]

    def passes(self, rows: Sequence[int] | None = None) -> ForcedPasses:
        """The passes over every prompt, or only those of ``rows``, ready for any edits."""
        return ForcedPasses(
            self.model,
            self._chosen(rows),
            self.lexicons,
            damage_on=frozenset(one.id for one in self.controls),
            states=self.states,
            batch_tokens=self._batch_tokens,
        )

    def rows_of(self, concept: str) -> list[int]:
        """Indices of one class's prompts."""
        return [i for i, one in enumerate(self.asked) if one.concept == concept]

    def labels_of(self, rows: Sequence[int]) -> list[str]:
        """Template labels of prompts."""
        return [self.asked[i].template for i in rows]

    def assay(self, outcomes: ForcedOutcomes) -> pd.DataFrame:
        """Concept - control on the primary outcome, no edit: a row for each concept."""
        index = {one.id: i for i, one in enumerate(self.asked)}
        pair_of = {prompt.id: prompt.pair for prompt in self.profile.prompts}
        parts: list[pd.DataFrame] = []
        for name in self.names:
            rows, column = self.rows_of(name), self.lexicon_column(name)
            all_controls = outcomes.baseline[[index[one.id] for one in self.controls], column].mean()
            controls = [
                all_controls if (pair := pair_of[self.asked[i].id]) is None else outcomes.baseline[index[pair], column]
                for i in rows
            ]
            n_unpaired = sum(pair_of[self.asked[i].id] is None for i in rows)
            parts.append(
                assay_table(
                    name,
                    PRIMARY,
                    "nats",
                    outcomes.baseline[rows, column],
                    np.array(controls),
                    self.labels_of(rows),
                    seed=self.seed,
                    note=f"{n_unpaired} prompts without a pair: compared with the mean of all controls"
                    if n_unpaired
                    else "",
                )
            )
        return pd.concat(parts, ignore_index=True)

    def lexicon_column(self, concept: str) -> int:
        """Column of a concept in the outcomes' lexicon axis."""
        return list(self.profile.concepts).index(concept)

    def blocks(
        self, edits: Sequence[Edited], outcomes: ForcedOutcomes, *, family: str, confirmatory: str | None = None
    ) -> list[EffectBlock]:
        """Blocks for ``stats.effects_table``, one for each class, outcome and kind of edit.

        Args:
            edits: in the order of the outcomes' arms.
            outcomes: what was measured.
            family: names the families of these tests, e.g. ``sweep``.
            confirmatory: the kind of edit whose primary outcome is the one confirmatory family; None for none.
        """
        blocks: list[EffectBlock] = []
        for kind in dict.fromkeys(edit.arm.kind for edit in edits):
            chosen = [i for i, edit in enumerate(edits) if edit.arm.kind == kind]
            tests = [edits[i].test() for i in chosen]
            for name in self.names:
                rows = self.rows_of(name)
                own = self.lexicon_column(name)
                labels = self.labels_of(rows)
                baseline, edited = outcomes.baseline[rows], outcomes.edited[np.ix_(chosen, rows)].transpose(1, 0, 2)
                blocks.append(
                    EffectBlock(
                        name, PRIMARY, "nats", kind, "all", tests, baseline[:, own], edited[..., own], labels,
                        family=f"{family}/{PRIMARY}/{kind}",
                        status="confirmatory" if kind == confirmatory else "exploratory",
                        simultaneous=True,
                    )
                )  # fmt: skip
                others = {other: self.lexicon_column(other) for other in self.profile.concepts if other != name}
                change = edited - baseline[:, None, :]
                blocks += [
                    EffectBlock(
                        name, f"{PRIMARY}:{other}", "nats", kind, "all", tests, baseline[:, column],
                        edited[..., column], labels, family=f"{family}/{PRIMARY}_of_others/{kind}",
                    )
                    for other, column in others.items()
                ]  # fmt: skip
                blocks += specificity_blocks(
                    name,
                    tests,
                    change[..., own],
                    {other: change[..., column] for other, column in others.items()},
                    labels,
                    edit=kind,
                    family=f"{family}/specificity_nats/{kind}",
                )
            blocks += self._damage(kind, chosen, tests, outcomes, family)
        return blocks

    def _damage(
        self, kind: str, chosen: list[int], tests: list[dict[str, object]], outcomes: ForcedOutcomes, family: str
    ) -> list[EffectBlock]:
        control = self.profile.control
        rows = self.rows_of(control)
        labels = self.labels_of(rows)
        kl = outcomes.kl_nats_per_token[np.ix_(chosen, rows)].T
        nll = outcomes.baseline_nll_nats_per_token[rows]
        edited_nll = outcomes.edited_nll_nats_per_token[np.ix_(chosen, rows)].T
        return [
            EffectBlock(
                control, "kl_nats_per_token", "nats_per_token", kind, "all", tests, np.zeros(len(rows)), kl, labels,
                family=f"{family}/kl_nats_per_token/{kind}", scale="divergence",
            ),
            EffectBlock(
                control, "perplexity_ratio", "ratio", kind, "all", tests, nll, edited_nll, labels,
                family=f"{family}/perplexity_ratio/{kind}", scale="log_ratio",
            ),
        ]  # fmt: skip

    def values(self, edits: Sequence[Edited], outcomes: ForcedOutcomes) -> xr.Dataset:
        """Everything measured, with named axes (edit, prompt, lexicon)."""
        tests = [edit.test() for edit in edits]
        pair_of: Mapping[str, str | None] = {prompt.id: prompt.pair for prompt in self.profile.prompts}
        nats = {"unit": "nats"}
        per_token = {"unit": "nats_per_token"}
        return xr.Dataset(
            {
                "baseline": (("prompt", "lexicon"), outcomes.baseline, nats),
                "edited": (("edit", "prompt", "lexicon"), outcomes.edited, nats),
                "kl": (("edit", "prompt"), outcomes.kl_nats_per_token, per_token),
                "baseline_nll": (("prompt",), outcomes.baseline_nll_nats_per_token, per_token),
                "edited_nll": (("edit", "prompt"), outcomes.edited_nll_nats_per_token, per_token),
            },
            coords={
                "prompt": [one.id for one in self.asked],
                "concept": ("prompt", [one.concept for one in self.asked]),
                "template": ("prompt", [one.template for one in self.asked]),
                "pair": ("prompt", [pair_of[one.id] or "" for one in self.asked]),
                "lexicon": list(self.profile.concepts),
                "edit": [str(edit.arm) for edit in edits],
                "heads": ("edit", [str(test["heads"]) for test in tests]),
                "kind": ("edit", [edit.arm.kind for edit in edits]),
                "role": ("edit", [edit.role for edit in edits]),
            },
        )

    def record(self, outcomes: ForcedOutcomes) -> dict[str, Any]:
        """JSON-able facts for the manifest."""
        places = self.profile.readouts or ("the last prompt token",)
        return {
            "concepts": list(self.names),
            "readouts": list(self.profile.readouts),
            "lexicons": {
                place: {one.concept: one.record() for one in found}
                for place, found in zip(places, self.lexicons, strict=True)
            },
            "n_prompts": len(self.asked),
            "packed": all(len(one.rows) == 1 for one in self.asked) and len(self.profile.readouts) > 1,
            "n_forward_tokens": outcomes.n_forward_tokens,
            "n_layer_tokens": outcomes.n_layer_tokens,
            "n_batches_halved": self.n_halved,
            "seed": self.seed,
            "warnings": list(self.warnings),
        }


def edited_sets(sets: Sequence[HeadSet], kinds: Sequence[str], role: str) -> list[Edited]:
    """Every set under every kind of edit, in the part that was asked for.

    A set of one head keeps its part too: ``single`` is a head measured on *all* prompts of a concept, while a top set,
    of whatever size, is measured on the prompts that did not choose it.
    """
    return [Edited(Arm(heads, kind), role) for kind in kinds for heads in sets]
