"""The live view as a reader uses it: types, clicks, waits until the page is at rest, reads what it shows."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.browser.conftest import Page

PROMPT = "I am so"
NO_WRITING = {"along": False}
"""A view that writes only when it is told to."""


def fragment(**view: Any) -> str:
    """The end of an address that opens a view."""
    return "#view=" + json.dumps(view)


class LiveView:
    """The page of one address in the browser's window."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.run = page.run
        self.text = page.text
        self.each = page.each
        self.wait = page.wait
        self.press = page.press

    def open(self, *, width: int = 1440, scheme: str = "light", **view: Any) -> LiveView:
        """Load the page with a view, by default of ``PROMPT`` and without writing, and wait until it is at rest."""
        asked = {"text": PROMPT} | NO_WRITING | view
        self.page.open(self.address, fragment(**asked), width=width, scheme=scheme)
        return self.rest()

    def rest(self) -> LiveView:
        """Wait until the view is read."""
        self.wait("return document.body.dataset.state === 'idle'")
        return self

    def find(self, selector: str) -> WebElement:
        return self.page.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> LiveView:
        """Bring an element into view and click it with the mouse."""
        self.run(
            "document.querySelector(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'})", selector
        )
        self.find(selector).click()
        return self

    def click_head(self, layer: int, head: int) -> LiveView:
        self.click(f"[data-head='{layer}:{head}']")
        return self.rest()

    def type(self, text: str) -> LiveView:
        """Put a text in place of the prompt, as pasting does."""
        self.run(
            "const box = document.getElementById('text'); box.value = arguments[0];"
            "box.dispatchEvent(new Event('input', {bubbles: true}))",
            text,
        )
        return self.rest()

    def choose(self, select: str, value: str) -> LiveView:
        self.run(
            "const box = document.querySelector(arguments[0]); box.value = arguments[1];"
            "box.dispatchEvent(new Event('change', {bubbles: true}))",
            select,
            value,
        )
        return self.rest()

    def drag(self, first: str, last: str) -> LiveView:
        """Press the mouse on one element and release it on another."""
        self.run("document.getElementById('board').scrollIntoView({block: 'center', behavior: 'instant'})")
        chain = ActionChains(self.page.driver).click_and_hold(self.find(first))
        chain.move_to_element(self.find(last)).release().perform()
        return self.rest()

    def view(self) -> dict[str, Any]:
        """What the address keeps, when the page has written it there."""
        self.run("window.dispatchEvent(new Event('pagehide'))")
        return json.loads(unquote(str(self.run("return location.hash")).removeprefix("#view=")))

    def next_words(self) -> list[list[str]]:
        """Each row's token id, and its numbers as they are shown."""
        cells = "[...one.querySelectorAll('td:not([aria-hidden])')].map((cell) => cell.textContent)"
        return self.each("#next-words tbody tr", f"[one.dataset.token, ...{cells}]")

    def log_odds(self) -> list[list[str]]:
        """Each row's concept, and its numbers as they are shown."""
        return self.each(
            "#log-odds tbody tr", "[one.dataset.concept, ...[...one.querySelectorAll('td')].map((c) => c.textContent)]"
        )

    def edited(self) -> dict[str, str]:
        """The mark of each edited head in the map."""
        found = self.each("#board [data-kind]", "[one.dataset.head, one.dataset.kind + ' ' + one.dataset.mark]")
        return dict(found)

    def tokens(self) -> str:
        """The tokens as they are shown, joined."""
        return "".join(self.each("#tokens button:not(.special)", "one.textContent"))

    def written(self, arm: str) -> str:
        return self.text(f"#written-{arm}")

    def wait_written(self) -> LiveView:
        self.wait("return document.getElementById('arms').dataset.state === 'done'")
        return self

    def trouble(self, place: str) -> str:
        """The sentence that stands in a place, empty where none does."""
        return str(
            self.run(
                "const box = document.getElementById('trouble-' + arguments[0]);"
                "return box.hidden ? '' : [...box.querySelectorAll('p')].map((one) => one.textContent).join('\\n')",
                place,
            )
        )

    def faults(self) -> list[str]:
        """What the console was told, without the log of answers that refuse something in a sentence (422)."""
        return [error for error in self.page.errors() if "422" not in error]
