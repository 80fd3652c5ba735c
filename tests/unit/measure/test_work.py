"""How much a measurement computes, counted and not timed: tokens that meet a layer, places that meet the language-model
head, floating-point operations of matrix products, bytes of the largest tensor made."""

import itertools
from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from headscope.heads import HeadSet, every_head
from headscope.measure.attention import Probe, read_probes
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedPasses
from headscope.models.editing import value_bias
from headscope.models.loading import load_model
from headscope.tokens import pack_rows
from tests.laws.families import VOCABULARY, make, word_tokenizer
from tests.unit.measure.made_up import CONTROL, LEXICON, READOUTS, made_up


@contextmanager
def counting(modules):
    """Inside the block, the vectors that each module gives are counted: a list of (index, number) for each run."""
    ran = []

    def hook(index):
        return lambda _, args, output: ran.append((index, output.shape[:-1].numel()))

    handles = [module.register_forward_hook(hook(index)) for index, module in enumerate(modules)]
    try:
        yield ran
    finally:
        for handle in handles:
            handle.remove()


def total(ran):
    return sum(number for _, number in ran)


class LargestTensor(TorchDispatchMode):
    """Remembers the most bytes of any tensor an operation gives."""

    n_bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [leaf.untyped_storage().nbytes() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.n_bytes = max(self.n_bytes, *made, 0)
        return result


def test_a_sweep_runs_no_layer_below_its_edit_and_the_head_only_where_it_is_read(model, passes_of):
    """Formula: with S tokens in all batches and L layers, S L unedited + S (L - layer) for each edited head."""
    arms = [Arm(HeadSet((head,)), kind) for kind in ("mean", "zero") for head in every_head(model.heads_per_layer)]
    passes = passes_of()
    value_bias(model, 0)  # found once for each model, by a pass over a few tokens
    with (
        counting([layer.projection for layer in model.anatomy.layers.values()]) as layers,
        counting([model.hf.get_output_embeddings()]) as head,
    ):
        outcomes = passes.measure(arms)
    n_layers = len(model.anatomy)
    tokens = outcomes.n_forward_tokens // (1 + len(arms))
    expected = tokens * (n_layers + sum(n_layers - min(h.layer for h in arm.heads) for arm in arms))
    assert total(layers) == outcomes.n_layer_tokens == expected
    n_prompts, n_readouts = len(passes._layouts), len(passes._layouts[0].sequences)
    damage = sum(len(one.tokens) for one in passes._layouts if one.id in passes._damage_on)
    assert total(head) == (n_prompts * n_readouts + damage) * (1 + len(arms))
    rows = sum(len(row) for one in passes._layouts for row in one.rows)
    assert rows <= tokens <= 1.1 * rows, "padding"


def test_a_screen_runs_each_distinct_prefix_once_no_language_model_head_and_not_the_end_of_the_last_block():
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu")
    sequences = [[1, *branch, 5] for branch in itertools.product((3, 4), repeat=4)]
    probes = [Probe(index, (5,), (2,)) for index in range(len(sequences))]
    blocks = list(model.hf.transformer.h)
    n_tokens = sum(len(row) for row, _ in pack_rows(sequences, 128))
    assert n_tokens == 1 + 2 + 4 + 8 + 16 + 16
    with (
        counting([block.attn.c_attn for block in blocks]) as attention,
        counting([block.mlp for block in blocks]) as mlp,
        counting([model.hf.lm_head]) as head,
    ):
        read_probes(model, sequences, probes, batch_tokens=128, pack=True)
    assert attention == [(0, n_tokens), (1, n_tokens), (2, n_tokens)]
    assert [index for index, _ in mlp] == [0, 1]
    assert not head


@contextmanager
def counting_flops():
    """What torch counts inside the block: operator -> FLOPs; those of the model's attention itself are left out."""
    found = Counter()
    with FlopCounterMode(display=False) as counter:
        yield found
    for operator, count in counter.get_flop_counts()["Global"].items():
        if "scaled_dot_product" not in str(operator):
            found[str(operator).removeprefix("aten.")] += count


@pytest.fixture
def tiny():
    """A GPT-2 of L = 3 layers, H = 4 heads, D = 32: its projections run as addmm, its language-model head as mm."""
    return load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu")


@pytest.mark.parametrize("skips", [True, False])
def test_a_sweep_takes_the_matrix_products_of_the_formula_and_no_others(tiny, skips):
    """A product of n vectors with an [a, b] matrix takes 2 n a b. A layer of GPT-2 has [D, 3 D] (queries, keys and
    values), [D, D], [D, 4 D] and [4 D, D]: 24 D^2 a token. They run in all L layers unedited, and for each edited head
    from its own layer up, L (L + 1) / 2 layers for one head in each; L^2 where lower blocks cannot be skipped. The
    language-model head runs for the whole vocabulary only in the row that holds the damaged prompt's own tokens, in all
    others for the tokens of the lexicons.
    """
    L, H, D, kinds = 3, 4, 32, ("mean", "zero")
    tiny.skips_lower_blocks = skips
    given = made_up(tiny)
    arms = [Arm(HeadSet((head,)), kind) for kind in kinds for head in every_head(tiny.heads_per_layer)]
    # 64 tokens for eight arms: fewer than two rows have, so each row runs alone and nothing is padded.
    passes = ForcedPasses(
        tiny, given.prompts, given.outcomes, damage_on=frozenset({"p0"}), states=given.states, batch_tokens=64
    )
    value_bias(tiny, 0)  # found once for each model, by a pass over a few tokens
    with counting_flops() as flops:
        passes.measure(arms)
    n_tokens = [len(prompt.tokens) for prompt in given.prompts]
    tokens = sum(n + len(readout) for n in n_tokens for readout in READOUTS)
    layers = L + len(kinds) * H * (L * (L + 1) // 2 if skips else L * L)
    whole, part = n_tokens[0] + 1, len(given.prompts) * len(READOUTS) - 1
    logits = VOCABULARY * whole + len((*LEXICON, *CONTROL)) * part
    assert len(arms) == len(kinds) * H * L
    assert flops == {"addmm": 24 * D**2 * tokens * layers, "mm": 2 * D * logits * (1 + len(arms))}


@pytest.mark.parametrize("pack", [True, False])
def test_a_screen_takes_the_matrix_products_of_its_distinct_prefixes(tiny, pack):
    """24 D^2 for each distinct prefix in each layer but the last, of which only queries, keys and values run: 6 D^2."""
    L, D, n_branches = 3, 32, 4
    sequences = [[1, *branch, 5] for branch in itertools.product((3, 4), repeat=n_branches)]
    probes = [Probe(index, (5,), (2,)) for index in range(len(sequences))]
    n_sequences = 2**n_branches
    tokens = 2 ** (n_branches + 1) - 1 + n_sequences if pack else n_sequences * (n_branches + 2)
    read_probes(tiny, sequences[:1], probes[:1], batch_tokens=128, pack=False)  # factors of W_O, found once
    with counting_flops() as flops:
        read_probes(tiny, sequences, probes, batch_tokens=128, pack=pack)
    assert flops.pop("bmm") > 0  # the attention rows that are read, batched by head
    assert flops == {"addmm": tokens * ((L - 1) * 24 * D**2 + 6 * D**2)}


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_reading_long_prompts_makes_no_tensor_the_size_of_a_pattern(family):
    """The largest thing made is the feed-forward's inside or the mask, whatever is read."""
    length, n_prompts, n_heads = 400, 3, 4
    name = {"gpt2": "n_positions", "llama": "max_position_embeddings"}[family]
    model = load_model(make(family, **{name: length}), tokenizer=word_tokenizer(), device="cpu")
    sequences = [[(7 * i + j) % VOCABULARY for j in range(length)] for i in range(n_prompts)]
    probes = [Probe(index, (length - 1, length - 2), (3, 4)) for index in range(n_prompts)]
    with LargestTensor() as largest:
        read_probes(model, sequences, probes, batch_tokens=n_prompts * length, pack=False)
    pattern_bytes = 4 * n_prompts * n_heads * length**2
    assert 0 < largest.n_bytes < pattern_bytes / 2, f"{largest.n_bytes} of {pattern_bytes}"


def test_the_guard_sees_a_pattern_where_there_is_one():
    model = make("gpt2", attention="eager", n_positions=400)
    with LargestTensor() as largest, torch.inference_mode():
        model(torch.zeros(3, 400, dtype=torch.long), output_attentions=True)
    assert largest.n_bytes >= 4 * 3 * 4 * 400**2
