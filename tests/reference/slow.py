"""The same measurements done slowly and obviously: one text at a time, eager attention, weights changed by hand.

Nothing here is imported from the rooms it checks: tokens come from the tokenizer, edits are made in a copy of the
weights, text is written without a cache.
"""

import copy

import numpy as np
import torch

STRIPPED = ".,!?;:"


def eager_copy(hf):
    """A copy of the model that returns its attention."""
    twin = copy.deepcopy(hf).eval()
    twin.set_attn_implementation("eager")
    return twin


def token_ids(tokenizer, text, bos=True):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [tokenizer.bos_token_id, *ids] if bos else ids


def span_tokens(tokenizer, text, span, bos=True):
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return [i + int(bos) for i, (a, b) in enumerate(offsets) if text[max(a, span[0]) : min(b, span[1])].strip()]


@torch.inference_mode()
def attention(eager, ids):
    """[L, H, T, T]"""
    output = eager(torch.tensor([ids]), output_attentions=True)
    return torch.stack([layer[0] for layer in output.attentions]).double().numpy()


def span_attention(eager, tokenizer, prompt):
    """[L, H] attention of the last token to the span."""
    pattern = attention(eager, token_ids(tokenizer, prompt.text))
    return pattern[:, :, -1, span_tokens(tokenizer, prompt.text, prompt.span)].sum(-1)


def template_mean(values, templates):
    """Mean over templates of the mean within each."""
    groups = {}
    for value, template in zip(values, templates, strict=True):
        groups.setdefault(template, []).append(value)
    return np.mean([np.mean(group, axis=0) for group in groups.values()], axis=0)


def matched_delta(eager, tokenizer, profile, concept):
    """[L, H] mean over templates of attention to the span, concept prompt minus its pair, equal token counts only."""
    by_id = {prompt.id: prompt for prompt in profile.prompts}
    deltas, templates = [], []
    for prompt in profile.prompts_of(concept):
        partner = by_id[prompt.pair]
        same_length = len(token_ids(tokenizer, prompt.text)) == len(token_ids(tokenizer, partner.text))
        same_place = span_tokens(tokenizer, prompt.text, prompt.span) == span_tokens(
            tokenizer, partner.text, partner.span
        )
        if same_length and same_place:
            deltas.append(span_attention(eager, tokenizer, prompt) - span_attention(eager, tokenizer, partner))
            templates.append(prompt.template)
    return template_mean(deltas, templates)


def phase6_value(eager, tokenizer, text, words):
    """[L, H] the study's value of one prompt, and whether a listed word was found; ``words`` None for neutral."""
    ids = token_ids(tokenizer, text)
    found = []
    if words is not None:
        for i, token in enumerate(ids[1:], start=1):
            piece = tokenizer.decode([token], clean_up_tokenization_spaces=False).lower().strip(STRIPPED)
            if piece in words:
                found.append(i)
    positions = found or [len(ids) - 1]
    pattern = attention(eager, ids)
    return pattern[:, :, positions][:, :, :, positions].mean((-1, -2)), bool(found)


def without_heads(hf, heads, values=None):
    """A copy of a GPT-2 whose heads put out 0, or ``values[head]``, by zeroing rows of W_O and adding to its bias."""
    twin = copy.deepcopy(hf).eval()
    d = twin.config.n_embd // twin.config.n_head
    with torch.no_grad():
        for head in heads:
            projection = twin.transformer.h[head.layer].attn.c_proj
            rows = slice(head.head * d, (head.head + 1) * d)
            if values is not None:
                projection.bias += (
                    torch.as_tensor(values[head], dtype=projection.weight.dtype) @ projection.weight[rows]
                )
            projection.weight[rows] = 0.0
    return twin


@torch.inference_mode()
def log_odds(hf, tokenizer, prompt_text, readouts, words, control_words):
    """Mean over readouts of log P(words) - log P(control words), one-token words with a leading space only."""
    scores = []
    for readout in readouts:
        ids = token_ids(tokenizer, f"{prompt_text} {readout}")
        probabilities = hf(torch.tensor([ids])).logits[0, -1].double().softmax(-1)
        scores.append(
            np.log(mass(tokenizer, probabilities, words)) - np.log(mass(tokenizer, probabilities, control_words))
        )
    return float(np.mean(scores))


def mass(tokenizer, probabilities, words):
    tokens = {tuple(tokenizer(" " + word, add_special_tokens=False)["input_ids"]) for word in words}
    return float(sum(probabilities[ids[0]] for ids in tokens if len(ids) == 1))


@torch.inference_mode()
def z_sums(hf, tokenizer, text):
    """Sum over tokens of the input of each layer's output projection, [L, H, d], and the number of tokens."""
    caught = []
    hooks = [
        block.attn.c_proj.register_forward_pre_hook(lambda _, args: caught.append(args[0][0].double().sum(0)))
        for block in hf.transformer.h
    ]
    ids = token_ids(tokenizer, text)
    hf(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return torch.stack(caught).unflatten(-1, (hf.config.n_head, -1)).numpy(), len(ids)


def leave_template_out_mean(hf, tokenizer, profile, template):
    """[L, H, d] mean of z over all tokens of control prompts of other templates, each followed by each readout."""
    total, count = 0.0, 0
    for prompt in profile.controls:
        if prompt.template != template:
            for readout in profile.readouts:
                sums, n = z_sums(hf, tokenizer, f"{prompt.text} {readout}")
                total, count = total + sums, count + n
    return total / count


@torch.inference_mode()
def values_of_bos(hf, tokenizer):
    """[L, H, d] value vectors of a BOS token at the start, from the weights of each layer of a GPT-2."""
    ids = torch.tensor([[tokenizer.bos_token_id]])
    states = hf(ids, output_hidden_states=True, use_cache=False).hidden_states
    blocks, H = hf.transformer.h, hf.config.n_head
    values = [
        block.attn.c_attn(block.ln_1(state))[0, 0].chunk(3)[2] for block, state in zip(blocks, states, strict=False)
    ]
    return torch.stack(values).unflatten(-1, (H, -1)).numpy()


@torch.inference_mode()
def greedy_text(hf, ids, max_tokens, eos):
    """Greedy continuation, the whole text run again for each token."""
    ids, new = list(ids), []
    for _ in range(max_tokens):
        token = int(hf(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if token == eos:
            break
        ids.append(token)
        new.append(token)
    return tuple(new)


@torch.inference_mode()
def damage(baseline, edited, ids):
    """Mean KL(baseline || edited) over tokens, and the mean negative log-likelihood of each, in nats per token."""
    before = baseline(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    after = edited(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    kl = float((before.exp() * (before - after)).sum(-1).mean())
    following = torch.tensor(ids[1:])[:, None]
    nll = [float(-each[:-1].gather(1, following).mean()) for each in (before, after)]
    return kl, nll[0], nll[1]
