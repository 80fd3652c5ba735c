"""Patching: what heads put out on a source prompt takes the place of what they put out on a target prompt.

1. Every target has two sources: the ``patch`` source and, as the null, a ``control_patch`` source of the target's own
   class and another template. A source is one prompt, or the mean over several.
2. A batch of targets brings its sources along: they run once, unedited, and what the heads did is kept until the next
   batch of targets comes. Memory does not grow with the number of prompts.
3. Token by token (``alignment``), at the patched places: ``z`` is replaced by the source's z; ``pattern`` by the
   source's attention row on the target's values; ``v`` by the target's attention row on values of which those at the
   patched places are the source's. ``alpha`` goes from the target (0) to the source (1) in a straight line.
4. Values and patterns of the target are those of the running pass, so that a patch in a lower layer reaches them.

A token is addressed by (position, readout), never by its index in a row, so it does not matter whether a row holds one
sequence or a tree of them. Sources: Zhang & Nanda 2023; Heimersheim & Nanda 2024; Wang et al. 2022 (pattern and value).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor

from headscope.errors import ModelError, ProfileError, RequestError
from headscope.measure.alignment import (
    Patch,
    PatchedCell,
    Placed,
    Recipe,
    is_patched,
    matched,
    patched_cells,
    touched_layers,
)
from headscope.measure.edits import Arm, ArmValues, EditRow
from headscope.measure.layout import PromptLayout
from headscope.measure.patching_text import patched_between_rows
from headscope.measure.source_passes import Keep, Kept, values_of, watch_rows
from headscope.models.attention import Attention
from headscope.models.editing import LayerEdit, editing
from headscope.models.head_model import HeadModel
from headscope.models.reading import watching_attention
from headscope.tokens import IntArray, Row


class PatchStates(ArmValues):
    """What the sources' heads did, and the edits that put it into the targets.

    ``n_halved`` counts batches of sources whose mean is taken, ``n_loads_halved`` of those that run with their targets.
    """

    shares_prompts = False  # the sources run beside the rows

    def __init__(
        self, model: HeadModel, patches: Sequence[Patch], recipe: Recipe, *, layers: Sequence[int], batch_tokens: int
    ) -> None:
        """Fix what is patched; sources whose mean is taken run here, others with their targets.

        ``layers``: of all heads that will be patched.

        Raises:
            ModelError: patterns or values are to be patched where a gate or norm stands between attention and z.
            RequestError: patterns or values are to be patched between prompts of different length, or from a mean.
        """
        super().__init__(model)
        self.recipe, self._batch_tokens = recipe, batch_tokens
        self.follows_text = recipe.patches_new_tokens
        self._layers = tuple(sorted(set(layers)))
        self._patches = {patch.target.layout.id: patch for patch in patches}
        self._loaded: dict[str, tuple[str, ...]] = {}
        self._seen: dict[tuple[str, int, str], list[Tensor]] = {}
        self._means: dict[tuple[int, tuple[str, ...]], Tensor] = {}
        if recipe.what != "z":
            _check_direct(model, self._layers, recipe.what)
            _check_fits(patches, recipe.what)
        averaged = {one.layout.id: one for p in patches for s in p.sources.values() if len(s) > 1 for one in s}
        self._sums = self._summed(list(averaged.values()))

    def source_of(self, arm: Arm | None, prompt: PromptLayout) -> PromptLayout | None:
        """The prompt whose z an arm puts into a target; None where nothing is patched, or from a mean."""
        sources = () if arm is None else self._patches[prompt.id].sources[arm.kind]
        return sources[0].layout if len(sources) == 1 else None

    def check_writing(self) -> None:
        """Raise RequestError where patterns or values are patched, which they are in fixed text only."""
        if self.recipe.what != "z":
            raise RequestError(f'text cannot be written with "{self.recipe.what}" patched', fix='patch "z"')

    @contextmanager
    def edited(self, rows: Sequence[EditRow]) -> Generator[None]:
        """Inside the block, row b of each forward pass is patched as its arm says; None leaves it alone."""
        self._load(rows)
        edits, live = self.edits(rows)
        with ExitStack() as stack:
            if self.recipe.what != "z" and edits:
                shape = len(rows), len(rows[0][2].position)
                stack.enter_context(
                    watching_attention(self.model, lambda layer, *seen: live.update({layer: seen[0]}), shape)
                )
            stack.enter_context(editing(self.model, edits))
            yield

    def edited_beside(self, rows: Sequence[EditRow], sources: Sequence[int | None]) -> AbstractContextManager[None]:
        """The same from sources that are rows of the batch."""
        cells = {
            layer: list(patched_cells(rows, layer, self._patches, self.recipe.where)) for layer in touched_layers(rows)
        }
        return patched_between_rows(self.model, self.recipe.alpha, rows, sources, cells, self.mean)

    def edits(self, rows: Sequence[EditRow]) -> tuple[dict[int, LayerEdit], dict[int, Attention]]:
        """The edit of each touched layer, and where a pass leaves the attention that patterns and values need."""
        live: dict[int, Attention] = {}
        return {layer: self._edit(layer, rows, live) for layer in touched_layers(rows)}, live

    def _edit(self, layer: int, rows: Sequence[EditRow], live: dict[int, Attention]) -> LayerEdit:
        anatomy, alpha = self.model.anatomy.layers[layer], self.recipe.alpha
        B, T, H = len(rows), len(rows[0][2].position), anatomy.n_heads
        gain = torch.ones(B, T, H)
        shape = (B, H, T, T) if self.recipe.what == "pattern" else (B, T, H, anatomy.head_size)
        given = torch.zeros(shape, device=self.model.device)
        chosen = torch.zeros(B, T, H)
        for cell in patched_cells(rows, layer, self._patches, self.recipe.where):
            at = torch.from_numpy(cell.tokens)[:, None], torch.tensor(cell.heads)[None, :]
            chosen[cell.row][at] = 1.0
            if self.recipe.what == "pattern":
                self._put_rows(given[cell.row], layer, cell, rows[cell.row][1])
            else:
                values = self._values(layer, cell)
                given[cell.row][at[0].to(given.device), at[1].to(given.device)] = values[:, cell.heads].to(given)
        if self.recipe.what == "v":
            # z + alpha A (v_source - v) at the patched keys: every query that sees one of them changes.
            keys = alpha * chosen[..., None].to(given)
            return LayerEdit(gain.to(given.device), lambda: _attended(live.pop(layer), keys, given))
        gain = (gain - alpha * chosen).to(given.device)
        if self.recipe.what == "pattern":
            return LayerEdit(gain, lambda: alpha * (given @ values_of(live.pop(layer), H)).transpose(1, 2))
        return LayerEdit(gain, alpha * given)

    def _values(self, layer: int, cell: PatchedCell) -> Tensor:
        """[n, H, d] of the source at the counterparts of the target's patched tokens."""
        if len(cell.sources) > 1:
            return self.mean(layer, cell.sources).expand(len(cell.tokens), -1, -1)
        source, target = cell.sources[0], cell.patch.target
        sequences = self._seen[cell.arm.kind, layer, source.layout.id]
        counterparts = matched(target.slot, source.slot, cell.places.position[cell.tokens])
        readouts = np.maximum(cell.places.readout[cell.tokens], 0)
        out = sequences[0].new_zeros((len(cell.tokens), *sequences[0].shape[1:]))
        for readout in np.unique(readouts):
            mine = np.flatnonzero(readouts == readout)
            _check_reach(counterparts[mine], len(sequences[readout]), target, source)
            out[mine] = sequences[readout][counterparts[mine]]
        return out

    def _put_rows(self, given: Tensor, layer: int, cell: PatchedCell, prompt: PromptLayout) -> None:
        """Write the source's attention rows into ``given`` [H, T, T], at the target row's own token indices."""
        source, places = self._seen[cell.arm.kind, layer, cell.sources[0].layout.id], cell.places
        r = next(r for r, members in enumerate(prompt.members) if int(places.readout[0]) in members)
        paths = dict(zip(prompt.members[r], prompt.rows[r].paths, strict=True))
        for token in cell.tokens:
            readout, position = int(places.readout[token]), int(places.position[token])
            keys = torch.from_numpy(paths[readout][: position + 1])
            for head in cell.heads:
                given[head, int(token), keys] = source[readout][head, position, : position + 1]

    # --- sources -------------------------------------------------------------------------------------------------

    def _load(self, rows: Sequence[EditRow]) -> None:
        """Run the sources of these targets, each kind by itself, in place of those of the targets before.

        Always all sources of a batch's targets at once, so that their bits depend on the targets alone.
        """
        targets = list(dict.fromkeys(prompt.id for _, prompt, _ in rows))
        for kind in sorted({arm.kind for arm, _, _ in rows if arm is not None}):
            if self._loaded.get(kind) == tuple(targets):
                continue
            self._loaded.pop(kind, None)  # named again when they have run: memory may not suffice for them
            self._seen = {key: seen for key, seen in self._seen.items() if key[0] != kind}
            given = [self._patches[target].sources[kind] for target in targets]
            self._seen |= self._run(kind, {one[0].layout.id: one[0].layout for one in given if len(one) == 1}.values())
            self._loaded[kind] = tuple(targets)

    def _run(self, kind: str, sources: Iterable[PromptLayout]) -> dict[tuple[str, int, str], list[Tensor]]:
        """What each layer did on the path of each readout, by kind, layer and source."""
        places = [(source, r) for source in sources for r in range(len(source.rows))]

        def keep(layer: int, members: Sequence[int], values: Tensor) -> Iterator[tuple[int, PromptLayout, int, Tensor]]:
            for b, (source, r) in enumerate(places[index] for index in members):
                for path, readout in zip(source.rows[r].paths, source.members[r], strict=True):
                    along = torch.from_numpy(path).to(values.device)
                    mine = values[b][:, along][:, :, along] if self.recipe.what == "pattern" else values[b][along]
                    yield layer, source, readout, mine

        seen: dict[tuple[str, int, str], list[Tensor]] = {}

        def add(one: tuple[int, PromptLayout, int, Tensor]) -> None:
            layer, source, readout, mine = one
            empty = [torch.empty(0)] * len(source.sequences)
            seen.setdefault((kind, layer, source.id), empty)[readout] = mine

        self.n_loads_halved += self._watch([source.rows[r] for source, r in places], keep, add)
        return seen

    def _watch(self, rows: Sequence[Row], keep: Keep[Kept], add: Callable[[Kept], None]) -> int:
        return watch_rows(
            self.model, rows, keep, add, what=self.recipe.what, layers=self._layers, batch_tokens=self._batch_tokens
        )

    def _summed(self, sources: Sequence[Placed]) -> dict[tuple[int, str], tuple[Tensor, float]]:
        """Sum of z over each source's own patched places and how many they are, by layer and source."""
        places = [(one, r) for one in sources for r in range(len(one.layout.rows))]

        def keep(layer: int, members: Sequence[int], values: Tensor) -> Iterator[tuple[int, str, Tensor, float]]:
            for b, (one, r) in enumerate(places[index] for index in members):
                row = one.layout.rows[r]
                weights = row.n_sequences_through() * is_patched(self.recipe.where, one.slot, row.positions)
                weighted = torch.from_numpy(weights).to(values.device, torch.float64)
                total = torch.tensordot(weighted, values[b, : len(row)].double(), dims=1)
                yield layer, one.layout.id, total, float(weights.sum())

        sums: dict[tuple[int, str], tuple[Tensor, float]] = {}

        def add(one: tuple[int, str, Tensor, float]) -> None:
            layer, source, total, count = one
            before, counted = sums.get((layer, source), (torch.zeros_like(total), 0.0))
            sums[layer, source] = before + total, counted + count

        self.n_halved = self._watch([one.layout.rows[r] for one, r in places], keep, add)
        return sums

    def mean(self, layer: int, sources: Sequence[Placed]) -> Tensor:
        """[H, d] mean of z over the patched places of several sources."""
        key = layer, tuple(one.layout.id for one in sources)
        if key not in self._means:
            parts = [self._sums[layer, source] for source in key[1]]
            total = torch.stack([part for part, _ in parts]).sum(dim=0)
            self._means[key] = (total / sum(count for _, count in parts)).float()
        return self._means[key]


def _attended(attention: Attention, keys: Tensor, source: Tensor) -> Tensor:
    """[B, T, H, d]: attention times (source - own values) weighted by ``keys`` [B, T, H, 1]."""
    change = keys * (source - values_of(attention, source.shape[2]).transpose(1, 2))
    everywhere = torch.arange(source.shape[1], device=source.device).expand(len(source), -1)
    return (attention.rows(everywhere) @ change.transpose(1, 2)).transpose(1, 2)


def _check_direct(model: HeadModel, layers: Sequence[int], what: str) -> None:
    gated = [str(layer) for layer in layers if not model.anatomy.layers[layer].direct]
    if gated:
        raise ModelError(
            f'"{what}" cannot be patched: a gate or norm stands between attention and the heads\' output',
            expected="heads whose output is the sum of attention times value",
            where=f"layers {', '.join(gated)}",
            fix='patch "z"',
        )


def _check_fits(patches: Sequence[Patch], what: str) -> None:
    for patch in patches:
        for sources in patch.sources.values():
            if len(sources) > 1:
                raise RequestError(f'"{what}" cannot be patched from a mean over prompts', fix='patch "z"')
            if patch.target.slot != sources[0].slot:
                raise RequestError(
                    f'"{what}" cannot be patched between prompts whose tokens do not stand at the same places',
                    expected=f"{patch.target.slot}",
                    got=f"{sources[0].slot}",
                    where=f"{sources[0].layout.id} into {patch.target.layout.id}",
                    fix='patch "z", or leave such pairs out (alignment "exact")',
                )


def _check_reach(counterparts: IntArray, n_tokens: int, target: Placed, source: Placed) -> None:
    if len(counterparts) and int(counterparts.max()) >= n_tokens:
        raise ProfileError(
            "a readout has more tokens after a target than after its source",
            expected="the same tokens after both",
            where=f"{source.layout.id} into {target.layout.id}",
            fix="end both prompts in the same way",
        )
