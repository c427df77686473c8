"""The sentences of a long recording, heard stretch after stretch while it is read.

Each stretch is heard without what was heard before it, and begins where the last sentence ended that was whole. So all
that a run has to keep to go on is where that was and the sentences that are still wanted, and a run that goes on hears
what one that was never stopped would have heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from nanoemox.media.clip import CodedWarning
from nanoemox.media.subtitles import Sentence, TextSource
from nanoemox.media.transcribe import SpeechModel, checked_language, sentences_heard
from nanoemox.timeline.read import Recording

HEARD_S = 300.0  # in one stretch
MAY_GO_ON_S = 2.0  # a sentence that ends so shortly before the end of a stretch may go on in the next one
_BEFORE_S = 0.2  # a stretch begins so long before a sentence that is heard again
_SHORTEST_S = 0.1  # of a stretch


class Hearing:
    """What is heard of a recording so far.

    Attributes:
        model: Hears it.
        language: The language that is heard; None finds it out.
        warnings: Code -> sentence, of what has to be known about what was heard.
    """

    def __init__(self, recording: Recording, model: SpeechModel, language: str | None = None) -> None:
        """Prepare to hear a recording.

        Args:
            recording: The recording.
            model: Hears it.
            language: The language that is spoken; None finds it out.

        Raises:
            ArgumentError: If the model does not know the language.
        """
        checked_language(model, language)
        self.recording, self.model, self.language = recording, model, language
        self.warnings: dict[str, str] = {}
        self._until_s = 0.0
        self._any = False
        self._spoken: str | None = None
        self._waiting: list[Sentence] = []

    @property
    def source(self) -> TextSource:
        """Where the sentences come from."""
        return TextSource("speech", self.model.name, self._spoken)

    def between(self, from_s: float, to_s: float) -> Sequence[Sentence]:
        """The sentences that begin before `to_s` and do not end before `from_s`; what is before that is forgotten."""
        while self._until_s < min(to_s, self.recording.length_s) - _SHORTEST_S:
            self._hear()
        self._waiting = [each for each in self._waiting if each.end_s > from_s or each.start_s >= from_s]
        return [each for each in self._waiting if each.start_s < to_s]

    def _hear(self) -> None:
        """Hear one more stretch."""
        end_s = self._until_s + HEARD_S
        last = end_s >= self.recording.length_s
        notes: list[CodedWarning] = []

        def tell(language: str) -> None:
            self._spoken = self._spoken or language

        found = list(
            sentences_heard(
                self.recording.source.path,
                self.model,
                self.language,
                self._until_s,
                None if last else end_s,
                tell,
                notes.append,
            )
        )
        whole = found if last else [each for each in found if each.end_s <= end_s - MAY_GO_ON_S]
        known_s = max((each.end_s for each in whole), default=self._until_s)
        again_s = found[len(whole)].start_s - _BEFORE_S if len(whole) < len(found) else end_s - MAY_GO_ON_S
        if len(found) and not whole and again_s <= self._until_s:
            whole, again_s = found, end_s  # one sentence as long as the stretch
        self._waiting += whole
        self._any = self._any or bool(whole)
        self._until_s = self.recording.length_s if last else max(again_s, known_s)
        for note in notes:
            if note.code != "no_speech":
                self.warnings.setdefault(note.code, note.text)
            elif last and not self._any:
                self.warnings[note.code] = note.text

    # ------------------------------------------------------------ to go on
    def state(self) -> dict[str, Any]:
        """All that a run needs to go on, in plain JSON types."""
        return {
            "until_s": self._until_s,
            "any": self._any,
            "language": self._spoken,
            "waiting": [asdict(each) for each in self._waiting],
            "warnings": dict(self.warnings),
        }

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self._until_s, self._any, self._spoken = state["until_s"], state["any"], state["language"]
        self._waiting = [Sentence(**each) for each in state["waiting"]]
        self.warnings = dict(state["warnings"])
