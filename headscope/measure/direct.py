"""What each head says to the logits directly: the frozen final norm, later heads and feed-forward layers as they were.

At each readout's last token, with the scales of the final norm and of norms after attention frozen
(models/residual.py), logits before a soft cap are linear in every addend of the residual stream. For the direction
u = mean of W_U over the lexicon's tokens - mean over the control lexicon's:

- *contribution*: what each head, feed-forward layer, bias and the embedding add to the logit difference along u
  (nostalgebraist 2020; Elhage et al. 2021; Wang et al. 2022). They add up to the model's own difference exactly, and
  every pass is held to it. Logits, not nats: the difference of *mean logits* is linear, the log-odds are not.
- *direct effect*, in nats: the change of the primary outcome itself, log P(lexicon) - log P(control lexicon), when z of
  one head becomes the ``mean`` edit's value and only the logits know of it. Beside the total effect of the same edit,
  where later heads and layers answer, it shows self-repair (McGrath et al. 2023; Rushing & Nanda 2024).

One pass a batch, and only sums by part leave it; a batch that does not fit into memory runs in halves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.errors import WorkError
from headscope.measure.direct_parts import FrozenNorms, StatesAt
from headscope.measure.edits import ControlStates
from headscope.measure.layout import PromptLayout
from headscope.measure.logit_places import LogitPlaces
from headscope.measure.memory import in_halves
from headscope.measure.outcomes import Outcome
from headscope.measure.outcomes.outcome import groups_of
from headscope.measure.outcomes.parted import Group, Words, words_of
from headscope.measure.protocols import Progress, Result, Work, here, told
from headscope.models.batches import batch_of
from headscope.models.head_model import HeadModel
from headscope.models.law_rows import tolerance_of
from headscope.models.residual import Residual, attention_writes, find_residual, watching_parts
from headscope.models.running import logits_at
from headscope.tokens import plan_batches

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DirectScores:
    """Contributions to the logit difference (logits) and direct effects (nats), means over a prompt's readouts.

    NaN for prompts whose answers are of several tokens, or have no foils.

    Attributes:
        heads: [n_prompts, L, H] contribution of each head; NaN where there is no such head.
        feed_forward: [n_prompts, L] of each feed-forward layer.
        attention_bias: [n_prompts, L] of each output projection's bias, and of a norm's after it.
        embedding: [n_prompts] of the stream as the first layer gets it.
        bias: [n_prompts] of the final norm's and the output embedding's biases.
        total: [n_prompts] the model's own logit difference, before a soft cap.
        effect: [n_prompts, L, H] direct effect of the ``mean`` edit of each head, nats.
        additivity_error: the largest |sum of parts - total|, relative to the largest logit read.
        n_halved: batches that did not fit into memory and ran in halves.
    """

    heads: Float[np.ndarray, "prompts layers heads"]
    feed_forward: Float[np.ndarray, "prompts layers"]
    attention_bias: Float[np.ndarray, "prompts layers"]
    embedding: Float[np.ndarray, " prompts"]
    bias: Float[np.ndarray, " prompts"]
    total: Float[np.ndarray, " prompts"]
    effect: Float[np.ndarray, "prompts layers heads"]
    additivity_error: float
    n_halved: int


def measure_direct(
    model: HeadModel,
    prompts: Sequence[PromptLayout],
    outcomes: Mapping[str, Outcome],
    *,
    states: ControlStates,
    batch_tokens: int,
    progress: Progress | None = None,
    work: Work = here,
) -> DirectScores:
    """Contributions and direct effects of every head on each prompt's own concept.

    ``prompts`` are of concepts, not of the control class; ``outcomes``: class of prompts -> the log-odds of its
    lexicon, or of prompts' answers; ``states``: of the control prompts, for the ``mean`` edit.

    Raises:
        ModelError: the model's logits are no sum over its parts (see ``models/residual.py``).
        WorkError: parts do not add up to the logit difference, or a single row does not fit into memory.
    """
    passes = _Passes(model, find_residual(model), prompts, words_of(outcomes), states)
    found = _nothing(model, len(prompts))
    places = [(p, r) for p, prompt in enumerate(prompts) for r in range(len(prompt.rows))]
    lengths = [len(prompts[p].rows[r]) for p, r in places]
    batches = plan_batches(lengths, batch_tokens, model.row_limits)
    plan = [_Piece(tuple(places[index] for index in members)) for members in batches]
    error, n_halved = 0.0, 0
    results = zip(plan, work(plan, passes.scores), strict=True)
    for piece, result in told(results, "direct effects", len(plan), progress):
        for name, values in found.items():
            values[piece.prompts] += result[name]
        error = max(error, float(result["error"]))
        n_halved += int(result["n_halved"])
    _check_additivity(model, error)
    return DirectScores(**found, additivity_error=error, n_halved=n_halved)


@dataclass(frozen=True)
class _Piece:
    """One batch of the plan: rows as (prompt, its row)."""

    places: tuple[tuple[int, int], ...]

    @property
    def prompts(self) -> list[int]:
        """Each prompt once."""
        return sorted({p for p, _ in self.places})


@dataclass(frozen=True)
class _Passes:
    """What all batches share."""

    model: HeadModel
    residual: Residual
    prompts: Sequence[PromptLayout]
    words: Mapping[str, Words]
    states: ControlStates

    def scores(self, piece: _Piece) -> Result:
        """The batch's share of every score of ``piece.prompts``, the error of its sums, and how often it was halved."""
        place = {p: i for i, p in enumerate(piece.prompts)}
        found, errors = _nothing(self.model, len(place)), list[float]()

        def run(places: Sequence[tuple[int, int]]) -> None:
            part = _Piece(tuple(places))
            shares, error = self._whole(part)
            errors.append(error)
            for name, values in shares.items():
                found[name][[place[p] for p in part.prompts]] += values

        n_halved = in_halves(piece.places, run)
        return {**found, "error": np.array(max(errors)), "n_halved": np.array(n_halved)}

    def _whole(self, piece: _Piece) -> tuple[dict[str, FloatArray], float]:
        """Shares and error of a batch that fits."""
        place = {p: i for i, p in enumerate(piece.prompts)}
        prompts = [self.prompts[p] for p in place]
        where = [(place[p], r) for p, r in piece.places]
        found = _nothing(self.model, len(prompts))
        error = 0.0
        states_at, logits, places = _read(self.model, self.residual, prompts, where)
        for readout, concept, index in groups_of(places):
            words = [self.words[concept](places.layouts[p], readout) for p in places.prompts[index]]
            known = np.flatnonzero([one is not None for one in words])
            if not readout:  # prompts whose outcome is no difference of logits at one place have no scores
                for values in found.values():
                    values[places.prompts[index[[one is None for one in words]]]] = np.nan
            if not known.size:
                continue
            group = Group.of([one for one in words if one is not None], index[known], places.prompts[index[known]])
            share = 1.0 / (1 if prompts[0].answers else max(len(one.sequences) for one in self.prompts))
            scores = _GroupScores(self.model, self.residual, states_at, logits, group, share)
            error = max(error, scores.contributions(found))
            scores.effects(found["effect"], prompts, self.states)
        return found, error


def _nothing(model: HeadModel, n: int) -> dict[str, FloatArray]:
    """Every score of ``n`` prompts before anything is added to it; NaN where there is no such head."""
    L, H = len(model.anatomy), max(model.heads_per_layer)
    found = {
        "heads": np.full((n, L, H), np.nan),
        "effect": np.full((n, L, H), np.nan),
        **{name: np.zeros((n, L)) for name in ("feed_forward", "attention_bias")},
        **{name: np.zeros(n) for name in ("embedding", "bias", "total")},
    }
    for layer, n_heads in enumerate(model.heads_per_layer):
        found["heads"][:, layer, :n_heads] = found["effect"][:, layer, :n_heads] = 0.0
    return found


def _read(
    model: HeadModel, residual: Residual, prompts: Sequence[PromptLayout], where: Sequence[tuple[int, int]]
) -> tuple[StatesAt, Tensor, LogitPlaces]:
    batch = batch_of([prompts[p].rows[r] for p, r in where], model.device)
    places = LogitPlaces.answers(prompts, where, model.tokenizer)
    rows, tokens = (torch.from_numpy(index).to(model.device) for index in (places.rows, places.tokens))
    states = StatesAt(rows, tokens)
    with watching_parts(model, residual, states.parts()):
        logits = logits_at(model, batch, rows, tokens)
    return states, logits.double(), places


class _GroupScores:
    """The scores of a group."""

    def __init__(
        self, model: HeadModel, residual: Residual, states: StatesAt, logits: Tensor, group: Group, share: float
    ) -> None:
        self._model, self._residual, self._states, self._share = model, residual, states, share
        self._places, self._owners = group.places.to(model.device), group.owners
        self._words, self._controls = group.words.to(logits.device), group.controls.to(logits.device)
        words, controls = (side.double() / side.sum(-1, keepdim=True) for side in (self._words, self._controls))
        self._signs = words - controls  # [n or 1, words]
        ids = torch.tensor(group.ids, device=logits.device)
        self._weights = residual.unembedding.to(logits.device)[ids].double() * residual.logit_scale  # [words, D]
        self._biases = residual.unembedding_bias.to(logits.device)[ids].double() * residual.logit_scale
        self._norms = FrozenNorms(model, residual, states, self._places, logits.device)
        self._map = self._norms.through_final(self._weights)  # [words, D] one linear map from the stream to the words
        # The model's own logits; before a soft cap, those of the norm's own output, whose cap must be the model's.
        own = logits[self._places][:, ids]  # [n, words]
        y = states.y[self._places].to(self._weights)
        self._logits = own if residual.soft_cap is None else y @ self._weights.T + self._biases
        self._form_error = _relative(residual.capped(self._logits), own)

    def _mean_difference(self, by_word: Tensor) -> Tensor:
        """[n] of [n, words] or [words]: mean over the words for - mean over those against."""
        return (by_word * self._signs).sum(-1)

    def contributions(self, found: dict[str, FloatArray]) -> float:
        """Add the parts' shares; returns the error of their sum relative to the largest logit."""
        direction = self._signs @ self._map * self._norms.scale  # [n, D]
        offset = self._weights @ self._residual.norm.bias.to(direction.device) + self._biases
        bias, total = self._mean_difference(offset).expand(len(self._places)), self._mean_difference(self._logits)
        parts = self._norms.contributions(direction)
        for layer, heads in parts.heads.items():
            self._add(found["heads"][:, layer, : heads.shape[1]], heads)
            self._add(found["attention_bias"][:, layer], parts.attention_bias[layer])
        for layer, forward in parts.feed_forward.items():
            self._add(found["feed_forward"][:, layer], forward)
        for name, values in (("embedding", parts.embedding), ("bias", bias), ("total", total)):
            self._add(found[name], values)
        largest = self._logits.abs().max().clamp(min=1.0)
        error = float((parts.total() + bias - total).abs().max() / largest)
        return max(self._form_error, self._norms.error, error)

    def effects(self, found: FloatArray, prompts: Sequence[PromptLayout], states: ControlStates) -> None:
        """Add the direct effect of the ``mean`` edit of every head."""
        before = self._log_odds(self._logits)
        for layer, n_heads in enumerate(self._model.heads_per_layer):
            z = self._states.z[layer][self._places].to(self._map.device)
            means = np.concatenate([states.values("mean", prompts[p], layer, None) for p in self._owners])
            change = torch.from_numpy(means).to(z) - z  # [n, H, d]
            weights, _ = attention_writes(self._model, layer)
            to_words = torch.einsum("hdm,wm->hdw", weights.to(z.device), self._norms.through(layer, self._map))
            moved = (
                torch.einsum("nhd,hdw->nhw", change, to_words)
                * (self._norms.scale * self._norms.scale_after(layer))[:, None]
            )
            after = self._log_odds(self._logits[:, None] + self._residual.multiplier * moved)
            self._add(found[:, layer, :n_heads], after - before[:, None])

    def _log_odds(self, before_cap: Tensor) -> Tensor:
        by_word = self._residual.capped(before_cap)
        sides = (side if by_word.ndim == side.ndim else side[:, None] for side in (self._words, self._controls))
        words, controls = (by_word.masked_fill(~side, -torch.inf).logsumexp(-1) for side in sides)
        return words - controls

    def _add(self, found: FloatArray, values: Tensor) -> None:
        np.add.at(found, self._owners, self._share * values.cpu().numpy())


def _relative(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).abs().max() / expected.abs().max().clamp(min=1.0))


def _check_additivity(model: HeadModel, error: float) -> None:
    limit = 2 * tolerance_of(model)  # a difference of two means of logits
    if error > limit:
        raise WorkError(
            f'the parts of model "{model.name}" do not add up to its logits, so direct attribution would be wrong',
            expected=f"a relative error of at most {limit:.1e}",
            got=f"{error:.1e}",
            fix="load it in float32; a model whose error stays is not the sum that direct attribution needs",
        )
