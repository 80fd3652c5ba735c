"""A batch's tokens follow from a stated amount of memory and the model's widths."""

from dataclasses import replace
from itertools import accumulate

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

from headscope.errors import RequestError
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedPasses
from headscope.measure.layout import PromptLayout
from headscope.measure.lexicons import ConceptTokens, LexiconTokens
from headscope.measure.outcomes import fixed_text_outcomes
from headscope.models.loading import load_model
from headscope.models.memory_budget import (
    CACHE_BYTES,
    MOST_BATCH_TOKENS,
    batch_tokens_within,
    bytes_per_token,
    most_batch_tokens,
    parse_budget,
    total_bytes,
)
from headscope.profiles.loading import load_profile
from headscope.study import Study
from headscope.tokens import Tokens, tree_row

CPU = torch.device("cpu")
WORDS = ConceptTokens("c", LexiconTokens((5,), {}, {}), LexiconTokens((6,), {}, {}), {})


def made_prompt(index):
    """A hundred tokens of nothing in particular."""
    ids = tuple(range(3, 103))
    tokens = Tokens(ids, ((0, 0),) * len(ids), "", 1)
    return PromptLayout(str(index), "c", str(index), tokens, (tokens,), (tree_row([ids]),), ((0,),))


def most_held(run):
    """Bytes of tensors that ``run`` holds at its highest, beyond those before it: torch's own account of them.

    What the process holds says less: it goes up and down by 100 MiB with what allocator and kernel keep in hand.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    events = [one for one in profiled.profiler.kineto_results.events() if one.name() == "[memory]"]
    changes = [one.nbytes() for one in sorted(events, key=lambda one: one.start_ns())]
    return max(accumulate(changes))


@pytest.mark.parametrize(
    ("said", "n_bytes"),
    [
        ("4GiB", 4 * 2**30), ("500 MB", 500 * 10**6), ("1.5gib", 3 * 2**29), (123456, 123456),
        ("25%", total_bytes(CPU) // 4),
    ],
)  # fmt: skip
def test_amounts_of_memory(said, n_bytes):
    assert abs(parse_budget(said, CPU) - n_bytes) <= 1


@pytest.mark.parametrize("said", ["", "much", "4 GiBs", "-1GiB", "0", "101%", "9999TiB", "nan"])
def test_what_is_no_amount_of_memory_is_refused(said):
    with pytest.raises(RequestError, match="memory"):
        parse_budget(said, CPU)


def test_more_memory_more_tokens_up_to_where_it_gains_nothing():
    model = load_model("demo")
    widest = 512  # the feed-forward of the bundled model
    assert batch_tokens_within(model) == most_batch_tokens(model) == CACHE_BYTES // (4 * widest) < MOST_BATCH_TOKENS
    some = replace(model, memory_budget_bytes=100 * bytes_per_token(model))
    assert batch_tokens_within(some) == 100
    assert Study(some, load_profile("baseline")).batch_tokens == 100
    assert Study(some, load_profile("baseline"), batch_tokens=7).batch_tokens == 7
    with pytest.raises(RequestError, match="holds no token"):
        batch_tokens_within(replace(model, memory_budget_bytes=10))


@pytest.mark.parametrize("budget_mib", [32, pytest.param(80, marks=pytest.mark.slow)])
def test_a_sweep_keeps_within_its_budget(budget_mib):
    """A wide model with few words, so that activations are what is held; many arms a batch, as a sweep has them."""
    config = LlamaConfig(
        hidden_size=512, intermediate_size=1536, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4,
        vocab_size=1792, max_position_embeddings=256,
    )  # fmt: skip
    torch.manual_seed(0)
    plain, tokenizer = LlamaForCausalLM(config), load_model("demo").tokenizer
    model = load_model(plain, tokenizer=tokenizer, unchecked=True, memory_budget=budget_mib * 2**20)
    model.skips_lower_blocks = True
    arms = [Arm(model.head_set(f"{layer}:{head}"), "zero") for layer in range(2) for head in range(8)]
    prompts, outcomes = [made_prompt(index) for index in range(40)], fixed_text_outcomes([[WORDS]])

    def sweep(batch_tokens):
        passes = ForcedPasses(
            model, prompts, outcomes, damage_on=frozenset(), states=None, batch_tokens=batch_tokens
        )  # fmt: skip
        return most_held(lambda: passes.measure(arms))

    n_tokens = batch_tokens_within(model)
    assert n_tokens < MOST_BATCH_TOKENS
    held = sweep(n_tokens)
    assert held < budget_mib * 2**20
    assert sweep(8 * n_tokens) > 4 * held, "what is held follows the tokens of a batch, so the account sees it"
