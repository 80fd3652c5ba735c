"""What one accelerator does: load check, screen and sweep of two models, beside its own rate of matrix products.

    python -m benchmarks.gpu [--model FOLDER_OR_GGUF]

1. The rate: products of square matrices of 8192 in bfloat16, and in float32 as the models run in it.
2. The models: the one of ``--model`` where it is given (SmolLM2, say), in float32; and an 8 B Llama's shape with random
   weights in bfloat16, made on the device from its configuration, with the bundled model's tokenizer.
3. Each one: the load check; a screen of every head; the deciding edit of every head of three layers (low, middle,
   high). Before the screen's clock starts, it runs once. Seconds hold the statistics too.
4. Printed: a Markdown table of seconds, tokens a second and the share of the measured rate; JSON holds the same. Work
   is counted as two operations for each weight of the layers that a token went through; attention products and the
   language-model head are left out, so the share is a lower bound.

``--device cpu --tiny`` tries the script where there is no accelerator: a tiny shape, few prompts, no figures to keep.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

import headscope
from benchmarks.smollm2 import from_gguf
from headscope.heads import HeadSet
from headscope.models.anatomy import matrix_shapes
from headscope.models.head_model import HeadModel
from headscope.models.laws import check_laws
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.study import Study
from headscope.verbs.screen import screen
from headscope.verbs.sweep import sweep

DEMO = Path(headscope.__file__).parent / "models" / "demo"
CONCEPT = "gratitude"
LLAMA_8B = {
    "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192, "rope_theta": 500000.0,
}  # fmt: skip
TINY = {
    "vocab_size": 4096, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip
Made = TypeVar("Made")


@dataclass(frozen=True)
class Stage:
    """What one stage took.

    Attributes:
        model: name of the model.
        stage: name of the stage.
        seconds: wall-clock, the device's own work included.
        tokens_per_second: tokens that went through the model, or through a part of its layers.
        share_of_rate: work in the layers' matrices over that of the measured rate in the same time.
        peak_gib: most memory of the device that tensors held, the weights included; None on a CPU.
    """

    model: str
    stage: str
    seconds: float
    tokens_per_second: float | None = None
    share_of_rate: float | None = None
    peak_gib: float | None = None


class Device:
    """A device and its clock."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_cuda = torch.device(name).type == "cuda"

    def timed(self, work: Callable[[], Made]) -> tuple[Made, float]:
        """What the work gives back, and its seconds, once the device has done it."""
        self._wait()
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        made = work()
        self._wait()
        return made, time.perf_counter() - started

    def peak_gib(self) -> float | None:
        """Most memory that tensors held since the clock was last started."""
        return torch.cuda.max_memory_allocated() / 2**30 if self.is_cuda else None

    def rate(self, dtype: torch.dtype, size: int, turns: int) -> float:
        """Operations a second of products of ``size`` x ``size``."""
        one, other = (torch.randn(size, size, device=self.name, dtype=dtype) for _ in range(2))
        self.timed(lambda: one @ other)
        _, seconds = self.timed(lambda: [one @ other for _ in range(turns)])
        return 2 * size**3 * turns / seconds

    def _wait(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize()


def made_model(shape: dict[str, Any], dtype: torch.dtype, device: str) -> tuple[Any, Any]:
    """A Llama of a shape with random weights, made on the device: no file is read but the bundled tokenizer's."""
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None}
    config = LlamaConfig(**shape, **ids, dtype=dtype)
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval(), tokenizer


def given_model(path: Path, device: str) -> tuple[Any, Any]:
    """A checkpoint folder, or a GGUF file where ``gguf`` is installed, in float32."""
    if path.suffix == ".gguf":
        model, tokenizer = from_gguf(path)
    else:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(path)
    return model.to(device).eval(), tokenizer


def stages_of(name: str, model: Any, tokenizer: Any, device: Device, rate: float, n_prompts: int | None) -> list[Stage]:
    """Check, screen and sweep one model."""
    loaded, seconds = device.timed(lambda: load_model(model, tokenizer=tokenizer, unchecked=True))
    done = [Stage(name, "find the heads", seconds)]
    report, seconds = device.timed(lambda: check_laws(loaded))
    if not report.passed:
        raise SystemExit(f"{name} fails its load check:\n{report}")
    done.append(Stage(name, "load check", seconds, peak_gib=device.peak_gib()))
    profile = load_profile("baseline")
    named = [prompt.id for prompt in profile.prompts_of(CONCEPT)][:n_prompts]
    study = Study(loaded, profile).only(CONCEPT, named)
    n_screened = sum(len(one.tokens) for one in study.layouts)
    screen(study)
    _, seconds = device.timed(lambda: screen(study))
    done.append(_stage(loaded, name, "screen, every head", seconds, n_screened, n_screened, device, rate))
    for layer in three_layers(len(loaded.heads_per_layer)):
        heads = f"{layer}:*"
        outcome, seconds = device.timed(lambda heads=heads: sweep(study, heads=heads, edits=["mean"]).record)
        passed = outcome["n_forward_tokens"], outcome["n_layer_tokens"] / len(loaded.heads_per_layer)
        n_heads = len(HeadSet.parse(heads, loaded.heads_per_layer))
        stage = f"sweep, layer {layer}, {n_heads} heads"
        done.append(_stage(loaded, name, stage, seconds, *passed, device, rate))
    return done


def three_layers(n_layers: int) -> list[int]:
    """A low, a middle and a high one, each once."""
    return sorted({n_layers // 8, n_layers // 2, n_layers - 1 - n_layers // 8})


def _stage(
    model: HeadModel, name: str, stage: str, seconds: float, n_tokens: int, n_whole: float, device: Device, rate: float
) -> Stage:
    """``n_whole``: tokens, each counted for the share of the layers that it went through."""
    n_weights = sum(first * second for first, second in matrix_shapes(model.hf))
    share = 2 * n_weights * n_whole / seconds / rate
    return Stage(name, stage, seconds, n_tokens / seconds, share, device.peak_gib())


def table(stages: list[Stage], facts: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| model | stage | seconds | tokens a second | share of the rate | peak GiB |",
        "|---|---|---|---|---|---|",
    ]
    for one in stages:
        numbers = [
            f"{one.seconds:.2f}",
            "" if one.tokens_per_second is None else f"{one.tokens_per_second:,.0f}",
            "" if one.share_of_rate is None else f"{one.share_of_rate:.3f}",
            "" if one.peak_gib is None else f"{one.peak_gib:.1f}",
        ]
        lines.append(f"| {one.model} | {one.stage} | " + " | ".join(numbers) + " |")
    return "\n".join([*lines, "", ", ".join(f"{name} {value}" for name, value in facts.items())])


def main() -> None:
    """Parse the command line, run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--model", type=Path, help="a checkpoint folder or a GGUF file to measure too, in float32")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu")
    parser.add_argument("--tiny", action="store_true", help="a tiny shape and few prompts: does it run? No figures")
    parser.add_argument("--out", type=Path, default=Path("results/gpu.json"), help="where the JSON goes")
    asked = parser.parse_args()
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here; --device cpu --tiny tries the script without one")
    device = Device(asked.device)
    size, turns, n_prompts = (256, 2, 6) if asked.tiny else (8192, 30, None)
    rates = {dtype: device.rate(dtype, size, turns) for dtype in (torch.bfloat16, torch.float32)}
    facts = {
        "device": torch.cuda.get_device_name(asked.device) if device.is_cuda else "cpu",
        "torch": torch.__version__,
        "bfloat16 TFLOP/s": f"{rates[torch.bfloat16] / 1e12:.4g}",
        "float32 TFLOP/s": f"{rates[torch.float32] / 1e12:.4g}",
    }
    stages: list[Stage] = []
    if asked.model is not None:
        model, tokenizer = given_model(asked.model, asked.device)
        stages += stages_of(asked.model.stem, model, tokenizer, device, rates[torch.float32], n_prompts)
    shape, name = (TINY, "tiny Llama") if asked.tiny else (LLAMA_8B, "Llama, 8 B, random")
    (model, tokenizer), seconds = device.timed(lambda: made_model(shape, torch.bfloat16, asked.device))
    stages += [Stage(name, "make the weights", seconds)]
    stages += stages_of(name, model, tokenizer, device, rates[torch.bfloat16], n_prompts)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    content = {"facts": facts, "stages": [asdict(one) for one in stages]}
    asked.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(table(stages, facts))
    print(f"\nwritten: {asked.out}")


if __name__ == "__main__":
    main()
