"""Patching while text is written: heads of a row take the z of the same heads in another row of the same batch.

A row that is patched from one prompt has a twin: that prompt, followed by the tokens that the patched row itself has
written so far, run unedited beside it. In each layer of each pass the twin's z of that pass goes into the patched row,
token by token (``alignment``). Where a mean is the source there is no twin, and the mean goes in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from headscope.measure.alignment import is_patched, matched
from headscope.measure.patching import PatchRows, PatchStates
from headscope.models.editing import LayerEdit, editing, watching_z
from headscope.models.head_model import HeadModel


@contextmanager
def patched_between_rows(
    model: HeadModel, states: PatchStates, rows: PatchRows, twins: Sequence[int | None]
) -> Generator[None]:
    """Patch the one pass inside the block.

    Args:
        model: the model.
        states: what is patched into what; of z.
        rows: for each row its arm, None for the unedited and for twins; the target's prompt, for twins too; the
            places of the row's own tokens.
        twins: for each row the row of its source, where it has one.
    """
    seen: dict[int, Tensor] = {}
    touched = sorted({head.layer for arm, _, _ in rows if arm is not None for head in arm.heads})
    edits = {layer: _edit(model, states, layer, rows, twins, lambda layer=layer: seen.pop(layer)) for layer in touched}
    found = {layer: edit for layer, edit in edits.items() if edit is not None}
    # The watcher's hooks come first, so that what they see of a twin's layer is what no edit has touched.
    with watching_z(model, lambda layer, z: seen.update({layer: z}), list(found)), editing(model, found):
        yield


def _edit(
    model: HeadModel,
    states: PatchStates,
    layer: int,
    rows: PatchRows,
    twins: Sequence[int | None],
    own: Callable[[], Tensor],
) -> LayerEdit | None:
    """The edit of one layer; None where no row is patched there in this pass."""
    anatomy, recipe = model.anatomy.layers[layer], states.recipe
    gain = torch.ones(len(rows), len(rows[0][2].position), anatomy.n_heads)
    means = torch.zeros(*gain.shape, anatomy.head_size, device=model.device)
    taken: list[tuple[int, int, int, int, int]] = []  # (row, token, twin, its token, head)
    for b, (arm, prompt, places) in enumerate(rows):
        heads = [] if arm is None else [head.head for head in arm.heads if head.layer == layer]
        if arm is None or not heads:
            continue
        patch = states.patch_of(prompt)
        tokens = np.flatnonzero(is_patched(recipe.where, patch.target.slot, places.position))
        at = torch.from_numpy(tokens)[:, None], torch.tensor(heads)[None, :]
        gain[b][at] = 1.0 - recipe.alpha
        twin, sources = twins[b], patch.sources[arm.kind]
        if twin is None and len(tokens):
            mean = states.mean(layer, sources)
            means[b][at[0].to(mean.device), at[1].to(mean.device)] = mean[heads].to(means)
        elif twin is not None:
            counterparts = matched(patch.target.slot, sources[0].slot, places.position[tokens])
            there = np.searchsorted(rows[twin][2].position, counterparts)
            taken += [(b, int(t), twin, int(s), head) for t, s in zip(tokens, there, strict=True) for head in heads]
    if bool((gain == 1.0).all()):
        return None
    index = torch.tensor(taken, dtype=torch.long).reshape(-1, 5)

    def value() -> Tensor:
        z = own()
        row, token, twin, there, head = index.to(z.device).unbind(-1)
        given = means.to(z, copy=True)
        given[row, token, head] = z[twin, there, head]
        return recipe.alpha * given

    return LayerEdit(gain.to(model.device), value)
