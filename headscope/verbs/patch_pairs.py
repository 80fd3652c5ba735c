"""What is patched into what: each target's source, and the source of its control patch.

Sufficiency: a control prompt is the target, concept prompts are the sources. Necessity: the other way round. The
control patch comes from a prompt of the *target's own class* and another template: it disturbs the target as a foreign
prompt does, and brings nothing of what the patch is to bring or take. One such prompt is drawn for each target, from
those whose tokens match the target's one by one where there are any. Patterns and values can only be patched between
prompts whose tokens stand at the same places; there the control patch comes from another prompt of the target's class
*and template* where there is one, else from a prompt of another template with the same places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headscope.errors import ProfileError, RequestError
from headscope.heads import HeadSet
from headscope.measure.alignment import Patch, Placed, Recipe, Slot, slot_of
from headscope.measure.edit_kinds import PATCH_KINDS
from headscope.measure.edits import Arm
from headscope.measure.layout import PromptLayout
from headscope.measure.patching import PatchStates
from headscope.profiles.types import Prompt
from headscope.random_streams import generator
from headscope.stages import Stage
from headscope.study import Study

DIRECTIONS = ("sufficiency", "necessity")
ALIGNMENTS = ("end", "exact")


def patchable_concepts(study: Study) -> list[str]:
    """Concepts with a prompt that matches its control token by token, and at least two templates on both sides."""
    profile, encoder, templates = study.profile, study.encoder, study.templates
    by_id = {prompt.id: prompt for prompt in profile.prompts}
    slots = {one.id: slot_of(one, encoder.encode_prompt(one), encoder) for one in profile.prompts}

    def many(name: str) -> bool:
        return len({templates[one.id] for one in profile.prompts_of(name) if slots[one.id] is not None}) > 1

    def fits(prompt: Prompt) -> bool:
        slot = slots[prompt.id]
        return prompt.pair is not None and slot is not None and slots[by_id[prompt.pair].id] == slot

    return [
        name for name in study.names
        if many(name) and many(profile.control) and any(fits(one) for one in profile.prompts_of(name))
    ]  # fmt: skip


@dataclass(frozen=True)
class PatchPlan:
    """The patches of one concept in one direction.

    Attributes:
        concept: the concept that is brought or taken.
        direction: sufficiency or necessity.
        patches: one a target. A target's id names its partner, too: one control may be the partner of several prompts.
        targets: index of each target in the study's prompts.
        partners: index of the prompt whose outcome the target's is to be brought to.
        n_left_out: pairs that take no part.
        n_unequal: patches whose source does not match the target token by token.
        n_controls_unequal: the same of control patches.
    """

    concept: str
    direction: str
    patches: list[Patch]
    targets: list[int]
    partners: list[int]
    n_left_out: int
    n_unequal: int
    n_controls_unequal: int

    def stage(self, study: Study, name: str, sets: Sequence[HeadSet], recipe: Recipe | None = None) -> Stage:
        """Every target unpatched, under every set's patch, then under every set's control patch.

        Without a recipe it can be counted, not run.
        """
        states = None
        if recipe is not None:
            layers = [head.layer for heads in sets for head in heads]
            states = PatchStates(study.model, self.patches, recipe, layers=layers, batch_tokens=study.batch_tokens)
            study.n_halved += states.n_halved
        arms = tuple(Arm(heads, kind) for kind in PATCH_KINDS for heads in sets)
        about = {"concept": self.concept, "direction": self.direction}
        targets = tuple(patch.target.layout for patch in self.patches)
        return Stage(name, study, targets, arms, damage_on="all", states=states, about=about)

    def record(self) -> dict[str, Any]:
        """How many targets there are, and how many did not match token by token."""
        return {
            "concept": self.concept,
            "direction": self.direction,
            "n_targets": len(self.targets),
            "n_left_out": self.n_left_out,
            "n_unequal": self.n_unequal,
            "n_controls_unequal": self.n_controls_unequal,
        }

    def warnings(self) -> list[str]:
        """What a reader must know of them, as sentences."""
        where = f"patching {self.concept} ({self.direction})"
        said: list[str] = []
        if self.n_left_out:
            said.append(f"{where}: {self.n_left_out} prompts have no partner that can be used, and were left out")
        if self.n_unequal:
            said.append(f"{where}: {self.n_unequal} sources do not match their target token by token")
        return said

    def source_id(self, arm: Arm, target: int) -> str:
        """The source of an arm into one of the targets, by its id."""
        sources = self.patches[target].sources[arm.kind]
        return sources[0].layout.id if len(sources) == 1 else f"mean of {len(sources)}"


class Planner:
    """Chooses sources for the targets of one study."""

    def __init__(self, study: Study, *, source: str, alignment: str, what: str) -> None:
        """Find every prompt's slot.

        ``source`` is ``partner``, ``mean`` or a prompt's id, ``alignment`` ``end`` or ``exact``, ``what`` as in
        ``Recipe``.

        Raises:
            RequestError: an unknown source or alignment.
        """
        if alignment not in ALIGNMENTS:
            raise RequestError(f'alignment "{alignment}" does not exist', expected=" or ".join(ALIGNMENTS))
        self._study, self._source, self._alignment, self._seed = study, source, alignment, study.seed
        self._by_place = what != "z"
        prompts = {prompt.id: prompt for prompt in study.profile.prompts}
        self._slots: Mapping[str, Slot | None] = {
            one.id: slot_of(prompts[one.id], one.tokens, study.encoder) for one in study.layouts
        }
        self._pair_of = study.pair_of
        self._index = {one.id: i for i, one in enumerate(study.layouts)}
        if source not in ("partner", "mean") and source not in self._index:
            raise RequestError(
                f'source "{source}" is no prompt of this request',
                expected="partner, mean, or the id of a prompt of the chosen concepts or the control class",
                fix="headscope profiles show lists a profile's prompts",
            )

    def directions(self, concept: str, asked: Sequence[str]) -> list[str]:
        """The directions that the source allows, of those asked for: a given prompt has one class, so one direction.

        Raises:
            RequestError: none of them.
        """
        if self._source in ("partner", "mean"):
            return list(asked)
        given = self._study.layouts[self._index[self._source]].concept
        fitting = [
            d for name, d in ((concept, DIRECTIONS[0]), (self._study.profile.control, DIRECTIONS[1])) if name == given
        ]
        if not set(fitting) & set(asked):
            raise RequestError(
                f'prompt {self._source} cannot be the source for "{concept}" in this direction',
                expected=f"a prompt of {concept} for sufficiency, of {self._study.profile.control} for necessity; "
                "any other is of the targets' own class, and one of them its own target",
                got=f"a prompt of {given} for {', '.join(asked)}",
            )
        return fitting

    def plans(self, asked: Sequence[str]) -> list[PatchPlan]:
        """A plan for each of the study's concepts and those of the directions asked for that the source allows."""
        return [self.plan(name, one) for name in self._study.names for one in self.directions(name, asked)]

    def plan(self, concept: str, direction: str) -> PatchPlan:
        """The patches of one concept in one direction.

        Raises:
            ProfileError: no prompt of the concept has a partner to patch with, or two prompts cannot be aligned.
        """
        rows = self._study.rows_of(concept)
        paired = [
            (i, self._index[pair]) for i in rows if (pair := self._pair_of[self._study.layouts[i].id]) is not None
        ]
        if not paired:
            raise ProfileError(
                f'no prompt of "{concept}" has a matched control, so there is nothing to patch between',
                expected='prompts with a "pair"',
                got=f"{len(rows)} prompts without one",
                fix="give pairs in the profile, or ablate the heads instead (headscope ablate)",
            )
        patches: list[Patch] = []
        kept: list[tuple[int, int]] = []
        for own, control in paired:
            target, partner = (control, own) if direction == "sufficiency" else (own, control)
            patch = self._patch(self._study.layouts[target], self._study.layouts[partner])
            if patch is not None:
                patches.append(patch)
                kept.append((target, partner))
        if not patches:
            raise ProfileError(
                f'no pair of "{concept}" can be patched token by token',
                expected="a prompt and its control with the span at the same place and equal length, and for patterns "
                "and values a prompt of the target's class like that in another template",
                got=f"{len(paired)} pairs, none of them so",
                fix='patch "z" with alignment "end", which matches slots from their last token',
            )
        targets, partners = ([pair[side] for pair in kept] for side in (0, 1))
        n_unequal, n_controls_unequal = (
            sum(not all(one.target.slot.fits(s.slot) for s in one.sources[kind]) for one in patches)
            for kind in PATCH_KINDS
        )
        left_out = len(rows) - len(patches)
        return PatchPlan(concept, direction, patches, targets, partners, left_out, n_unequal, n_controls_unequal)

    def _patch(self, target: PromptLayout, partner: PromptLayout) -> Patch | None:
        """The patch of one target; None where ``exact`` leaves it out."""
        placed, other = self._placed(target), self._placed(partner)
        exact = self._alignment == "exact"
        if exact and (placed is None or other is None or placed.slot != other.slot):
            return None
        if placed is None or other is None or placed.slot.n_suffix != other.slot.n_suffix:
            raise ProfileError(
                f"{partner.id} and {target.id} cannot be aligned",
                expected="a span in both prompts, and equally many tokens after it",
                got=f"{other and other.slot} and {placed and placed.slot}",
                fix="make them from one template and give both their span, or leave such pairs out (--alignment exact)",
            )
        named = replace(target, id=f"{target.id} <- {partner.id}")
        own = self._controls(target)
        if not own:
            if exact and self._by_place:
                return None
            raise ProfileError(
                f"there is no control patch for {target.id}",
                expected=f"another prompt of {target.concept} with its span at the same place"
                if self._by_place
                else f"prompts of {target.concept} with a span in at least two templates",
                fix="leave such prompts out (--alignment exact)" if self._by_place else None,
            )
        if self._source == "mean":
            sources = {"patch": self._others(partner.concept, target), "control_patch": own}
        else:
            given = other if self._source == "partner" else self._placed(self._study.layouts[self._index[self._source]])
            if given is None:
                raise ProfileError(
                    f"source {self._source} has no span, so its tokens cannot be matched", fix="give its span"
                )
            if exact and given.slot != placed.slot:
                return None
            sources = {"patch": [given], "control_patch": [self._drawn(own, placed)]}
        return Patch(Placed(named, placed.slot), {kind: self._reading(of, target) for kind, of in sources.items()})

    def _reading(self, sources: Sequence[Placed], target: PromptLayout) -> list[Placed]:
        """Sources followed by the target's continuations, so that every token after its end has a counterpart."""
        if len(target.sequences) == 1 or not target.answers:
            return list(sources)
        return [Placed(self._study.answering(one.layout, target), one.slot) for one in sources]

    def _placed(self, prompt: PromptLayout) -> Placed | None:
        slot = self._slots[prompt.id]
        return None if slot is None else Placed(prompt, slot)

    def _controls(self, target: PromptLayout) -> list[Placed]:
        """The prompts of which one, or whose mean, is the control patch's source."""
        if not self._by_place:
            return self._others(target.concept, target)
        slot = self._slots[target.id]
        same = [
            Placed(one, slot)
            for one in self._study.layouts
            if one.concept == target.concept and one.id != target.id and slot and self._slots[one.id] == slot
        ]
        return [one for one in same if one.layout.template == target.template] or same

    def _others(self, concept: str, target: PromptLayout) -> list[Placed]:
        """Prompts of a class from other templates than the target's, with a span."""
        return [
            placed
            for one in self._study.layouts
            if one.concept == concept and one.template != target.template and (placed := self._placed(one)) is not None
        ]

    def _drawn(self, candidates: Sequence[Placed], target: Placed) -> Placed:
        same = [one for one in candidates if one.slot == target.slot]
        fitting = same or [one for one in candidates if one.slot.fits(target.slot)] or candidates
        return fitting[int(generator(self._seed, "control_patch", target.layout.id).integers(len(fitting)))]
