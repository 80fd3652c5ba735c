"""What it says, what is taken along, and what must hold of the page: sessions, reload, keys, widths, hostile text."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import headscope as hs
from headscope.models.head_model import HeadModel
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.report.page_texts import difference
from tests.browser.explore.live_view import PROMPT, LiveView

OFF = [{"heads": [[3, 3]], "kind": "zero", "factor": 0.5, "dose": 4, "concept": "gratitude", "single": True}]
OTHER = [{**OFF[0], "heads": [[1, 2]]}]


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return hs.load_model("demo")


def test_both_arms_are_streamed_as_inspect_writes_them(
    live_run: LiveView, model: HeadModel, small_profile: Profile
) -> None:
    live_run.open(concept="gratitude", groups=OFF, seed=3, max_tokens=12)
    live_run.click("#write").wait_written()
    inspection = hs.inspect(model, PROMPT, profile=small_profile, concept="gratitude")
    texts = {"baseline": "", "edited": ""}
    for piece in inspection.write([inspection.edit("3:3", "zero")], max_tokens=12, seed=3):
        texts[piece.arm] += piece.text
    assert {arm: live_run.written(arm) for arm in texts} == texts
    pieces = difference(texts["baseline"], texts["edited"])
    for arm, tag, sign in (("baseline", "del", "-"), ("edited", "ins", "+")):
        marked = live_run.each(f"#written-{arm} {tag}", "one.textContent")
        assert marked == [text for kind, text in pieces if kind == sign]
    live_run.click("#again").wait_written()
    assert live_run.view()["seed"] == 4


def test_text_is_written_along_with_every_click(live: LiveView) -> None:
    live.open(along=True).wait_written()
    assert live.written("baseline")
    live.click_head(3, 3).wait_written()
    assert live.written("edited")


def test_writing_can_be_stopped(live: LiveView) -> None:
    live.open(max_tokens=180, temperature=2.0, top_p=1.0)
    # Stopped from the page's own loop as soon as anything is written.
    live.run(
        "const box = document.getElementById('written-baseline');"
        "new MutationObserver((_, self) => {"
        "  if (!box.textContent) return; self.disconnect(); document.getElementById('stop').click();"
        "}).observe(box, {childList: true});"
        "document.getElementById('write').click()"
    )
    live.wait("return document.getElementById('arms').dataset.state === 'stopped'")
    text = live.written("baseline")
    live.click_head(0, 0)
    assert live.written("baseline") == text
    assert live.next_words()


def test_two_windows_with_different_edits_do_not_mix(live: LiveView) -> None:
    driver = live.page.driver
    alone = [live.open(groups=groups).next_words() for groups in (OFF, OTHER)]
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        second = driver.current_window_handle
        live.open()
        driver.switch_to.window(first)
        live.open()
        # Both are clicked before either is waited for.
        live.run("document.querySelector(\"[data-head='3:3']\").click()")
        driver.switch_to.window(second)
        live.run("document.querySelector(\"[data-head='1:2']\").click()")
        shown = [live.rest().next_words()]
        assert live.edited() == {"1:2": "zero 0"}
        driver.close()
        driver.switch_to.window(first)
        shown.insert(0, live.rest().next_words())
        assert live.edited() == {"3:3": "zero 0"}
    finally:
        driver.switch_to.window(first)
    assert shown == alone
    assert shown[0] != shown[1]


def test_a_reload_keeps_the_view(live: LiveView) -> None:
    live.open().type("We all feel").click_head(2, 1).click_head(2, 1).choose("#language", "ja")
    live.click("#theme")
    live.choose("#coloring", "value_weighted")
    before = live.view(), live.next_words(), live.edited()
    live.page.driver.refresh()
    live.wait("return document.body.dataset.ready === 'true'")
    live.rest()
    assert (live.view(), live.next_words(), live.edited()) == before
    assert live.run("return document.documentElement.dataset.theme") == "dark"
    assert live.run("return document.documentElement.lang") == "ja"
    assert live.run("return new URLSearchParams(location.search).get('token')")


def test_a_foreign_fragment_changes_nothing_it_may_not(live: LiveView) -> None:
    groups = [{"heads": [[99, 0]], "kind": "zero", "factor": 1, "dose": 1}, {"heads": "x", "kind": "<b>"}, None]
    live.open(groups=groups, language="xx", theme=7, head=["a"], queries=[-1], mode="chat", off="rm", concept="nobody")
    assert live.edited() == {}
    assert live.next_words()
    assert live.faults() == []


def test_keys_alone_do_the_whole_loop(live: LiveView) -> None:
    live.open()
    live.press(Keys.TAB, Keys.ENTER)
    assert live.run("return document.activeElement.id") == "text"
    live.press(Keys.END, " very")
    live.rest()
    read = live.next_words()
    tab_to(live, "[data-head]")
    live.press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.END, Keys.ARROW_DOWN, Keys.ENTER)
    live.rest()
    assert live.edited() == {"2:3": "zero 0"}
    assert live.next_words() != read
    outline = live.run(
        "const look = getComputedStyle(document.activeElement); return [look.outlineStyle, look.outlineWidth]"
    )
    assert outline == ["solid", "3px"]
    live.press("s", "+")
    live.rest()
    assert live.edited() == {"2:3": "scale ×0.75"}
    live.press(Keys.DELETE)
    live.rest()
    assert live.edited() == {}
    live.press(Keys.HOME)
    ActionChains(live.page.driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_UP, Keys.ARROW_RIGHT).key_up(
        Keys.SHIFT
    ).send_keys(Keys.ENTER).perform()
    live.rest()
    assert set(live.edited()) == {"1:0", "1:1", "2:0", "2:1"}
    tab_to(live, "#next-words button")
    live.press(Keys.ENTER)
    assert live.view()["coloring"] == "direct"
    tab_to(live, "#text")  # round to the beginning: nothing holds the focus
    tab_to(live, "#write")
    live.press(Keys.ENTER)
    live.wait_written()
    assert live.written("edited")


def tab_to(live: LiveView, selector: str) -> None:
    """Press Tab until an element that fits has the focus; each step must move it."""
    for _ in range(80):
        live.press(Keys.TAB)
        if live.run("return document.activeElement.matches(arguments[0])", selector):
            return
    pytest.fail(f"Tab does not reach {selector}")


HOSTILE = {
    "markup": "<script>document.title = 'x'</script><img src=x onerror=\"document.title='x'\"> </script><!--",
    "right to left": "\u202eevil שלום עולם",
    "emoji": "Thank you 👩‍👩‍👧 🎉",
    "white space": " a\n\tb  ",
    "braces": "{{ 7 * 7 }} {token} %s",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_shows_as_itself(live: LiveView, name: str) -> None:
    text = HOSTILE[name]
    live.open(along=True).type(text).wait_written()
    shown = text.replace(" ", "·").replace("\n", "↵").replace("\t", "→").replace("\u202e", "U+202E")
    assert live.tokens().replace("⋯", "") == shown
    assert live.run("return document.title") == "headscope explore: demo"
    assert live.run("return document.querySelectorAll('main script, main img').length") == 0
    assert live.each("#tokens button", "getComputedStyle(one).unicodeBidi").count("isolate") >= len(text.split())
    assert live.faults() == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a b" * 3333 + "c", "longer than the model's context"),
        ("so " * 400, "at most 192 tokens"),
        ("a\x01b", "U+0001"),
    ],
    ids=["10,000 characters", "longer than the context", "a control character"],
)
def test_what_cannot_be_read_gets_a_sentence(live: LiveView, text: str, told: str) -> None:
    live.open().type(text)
    assert told in live.trouble("prompt")
    assert live.next_words() == [], "numbers of another prompt do not stand beside it"
    assert live.faults() == []
    live.type("I am")
    assert live.trouble("prompt") == ""
    assert live.next_words()


@pytest.mark.parametrize("wrong", [{"seed": -5}, {"max_tokens": 100_000}, {"max_tokens": 1.5}, {"temperature": -1}])
def test_an_address_with_numbers_that_cannot_be_is_read_without_them(live: LiveView, wrong: dict[str, float]) -> None:
    live.open(**wrong)
    assert (live.trouble("prompt"), live.trouble("says")) == ("", "")
    assert live.next_words()
    assert not wrong.items() <= live.view().items()


def test_a_prompt_whose_readouts_do_not_fit_is_read_without_log_odds(live: LiveView) -> None:
    live.open(text="tea" + " tea" * 184)
    assert live.next_words()
    assert "Log-odds cannot be read, because" in live.text("#log-odds")
    assert live.text("#lines").startswith("headscope inspect")
    live.type("I am")
    assert live.log_odds()


def test_an_empty_prompt_is_the_models_beginning(live: LiveView) -> None:
    live.open().type("")
    assert live.each("#tokens button", "one.textContent") == ["<|endoftext|>"]
    assert live.next_words() or live.trouble("prompt")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("width", [390, 820, 1440])
def test_nothing_is_wider_than_the_window(live: LiveView, width: int, language: str, scheme: str) -> None:
    live.open(width=width, scheme=scheme, language=language, text="word " * 30 + "x" * 60, groups=OFF)
    assert live.run("return document.documentElement.scrollWidth <= innerWidth")
    assert live.run("return document.documentElement.dataset.theme") == scheme
    sentence = live.run(
        "const box = document.getElementById('sentence').getBoundingClientRect(); return [box.top, box.bottom]"
    )
    assert 0 <= sentence[0] < sentence[1] <= live.run("return innerHeight"), "the sentence is in view"
    assert live.faults() == []


def test_the_japanese_page_says_everything_in_japanese(live: LiveView) -> None:
    live.open(groups=OFF).choose("#language", "ja")
    said = live.run("return [...document.querySelectorAll('[data-say]')].map((one) => one.textContent)")
    spoken = [text for text in said if text and text not in ("top-p", "Python")]
    assert all(any(ord(char) > 0x3000 for char in text) for text in spoken), spoken
    assert live.run("return document.documentElement.lang") == "ja"
    assert "切る" in live.text("#edits")
    live.choose("#language", "en")
    assert live.text("#prompt-title") == "Prompt"


def test_the_line_that_tests_it_stands_beside_the_sentence(live: LiveView) -> None:
    live.open(groups=OFF)
    assert live.text("#sentence") == "One prompt is an example, not evidence. This command tests it:"
    assert live.text("#test").startswith("headscope ablate")
    assert "3:3" in live.text("#test")
    assert live.text("#lines").startswith("headscope inspect")
    live.click("#lines-of button[value=python]")
    assert "hs.inspect(" in live.text("#lines")


def test_a_prompt_is_added_to_the_profile_folder(live: LiveView, kept: Path) -> None:
    live.open(text="We thank you all")
    live.choose("#keep-concept", "gratitude").click("#keep")
    live.wait("return document.getElementById('taken').textContent.includes('Kept as')")
    assert "We thank you all" in (kept / "prompts.jsonl").read_text()
    assert load_profile("baseline").concepts.keys() >= {"gratitude"}


def test_edits_and_the_picture_are_saved(live: LiveView, tmp_path: Path) -> None:
    live.page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": True}
    )
    live.open(groups=OFF).click("#save-edit").click("#picture")
    ended = {".safetensors", ".png"}
    WebDriverWait(live.page.driver, 30).until(lambda _: {file.suffix for file in tmp_path.iterdir()} == ended)
    edit = hs.load_edit(next(tmp_path.glob("*.safetensors")))
    assert str(edit.heads) == "3:3"
    assert next(tmp_path.glob("*.png")).read_bytes().startswith(b"\x89PNG")


def test_no_request_leaves_the_machine(live: LiveView) -> None:
    live.open(along=True, groups=OFF).wait_written()
    live.choose("#coloring", "attention").click("#tokens button")
    hosts = {urlsplit(url).hostname for url in live.page.requests()}
    assert hosts == {"127.0.0.1"}
    assert live.faults() == []


def test_a_server_that_has_ended_is_told(live: LiveView) -> None:
    live.open()
    live.page.driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    try:
        live.page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        live.click("[data-head='0:0']")
        live.wait("return !document.getElementById('trouble-page').hidden")
        assert "headscope explore" in live.text("#trouble-page")
    finally:
        live.page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline | {"offline": False})
    live.click_head(0, 1)
    assert live.run("return document.getElementById('trouble-page').hidden")
