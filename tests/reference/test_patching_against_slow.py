"""Patching agrees with the slow, obvious way: one prompt at a time, hooks by hand, attention multiplied out.

Written for GPT-2's modules. The source's z, attention rows or values are caught in one run of source + readout, and put
into one run of target + readout, each token from the one that ``counterparts`` counts out for it.
"""

import dataclasses

import numpy as np
import pytest
import torch

from headscope.api import patch
from headscope.measure.alignment import STUDY_NAMES
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.verbs.patch_pairs import Planner
from tests.reference import slow
from tests.reference.test_against_slow import study_of, words_of
from tests.tolerances import nats_error

TEMPLATES = ("t01", "t08", "t15", "t29")
HEADS = ((0, 1), (2, 0), (3, 3))
SPEC = "0:1,2:0,3:3"


@pytest.fixture(scope="module")
def profile():
    whole = load_profile("baseline")
    return dataclasses.replace(whole, prompts=tuple(p for p in whole.prompts if p.template in TEMPLATES))


@pytest.fixture(scope="module", params=["demo", pytest.param("chat-gpt2-3M", marks=pytest.mark.oracle)])
def model(request):
    if request.param == "demo":
        return load_model("demo")
    return load_model(request.getfixturevalue("shared") / "models" / request.param)


@pytest.fixture(scope="module")
def eager(model):
    return slow.eager_copy(model.hf)


@torch.inference_mode()
def caught(eager, ids):
    """For each layer z [T, H, d], attention [H, T, T] and values [H, T, d] of one run."""
    zs, values, hooks = [], [], []
    H = eager.config.n_head

    def keep_values(_, args, out):
        values.append(out[0].chunk(3, -1)[2].unflatten(-1, (H, -1)).transpose(0, 1).clone())

    def keep_z(_, args):
        zs.append(args[0][0].unflatten(-1, (H, -1)).clone())

    for block in eager.transformer.h:
        hooks.append(block.attn.c_attn.register_forward_hook(keep_values))
        hooks.append(block.attn.c_proj.register_forward_pre_hook(keep_z))
    attention = eager(torch.tensor([ids]), output_attentions=True).attentions
    for hook in hooks:
        hook.remove()
    return zs, [layer[0].clone() for layer in attention], values


@torch.inference_mode()
def patched_logits(eager, ids, source, where, there, what, alpha):
    """[V] logits after the last token, the heads of HEADS patched at tokens ``where`` from the source's ``there``."""
    H = eager.config.n_head
    hooks, running = [], {}
    for layer, block in enumerate(eager.transformer.h):
        mine = [head for at, head in HEADS if at == layer]
        if not mine:
            continue

        def keep_qkv(_, args, out, layer=layer):
            running[layer] = [part[0].unflatten(-1, (H, -1)) for part in out.chunk(3, -1)]

        hooks.append(block.attn.c_attn.register_forward_hook(keep_qkv))

        def put(_, args, layer=layer, mine=mine):
            z = args[0].clone().unflatten(-1, (H, -1))
            query, key, value = running[layer]
            for head in mine:
                scores = query[:, head] @ key[:, head].T / query.shape[-1] ** 0.5
                future = torch.ones_like(scores, dtype=torch.bool).triu(1)
                own = scores.masked_fill(future, -torch.inf).softmax(-1)
                new = z[0, :, head].clone()
                if what == "z":
                    new[where] = source[0][layer][there, head]
                elif what == "pattern":
                    new[where] = (source[1][layer][head] @ value[:, head])[where]
                else:
                    mixed = value[:, head].clone()
                    mixed[where] = source[2][layer][head][there]
                    new = own @ mixed
                z[0, :, head] = (1 - alpha) * z[0, :, head] + alpha * new
            return (z.flatten(-2), *args[1:])

        hooks.append(block.attn.c_proj.register_forward_pre_hook(put))
    logits = eager(torch.tensor([ids])).logits[0, -1]
    for hook in hooks:
        hook.remove()
    return logits.double()


def where_of(target, model, prompt, n_prompt, n):
    span = slow.span_tokens(model.tokenizer, prompt.text, prompt.span)
    return {
        "from_span": list(range(span[0], n)),
        "span": span,
        "last": [n_prompt - 1],
        "generated": list(range(n_prompt, n)),
    }[target]


def counterparts(model, prompt, source, where):
    """Counted out: the slot from its end, what follows it from the prompt's end, the readout from its start."""
    (first, end, n), (there, stop, m) = (
        (span[0], span[-1] + 1, len(slow.token_ids(model.tokenizer, one.text)))
        for one in (prompt, source)
        for span in [slow.span_tokens(model.tokenizer, one.text, one.span)]
    )
    pairs = {}
    for i in range(first, end):
        pairs[i] = max(there, stop - (end - i))
    for i in range(end, n):
        pairs[i] = min(max(stop, m - (n - i)), m - 1)
    return [pairs.get(i, m + i - n) for i in where]


def slow_outcome(eager, model, profile, prompt, source, concept, target, what, alpha):
    """Mean over readouts of the concept's log-odds on ``prompt`` patched from ``source``."""
    words, control_words = words_of(profile, concept)
    scores = []
    n_prompt = len(slow.token_ids(model.tokenizer, prompt.text))
    for readout in profile.readouts:
        ids, source_ids = (slow.token_ids(model.tokenizer, f"{one.text} {readout}") for one in (prompt, source))
        where = where_of(target, model, prompt, n_prompt, len(ids))
        probabilities = patched_logits(
            eager, ids, caught(eager, source_ids), where, counterparts(model, prompt, source, where), what, alpha
        ).softmax(-1)
        masses = [slow.mass(model.tokenizer, probabilities, each) for each in (words, control_words)]
        scores.append(np.log(masses[0]) - np.log(masses[1]))
    return float(np.mean(scores))


@pytest.mark.parametrize(
    ("what", "target", "alpha"),
    [
        ("result", "from_span", 1.0),
        ("z", "span", 1.0),
        ("z", "last", 1.0),
        ("z", "generated", 0.5),
        ("pattern_v", "from_span", 1.0),
        ("v_only", "from_span", 1.0),
        ("v", "span", 0.5),
    ],
)
@pytest.mark.parametrize("direction", ["sufficiency", "necessity"])
def test_every_kind_of_patch_agrees(model, eager, profile, what, target, alpha, direction):
    options = {"what": what, "target": target, "alpha": alpha, "alignment": "exact"}
    concept = "apology" if what == "v" else "gratitude"
    result = patch(
        model, profile, SPEC, concepts=concept, directions=direction, n_random=0, generate=False, seed=3, **options
    )
    study = study_of(model, profile, concepts=concept, seed=3)
    what = STUDY_NAMES.get(what, what)
    planner = Planner(study, source="partner", alignment="exact", what=what)
    by_id = {prompt.id: prompt for prompt in profile.prompts}
    plan = planner.plan(concept, direction)
    for place in (0, len(plan.patches) - 1):
        target_id = study.layouts[plan.targets[place]].id
        for kind, name in (("patch", "patched"), ("control_patch", "control_patched")):
            source = by_id[plan.patches[place].sources[kind][0].layout.id]
            expected = slow_outcome(eager, model, profile, by_id[target_id], source, concept, target, what, alpha)
            found = result.values[f"{name}_{direction}_{concept}"].sel(prompt=target_id, lexicon=concept).item()
            assert found == pytest.approx(expected, abs=nats_error(model))
