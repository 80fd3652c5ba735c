"""``headscope explore MODEL``: the live view, a page on this machine."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.job import load
from headscope.errors import RequestError
from headscope.settings import Loading, Option
from headscope.settings.groups import ASKED, OUTPUT

if TYPE_CHECKING:
    from headscope.explore.serving import Explorer


@dataclass(frozen=True, kw_only=True)
class _Explored:
    name: Annotated[
        str | None,
        Option(
            "'demo', a checkpoint folder, a GGUF file, or a hub model's name.",
            "", is_name=True, is_argument=True, name="model",
        ),
    ] = None  # fmt: skip
    option: Annotated[
        str | None,
        Option("The same, as other commands take it.", ASKED, "--model -m", is_name=True, name="model_option"),
    ] = None
    run: Annotated[Path | None, Option("A run of this model: its maps, verdicts and profile.", ASKED)] = None
    profile: Annotated[
        str | None,
        Option(
            "A bundled profile, a profile folder, or one file of prompts; left out: the run's, else baseline.",
            ASKED, "--profile -p", is_name=True,
        ),
    ] = None  # fmt: skip
    keep: Annotated[Path, Option("The profile folder that prompts of the page are added to.", OUTPUT)] = Path(
        "explored"
    )
    port: Annotated[int, Option("On 127.0.0.1; 0 for any that is free.", OUTPUT, check=0)] = 0
    language: Annotated[str, Option("The language that the page begins in.", OUTPUT, "--language --lang")] = "en"
    browser: Annotated[
        bool, Option("Open no browser, print the address only.", OUTPUT, name="no_browser", negated=True)
    ] = True

    @property
    def model(self) -> str:
        """The model, as an argument or as an option; RequestError where it is neither, or both."""
        given = [each for each in (self.name, self.option) if each is not None]
        if len(given) != 1:
            raise RequestError(
                "one model is explored", expected="headscope explore MODEL", got=" and ".join(given) or "none"
            )
        return given[0]


@command(
    "model model_option run profile keep port language no_browser memory_budget device device_map dtype bos unchecked "
    "tokenizer trust_remote_code"
)
def explore(asked: _Explored, loading: Loading) -> None:
    """Type a sentence, switch heads off, and see what the model says: a page on this machine, until Ctrl-C.

    One prompt is an example, not evidence; the page gives the command that tests what it shows. Only this machine can
    reach it, and only with the token in its address. Needs pip install "headscope\\[explore]".

    [bold]Examples[/bold]

    headscope explore demo

    headscope explore ./my-checkpoint --run runs/mine --no-browser
    """
    from headscope.explore.extra import require_extra
    from headscope.profiles.loading import load_profile
    from headscope.report.words import check_language
    from headscope.runs.atomic import check_folder_writable
    from headscope.runs.folder import Run

    require_extra()
    name = asked.model
    check_language(asked.language)
    check_folder_writable(asked.keep)
    run = None if asked.run is None else Run.open(asked.run)
    profile = None if asked.profile is None else load_profile(asked.profile)
    from headscope.explore.serving import Explorer, listening

    with listening(asked.port) as port:  # taken first, because loading may take long
        console.note(f"loading {name} ...")
        model = load(name, loading)
        given = {name: value for name, value in vars(loading).items() if value != getattr(Loading(), name)}
        served = Explorer(
            model, run=run, profile=profile, keep=asked.keep, port=port, language=asked.language, loaded=given
        )
        with served:
            _serve(served, model.notes, browser=asked.browser)


def _serve(served: Explorer, notes: Sequence[str], *, browser: bool) -> None:
    """Tell the address, and answer until Ctrl-C."""
    for warning in (*notes, *served.warnings):
        console.warn(warning)
    try:
        console.say(served.address)
        sys.stdout.flush()
        console.note(how_to_end(served.port))
        if browser and not opened_in_browser(served.address):
            console.note("no browser was found here; open the address in one")
        served.serve()
    except KeyboardInterrupt:
        console.note("headscope explore has ended")


def how_to_end(port: int) -> str:
    """What is told under the address: over SSH also how to reach it from the machine one sits at."""
    end = "Ctrl-C ends it."
    if "SSH_CONNECTION" not in os.environ:
        return end
    return (
        f"{end} From your own machine: ssh -L {port}:127.0.0.1:{port} THIS_MACHINE, then open the same address there."
    )


def opened_in_browser(address: str) -> bool:
    """Open a browser; not one that would take this terminal."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    if isinstance(browser, webbrowser.GenericBrowser) and not isinstance(browser, webbrowser.BackgroundBrowser):
        return False
    return browser.open(address)
