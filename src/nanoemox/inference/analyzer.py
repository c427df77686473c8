"""A clip in, up to six answers out: the facade over media, processor, model and tasks.

    analyzer = EmotionAnalyzer.from_pretrained("pico")
    result = analyzer.analyze("clip.mp4", text="…", tasks=["emotion", "intent"])
    result["emotion"].label, result["emotion"].probabilities, result.modalities, result.experts

A clip is encoded once and its part of the prompt is read once for all tasks. Answers are greedy, so the same
clip gets the same answer each time. Of closed questions the label is the likeliest candidate, by the
likelihood of its whole answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from nanoemox.checkpoints.load import load_model
from nanoemox.inference import decoding
from nanoemox.inference.results import Analysis, Answers, Dialogue, Request, TaskResult
from nanoemox.media.clip import PRESENT, Clip, CodedWarning, empty_clip
from nanoemox.media.load import load_clip
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor, modality_of, stack_media
from nanoemox.tasks.task import Answer, Task, select

LEFT_OUT = "left out on request"
DOMAIN_NOTES = {
    "affect_theatre": "this model knows only Affect Theatre, a generated world; "
    "of real people its answers mean nothing"
}
_SIGNS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}


class EmotionAnalyzer:
    """A model and its processor, ready to answer."""

    def __init__(
        self, model: NanoEmoXForConditionalGeneration, processor: NanoEmoXProcessor, name: str = "nanoemox"
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        self.name = name
        self._ends = {
            processor.tokenizer.convert_tokens_to_ids(processor.end_of_turn),
            processor.tokenizer.eos_token_id,
        }

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "pico",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | str | None = None,
        revision: str | None = None,
    ) -> EmotionAnalyzer:
        """Load "pico" (bundled), a folder, or a Hub id; dtype is that of the files on a CPU, else bfloat16."""
        model, processor = load_model(name_or_path, device, dtype, revision)
        return cls(model, processor, str(name_or_path))

    @property
    def domain_note(self) -> str | None:
        """What everyone who reads an answer has to know about where this model comes from."""
        world = getattr(self.model.config, "training_domain", None)
        return DOMAIN_NOTES.get(world, f"this model knows only {world}") if world else None

    def analyze(
        self,
        clip: str | Path | Clip | None,
        text: str | None = None,
        tasks: Sequence[str] | None = None,
        dialogue: Dialogue | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        candidates: Mapping[str, Sequence[str]] | None = None,
    ) -> Analysis:
        """Answer questions about one clip.

        Args:
            clip: a media file, a loaded `Clip`, or None when there are only words.
            text: what is said. dialogue: earlier turns, oldest first, each {"role", "text"}.
            tasks: names of tasks; None asks all six.
            start_s, end_s: use this part of the file only.
            candidates: task -> labels to choose from, for "emotion", "intent" or "sentiment".
        """
        select(tasks)  # a misspelt task is told before the file is read
        timing: dict[str, float] = {}
        with _timed(timing, "load"):
            if clip is None:
                media = empty_clip("only words were given")
            else:
                compat = self.processor.compat
                media = (
                    clip
                    if isinstance(clip, Clip)
                    else load_clip(clip, start_s=start_s, end_s=end_s, compat=compat)
                )
        if media.frames is None and media.audio_windows is None and not (text or dialogue):
            raise ValueError(
                f"{media.path or 'no clip'}: expected pictures, sound or words, got none; give the text"
            )
        answers = self.answer_batch([Request(media, text, dialogue, tasks, candidates or {})], timing)[0]
        timing["total"] = round(sum(timing.values()), 4)
        notes = [self.domain_note] if self.domain_note else []
        return Analysis(
            clip=media,
            model=self.name,
            tasks=answers.tasks,
            modalities=answers.modalities,
            experts=answers.experts,
            warnings=tuple(dict.fromkeys([*notes, *answers.warnings])),
            timing_s=timing,
        )

    def answer_batch(
        self, requests: Sequence[Request], timing: dict[str, float] | None = None
    ) -> list[Answers]:
        """Answer several requests in one batch; each gets what it would get alone."""
        timing = {} if timing is None else timing
        asked = [select(request.tasks) for request in requests]
        heard = [_modalities(request) for request in requests]
        with _timed(timing, "encode"):
            features = self._features(requests, heard)
        with _timed(timing, "answer"):
            prompts, cuts = zip(
                *(self._prompts(r, t, h) for r, t, h in zip(requests, asked, heard, strict=True)), strict=True
            )
            branches, gate = decoding.read_prompts(self.model, prompts, features)
            flat = [(request, task) for request, tasks in zip(requests, asked, strict=True) for task in tasks]
            written = decoding.greedy(self.model, branches, [t.max_new_tokens for _, t in flat], self._ends)
            closed = [
                (row, _candidates(request, task)) for row, (request, task) in enumerate(flat) if task.closed
            ]
            scores = decoding.log_likelihoods(
                self.model,
                branches,
                [(row, self._answer_ids(flat[row][1], labels)) for row, labels in closed],
            )
            likely = {row: (labels, s) for (row, labels), s in zip(closed, scores, strict=True)}
            results = []
            for row, ((request, task), (tokens, ended)) in enumerate(zip(flat, written, strict=True)):
                text = self.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()
                answer = task.parse(text, _candidates(request, task) if task.closed else None)
                results.append(_result(task, answer, ended, *likely.get(row, (None, None))))
        answers, first = [], 0
        for i, (request, tasks) in enumerate(zip(requests, asked, strict=True)):
            mine = {r.task: r for r in results[first : first + len(tasks)]}
            first += len(tasks)
            experts = None
            if gate is not None and {"video", "audio"} <= _given(heard[i]):
                experts = tuple(round(float(weight), 6) for weight in gate[i])
            about_media = [warning.text for warning in _media_warnings(request, heard[i])]
            answers.append(Answers(mine, heard[i], experts, (*about_media, *cuts[i])))
        return answers

    @torch.inference_mode()
    def _features(self, requests: Sequence[Request], heard: Sequence[Mapping[str, str]]) -> dict[str, Tensor]:
        """Frozen features of all requests [B, …]; zeros where a clip lacks a modality."""
        rows: list[dict[str, Tensor]] = []
        for request, modalities in zip(requests, heard, strict=True):
            if isinstance(request.source, Clip):
                tensors = self.processor.media(request.source)
            else:
                tensors = dict(request.source)
            rows.append({n: v for n, v in tensors.items() if modality_of(n) in _given(modalities)})
        batch = {name: value.to(self.model.device) for name, value in stack_media(rows).items()}
        batch = {n: v.to(self.model.dtype) if v.is_floating_point() else v for n, v in batch.items()}
        media = {name: batch.pop(name) for name in list(batch) if not name.endswith("_features")}
        encoded = self.model.encode(**media)
        for name, value in encoded.items():  # a batch may hold both clips and stored features
            if name in batch:
                own = torch.tensor([isinstance(r.source, Clip) for r in requests], device=value.device)
                value = torch.where(own[:, None, None], value, batch[name])
            batch[name] = value
        return batch

    def _prompts(
        self, request: Request, tasks: Sequence[Task], modalities: Mapping[str, str]
    ) -> tuple[list[list[int]], list[str]]:
        """Token ids of every question; words too long for the model lose their oldest part, which is told."""
        with_words = request.only is None or "text" in request.only
        text = request.text if with_words else None
        dialogue = list(request.dialogue or []) if with_words else []
        room = self.model.config.text_config.max_position_embeddings
        warnings: list[str] = []
        while True:
            prompts = [
                self.processor.prompt(
                    task.question(_candidates(request, task) if task.closed else None),
                    modalities=_given(modalities) & {"video", "audio"},
                    text=text,
                    dialogue=dialogue or None,
                )
                for task in tasks
            ]
            ids = self.processor(prompts, padding_side="left")
            lengths = ids["attention_mask"].sum(dim=1).tolist()
            if max(n + t.max_new_tokens for n, t in zip(lengths, tasks, strict=True)) <= room:
                break
            if dialogue:
                dialogue = dialogue[1:]
                warnings = [
                    f"the dialogue is too long for the model; its last {len(dialogue)} turns were read"
                ]
            elif text and len(text) > 1:
                text = text[(len(text) + 1) // 2 :]
                warnings = [
                    f"the words are too long for the model; the last {len(text)} characters were read"
                ]
            else:
                raise ValueError(
                    f"expected a prompt of at most {room} tokens, got {max(lengths)}; give fewer candidates"
                )
        return [row[-n:].tolist() for row, n in zip(ids["input_ids"], lengths, strict=True)], warnings

    def _answer_ids(self, task: Task, labels: Sequence[str]) -> list[list[int]]:
        answers = [task.answer_for(label, labels) + self.processor.end_of_turn for label in labels]
        return self.processor.tokenizer(answers, add_special_tokens=False)["input_ids"]


# ---------------------------------------------------------------- pieces


@contextmanager
def _timed(timing: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timing[stage] = round(time.perf_counter() - start, 4)


def _modalities(request: Request) -> dict[str, str]:
    """Which modalities the answers rest on: "present", or why not."""
    if isinstance(request.source, Clip):
        found = dict(request.source.modalities)
    else:
        names = {modality_of(name) for name in request.source}
        found = {m: PRESENT if m in names else "no features were given" for m in ("video", "audio")}
    found["text"] = PRESENT if request.text or request.dialogue else "no words were given"
    if request.only is not None:
        found |= {m: LEFT_OUT for m in found if m not in request.only}
    return found


def _given(modalities: Mapping[str, str]) -> set[str]:
    return {name for name, state in modalities.items() if state == PRESENT}


def _media_warnings(request: Request, modalities: Mapping[str, str]) -> list[CodedWarning]:
    """What the reader of an answer has to know about the clip: `no_…`, `audio_cut` and the codes of media/clip."""
    warnings = [
        CodedWarning(f"no_{name}", f"no {name}: {why}")
        for name, why in modalities.items()
        if why not in (PRESENT, LEFT_OUT)
    ]
    if not isinstance(request.source, Clip):
        return warnings
    clip = request.source
    if "audio" in _given(modalities) and clip.audio_windows is not None:
        codes = {warning.code for warning in clip.warnings}
        if not clip.audio_windows.any() and "audio_silent" not in codes:
            warnings.append(CodedWarning("audio_silent", "the audio track is silent"))
        if clip.audio_coverage is not None and clip.audio_coverage < 0.995:
            text = f"only {clip.audio_coverage:.0%} of the audio was read; cut the file to 16 s or less"
            warnings.append(CodedWarning("audio_cut", text))
    return [*warnings, *clip.warnings]


def _candidates(request: Request, task: Task) -> list[str]:
    return list(request.candidates.get(task.name) or task.defaults)


def _result(
    task: Task, answer: Answer, ended: bool, labels: Sequence[str] | None, scores: Tensor | None
) -> TaskResult:
    """What was written and how likely each candidate is -> one result."""
    warnings = answer.warnings
    if not ended:
        warnings += (f"the answer was cut at {task.max_new_tokens} tokens",)
    label, probabilities = answer.label, {}
    if labels and scores is not None:
        values = scores.double().softmax(dim=0).tolist()
        probabilities = dict(zip(labels, (round(p, 6) for p in values), strict=True))
        label = labels[int(scores.argmax())]
    score, polarity = answer.score, answer.polarity
    if task.name == "sentiment" and probabilities and label is not None:
        score = round(sum(p * _SIGNS.get(name.casefold(), 0.0) for name, p in probabilities.items()), 6)
        polarity = label.casefold() if label.casefold() in _SIGNS else None
    shown = {"open_vocabulary": ", ".join(answer.labels), "empathy": answer.reply, "reasoning": answer.text}
    return TaskResult(
        task=task.name,
        answer=shown.get(task.name, label) or "",
        text=answer.text,
        label=label,
        labels=answer.labels,
        probabilities=probabilities,
        polarity=polarity,
        valence=answer.valence,
        score=score,
        thinking=dict(answer.thinking),
        reply=answer.reply,
        cues=dict(answer.cues),
        warnings=warnings,
    )
