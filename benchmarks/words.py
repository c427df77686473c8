"""How many words `transcribe` gets wrong, in sentences of espeak-ng or in clips whose words are known.

    python benchmarks/words.py MODEL [--manifest FILE.jsonl] [--lang en] [--limit 160] [--seed 0]

MODEL is the name or folder of a Whisper model. Without a manifest, espeak-ng says 32 sentences in two voices, each
alone and all in a row with pauses. A manifest has one clip a line: `path` (from its own folder), `text`, and where it
has them `lang`, `set` and `label`. Each file is heard as `transcribe` hears it and as faster-whisper's own call does,
in turns, so that their ratios mean something on a machine that does other things too. Prints one line of JSON:
the word error rate (substituted, missing and added words, of all words), and seconds for a minute of audio.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import wave
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nanoemox.media.transcribe import SpeechModel, load_speech_model, transcribe

VOICES = ("en-us", "en-gb")
PAUSE_S = 1.5
SENTENCES = (
    "The train to the coast leaves at nine.",
    "Nobody told me that the shop was closed.",
    "My sister plays the piano every evening.",
    "We walked along the river until it was dark.",
    "Please put the letters on the kitchen table.",
    "He lost his keys somewhere in the garden.",
    "The doctor said that I should rest for a week.",
    "Why did you not call me yesterday?",
    "The children are waiting for the bus.",
    "I have never seen such a beautiful house.",
    "There was a cold wind from the north.",
    "She opened the window and looked outside.",
    "We need more bread, butter and milk.",
    "The old man told us a long story.",
    "I am sorry that I missed your birthday.",
    "The film was much better than the book.",
    "They moved to another city last summer.",
    "Can you help me to carry this box?",
    "The dog slept under the table all day.",
    "I would like a cup of tea, please.",
    "The teacher wrote a question on the board.",
    "Our neighbours have a small boat.",
    "It rained the whole night without a break.",
    "You should not worry about the money.",
    "The museum opens at ten in the morning.",
    "He was so angry that he could not speak.",
    "What a wonderful surprise, thank you!",
    "The bridge was built two hundred years ago.",
    "I forgot to water the plants again.",
    "She smiled and gave him the photograph.",
    "The soup is too hot to eat.",
    "Tomorrow we will climb the mountain.",
)


def words_in(text: str) -> list[str]:
    """Words in small letters without punctuation."""
    return re.findall(r"[\w']+", text.casefold())


def errors(truth: Sequence[str], heard: Sequence[str]) -> int:
    """The least number of words to substitute, leave out or add."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(truth, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def whole(path: Path, model: SpeechModel, language: str) -> str:
    """The words as faster-whisper's own call hears them, with its filter of silence."""
    from faster_whisper.audio import decode_audio

    segments, _ = model.whisper.transcribe(
        decode_audio(str(path)),
        language=language,
        temperature=0.0,
        condition_on_previous_text=False,
        vad_filter=True,
    )
    return " ".join(segment.text for segment in segments)


class Count:
    """Words, errors and seconds of both ways."""

    def __init__(self) -> None:
        self.clips = self.words = 0
        self.wrong = {"streamed": 0, "whole": 0}
        self.seconds = {"streamed": 0.0, "whole": 0.0}
        self.audio_s = 0.0
        self.nothing = 0

    def figures(self) -> dict[str, Any]:
        """As they are printed."""
        return {
            "clips": self.clips,
            "words": self.words,
            "audio_s": round(self.audio_s, 1),
            "wer": round(self.wrong["streamed"] / self.words, 4),
            "wer_whole": round(self.wrong["whole"] / self.words, 4),
            "nothing_heard": self.nothing,
            "s_per_minute": round(60 * self.seconds["streamed"] / self.audio_s, 2),
            "s_per_minute_whole": round(60 * self.seconds["whole"] / self.audio_s, 2),
        }


def hear(
    counts: Sequence[Count], path: Path, truth: str, model: SpeechModel, language: str, seconds: float
) -> None:
    """Add one file to some counts."""
    started = time.perf_counter()
    streamed = transcribe(path, model, language).text
    middle = time.perf_counter()
    other = whole(path, model, language)
    ended = time.perf_counter()
    expected = words_in(truth)
    for count in counts:
        count.clips += 1
        count.words += len(expected)
        count.audio_s += seconds
        count.nothing += not streamed
        count.wrong["streamed"] += errors(expected, words_in(streamed))
        count.wrong["whole"] += errors(expected, words_in(other))
        count.seconds["streamed"] += middle - started
        count.seconds["whole"] += ended - middle


def espeak(model: SpeechModel) -> dict[str, Count]:
    """Sentences alone, and all of one voice in a row."""
    counts: dict[str, Count] = defaultdict(Count)
    with tempfile.TemporaryDirectory() as folder:
        for voice in VOICES:
            row = []
            for i, text in enumerate(SENTENCES):
                command = ["espeak-ng", "-v", voice, "-s", "150", "--stdout", text]
                sound = subprocess.run(command, capture_output=True, check=True).stdout[44:]
                row += [np.frombuffer(sound, np.int16), np.zeros(round(PAUSE_S * 22_050), np.int16)]
                path = _wav(Path(folder) / f"{voice}-{i}.wav", row[-2:])
                hear([counts["alone"]], path, text, model, "en", sum(map(len, row[-2:])) / 22_050)
            path = _wav(Path(folder) / f"{voice}.wav", row)
            hear([counts["in_a_row"]], path, " ".join(SENTENCES), model, "en", sum(map(len, row)) / 22_050)
    return counts


def _wav(path: Path, parts: Sequence[np.ndarray]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes(np.concatenate(parts).tobytes())
    return path


def clips(model: SpeechModel, manifest: Path, language: str, limit: int, seed: int) -> dict[str, Count]:
    """A sample of a manifest's clips, by their set and label."""
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines() if line.strip()]
    lines = [line for line in lines if line.get("text") and line.get("lang", language) == language]
    chosen = random.Random(seed).sample(lines, min(limit, len(lines)))
    counts: dict[str, Count] = defaultdict(Count)
    for line in chosen:
        mine = [counts[line.get("set", "all")]]
        if line.get("label"):
            mine.append(counts[f"{line.get('set', 'all')} {line['label']}"])
        seconds = line.get("seconds") or 1.0
        hear(mine, manifest.parent / line["path"], line["text"], model, language, seconds)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--lang", default="en")
    parser.add_argument("--limit", type=int, default=160, help="how many clips of the manifest")
    parser.add_argument("--seed", type=int, default=0, help="which of them")
    args = parser.parse_args()
    model = load_speech_model(args.model)
    if args.manifest:
        counts = clips(model, args.manifest, args.lang, args.limit, args.seed)
    else:
        counts = espeak(model)
    result = {
        "benchmark": "words",
        "model": model.name,
        "spoken_by": "clips" if args.manifest else "espeak-ng",
        **({"limit": args.limit, "seed": args.seed} if args.manifest else {}),
        "figures": {name: count.figures() for name, count in sorted(counts.items())},
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
