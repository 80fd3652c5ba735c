"""What every contestant is given: a checkpoint and the jobs as token ids.

The main checkpoint has GPT-2-small's shape and random weights: the time of a matrix product does not depend on what is
in it, so it times like a trained one, and nothing has to be downloaded. Its ids come from GPT-2's own tokenizer where
the reference material lies beside the project, else from the bundled model's. The others are the bundled model, SmolLM2
from the package index for the whole job, and, where they lie beside the project, trained checkpoints of GPT-2's kind,
each with its own tokenizer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

import headscope
from benchmarks import smollm2
from benchmarks.whole_job import WHOLE, whole_task
from headscope.measure.lexicons import concept_tokens
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile, Prompt
from headscope.tokens import Encoder

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
CONCEPT = "gratitude"
N_TOKENS = 15
GROWTH = (70, 280, 700, 2800, 7000)
GROWTH_TOKENS = 12
SCREENED = "screen 280 prompts"
MADE = "gpt2-small"
"""Name of the checkpoint that is made on the spot."""


def checkpoints() -> dict[str, Path | None]:
    """Name -> folder of every checkpoint at hand; None for the one that is made and the one that is fetched."""
    demo = Path(headscope.__file__).parent / "models" / "demo"
    found: dict[str, Path | None] = {MADE: None, "demo": demo, smollm2.NAME: None}
    for config in sorted((SHARED / "models").glob("*/config.json")):
        if json.loads(config.read_text(encoding="utf-8"))["model_type"] == "gpt2":  # what all contestants can load
            found[config.parent.name] = config.parent
    return found


def make_tasks(folder: Path, model: str, *, quick: bool, threads: int) -> dict[str, Any]:
    """Write ``tasks.json``, and the checkpoint if it is made, into ``folder``; returns what the file holds.

    Raises:
        NotAtHandError: the checkpoint is one that cannot be fetched here.
    """
    if model == smollm2.NAME:
        checkpoint = smollm2.folder()
        whole = whole_task(checkpoint, load_profile("baseline"), CONCEPT, max_tokens=N_TOKENS, n_prompts=None)
        return _written(folder, checkpoint, threads, {WHOLE: whole})
    given = checkpoints()[model]
    checkpoint = folder / "checkpoint" if given is None else given
    tokenizer = _tokenizer() if given is None else AutoTokenizer.from_pretrained(given)
    if given is None:
        _checkpoint(checkpoint, tokenizer, quick=quick)
    config = GPT2Config.from_pretrained(checkpoint)
    encoder = Encoder(tokenizer, tokenizer.bos_token_id)
    profile = load_profile("baseline")
    keep = 6 if quick else None
    prompts = list(profile.prompts_of(CONCEPT))[:keep]
    screened = _screen(encoder, list(profile.prompts)[: keep and 4 * keep])
    jobs = {
        SCREENED: screened,
        "write 70 x 15 tokens, both arms": _write(encoder, prompts),
        "sweep every head, 70 prompts": _sweep(encoder, profile, prompts, (config.n_layer, config.n_head)),
    }
    if model == MADE:
        jobs["16 prompts of 1,024 tokens"] = _long(*((2, 96) if quick else (16, 1024)))
        jobs["the study's whole job"] = screened | {
            "kind": "phase6", "written": [index < len(prompts) for index in range(len(screened["sequences"]))],
            "head": [1, 2], "max_tokens": N_TOKENS,
        }  # fmt: skip
    if model == "demo":
        for n in GROWTH:
            jobs[f"screen {n:,} prompts of {GROWTH_TOKENS} tokens"] = _long(n, GROWTH_TOKENS) | {"kind": "growth"}
    study = sorted((SHARED / "reference" / "phase6" / "prompts").glob("*.json"))
    if study and model == MADE:
        texts = [text for path in study for text in json.loads(path.read_text(encoding="utf-8"))["prompts"]]
        jobs["screen the study's 280 prompts"] = _screen_texts(encoder, texts[: keep and 4 * keep])
    if quick:
        jobs[WHOLE] = whole_task(checkpoint, profile, CONCEPT, max_tokens=N_TOKENS, n_prompts=keep)
    return _written(folder, checkpoint, threads, jobs)


def _written(folder: Path, checkpoint: Path, threads: int, jobs: dict[str, Any]) -> dict[str, Any]:
    tasks = {"checkpoint": str(checkpoint), "threads": threads, "jobs": jobs}
    (folder / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    return tasks


def _tokenizer() -> Any:
    vocabulary = SHARED / "tokenizers" / "gpt2"
    if vocabulary.is_dir():
        return GPT2Tokenizer.from_pretrained(vocabulary)
    return AutoTokenizer.from_pretrained(Path(headscope.__file__).parent / "models" / "demo")


def _checkpoint(folder: Path, tokenizer: Any, *, quick: bool) -> None:
    torch.manual_seed(0)
    small = {"n_layer": 3, "n_embd": 48, "n_head": 4, "n_positions": 128} if quick else {}
    model = GPT2LMHeadModel(GPT2Config(**small))
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_attn.weight *= 4  # attention far from uniform, so that a wrong key would show
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _screen(encoder: Encoder, prompts: list[Prompt]) -> dict[str, Any]:
    """Attention of the last token to the concept's span; to the first word where a prompt has no span."""
    sequences, keys = [], []
    for prompt in prompts:
        tokens = encoder.encode(prompt.text)
        span = () if prompt.span is None else tokens.of_span(encoder.move_span(prompt.text, prompt.span))
        sequences.append(list(tokens.ids))
        keys.append([key for key in span if key < len(tokens) - 1] or [1])
    return {"kind": "screen", "scaled_by": "sequences", "sequences": sequences, "keys": keys}


def _screen_texts(encoder: Encoder, texts: list[str]) -> dict[str, Any]:
    sequences = [list(encoder.encode(text).ids) for text in texts]
    return {"kind": "screen", "scaled_by": "sequences", "sequences": sequences, "keys": [[1]] * len(sequences)}


def _write(encoder: Encoder, prompts: list[Prompt]) -> dict[str, Any]:
    sequences = [list(encoder.encode(prompt.text).ids) for prompt in prompts]
    return {
        "kind": "generate",
        "scaled_by": "sequences",
        "sequences": sequences,
        "head": [1, 2],
        "max_tokens": N_TOKENS,
    }


def _sweep(encoder: Encoder, profile: Profile, prompts: list[Prompt], shape: tuple[int, int]) -> dict[str, Any]:
    """Each prompt with each readout; the outcome is the readouts' mean log-odds at the last token."""
    tokens = concept_tokens(encoder, profile, (CONCEPT,), profile.readouts[0])[0]
    layers, heads = shape
    return {
        "kind": "sweep",
        "scaled_by": "heads",
        "sequences": [list(encoder.encode(p.text, " " + r).ids) for p in prompts for r in profile.readouts],
        "prompt_lengths": [len(encoder.encode(prompt.text)) for prompt in prompts],
        "n_readouts": len(profile.readouts),
        "words": list(tokens.lexicon.ids),
        "controls": list(tokens.control.ids),
        "heads": [[layer, head] for layer in range(layers) for head in range(heads)],
    }


def _long(n_prompts: int, length: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(1)
    sequences = torch.randint(0, 1000, (n_prompts, length), generator=draw).tolist()
    return {"kind": "long", "scaled_by": "sequences", "sequences": sequences, "keys": [[3, 4]] * n_prompts}
