"""A prompt that is read again and again, unedited and under edits: ``Inspection``.

Its unedited pass is run once and kept; an edited one begins at its lowest layer (``measure.live``). Edits, outcomes and
texts are the verbs' own, so each number is the one that ``ablate`` or ``steer`` gives for this prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from headscope.errors import ProfileError, RequestError, one_of
from headscope.measure.layout import PromptLayout, lay_out
from headscope.measure.live import KeptPass, Wanted, check_tokens, merged, stopping
from headscope.measure.live_map import attention_map
from headscope.measure.live_text import write_tokens
from headscope.measure.logit_places import LogitPlaces
from headscope.models.batches import batch_of
from headscope.models.editing import HeadEdit, LayerEdit, editing
from headscope.models.head_model import HeadModel
from headscope.settings import Writing
from headscope.verbs.continuations import sampling_of
from headscope.verbs.inspect_lines import Lines
from headscope.verbs.inspect_tokens import WrittenToken
from headscope.verbs.inspect_tools import Tools

FloatArray = npt.NDArray[np.float64]
Edits = Sequence[HeadEdit]

TYPED = "typed-text"
"""Id of a text that is none of the profile's; the random numbers of its continuation are named by it."""
TYPED_TEMPLATE = "typed text"
MEASURES = ("attention", "value_weighted", "direct")
"""What ``Inspection.head_map`` gives."""


class Likeliest(NamedTuple):
    """Next tokens, likeliest first: their ids, texts, and [n] probabilities of both arms."""

    token_ids: npt.NDArray[np.int64]
    tokens: list[str]
    baseline: FloatArray
    edited: FloatArray


class Inspection:
    """One prompt on one model.

    Every reading takes ``edits`` (``edit`` makes them, or ``headscope.zero`` and its like; of heads that are all
    different) and ``cancelled``, which is asked between blocks and tokens and ends the work by ``errors.Cancelled``.

    Attributes:
        study: the model and the profile.
        prompt: what is put to the model.
        concept: the concept that is asked of it; empty without a profile.
        ids: its token ids, a BOS first where the model has one.
        tokens: the text of each token; the texts of those that are not special, joined, are the prompt's. Of a
            character of several tokens the first has it, and the others have none.
        special: whether each token is a special one.
    """

    def __init__(self, lines: Lines, tools: Tools) -> None:
        """Use ``Inspector.read``, or ``headscope.inspect``."""
        study, prompt = lines.study, lines.prompt
        self.study, self.model, self.prompt, self.concept = study, study.model, prompt, lines.concept
        self._lines, self._tools = lines, tools
        self._template = TYPED_TEMPLATE if lines.is_typed else study.templates[prompt.id]
        without_answers = replace(prompt, answers=(), foils=())
        (self._alone,) = lay_out(
            self.model, [without_answers], (), {prompt.id: self._template}, encoder=study.encoder
        )  # fmt: skip
        self.ids = list(self._alone.tokens.ids)
        self.tokens, self.special = tools.texts.of_prompt(self._alone.tokens)
        self._latest: tuple[tuple[HeadEdit, ...], dict[int, LayerEdit]] = ((), {})
        self._latest_logits: Tensor | None = None
        self._kept: KeptPass | None = None
        self._kept_at_readouts: KeptPass | None = None
        self._odds_unedited: dict[str, float] = {}

    @cached_property
    def layout(self) -> PromptLayout:
        """The prompt with the profile's readouts, as every verb lays it out; ProfileError where it does not go."""
        return self.study.laid_out(self.prompt, self._template if self._lines.is_typed else None)

    def edit(
        self, heads: str, kind: str, *, factor: float | None = None, dose: float | None = None,
        concept: str | None = None, cancelled: Wanted | None = None,
    ) -> HeadEdit:  # fmt: skip
        """An edit of heads for this prompt, also for ``model.edit`` and ``model.save_edit``.

        Args:
            heads: which, e.g. ``"1:10,5:*"``.
            kind: ``zero``; ``mean``, of the control prompts of other templates than the prompt's; ``bos``, what they
                put out on a BOS alone; ``scale``, times ``factor``; ``add``, plus ``dose`` of the vector of
                ``concept``, fitted on other templates than the prompt's where it is the profile's.
            factor: of ``scale``.
            dose: of ``add``, in σ.
            concept: of ``add``; by default the one that is asked of the prompt.
            cancelled: asked while control prompts run.

        Raises:
            RequestError: no such heads or kind, something is missing or has no use, or the profile cannot give it.
            Cancelled: it is not wanted any more.
        """
        with stopping(self.model, cancelled):
            return self._tools.edits.make(
                self._alone, heads, kind, factor=factor, dose=dose, concept=concept or self.concept,
                is_typed=self._lines.is_typed,
            )  # fmt: skip

    # --- what it would say -------------------------------------------------------------------------------------------

    def next_words(self, edits: Edits = (), n: int = 10, *, cancelled: Wanted | None = None) -> pd.DataFrame:
        """The ``n`` most probable next tokens of either arm, likeliest first.

        Returns:
            ``token_id``, ``token`` (its text), ``probability_baseline``, ``probability_edited`` and ``change``, their
            difference; without edits both are the same.
        """
        found = self.likeliest(edits, n, cancelled=cancelled)
        return pd.DataFrame({
            "token_id": found.token_ids, "token": found.tokens, "probability_baseline": found.baseline,
            "probability_edited": found.edited, "change": found.edited - found.baseline,
        })  # fmt: skip

    def likeliest(self, edits: Edits = (), n: int = 10, *, cancelled: Wanted | None = None) -> Likeliest:
        """The same as plain arrays, which take a tenth of the time of a table: for a page that asks at every click."""
        logits = self._baseline(cancelled).logits[0]
        both = torch.stack([logits, self._edited_logits(edits, cancelled) if edits else logits]).softmax(-1)
        likeliest = np.unique(both.topk(min(n, both.shape[-1])).indices.cpu().numpy())
        of_likeliest = both[:, torch.from_numpy(likeliest).to(both.device)].double().cpu().numpy()
        order = np.argsort(-of_likeliest.max(axis=0), kind="stable")
        ids, (before, after) = likeliest[order], of_likeliest[:, order]
        return Likeliest(ids, [self._tools.texts.of(token) for token in ids.tolist()], before, after)

    def _baseline(self, cancelled: Wanted | None) -> KeptPass:
        """The unedited pass over the prompt alone, run once."""
        if self._kept is None:
            batch = batch_of(self._alone.rows, self.model.device)
            self._kept = KeptPass.run(self.model, batch, [(0, len(self.ids) - 1)], cancelled=cancelled)
        return self._kept

    def _together(self, edits: Edits) -> dict[int, LayerEdit]:
        """The edits by layer, made once for the same objects."""
        before, together = self._latest
        if len(before) != len(edits) or any(a is not b for a, b in zip(before, edits, strict=True)):
            together = merged(self.model, edits)
            self._latest, self._latest_logits = (tuple(edits), together), None
        return together

    def _edited_logits(self, edits: Edits, cancelled: Wanted | None) -> Tensor:
        """[V] after the prompt."""
        together = self._together(edits)
        if self._latest_logits is None:
            self._latest_logits = self._baseline(cancelled).edited(together, cancelled)[0]
        return self._latest_logits

    def log_odds(self, edits: Edits = (), *, cancelled: Wanted | None = None) -> pd.DataFrame:
        """The log-odds of each concept's words, or of the prompt's answers, after the profile's readouts.

        Returns:
            ``concept``, ``baseline_nats``, ``edited_nats`` and ``change_nats``, as ``ablate`` measures them; no row
            where the profile asks nothing of this prompt.

        Raises:
            ProfileError: they cannot be read; ``misfit`` says so beforehand.
        """
        if not self._asks:
            return pd.DataFrame({name: [] for name in ("concept", "baseline_nats", "edited_nats", "change_nats")})
        kept = self._baseline_at_readouts(cancelled)
        before = self._odds_unedited = self._odds_unedited or self._odds(kept.logits)
        after = self._odds(kept.edited(self._together(edits), cancelled)) if edits else before
        names = list(before)
        table = {"baseline_nats": [before[name] for name in names], "edited_nats": [after[name] for name in names]}
        change = [after[name] - before[name] for name in names]
        return pd.DataFrame({"concept": names, **table, "change_nats": change})

    @cached_property
    def misfit(self) -> ProfileError | None:
        """Why the log-odds of this prompt cannot be read, e.g. a readout beyond the context; None where they can."""
        try:
            _ = self._asks and self._places
        except ProfileError as error:
            return error
        return None

    @cached_property
    def _asks(self) -> bool:
        return bool(self.layout.answers) if self.study.profile.has_tasks else bool(self.study.profile.concepts)

    @cached_property
    def _places(self) -> LogitPlaces:
        rows = [(0, row) for row in range(len(self.layout.rows))]
        places = LogitPlaces.answers([self.layout], rows, self.model.tokenizer)
        reads = [one.reads for one in self.study.log_odds.values()]
        known = [tokens for tokens in reads if tokens is not None]
        if len(known) < len(reads) or not self.model.gives_some_tokens:
            return places
        return replace(places, kept=torch.tensor(sorted(frozenset[int]().union(*known))))

    def _baseline_at_readouts(self, cancelled: Wanted | None) -> KeptPass:
        """The unedited pass over the prompt with its readouts, run once."""
        if self._kept_at_readouts is None:
            places, batch = self._places, batch_of(self.layout.rows, self.model.device)
            where = list(zip(places.rows.tolist(), places.tokens.tolist(), strict=True))
            self._kept_at_readouts = KeptPass.run(self.model, batch, where, reads=places.kept, cancelled=cancelled)
        return self._kept_at_readouts

    def _odds(self, logits: Tensor) -> dict[str, float]:
        """Concept -> nats."""
        places, found = self._places, dict[str, float]()
        for concept, outcome in self.study.log_odds.items():
            if self.study.profile.has_tasks and concept != self._task:
                continue
            values = outcome.at(logits, places)
            by_sequence = np.full((len(self.layout.sequences), 1, *values.shape[1:]), np.nan)
            by_sequence[places.readouts, 0] = values
            found[concept] = float(outcome.of_prompts(by_sequence, [self.layout])[0])
        return found

    @cached_property
    def _task(self) -> str:
        """The task whose prompt this is, or the partner of one."""
        clean = {prompt.pair: prompt.concept for prompt in self.study.profile.prompts if prompt.pair is not None}
        return clean.get(self.prompt.id, self.prompt.concept)

    # --- where heads look --------------------------------------------------------------------------------------------

    def attention(
        self, layer: int, head: int, edits: Edits = (), *, queries: Sequence[int] | None = None,
        cancelled: Wanted | None = None,
    ) -> npt.NDArray[np.float32]:  # fmt: skip
        """[T, T] attention of one head: of each token (row) to each token (column); [Q, T] of ``queries`` alone.

        Raises:
            RequestError: there is no such head or token.
        """
        return self._baseline(cancelled).attention(layer, head, self._together(edits), queries, cancelled).numpy()

    def head_map(
        self, measure: str, *, queries: Sequence[int], keys: Sequence[int] = (), token_id: int | None = None,
        edits: Edits = (), cancelled: Wanted | None = None,
    ) -> FloatArray:  # fmt: skip
        """[L, H] one number a head; NaN where there is none.

        Args:
            measure: ``attention``: the share that ``queries`` pay to ``keys``, the mean over queries of the sum over
                keys; ``value_weighted``: the norm of what heads write from these keys into the residual stream;
                ``direct``: what they add, after each of ``queries``, to the logit of ``token_id`` beyond the mean logit
                of all tokens, norms frozen.
            queries: indices of tokens; of ``direct`` most often the last one.
            keys: indices of tokens; ``direct`` has none.
            token_id: of ``direct``.
            edits: what is edited.
            cancelled: see the class.

        Raises:
            RequestError: no such measure or token, or something is missing or has no use.
            ModelError: ``direct`` is not defined, because the model's logits are no sum over its parts.
        """
        one_of("measure", measure, MEASURES)
        direct = measure == "direct"
        if not queries or direct == bool(keys) or direct == (token_id is None):
            raise RequestError(
                f'the map "{measure}" is not asked as it needs',
                expected="queries and a token_id, no keys" if direct else "queries and keys, no token_id",
            )
        for asked in (queries, keys):
            check_tokens(asked, len(self.ids))
        with stopping(self.model, cancelled), self._editing(edits):
            if token_id is not None:
                batch = batch_of(self._alone.rows, self.model.device)
                return self._tools.direct.read(batch, queries, token_id).heads
            return attention_map(self.model, self.ids, measure, queries, keys, self.study.batch_tokens)

    def _editing(self, edits: Edits) -> AbstractContextManager[HeadModel]:
        return editing(self.model, self._together(edits))

    # --- what it says ------------------------------------------------------------------------------------------------

    def write(
        self, edits: Edits = (), *, max_tokens: int = 30, temperature: float = 1.0, top_p: float = 0.9,
        greedy: bool = False, seed: int = 0, cancelled: Wanted | None = None,
    ) -> Iterator[WrittenToken]:  # fmt: skip
        """The continuation of both arms as it is written, from the same random numbers; without edits of one arm.

        Raises:
            RequestError: a number out of range.
            ProfileError: prompt and text do not fit the model's context.
            Cancelled: it is not wanted any more.
        """
        writing = Writing(max_tokens=max_tokens, temperature=temperature, top_p=top_p, greedy=greedy)
        sampling = replace(sampling_of(self.study, writing), seed=seed)
        chosen = write_tokens(self.model, self._alone, self._together(edits), sampling, cancelled)
        return self._tools.texts.pieces(chosen, ("baseline", "edited")[: 2 if edits else 1])

    def texts(self, edits: Edits = (), **writing: Any) -> dict[str, str]:
        """The whole continuation of each arm; keywords as ``write`` has them."""
        texts: dict[str, str] = {}
        for piece in self.write(edits, **writing):
            texts[piece.arm] = texts.get(piece.arm, "") + piece.text
        return texts

    # --- lines to take along -----------------------------------------------------------------------------------------

    def command(self, edits: Edits = (), **writing: Any) -> str:
        """The command line that prints all this again; keywords as ``write`` has them, those that are not its defaults.

        Raises:
            RequestError: an edit was not made by ``edit``, ``headscope.zero`` or ``headscope.scale``.
        """
        return self._lines.command(edits, writing)

    def python(self, edits: Edits = (), **writing: Any) -> str:
        """The same as lines of Python."""
        return self._lines.python(edits, writing, reads_log_odds=self.misfit is None)

    def test_command(self, edits: Edits = ()) -> str:
        """The command that tests the edits on all prompts of the profile, a line for each; without edits every head."""
        return self._lines.test_command(edits)
