"""What the page is answered: every figure is an ``Inspection``'s, in the shapes of the page's contract.

Inspections are kept, the last ``KEPT_COUNT`` prompts, whoever asked them: a click on a head runs no unedited pass
again. All of this runs in the worker's thread.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from headscope.errors import HeadscopeError, RequestError
from headscope.explore.asked import AttentionAsked, EditAsked, EditFileAsked, KeepAsked, MapAsked, View, WriteAsked
from headscope.explore.keeping import keep
from headscope.models.editing import HeadEdit
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.verbs.inspect import Inspection, Inspector

KEPT_COUNT = 8
WHOLE_LIMIT_TOKENS = 512
"""A head's attention from every token is given up to so many tokens."""
_DECIMALS = 4
_UNITS = {"attention": "share", "value_weighted": "residual norm", "direct": "logits"}

Event = dict[str, Any]


_SAID = {"expected": "expected", "got": "got", "where": "where", "what to do": "fix"}


def told(error: HeadscopeError) -> dict[str, str]:
    """What went wrong, as the page is told it."""
    return {"error": error.problem, **{_SAID[name]: fact for name, fact in error.facts.items() if name in _SAID}}


class Asker(Protocol):
    """Who waits for an answer: a ``Ticket``."""

    def cancelled(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def ending(self) -> bool:
        """Whether nobody asks any more."""
        ...

    def tell_all(self, one: Any) -> None:
        """How far the work is that all wait for."""
        ...


@dataclass(frozen=True)
class _Kept:
    """A prompt as it was read, and the edits of it that were made last."""

    inspection: Inspection
    edits: dict[EditAsked, HeadEdit] = field(default_factory=dict[EditAsked, HeadEdit])


class Answers:
    """One model and one profile, asked by pages.

    Attributes:
        folder: that prompts are kept in.
        loaded: keywords of ``load_model`` that are not its defaults, for the lines that reproduce what is shown.
    """

    def __init__(
        self, model: HeadModel, profile: Profile, folder: Path, loaded: Mapping[str, Any] | None = None
    ) -> None:
        self.model = model
        self.profile = profile
        self.folder = folder
        self.loaded = dict(loaded or {})
        self._asker: Asker | None = None
        self._inspectors: dict[bool, Inspector] = {}
        self._kept: OrderedDict[tuple[str, bool, str | None], _Kept] = OrderedDict()

    def look(self, asked: WriteAsked, asker: Asker) -> Iterator[Event]:
        """Tokens, next words, log-odds, and what reproduces them and the text that would be written."""
        inspection = self._read(asked).inspection
        yield {
            "event": "tokens",
            "tokens": [
                {"id": token, "text": text, "special": special}
                for token, text, special in zip(inspection.ids, inspection.tokens, inspection.special, strict=True)
            ],
            "context_length": self.model.context_length,
        }
        inspection, edits = self._edited(asked, asker)
        words = inspection.likeliest(edits, cancelled=asker.cancelled)
        columns = words.token_ids.tolist(), words.tokens, words.baseline.tolist(), words.edited.tolist()
        yield {
            "event": "next_words",
            "rows": [
                {"token_id": token, "token": text, "baseline": before, "edited": after, "change": after - before}
                for token, text, before, after in zip(*columns, strict=True)
            ],
            "edited": bool(edits),
            "heads": [edit.heads for edit in edits],
        }
        if inspection.misfit is not None:
            yield {"event": "no_log_odds", **told(inspection.misfit)}
        elif len(odds := inspection.log_odds(edits, cancelled=asker.cancelled)):
            names = ("concept", "baseline_nats", "edited_nats", "change_nats")
            yield {
                "event": "log_odds",
                "rows": [{name: row[name] for name in names} for row in odds.to_dict("records")],
            }
        yield _take(inspection, edits, asked)

    def attention(self, asked: AttentionAsked, asker: Asker) -> Iterator[Event]:
        """What a head attends to, of a long prompt from some tokens."""
        inspection, edits = self._edited(asked, asker)
        n_tokens = len(inspection.ids)
        queries = asked.queries
        if queries is None and n_tokens > WHOLE_LIMIT_TOKENS:
            raise RequestError(
                "attention from every token is too much of a long prompt",
                expected=f"queries, or a prompt of at most {WHOLE_LIMIT_TOKENS} tokens",
                got=f"{n_tokens} tokens",
                fix="choose a token",
            )
        weights = inspection.attention(asked.layer, asked.head, edits, queries=queries, cancelled=asker.cancelled)
        rows = np.round(np.asarray(weights, dtype=np.float64), _DECIMALS).tolist()
        yield {"weights": rows} if queries is None else {"rows": dict(zip(map(str, queries), rows, strict=True))}

    def head_map(self, asked: MapAsked, asker: Asker) -> Iterator[Event]:
        """One number a head."""
        inspection, edits = self._edited(asked, asker)
        values = inspection.head_map(
            asked.measure, queries=asked.queries, keys=asked.keys, token_id=asked.token_id, edits=edits,
            cancelled=asker.cancelled,
        )  # fmt: skip
        rows = np.asarray(values, dtype=np.float64).tolist()
        numbers = [[value if np.isfinite(value) else None for value in row] for row in rows]
        yield {"values": numbers, "unit": _UNITS[asked.measure]}

    def write(self, asked: WriteAsked, asker: Asker) -> Iterator[Event]:
        """Text of both arms, as it is written."""
        inspection, edits = self._edited(asked, asker)
        yield _take(inspection, edits, asked)
        written = inspection.write(
            edits, max_tokens=asked.max_tokens, temperature=asked.temperature, top_p=asked.top_p,
            greedy=asked.greedy, seed=asked.seed, cancelled=asker.cancelled,
        )  # fmt: skip
        for piece in written:
            if piece.text:
                yield {"event": "piece", "arm": piece.arm, "text": piece.text}

    def edit_file(self, asked: EditFileAsked, asker: Asker) -> Iterator[tuple[str, bytes]]:
        """One of the edits as a file: its name, and its bytes."""
        _, edits = self._edited(asked, asker)
        if asked.index >= len(edits):
            raise RequestError(
                "there is no such edit", expected=f"an index below {len(edits)}", got=str(asked.index),
                fix="edit a head first",
            )  # fmt: skip
        edit = edits[asked.index]
        name = f"{asked.edits[asked.index].kind}_{self.model.head_set(edit.heads).slug}"[:100]
        with tempfile.TemporaryDirectory(prefix="headscope-edit-") as folder:
            path = self.model.save_edit(Path(folder) / "edit.safetensors", edit)
            yield f"{name}.safetensors", path.read_bytes()

    def keep(self, asked: KeepAsked, asker: Asker) -> Iterator[Event]:
        """The prompt, added to a profile folder."""
        del asker  # nothing is asked of the model
        kept = keep(self.folder, self.profile, asked.concept, self._read(asked).inspection.prompt)
        yield {"path": str(kept.path), "sentence": kept.sentence}

    def _read(self, asked: View) -> _Kept:
        """The prompt on the model, as it is kept or anew."""
        key = asked.prompt.model_dump_json(), asked.chat, asked.concept
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        prompt = asked.prompt
        turns = None if prompt.messages is None else [message.model_dump() for message in prompt.messages]
        inspector = self._inspector(chat=asked.chat or turns is not None)
        made = _Kept(inspector.read(prompt.text, prompt=prompt.id, messages=turns, concept=asked.concept))
        self._kept[key] = made
        if len(self._kept) > KEPT_COUNT:
            self._kept.popitem(last=False)
        return made

    def _edited(self, asked: View, asker: Asker) -> tuple[Inspection, list[HeadEdit]]:
        """The prompt, and the edits of it: the same objects for the same request, because results are kept by them.

        What an edit needs of other prompts is kept for all, so only the end of the worker gives it up.
        """
        self._asker = asker
        kept = self._read(asked)
        made = {
            one: kept.edits.get(one)
            or kept.inspection.edit(
                one.heads, one.kind, factor=one.factor, dose=one.dose, concept=one.concept, cancelled=asker.ending
            )
            for one in asked.edits
        }
        kept.edits.clear()
        kept.edits.update(made)
        return kept.inspection, [made[one] for one in asked.edits]

    def _inspector(self, *, chat: bool) -> Inspector:
        if chat not in self._inspectors:
            self._inspectors[chat] = Inspector(
                self.model, self.profile, chat_template=chat, progress=self._progress, loaded=self.loaded
            )
        return self._inspectors[chat]

    def _progress(self, what: str, done: int, total: int) -> None:
        if self._asker is not None:
            self._asker.tell_all({"event": "progress", "what": what, "done": done, "total": total})


def _take(inspection: Inspection, edits: Sequence[HeadEdit], asked: WriteAsked) -> Event:
    """The lines that give figures and text again, and what tests them."""
    # How a token is drawn has no meaning where the likeliest is taken, and the command refuses it.
    names = ("max_tokens", "greedy") if asked.greedy else ("max_tokens", "temperature", "top_p", "seed")
    chosen = {name: getattr(asked, name) for name in names}
    given = {name: value for name, value in chosen.items() if value != WriteAsked.model_fields[name].default}
    return {
        "event": "take",
        "command": inspection.command(edits, **given),
        "python": inspection.python(edits, **given),
        "test": inspection.test_command(edits),
    }
