"""The dials of Affect Theatre: how hard the world is to read, and what its answers hang on.

With every dial at its default the clips are those of always, byte for byte in their record, pictures and audio. A dial
changes what it names: the same number and seed keep person, voice, place, prop, face and voice style, so two sets that
differ in one dial can be compared clip by clip. Other words also draw other earlier turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from typing import Any

from nanoemox.files.errors import ArgumentError

HIDDEN_SHARE = 0.05  # of clips whose face cannot be read
LANGUAGES, WORDINGS = ("en", "zh"), ("first", "more")


@dataclass(frozen=True)
class Dials:
    """What can be set; the defaults are the world of always.

    Attributes:
        intensity: Factor on how strongly face and voice show an emotion.
        noise: Factor on the camera's grain and on the floor of the recording.
        occlusion: Share of clips whose face cannot be seen.
        motion: Factor on the movements of the head.
        conflict: Share of clips of an emotion in which face and voice disagree, where it can be shown both ways;
            None, as the tables of the world have it.
        music: Loudness of music beside the voice, 1 as loud as the voice. It tells nothing.
        timing: Share of clips in which the intent hangs on the moment: on whether the face flares up just when the
            voice cries out. Such a clip needs face, voice and words, and the order in time of the first two.
        language: "en" or "zh": what is said. Questions and answers are English.
        wordings: "first", or "more": ten test sentences for each wording family in place of two (English).
    """

    intensity: float = 1.0
    noise: float = 1.0
    occlusion: float = HIDDEN_SHARE
    motion: float = 1.0
    conflict: float | None = None
    music: float = 0.0
    timing: float = 0.0
    language: str = "en"
    wordings: str = "first"

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("intensity", 0.1, 1.0), ("noise", 0.0, 10.0), ("occlusion", 0.0, 1.0), ("motion", 0.0, 4.0),
            ("conflict", 0.0, 1.0), ("music", 0.0, 4.0), ("timing", 0.0, 1.0),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not lowest <= value <= highest:
                raise ArgumentError(
                    f"dial {name} = {value}: expected a number from {lowest:g} to {highest:g}"
                )
        for name, known in (("language", LANGUAGES), ("wordings", WORDINGS)):
            if getattr(self, name) not in known:
                raise ArgumentError(
                    f"dial {name} = {getattr(self, name)}: expected one of {', '.join(known)}"
                )

    def changed(self) -> dict[str, Any]:
        """The dials that are not at their default."""
        return {name: value for name, value in asdict(self).items() if value != getattr(DEFAULT, name)}

    @property
    def mark(self) -> str:
        """What tells apart the ids of clips with other dials; nothing for the world of always."""
        changed = self.changed()
        return f"_{blake2b(repr(changed).encode(), digest_size=3).hexdigest()}" if changed else ""


DEFAULT = Dials()


def dials_of(settings: Sequence[str]) -> Dials:
    """Read settings such as "timing=0.5". Raises ArgumentError for an unknown dial or an impossible value."""
    names = [field.name for field in fields(Dials)]
    given: dict[str, Any] = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator or name not in names:
            raise ArgumentError(
                f"dial {setting!r}: expected NAME=VALUE, where NAME is one of {', '.join(names)}"
            )
        if name in given:
            raise ArgumentError(f"dial {name}: was given twice; leave one of them out")
        if name in ("language", "wordings"):
            given[name] = text
            continue
        try:
            given[name] = float(text)
        except ValueError:
            raise ArgumentError(f"dial {setting}: expected a number after {name}=") from None
    return Dials(**given)
