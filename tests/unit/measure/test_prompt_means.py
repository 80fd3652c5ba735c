"""Means over a prompt's places: z as head_outputs keeps it, the stream as transformers itself gives it."""

from __future__ import annotations

import numpy as np
import torch

from headscope.measure.head_outputs import head_outputs, places_from
from headscope.measure.prompt_means import prompt_means
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.study import Study
from headscope.verbs.compared import first_places
from tests.tolerances import close


def test_means_are_those_of_every_place_alone() -> None:
    model, profile = load_model("demo"), load_profile("baseline")
    study = Study(model, profile, concepts="anger")
    first, everywhere = first_places(study, study.layouts)
    layouts, first = study.layouts[::12], first[::12]
    assert not everywhere
    found = prompt_means(model, layouts, first, batch_tokens=256)
    kept = head_outputs(model, layouts, first, layers=range(4), batch_tokens=4096)
    for layer, means in kept.means.items():
        assert close(found.heads[layer], means, model)
    for p, (layout, start) in enumerate(zip(layouts, first, strict=True)):
        n_places = 0
        sums = np.zeros((5, model.hf.config.hidden_size))
        for sequence in layout.sequences:  # each by itself, without packing
            with torch.no_grad():
                states = model.hf(torch.tensor([sequence.ids]), output_hidden_states=True).hidden_states
            begin = start if sequence is layout.sequences[0] else layout.n_prompt
            sums += np.stack([state[0, begin:].double().sum(0).numpy() for state in states])
            n_places += len(sequence) - begin
        assert n_places == sum(map(len, places_from(layout, start)))
        for layer in range(4):
            assert close(found.stream[layer][p], sums[layer] / n_places, model)


def test_places_begin_with_the_marked_words_in_both_classes() -> None:
    model, profile = load_model("demo"), load_profile("baseline")
    study = Study(model, profile, concepts="anger")
    prompts = {prompt.id: prompt for prompt in profile.prompts}
    for layout, first in zip(study.layouts, first_places(study, study.layouts)[0], strict=True):
        span = prompts[layout.id].span
        assert span is not None
        assert (
            layout.tokens.text[layout.tokens.offsets[first][0] :]
            .lstrip()
            .startswith(prompts[layout.id].text[span[0] : span[1]])
        )
