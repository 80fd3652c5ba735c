"""A batch's tokens follow from a stated amount of memory and the model's widths."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from headscope.errors import RequestError
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

CPU = torch.device("cpu")
ALLOCATORS_MIB = 96  # freed and not given back, and the matrix library's own

# In a process of its own: the peak of memory is a process's. A wide model with few words, so that its activations are
# what is measured; every head of a layer off, many arms a batch, as a sweep has them.
PEAK = """
import resource, sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
import headscope as hs
from headscope.measure.layout import PromptLayout
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedPasses
from headscope.measure.outcomes import fixed_text_outcomes
from headscope.measure.lexicons import ConceptTokens, LexiconTokens
from headscope.models.memory_budget import batch_tokens_within
from headscope.tokens import Tokens, tree_row
torch.manual_seed(0)
torch.set_num_threads(1)
config = LlamaConfig(hidden_size=512, intermediate_size=1536, num_hidden_layers=2, num_attention_heads=8,
                     num_key_value_heads=4, vocab_size=1792, max_position_embeddings=256)
tokenizer = hs.load_model("demo").tokenizer
model = hs.load_model(LlamaForCausalLM(config), tokenizer=tokenizer, unchecked=True, memory_budget=int(sys.argv[1]))
model.skips_lower_blocks = True
def asked(index):
    ids = tuple(range(3, 103))
    tokens = Tokens(ids, ((0, 0),) * len(ids), "", 1)
    return PromptLayout(str(index), "c", str(index), tokens, (tokens,), (tree_row([ids]),), ((0,),))
words = ConceptTokens("c", LexiconTokens((5,), {}, {}), LexiconTokens((6,), {}, {}), {})
def passes(n, arms):
    outcomes = fixed_text_outcomes([[words]])
    ForcedPasses(model, [asked(i) for i in range(n)], outcomes, damage_on=frozenset(), states=None,
                 batch_tokens=batch_tokens_within(model)).measure(arms)
arms = [Arm(model.head_set(f"{layer}:{head}"), "zero") for layer in range(2) for head in range(8)]
def peak(): return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) * 1024
def now(): return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]) * 1024
passes(1, arms[:2])
open("/proc/self/clear_refs", "w").write("5")
before = now()
passes(40, arms)
print(batch_tokens_within(model), peak() - before)
"""


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


@pytest.mark.slow  # the peak of one process varies by 100 MiB with what the matrix library keeps
@pytest.mark.parametrize("budget_mib", [32, 80])
def test_a_sweep_keeps_within_its_budget(budget_mib):
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(budget_mib * 2**20)], capture_output=True, text=True, check=True
    )
    n_tokens, peak = map(int, done.stdout.split())
    assert n_tokens < MOST_BATCH_TOKENS
    assert peak < (budget_mib + ALLOCATORS_MIB) * 2**20, f"{peak / 2**20:.0f} MiB"
