"""Fast scores: what the exact effect of each head's edit would be, were the outcome linear in the edit's strength.

An edit of head h at strength a makes z' = (1 - a) z + a r; at a = 1 it is the exact edit. With one strength a row and
head, set at the editing seam as z' = (1 - Σ a) z + Σ a r over several replacements r, one backward pass gives
d outcome / d a of every head of every layer, for every prompt of the batch, because rows do not see each other:

- ``gate_gradient``, r = 0, at a = 0: - d outcome / d gate at gate = 1 (Michel et al. 2019);
- ``attribution_patching``, r of the ``mean`` edit, at a = 0: Σ (r - z) · gradient (Nanda 2023; Kramár et al. 2024);
- ``attribution_patching_matched``, r = z of the matched control at the same tokens, at a = 0;
- ``integrated_gradient``, r of the ``mean`` edit: the mean of d outcome / d a_h along the straight line on which all
  heads' strengths rise from 0 to 1 together (integrated gradients, Sundararajan et al. 2017, at the nodes, as in
  EAP-IG, Hanna et al. 2024), by Gauss-Radau nodes: the first is strength 0, which the others are derived at anyway, so
  that n steps more are exact for polynomials of degree 2 n (``quadrature``). Its sum over heads is the effect of
  editing all heads at once; how far it misses that is the completeness error, known from two steps on.

All are in nats of the primary outcome and signed like an effect, edited - baseline: negative where the head's removal
lowers the concept. A batch costs one pass forward and one back for the first three together, one more forward for the
matched controls, one of each for each step of the integral, and from two steps on one forward for its sum. The weights
are frozen, so a pass back costs about what one forward does. Only sums by head leave a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from headscope.errors import RequestError, WorkError
from headscope.measure.edits import ControlStates
from headscope.measure.gradient_memory import gradient_batch_tokens
from headscope.measure.layout import PromptLayout, same_layout
from headscope.measure.logit_places import LogitPlaces
from headscope.measure.memory import in_halves
from headscope.measure.outcomes.outcome import Outcome, check_differentiable, summed_by_row
from headscope.measure.protocols import Progress, Result, Work, here, told
from headscope.measure.quadrature import has_sum, radau
from headscope.models.anatomy import probe_ids
from headscope.models.batches import Batch, batch_of
from headscope.models.editing import LayerEdit, editing, watching_z
from headscope.models.head_model import HeadModel
from headscope.models.running import differentiable_logits_at, logits_at, no_gradients, run_hidden
from headscope.tokens import plan_batches

FloatArray = npt.NDArray[np.float64]
ByLayer = Mapping[int, Tensor]

_BY_HEAD = ("zero", "mean", "matched", "integrated")


@dataclass(frozen=True)
class FastScores:
    """Predicted effect of each head's edit for each prompt, nats; NaN where there is no such head or it was not asked.

    Attributes:
        attribution_patching_matched: [n_prompts, L, H]; NaN on prompts without an equal pair.
        integrated_gradient: [n_prompts, L, H]; all NaN for 0 steps.
        all_edited: [n_prompts] exact effect of the ``mean`` edit of all heads at once; NaN below two steps.
        n_passes: forward and backward passes over a batch, each counted as one, of the dearest batch.
        batch_tokens: the batches' budget, padding included.
        n_halved: batches that did not fit into memory and ran in halves.
    """

    gate_gradient: Float[np.ndarray, "prompts layers heads"]
    attribution_patching: Float[np.ndarray, "prompts layers heads"]
    attribution_patching_matched: Float[np.ndarray, "prompts layers heads"]
    integrated_gradient: Float[np.ndarray, "prompts layers heads"]
    all_edited: Float[np.ndarray, " prompts"]
    n_passes: int
    batch_tokens: int
    n_halved: int

    @property
    def completeness_error(self) -> Float[np.ndarray, " prompts"]:
        """[n_prompts] sum over heads of the integrated gradient - the exact effect of editing all heads, nats."""
        return np.nansum(self.integrated_gradient, axis=(1, 2)) - self.all_edited


@dataclass(frozen=True)
class GradientPiece:
    """One batch of the plan: rows that belong together (of one prompt whose answers are joined, else one), and how many
    steps its integral takes.
    """

    units: tuple[tuple[int, ...], ...]
    steps: int

    @property
    def rows(self) -> tuple[int, ...]:
        """Indices of its rows."""
        return tuple(row for unit in self.units for row in unit)


class GradientPasses:
    """Passes forward and back over fixed prompts, each for its own concept's outcome."""

    def __init__(
        self,
        model: HeadModel,
        prompts: Sequence[PromptLayout],
        outcomes: Mapping[str, Outcome],
        *,
        states: ControlStates,
        partners: Mapping[str, PromptLayout],
        batch_tokens: int,
    ) -> None:
        """Fix what is asked.

        ``prompts`` are of concepts, not of the control class; ``states`` of the control prompts, for the ``mean`` edit.
        Of ``partners``, prompt id -> its matched control, only those with the same tokens in the same rows are used.

        Raises:
            RequestError: an outcome has no gradient.
        """
        check_differentiable(outcomes)
        self.model, self._prompts, self._outcomes, self._states = model, list(prompts), outcomes, states
        self._partners = {
            p: partners[one.id]
            for p, one in enumerate(self._prompts)
            if one.id in partners and same_layout(one, partners[one.id])
        }
        self._places = [(p, r) for p, prompt in enumerate(self._prompts) for r in range(len(prompt.rows))]
        self._lengths = [len(self._prompts[p].rows[r]) for p, r in self._places]
        units: dict[object, list[int]] = {}
        for index, (p, _) in enumerate(self._places):
            units.setdefault(p if self._prompts[p].answers else (index,), []).append(index)
        self._units = [tuple(unit) for unit in units.values()]
        self._batch_tokens = gradient_batch_tokens(model, self._prompts, batch_tokens)

    def measure(self, *, steps: int, progress: Progress | None = None, work: Work = here) -> FastScores:
        """All scores of all prompts.

        ``steps``: nodes of the integral beside strength 0; 0 leaves the integrated form out.

        Raises:
            RequestError: gradients do not pass through the model, or ``steps`` is negative.
            WorkError: a logit or a gradient is NaN or infinite.
        """
        if steps < 0:
            raise RequestError("steps cannot be negative", expected="0 (no integrated form) or more", got=str(steps))
        L, H = len(self.model.anatomy), max(self.model.heads_per_layer)
        shape = (len(self._prompts), L, H)
        found: dict[str, FloatArray] = {name: np.full(shape, np.nan) for name in _BY_HEAD}
        found["ends"] = np.full(len(self._prompts), np.nan)
        longest = [max(self._lengths[row] for row in unit) for unit in self._units]
        whole = [len(unit) * length for unit, length in zip(self._units, longest, strict=True)]
        batches = plan_batches(whole, self._batch_tokens, self.model.row_limits, in_a_row=longest)
        plan = [GradientPiece(tuple(self._units[int(member)] for member in members), steps) for members in batches]
        n_passes, n_halved = 0, 0
        results = told(work(plan, self.scores), "fast scores", len(plan), progress)
        for piece, result in zip(plan, results, strict=True):
            for b, index in enumerate(piece.rows):
                p, _ = self._places[index]
                for name, values in found.items():
                    values[p] = _sum(values[p], result[name][b])
            n_passes = max(n_passes, int(result["n_passes"]))
            n_halved += int(result["n_halved"])
        by_head = (found[name] for name in (*_BY_HEAD, "ends"))
        return FastScores(*by_head, n_passes=n_passes, batch_tokens=self._batch_tokens, n_halved=n_halved)

    def scores(self, piece: GradientPiece) -> Result:
        """For each row of a batch [B, L, H] its share of every score, [B] of ``ends``; NaN where it has none."""
        parts: list[Result] = []

        def run(units: Sequence[tuple[int, ...]]) -> None:
            parts.append(_BatchScores(self, [self._places[row] for unit in units for row in unit]).measure(piece.steps))

        n_halved = in_halves(piece.units, run)
        joined = {name: np.concatenate([part[name] for part in parts]) for name in (*_BY_HEAD, "ends")}
        n_passes = max(int(part["n_passes"]) for part in parts)
        return joined | {"n_passes": np.array(n_passes), "n_halved": np.array(n_halved)}

    def batch(self, where: Sequence[tuple[int, int]]) -> tuple[Batch, LogitPlaces]:
        """Rows of one batch, and where their answers are read."""
        batch = batch_of([self._prompts[p].rows[r] for p, r in where], self.model.device)
        return batch, LogitPlaces.answers(self._prompts, where, self.model.tokenizer)

    def outcomes(self, logits: Tensor, places: LogitPlaces, n_rows: int) -> Tensor:
        """[B] float64 each row's part of its prompt's outcome."""
        n_readouts = max(len(one.sequences) for one in self._prompts)
        return summed_by_row(logits, places, self._outcomes, n_rows, n_readouts)

    def means(self, where: Sequence[tuple[int, int]]) -> ByLayer:
        """By layer [B, 1, H, d], what the ``mean`` edit puts in place of z."""
        return {
            layer: torch.from_numpy(
                np.stack([self._states.values("mean", self._prompts[p], layer, None) for p, _ in where])
            ).to(self.model.device, self.model.dtype)
            for layer in self.model.anatomy.layers
        }

    def matched(self, where: Sequence[tuple[int, int]]) -> tuple[ByLayer, Tensor] | None:
        """By layer [B, T, H, d], z of the matched controls, and [B] which rows have one; None for none."""
        has = torch.tensor([p in self._partners for p, _ in where], device=self.model.device)
        if not bool(has.any()):
            return None
        rows = [self._partners.get(p, self._prompts[p]).rows[r] for p, r in where]
        kept: dict[int, Tensor] = {}
        with watching_z(self.model, kept.__setitem__):
            run_hidden(self.model, batch_of(rows, self.model.device))
        # Cloned outside of inference mode: autograd may not keep tensors made inside it.
        return {layer: z.clone() for layer, z in kept.items()}, has


class _BatchScores:
    """The passes of one batch."""

    def __init__(self, passes: GradientPasses, where: Sequence[tuple[int, int]]) -> None:
        self._passes, self._model, self._where = passes, passes.model, where
        self._batch, self._places = passes.batch(where)
        self._at = [
            torch.from_numpy(index).to(self._model.device) for index in (self._places.rows, self._places.tokens)
        ]
        self._means = passes.means(where)
        self._clean = torch.zeros(len(where), dtype=torch.float64)
        self._n_passes = 0

    def measure(self, steps: int) -> Result:
        """See ``GradientPasses.scores``."""
        shape = (len(self._where), len(self._model.anatomy), max(self._model.heads_per_layer))
        found = {name: np.full(shape, np.nan) for name in _BY_HEAD}
        at_zero = self._first_order(found)
        if steps:
            self._integrated(steps, at_zero, found["integrated"])
        ends = self._all_edited() if has_sum(steps) else np.full(len(self._where), np.nan)
        return found | {"ends": ends, "n_passes": np.array(self._n_passes)}

    def _first_order(self, found: Mapping[str, FloatArray]) -> ByLayer:
        """Derivatives at strength 0 of the ``zero``, ``mean`` and matched edits; returned are those of ``mean``."""
        matched = self._passes.matched(self._where)
        kinds: dict[str, ByLayer | None] = {"zero": None, "mean": self._means}
        if matched is not None:
            kinds["matched"] = matched[0]
            self._n_passes += 1
        gradients, self._clean = self._derivatives(kinds, 0.0)
        for kind, by_layer in gradients.items():
            has = matched[1] if kind == "matched" and matched is not None else None
            self._add(found[kind], by_layer, 1.0, has)
        return gradients["mean"]

    def _integrated(self, steps: int, at_zero: ByLayer, found: FloatArray) -> None:
        """The integral over strengths of the ``mean`` edit's derivatives, which are known at strength 0."""
        nodes, weights = radau(steps)
        self._add(found, at_zero, float(weights[0]), None)
        for node, weight in zip(nodes[1:], weights[1:], strict=True):
            gradients, _ = self._derivatives({"mean": self._means}, float(node))
            self._add(found, gradients["mean"], float(weight), None)

    def _all_edited(self) -> FloatArray:
        """[B] the exact effect of the ``mean`` edit of all heads."""
        off = {
            layer: LayerEdit(torch.zeros(1, 1, value.shape[2], device=value.device), value)
            for layer, value in self._means.items()
        }
        with editing(self._model, off):
            logits = logits_at(self._model, self._batch, *self._at)
        self._n_passes += 1
        return (self._outcomes(logits).cpu() - self._clean).double().numpy()

    def _outcomes(self, logits: Tensor) -> Tensor:
        return self._passes.outcomes(logits, self._places, len(self._where))

    def _derivatives(self, kinds: Mapping[str, ByLayer | None], strength: float) -> tuple[dict[str, ByLayer], Tensor]:
        """For each kind and layer [B, H] d outcome / d strength, every head at ``strength``; and [B] the outcomes.

        A kind's replacement is None for 0.
        """
        B = len(self._where)
        leaves = {
            kind: {
                layer: torch.full((B, one.shape[2]), strength, device=one.device, dtype=one.dtype, requires_grad=True)
                for layer, one in self._means.items()
            }
            for kind in kinds
        }
        edits = {layer: _at_strength(leaves, kinds, layer) for layer in self._means}
        with editing(self._model, edits):
            logits = differentiable_logits_at(self._model, self._batch, *self._at)
        outcomes = self._outcomes(logits)
        flat = [leaf for kind in kinds for leaf in leaves[kind].values()]
        gradients = torch.autograd.grad(outcomes.sum(), flat, allow_unused=True)
        self._n_passes += 2
        checked = iter([_checked(self._model, gradient) for gradient in gradients])
        by_kind: dict[str, ByLayer] = {kind: {layer: next(checked) for layer in leaves[kind]} for kind in kinds}
        return by_kind, outcomes.detach().cpu()

    def _add(self, found: FloatArray, by_layer: ByLayer, weight: float, has: Tensor | None) -> None:
        """Add ``weight`` x each row's derivatives to its scores."""
        rows = np.ones(len(self._where), dtype=bool) if has is None else has.cpu().numpy()
        for layer, gradient in by_layer.items():
            values = weight * gradient.double().cpu().numpy()[rows]
            found[rows, layer, : values.shape[1]] = _sum(found[rows, layer, : values.shape[1]], values)


def check_gradients(model: HeadModel) -> None:
    """Prove on a few tokens that gradients reach every layer's heads from the logits.

    Raises:
        RequestError: they do not.
    """
    batch = Batch.of_chains(probe_ids(model.hf).tolist(), device=model.device)
    gates = {
        layer: torch.ones(1, 1, one.n_heads, device=model.device, dtype=model.dtype, requires_grad=True)
        for layer, one in model.anatomy.layers.items()
    }
    with editing(model, {layer: LayerEdit(gate) for layer, gate in gates.items()}):
        logits = differentiable_logits_at(model, batch, torch.arange(len(batch), device=model.device), batch.ends())
    for gradient in torch.autograd.grad(logits.logsumexp(-1).sum(), list(gates.values()), allow_unused=True):
        _checked(model, gradient)


def _sum(before: FloatArray, more: FloatArray) -> FloatArray:
    """The sum, where NaN is nothing; NaN where both are."""
    return np.where(np.isnan(before), more, before + np.where(np.isnan(more), 0.0, more))


def _at_strength(leaves: Mapping[str, ByLayer], kinds: Mapping[str, ByLayer | None], layer: int) -> LayerEdit:
    gain = 1.0 - torch.stack([leaves[kind][layer] for kind in kinds]).sum(0)
    moved = [leaves[kind][layer][:, None, :, None] * value[layer] for kind, value in kinds.items() if value is not None]
    value = torch.stack(torch.broadcast_tensors(*moved)).sum(0) if moved else None
    return LayerEdit(gain[:, None], value)


def _checked(model: HeadModel, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        raise no_gradients(model, "the graph is cut between some heads and the logits")
    if not bool(torch.isfinite(gradient).all()):
        raise WorkError(
            f'gradients of model "{model.name}" are NaN or infinite',
            got=str(model.dtype).removeprefix("torch."),
            fix="half precision overflows on the way back: load the model with --dtype float32 (or bfloat16)",
        )
    return gradient
