"""Answers for each person of a clip: the face branch gets crops of the face, the video branch the frames.

Audio and text belong to who speaks: a listener is answered for from the pictures alone. Where nobody can be said to
speak, everybody gets them. What all people share, the frames and the audio, is encoded once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nanoemox.files.errors import ArgumentError
from nanoemox.inference.results import Analysis, PersonAnalysis
from nanoemox.inference.words import words_of
from nanoemox.media.clip import Clip, CodedWarning
from nanoemox.media.load import load_clip
from nanoemox.media.subtitles import Spoken
from nanoemox.people.detector import Detector, load_detector
from nanoemox.people.find import People, Person, find_people

if TYPE_CHECKING:
    from nanoemox.inference.analyzer import EmotionAnalyzer

SOMEBODY_ELSE = "somebody else speaks"
CROPS_UNTRAINED = CodedWarning(
    "crops_untrained",
    "this model's face branch was trained on whole frames; crops are unusual to it, and its answers may be worse",
)
FACES_NOT_USED = CodedWarning(
    "faces_not_used",
    "this model reads whole frames only; the people were found, and the answer is about the whole frame",
)


def analyze_people(
    analyzer: EmotionAnalyzer,
    clip: str | Path | Clip | None,
    text: str | Spoken | None,
    cut: tuple[float | None, float | None],
    face_detector: Detector | str | Path | None,
    **asked: Any,
) -> Analysis:
    """Find the people of a clip and answer for each of them.

    Args:
        analyzer: The model.
        clip: A media file or a loaded clip.
        text: What is said, with times where they are known; it is given to who speaks.
        cut: Where in its file the clip begins and ends, in seconds.
        face_detector: A loaded detector, or YuNet's file; None takes the one that comes along.
        **asked: The other arguments of `EmotionAnalyzer.analyze`.

    Returns:
        The answers for the first person, who speaks most or is seen largest, and in `people` those for everybody. Where
        no face is found, those for the whole frames.

    Raises:
        NanoEmoXError: If the clip cannot be read or is too long, the detector cannot be loaded, or a task is unknown.
    """
    if clip is None:
        raise ArgumentError("people: expected a clip with pictures, got none; name one, or leave people out")
    detector = face_detector if isinstance(face_detector, Detector) else load_detector(face_detector)

    # Read the clip, and find everybody in it.
    started = time.perf_counter()
    if not isinstance(clip, Clip):
        clip = load_clip(clip, start_s=cut[0], end_s=cut[1], compat=analyzer.processor.compat)
    load_s = time.perf_counter() - started
    started = time.perf_counter()
    found = find_people(clip, *cut, detector)
    faces_s = time.perf_counter() - started

    # Answer for each, or for the whole frames.
    if found.persons and uses_faces(analyzer):
        started = time.perf_counter()
        own_name = own_pictures(analyzer)
        tensors = analyzer.processor.media(clip)
        scene = _encoded(analyzer, {name: value for name, value in tensors.items() if name != own_name})
        scene_s = time.perf_counter() - started
        answered = [_answer(analyzer, clip, text, person, found, asked, scene) for person in found.persons]
        first = answered[0]
        if analyzer.processor.pictures != "opencv":
            first = replace(first, warnings=(*first.warnings, CROPS_UNTRAINED))
        people = tuple(
            PersonAnalysis(person, each.tasks, each.modalities, _own(each, found), _crops(analyzer, person))
            for person, each in zip(found.persons, answered, strict=True)
        )
        spent_s = scene_s + sum(each.timing_s["total"] for each in answered)
    else:
        first = analyzer.analyze(clip, text, **asked)
        note = (FACES_NOT_USED,) if found.persons else ()
        people = tuple(PersonAnalysis(person, {}, {}, note, None) for person in found.persons)
        first = replace(first, warnings=(*first.warnings, *note))
        spent_s = first.timing_s["total"]
    timing = {**first.timing_s, "load": round(load_s, 4), "faces": round(faces_s, 4)}
    timing["total"] = round(load_s + faces_s + spent_s, 4)
    return replace(
        first,
        clip=clip,
        text=text.text if isinstance(text, Spoken) else text,
        spoken=text if isinstance(text, Spoken) else None,
        start_s=cut[0] or 0.0,
        timing_s=timing,
        warnings=(*first.warnings, *found.warnings),
        people=people,
        face_detector=found.detector,
    )


def uses_faces(analyzer: EmotionAnalyzer) -> bool:
    """Whether crops of faces reach the model, by a face branch or as its only pictures."""
    if analyzer.processor.pictures == "opencv":
        return True
    return analyzer.processor.compat != "official" and analyzer.model.config.face_tokens > 0


def _crops(analyzer: EmotionAnalyzer, person: Person) -> Any:
    """The crops in the form that the model was trained on."""
    return person.aligned if analyzer.processor.pictures == "opencv" else person.crops


def own_pictures(analyzer: EmotionAnalyzer) -> str:
    """The name of the only tensor that differs from person to person."""
    return "pixel_values_videos" if analyzer.processor.pictures == "opencv" else "face_pixel_values"


@torch.inference_mode()
def _encoded(analyzer: EmotionAnalyzer, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Prepared media of one clip -> the frozen features [1, T or C, D] by name."""
    model = analyzer.model
    media = {name: value[None].to(model.device) for name, value in tensors.items()}
    return model.encode(**{n: v.to(model.dtype) if v.is_floating_point() else v for n, v in media.items()})


def _answer(
    analyzer: EmotionAnalyzer,
    clip: Clip,
    text: str | Spoken | None,
    person: Person,
    found: People,
    asked: dict[str, Any],
    scene: Mapping[str, Tensor],
) -> Analysis:
    """The answers for one person; `scene` are the features that all people share."""
    crops = _crops(analyzer, person)
    own = replace(clip, face_frames=crops)
    words, spoken, no_text = words_of(clip, text, False, None, None)
    if listens(person, found):
        if clip.audio_windows is not None:
            own = replace(own, audio_windows=None, modalities={**own.modalities, "audio": SOMEBODY_ELSE})
        if words is not None:
            words, spoken, no_text = None, None, SOMEBODY_ELSE
        scene = {name: value for name, value in scene.items() if not name.startswith("audio")}
    started = time.perf_counter()
    name = own_pictures(analyzer)
    prepared = analyzer.processor.media(replace(clip, frames=crops, face_frames=None, audio_windows=None))
    features = {**scene, **_encoded(analyzer, {name: prepared[name]})}
    own_s = time.perf_counter() - started
    questions = {key: value for key, value in asked.items() if key != "explain"}
    request = replace(analyzer.request(own, words, **questions), no_text=no_text, spoken=spoken)
    [analysis] = analyzer.analyses([request], [0.0], [0.0], asked["explain"], features)
    timing = {**analysis.timing_s, "encode": round(analysis.timing_s["encode"] + own_s, 4)}
    timing["total"] = round(timing["total"] + own_s, 4)
    return replace(analysis, timing_s=timing)


def listens(person: Person, found: People) -> bool:
    """Whether somebody else speaks what is heard."""
    return not person.speaks and any(each.speaks for each in found.persons)


def _own(analysis: Analysis, found: People) -> tuple[CodedWarning, ...]:
    """The warnings that concern this person: not those about the model or the search for people."""
    about = {warning.code for warning in (*found.warnings,)}
    return tuple(
        w for w in analysis.warnings if w.code not in about and w.code.startswith(("no_", "text_", "audio_"))
    )
