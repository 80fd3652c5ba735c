"""A batch that does not fit is halved, counted, and gives the same numbers; what cannot be halved says so."""

import numpy as np
import pytest
import torch

import headscope.measure.attention as attention_module
import headscope.measure.edits as edits_module
import headscope.measure.forced as forced_module
from headscope.errors import WorkError
from headscope.measure.attention import Probe, read_probes
from headscope.measure.memory import in_halves, is_out_of_memory
from tests.tolerances import close, effect_error

CPU_WORDS = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def failing_above(function, n_rows, error=CUDA, after=False):
    """The function with an allocator that gives out above so many rows, before it has run or after."""

    def wrapped(model, batch, *args, **kwargs):
        result = function(model, batch, *args, **kwargs) if after or len(batch) <= n_rows else None
        if len(batch) > n_rows:
            raise error
        return result

    return wrapped


def test_items_run_once_each_in_order_whatever_fits():
    for limit in (1, 2, 3, 5, 8):
        ran = []

        def run(items, limit=limit, ran=ran):
            if len(items) > limit:
                raise MemoryError
            ran.append(list(items))

        n_halved = in_halves(range(8), run)
        assert [item for items in ran for item in items] == list(range(8))
        assert len(ran) == n_halved + 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CUDA, True),
        (RuntimeError(CPU_WORDS), True),
        (RuntimeError("MPS backend out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_allocators_are_told_from_faults(error, expected):
    assert is_out_of_memory(error) == expected


def test_another_error_is_not_retried():
    calls = []

    def run(items):
        calls.append(items)
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        in_halves([1, 2], run)
    assert len(calls) == 1


def test_one_row_that_does_not_fit_is_an_error_that_says_what_to_do(passes_of, arms, monkeypatch):
    monkeypatch.setattr(forced_module, "logits_at", failing_above(forced_module.logits_at, 0))
    with pytest.raises(WorkError, match="a single row does not fit into memory"):
        passes_of().measure(arms)


@pytest.mark.parametrize("n_rows", [1, 7])
def test_edited_passes_in_halves_give_the_same_numbers(model, passes_of, arms, monkeypatch, n_rows):
    """With few rows the unedited pass does not fit either, and rows are halved too."""
    arms = arms[::4]  # both kinds among them
    whole = passes_of().measure(arms)
    monkeypatch.setattr(forced_module, "logits_at", failing_above(forced_module.logits_at, n_rows))
    halved = passes_of().measure(arms)
    assert whole.n_halved == 0
    assert halved.n_halved > 0
    for name in whole.edited:
        for arms in ("baseline", "edited"):
            both = (getattr(one, arms)[name] for one in (halved, whole))
            assert np.allclose(*both, atol=effect_error(model), equal_nan=True), name


def test_control_states_are_not_counted_twice_where_a_pass_is_run_again(model, passes_of, monkeypatch):
    whole = passes_of()._states
    monkeypatch.setattr(
        edits_module, "run_hidden", failing_above(edits_module.run_hidden, 2, RuntimeError(CPU_WORDS), after=True)
    )
    halved = passes_of()._states
    assert halved.n_halved > 0
    for one, other in zip(halved._sums, whole._sums, strict=True):
        assert close(one, other, model)


def test_a_screen_in_halves_reads_the_same(model, monkeypatch):
    sequences = [[0, *range(5, 5 + n)] for n in range(3, 12)]
    probes = [Probe(index, (len(ids) - 1,), (1, 2)) for index, ids in enumerate(sequences)]
    whole = read_probes(model, sequences, probes, batch_tokens=1024, pack=False)
    monkeypatch.setattr(attention_module, "read_attention", failing_above(attention_module.read_attention, 2))
    halvings = []
    halved = read_probes(model, sequences, probes, batch_tokens=1024, pack=False, halved=halvings.append)
    assert sum(halvings) > 0
    for name, values in whole.items():
        assert close(values, halved[name], model), name
