"""Is the answer of every bundled prompt right, and its partner what the task says? Worked out from the text alone."""

from __future__ import annotations

import calendar
import string
from collections import Counter
from itertools import pairwise

import pytest

from tests.unit.profiles.bundled_tasks import Row, at, rows_of, words

LISTS = {
    "day": list(calendar.day_name),
    "month": list(calendar.month_name)[1:],
    "letter": list(string.ascii_uppercase),
    "number": ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
    "ordinal": ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"],
}
WOMEN = {
    "Mary", "Anna", "Sarah", "Laura", "Emma", "Lisa", "Alice", "Jane",
    "Susan", "Linda", "Rachel", "Helen", "Julia", "Emily", "Hannah", "Lucy",
}  # fmt: skip


def bare(continuations: list[str]) -> list[str]:
    assert all(one[0] == " " and one[1:].isalpha() for one in continuations)
    return [one[1:] for one in continuations]


def due(row: Row) -> str:
    """The member of the list after the one at the place ``last``."""
    members = LISTS[row["template"].split("-")[0]]
    return members[(members.index(at(row, "last")) + 1) % len(members)]


def test_ioi_answers_with_the_name_that_stands_once_and_the_partner_names_a_third() -> None:
    for row in rows_of("ioi"):
        io, s, third = at(row, "io"), at(row, "s1"), at(row["corrupted"], "s2")
        assert (bare(row["answers"]), bare(row["foils"])) == ([io], [s])
        assert (words(row["text"]).count(io), words(row["text"]).count(s), at(row, "s2")) == (1, 2, s)
        assert third not in (io, s)
        assert (at(row["corrupted"], "io"), at(row["corrupted"], "s1")) == (io, s)


def test_ioi_has_both_orders_equally_often_and_each_name_as_answer_and_as_foil() -> None:
    orders = Counter("abba" if row["spans"]["io"] < row["spans"]["s1"] else "baba" for row in rows_of("ioi"))
    assert orders["abba"] == orders["baba"]
    assert all(
        row["template"].startswith("abba") == (row["spans"]["io"] < row["spans"]["s1"]) for row in rows_of("ioi")
    )
    answers = Counter(row["answers"][0] for row in rows_of("ioi"))
    assert answers == Counter(row["foils"][0] for row in rows_of("ioi"))
    assert max(answers.values()) <= 10


def test_greater_than_answers_with_all_years_after_the_first() -> None:
    for row in rows_of("greater_than"):
        century, start = words(row["text"])[-1], int(at(row, "start_year"))
        assert f"{century}{start}" in words(row["text"])
        assert f"{century}01" in words(row["corrupted"]["text"])
        assert [int(year) for year in row["answers"]] == list(range(start + 1, 100))
        assert [int(year) for year in row["foils"]] == list(range(2, start + 1))
        assert {len(year) for year in row["answers"] + row["foils"]} == {2}


def test_agreement_answers_in_the_number_of_the_subject_against_that_of_the_distractor() -> None:
    for row in rows_of("agreement"):
        subject, distractor, other = at(row, "subject"), at(row, "distractor"), at(row["corrupted"], "subject")
        is_plural = subject[-1] == "s"
        assert (distractor[-1] == "s") is not is_plural
        assert other == (subject[:-1] if is_plural else f"{subject}s")
        right, wrong = ("are were have", "is was has") if is_plural else ("is was has", "are were have")
        assert (bare(row["answers"]), bare(row["foils"])) == (right.split(), wrong.split())


def test_pronouns_are_those_of_the_person_named() -> None:
    forms = {"subject": ("she", "he"), "possessive": ("her", "his"), "object": ("her", "him")}
    for row in rows_of("pronouns"):
        hers, his = forms[row["template"].split("-")[0]]
        is_woman = at(row, "name") in WOMEN
        assert (at(row["corrupted"], "name") in WOMEN) is not is_woman
        assert (bare(row["answers"]), bare(row["foils"])) == (([hers], [his]) if is_woman else ([his], [hers]))


def test_successor_answers_with_the_next_member_and_its_partner_with_another() -> None:
    for row in rows_of("successor"):
        members = LISTS[row["template"].split("-")[0]]
        run = [members.index(at(row, place)) for place in row["spans"]]
        assert all((later - earlier) % len(members) == 1 for earlier, later in pairwise(run))
        assert row["template"].startswith(("day", "month")) or run[-1] + 1 < len(members)
        assert bare(row["answers"]) == [due(row)]
        assert due(row["corrupted"] | {"template": row["template"]}) != due(row)
        assert due(row) not in words(row["corrupted"]["text"])
        assert sorted(bare(row["foils"] + row["answers"])) == sorted(members)


def test_capitals_belong_to_one_country_each_and_the_foil_is_that_of_the_partner() -> None:
    of = {at(row, "country"): row["answers"][0] for row in rows_of("capitals")}
    known = {
        "France": " Paris",
        "Japan": " Tokyo",
        "Canada": " Ottawa",
        "Australia": " Canberra",
        "Switzerland": " Bern",
    }
    assert known.items() <= of.items()
    assert len(set(of.values())) == len(of)
    for row in rows_of("capitals"):
        assert row["answers"] == [of[at(row, "country")]]
        assert row["foils"] == [of[at(row["corrupted"], "country")]]
    assert set(Counter(at(row, "country") for row in rows_of("capitals")).values()) == {3}


@pytest.mark.parametrize("which", ["clean", "corrupted"])
def test_copy_goes_on_as_the_first_pass_did_and_its_partner_otherwise(which: str) -> None:
    for row in rows_of("copy"):
        text = row["text"] if which == "clean" else row["corrupted"]["text"]
        _, *seen = words(text)
        last = seen.index(seen[-1])
        first_pass = list(dict.fromkeys(seen))
        assert len(first_pass) == 10
        assert (seen[last + 1] == bare(row["answers"])[0]) is (which == "clean")
        assert sorted(bare(row["answers"] + row["foils"])) == sorted(first_pass)
        if which == "clean":
            assert seen == first_pass + first_pass[: last + 1]
            assert (at(row, "prefix"), at(row, "earlier")) == (seen[last], seen[last + 1])
        else:
            assert sorted(text.split()) == sorted(row["text"].split())


def test_copy_ends_at_many_places() -> None:
    ends = Counter(len(words(row["text"])) for row in rows_of("copy"))
    assert len(ends) >= 6
    assert max(ends.values()) <= len(rows_of("copy")) / 4


def test_negation_answers_with_the_opposite_both_ways_and_its_partner_affirms() -> None:
    asked = [(row["template"], at(row, "adjective"), bare(row["answers"])[0]) for row in rows_of("negation")]
    assert set(asked) == {(template, answer, adjective) for template, adjective, answer in asked}
    for row in rows_of("negation"):
        assert bare(row["foils"]) == [at(row, "adjective")] == [at(row["corrupted"], "adjective")]
        assert (at(row, "negation"), at(row["corrupted"], "negation")) in (("not", "very"), ("never", "always"))
