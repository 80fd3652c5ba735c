"""The mean that is handed over is that of all control prompts, and each kind takes what it needs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from headscope import Study
from headscope.errors import RequestError
from headscope.models.editing import watching_z
from headscope.models.head_model import HeadModel
from tests.small_world import small_model, small_profile
from tests.tolerances import close


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(small_model(), small_profile())


def z_sums(model: HeadModel, ids: list[int]) -> dict[int, torch.Tensor]:
    """[H, d] by layer: z summed over the tokens of one text, which runs by itself."""
    seen: dict[int, torch.Tensor] = {}
    with watching_z(model, lambda layer, z: seen.update({layer: z[0].double().sum(0)})), torch.inference_mode():
        model.hf(input_ids=torch.tensor([ids]))
    return seen


def test_the_mean_is_over_every_token_of_all_control_prompts(study: Study) -> None:
    model = study.model
    edit = study.edit("*", kind="mean", run="r1")
    totals: dict[int, torch.Tensor] = {}
    n_tokens = 0
    for control in study.controls:
        for sequence in control.sequences:
            n_tokens += len(sequence)
            for layer, total in z_sums(model, list(sequence.ids)).items():
                totals[layer] = totals.get(layer, torch.zeros_like(total)) + total
    got = edit.values_on(model)
    assert list(got) == list(model.head_set("*"))
    assert sum(bool(value.any()) for value in got.values()) > 1, "heads that put out nothing prove nothing"
    for head, value in got.items():
        assert close(value, totals[head.layer][head.head] / n_tokens, model)
    assert edit.about["profile_fingerprint"] == study.profile.fingerprint
    assert edit.about["run"] == "r1"
    assert str(len(study.controls)) in edit.about["values"]


def test_every_kind_takes_what_it_needs_and_no_more(study: Study) -> None:
    d = study.model.anatomy.layers[0].head_size
    vector = torch.ones(1, d)
    good: list[dict[str, Any]] = [
        {"kind": "zero"},
        {"kind": "scale", "factor": 2.0},
        {"kind": "mean", "values": vector},
        {"kind": "replace", "values": vector},
        {"kind": "add", "values": vector},
    ]
    assert [study.edit("0:0", **asked).kind for asked in good] == ["zero", "scale", "mean", "replace", "add"]
    bad: list[tuple[dict[str, Any], str]] = [
        ({"kind": "scale"}, "without one"),
        ({"kind": "zero", "factor": 2.0}, "zero with 2"),
        ({"kind": "add"}, "needs values"),
        ({"kind": "zero", "values": vector}, "no use for values"),
        ({"kind": "add", "values": vector[:, :-1]}, "wrong shape"),
        ({"kind": "resample"}, "not one vector a head"),
        ({"kind": "half"}, 'edit "half" does not exist'),
    ]
    for asked, words in bad:
        with pytest.raises(RequestError, match=words):
            study.edit("0:0", **asked)
    with pytest.raises(RequestError, match="9:9 does not exist"):
        study.edit("9:9", kind="zero")
