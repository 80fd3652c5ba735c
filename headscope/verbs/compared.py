"""Which controls a concept's prompts are compared with, and from which token on both are read.

The controls are the prompts' partners; the whole control class where a prompt has none. Prompts are read from their
first marked token on. Where one of them has no marked words, every token after BOS of all of them counts instead: two
classes read at different places could be told apart by the places.
"""

from __future__ import annotations

from collections.abc import Sequence

from headscope.measure.alignment import slot_of
from headscope.measure.layout import PromptLayout
from headscope.study import Study


def compared_rows(study: Study, name: str) -> list[int]:
    """Indices of a concept's layouts, then of those of its controls."""
    mine = study.rows_of(name)
    partners = {study.pair_of[study.layouts[i].id] for i in mine}
    controls = study.rows_of(study.profile.control)
    if None not in partners:
        controls = [i for i in controls if study.layouts[i].id in partners]
    return [*mine, *controls]


def first_marked(study: Study, layouts: Sequence[PromptLayout]) -> list[int | None]:
    """Of each layout the position of its first marked token; None where nothing is marked."""
    prompts = {prompt.id: prompt for prompt in study.profile.prompts}
    slots = [slot_of(prompts[layout.id], layout.tokens, study.encoder) for layout in layouts]
    return [None if slot is None else slot.first for slot in slots]


def first_places(study: Study, layouts: Sequence[PromptLayout]) -> tuple[list[int], bool]:
    """Of each layout the position from which its tokens count, and whether that is the start of every prompt."""
    marked = first_marked(study, layouts)
    known = [first for first in marked if first is not None]
    if len(known) == len(layouts):
        return known, False
    return [layout.tokens.n_bos for layout in layouts], True
