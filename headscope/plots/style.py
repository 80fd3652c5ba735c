"""One look for every picture, without touching matplotlib's global state.

A picture that makes its own figure is drawn under ``house_style``: matplotlib's defaults (not the user's matplotlibrc,
so that the same table gives the same bytes everywhere) with small sans-serif type, because figures are drawn at the
size they are printed at: 3.4 inches for a column, 6.9 for a page. A picture drawn into a caller's ``ax`` keeps the
caller's style. Colors are Okabe and Ito's (2008), which stay apart under the common color-vision deficiencies; the
diverging map is ColorBrewer's RdBu, safe for the same. Text from profiles and models is never read as math, and a
character the fonts at hand cannot draw is shown as its code point instead of an empty box.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from headscope.errors import RequestError

COLUMN_INCHES = 3.4
PAGE_INCHES = 6.9
DPI = 200

BLACK, GRAY, LIGHT_GRAY = "#222222", "#8c8c8c", "#d9d9d9"
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY = "#cc79a7", "#56b4e9"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BLACK)
DIVERGING = "RdBu_r"

_BASE_FONT = "DejaVu Sans"
_WIDE_FONTS = ("Noto Sans CJK JP", "Noto Sans JP", "IPAexGothic", "IPAGothic", "Hiragino Sans", "Yu Gothic", "Meiryo")
_NOT_STYLE = ("backend", "interactive", "toolbar", "timezone", "webagg.", "tk.", "savefig.directory", "figure.hooks")
_HOUSE: Mapping[str, Any] = {
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 8.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": BLACK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "svg.hashsalt": "headscope",
    "svg.fonttype": "path",
}


@contextmanager
def house_style() -> Generator[None]:
    """Draw and save under the house's style; the caller's ``rcParams`` are back afterwards."""
    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith(_NOT_STYLE)}
    rc: Any = {**defaults, **_HOUSE, "font.family": [_BASE_FONT, *_wide_fonts()]}
    with matplotlib.rc_context(rc):
        yield


@contextmanager
def drawing(ax: Axes | None, width: float, height: float) -> Generator[Axes]:
    """The axes to draw into: the caller's in the caller's style, or new ones of ``width`` x ``height`` inches."""
    if ax is not None:
        with matplotlib.rc_context({"text.parse_math": False}):
            yield ax
        return
    with house_style():
        yield new_figure(width, height).add_subplot()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of ``width`` x ``height`` inches on an Agg canvas, never registered with pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def figure_of(ax: Axes) -> Figure:
    """The figure that holds ``ax``."""
    figure = ax.get_figure(root=True)
    if not isinstance(figure, Figure):
        raise RequestError("the axes belong to no figure", fix="make them with a figure, e.g. Figure().add_subplot()")
    return figure


def image_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as ``png`` (200 dpi) or ``svg`` without dates, versions or random ids: same figure, same bytes."""
    stream = BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with house_style():
        _lay_out(figure)
        # Not by ``savefig``, which draws once more before it draws, to let a layout settle that is settled.
        figure.set_dpi(DPI)
        if kind == "png":
            FigureCanvasAgg(figure).print_png(stream, metadata=metadata)
        else:
            FigureCanvasSVG(figure).print_svg(stream, metadata=metadata)
    return stream.getvalue()


def _lay_out(figure: Figure) -> None:
    """Place the panels once and for all: layout costs as much as drawing, and every save would repeat it twice."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def printable(text: str, longest: int = 40) -> str:
    """``text`` as a label: one line, at most ``longest`` characters, undrawable ones replaced by their code points."""
    drawable = _drawable((_BASE_FONT, *_wide_fonts()))
    flat = " ".join(str(text).split())
    flat = flat if len(flat) <= longest else flat[: longest - 1] + "…"
    return "".join(char if ord(char) in drawable else f"<U+{ord(char):04X}>" for char in flat)


@lru_cache(maxsize=1)
def _wide_fonts() -> tuple[str, ...]:
    """The first installed font that draws Japanese, as a tuple of at most one name."""
    return _wide_known() or _wide_installed_since()


def _wide_known() -> tuple[str, ...]:
    known = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in _WIDE_FONTS if name in known)[:1]


def _wide_installed_since() -> tuple[str, ...]:
    """Matplotlib keeps its list of fonts from its first run; fonts installed since are missing there."""
    starts = tuple(name.replace(" ", "").lower() for name in (*_WIDE_FONTS, "NotoSansCJK", "ipaexg", "ipag"))
    listed = {font.fname for font in font_manager.fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - listed):
        if Path(path).stem.replace(" ", "").lower().startswith(starts):
            font_manager.fontManager.addfont(path)
    return _wide_known()


def undrawn(texts: Iterable[str]) -> list[str]:
    """Those of the texts that no font at hand can draw in full; ``printable`` shows code points for what is missing."""
    drawable = _drawable((_BASE_FONT, *_wide_fonts()))
    return [text for text in texts if any(ord(char) not in drawable for char in " ".join(text.split()))]


@lru_cache(maxsize=2)
def _drawable(families: tuple[str, ...]) -> frozenset[int]:
    paths = [Path(font_manager.findfont(family)) for family in families]
    return frozenset(code for path in paths for code in FT2Font(str(path)).get_charmap())
