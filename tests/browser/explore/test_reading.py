"""Type, click heads, see the words change: every number on the page is the one that ``hs.inspect`` gives."""

from __future__ import annotations

import json
from typing import Any

import pytest

import headscope as hs
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.report.numbers import number
from headscope.runs.folder import Run
from tests.browser.explore.live_view import PROMPT, LiveView


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return hs.load_model("demo")


def change(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)


@pytest.mark.parametrize(
    ("kind", "clicks", "options"), [("zero", 1, {}), ("scale", 2, {"factor": 0.5}), ("add", 3, {"dose": 4.0})]
)
def test_clicks_on_a_head_show_the_numbers_of_inspect(
    live_run: LiveView, model: HeadModel, small_profile: Profile, kind: str, clicks: int, options: dict[str, Any]
) -> None:
    live_run.open(concept="gratitude")
    for _ in range(clicks):
        live_run.click_head(1, 2)
    inspection = hs.inspect(model, PROMPT, profile=small_profile, concept="gratitude")
    named: dict[str, Any] = {"concept": "gratitude"} if kind == "add" else {}
    edits = [inspection.edit("1:2", kind, **options, **named)]
    words = inspection.next_words(edits)
    columns = ("probability_baseline", "probability_edited")
    expected = [
        [str(row["token_id"]), *(number(row[name]) for name in columns), change(row["change"])]
        for row in words.to_dict("records")
    ]
    assert live_run.next_words() == expected
    odds = inspection.log_odds(edits)
    assert live_run.log_odds() == [
        [row["concept"], number(row["baseline_nats"]), number(row["edited_nats"]), change(row["change_nats"])]
        for row in odds.to_dict("records")
    ]
    assert len(odds) == 2


def test_a_fourth_click_puts_a_head_back(live_run: LiveView) -> None:
    live_run.open()
    before = live_run.next_words()
    marks = []
    for _ in range(4):
        live_run.click_head(1, 2)
        marks.append(live_run.edited())
    assert marks == [{"1:2": "zero 0"}, {"1:2": "scale ×0.5"}, {"1:2": "add +4"}, {}]
    assert live_run.next_words() == before


def test_typing_reads_the_prompt_anew(live: LiveView) -> None:
    live.open()
    before = live.next_words()
    live.click("#text")
    live.press(" very")
    live.rest()
    assert live.tokens() == "I·am·so·very"
    assert live.next_words() != before
    assert live.view()["text"] == "I am so very"


def test_an_example_of_the_profile_is_read_with_its_words_marked(live: LiveView) -> None:
    live.open().choose("#example", "gratitude-003")
    assert live.tokens() == "We·all·feel·very·grateful·right·now!"
    assert live.each("#tokens .to", "one.textContent") == ["·grateful"]


def test_sets_are_written_dragged_and_put_back_together(live: LiveView) -> None:
    live.open()
    live.find("#spec").send_keys("3:*, 1:1\n")
    live.rest()
    assert set(live.edited()) == {"3:0", "3:1", "3:2", "3:3", "1:1"}
    live.drag("[data-head='0:1']", "[data-head='1:2']")
    assert live.edited().keys() >= {"0:1", "0:2", "1:1", "1:2"}
    groups = live.view()["groups"]
    heads = [str(head) for group in groups for head in group["heads"]]
    assert len(heads) == len(set(heads)) == 8, "no head stands in two edits"
    live.click("#all-on").rest()
    assert live.edited() == {}


def test_a_spec_that_names_no_head_gets_a_sentence(live: LiveView) -> None:
    live.open()
    live.find("#spec").send_keys("9:1\n")
    assert '"9:1"' in live.trouble("edits")
    assert "layers 0 to 3" in live.trouble("edits")
    assert live.edited() == {}


def test_a_slider_changes_what_is_edited(live: LiveView) -> None:
    live.open().click_head(3, 3).click_head(3, 3)
    half = live.next_words()
    field = live.find("#edits input[type=number]")
    field.clear()
    field.send_keys("2")
    live.rest()
    assert live.edited() == {"3:3": "scale ×2"}
    assert live.next_words() != half
    assert live.run("return document.querySelector('#edits input[type=range]').value") == "2"


def test_a_top_set_of_the_run_is_one_click(live_run: LiveView, finished_run: Run) -> None:
    live_run.open()
    chips = live_run.each("#top-sets button", "one.textContent")
    assert chips
    live_run.click("#top-sets button").rest()
    assert live_run.edited()
    assert live_run.run("return document.querySelector('#top-sets button').getAttribute('aria-pressed')") == "true"
    live_run.click("#top-sets button").rest()
    assert live_run.edited() == {}


def test_the_map_shows_the_effects_of_the_run(live_run: LiveView, finished_run: Run) -> None:
    live_run.open(concept="anger")
    effects = finished_run.table("effects").query(
        "concept == 'anger' and edit == 'mean' and role == 'single' and outcome == 'lexicon_logodds_nats'"
    )
    expected = {str(row["heads"]): number(float(row["estimate"])) for row in effects.to_dict("records")}
    assert dict(live_run.each("[data-head]", "[one.dataset.head, one.textContent]")) == expected
    assert len(expected) == 16


def test_the_map_of_this_prompt_is_that_of_inspect(
    live_run: LiveView, model: HeadModel, small_profile: Profile
) -> None:
    live_run.open(concept="gratitude", coloring="attention", queries=[3], keys=[1])
    live_run.wait("return document.querySelector('[data-head]').textContent !== ''")
    shown = live_run.each("[data-head]", "one.textContent")
    inspection = hs.inspect(model, PROMPT, profile=small_profile, concept="gratitude")
    values = inspection.head_map("attention", queries=[3], keys=[1])
    assert shown == [number(float(value)) for row in values for value in row]


def test_a_next_word_shows_what_each_head_adds_to_it(
    live_run: LiveView, model: HeadModel, small_profile: Profile
) -> None:
    live_run.open(concept="gratitude", groups=[])
    before = live_run.view()["coloring"]
    live_run.click("#next-words tbody tr:nth-child(2) button")
    live_run.wait("return document.getElementById('map-legend').textContent.includes('logits')")
    inspection = hs.inspect(model, PROMPT, profile=small_profile, concept="gratitude")
    word = int(live_run.next_words()[1][0])
    values = inspection.head_map("direct", queries=[len(inspection.ids) - 1], keys=[], token_id=word)
    assert live_run.each("[data-head]", "one.textContent") == [number(float(value)) for row in values for value in row]
    live_run.click("#tokens [data-at='1']")
    live_run.wait("return document.getElementById('map-note').textContent.includes('\\u2068I\\u2069')")
    values = inspection.head_map("direct", queries=[1], keys=[], token_id=word)
    assert live_run.each("[data-head]", "one.textContent") == [number(float(value)) for row in values for value in row]
    live_run.click("#next-words tbody tr:nth-child(2) button")
    assert live_run.view()["coloring"] == before


def test_heads_can_be_set_to_their_mean_over_control_prompts(
    live_run: LiveView, model: HeadModel, small_profile: Profile
) -> None:
    live_run.open(concept="gratitude").click_head(3, 3).click_head(0, 1)
    live_run.choose("#off-kind", "mean")
    assert set(live_run.edited().values()) == {"mean x̄"}
    assert len(live_run.view()["groups"]) == 1, "heads that are clicked off stand in one row"
    inspection = hs.inspect(model, PROMPT, profile=small_profile, concept="gratitude")
    words = inspection.next_words([inspection.edit("3:3,0:1", "mean")])
    shown = [row[2] for row in live_run.next_words()]
    assert shown == [number(float(value)) for value in words["probability_edited"]]


def test_a_change_is_spoken(live: LiveView) -> None:
    live.open().click_head(3, 3)
    assert live.text("#speech").startswith("L3H3 zero. Likeliest next word")
    live.click("#all-on").rest()
    assert live.text("#speech").startswith("4 tokens read.")


def test_a_token_shows_where_the_chosen_head_looks(
    live_run: LiveView, model: HeadModel, small_profile: Profile
) -> None:
    live_run.open(concept="gratitude", head=[1, 2])
    live_run.click("#tokens button[data-at='2']")
    live_run.wait("return document.getElementById('looks').textContent.includes('am')")
    weights = hs.inspect(model, PROMPT, profile=small_profile, concept="gratitude").attention(1, 2)
    best = int(weights[2].argmax())
    share = f"{round(100 * float(weights[2][best]))} %"
    assert share in live_run.text("#looks").split(" at ", 1)[1]
    assert live_run.each("#tokens [aria-pressed=true]", "one.dataset.at") == ["2"]


def test_pointing_at_a_token_shows_who_looks_at_it(live: LiveView) -> None:
    live.open(head=[1, 2])
    live.wait("return document.getElementById('looks').textContent.includes('looks from')")
    live.run("document.querySelector(\"[data-at='1']\").scrollIntoView({block: 'center'})")
    x, y = live.run(
        "const box = document.querySelector(\"[data-at='1']\").getBoundingClientRect();"
        "return [box.left + box.width / 2, box.top + box.height / 2]"
    )
    live.page.mouse((x, y))
    live.wait("return document.getElementById('looks').textContent.includes('looked at by')")
    live.page.mouse((5, 5))
    live.wait("return document.getElementById('looks').textContent.includes('looks from')")


def test_a_chat_is_read_through_the_models_template(live_chat: LiveView) -> None:
    live_chat.open(mode="chat", messages=[{"role": "user", "content": "Hello"}])
    assert live_chat.tokens().startswith("###·user:·Hello↵")
    live_chat.click("#turns > div:last-child button").rest()
    live_chat.press("Yes")
    live_chat.rest()
    live_chat.wait("return document.getElementById('tokens').textContent.includes('Yes')")
    assert [one["content"] for one in live_chat.view()["messages"]] == ["Hello", "Yes"]


def test_a_text_becomes_the_first_turn_of_a_chat(live_chat: LiveView) -> None:
    live_chat.open().click("#mode button[value=chat]").rest()
    assert live_chat.view()["messages"] == [{"role": "user", "content": PROMPT}]
    assert PROMPT.replace(" ", "·") in live_chat.tokens()
    live_chat.click("#mode button[value=text]").rest()
    assert live_chat.tokens() == PROMPT.replace(" ", "·")


def test_a_second_click_cancels_the_first(live: LiveView) -> None:
    live.open()
    live.run(
        "for (const head of ['0:0', '1:1', '2:2']) document.querySelector(`[data-head='${head}']`).click()",
    )
    live.rest()
    after = live.next_words()
    logged = live.page.driver.get_log("performance")
    told = [json.loads(entry["message"])["message"] for entry in logged]
    ended = [one["params"]["canceled"] for one in told if one["method"] == "Network.loadingFailed"]
    assert ended.count(True) >= 2, "the requests of the first two clicks are cancelled"
    assert live.open(groups=live.view()["groups"]).next_words() == after
    assert set(live.edited()) == {"0:0", "1:1", "2:2"}
