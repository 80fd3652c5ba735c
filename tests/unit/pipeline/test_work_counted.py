"""What a whole run sends through the model, counted: on the arrangement of GPT-2 small, and as it was foretold.

Tokens do not depend on the width of a model, so it is narrow here; its passes are counted and not run, and every edit
then has no effect: what a run costs at least.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

import headscope as hs
from headscope.measure.forced import ForcedPasses
from headscope.models.checkpoints import DEMO
from headscope.study import Study
from headscope.verbs.run_plan import RunPlan
from headscope.verbs.run_request import RunRequest

MOST_TOKENS = {"exact": 4_800_000, "fast": 1_300_000}
"""A quarter of the 19.1 million, and of the 5.1, that every edit of every head takes (docs/benchmarks.md)."""


@pytest.fixture(scope="module")
def model():
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    torch.manual_seed(0)
    shape = {"n_layer": 12, "n_head": 12, "n_embd": 24, "vocab_size": len(tokenizer), "n_positions": 192}
    return hs.load_model(GPT2LMHeadModel(GPT2Config(**shape)), tokenizer=tokenizer, device="cpu")


@pytest.fixture
def passed(monkeypatch):
    """Tokens and tokens x layers of the passes that a run asks for; none is run."""
    counts: Counter[str] = Counter()
    put_together = ForcedPasses.assemble

    def assemble(self, pieces, results):
        for name, count in zip(("passes", "tokens", "layer_tokens"), self.work_of(pieces), strict=True):
            counts[name] += count
        return put_together(self, pieces, results)

    def run(self, piece, arms):
        places = self._places(piece.rows)
        sizes = {"answers": len(places.answers), "prompt": len(places.own.owners)}
        result = {"n_halved": np.zeros((), dtype=np.int64)}
        for one in self._outcomes:
            value = np.zeros(sizes[one.read_at])
            if one.read_at == "answers":  # the concept is shown: its prompts' log-odds are above the controls'
                of = [self._layouts[p].concept for p in places.answers.prompts]
                value = np.array([float(one.name.endswith(f":{name}")) for name in of])
            result[f"unedited {one.name}"] = value
            result[f"edited {one.name}"] = np.tile(value, (len(piece.arms), 1))
        return result

    monkeypatch.setattr(ForcedPasses, "assemble", assemble)
    monkeypatch.setattr(ForcedPasses, "run", run)
    return counts


@pytest.mark.parametrize("budget", ["exact", "fast"])
def test_a_whole_run_of_gpt2s_shape_takes_no_more_than_this(model, passed, tmp_path, budget, monkeypatch):
    for of_the_folder in ("write_plots", "write_report"):
        monkeypatch.setattr(f"headscope.pipeline.line.{of_the_folder}", lambda *_, **__: None)
    profile = hs.load_profile("baseline")
    plan = RunPlan(Study(model, profile), RunRequest(), fast=budget == "fast")
    foretold = sum(one.tokens for one in plan.counted.values())
    hs.run(model, profile, tmp_path / "run", budget=budget, max_tokens=1, languages=("en",))
    assert plan.counted["sweep"].tokens < passed["tokens"] < foretold + plan.counted["patching"].tokens
    assert passed["tokens"] <= MOST_TOKENS[budget]
    assert passed["layer_tokens"] <= 12 * MOST_TOKENS[budget]
