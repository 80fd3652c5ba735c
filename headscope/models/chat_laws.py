"""What holds of a tokenizer's chat template, found when the model is loaded: rows of the load check's table.

A made-up conversation is put into the template and encoded. A template serves only who asks for it, so one of which a
law does not hold refuses no model: the row says so, and prompts that need what is missing are refused where they are
asked. Differences are numbers of tokens that should not be there.
"""

from __future__ import annotations

from headscope.chat import PLAIN, Chat, Turns, named_templates
from headscope.errors import ProfileError, RequestError
from headscope.models.head_model import HeadModel
from headscope.models.law_report import Law, unmeasured
from headscope.profiles.types import Message, Prompt
from headscope.tokens import Encoder

_TURNS = (("user", "Where is the town?"), ("assistant", "By the sea"), ("user", "Who lives there?"))


def chat_laws(model: HeadModel) -> list[Law]:
    """A law for each property of the template that prompts rest on; none where the tokenizer has no template."""
    if not named_templates(model.tokenizer):
        return []
    encoder = Encoder(model.tokenizer, model.bos_token_id, chat_template=True)
    try:
        chat = encoder.chat
    except RequestError as error:
        return [unmeasured("chat: one template", error.problem)]
    if chat is None:
        return []
    return [_bos_law(encoder), _twice_law(chat), _span_law(encoder), _system_law(chat), _continued_law(encoder, chat)]


def _bos_law(encoder: Encoder) -> Law:
    name, bos = "chat: one BOS, and not two", encoder.bos_token_id
    if bos is None:
        return unmeasured(name, "no BOS is put before texts")
    try:
        ids = encoder.encode_prompt(_prompt(_TURNS[:1])).ids
    except (ProfileError, RequestError) as error:
        return _refused(name, error)
    n_leading = next((index for index, token in enumerate(ids) if token != bos), len(ids))
    return _law(name, abs(n_leading - 1), "")


def _twice_law(chat: Chat) -> Law:
    name = "chat: rendered twice = once"
    try:
        first, second = chat.rendered_anew(PLAIN), chat.rendered_anew(PLAIN)
    except RequestError as error:
        return _refused(name, error)
    changed = sum(one != other for one, other in zip(first.pieces, second.pieces, strict=True))
    return _law(name, changed, "it says something else each time: the first is kept for a run")


def _span_law(encoder: Encoder) -> Law:
    """The tokens of each content hold its characters and no other visible ones."""
    name = "chat: a span's text stays"
    note, turns = "", _TURNS
    try:
        encoder.encode_prompt(_prompt(turns))
    except (ProfileError, RequestError) as error:
        note, turns = f"of one turn; {error.problem}", _TURNS[:1]
    try:
        prompt = _prompt(turns)
        tokens = encoder.encode_prompt(prompt)
        places = [encoder.place_span(prompt, (part.start, part.end)) for part in prompt.parts]
    except (ProfileError, RequestError) as error:
        return _refused(name, error)
    n_other = 0
    for place, (_, content) in zip(places, turns, strict=True):
        held = [tokens.offsets[index] for index in tokens.of_span(place)]
        exact = bool(held) and tokens.text[held[0][0] : held[-1][1]].strip() == content
        n_other += not exact
    return _law(name, n_other, "tokens of a span hold words of the template too", note)


def _system_law(chat: Chat) -> Law:
    name = "chat: a system message is kept"
    try:
        chat.frame(("system", *PLAIN))
    except RequestError as error:
        return _refused(name, error)
    return _law(name, 0, "")


def _continued_law(encoder: Encoder, chat: Chat) -> Law:
    """Behind an assistant's words that come last there is no token: none ends the turn."""
    name = "chat: an assistant's words are gone on with"
    prompt = _prompt(_TURNS[:2])
    try:
        tokens = encoder.encode_prompt(prompt)
        last = tokens.of_span(encoder.place_span(prompt, (prompt.parts[1].start, prompt.parts[1].end)))
    except (ProfileError, RequestError) as error:
        return _refused(name, error)
    n_behind = len(tokens) - 1 - last[-1] if last else len(tokens)
    has_end = chat.end_of_turn() in tokens.ids[last[0] :] if last else True
    return _law(name, n_behind + has_end, "tokens stand behind them")


def _prompt(turns: Turns) -> Prompt:
    text, messages = "", list[Message]()
    for role, content in turns:
        messages.append(Message(role, len(text), len(text) + len(content)))
        text += content
    return Prompt("made up", text, "", messages=tuple(messages))


def _law(name: str, n_wrong: int, if_not: str, note: str = "") -> Law:
    return Law(name, float(n_wrong), 0.0, True, note) if n_wrong == 0 else Law(name, float(n_wrong), 0.0, None, if_not)


def _refused(name: str, error: ProfileError | RequestError) -> Law:
    raised = "" if error.__cause__ is None else f" ({' '.join(str(error.__cause__).split())[:100]})"
    return unmeasured(name, f"prompts that need it are refused: {error.problem}{raised}")
