"""What is said in a file, heard by Whisper: sentences with times, in memory that does not grow with the file.

The audio streams by; silero-vad, which comes with faster-whisper, finds where somebody speaks, and only that is given
to the model, in stretches of up to half a minute that begin and end in pauses. Silence and most music are never given
to it, since Whisper writes sentences about them, too.
Everything is computed on this machine. A model is fetched only where one is named that is not here.
Needs the extra `nanoemox[speech]`. What was heard carries the warning `no_speech` where nobody was heard.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nanoemox.files.errors import ArgumentError
from nanoemox.media.audio import is_silent
from nanoemox.media.audio_stream import AudioPiece, audio_pieces
from nanoemox.media.clip import SAMPLE_RATE_HZ, CodedWarning
from nanoemox.media.container import inspect
from nanoemox.media.downmix import Downmix
from nanoemox.media.load import check_cut
from nanoemox.media.subtitle_lines import describes_sound
from nanoemox.media.subtitles import Sentence, Spoken, TextSource
from nanoemox.media.untrusted import shown

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "base"  # 145 MB, 99 languages
MODEL_FILES = ("model.bin", "config.json", "tokenizer.json")
PIECE_S = 10.0  # read at once
HELD_S = 60.0  # looked through for speech at once
STRETCH_S = 28.0  # given to the model at once; it hears 30 s
PAUSE_S = 0.4  # ends what is found as one piece of speech
PAD_S = 0.2  # before and behind it
LONG_PAUSE_S = 2.0  # never given to the model
SENTENCE_S = 20.0  # longer ones are parted
SENTENCE_PAUSE_S = 0.8  # between two words ends a sentence, whatever the model writes
MOST_REPEATED = 2.4  # by how much what was heard can be compressed: above, somebody repeats himself
FASTEST = 5.0  # words a second that somebody says
_SAME_S = 0.01  # pieces less apart than this follow each other
_SHORTEST_S = 0.05
UNSURE = 0.5  # a language that is heard with less probability is looked for again
_ENDS = tuple(".?!。？！…")
_CLOSING = "\"'”’»)]」』"
_TITLES = {"mr.", "mrs.", "ms.", "dr.", "st.", "prof.", "vs."}
_MISSING = (
    "hearing speech needs the extra nanoemox[speech], which is not installed; run: pip install faster-whisper"
)

Samples = NDArray[np.float32]


class Word(NamedTuple):
    """A word as the model writes it, with the space before it, and its times."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class SpeechModel:
    """A model of faster-whisper and what it is called."""

    name: str
    whisper: Any  # a faster_whisper.WhisperModel

    def hear(self, samples: Samples, language: str | None) -> tuple[list[Word], str, float]:
        """What is said in up to 30 s.

        Args:
            samples: float32 [L] at 16 kHz.
            language: The language that is spoken, such as "en"; None finds it out.

        Returns:
            The words with times from the beginning of the samples, the language, and how probable that is.
        """
        segments, info = self.whisper.transcribe(
            samples,
            language=language,
            temperature=0.0,  # the likeliest words each time
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        words = [
            Word(float(word.start), float(word.end), word.word)
            for segment in segments
            if not describes_sound(segment.text) and not _is_loop(segment)
            for word in segment.words or ()
        ]
        return words, info.language, float(info.language_probability)


def _is_loop(segment: Any) -> bool:
    """Whether the model says the same again and again, and faster than anybody speaks."""
    rate = len(segment.words or ()) / max(segment.end - segment.start, 0.1)
    return bool(segment.compression_ratio > MOST_REPEATED and rate > FASTEST)


# ---------------------------------------------------------------- models
def load_speech_model(name: str | Path | None = None, device: str = "cpu") -> SpeechModel:
    """Load a model that hears speech.

    Args:
        name: The name of a Whisper model, such as "small" or "tiny.en", or of one on the Hugging Face Hub in
            faster-whisper's form, or a folder that holds one. A name that is not on this machine is fetched once.
            None takes "base" if it is here, and fetches nothing.
        device: "cpu" or "cuda".

    Returns:
        The model.

    Raises:
        ArgumentError: If the extra is not installed, or there is no such model, or it cannot be fetched or loaded.
    """
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise ArgumentError(_MISSING) from error

    wanted = DEFAULT_MODEL if name is None else os.fspath(name)
    folder = Path(wanted) if Path(wanted).is_dir() else _fetched(wanted, ask=name is not None)
    missing = [each for each in MODEL_FILES if not (folder / each).is_file()]
    if missing:
        raise ArgumentError(
            f"{shown(folder)}: expected a folder with a Whisper model in faster-whisper's form "
            f"({', '.join(MODEL_FILES)}), found no {' and no '.join(missing)}; name another folder, or a model such "
            f"as {DEFAULT_MODEL}"
        )
    on_cuda = device.startswith("cuda")
    try:
        whisper = WhisperModel(
            str(folder),
            device="cuda" if on_cuda else "cpu",
            compute_type="float16" if on_cuda else "int8",
            cpu_threads=0 if os.environ.get("OMP_NUM_THREADS") else min(4, os.cpu_count() or 1),
            local_files_only=True,
        )
    except Exception as error:  # its library raises RuntimeError, ValueError, KeyError and those of its parts
        reason = " ".join(str(error).split())[:200]
        raise ArgumentError(
            f"{shown(wanted)}: cannot be loaded as a Whisper model ({reason}); fetch it again, or name another"
        ) from error
    name_in_reports = "/".join(folder.absolute().parts[-2:]) if Path(wanted).is_dir() else wanted
    return SpeechModel(shown(name_in_reports), whisper)


def _fetched(name: str, ask: bool) -> Path:
    """The folder of a named model: on this machine, or fetched if that is asked for."""
    from faster_whisper import available_models
    from faster_whisper.utils import download_model

    known = ", ".join(available_models())
    if name not in available_models() and name.count("/") != 1:
        raise ArgumentError(
            f"{shown(name)}: no speech model of this name; expected a folder, an id of the Hugging Face Hub, or one of "
            f"{known}"
        )
    try:
        return Path(download_model(name, local_files_only=True))
    except Exception as error:  # whatever the Hub's library raises: it is not here
        if not ask:
            raise ArgumentError(
                f"no speech model is on this machine, and none is fetched unless it is named; name one, such as "
                f"--speech-model {name} (in Python transcribe={name!r}), or a folder that holds one"
            ) from error
    logger.info("fetching the speech model %s from the Hugging Face Hub", name)
    try:
        return Path(download_model(name))
    except Exception as error:  # of the Hub, of the connection, of the disk
        reason = (" ".join(str(error).split()) or type(error).__name__)[:160]
        raise ArgumentError(
            f"the speech model {shown(name)} is not on this machine and cannot be fetched ({reason}); check the name "
            "and the connection, or fetch it elsewhere and name its folder"
        ) from error


def checked_language(model: SpeechModel, language: str | None) -> str | None:
    """The language that the model is told; None lets it find out. Errors: ArgumentError, where it knows it not."""
    known = list(model.whisper.supported_languages)
    if language is None:
        return known[0] if len(known) == 1 else None
    if language not in known:
        hears = "English only" if known == ["en"] else f"{len(known)} languages, such as en, de, fr, zh"
        raise ArgumentError(
            f"language {language!r}: the speech model {shown(model.name)} hears {hears}; name one of them or none"
        )
    return language


# ---------------------------------------------------------------- hearing
def transcribe(
    path: str | os.PathLike[str],
    model: str | Path | SpeechModel | None = None,
    language: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Spoken:
    """Hear what is said in a file.

    Args:
        path: A video or audio file.
        model: A `SpeechModel`, or the name or folder of one, as `load_speech_model` takes it.
        language: The language that is spoken, such as "en"; None finds it out.
        start_s: Hear only from here on, in seconds from the beginning of the file.
        end_s: Hear only up to here.

    Returns:
        The sentences in their order, and by which model they were heard. There are none where nobody speaks; then
        a warning says so.

    Raises:
        MediaError: If the file cannot be read.
        ArgumentError: If the model cannot be had, or does not know the language.
    """
    heard: list[str] = []
    notes: list[CodedWarning] = []
    model = model if isinstance(model, SpeechModel) else load_speech_model(model)
    sentences = tuple(sentences_heard(path, model, language, start_s, end_s, heard.append, notes.append))
    spoken = heard[-1] if heard and sentences else None
    return Spoken(sentences, TextSource("speech", model.name, spoken), tuple(notes))


def sentences_heard(
    path: str | os.PathLike[str],
    model: SpeechModel,
    language: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    on_language: Callable[[str], None] | None = None,
    on_warning: Callable[[CodedWarning], None] | None = None,
) -> Iterator[Sentence]:
    """Hear a file sentence by sentence, as it is read.

    Args:
        path: A video or audio file.
        model: Hears the speech.
        language: The language that is spoken; None finds it out.
        start_s: Hear only from here on, in seconds from the beginning of the file.
        end_s: Hear only up to here.
        on_language: Is told the language of each stretch that is heard.
        on_warning: Is told what has to be known about the result.

    Yields:
        The sentences in their order.

    Raises:
        MediaError: If the file cannot be read.
        ArgumentError: If the model does not know the language.
    """
    path = Path(path)
    told = checked_language(model, language)
    check_cut(path, start_s, end_s)
    source = inspect(path)
    warn = on_warning or (lambda _: None)
    if not source.has_audio:
        why = "a picture has no audio" if source.picture else "the file has no audio track"
        warn(CodedWarning("no_speech", f"no speech was heard: {why}"))
        return
    count, faults = 0, list[int]()
    mix: Downmix | None = Downmix()
    while mix is not None:
        for stretch in _stretches(audio_pieces(source, PIECE_S, start_s, end_s, mix, faults.append)):
            words, found, probability = model.hear(stretch.samples, told)
            if told is None and probability >= UNSURE:
                told = found
            if words and on_language:
                on_language(found)
            for sentence in _sentences(words, stretch.start_s, stretch.end_s):
                count += 1
                yield sentence
        # Channels that cancel each other are silent together: then one of them is heard alone.
        channel = mix.cancelled() if not count and mix.channel is None else None
        mix = None if channel is None else Downmix(channel)
    if sum(faults):
        warn(
            CodedWarning(
                "audio_damaged", "the audio is damaged or cut off: some of what is said may be missing"
            )
        )
    if source.meter.stopped:
        warn(CodedWarning("reading_stopped", f"reading the file was stopped: {source.meter.stopped}"))
    if not count:
        warn(CodedWarning("no_speech", "no speech was heard in the audio"))


def _stretches(pieces: Iterator[AudioPiece]) -> Iterator[AudioPiece]:
    """What is given to the model at once: speech with the short pauses in it, up to half a minute."""
    waiting: AudioPiece | None = None
    for span in _speech(pieces):
        if waiting is None:
            waiting = span
        elif span.start_s - waiting.end_s <= LONG_PAUSE_S and span.end_s - waiting.start_s <= STRETCH_S:
            pause = np.zeros(max(0, round((span.start_s - waiting.end_s) * SAMPLE_RATE_HZ)), dtype=np.float32)
            waiting = AudioPiece(waiting.start_s, np.concatenate([waiting.samples, pause, span.samples]))
        else:
            yield waiting
            waiting = span
    if waiting is not None:
        yield waiting


def _speech(pieces: Iterator[AudioPiece]) -> Iterator[AudioPiece]:
    """Where somebody speaks, up to half a minute each."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        max_speech_duration_s=STRETCH_S,
        min_silence_duration_ms=round(1000 * PAUSE_S),
        speech_pad_ms=round(1000 * PAD_S),
    )
    held = AudioPiece(0.0, np.zeros(0, dtype=np.float32))
    for piece in chain(pieces, (None,)):
        follows = piece is not None and abs(piece.start_s - held.end_s) < _SAME_S
        full = len(held.samples) >= HELD_S * SAMPLE_RATE_HZ
        if len(held.samples) and (full or not follows):
            found = [] if is_silent(held.samples) else get_speech_timestamps(held.samples, options)
            spans = [(each["start"], each["end"]) for each in found]
            keep = len(held.samples)  # from where on it is looked through again, with what follows
            if follows:
                keep -= round(2 * PAD_S * SAMPLE_RATE_HZ)
                if spans and spans[-1][1] > len(held.samples) - SAMPLE_RATE_HZ:
                    keep = spans.pop()[0]  # this speech may go on
            for begin, end in spans:
                yield AudioPiece(held.start_s + begin / SAMPLE_RATE_HZ, held.samples[begin:end])
            held = AudioPiece(held.start_s + keep / SAMPLE_RATE_HZ, held.samples[keep:])
        if piece is not None:
            joined = np.concatenate([held.samples, piece.samples])
            held = AudioPiece(held.start_s if len(held.samples) else piece.start_s, joined)


# ---------------------------------------------------------------- sentences
def _sentences(words: list[Word], begin_s: float, end_s: float) -> Iterator[Sentence]:
    """Words of a stretch -> sentences, which end with a full stop, in a pause, or where they are too long."""
    parts: list[list[Word]] = []
    for word in words:
        last = parts[-1][-1] if parts else None
        if last is None or _ends(last, word, parts[-1][0]):
            parts.append([])
        parts[-1].append(word)
    for part in parts:
        text = " ".join("".join(word.text for word in part).split())
        if text and not describes_sound(text):
            start_s = min(begin_s + part[0].start_s, end_s)
            until_s = min(
                max(begin_s + part[-1].end_s, start_s + _SHORTEST_S), max(end_s, start_s + _SHORTEST_S)
            )
            yield Sentence(round(start_s, 3), round(until_s, 3), text)


def _ends(last: Word, following: Word, first: Word) -> bool:
    """Whether a sentence that began with `first` ends between two words."""
    written = last.text.strip().rstrip(_CLOSING)
    if (
        written.endswith(_ENDS)
        and written.casefold() not in _TITLES
        and not following.text.strip()[:1].islower()
    ):
        return True
    return following.start_s - last.end_s > SENTENCE_PAUSE_S or following.end_s - first.start_s > SENTENCE_S
