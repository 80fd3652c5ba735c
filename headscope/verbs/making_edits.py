"""An edit to hand over: the same for every text, so that a file or a checkpoint can hold it.

``mean`` is the mean of z over *all* control prompts. A measurement leaves the prompt's own template out; here nothing
is tested with the edit, and the texts it will meet have no template.
"""

from __future__ import annotations

from typing import Any

import torch

from headscope.errors import RequestError, one_of
from headscope.heads import HeadSet
from headscope.models.editing import HEAD_EDITS, HeadEdit, Values
from headscope.study import Study
from headscope.terms import EDITS


def check_kind(kind: str, *, factor: float | None, has_values: bool, may_take_mean: bool) -> None:
    """Refuse, before any work, an edit that no file can hold, or that has what it does not need or lacks what it needs.

    Raises:
        RequestError: the kind, the factor or the values.
    """
    if kind in EDITS and kind not in HEAD_EDITS:
        raise RequestError(
            f'the edit "{kind}" is not one vector a head that holds for every text, so no file and no weight holds it',
            expected=", ".join(HEAD_EDITS), got=kind, fix="use mean, or measure with headscope ablate",
        )  # fmt: skip
    one_of("edit", kind, HEAD_EDITS)
    if (factor is not None) != (kind == "scale"):
        raise RequestError(
            "a factor belongs to the edit scale, and to no other", expected="scale with a factor, e.g. 2",
            got=f"{kind} {'without one' if factor is None else f'with {factor:g}'}",
        )  # fmt: skip
    needs = kind in ("add", "replace") or (kind == "mean" and not may_take_mean)
    if needs and not has_values:
        raise RequestError(f'the edit "{kind}" needs values', expected="[heads, d] in z's own units", got="none")
    if has_values and kind in ("zero", "scale"):
        raise RequestError(
            f'the edit "{kind}" has no use for values', fix="leave them out, or use mean, replace or add"
        )


def edit(
    study: Study,
    heads: str | HeadSet,
    *,
    kind: str = "mean",
    factor: float | None = None,
    values: Values | None = None,
    **about: Any,
) -> HeadEdit:
    """An edit of these heads that holds for every text, for ``with model.edit(...)``, ``save_edit`` or ``export``.

    Args:
        study: its model and, for ``mean`` without values, its control prompts.
        heads: which.
        kind: ``zero``, ``scale``, ``mean``, ``replace`` or ``add``.
        factor: of ``scale``.
        values: [heads, d] in z's own units, or a mapping from head to [d]; left out with ``mean``: the mean of z over
            all control prompts, none left out, because nothing is tested with it.
        about: facts on how the heads were found, kept with the edit.

    Raises:
        RequestError: the edit lacks what it needs, or does not fit the model.
    """
    check_kind(kind, factor=factor, has_values=values is not None, may_take_mean=True)
    facts = profile_facts(study)
    chosen = study.model.head_set(str(heads))
    if kind == "mean" and values is None:
        values = _means(study, chosen)
        facts["values"] = f"mean of z over all {len(study.controls)} control prompts"
    made = head_edit(str(chosen), kind, factor=factor, values=values, about=facts | about)
    made.layer_edits(study.model)
    return made


def profile_facts(study: Study) -> dict[str, Any]:
    """The prompts that an edit's values were taken from."""
    return {
        "profile": study.profile.name,
        "profile_fingerprint": study.profile.fingerprint,
        "concepts": list(study.names),
    }


def head_edit(
    heads: str, kind: str, *, factor: float | None = None, values: Values | None = None, about: dict[str, Any]
) -> HeadEdit:
    """The edit of a kind that ``check_kind`` let pass."""
    known: Any = kind
    return HeadEdit(heads, known, values, factor=1.0 if factor is None else factor, about=about)


def _means(study: Study, heads: HeadSet) -> dict[str, torch.Tensor]:
    states = study.states(("mean",))
    if states is None:
        raise AssertionError("the mean needs control prompts")
    return {str(head): torch.from_numpy(states.mean_of_all(head.layer)[head.head]).float() for head in heads}
