"""The processor works like any processor of transformers, and writes the prompts of EmotionAnalyzer."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.clip import Clip, clip_of_arrays
from nanoemox.media.load import load_clip
from nanoemox.tasks.task import TASKS

SAMPLE = Path(__file__).parents[2] / "demo" / "sample.mp4"
TEXT = "Well, forgive me, I am really sorry."
QUESTION = TASKS["emotion"].question()
SUBSETS = [set(kinds) for n in range(4) for kinds in combinations(("video", "audio", "text"), n)]


@pytest.fixture(scope="module")
def analyzer() -> EmotionAnalyzer:
    return EmotionAnalyzer.from_pretrained("pico", dtype=torch.float32)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return load_clip(SAMPLE)


def conversation(clip: Clip, kinds: set[str], question: str = QUESTION) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if "video" in kinds:
        content.append({"type": "video", "video": clip.frames})
    if "audio" in kinds:
        only_audio = Clip(**{**vars(clip), "frames": None})
        content.append({"type": "audio", "audio": only_audio})
    if "text" in kinds:
        content.append({"type": "transcript", "text": TEXT})
    return [{"role": "user", "content": [*content, {"type": "text", "text": question}]}]


def generated(analyzer: EmotionAnalyzer, inputs: Any, limit: int = 16) -> list[str]:
    """What `generate` writes after the prompts."""
    with torch.inference_mode():
        ids = analyzer.model.generate(**inputs, max_new_tokens=limit, do_sample=False)
    new = ids[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in analyzer.processor.batch_decode(new, skip_special_tokens=True)]


@pytest.mark.parametrize("kinds", SUBSETS, ids=lambda kinds: "+".join(sorted(kinds)) or "question alone")
def test_a_conversation_becomes_the_prompt_of_the_analyzer(
    analyzer: EmotionAnalyzer, clip: Clip, kinds: set[str]
) -> None:
    processor = analyzer.processor
    inputs = processor.apply_chat_template(
        conversation(clip, kinds), add_generation_prompt=True, tokenize=True, return_dict=True
    )
    prompt = processor.prompt(QUESTION, modalities=kinds - {"text"}, text=TEXT if "text" in kinds else None)
    assert torch.equal(inputs["input_ids"], processor.training_batch([prompt])["input_ids"])
    assert ("pixel_values_videos" in inputs) == ("face_pixel_values" in inputs) == ("video" in kinds)
    assert ("input_values" in inputs) == ("audio" in kinds)


def test_a_file_is_answered_as_the_analyzer_answers_it(analyzer: EmotionAnalyzer) -> None:
    tasks = ["emotion", "open_vocabulary", "intent"]
    analysis = analyzer.analyze(SAMPLE, text=TEXT, tasks=tasks)
    chats = [
        [
            {
                "role": "user",
                "content": [
                    {"type": "video", "path": str(SAMPLE)},
                    {"type": "transcript", "text": TEXT},
                    {"type": "text", "text": TASKS[task].question()},
                ],
            }
        ]
        for task in tasks
    ]
    inputs = analyzer.processor.apply_chat_template(
        chats, add_generation_prompt=True, tokenize=True, return_dict=True
    )
    assert generated(analyzer, inputs, 40) == [analysis[task].text for task in tasks]
    one = analyzer.processor.apply_chat_template(
        chats[0], add_generation_prompt=True, tokenize=True, return_dict=True
    )
    assert generated(analyzer, one, 40) == [analysis["emotion"].text]


def test_a_batch_of_mixed_modalities_answers_as_each_alone(analyzer: EmotionAnalyzer, clip: Clip) -> None:
    chats = [
        conversation(clip, kinds) for kinds in ({"video", "audio", "text"}, {"audio"}, {"text"}, {"video"})
    ]
    together = analyzer.processor.apply_chat_template(chats, add_generation_prompt=True, tokenize=True)
    alone = [
        generated(
            analyzer, analyzer.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=True)
        )
        for chat in chats
    ]
    assert generated(analyzer, together) == [text for texts in alone for text in texts]


def test_the_audio_of_a_file_can_be_left_out(analyzer: EmotionAnalyzer) -> None:
    chat = [
        {"role": "user", "content": [{"type": "video", "path": SAMPLE}, {"type": "text", "text": "Why?"}]}
    ]
    processor = analyzer.processor
    assert "<|audio_pad|>" in processor.apply_chat_template(chat)
    inputs = processor.apply_chat_template(chat, load_audio_from_video=False, tokenize=True)
    assert "input_values" not in inputs and "pixel_values_videos" in inputs


def test_arrays_tensors_and_images_are_one_video(analyzer: EmotionAnalyzer) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (20, 60, 80, 3), dtype=np.uint8)
    text = "<|face_pad|><|frame_pad|>Why?"
    forms = [
        frames,
        torch.from_numpy(frames).movedim(-1, 1),
        [Image.fromarray(frame) for frame in frames],
        clip_of_arrays(frames, None),
    ]
    first, *others = [analyzer.processor(text=text, videos=form) for form in forms]
    assert first["pixel_values_videos"].shape[:2] == (1, 8)
    for other in others:
        assert torch.equal(first["pixel_values_videos"], other["pixel_values_videos"])
        assert torch.equal(first["input_ids"], other["input_ids"])
    image = analyzer.processor(text=text, images=Image.fromarray(frames[0]))
    assert torch.equal(image["pixel_values_videos"][0, 0], image["pixel_values_videos"][0, 7])


def test_stereo_is_averaged_and_cut_into_windows(analyzer: EmotionAnalyzer) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, (2, 50_000)).astype(np.float32)
    stereo = analyzer.processor(text="<|audio_pad|>Why?", audio=audio)
    mono = analyzer.processor(text="<|audio_pad|>Why?", audio=audio.mean(axis=0))
    assert stereo["input_values"].shape == (1, 8, 32_000)
    assert torch.equal(stereo["input_values"], mono["input_values"])


def test_words_cannot_write_a_placeholder(analyzer: EmotionAnalyzer) -> None:
    chat = [{"role": "user", "content": [{"type": "text", "text": "<|frame_pad|><|im_end|>"}]}]
    assert "pixel_values_videos" not in analyzer.processor.apply_chat_template(chat, tokenize=True)


def test_the_template_renders_without_the_processor(analyzer: EmotionAnalyzer) -> None:
    content = [{"type": "video"}, {"type": "audio"}, {"type": "text", "text": "Why?"}]
    text = analyzer.processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}],
        chat_template=analyzer.processor.chat_template,
        tokenize=False,
        add_generation_prompt=True,
    )
    assert [text.count(f"<|{kind}_pad|>") for kind in ("fusion", "audio", "face", "frame")] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda p: p(), "text: expected a text"),
        (lambda p: p(text="<|frame_pad|>Why?"), "videos: expected 1"),
        (lambda p: p(text="Why?", audio=[np.zeros(9, np.float32)] * 2), "audio: expected 0"),
        (lambda p: p(text="<|audio_pad|>x", audio=np.zeros(9, np.float32), sampling_rate=8000), "resample"),
        (lambda p: p(text="<|audio_pad|>x", audio=np.zeros(9, np.int16)), "audio: expected floats"),
        (lambda p: p(text="<|frame_pad|>x", videos=np.zeros((4, 9, 9), np.uint8)), "videos: expected uint8"),
        (
            lambda p: p(text="<|frame_pad|>x<|frame_pad|>", videos=np.zeros((4, 9, 9, 3), np.uint8)),
            "ask about one",
        ),
        (
            lambda p: p.apply_chat_template(
                [{"role": "user", "content": [{"type": "video", "url": "http://x"}]}]
            ),
            "url",
        ),
        (lambda p: p.apply_chat_template([{"role": "user", "content": [{"type": "smell"}]}]), "got 'smell'"),
        (
            lambda p: p.apply_chat_template([{"role": "user", "content": [{"type": "audio"}]}]),
            "expected path",
        ),
    ],
)
def test_what_does_not_fit_is_refused(analyzer: EmotionAnalyzer, use: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use(analyzer.processor)


STRANGER = """
import sys
sys.modules["nanoemox"] = None  # as where it is not installed
from transformers import AutoModelForMultimodalLM, AutoProcessor
folder, clip, text, question = sys.argv[1:]
model = AutoModelForMultimodalLM.from_pretrained(folder, trust_remote_code=True, dtype="float32").eval()
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
chat = [{"role": "user", "content": [
    {"type": "video", "path": clip}, {"type": "transcript", "text": text}, {"type": "text", "text": question}]}]
inputs = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=True)
ids = model.generate(**inputs, max_new_tokens=16, do_sample=False)
print("ANSWER", processor.decode(ids[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
"""


def test_a_stranger_needs_transformers_alone(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    """The bundled folder, copied elsewhere, answers about a file where nanoemox is not installed."""
    import shutil
    from importlib import resources

    folder = tmp_path / "pico"
    shutil.copytree(Path(str(resources.files("nanoemox") / "weights" / "pico")), folder)
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(folder), str(SAMPLE), TEXT, QUESTION],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = analyzer.analyze(SAMPLE, text=TEXT, tasks=["emotion"])["emotion"].text
    assert f"ANSWER {answer}" in done.stdout
