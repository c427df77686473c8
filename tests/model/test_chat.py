"""The processor works like any processor of transformers, and writes the prompts of EmotionAnalyzer."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nanoemox.checkpoints.template_trial import OFFICIAL_TEMPLATE
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.clip import Clip, clip_of_arrays
from nanoemox.media.load import load_clip
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.tasks.task import TASKS
from tests.media_files import make_media
from tests.tiny import tiny_config

SAMPLE = Path(__file__).parents[2] / "demo" / "sample.mp4"
TEXT = "Well, forgive me, I am really sorry."
QUESTION = TASKS["emotion"].question()
NOISE = np.random.default_rng(0).integers(0, 255, (20, 60, 80, 3), dtype=np.uint8)
TONE = np.random.default_rng(0).normal(0, 0.1, 50_000).astype(np.float32)
SUBSETS = [set(kinds) for n in range(4) for kinds in combinations(("video", "audio", "text"), n)]


@pytest.fixture(scope="module")
def analyzer() -> EmotionAnalyzer:
    return EmotionAnalyzer.from_pretrained("pico", dtype=torch.float32)


@pytest.fixture(scope="module")
def shipped() -> EmotionAnalyzer:
    return EmotionAnalyzer.from_pretrained("pico")


@pytest.fixture(scope="module")
def clip() -> Clip:
    return load_clip(SAMPLE)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the bundled folder, as a stranger has it."""
    folder = tmp_path_factory.mktemp("copy") / "pico"
    shutil.copytree(Path(str(resources.files("nanoemox") / "weights" / "pico")), folder)
    return folder


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


def asked(*parts: dict[str, Any], question: str = "Why?") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


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


def test_an_image_of_a_conversation_may_be_a_path(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(NOISE[0]).save(path)

    def asked(**part: Any) -> Any:
        content = [{"type": "image", **part}, {"type": "text", "text": QUESTION}]
        return analyzer.processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt"
        )

    wanted = asked(image=Image.fromarray(NOISE[0]))
    assert wanted["pixel_values_videos"].any()
    for part in ({"path": str(path)}, {"image": str(path)}, {"image": path}, {"image": NOISE[0]}):
        found = asked(**part)
        assert torch.equal(found["pixel_values_videos"], wanted["pixel_values_videos"]), part
        assert torch.equal(found["input_ids"], wanted["input_ids"])


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
        (lambda p: p(text="Why?", audio=[TONE] * 2), "audio: expected 0"),
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
            lambda p: p.apply_chat_template(asked({"type": "audio"}), tokenize=True),
            "audio: expected path or audio",
        ),
        (
            lambda p: p.apply_chat_template(
                asked({"type": "video", "video": NOISE}, {"type": "image", "image": NOISE})
            ),
            "expected one video in a conversation",
        ),
        (
            lambda p: p.apply_chat_template(
                [*asked({"type": "video", "video": NOISE}), *asked({"type": "audio", "audio": TONE})]
            ),
            "expected video and audio in one message",
        ),
        (lambda p: p(text="<|frame_pad|><|audio_pad|>x", videos=NOISE), "there is no audio for it"),
        (lambda p: p(text="x", videos=NOISE), "text 0 has no <|frame_pad|>"),
        (lambda p: p(text="<|frame_pad|><|frame_pad|>x", videos=NOISE), "once or 8 times, found it 2 times"),
        (lambda p: p(text="<|frame_pad|>x", videos=NOISE, images=NOISE[0]), "got both"),
        (
            lambda p: p.apply_chat_template(asked(), tokenize=True, return_assistant_tokens_mask=True),
            "training_batch makes labels",
        ),
    ],
)
def test_what_does_not_fit_is_refused(analyzer: EmotionAnalyzer, use: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        use(analyzer.processor)


@pytest.mark.parametrize("task", TASKS)
def test_generate_by_itself_writes_the_whole_answer(shipped: EmotionAnalyzer, task: str) -> None:
    """As the analyzer has it, with no more said than the conversation: in the precision that the model ships in."""
    parts = [{"type": "transcript", "text": TEXT}, {"type": "video", "path": SAMPLE}]  # in any order
    chat = [{"role": "user", "content": [{"type": "text", "text": TASKS[task].question()}, *parts]}]
    inputs = shipped.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=True)
    with torch.inference_mode():
        ids = shipped.model.generate(**inputs)[0, inputs["input_ids"].shape[1] :]
    text = shipped.processor.decode(ids, skip_special_tokens=True).strip()
    assert text == shipped.analyze(SAMPLE, text=TEXT, tasks=[task])[task].text


@pytest.mark.parametrize("audio", [None, {"type": "audio"}])
def test_an_audio_part_without_a_source_is_the_audio_of_the_video(
    analyzer: EmotionAnalyzer, audio: dict[str, Any] | None
) -> None:
    parts = [{"type": "video", "path": SAMPLE}, *([audio] if audio else [])]
    inputs = analyzer.processor.apply_chat_template(
        asked(*parts), tokenize=True, load_audio_from_video=audio is None
    )
    assert torch.equal(inputs["input_values"][0], analyzer.processor.media(load_clip(SAMPLE))["input_values"])


def test_an_audio_part_replaces_the_audio_of_the_file(analyzer: EmotionAnalyzer) -> None:
    chat = asked({"type": "video", "path": SAMPLE}, {"type": "audio", "audio": TONE})
    inputs = analyzer.processor.apply_chat_template(chat, tokenize=True)
    expected = analyzer.processor.media(clip_of_arrays(None, TONE))["input_values"]
    assert torch.equal(inputs["input_values"][0], expected)


def test_what_a_file_lacks_is_left_out(analyzer: EmotionAnalyzer, tmp_path: Path) -> None:
    processor = analyzer.processor
    heard = make_media(tmp_path / "a.mkv", 1.0, video=None)
    seen = make_media(tmp_path / "v.mkv", 1.0, audio=None)
    text = processor.apply_chat_template(asked({"type": "video", "path": heard}))
    assert "<|audio_pad|>" in text and "<|frame_pad|>" not in text and "<|fusion_pad|>" not in text
    inputs = processor.apply_chat_template(
        asked({"type": "video", "path": seen}, {"type": "audio"}), tokenize=True
    )
    assert "input_values" not in inputs and "pixel_values_videos" in inputs


def test_the_text_first_and_the_media_later(analyzer: EmotionAnalyzer, clip: Clip) -> None:
    """The habit of many scripts: the template writes the text, the processor gets it with the media."""
    processor = analyzer.processor
    whole = processor.apply_chat_template(asked({"type": "video", "video": clip}), tokenize=True)
    text = processor.apply_chat_template(asked({"type": "video"}, {"type": "audio"}), tokenize=False)
    for media in (
        {"videos": SAMPLE},
        {"videos": clip},
        {"videos": [[clip.frames]], "audio": [clip]},
        {"videos": [[str(SAMPLE)]], "audio": str(SAMPLE), "sampling_rate": 16_000},
    ):
        inputs = processor(text=[text], **media)
        assert set(inputs) == set(whole) == set(processor.model_input_names)
        assert all(torch.equal(inputs[name], whole[name]) for name in whole), media.keys()


def test_follow_up_questions_and_answers_to_continue(analyzer: EmotionAnalyzer) -> None:
    chat = [
        *asked({"type": "video", "video": NOISE}),
        {"role": "assistant", "content": "Joy."},
        {"role": "user", "content": "Are you sure?"},
    ]
    text = analyzer.processor.apply_chat_template(chat, add_generation_prompt=True)
    assert text.endswith(
        "Why?<|im_end|>\n<|im_start|>assistant\nJoy.<|im_end|>\n<|im_start|>user\nAre you sure?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    continued = analyzer.processor.apply_chat_template(chat[:2], continue_final_message=True)
    assert continued.endswith("<|im_start|>assistant\nJoy.")


def test_a_dialogue_is_written_as_the_analyzer_writes_it(analyzer: EmotionAnalyzer) -> None:
    turns = [{"role": "Ann", "text": "Hello <|im_end|>"}, {"role": "Bo", "text": "Go away."}]
    text = analyzer.processor.apply_chat_template(
        asked({"type": "dialogue", "turns": turns}), add_generation_prompt=True
    )
    assert text == analyzer.processor.prompt("Why?", modalities=(), dialogue=turns)


def test_padding_and_kinds_of_tensors(analyzer: EmotionAnalyzer) -> None:
    processor, texts = analyzer.processor, ["Why?", "<|frame_pad|>Why is that so?"]
    left = processor(text=texts, videos=NOISE)
    right = processor(text=texts, videos=NOISE, text_kwargs={"padding_side": "right"})
    assert left["attention_mask"][0, -1] == right["attention_mask"][0, 0] == 1
    assert left["attention_mask"][0, 0] == right["attention_mask"][0, -1] == 0
    longer = processor(text=texts, videos=NOISE, padding="max_length", max_length=40)
    assert longer["input_ids"].shape == (2, 40)
    arrays = processor(text=texts, videos=NOISE, return_tensors="np")
    assert {type(value) for value in arrays.values()} == {np.ndarray}
    lists = processor(text=texts, videos=NOISE, padding=False, return_tensors=None)
    assert len(lists["input_ids"][0]) < len(lists["input_ids"][1])
    assert left["pixel_values_videos"].shape == (2, 8, 3, 96, 96) and not left["pixel_values_videos"][0].any()


def test_an_argument_that_means_nothing_here_is_named(
    analyzer: EmotionAnalyzer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        analyzer.processor.apply_chat_template(asked(), add_generation_promt=True, tools=None)
        analyzer.processor(text="Why?", videos_kwargs={"fps": 2})
    named = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert named == ["add_generation_promt", "fps"]


def test_servers_are_told_how_many_tokens_media_take(analyzer: EmotionAnalyzer) -> None:
    numbers = analyzer.processor._get_num_multimodal_tokens(video_sizes=[(4, 9, 9)], audio_lengths=[5, 7])
    assert numbers["num_video_tokens"] == [12] and numbers["num_audio_tokens"] == [8, 8]
    assert "num_image_tokens" not in numbers


def test_a_model_without_a_face_branch_has_no_face_in_its_prompt(tokenizer: Any) -> None:
    processor = NanoEmoXProcessor.from_config(tiny_config(tokenizer, face_tokens=0), tokenizer)
    processor.chat_template = OFFICIAL_TEMPLATE.read_text(encoding="utf-8")
    chat = asked({"type": "video", "video": NOISE}, {"type": "audio", "audio": TONE})
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    assert "face" not in text
    ids = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=True)["input_ids"]
    prompt = processor.prompt("Why?", modalities={"video", "audio"})
    assert torch.equal(ids, processor.training_batch([prompt])["input_ids"])
    with pytest.raises(ValueError, match="has no place in this model"):
        processor(text="<|face_pad|>x", videos=NOISE)


def test_a_pipeline_answers_conversations(
    analyzer: EmotionAnalyzer, bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers insists on torchvision, and once on librosa, for such models; this processor uses neither."""
    from transformers import pipeline
    from transformers.pipelines import any_to_any

    real = any_to_any.requires_backends
    monkeypatch.setattr(
        any_to_any,
        "requires_backends",
        lambda what, backend: None if backend in ("torchvision", "librosa") else real(what, backend),
    )
    pipe = pipeline("any-to-any", model=str(bundled), trust_remote_code=True, dtype="float32")
    media = ({"type": "video", "path": str(SAMPLE)}, {"type": "transcript", "text": TEXT})
    questions = [TASKS[task].question() for task in ("emotion", "intent")]
    chats = [asked(*media, question=question) for question in questions]
    analysis = analyzer.analyze(SAMPLE, text=TEXT, tasks=["emotion", "intent"])
    found = pipe(text=chats, return_full_text=False)
    answers = [one["generated_text"].strip() for (one,) in found]
    assert answers == [analysis["emotion"].text, analysis["intent"].text]


# ---------------------------------------------------------------- other processes

STRANGER = """
import sys, numpy
for name in sys.argv[1].split():
    sys.modules[name] = None  # as where it is not installed
from transformers import AutoModelForMultimodalLM, AutoProcessor
folder, media, text, question = sys.argv[2:]
model = AutoModelForMultimodalLM.from_pretrained(folder, trust_remote_code=True, dtype="float32").eval()
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
parts = [{"type": "video", "path": media}]
if media.endswith(".npz"):
    arrays = numpy.load(media)
    parts = [{"type": kind, kind: arrays[kind]} for kind in ("video", "audio")]
chat = [{"role": "user", "content": [
    *parts, {"type": "transcript", "text": text}, {"type": "text", "text": question}]}]
inputs = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=True)
ids = model.generate(**inputs, max_new_tokens=16, do_sample=False)
print("ANSWER", processor.decode(ids[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
"""


@pytest.mark.parametrize(
    ("absent", "media"),
    [("nanoemox", "file"), ("nanoemox av", "arrays"), ("", "file")],
    ids=["transformers and PyAV", "transformers alone", "nanoemox beside a copy of its code"],
)
def test_the_bundled_folder_answers_in_any_process(
    analyzer: EmotionAnalyzer, clip: Clip, bundled: Path, tmp_path: Path, absent: str, media: str
) -> None:
    """A copy of the folder brings its code, and the answer is the analyzer's."""
    path, given = SAMPLE, clip
    if media == "arrays":
        path = tmp_path / "clip.npz"
        assert clip.frames is not None
        np.savez(path, video=clip.frames, audio=TONE)
        given = replace(clip_of_arrays(clip.frames, TONE), path="arrays")
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, absent, str(bundled), str(path), TEXT, QUESTION],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = analyzer.analyze(given, text=TEXT, tasks=["emotion"])["emotion"].text
    assert f"ANSWER {answer}\n" in done.stdout
