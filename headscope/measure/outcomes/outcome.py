"""What an outcome is: where it is read, how logits or text become a number, its unit, whether it has a gradient.

``answers``: after each readout, averaged over readouts. ``prompt``: at the own tokens of control prompts, averaged over
them; what is read there is damage. ``text``: the words that a model wrote, the prompt left out.

An outcome of one's own is a function under the decorator ``outcome``. It is a part of the request: its name and the
fingerprint of its source stand there, and kept pieces of work are used again only where both are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscope.errors import RequestError
from headscope.measure.fingerprints import source_fingerprint
from headscope.measure.layout import PromptLayout
from headscope.measure.logit_places import LogitPlaces
from headscope.terms import Outcome as Term
from headscope.terms import Scale

FloatArray = npt.NDArray[np.float64]
ReadAt = Literal["answers", "prompt", "text"]

READ_AT = ("answers", "prompt", "text")
SCALES = ("difference", "log_ratio", "divergence")
_RESERVED = (
    "lexicon_logodds",
    "specificity",
    "self_repair",
    "kl_",
    "perplexity",
    "keyword_count",
    "sentiment_",
    "distinct_",
)

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Outcome:
    """One number for each prompt, or text, and arm.

    Attributes:
        name: in tables and results.
        unit: of its effect in tables.
        value: ``answers``: (logits [N, V], places) -> [N], or [N, K] where ``combine`` is given. ``prompt``: the same
            of log-probabilities; NaN where a prompt ends is left out. ``text``: (texts, their prompts) -> [n].
        read_at: one of ``READ_AT``.
        scale: ``difference``; ``log_ratio``, whose values are logs and whose effect is a ratio; ``divergence`` from the
            unedited model, which is 0 without edit.
        raises: what a rise means, as the end of "the edit ...".
        lowers: what a fall means.
        differentiable: whether autograd may take the value's gradient.
        combine: ([n_sequences, ..., n_prompts, K] values read after each sequence, layouts of the prompts) ->
            [..., n_prompts]; None for the mean over readouts.
        reads: the tokens whose logits it is a function of; None where it may read any.
        rests_on: JSON-able: what its numbers rest on beside its name, e.g. token ids.
    """

    name: str
    unit: str
    value: Callable[..., Any]
    read_at: ReadAt = "answers"
    scale: Scale = "difference"
    raises: str = "raises it"
    lowers: str = "lowers it"
    differentiable: bool = True
    combine: Callable[[Tensor, Sequence[PromptLayout]], Tensor] | None = None
    reads: frozenset[int] | None = None
    rests_on: Any = field(default=None, compare=False)

    @classmethod
    def of(
        cls,
        term: Term,
        value: Callable[..., Any],
        read_at: ReadAt = "answers",
        *,
        name: str = "",
        combine: Callable[[Tensor, Sequence[PromptLayout]], Tensor] | None = None,
        reads: frozenset[int] | None = None,
        rests_on: Any = None,
    ) -> Outcome:
        """The outcome that ``term`` names, with its unit, scale and directions; ``name`` goes on from a family's."""
        return cls(
            name or term.name,
            term.unit,
            value,
            read_at,
            term.scale,
            term.raises,
            term.lowers,
            differentiable=read_at != "text",
            combine=combine,
            reads=reads,
            rests_on=rests_on,
        )

    def at(self, logits: Tensor, places: LogitPlaces) -> FloatArray:
        """[N] the value at places of a batch; [N, K] where values are combined.

        Raises:
            RequestError: the function gives anything but one number for each place.
        """
        values = self.value(logits, places)
        if not isinstance(values, Tensor) or values.shape[: 1 if self.combine else None] != (len(places),):
            raise RequestError(
                f'outcome "{self.name}" must give one number for each place that is read',
                expected=f"a tensor of shape [{len(places)}]",
                got=str(list(values.shape)) if isinstance(values, Tensor) else type(values).__name__,
            )
        return values.detach().double().cpu().numpy()

    def of_prompts(self, values: FloatArray, layouts: Sequence[PromptLayout]) -> FloatArray:
        """[..., n_prompts] of [n_sequences, ..., n_prompts(, K)] values, NaN where a prompt has no such sequence.

        The mean over readouts. An outcome that knows nothing of answers is read at the end of a task's prompts alone.
        """
        if self.combine is not None:
            return self.combine(torch.from_numpy(values), layouts).numpy()
        return values[0] if any(one.answers for one in layouts) else values.mean(axis=0)

    def of_texts(self, texts: Sequence[str], prompts: Sequence[str]) -> FloatArray:
        """[n] the value of each text; RequestError where the function gives anything else."""
        values = np.asarray(self.value(texts, prompts), dtype=np.float64)
        if values.shape != (len(texts),):
            raise RequestError(
                f'outcome "{self.name}" must give one number for each text', expected=f"{len(texts)} numbers",
                got=f"an array of shape {list(values.shape)}",
            )  # fmt: skip
        return values

    def identity(self) -> list[Any]:
        """JSON-able: all that results of this outcome depend on beside model and prompts."""
        return [self.name, self.rests_on]

    def record(self) -> dict[str, Any]:
        """JSON-able facts for the request and the manifest."""
        return {"name": self.name, "unit": self.unit, "read_at": self.read_at, "source": self.rests_on}


REGISTERED: dict[str, Outcome] = {}


def outcome(
    name: str,
    *,
    unit: str,
    read_at: ReadAt = "answers",
    scale: Scale = "difference",
    raises: str = "raises it",
    lowers: str = "lowers it",
    differentiable: bool = True,
) -> Callable[[Function], Function]:
    """Register the function below as an outcome; see ``Outcome``. A name that is registered again is replaced.

    Raises:
        RequestError: the name is not made of small letters, digits and _, or begins like one of headscope's own.
    """
    check_name(name)
    for what, value, known in (("read_at", read_at, READ_AT), ("scale", scale, SCALES)):
        if value not in known:
            raise RequestError(f'{what} "{value}" does not exist', expected=", ".join(known), where=f"outcome {name}")

    def register(function: Function) -> Function:
        REGISTERED[name] = Outcome(
            name,
            unit,
            function,
            read_at,
            scale,
            raises,
            lowers,
            differentiable,
            rests_on=source_fingerprint(f"outcome {name}", function),
        )
        return function

    return register


def check_name(name: str) -> None:
    """Raise RequestError where an outcome of one's own cannot have this name."""
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None or name.startswith(_RESERVED):
        raise RequestError(
            f'an outcome cannot be named "{name}"',
            expected="small letters, digits and _, and none of headscope's own: " + ", ".join(_RESERVED),
        )


def summed_by_row(
    logits: Tensor, places: LogitPlaces, outcomes: Mapping[str, Outcome], n_rows: int, n_readouts: int
) -> Tensor:
    """[n_rows] float64 each row's part of its prompt's outcome: the sum over its places / ``n_readouts``.

    ``logits`` is [N, V] at ``places`` of answers; a prompt's outcome is a mean over ``n_readouts`` places.
    """
    total = torch.zeros(n_rows, dtype=torch.float64, device=logits.device)
    joint = next((one for one in outcomes.values() if one.combine is not None), None)
    if joint is not None and joint.combine is not None:  # of a whole prompt, whose rows lie in one batch
        layouts = [places.layouts[p] for p in places.owners]
        values = joint.combine(places.by_sequence(joint.value(logits, places)), layouts)
        first_rows = [places.rows[places.prompts == p].min() for p in places.owners]
        return total.index_add(0, torch.tensor(first_rows, device=logits.device), values)
    for _, concept, index in groups_of(places):
        at = torch.from_numpy(index).to(logits.device)
        values = outcomes[concept].value(logits[at], places.select(index)).double()
        rows = torch.from_numpy(places.rows[index]).to(logits.device)
        total = total.index_add(0, rows, values / n_readouts)
    return total


def groups_of(places: LogitPlaces) -> list[tuple[int, str, npt.NDArray[np.int64]]]:
    """(readout, class, indices of the places), each place once; a row has at most one place in a group."""
    groups: dict[tuple[int, str], list[int]] = {}
    for index, (readout, p) in enumerate(zip(places.readouts, places.prompts, strict=True)):
        groups.setdefault((int(readout), places.layouts[p].concept), []).append(index)
    return [(readout, concept, np.array(index)) for (readout, concept), index in groups.items()]


def check_differentiable(outcomes: Mapping[str, Outcome]) -> None:
    """Raise RequestError where an outcome has no gradient."""
    for one in outcomes.values():
        if one.read_at != "answers" or not one.differentiable:
            raise RequestError(
                f'outcome "{one.name}" has no gradient', expected="an outcome read after readouts that autograd derives"
            )
