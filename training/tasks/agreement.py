"""Which form of the verb? It agrees with the subject, not with the noun that stands closer.

The noun in between (the distractor) is always of the other number. The partner has the subject in the distractor's
number, so that the other form is right. Three verbs are asked at once; "do" is not among them, since "does" begins with
it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from training.tasks.rows import Example, numbered

DESCRIPTION = (
    "Which form of the verb: it agrees with the subject, not with the noun of the other number that is closer."
)
PARTNER = "the subject has the other number"

SINGULAR = (" is", " was", " has")
PLURAL = (" are", " were", " have")
# A frame, and two pairs of subject and distractor for it; all the nouns have a plural in -s.
FRAMES = {
    "The {subject} to the {distractor}": ("key room", "road village"),
    "The {subject} near the {distractor}": ("house river", "tree garden"),
    "The {subject} behind the {distractor}": ("car wall", "player referee"),
    "The {subject} on the {distractor}": ("picture page", "mark card"),
    "The {subject} of the {distractor}": ("son queen", "name player"),
    "The {subject} beside the {distractor}": ("chair window", "guard king"),
    "The {subject} under the {distractor}": ("stone bridge", "bag table"),
    "The {subject} above the {distractor}": ("light door", "cloud mountain"),
    "The {subject} for the {distractor}": ("letter student", "gift teacher"),
    "The {subject} from the {distractor}": ("doctor hospital", "song album"),
    "The {subject} with the {distractor}": ("girl dog", "farmer horse"),
    "The {subject} in front of the {distractor}": ("truck hotel", "soldier tank"),
    "The {subject} across from the {distractor}": ("shop school", "office station"),
    "The {subject} that the {distractor} liked": ("film critic", "song teacher"),
    "The {subject} who met the {distractor}": ("lawyer judge", "writer actor"),
    "The {subject} that the {distractor} bought last year": ("boat brother", "farm neighbor"),
    "The {subject} who helped the {distractor}": ("nurse doctor", "boy visitor"),
    "According to the report, the {subject} outside the {distractor}": ("garden castle", "camp town"),
    "I am sure that the {subject} inside the {distractor}": ("room tower", "bottle bag"),
    "In court, the {subject} against the {distractor}": ("claim bank", "charge officer"),
    "After the storm, the {subject} along the {distractor}": ("tree road", "path hill"),
    "We all knew that the {subject} around the {distractor}": ("wall garden", "street park"),
    "My friend said that the {subject} about the {distractor}": ("book artist", "report accident"),
    "In the museum, the {subject} by the {distractor}": ("painting artist", "photo student"),
    "The old {subject} next to the {distractor}": ("temple shop", "tower bridge"),
    "The {subject} chosen by the {distractor}": ("winner judge", "leader member"),
    "From here, the {subject} over the {distractor}": ("bridge river", "bird field"),
    "To my surprise, the {subject} without the {distractor}": ("letter stamp", "plan map"),
}


def examples(_: random.Random) -> Iterator[Example]:
    """Four prompts of each frame: two pairs of nouns, each with the subject in both numbers."""
    for template, (frame, pairs) in numbered("frame", FRAMES.items()):
        for subject, distractor in map(str.split, pairs):
            one, many = {"subject": subject}, {"subject": f"{subject}s"}
            yield Example(template, frame, {**one, "distractor": f"{distractor}s"}, many, SINGULAR, PLURAL)
            yield Example(template, frame, {**many, "distractor": distractor}, one, PLURAL, SINGULAR)
