"""Debian's chromium, driven by selenium; the tests skip, with the reason, where there is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import xarray as xr
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from headscope.report.page import render_page
from tests.browser.fake_arrays import fake_arrays
from tests.unit.report.fake_tables import fake_facts, fake_tables

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


class Page:
    """One page in the browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, path: Path | str, fragment: str = "", *, width: int = 1440, scheme: str = "light") -> Page:
        """Load a file or an address afresh and wait until everything is drawn."""
        command = self.driver.execute_cdp_cmd
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        command("Emulation.setDeviceMetricsOverride", size)
        media = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        command("Emulation.setEmulatedMedia", {"media": "", "features": media})
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get((path if isinstance(path, str) else path.as_uri()) + fragment)
        WebDriverWait(self.driver, 60, 0.1).until(lambda _: self.run("return document.body.dataset.ready === 'true'"))
        return self

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """The text of the first element."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def each(self, selector: str, value: str) -> list[Any]:
        """The value of a JavaScript expression for each element, called ``one`` there."""
        return list(self.run(f"return [...document.querySelectorAll(arguments[0])].map((one) => {value})", selector))

    def errors(self) -> list[str]:
        """What the console was told since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Every address asked for since the page was opened."""
        told = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [one["params"]["request"]["url"] for one in told if one["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith(("data:", "blob:", "about:"))]

    def press(self, *keys: str) -> None:
        """Type keys into what has the focus."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def cell(self, at: int, layer: int, head: int) -> tuple[float, float]:
        """Where in the window the middle of a map's cell is; the map is scrolled into view."""
        x, y = self.run(
            """
            const box = document.querySelectorAll("#maps [role=application]")[arguments[0]];
            box.scrollIntoView({block: "center", behavior: "instant"});
            const {xaxis, yaxis} = box._fullLayout, {left, top} = box.getBoundingClientRect();
            return [left + xaxis._offset + xaxis.d2p(arguments[2]), top + yaxis._offset + yaxis.d2p(arguments[1])];
            """,
            at,
            layer,
            head,
        )
        return float(x), float(y)

    def mouse(self, spot: tuple[float, float], *kinds: str) -> None:
        """Move the mouse to a spot of the window and, for ``mousePressed`` and ``mouseReleased``, use its button."""
        for kind in ("mouseMoved", *kinds):
            event = {
                "type": kind,
                "x": spot[0],
                "y": spot[1],
                "button": "left",
                "clickCount": int(kind != "mouseMoved"),
            }
            self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def wait(self, script: str) -> Any:
        """Wait until a script returns something true, and return it."""
        return WebDriverWait(self.driver, 20, 0.05).until(lambda _: self.run(script))


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser, shared by all tests; each opens its own file."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no chromium with chromedriver on this machine (Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    yield Page(driver)
    driver.quit()


Write = Callable[..., Path]


@pytest.fixture(scope="session")
def write_page(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Renders a page into a file."""

    def write(
        tables: Mapping[str, pd.DataFrame], facts: Mapping[str, Any], arrays: Mapping[str, xr.Dataset] | None = None
    ) -> Path:
        path = tmp_path_factory.mktemp("page") / "report.html"
        path.write_text(render_page(tables, facts, arrays), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def tables() -> dict[str, pd.DataFrame]:
    """A run of a model of 4 x 4 heads."""
    return fake_tables(4, 4)


@pytest.fixture(scope="session")
def report(tables: dict[str, pd.DataFrame], write_page: Write) -> Path:
    """That run's page."""
    return write_page(tables, fake_facts(4, 4), fake_arrays(tables))
