"""What the page may ask: the shape of every request, with its limits.

A request is JSON of at most ``BODY_LIMIT_BYTES``. It carries the whole view (prompt, edits), because the server keeps
nothing of a page. Texts hold no half characters and no control characters; heads are a spec, never a file.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import from_json

from headscope.errors import RequestError
from headscope.profiles.explaining import first_misfit
from headscope.profiles.schema import Messages, Name, Readable
from headscope.runs.head_files import MARK

BODY_LIMIT_BYTES = 2**20
TEXT_LIMIT_CHARACTERS = 20_000
MESSAGES_LIMIT_COUNT = 20
EDITS_LIMIT_COUNT = 200
"""Each head that is scaled or steered by a click is an edit of its own."""
TOKENS_LIMIT_COUNT = 200
_SPEC_LIMIT_CHARACTERS = 4_000
_PLACES_LIMIT_COUNT = 20_000

V = TypeVar("V", bound="View")


def _spec(heads: str) -> str:
    if heads.strip().startswith(MARK):
        raise ValueError('heads such as "1:10,5:*"; files of heads are for the command line')
    return heads


def _short(text: str) -> str:
    if len(text) > TEXT_LIMIT_CHARACTERS:
        raise ValueError(f"a text of at most {TEXT_LIMIT_CHARACTERS:,} characters; it has {len(text):,}")
    return text


Client = Annotated[str, StringConstraints(pattern=r"^[\w-]+$", max_length=64)]
Spec = Annotated[str, StringConstraints(max_length=_SPEC_LIMIT_CHARACTERS), AfterValidator(_spec)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Places = Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=_PLACES_LIMIT_COUNT)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PromptAsked(_Strict):
    """The prompt: a text, a conversation, or one of the profile by its id."""

    text: Annotated[Readable, AfterValidator(_short)] | None = None
    messages: Annotated[Messages, Field(max_length=MESSAGES_LIMIT_COUNT)] | None = None
    id: Annotated[str, StringConstraints(max_length=200)] | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> PromptAsked:
        if len([each for each in (self.text, self.messages, self.id) if each is not None]) != 1:
            raise ValueError("one of text, messages and id")
        characters = sum(len(message.content) for message in self.messages or ())
        if characters > TEXT_LIMIT_CHARACTERS:
            raise ValueError(f"messages of at most {TEXT_LIMIT_CHARACTERS:,} characters together")
        return self


class EditAsked(_Strict):
    """One edit of a set of heads."""

    heads: Spec
    kind: Literal["zero", "mean", "bos", "scale", "add"]
    factor: Finite | None = None
    dose: Finite | None = None
    concept: Name | None = None


class View(_Strict):
    """A prompt and the edits under which it is read; ``client`` is the page's own random name."""

    client: Client
    prompt: PromptAsked
    chat: bool = False
    concept: Name | None = None
    edits: Annotated[list[EditAsked], Field(max_length=EDITS_LIMIT_COUNT)] = Field(default_factory=list[EditAsked])


class AttentionAsked(View):
    """What one head looks at; of a long prompt only from the tokens ``queries``."""

    layer: Annotated[int, Field(ge=0)]
    head: Annotated[int, Field(ge=0)]
    queries: Places | None = None


class MapAsked(View):
    """One number a head."""

    measure: Literal["attention", "value_weighted", "direct"]
    queries: Places = Field(default_factory=list[int])
    keys: Places = Field(default_factory=list[int])
    token_id: Annotated[int, Field(ge=0)] | None = None


class WriteAsked(View):
    """What is read of the prompt and written after it, with and without the edits."""

    max_tokens: Annotated[int, Field(ge=1, le=TOKENS_LIMIT_COUNT)] = 30
    temperature: Annotated[Finite, Field(gt=0)] = 1.0
    top_p: Annotated[Finite, Field(gt=0, le=1)] = 0.9
    greedy: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class EditFileAsked(View):
    """One of the edits as a file."""

    index: Annotated[int, Field(ge=0)] = 0


class KeepAsked(View):
    """The prompt, for a profile of one's own."""

    concept: Name  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues] - here it must be there


def read(body: bytes, shape: type[V]) -> V:
    """A request of the page.

    Raises:
        RequestError: no JSON, or of another shape.
    """
    try:
        data = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError("the request is no JSON", expected="one JSON object", got=str(error)) from error
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        misfit = first_misfit(error, data)
        raise RequestError(
            f"{misfit.name} cannot be asked like this", expected=misfit.expected, got=misfit.got
        ) from error
