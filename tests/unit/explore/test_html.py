"""The page is one file that needs nothing else, and no text of a prompt, profile or model gets out of its place."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from headscope.explore.facts import facts_of
from headscope.explore.html import page_html
from headscope.models.head_model import HeadModel
from headscope.profiles.loading import load_profile

HOSTILE = "</script><script>alert(1)</script><!-- \u2028"


def test_every_script_and_style_bears_the_nonce_and_nothing_is_loaded(model: HeadModel) -> None:
    html = page_html(facts_of(model, load_profile("baseline"), None, keep=Path("kept")), "the-nonce")
    opened = re.findall(r"<(?:script|style)\b[^>]*>", html)
    assert len(opened) >= 3
    assert all('nonce="the-nonce"' in tag or 'type="application/json"' in tag for tag in opened)
    markup = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", html)
    assert not re.search(r"""\s(?:style|on\w+)=|(?:src|href)=["']?(?:https?:|//)""", markup)


def test_hostile_names_and_texts_stay_data(model: HeadModel) -> None:
    baseline = load_profile("baseline")
    first, *others = baseline.prompts
    profile = replace(baseline, name=HOSTILE, prompts=(replace(first, text=HOSTILE), *others))
    plain = page_html(facts_of(model, baseline, None, keep=Path("kept")), "n")
    html = page_html(facts_of(replace(model, name=HOSTILE), profile, None, keep=Path(HOSTILE)), "n")
    assert HOSTILE not in html
    for tag in ("<script", "</script", "<!--"):
        assert html.count(tag) == plain.count(tag)
    found = re.search(r'(?s)id="facts">(.*?)</script>', html)
    assert found is not None
    facts = json.loads(found[1])
    assert (facts["model"]["name"], facts["profile"]["examples"][0]["text"]) == (HOSTILE, HOSTILE)
