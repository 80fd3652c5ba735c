"""What all prompts that are inspected share: edits of one profile, texts of tokens, the model's plain stream."""

from __future__ import annotations

from headscope.measure.live_map import DirectReader
from headscope.study import Study
from headscope.verbs.inspect_edits import EditMaker
from headscope.verbs.inspect_tokens import TokenTexts


class Tools:
    """Each keeps what it has measured; nothing runs before it is needed."""

    def __init__(self, study: Study, *, has_profile: bool) -> None:
        self.edits = EditMaker(study, has_profile=has_profile)
        self.texts = TokenTexts(study.model.tokenizer)
        self.direct = DirectReader(study.model)
