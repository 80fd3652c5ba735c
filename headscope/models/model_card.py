"""The model card of an exported checkpoint: what was done to which model, and how to load it. It claims no effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headscope import __version__
from headscope.models.editing import HeadEdit
from headscope.models.head_model import HeadModel

_WHAT = {
    "zero": "What they write was removed (z = 0).",
    "scale": "What they write was multiplied by {factor:g}.",
    "mean": "What they write was replaced by a mean, the same at every token.",
    "replace": "What they write was replaced by a given vector, the same at every token.",
    "add": "A given vector was added to what they write, the same at every token.",
}
_CARD = """---
{front}library_name: transformers
tags:
- headscope
---

# {title}

This is {base} with an edit of {n} attention {heads_word} folded into its weights. The license of {base} holds.

- **Heads** (layer:head, counted from 0): {heads}
- **Edit**: `{kind}`. {what}
- **Weights**: {dtype}; changed: {changed}.{settings}
- **Made by** headscope {version} on a model with fingerprint `{fingerprint}`.
{found}
Loaded anew by transformers, its logits differ from those of the model edited as it runs by at most {difference:.0e} of
the largest one (allowed: {tolerance:.0e}). `headscope_edit.json` holds the record. That an edit was made says nothing
of what it does: this card claims no effect.

## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}")
inputs = tokenizer("Thank you so much", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=20, do_sample=False)[0]))
```
{bos}"""


def card(model: HeadModel, edit: HeadEdit, folder: str, facts: Mapping[str, Any]) -> str:
    """The text of README.md, for a checkpoint in the folder ``folder`` with this record."""
    base = f"[{model.name}](https://huggingface.co/{_hub_id(model)})" if model.source == "hub" else f"`{model.name}`"
    on = ", ".join(f"`{name}`" for name in facts["settings_turned_on"])
    about = [f"- **How it was found**: {name}: {value}" for name, value in sorted(edit.about.items())]
    bos = (
        "\nheadscope puts a BOS token before every text; a tokenizer that does not needs it added for equal numbers.\n"
    )
    n_changed = len(facts["weights_changed"])
    return _CARD.format(
        front=f"base_model: {_hub_id(model)}\n" if model.source == "hub" else "",
        title=folder,
        base=base,
        n=len(facts["heads"]),
        heads_word="head" if len(facts["heads"]) == 1 else "heads",
        heads=", ".join(facts["heads"]),
        kind=edit.kind,
        what=_WHAT[edit.kind].format(factor=edit.factor)
        + (" The bias of their values was kept." if edit.value_bias == "keep" else ""),
        dtype=facts["dtype"],
        changed=", ".join(f"`{name}`" for name in facts["weights_changed"][:8])
        + (" and more" if n_changed > 8 else ""),
        settings=f" Turned on to make room for a bias: {on}; the other new biases are 0." if on else "",
        version=__version__,
        fingerprint=model.fingerprint,
        found="\n".join(about) + ("\n" if about else ""),
        difference=facts["largest_difference"],
        tolerance=facts["tolerance"],
        folder=folder,
        bos=bos if model.bos == "always" else "",
    )


def _hub_id(model: HeadModel) -> str:
    return model.name.split("@")[0]
