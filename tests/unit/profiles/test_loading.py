"""Laws of ``load_profile``: the same prompts in any of the forms are the same profile; what is missing is borrowed."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headscope.errors import ProfileError
from headscope.profiles.assembling import fingerprint
from headscope.profiles.catalog import findings, summarize
from headscope.profiles.loading import bundled_names, load_profile
from headscope.profiles.replacing import profile_from_files
from headscope.profiles.scaffold import new_profile
from headscope.profiles.types import Profile
from headscope.profiles.words import first_word

ROWS: list[dict[str, Any]] = [
    {"id": "joy-001", "concept": "joy", "text": "I am glad today.", "span": [5, 9], "template": "a", "pair": "n-1"},
    {"id": "joy-002", "concept": "joy", "text": "We felt joyful.", "span": [8, 14], "template": "b", "pair": "n-2"},
    {"id": "joy-003", "concept": "joy", "text": "On top of the world!", "span": [0, 19], "implicit": True},
    {"id": "fear-001", "concept": "fear", "text": "I am afraid.", "span": [5, 11], "template": "a", "pair": "n-1"},
    {"id": "n-1", "concept": "calm", "text": "I am busy today.", "span": [5, 9], "template": "a"},
    {"id": "n-2", "concept": "calm", "text": "We felt ready.", "span": [8, 13], "template": "b"},
]
YAML = """
format: headscope-profile/1
name: moods
description: Two moods.
control: calm
prompts: {prompts}
readouts: [I feel so]
control_lexicon: {{adjective: [busy, ready, sleepy]}}
reference_words: [gladiator]
concepts:
  joy: {{lexicon: {{adjective: [glad, joyful, happy]}}}}
  fear: {{lexicon: [afraid, scared, fear], control_lexicon: [busy, plan, idea]}}
"""


def folder(at: Path, prompts: str = "prompts.jsonl", rows: list[dict[str, Any]] | None = None) -> Path:
    at.mkdir(parents=True, exist_ok=True)
    (at / "profile.yaml").write_text(YAML.format(prompts=prompts), encoding="utf-8")
    lines = [json.dumps(row, ensure_ascii=False) for row in (ROWS if rows is None else rows)]
    (at / "prompts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return at


def as_csv(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    names = ["id", "concept", "text", "span_start", "span_end", "template", "pair", "implicit"]
    writer = csv.DictWriter(buffer, names)
    writer.writeheader()
    for row in rows:
        start, end = row.get("span", ("", ""))
        cells = {key: row.get(key, "") for key in names}
        writer.writerow({**cells, "span_start": start, "span_end": end})
    return buffer.getvalue()


def test_a_folder_is_read_as_it_says(tmp_path: Path) -> None:
    profile = load_profile(folder(tmp_path / "p"))
    assert (profile.name, profile.control, profile.language) == ("moods", "calm", "en")
    assert list(profile.concepts) == ["joy", "fear"]
    assert profile.concepts["joy"].lexicon.words == ("glad", "joyful", "happy")
    assert profile.concepts["joy"].control_lexicon.words == ("busy", "ready", "sleepy")
    assert profile.concepts["fear"].lexicon.by_part_of_speech == {"word": ("afraid", "scared", "fear")}
    assert profile.concepts["fear"].control_lexicon.words == ("busy", "plan", "idea")
    assert profile.readouts == ("I feel so",)
    assert profile.reference_words == ("gladiator",)
    assert [prompt.id for prompt in profile.prompts] == [row["id"] for row in ROWS]
    assert [prompt.span_text for prompt in profile.prompts_of("joy")] == ["glad", "joyful", "On top of the world"]
    assert profile.prompts[2].implicit
    assert [prompt.pair for prompt in profile.prompts_of("fear")] == ["n-1"]


def test_every_form_gives_the_same_profile(tmp_path: Path) -> None:
    expected = load_profile(folder(tmp_path / "jsonl"))
    forms: dict[str, bytes] = {
        "plain.csv": as_csv(ROWS).encode(),
        "crlf.jsonl": "\r\n".join(json.dumps(row) for row in ROWS).encode(),
        "bom.jsonl": b"\xef\xbb\xbf" + "\n\n".join(json.dumps(row) for row in ROWS).encode(),
        "bom.csv": b"\xef\xbb\xbf" + as_csv(ROWS).encode(),
    }
    for name, data in forms.items():
        at = folder(tmp_path / name, prompts=name)
        (at / name).write_bytes(data)
        assert load_profile(at).fingerprint == expected.fingerprint, name


def test_texts_alone_get_ids_and_spans(tmp_path: Path) -> None:
    texts = {"joy": ["I am glad today.", "Happy, and gladly so."], "fear": ["I am AFRAID."], "calm": ["It rains."]}
    forms = {
        "json": lambda prompts: json.dumps({"prompts": prompts}),
        "txt": lambda prompts: "\r\n".join(prompts) + "\r\n\r\n",
        "csv": lambda prompts: "text\n" + "".join(f'"{prompt}"\n' for prompt in prompts),
        "jsonl": lambda prompts: "\n".join(json.dumps({"text": prompt}) for prompt in prompts),
    }
    profiles: list[Profile] = []
    for suffix, form in forms.items():
        at = folder(tmp_path / suffix, prompts="{" + ", ".join(f"{name}: {name}.{suffix}" for name in texts) + "}")
        for name, prompts in texts.items():
            (at / f"{name}.{suffix}").write_text(form(prompts), encoding="utf-8", newline="")
        profiles.append(load_profile(at))
    assert len({profile.fingerprint for profile in profiles}) == 1
    assert [prompt.id for prompt in profiles[0].prompts] == ["joy-001", "joy-002", "fear-001", "calm-001"]
    assert [prompt.span_text for prompt in profiles[0].prompts] == ["glad", "Happy", "AFRAID", None]


def test_made_ids_never_meet_given_ones(tmp_path: Path) -> None:
    rows = [{"concept": "joy", "text": "Glad one."}, {**ROWS[0], "id": "joy-001", "pair": None}, *ROWS[3:]]
    profile = load_profile(folder(tmp_path / "p", rows=rows))
    assert [prompt.id for prompt in profile.prompts_of("joy")] == ["joy-002", "joy-001"]


def test_an_implicit_prompt_without_a_span_keeps_none(tmp_path: Path) -> None:
    rows = [{"concept": "joy", "text": "So glad to be unhappy.", "implicit": True}, *ROWS]
    assert load_profile(folder(tmp_path / "p", rows=rows)).prompts[0].span is None


def test_the_fingerprint_is_of_what_is_asked(tmp_path: Path) -> None:
    profile = load_profile(folder(tmp_path / "here"))
    assert profile.fingerprint == load_profile(folder(tmp_path / "elsewhere")).fingerprint
    assert re.fullmatch("[0-9a-f]{64}", profile.fingerprint)
    for same in (replace(profile, name="x"), replace(profile, description="x"), replace(profile, warnings=("x",))):
        assert fingerprint(same) == profile.fingerprint
    prompts = profile.prompts
    for other in (
        replace(profile, prompts=prompts[1:]),
        replace(profile, prompts=(replace(prompts[0], text="I am glad today!"), *prompts[1:])),
        replace(profile, prompts=(replace(prompts[0], span=None), *prompts[1:])),
        replace(profile, prompts=(replace(prompts[0], template="z"), *prompts[1:])),
        replace(profile, readouts=()),
        replace(profile, reference_words=()),
        replace(profile, concepts=dict(reversed(list(profile.concepts.items())))),
    ):
        assert fingerprint(other) != profile.fingerprint


def test_what_a_profile_leaves_open_is_borrowed_and_said(tmp_path: Path) -> None:
    at = tmp_path / "joy"
    at.mkdir()
    (at / "profile.yaml").write_text(
        "name: joy\nprompts: p.txt\nconcepts: {joy: {lexicon: {adjective: [glad, busy, happy]}}}\n"
    )
    (at / "p.txt").write_text("I am glad.\nSo happy now.\n")
    profile, bundled = load_profile(at), load_profile("baseline")
    said = "\n".join(profile.warnings)
    assert "neutral prompts of the bundled profile baseline serve" in said
    assert "no control words given" in said
    assert "no readouts given" in said
    assert "descriptive only" in said
    assert {prompt.text for prompt in profile.controls} == {
        prompt.text for prompt in bundled.controls if first_word(prompt.text, ["busy"]) is None
    }
    assert 0 < len(profile.controls) < len(bundled.controls)
    assert all(prompt.id.startswith("bundled-") and prompt.pair is None for prompt in profile.controls)
    assert not {prompt.template for prompt in profile.controls} & {prompt.template for prompt in bundled.controls}
    control = profile.concepts["joy"].control_lexicon.by_part_of_speech
    assert list(control) == ["adjective"]
    assert "busy" not in control["adjective"]
    assert profile.readouts == bundled.readouts


def test_an_empty_list_of_readouts_asks_for_none(tmp_path: Path) -> None:
    at = folder(tmp_path / "p")
    text = (at / "profile.yaml").read_text().replace("readouts: [I feel so]", "readouts: []")
    (at / "profile.yaml").write_text(text)
    assert load_profile(at).readouts == ()


def test_english_controls_are_not_lent_to_another_language(tmp_path: Path) -> None:
    at = tmp_path / "joie"
    at.mkdir()
    (at / "profile.yaml").write_text(
        "name: joie\nlanguage: fr\nprompts: p.txt\nconcepts: {joie: {lexicon: [content, joyeux, ravi]}}\n"
    )
    (at / "p.txt").write_text("Je suis content.\n")
    with pytest.raises(ProfileError, match="gives no control prompts"):
        load_profile(at)


def test_the_studys_data_folder_is_a_profile(tmp_path: Path) -> None:
    for name, prompts in {
        "neutral": ["The bus is late.", "It rains."],
        "gratitude": ["Thank you, Ann.", "You did so much for me."],
        "apology": ["I am so sorry."],
        "awe": ["What a sky."],
        "कृतज्ञता": ["धन्यवाद"],
    }.items():
        (tmp_path / f"{name}_prompts.json").write_text(json.dumps({"prompts": prompts}))
    (tmp_path / "notes.md").write_text("not a class")
    profile = load_profile(tmp_path)
    assert list(profile.concepts) == ["gratitude", "apology", "awe", "कृतज्ञता"]
    assert [prompt.span_text for prompt in profile.prompts] == ["Thank", None, "sorry", None, None, None, None]
    assert len(profile.controls) == 2
    assert profile.concepts["gratitude"].lexicon == load_profile("baseline").concepts["gratitude"].lexicon
    assert any("awe: no lexicon" in warning for warning in profile.warnings)


@pytest.mark.parametrize("name", ["anger_prompts.json", "anger.json"])
def test_a_single_file_is_one_class_named_by_itself(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps({"prompts": ["I am furious."]}))
    profile = load_profile(path)
    assert list(profile.concepts) == ["anger"]
    assert profile.prompts[0].span_text == "furious"
    assert profile.controls


def test_files_take_the_place_of_a_profiles_prompts(tmp_path: Path) -> None:
    base = load_profile(folder(tmp_path / "p"))
    (tmp_path / "mine.txt").write_text("Glad again.\nNothing here.\n")
    profile = profile_from_files({"joy": tmp_path / "mine.txt"}, base)
    assert [(prompt.text, prompt.span) for prompt in profile.prompts_of("joy")] == [
        ("Glad again.", (0, 4)),
        ("Nothing here.", None),
    ]
    assert profile.prompts_of("fear") == base.prompts_of("fear")
    assert profile.controls == base.controls
    assert profile.fingerprint != base.fingerprint
    assert any("2 prompts of mine.txt" in warning for warning in profile.warnings)

    (tmp_path / "calm.txt").write_text("Rain again.\n")
    without = profile_from_files({"calm": tmp_path / "calm.txt"}, base)
    assert {prompt.pair for prompt in without.prompts} == {None}
    with pytest.raises(ProfileError, match='no class "awe"'):
        profile_from_files({"awe": tmp_path / "mine.txt"}, base)


def test_replacing_nothing_by_the_same_prompts_changes_nothing(tmp_path: Path) -> None:
    base = load_profile(folder(tmp_path / "p"))
    rows = [json.dumps(row) for row in ROWS if row["concept"] == "joy"]
    (tmp_path / "same.jsonl").write_text("\n".join(rows))
    assert profile_from_files({"joy": tmp_path / "same.jsonl"}, base).fingerprint == base.fingerprint


def test_bundled_profiles_are_whole() -> None:
    assert "baseline" in bundled_names()
    for profile in map(load_profile, bundled_names()):
        assert profile.warnings == ()
        assert findings(profile.name) == []
        assert profile.source == "bundled"
        counts = summarize(profile)
        assert [count.name for count in counts] == [*profile.concepts, profile.control]
        assert sum(count.n_prompts for count in counts) == len(profile.prompts)
        assert all(count.n_spans + count.n_implicit >= count.n_prompts for count in counts)


def test_a_folder_named_like_a_bundled_profile_is_reached_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "baseline")
    monkeypatch.chdir(tmp_path)
    assert load_profile("baseline").source == "bundled"
    assert load_profile("./baseline").name == "moods"
    assert load_profile(Path("baseline")).name == "moods"
    assert load_profile("./baseline/profile.yaml").fingerprint == load_profile("./baseline").fingerprint


def test_an_unknown_profile_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r'did you mean "baseline"\?') as raised:
        load_profile("baselin")
    assert "extended" in str(raised.value)


@pytest.mark.parametrize("words", [(), ("hungry", "starving", "very hungry")])
@pytest.mark.parametrize("name", ["hunger", "no", "on-off", "喜び", "कृतज्ञता", "k2"])
def test_a_new_profile_loads_and_runs_as_it_is(tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    profile = load_profile(new_profile(tmp_path / name, words=words))
    assert list(profile.concepts) == [name]
    assert len(profile.prompts_of(name)) == 5
    assert {prompt.span_text for prompt in profile.prompts_of(name)} <= set(profile.concepts[name].lexicon.words)
    assert profile.controls
    assert profile.readouts
    assert [finding.severity for finding in findings(tmp_path / name)] == ["warning"] * 4


def test_a_new_profile_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    new_profile(tmp_path / "x")
    with pytest.raises(ProfileError, match="exists already"):
        new_profile(tmp_path / "x")
    for concept, words in (("a b", ()), ("neutral", ()), ("overall", ()), ("fine", (" glad",)), ("fine", ("",))):
        with pytest.raises(ProfileError):
            new_profile(tmp_path / "y", concept, words)
    assert not (tmp_path / "y").exists()


@pytest.mark.oracle
def test_the_studys_own_prompts_load(shared: Path) -> None:
    profile = load_profile(shared / "reference" / "phase6" / "prompts")
    assert {name: len(profile.prompts_of(name)) for name in (*profile.concepts, profile.control)} == {
        "gratitude": 70,
        "anger": 70,
        "apology": 70,
        "neutral": 70,
    }
    for prompt in profile.prompts:
        if prompt.span is not None:
            assert prompt.span_text.lower() in profile.concepts[prompt.concept].lexicon.words
