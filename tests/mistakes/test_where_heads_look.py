"""Mistakes 1 and 2 of the Phase 6 study: words missed, and words compared across positions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headscope.api import screen
from headscope.errors import HeadscopeError
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.runs.folder import Run
from headscope.tokens import Encoder
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile
from tests.end_to_end.conftest import type_command
from tests.tolerances import pass_error


def test_phase6_mistake_1_words_missed(model: HeadModel) -> None:
    """Inside a sentence a word's token begins with a space: the study missed it; spans by characters do not."""
    profile = load_profile("baseline")
    matched = screen(model, profile).tables["coverage"].set_index("concept")
    study = screen(model, profile, protocol="phase6")
    missed = study.tables["coverage"].set_index("concept")
    for concept in profile.concepts:
        explicit = [prompt for prompt in profile.prompts_of(concept) if not prompt.implicit]
        assert matched.loc[concept, "n_spans"] >= len(explicit) >= 63
        assert missed.loc[concept, "n_spans"] < 35
        assert any(f"{concept}: a listed word was found in" in warning for warning in study.warnings)


def test_phase6_mistake_1_every_span_is_the_concepts_word_and_not_the_final_mark(model: HeadModel) -> None:
    profile = load_profile("baseline")
    encoder = Encoder(model.tokenizer, model.bos_token_id, model.context_length)
    for concept, one in profile.concepts.items():
        for prompt in profile.prompts_of(concept):
            assert prompt.span is not None
            tokens = encoder.encode(prompt.text)
            held = "".join(prompt.text[slice(*tokens.offsets[i])] for i in tokens.of_span(prompt.span)).strip()
            assert held == prompt.text[slice(*prompt.span)]
            assert prompt.implicit or held.lower() in {word.lower() for word in one.lexicon.words}
            assert max(tokens.of_span(prompt.span)) < len(tokens) - 1


def test_phase6_mistake_1_coverage_is_printed_stored_and_an_error_where_it_is_too_low(
    model: HeadModel, tmp_path: Path
) -> None:
    good = type_command("screen", "--model", "demo", "--concept", "anger", "--out", tmp_path / "run")
    assert good.code == 0, good.err
    assert "Coverage" in good.out
    assert Run.open(tmp_path / "run").table("coverage")["n_spans"].tolist() == [70]
    lines = [f"Number {i} has no word of that kind in it at all." for i in range(8)]
    (tmp_path / "anger.txt").write_text("\n".join(lines))
    command = ("screen", "--model", "demo", "--concept", "anger", "--prompts", f"anger={tmp_path / 'anger.txt'}")
    bad = type_command(*command, "--out", tmp_path / "bad")
    assert bad.code == 2
    assert "anger" in bad.err
    assert not (tmp_path / "bad").exists()


def test_phase6_mistake_2_position_confound() -> None:
    """A head that looks at a place and not at a word, and heads that look at everything alike.

    The study's measure calls both reactive, because it compares a word near the start with a last token that sees more
    keys; at matched positions nothing is left.
    """
    (world,) = [one for one in worlds() if one.name == "position"]
    model, profile = world.load(), make_profile()
    matched = screen(model, profile)
    study = screen(model, profile, protocol="phase6")

    def delta(table: object, head: tuple[int, int]) -> np.ndarray:
        rows = table[(table["layer"] == head[0]) & (table["head"] == head[1]) & (table["measure"] == "attention")]
        return rows["estimate"].to_numpy(float)

    position, uniform = (0, 2), (3, 3)
    assert all(head not in {(h.layer, h.head) for h in world.designs} for head in [uniform])
    assert np.abs(delta(matched.table, position)).max() < 1e-3
    assert np.abs(delta(matched.table, uniform)).max() < pass_error(model)
    assert delta(study.table, position).min() > 0.09
    assert delta(study.table, uniform).min() > 0.02
    assert any("confounded" in warning for warning in study.warnings)
    assert not any("confounded" in warning for warning in matched.warnings)


def test_phase6_mistake_2_words_near_the_start_never_meet_a_control_elsewhere(model: HeadModel) -> None:
    """With one neutral partner moved by a word, its pair leaves the primary comparison instead of confounding it."""
    profile = load_profile("baseline")
    whole = screen(model, profile, concepts="gratitude").tables["coverage"].iloc[0]
    first = profile.prompts_of("gratitude")[0]
    prompts = list(profile.prompts)
    partner = next(i for i, prompt in enumerate(prompts) if prompt.id == first.pair)
    old = prompts[partner]
    assert old.span is not None
    prompts[partner] = dataclasses.replace(old, text=f"Well, {old.text}", span=(old.span[0] + 6, old.span[1] + 6))
    moved = screen(model, dataclasses.replace(profile, prompts=tuple(prompts)), concepts="gratitude")
    coverage = moved.tables["coverage"].iloc[0]
    assert coverage["n_paired_equal"] == whole["n_paired_equal"] - 1
    assert coverage["n_paired_unequal"] == whole["n_paired_unequal"] + 1
    primary = moved.table[(moved.table["control"] == "paired_equal") & (moved.table["measure"] == "attention")]
    assert set(primary["n_prompts"]) == {coverage["n_paired_equal"]}


def test_phase6_mistake_2_no_protocol_but_the_studys_own_compares_unmatched_positions(
    model: HeadModel, profile: Profile
) -> None:
    assert "phase6_unpaired" not in set(screen(model, profile).table["control"])
    with pytest.raises(HeadscopeError, match="phase7"):
        screen(model, profile, protocol="phase7")
    assert load_model("demo").describe()["bos"] == "always"
