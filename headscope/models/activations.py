"""GELU's tanh form in one operation.

GPT-2 and its kin write 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) as eight elementwise operations, each a walk over the
widest tensor of the model: a tenth of a pass on a processor. torch has the same function as one operation, equal to
rounding. Only models that headscope itself loads are changed; a live model stays as it is.
"""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel
from transformers.activations import FastGELUActivation, NewGELUActivation

_WRITTEN_OUT = (NewGELUActivation, FastGELUActivation)


def join_activations(hf: PreTrainedModel) -> int:
    """Replace every written-out tanh GELU of ``hf``; returns how many there were."""
    found = [
        (parent, name)
        for parent in hf.modules()
        for name, child in parent.named_children()
        if type(child) in _WRITTEN_OUT
    ]
    for parent, name in found:
        setattr(parent, name, nn.GELU(approximate="tanh"))
    return len(found)
