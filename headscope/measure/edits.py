"""What a head's output z becomes under an edit, and for which rows of a batch.

An *arm* is one edited copy of the model: a set of heads and a kind of edit.

What each kind puts in the place of z stands in ``edit_kinds``. A value depends on the prompt and the request's control
prompts, never on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from headscope.errors import RequestError, one_of
from headscope.heads import HeadSet
from headscope.measure.edit_kinds import KINDS, PATCH_KINDS, STEERING_KINDS, Array, EditKind, Places
from headscope.measure.layout import PromptLayout
from headscope.measure.memory import in_halves
from headscope.measure.protocols import Progress, told
from headscope.models.batches import Batch, batch_of
from headscope.models.editing import LayerEdit, editing, value_bias, watching_z
from headscope.models.head_model import HeadModel
from headscope.models.running import Stop, run_hidden
from headscope.random_streams import generator
from headscope.tokens import Tokens, plan_batches


@dataclass(frozen=True)
class Arm:
    """One edited copy of the model.

    Of ``PATCH_KINDS`` the values come from ``patching.PatchStates``, of ``STEERING_KINDS`` from
    ``steering.SteerStates``; these have a ``dose`` and the name of a ``vector``.
    """

    heads: HeadSet
    kind: str
    dose: float | None = None
    vector: str = ""

    def __post_init__(self) -> None:
        if self.kind not in (*PATCH_KINDS, *STEERING_KINDS):
            one_of("edit", self.kind, KINDS)

    def __str__(self) -> str:
        if self.dose is None:
            return f"{self.kind}({self.heads})"
        return f"{self.kind}({self.heads}; {' '.join(filter(None, (self.vector, repr(self.dose))))})"


EditRow = tuple[Arm | None, PromptLayout, Places]
"""A row of a batch: its arm, None for no edit; its prompt; the places of its tokens, all of the batch's width."""


class ArmValues:
    """What stands in the place of z under an arm; by itself only what needs no other prompt.

    Attributes:
        n_halved: batches of its own passes that did not fit into memory and ran in halves.
        n_loads_halved: the same of passes that were run for the latest piece of work.
        shares_prompts: whether rows under one arm may share what their prompts begin with (see ``depends_on``).
        follows_text: whether a source (``source_of``) goes on beside the text that is written under its arm.
    """

    shares_prompts = True
    follows_text = False

    def __init__(self, model: HeadModel) -> None:
        self.model = model
        self.kinds: Mapping[str, EditKind] = {}
        self.n_halved = self.n_loads_halved = 0

    def edited(self, rows: Sequence[EditRow]) -> AbstractContextManager[object]:
        """Inside the block, row b of each forward pass is edited as its arm says."""
        edits = layer_edits(self.model, self, rows)
        return editing(self.model, edits) if edits else nullcontext()

    def edited_beside(self, rows: Sequence[EditRow], sources: Sequence[int | None]) -> AbstractContextManager[object]:
        """The same for a pass in which text is written; ``sources``: for each row that of its source, if it has one."""
        return self.edited(rows)

    def source_of(self, arm: Arm | None, prompt: PromptLayout) -> PromptLayout | None:
        """The prompt that runs beside a text of ``prompt`` under the arm, because its z goes in; None for none."""
        return None

    def check_writing(self) -> None:
        """Raise RequestError where no text can be written under these arms."""

    def depends_on(self, arm: Arm | None, prompt: PromptLayout) -> tuple[str, ...]:
        """What an arm's values depend on beside the place of a token: prompts that agree in it may share a row."""
        if arm is None:
            return ()
        kind = self.kinds.get(arm.kind)
        varying = {"template": (prompt.template,), "prompt": (prompt.id,)}
        return str(arm), *(varying.get(kind.varies_with, ()) if kind else ())

    def values(self, kind: str, prompt: PromptLayout, layer: int, places: Places | None) -> Array:
        """[T, H, d] what z becomes in one row; [1, H, d] where it is one for all tokens."""
        if kind in self.kinds:
            return self.kinds[kind].value(self, prompt, layer, places)
        if kind == "zero_keep_bias":
            return value_bias(self.model, layer).float().cpu().numpy()[None]
        raise AssertionError(f"{kind} needs other prompts' states")


class ControlStates(ArmValues):
    """What each head puts out on the control prompts, as far as the edits need it.

    Built in one pass over the control prompts, each followed by each readout. For every control prompt and layer it
    keeps the sum of z over the tokens of its sequences and, for edits by position, z itself. Of a task's control
    prompt, whose other sequences are beginnings of answers, its own tokens are summed, each once: how many tokens a
    tokenizer makes of the answers is no weight of a prompt.
    """

    def __init__(
        self,
        model: HeadModel,
        controls: Sequence[PromptLayout],
        *,
        kinds: Sequence[str],
        seed: int,
        batch_tokens: int,
        progress: Progress | None = None,
    ) -> None:
        n_templates = len({control.template for control in controls})
        if n_templates < 2:
            raise RequestError(
                "an edit that takes values from control prompts needs controls of at least two templates",
                expected="two templates or more",
                got=str(n_templates),
                fix='add control prompts, or use the edit "zero"',
            )
        super().__init__(model)
        self._controls = list(controls)
        self._seed = seed
        self.kinds = {name: kind for name in {"mean", *kinds} if (kind := KINDS[name]) is not None}
        self._by_token = any(kind.by_token for kind in self.kinds.values())
        self._sums = {
            n: np.zeros((len(controls), layer.n_heads, layer.head_size)) for n, layer in model.anatomy.layers.items()
        }
        self._counts = np.array([sum(map(len, _averaged(control))) for control in controls], dtype=np.float64)
        self._sequences: dict[tuple[int, int, int], Array] = {}  # (layer, control, readout) -> [n, H, d]
        self._means: dict[tuple[int, str], Array] = {}
        self._position_means: dict[tuple[int, str], Array] = {}
        self._bos = bos_outputs(model) if "bos" in kinds else {}
        self._run(model, batch_tokens, progress)

    @staticmethod
    def plan(model: HeadModel, controls: Sequence[PromptLayout], batch_tokens: int) -> list[list[tuple[int, int]]]:
        """The batches of the pass: (control, its row) of each row."""
        places = [(c, r) for c, control in enumerate(controls) for r in range(len(control.rows))]
        plan = plan_batches([len(controls[c].rows[r]) for c, r in places], batch_tokens, model.row_limits)
        return [[places[index] for index in members] for members in plan]

    def _run(self, model: HeadModel, batch_tokens: int, progress: Progress | None) -> None:
        plan = self.plan(model, self._controls, batch_tokens)
        for batch in told(plan, "control states", len(plan), progress):
            self.n_halved += in_halves(batch, lambda some: self._run_batch(model, some))

    def _run_batch(self, model: HeadModel, places: Sequence[tuple[int, int]]) -> None:
        sums: list[tuple[int, int, Array]] = []  # taken over when the whole pass has run, so that it may be run again
        rows = [self._controls[c].rows[r] for c, r in places]
        with watching_z(model, lambda layer, z: self._keep(layer, z, places, sums)):
            run_hidden(model, batch_of(rows, model.device))
        for layer, c, total in sums:
            self._sums[layer][c] += total

    def _keep(
        self, layer: int, z: torch.Tensor, places: Sequence[tuple[int, int]], sums: list[tuple[int, int, Array]]
    ) -> None:
        """Take what the edits need of one layer; the pass ends at the last."""
        values = z.float().cpu().numpy()
        for b, (c, r) in enumerate(places):
            control = self._controls[c]
            row = control.rows[r]
            weights = _weights(control, r)
            total = np.tensordot(weights, values[b, : len(row)].astype(np.float64), axes=(0, 0))
            sums.append((layer, c, total))
            if self._by_token:
                for path, readout in zip(row.paths, control.members[r], strict=True):
                    self._sequences[layer, c, readout] = values[b][path]
        if layer == max(self._sums):
            raise Stop

    def mean(self, prompt: PromptLayout, layer: int) -> Array:
        """[1, H, d] mean of z over the control prompts of other templates than the prompt's."""
        key = layer, prompt.template
        if key not in self._means:
            others = self._others(prompt)
            self._means[key] = (self._sums[layer][others].sum(axis=0) / self._counts[others].sum())[None]
        return self._means[key]

    def mean_of_all(self, layer: int) -> Array:
        """[H, d] mean of z over all control prompts, none left out: of an edit that is handed over and not tested."""
        return self._sums[layer].sum(axis=0) / self._counts.sum()

    def position_mean(self, prompt: PromptLayout, layer: int) -> Array:
        """[T, H, d] the same by distance from the start, up to the longest control."""
        key = layer, prompt.template
        if key not in self._position_means:
            others = set(np.flatnonzero(self._others(prompt)).tolist())
            states = [
                state
                for (at, c, sequence), state in self._sequences.items()
                if at == layer and c in others and sequence < len(_averaged(self._controls[c]))
            ]
            longest = max(map(len, states))
            sums, counts = np.zeros((longest, *states[0].shape[1:])), np.zeros(longest)
            for state in states:
                sums[: len(state)] += state
                counts[: len(state)] += 1
            self._position_means[key] = sums / counts[:, None, None]
        return self._position_means[key]

    def bos(self, layer: int) -> Array:
        """[1, H, d] z of a BOS that stands alone."""
        return self._bos[layer]

    def resampled(self, prompt: PromptLayout, layer: int, places: Places) -> Array:
        """[T, H, d] z of one control prompt of another template at the matched places."""
        choices = np.flatnonzero(self._others(prompt))
        c = int(choices[generator(self._seed, "resample", prompt.id).integers(len(choices))])
        source = self._controls[c]
        values = np.zeros((len(places.position), *self._sums[layer].shape[1:]))
        for t, (position, readout) in enumerate(zip(places.position, places.readout, strict=True)):
            if position < 0:
                continue
            states = self._sequences[layer, c, min(max(int(readout), 0), len(source.sequences) - 1)]
            beyond = int(position) - prompt.n_prompt
            at = source.n_prompt + beyond if beyond >= 0 and readout >= 0 else min(int(position), source.n_prompt - 1)
            values[t] = states[min(at, len(states) - 1)]
        return values

    def _others(self, prompt: PromptLayout) -> npt.NDArray[np.bool_]:
        return np.array([control.template != prompt.template for control in self._controls])


def _averaged(control: PromptLayout) -> tuple[Tokens, ...]:
    """The sequences of a control prompt over whose tokens z is averaged: with each readout; of a task, itself alone."""
    return control.sequences[:1] if control.answers else control.sequences


def _weights(control: PromptLayout, r: int) -> Array:
    """[T] how often each token of row r counts in the mean."""
    if not control.answers:
        return control.rows[r].n_sequences_through().astype(np.float64)
    weights = np.zeros(len(control.rows[r]))
    row, tokens = control.prompt_places()
    if r == row:
        weights[tokens] = 1.0
    return weights


def bos_outputs(model: HeadModel) -> dict[int, Array]:
    """By layer [1, H, d]: z of a BOS token that stands alone; RequestError where texts have no BOS."""
    if model.bos_token_id is None:
        raise RequestError(
            'the edit "bos" needs texts that begin with a BOS token',
            expected="a tokenizer that has one, and --bos auto or always",
            got="texts without BOS",
            fix='use the edit "mean"',
        )
    outputs: dict[int, Array] = {}
    with watching_z(model, lambda layer, z: outputs.update({layer: z[0].float().cpu().numpy()})):
        run_hidden(model, Batch.of_chains([[model.bos_token_id]], device=model.device))
    return outputs


def places_of(prompt: PromptLayout, r: int, width: int) -> Places:
    """The places of the tokens of a prompt's row r, padded on the right to ``width``."""
    position, readout = np.full(width, -1, dtype=np.int64), np.full(width, -1, dtype=np.int64)
    position[: len(prompt.rows[r])] = prompt.rows[r].positions
    readout[: len(prompt.rows[r])] = prompt.readout_of(r)
    return Places(position, readout)


def layer_edits(model: HeadModel, states: ArmValues, rows: Sequence[EditRow]) -> dict[int, LayerEdit]:
    """The edits of a batch: row b is edited as its arm says; None leaves it alone."""
    touched = sorted({head.layer for arm, _, _ in rows if arm is not None for head in arm.heads})
    edits: dict[int, LayerEdit] = {}
    for layer in touched:
        anatomy = model.anatomy.layers[layer]
        arms = [
            (b, arm, prompt, places, heads)
            for b, (arm, prompt, places) in enumerate(rows)
            if arm is not None and (heads := [head.head for head in arm.heads if head.layer == layer])
        ]
        gain = np.ones((len(rows), 1, anatomy.n_heads), dtype=np.float32)
        for b, _, _, _, heads in arms:
            gain[b, 0, heads] = 0.0
        value = None
        if any(arm.kind != "zero" for _, arm, _, _, _ in arms):
            per_token = any((kind := states.kinds.get(arm.kind)) and kind.by_token for _, arm, _, _, _ in arms)
            width = len(rows[0][2].position) if per_token else 1
            value = np.zeros((len(rows), width, anatomy.n_heads, anatomy.head_size), dtype=np.float32)
            for b, arm, prompt, places, heads in arms:
                if arm.kind != "zero":
                    value[b][:, heads] = states.values(arm.kind, prompt, layer, places)[:, heads]
        edits[layer] = LayerEdit(_on(model, gain), None if value is None else _on(model, value))
    return edits


def _on(model: HeadModel, array: npt.NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(array).to(model.device)
