"""Forms of a pass that save work, used only where the load check finds them equal to the plain one.

Several prompts packed into one row as a tree; text begun from such rows; passes that begin at the edited block; logits
of some tokens alone.
"""

from __future__ import annotations

import torch

from headscope.errors import ModelError, RequestError
from headscope.models.anatomy import MODEL_ERRORS
from headscope.models.batches import Batch, batch_of
from headscope.models.blocks import keeping_inputs, repeated_rows, starting_at
from headscope.models.editing import LayerEdit, editing
from headscope.models.head_model import HeadModel
from headscope.models.law_report import Law, unmeasured
from headscope.models.law_rows import N_STEPS, Rows, all_logits, compare, difference_of, gone_on
from headscope.models.running import of_tokens, run_hidden, takes_positions
from headscope.models.shared_prefill import PathOf, SharedPrefill
from headscope.tokens import tree_row


def measure_capabilities(model: HeadModel, rows: Rows, tolerance: float) -> tuple[Law, ...]:
    """Measure each form, store in ``model`` which hold within ``tolerance``, and return what was measured."""
    tree, model.tree_row_limit = _tree_law(model, rows, tolerance)
    skipping = _skipping_law(model, rows, tolerance)
    model.skips_lower_blocks = skipping.passed is True
    prefilling = _shared_prefill_law(model, rows, tolerance)
    model.prefills_trees = prefilling.passed is True
    narrow = _some_tokens_law(model, rows, tolerance)
    model.gives_some_tokens = narrow.passed is True
    return tree, skipping, prefilling, narrow


def _tree_law(model: HeadModel, rows: Rows, tolerance: float) -> tuple[Law, int | None]:
    """Rows packed as one tree against each alone; a limit on such rows where they agree.

    A mechanism that counts distance in the row and not in depth (a sliding window) goes wrong only in rows longer than
    its window, so such rows are never packed.
    """
    name = "prompts packed as a tree = each alone"
    if not takes_positions(model.hf):
        return unmeasured(name, "prompts run one to a row: positions cannot be given"), None
    sequences = rows.sequences
    longest = min(size for size in (rows.window, model.mixed_row_limit, 1 << 20) if size is not None)
    if longest < 25:
        length = max(2, longest // 3)
        sequences = [ids[:length] for ids in sequences]
    packed = tree_row(sequences)
    longest = min(longest, model.context_length or longest)
    batch = batch_of([packed], model.device)
    if len(packed) > longest:
        return unmeasured(name, "window or context too short: prompts run one to a row"), None
    model.tree_row_limit = longest
    try:
        logits = all_logits(model, batch)[0]
    except MODEL_ERRORS:
        return unmeasured(name, "prompts run one to a row: such masks are not taken"), None
    pairs = zip(packed.paths, rows.alone, strict=True)
    difference = max(difference_of(logits[torch.tensor(path)], one[: len(path)]) for path, one in pairs)
    if difference > tolerance:
        return Law(name, difference, tolerance, None, "prompts run one to a row"), None
    return Law(name, difference, tolerance, True, f"rows of up to {longest} tokens"), longest


def _shared_prefill_law(model: HeadModel, rows: Rows, tolerance: float) -> Law:
    """Text begun from one tree of all rows and gone on with from its cache, against each row alone and uncached."""
    name = "begun as a tree, then cached = alone"
    limit = model.tree_row_limit
    if limit is None:
        return unmeasured(name, "prompts run one to a row")
    length = min(min(map(len, rows.sequences)) - N_STEPS, (limit - 1) // len(rows.sequences))
    if length < 1:
        return unmeasured(name, "window or context too short: each text begins alone")
    started = [ids[:length] for ids in rows.sequences]
    tree, batch = tree_row(started), Batch.of_chains(started, device=model.device, padding="left")
    paths = [PathOf(index, 0, path) for index, path in enumerate(tree.paths)]
    try:
        begun = SharedPrefill(model, len(started), length, room=N_STEPS)
        begun.run(batch_of([tree], model.device), paths)
        got = gone_on(model, *begun.finish(), batch, rows.sequences)
    except (RequestError, *MODEL_ERRORS) as error:
        return unmeasured(name, f"each text begins alone: {str(error).splitlines()[0]}")
    expected = [one[length - 1 : length + N_STEPS] for one in rows.alone]
    law = compare(name, got, expected, tolerance)
    return law if law.passed else Law(name, law.difference, tolerance, None, "each text begins alone")


def _some_tokens_law(model: HeadModel, rows: Rows, tolerance: float) -> Law:
    """The language-model head's rows of a few tokens against all of them."""
    name = "logits of some tokens = those of all"
    n_tokens = rows.alone[0].shape[1]
    some = torch.arange(n_tokens)[:: max(1, n_tokens // 7)]
    batches = [Batch.of_chains([ids], device=model.device) for ids in rows.sequences]
    try:
        with of_tokens(model, some):
            got = [all_logits(model, batch)[0] for batch in batches]
    except (RequestError, *MODEL_ERRORS) as error:
        return unmeasured(name, f"all are computed: {str(error).splitlines()[0]}")
    law = compare(name, got, [one[:, some.to(one.device)] for one in rows.alone], tolerance)
    return law if law.passed else Law(name, law.difference, tolerance, None, "all are computed")


def _skipping_law(model: HeadModel, rows: Rows, tolerance: float) -> Law:
    """Passes that begin at the block they edit against whole passes: the lowest that can, a middle and the last."""
    name = "begun at the edited block = whole pass"
    above = [layer for layer in model.anatomy.layers if layer > 0]
    if not above:
        return unmeasured(name, "there is one layer")
    layers = sorted({above[0], above[len(above) // 2], above[-1]})
    once, twice = (Batch.of_chains(rows.sequences * times, device=model.device) for times in (1, 2))
    differences = []
    try:
        with keeping_inputs(model, layers) as kept:
            run_hidden(model, once)
        for layer in layers:
            edits = {i: LayerEdit(edit.gain.repeat(2, 1, 1)) for i, edit in rows.edits.items() if i >= layer}
            with editing(model, edits):
                with starting_at(model, layer, repeated_rows(kept[layer], 2)):
                    begun = all_logits(model, twice)
                whole = all_logits(model, twice)
            differences += [difference_of(one, other) for one, other in zip(begun, whole, strict=True)]
    except (ModelError, *MODEL_ERRORS) as error:
        return unmeasured(name, f"every block runs: {str(error).splitlines()[0]}")
    if max(differences) > tolerance:
        return Law(name, max(differences), tolerance, None, "every block runs")
    return Law(name, max(differences), tolerance, True, f"layers {', '.join(map(str, layers))}")
