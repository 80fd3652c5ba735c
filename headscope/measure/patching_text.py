"""Patching while text is written: heads of a row take the z of the same heads in another row of the same batch.

A row that is patched from one prompt has a twin: that prompt, followed by the tokens that the patched row itself has
written so far, run unedited beside it. In each layer of each pass the twin's z of that pass goes into the patched row,
token by token (``alignment``). Where a mean is the source there is no twin, and the mean goes in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from headscope.measure.alignment import PatchedCell, Placed, matched
from headscope.measure.edits import EditRow
from headscope.models.editing import LayerEdit, editing, watching_z
from headscope.models.head_model import HeadModel


@contextmanager
def patched_between_rows(
    model: HeadModel,
    alpha: float,
    rows: Sequence[EditRow],
    twins: Sequence[int | None],
    cells: Mapping[int, Sequence[PatchedCell]],
    mean: Callable[[int, Sequence[Placed]], Tensor],
) -> Generator[None]:
    """Patch the one pass inside the block.

    Each of ``rows`` is an arm, None for the unedited and for twins; the target's prompt, for twins too; and the places
    of the row's own tokens. ``twins``: for each row the row of its source, where it has one, else ``mean`` gives [H,
    d].
    """
    seen: dict[int, Tensor] = {}
    edits: dict[int, LayerEdit] = {}
    for layer, of_layer in cells.items():
        gain = torch.ones(len(rows), len(rows[0][2].position), model.anatomy.layers[layer].n_heads)
        means = torch.zeros(*gain.shape, model.anatomy.layers[layer].head_size, device=model.device)
        taken: list[tuple[int, int, int, int, int]] = []  # (row, token, twin, its token, head)
        for cell in of_layer:
            b, tokens, twin = cell.row, cell.tokens, twins[cell.row]
            at = torch.from_numpy(tokens)[:, None], torch.tensor(cell.heads)[None, :]
            gain[b][at] = 1.0 - alpha
            if twin is None and len(tokens):
                value = mean(layer, cell.sources)
                means[b][at[0].to(value.device), at[1].to(value.device)] = value[cell.heads].to(means)
            elif twin is not None:
                counterparts = matched(cell.patch.target.slot, cell.sources[0].slot, cell.places.position[tokens])
                there = np.searchsorted(rows[twin][2].position, counterparts)
                taken += [(b, int(t), twin, int(s), h) for t, s in zip(tokens, there, strict=True) for h in cell.heads]
        if not bool((gain == 1.0).all()):  # else no row is patched there in this pass
            edits[layer] = LayerEdit(gain.to(model.device), _taking(layer, seen, means, taken, alpha))
    # The watcher's hooks come first, so that what they see of a twin's layer is what no edit has touched.
    with watching_z(model, lambda layer, z: seen.update({layer: z}), list(edits)), editing(model, edits):
        yield


def _taking(
    layer: int, seen: dict[int, Tensor], means: Tensor, taken: Sequence[tuple[int, int, int, int, int]], alpha: float
) -> Callable[[], Tensor]:
    """What goes in: means, and z of twins, which ``seen`` holds when the layer has run."""
    index = torch.tensor(taken, dtype=torch.long).reshape(-1, 5)

    def value() -> Tensor:
        z = seen.pop(layer)
        row, token, twin, there, head = index.to(z.device).unbind(-1)
        given = means.to(z, copy=True)
        given[row, token, head] = z[twin, there, head]
        return alpha * given

    return value
