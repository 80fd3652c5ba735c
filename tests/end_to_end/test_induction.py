"""A model that learns in a minute to go on with a repeated sequence: the task of copying names its induction head.

Two layers, trained here on random sequences that stand twice, of changing length, so that no position tells what comes
next. Its induction head is known from its attention alone: from the last token to the token after the one that was seen
before (Olsson et al. 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from headscope.heads import Head, every_head
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.profiles.types import Profile
from headscope.study import Study
from headscope.terms import ANSWER_ACCURACY, ANSWERS
from headscope.verbs.ablate import ablate
from headscope.verbs.screen import screen
from headscope.verbs.sweep import sweep
from tests.small_tasks import task_profile

N_WORDS, FIRST, LONGEST, N_STEPS = 32, 3, 12, 2500
N_TEMPLATES = 24

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> HeadModel:
    torch.manual_seed(7)
    config = GPT2Config(
        vocab_size=FIRST + N_WORDS, n_positions=2 * LONGEST + 2, n_embd=64, n_layer=2, n_head=4, n_inner=64,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    hf = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(hf.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(N_STEPS):
        length = int(torch.randint(6, LONGEST + 1, ()))
        half = torch.stack([torch.randperm(N_WORDS)[:length] for _ in range(32)]) + FIRST
        ids = torch.cat([torch.ones(32, 1, dtype=torch.long), half, half], dim=1)
        logits = hf(ids).logits[:, length + 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, length + 2 :].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    words = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{index}": FIRST + index for index in range(N_WORDS)}
    inner = Tokenizer(models.WordLevel(words, unk_token="</s>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "</s>"}
    return load_model(hf.eval(), tokenizer=PreTrainedTokenizerFast(tokenizer_object=inner, **special), device="cpu")


@pytest.fixture(scope="module")
def profile() -> Profile:
    draws = np.random.default_rng(11)
    rows: list[dict[str, Any]] = []
    for t in range(N_TEMPLATES):
        words = [f"w{index}" for index in draws.permutation(N_WORDS)]
        sequence, spare = words[:10], words[10:]
        for place in (3, 6):
            rest = sequence[: place + 1]
            changed = [*sequence[: place + 1], spare[place], *sequence[place + 2 :]]
            start = len(" ".join(sequence[: place + 1])) + 1
            rows.append(
                {
                    "text": " ".join([*sequence, *rest]), "template": f"t{t:02d}",
                    "answers": [f" {sequence[place + 1]}"], "foils": [f" {spare[place]}"],
                    "spans": {"after": [start, start + len(sequence[place + 1])]},
                    "corrupted": {
                        "text": " ".join([*changed, *rest]),
                        "spans": {"after": [start, start + len(spare[place])]},
                    },
                }
            )  # fmt: skip
    return task_profile(rows, ("copy",))


def induction_head(model: HeadModel, study: Study) -> Head:
    """The head that attends most from the last token to the one after the earlier occurrence of the same word."""
    looked = screen(study)
    attention = looked.values["attention"].mean("prompt").to_numpy()
    layer, head = np.unravel_index(int(attention.argmax()), attention.shape)
    even = 1 / 12  # of the fewest tokens of a prompt, first and last left out
    assert attention[layer, head] > 4 * even  # else nothing was learned, and the test says nothing
    return Head(int(layer), int(head))


def test_copying_names_the_induction_head_and_needs_it(model: HeadModel, profile: Profile) -> None:
    study = Study(model, profile)
    swept = sweep(study)
    accuracy = swept.tables["accuracy"].iloc[0]
    assert bool(swept.tables["assay"]["shown"].iloc[0])
    assert accuracy["estimate"] > 0.9
    rows = swept.table[(swept.table["outcome"] == ANSWERS) & (swept.table["edit"] == "mean")]
    first = rows.loc[rows["estimate"].idxmin()]
    shown = induction_head(model, study)
    assert str(first["heads"]) == str(shown)
    assert first["sim_high"] < 0.0
    others = [head for head in every_head(model.heads_per_layer) if head.layer == shown.layer]
    together = ablate(study, ",".join(map(str, others)), edits=("mean",)).table.set_index("outcome")
    assert together.loc[ANSWERS, "edited_mean"] < 0.25 * together.loc[ANSWERS, "baseline_mean"]
    assert together.loc[ANSWER_ACCURACY, "edited_mean"] < 0.75  # of two words, half would be guessed right
