"""Laws of "is my data fit?": data made fit is green; each planted weakness shows in its row, and in no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import headscope as hs
from headscope.models.head_model import HeadModel
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Lexicon, Profile
from headscope.study import Study
from headscope.verbs.fit_measured import MOST_PROMPTS, sampled
from headscope.verbs.fitness import FitRow, fitness
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import CONCEPTS, CONTROL, FRAMES, N_TEMPLATES, NAMES, SLOT_WORDS, make_profile, slot_word

Row = dict[str, Any]
TASK = "moods"
MEASURED = {"the model shows it", "accuracy"}


def world(name: str) -> HeadModel:
    return next(one for one in worlds() if one.name == name).load()


@pytest.fixture(scope="module")
def writer() -> HeadModel:
    """A head writes each concept where it finds a word of it; so the model says such a word, and no neutral one."""
    return world("writer")


def row_of(template: int, *, concept: str | None = None, word: str | None = None, swap: bool | None = None) -> Row:
    """ "... Anna felt angry ... and people are tall because everyone feels" -> " angry", not " tall".

    In the corrupted text the concept's word is a neutral one. ``swap``: the answer stands in the second place.
    """
    concept = concept or CONCEPTS[template // 2 % 2]
    word = word or slot_word(concept, template)
    neutral, other = (SLOT_WORDS[CONTROL][(template + shift) % 4] for shift in (0, 1))
    frame = FRAMES[template % len(FRAMES)].replace("{name}", NAMES[template])
    frame += " and people are {other} because everyone feels"

    def text(asked: str) -> str:
        first, second = (neutral, asked) if (template % 2 if swap is None else swap) else (asked, neutral)
        return frame.replace("{slot}", first).replace("{other}", second)

    return {"text": text(word), "answers": [f" {word}"], "foils": [f" {neutral}"], "template": f"t{template:02d}",
            "corrupted": text(other)}  # fmt: skip


def rows() -> list[Row]:
    return [row_of(template) for template in range(N_TEMPLATES)]


def task(folder: Path, made: list[Row]) -> Profile:
    path = folder / f"{TASK}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return load_profile(path)


def found(model: HeadModel, profile: Profile) -> list[FitRow]:
    return fitness(Study(model, profile))


def not_green(checked: list[FitRow]) -> dict[str, str]:
    assert all(bool(row.fix) == (row.light != "green") for row in checked), "what to do stands where there is something"
    return {row.name: row.light for row in checked if row.light != "green"}


def test_a_task_made_fit_is_green_in_every_row(writer: HeadModel, tmp_path: Path) -> None:
    checked = found(writer, task(tmp_path, rows()))
    assert not_green(checked) == {}
    assert {row.name for row in checked} == {
        *MEASURED, "context", "tokenizer", "special tokens", "first tokens", "tokens of answers", "place of answers",
        "pairs", "lengths", "templates", "template ids", "variety of answers", "copying", "space before answers",
        "near-duplicates",
    }  # fmt: skip


def test_concepts_made_fit_are_green_in_every_row_and_have_none_of_a_task(writer: HeadModel) -> None:
    checked = found(writer, make_profile())
    assert not_green(checked) == {}
    assert {row.name for row in checked} == {
        "context", "tokenizer", "special tokens", "the model shows it", "lexicon words", "pairs", "lengths",
        "templates", "template ids", "words of others", "near-duplicates",
    }  # fmt: skip
    shown = [row.concept for row in checked if row.name == "the model shows it"]
    assert shown == list(CONCEPTS)


def _no_id(made: list[Row]) -> None:
    del made[3]["template"]


def _several_tokens(made: list[Row]) -> None:
    made[3] |= {"answers": [made[3]["answers"][0] + " felt"], "foils": [made[3]["foils"][0] + " felt"]}


def _same_first_token(made: list[Row]) -> None:
    made[3] |= {"answers": [made[3]["answers"][0] + " felt"], "foils": [made[3]["answers"][0] + " looked"]}


def _one_pair_apart(made: list[Row]) -> None:
    made[3]["corrupted"] = "today " + made[3]["corrupted"]


def _most_pairs_apart(made: list[Row]) -> None:
    for row in made[:20]:
        places = []
        for text in (row["text"], "today " + row["corrupted"]):
            start = text.index(next(word for word in text.split() if word in sum(SLOT_WORDS.values(), ())))
            places.append([start, text.index(" ", start)])
        row |= {"spans": {"slot": places[0]}}
        row |= {"corrupted": {"text": "today " + row["corrupted"], "spans": {"slot": places[1]}}}


def _one_place(made: list[Row]) -> None:
    made[:] = [row_of(template, swap=True) for template in range(N_TEMPLATES)]


def _one_answer(made: list[Row]) -> None:
    made[:20] = [row_of(template, concept="gratitude", word="grateful") for template in range(20)]


def _copying(made: list[Row]) -> None:
    made[3]["foils"] = [next(f" {word}" for word in SLOT_WORDS[CONTROL] if word not in made[3]["text"])]


def _glued(made: list[Row]) -> None:
    made[3]["answers"] = [made[3]["answers"][0].strip()]


def _special(made: list[Row]) -> None:
    made[3] |= {key: made[3][key].replace(" and ", " <bos> and ") for key in ("text", "corrupted")}


def _near_duplicate(made: list[Row]) -> None:
    again = row_of(0, concept=CONCEPTS[0])
    made.append(again | {key: again[key][:1].swapcase() + again[key][1:] for key in ("text", "corrupted")})


def _too_long(made: list[Row]) -> None:
    made[3] |= {key: "today " * 20 + made[3][key] for key in ("text", "corrupted")}


def _eight_templates(made: list[Row]) -> None:
    del made[8:]


def _five_templates(made: list[Row]) -> None:
    made[:] = made[2:7]


def _wrong_way_round(made: list[Row]) -> None:
    for row in made:
        row["answers"], row["foils"] = row["foils"], row["answers"]


PLANTED: Mapping[Callable[[list[Row]], None], Mapping[str, str]] = {
    _no_id: {"template ids": "yellow"},
    _several_tokens: {"tokens of answers": "yellow"},
    # What begins alike and is told apart has several tokens.
    _same_first_token: {"first tokens": "yellow", "tokens of answers": "yellow"},
    _one_pair_apart: {"pairs": "yellow"},
    _most_pairs_apart: {"pairs": "red", "lengths": "yellow"},
    _one_place: {"place of answers": "yellow"},
    _one_answer: {"variety of answers": "yellow"},
    _copying: {"copying": "yellow"},
    _glued: {"space before answers": "yellow", "tokenizer": "red"},
    _special: {"special tokens": "yellow"},
    _near_duplicate: {"near-duplicates": "yellow"},
    _too_long: {"context": "red"},
    _eight_templates: {"templates": "yellow"},
    # Below six templates nothing has an interval.
    _five_templates: {"templates": "red", "the model shows it": "yellow", "accuracy": "yellow"},
    _wrong_way_round: {"the model shows it": "red", "accuracy": "red"},
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__.strip("_"))
def test_a_planted_weakness_of_a_task_shows_in_its_row_and_no_other(
    plant: Callable[[list[Row]], None], writer: HeadModel, tmp_path: Path
) -> None:
    made = rows()
    plant(made)
    checked = found(writer, task(tmp_path, made))
    assert not_green(checked) == PLANTED[plant]
    cannot_run = {"context", "tokenizer"} & set(PLANTED[plant])
    assert bool(MEASURED & {row.name for row in checked}) != bool(cannot_run), "nothing is measured that cannot be"


def test_a_model_that_does_not_do_the_task_is_not_green(tmp_path: Path) -> None:
    lights = not_green(found(world("noise"), task(tmp_path, rows())))
    assert set(lights) == MEASURED


def _half_turned_round(n_templates: int) -> list[Row]:
    """The task of which every second prompt wants the neutral word, which this model does not say."""
    made = rows()[:n_templates]
    _wrong_way_round(made[::2])
    return made


def test_accuracy_at_chance_is_red_and_yellow_where_few_templates_leave_it_open(
    writer: HeadModel, tmp_path: Path
) -> None:
    for n_templates, light in ((N_TEMPLATES, "red"), (8, "yellow")):
        [row] = [
            one for one in found(writer, task(tmp_path, _half_turned_round(n_templates))) if one.name == "accuracy"
        ]
        assert row.light == light
        assert row.says.startswith("an answer is above every foil in 50% of prompts [")
        assert f"chance 50%, over {n_templates} templates" in row.says


def test_chance_counts_answers_among_all_continuations(writer: HeadModel, tmp_path: Path) -> None:
    """With every other word as an answer, hardly any is right by merit: always right is what chance nearly gives."""
    made = rows()[:8]
    for row in made:
        taken = {*row["answers"], *row["foils"]}
        row["answers"] += [f" {word}" for words in SLOT_WORDS.values() for word in words if f" {word}" not in taken]
    [row] = [one for one in found(writer, task(tmp_path, made)) if one.name == "accuracy"]
    assert row.light == "yellow"
    assert "in 100% of prompts [63%, 100%], chance 92%" in row.says


def test_prompts_without_foils_or_their_answers_in_them_have_no_rows_on_these(
    writer: HeadModel, tmp_path: Path
) -> None:
    made = rows()
    for row in made:
        del row["foils"]
    names = {row.name for row in found(writer, task(tmp_path, made))}
    assert not names & {"accuracy", "first tokens", "copying"}
    for row in made:
        row["answers"] = [next(f" {word}" for word in SLOT_WORDS[CONTROL] if word not in row["text"])]
    assert "place of answers" not in {row.name for row in found(writer, task(tmp_path, made))}


def _without_pairs(profile: Profile) -> Profile:
    """Each prompt beside all controls, of which the first half is longer."""
    longer = {prompt.id for prompt in profile.controls[:16]}
    prompts = [
        replace(prompt, pair=None, text=prompt.text + " while soup was warm" * (prompt.id in longer))
        for prompt in profile.prompts
    ]
    return replace(profile, prompts=tuple(prompts))


def _with_lexicon(profile: Profile, words: tuple[str, ...]) -> Profile:
    first = profile.concepts[CONCEPTS[0]]
    return replace(
        profile, concepts={**profile.concepts, CONCEPTS[0]: replace(first, lexicon=Lexicon({"word": words}))}
    )


def _with_dropped_word(profile: Profile) -> Profile:
    return _with_lexicon(profile, (*SLOT_WORDS[CONCEPTS[0]], "tall people"))


def _with_a_shared_word(profile: Profile) -> Profile:
    return _with_lexicon(profile, (*SLOT_WORDS[CONCEPTS[0]], SLOT_WORDS[CONCEPTS[1]][0]))


def _with_two_words(profile: Profile) -> Profile:
    return _with_lexicon(profile, SLOT_WORDS[CONCEPTS[0]][:2])


def _with_a_leak(profile: Profile) -> Profile:
    leaking = profile.controls[0]
    text = leaking.text.replace("slow", "angry")
    assert text != leaking.text
    return replace(profile, prompts=tuple(replace(p, text=text) if p is leaking else p for p in profile.prompts))


@pytest.mark.parametrize(
    ("plant", "lights"),
    [
        (_without_pairs, {"pairs": "yellow", "lengths": "yellow"}),
        (_with_dropped_word, {"lexicon words": "yellow"}),
        # The other concept's prompts hold the shared word.
        (_with_a_shared_word, {"lexicon words": "yellow", "words of others": "yellow"}),
        (_with_two_words, {"lexicon words": "red"}),
        (_with_a_leak, {"words of others": "yellow"}),
    ],
)
def test_a_planted_weakness_of_a_concept_shows_in_its_row_and_no_other(
    plant: Callable[[Profile], Profile], lights: dict[str, str], writer: HeadModel
) -> None:
    assert not_green(found(writer, plant(make_profile()))) == lights


def test_what_a_model_shows_is_what_its_runs_say(writer: HeadModel) -> None:
    """The row holds the estimate of the assay that decides in every run."""
    profile = make_profile()
    [assay] = hs.sweep(writer, profile, heads="0:0", concepts="anger").tables["assay"].to_dict("records")
    [row] = [one for one in hs.check_profile(writer, profile, concepts="anger") if one.name == "the model shows it"]
    assert row.says.startswith(
        f"anger - neutral prompts, no head off: {assay['estimate']:.2f} nats [{assay['ci_low']:.2f}, "
    )


def test_of_many_prompts_some_templates_are_measured_with_their_partners(writer: HeadModel, tmp_path: Path) -> None:
    """Prompts count to the templates that they had, and the sentence says how many were measured."""
    made = [
        row_of(template, word=word) | {"id": f"{template}-{number}"}
        for template in range(N_TEMPLATES)
        for number, word in enumerate(SLOT_WORDS[CONCEPTS[template // 2 % 2]])
    ]
    for row in list(made):
        longer = {key: "today " + row[key] for key in ("text", "corrupted")}
        made.append({**row, **longer, "id": row["id"] + "-today"})
    profile = task(tmp_path, made)
    study = Study(writer, profile)
    part = sampled(study)
    assert N_TEMPLATES * 8 == len(study.prompts) > MOST_PROMPTS >= len(part.prompts)
    assert {prompt.pair for prompt in part.prompts} == {prompt.id for prompt in part.profile.controls}
    assert all(part.templates[prompt.id] == study.templates[prompt.id] for prompt in part.prompts)
    n_each = [sum(part.templates[p.id] == f"t{t:02d}" for p in part.prompts) for t in range(N_TEMPLATES)]
    assert set(n_each) == {MOST_PROMPTS // N_TEMPLATES}
    said = [row.says for row in fitness(study) if row.name in MEASURED]
    assert all(f"measured on {len(part.prompts)} of {len(study.prompts)} prompts" in one for one in said)
    assert [prompt.id for prompt in sampled(Study(writer, profile)).prompts] == [prompt.id for prompt in part.prompts]
