"""The verb probe: which controls, and what it refuses before anything runs."""

from __future__ import annotations

import pytest

import headscope as hs
from headscope.errors import RequestError
from headscope.verbs.compared import compared_rows
from headscope.verbs.probe import why_no_probes
from tests.small_world import small_model, small_profile


def test_a_concept_is_compared_with_its_partners_alone() -> None:
    study = hs.Study(small_model(), small_profile())
    for name in study.names:
        rows = compared_rows(study, name)
        partners = {study.pair_of[study.layouts[i].id] for i in study.rows_of(name)}
        told = {study.layouts[i].id for i in rows if study.layouts[i].concept == study.profile.control}
        assert told == partners if None not in partners else told == {one.id for one in study.profile.controls}


def test_a_template_alone_cannot_be_probed() -> None:
    study = hs.Study(small_model(), small_profile())
    name = study.names[0]
    label = study.labels_of(study.rows_of(name))[0]
    kept = [prompt.id for prompt in study.prompts if study.templates[prompt.id] == label]
    one = study.only(name, kept)
    assert "fewer than 2 templates" in why_no_probes(one)
    with pytest.raises(RequestError, match="left out"):
        one.probe()
