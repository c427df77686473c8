"""A clip in, one answer a task out: the facade over media, processor, model and tasks.

    analyzer = EmotionAnalyzer.from_pretrained("pico")
    result = analyzer.analyze("clip.mp4", text="…", tasks=["emotion", "intent"])
    result["emotion"].label, result["emotion"].probabilities, result.modalities, result.experts

A clip is encoded once and its part of the prompt is read once for all tasks. Answers are greedy, so the same
clip gets the same answer each time. Of closed questions the label is the likeliest candidate, by the
likelihood of its whole answer.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nanoemox.checkpoints.load import load_model
from nanoemox.checkpoints.openvino_parts import GraphModel
from nanoemox.checkpoints.provenance import history, origin_warnings
from nanoemox.files.errors import ArgumentError
from nanoemox.files.listed import labels_by_task
from nanoemox.files.text import given_text
from nanoemox.inference import decoding
from nanoemox.inference.dialogue import checked_turns
from nanoemox.inference.few_rows import for_few_rows
from nanoemox.inference.model_tasks import ModelTasks
from nanoemox.inference.of_people import analyze_people
from nanoemox.inference.results import Analysis, Answers, Dialogue, Request, TaskResult
from nanoemox.inference.words import WordsAsked, check_words, words_of
from nanoemox.media.clip import PRESENT, Clip, CodedWarning, empty_clip
from nanoemox.media.load import load_clip
from nanoemox.media.subtitles import Spoken
from nanoemox.media.transcribe import SpeechModel
from nanoemox.model.clip_processor import modality_of, stack_media
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from nanoemox.people.detector import Detector
from nanoemox.tasks.base import Task
from nanoemox.tasks.closed import ClosedTask
from nanoemox.tasks.task import check_candidates, select

if TYPE_CHECKING:
    from nanoemox.data.schema import Record
    from nanoemox.inference.many import FileResults

LEFT_OUT = "left out on request"


WHOLE_FRAMES = CodedWarning(
    "whole_frames",
    "this model was trained on pictures of nothing but the face; it was shown whole frames in their place; look for "
    "faces with --people (in Python, people=True)",
)


def checked_content(request: Request) -> Request:
    """The request itself. Errors: ArgumentError, where it has neither pictures nor sound nor words."""
    media = request.source
    if (
        isinstance(media, Clip)
        and media.frames is None
        and media.audio_windows is None
        and not (request.text or request.dialogue)
    ):
        raise ArgumentError(
            f"{media.path or 'no clip'}: expected pictures, sound or words, got none; give the text"
        )
    return request


class EmotionAnalyzer:
    """A model and its processor, ready to answer.

    Args:
        model: The model.
        processor: The processor that goes with it.
        name: What reports call the model.
    """

    def __init__(
        self, model: NanoEmoXForConditionalGeneration, processor: NanoEmoXProcessor, name: str = "nanoemox"
    ) -> None:
        self.model = model.eval()
        for_few_rows(model.language_model)
        self.processor = processor
        self.name = name
        self.tasks = ModelTasks(processor.own_tasks, processor.temperatures or {})
        self._ends = processor.end_sequences

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "pico",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | str | None = None,
        revision: str | None = None,
        check: bool = True,
    ) -> EmotionAnalyzer:
        """Load a model.

        Args:
            name_or_path: "pico" (bundled), a folder, or an id of the Hugging Face Hub.
            device: Where torch computes, such as "cpu" or "cuda".
            dtype: The type of the weights. None takes the best one of this machine (`best_dtype` in checkpoints).
            revision: Which revision of the Hub's model.
            check: Whether every weight is looked at first, which takes seconds for billions of them.

        Returns:
            The model, ready to answer.

        Raises:
            NanoEmoXError: If there is no such model, or its files are damaged or do not fit together.
        """
        model, processor = load_model(name_or_path, device, dtype, revision, check, answers_only=True)
        return cls(model, processor, str(name_or_path))

    @property
    def provenance(self) -> tuple[str, ...]:
        """The steps by which the model's weights came about, oldest first; empty where nobody wrote them down."""
        return history(self.model.config.provenance)

    @property
    def origin_warnings(self) -> tuple[CodedWarning, ...]:
        """What everyone who reads an answer has to know about where this model comes from."""
        return origin_warnings(self.model)

    @property
    def dtype(self) -> str:
        """The type of the weights, such as "float32"."""
        if isinstance(self.model, GraphModel):
            return f"openvino {self.model.listing.bits} bits, computed in {self.model.number_type}"
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def fingerprint(self) -> str:
        """Tells weights apart: a digest of every tensor's size and sum."""
        if isinstance(self.model, GraphModel):
            return self.model.listing.digest
        sums = [
            f"{name} {p.numel()} {p.double().sum().item()!r}" for name, p in self.model.named_parameters()
        ]
        return hashlib.sha256("\n".join(sums).encode()).hexdigest()[:16]

    def answer_limit(self, task: Task[Any], asked: int | None = None) -> int:
        """How many tokens an answer may have.

        What is asked for comes first, then what the model has for the task (`task_max_new_tokens` in its
        generation_config.json), then what the task has by itself.

        Args:
            task: The task that is answered.
            asked: The number that the user asks for, if any.

        Returns:
            The number of tokens at which an answer is cut.

        Raises:
            ArgumentError: If the number that is asked for is not above 0.
        """
        if asked is not None:
            if asked < 1:
                raise ArgumentError(f"max_new_tokens: expected a whole number above 0, got {asked}")
            return asked
        own: Mapping[str, int] = getattr(self.model.generation_config, "task_max_new_tokens", None) or {}
        return own.get(task.name, task.max_new_tokens)

    def analyze(
        self,
        clip: str | Path | Clip | None,
        text: str | Spoken | None = None,
        tasks: str | Sequence[str] | None = None,
        dialogue: Dialogue | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        transcribe: bool | str | Path | SpeechModel = False,
        candidates: Mapping[str, str | Sequence[str]] | None = None,
        max_new_tokens: int | None = None,
        untrained: bool = False,
        sampling: decoding.Sampling | None = None,
        write: bool | None = None,
        explain: bool = False,
        people: bool = False,
        face_detector: Detector | str | Path | None = None,
    ) -> Analysis:
        """Answer questions about one clip.

        Args:
            clip: A media file, a loaded `Clip`, or None when there is only text.
            text: What the person says, typed or as `read_subtitles` or `transcribe` give it.
            tasks: The names of the tasks to ask. None asks all that the model was trained on.
            dialogue: Earlier turns, oldest first, each {"role", "text"}.
            start_s: Use the file from here on.
            end_s: Use the file up to here.
            transcribe: Hear what is said: the name or folder of a Whisper model or a `SpeechModel`; True takes "base"
                if it is on this machine.
            candidates: Task -> the labels to choose from, for tasks that are answered by one of a list.
            max_new_tokens: Cut every answer at this number of tokens. None takes the limits of `answer_limit`.
            untrained: Ask what the model was not trained on, too.
            sampling: Draw the answers instead of taking the likeliest token each time, such as `published_sampling()`.
            write: Let the model write its answers to closed questions to their end, whatever they are. Without, their
                labels and probabilities are the same and no token is written one by one; `text` is there all the same
                where the model would write one of the candidates. None writes unless all tasks are closed.
            explain: Mute each modality in turn and say what changes (`Analysis.explanation`).
            people: Find the people in the pictures and answer for each of them (`Analysis.people`).
            face_detector: With `people`, a loaded detector, or YuNet's file; None takes the one that comes along.

        Returns:
            The answers, and what they rest on.

        Raises:
            NanoEmoXError: If the clip cannot be read, there is nothing to answer from, or a task is unknown.
        """
        # What is misspelt is an error before the file is read.
        asked = self.request(
            None, None, tasks, dialogue, candidates, max_new_tokens, untrained, sampling, write
        )
        check_words(clip, text, transcribe)
        if people:
            words, spoken, _ = words_of(clip, text, transcribe, start_s, end_s)
            return analyze_people(
                self,
                clip,
                words if spoken is None else spoken,
                (start_s, end_s),
                face_detector,
                tasks=tasks,
                dialogue=dialogue,
                candidates=candidates,
                max_new_tokens=max_new_tokens,
                untrained=untrained,
                sampling=sampling,
                write=write,
                explain=explain,
            )
        started = time.perf_counter()
        if clip is None:
            media = empty_clip("only words were given")
        elif isinstance(clip, Clip):
            media = clip
        else:
            media = load_clip(clip, start_s=start_s, end_s=end_s, compat=self.processor.compat)
        load_s = _since(started)
        started = time.perf_counter()
        words, spoken, no_text = words_of(clip, text, transcribe, start_s, end_s)
        heard_s = _since(started)
        request = checked_content(replace(asked, source=media, text=words, no_text=no_text, spoken=spoken))
        [analysis] = self.analyses([request], [load_s], [start_s or 0.0], explain)
        if transcribe is False:
            return analysis
        timing = {"load": load_s, "transcribe": heard_s, **analysis.timing_s}
        timing["total"] = round(timing["total"] + heard_s, 4)
        return replace(analysis, timing_s=timing)

    def request(
        self,
        clip: Clip | None,
        text: str | None = None,
        tasks: str | Sequence[str] | None = None,
        dialogue: Dialogue | None = None,
        candidates: Mapping[str, str | Sequence[str]] | None = None,
        max_new_tokens: int | None = None,
        untrained: bool = False,
        sampling: decoding.Sampling | None = None,
        write: bool | None = None,
    ) -> Request:
        """What `analyze` asks of `answer_batch`, for those who fill batches themselves.

        Args:
            clip: The clip, or None where there is none, or none yet.
            text: What the person says.
            tasks: As in `analyze`.
            dialogue: As in `analyze`.
            candidates: As in `analyze`.
            max_new_tokens: As in `analyze`.
            untrained: As in `analyze`.
            sampling: As in `analyze`.
            write: As in `analyze`.

        Returns:
            The request, its words and tasks checked.

        Raises:
            NanoEmoXError: If a task or a label is unknown, or the words have another form.
        """
        tasks, offered = self.tasks.chosen(tasks, untrained), labels_by_task(candidates)
        check_candidates(candidates or {}, tasks)
        turns = checked_turns(dialogue)
        media = empty_clip("only words were given") if clip is None else clip
        return Request(
            media,
            given_text(text),
            turns,
            tasks,
            offered,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            write=self.tasks.writes(tasks, write),
        )

    def analyze_many(
        self,
        sources: str | Path | Iterable[str | Path | Clip | Record],
        tasks: str | Sequence[str] | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        candidates: Mapping[str, str | Sequence[str]] | None = None,
        max_new_tokens: int | None = None,
        untrained: bool = False,
        sampling: decoding.Sampling | None = None,
        write: bool | None = None,
        explain: bool = False,
        batch_size: int | None = None,
        workers: int | None = None,
        transcribe: bool | str | Path | SpeechModel = False,
        language: str | None = None,
        subtitles_beside: bool = False,
    ) -> FileResults:
        """Answer questions about many clips, and yield each as soon as it is answered, in their order.

        Processes read files ahead while the model answers. A file that cannot be read, or whose reading kills a
        process, is a result with an `error`; the others go on.

        Args:
            sources: Media files, loaded clips, or records of a manifest, which bring their own text, dialogue and
                cut; any iterable, of which only a few are taken ahead. A path is a folder, a pattern such as
                "clips/*.mp4", or a manifest, as on the command line.
            tasks: The names of the tasks to ask. None asks all that the model was trained on.
            start_s: Use every file from here on; of a record its own cut counts.
            end_s: Use every file up to here.
            candidates: Task -> the labels to choose from.
            max_new_tokens: Cut every answer at this number of tokens.
            untrained: Ask what the model was not trained on, too.
            sampling: Draw the answers, as in `analyze`.
            write: As in `analyze`.
            explain: As in `analyze`.
            batch_size: Clips that are answered together; None takes 16 where the model computes in float32, whose
                answers do not depend on their batch, else 1.
            workers: Processes that read files; None, one for each core but one; 0 reads in this process.
            transcribe: Hear what is said in files without a text of their own, as in `analyze`. The model is loaded
                once, and hears in this process.
            language: The language that is heard, such as "en"; None finds it out.
            subtitles_beside: Take what is said from a file of subtitles of the same name beside a file (a.mp4, a.srt).
                Where there is one, nothing is heard.

        Returns:
            An iterator of one result for each clip.

        Raises:
            NanoEmoXError: If a task is unknown, or the processes cannot be started.
        """
        from nanoemox.inference.many import Question, analyze_many

        question = Question.of(
            self, tasks, start_s, end_s, candidates, max_new_tokens, untrained, sampling, write, explain
        )
        question = replace(question, words=WordsAsked.of(transcribe, language, subtitles_beside))
        return analyze_many(self, sources, question, batch_size, workers)

    def analyses(
        self,
        requests: Sequence[Request],
        load_s: Sequence[float],
        start_s: Sequence[float],
        explain: bool,
        features: Mapping[str, Tensor] | None = None,
    ) -> list[Analysis]:
        """The answers to requests about clips in one batch, with everything that a report of them says.

        Args:
            requests: What is asked; their sources are clips.
            load_s: How long it took to read each clip.
            start_s: Where in its file each clip begins.
            explain: Mute each modality in turn, too.
            features: The frozen features of all requests [B, …], where they have been computed before.

        Returns:
            One analysis for each request.

        Raises:
            NanoEmoXError: If a request cannot be answered.
        """
        started = time.perf_counter()
        if features is None:
            features = self._features(requests, [_modalities(request) for request in requests])
        encode_s = _since(started)
        analyses = []
        for row, (request, answers) in enumerate(
            zip(requests, self.answer_batch(requests, features), strict=True)
        ):
            timing = {"encode": encode_s}
            explanation = None
            if explain:
                from nanoemox.inference.explain import explain_answers

                started = time.perf_counter()
                mine = {name: value[row : row + 1] for name, value in features.items()}
                explanation = explain_answers(self, request, answers, mine)
                timing["explain"] = _since(started)
            analysis = self.analysis(request, answers, load_s[row], start_s[row], timing)
            analyses.append(replace(analysis, explanation=explanation))
        return analyses

    def analysis(
        self,
        request: Request,
        answers: Answers,
        load_s: float = 0.0,
        start_s: float | None = None,
        others_s: Mapping[str, float] | None = None,
    ) -> Analysis:
        """The answers to one request about a clip, with what they rest on.

        Args:
            request: As `request` makes it.
            answers: What `answer_batch` answered.
            load_s: How long reading the file took.
            start_s: Where in the file the clip begins.
            others_s: Name -> how long another step took.

        Returns:
            What `analyze` returns.

        Raises:
            TypeError: If the request is about stored features, not about a clip.
        """
        clip, tasks = request.source, list(request.tasks or self.tasks.trained)
        if not isinstance(clip, Clip):
            raise TypeError(f"expected a clip, got {type(clip).__name__}")
        timing = {"load": load_s, **answers.timing_s, **(others_s or {})}
        timing["total"] = round(sum(timing.values()), 4)
        notes = [note for note in [self.tasks.warning(tasks)] if note]
        heard = () if request.spoken is None else request.spoken.warnings
        return Analysis(
            clip=clip,
            model=self.name,
            tasks=answers.tasks,
            modalities=answers.modalities,
            experts=answers.experts,
            warnings=tuple(dict.fromkeys([*self.origin_warnings, *notes, *answers.warnings, *heard])),
            timing_s=timing,
            provenance=self.provenance,
            text=request.text,
            spoken=request.spoken,
            dialogue=tuple(request.dialogue or ()),
            start_s=start_s or 0.0,
            not_trained=self.tasks.left_out(tasks),
        )

    def published_sampling(self, seed: int = 0) -> decoding.Sampling:
        """How the model's own authors let it write, with a seed that they do not set. Errors: ArgumentError."""
        stated = getattr(self.model.generation_config, "published_sampling", None)
        if stated is None:
            raise ArgumentError(
                f"{self.name}: nothing is published about how this model draws its answers; leave the sampling out"
            )
        return decoding.Sampling(**stated, seed=seed)

    def answer_batch(
        self, requests: Sequence[Request], features: Mapping[str, Tensor] | None = None
    ) -> list[Answers]:
        """Answer several requests in one batch; each gets what it would get alone.

        Args:
            requests: What is asked.
            features: The frozen features of all requests [B, …], where they have been computed before.

        Returns:
            The answers to each request.

        Raises:
            NanoEmoXError: If a request cannot be answered.
        """
        try:
            return self._answer_batch(requests, features)
        except decoding.LogitsError as error:
            raise decoding.LogitsError(f"{self.name}: {error}") from error

    def _answer_batch(
        self, requests: Sequence[Request], features: Mapping[str, Tensor] | None
    ) -> list[Answers]:
        # What each request asks for, and which modalities it gives.
        asked = [
            select(self.tasks.trained if request.tasks is None else request.tasks) for request in requests
        ]
        states = [_modalities(request) for request in requests]

        # Encode every clip once.
        started = time.perf_counter()
        if features is None:
            features = self._features(requests, states)
        encode_s = _since(started)

        # Read every clip's part of the prompt once.
        started = time.perf_counter()
        prompts, cuts = zip(
            *(self._prompts(r, t, m) for r, t, m in zip(requests, asked, states, strict=True)), strict=True
        )
        branches, gate = decoding.read_prompts(self.model, prompts, features)
        flat = [(request, task) for request, tasks in zip(requests, asked, strict=True) for task in tasks]

        # Of closed questions, compute how likely each candidate is.
        scored = self._label_scores(branches, flat)
        likely = {}
        for row, (question, labels, scores) in scored.items():
            shares = (scores.log_p.double() / self.tasks.temperature(question)).softmax(dim=0).tolist()
            likely[row] = dict(zip(labels, shares, strict=True))

        # Write the answers, as far as the likelihoods do not tell them already.
        limits, starts = [], []
        for row, (request, task) in enumerate(flat):
            limit = self._limit(request, task)
            start = scored[row][2].start if row in scored and request.sampling is None else []
            free = decoding.is_whole(start[:limit], self._ends)  # all of it is known: no step is taken
            wanted = request.write or not isinstance(task, ClosedTask) or free
            limits.append(limit if wanted else 0)
            starts.append(start)
        written = self._written(branches, flat, limits, starts)

        # Read the answers back.
        results: list[TaskResult] = []
        for row, ((request, task), (tokens, ended)) in enumerate(zip(flat, written, strict=True)):
            text = self.processor.tokenizer.decode(tokens, skip_special_tokens=True)
            text = self.processor.response(text + (self.processor.end_of_turn if ended else ""))
            cut_at = limits[row] if limits[row] and not ended else None
            notes = self.tasks.warnings_of(task)
            candidates = _candidates(request, task)
            result = _result(task, text, cut_at, candidates, likely.get(row), notes)
            if not request.write and isinstance(task, ClosedTask):  # what was not asked for is no fault
                result = result.model_copy(update={"warnings": tuple(notes)})
            results.append(result)
        timing = {"encode": encode_s, "answer": _since(started)}

        # Give every request its own answers.
        answers, first = [], 0
        for i, (request, tasks) in enumerate(zip(requests, asked, strict=True)):
            mine = {result.task: result for result in results[first : first + len(tasks)]}
            first += len(tasks)
            experts = None
            if gate is not None and {"video", "audio"} <= _given(states[i]):
                experts = tuple(round(float(weight), 6) for weight in gate[i])
            whole = self.processor.pictures == "opencv" and "video" in _given(states[i])
            if isinstance(request.source, Clip) and request.source.face_frames is not None:
                whole = False
            warnings = (*_media_warnings(request, states[i]), *([WHOLE_FRAMES] if whole else []), *cuts[i])
            answers.append(Answers(mine, states[i], experts, warnings, timing))
        return answers

    def label_scores(self, requests: Sequence[Request]) -> list[dict[str, dict[str, float]]]:
        """How likely each label of the closed tasks is that the requests ask.

        Args:
            requests: The clips, and the closed tasks to ask.

        Returns:
            For each request task -> label -> log p of the whole answer with this label, without any temperature.

        Raises:
            NanoEmoXError: If the model computes numbers that are not finite.
        """
        asked = [select(request.tasks) for request in requests]
        states = [_modalities(request) for request in requests]
        features = self._features(requests, states)
        prompts = [self._prompts(r, t, m)[0] for r, t, m in zip(requests, asked, states, strict=True)]
        branches, _ = decoding.read_prompts(self.model, prompts, features)
        places = [(i, request, task) for i, request in enumerate(requests) for task in asked[i]]
        scores = self._label_scores(branches, [(request, task) for _, request, task in places])
        found: list[dict[str, dict[str, float]]] = [{} for _ in requests]
        for row, (task, labels, each) in scores.items():
            found[places[row][0]][task.name] = dict(zip(labels, each.log_p.tolist(), strict=True))
        return found

    def _label_scores(
        self, branches: decoding.Branches, flat: Sequence[tuple[Request, Task[Any]]]
    ) -> dict[int, tuple[ClosedTask[Any], list[str], decoding.Likelihoods]]:
        """Row of a closed question -> its task, its labels, and how likely each of them is."""
        closed = [
            (row, task, labels)
            for row, (request, task) in enumerate(flat)
            if isinstance(task, ClosedTask) and (labels := _candidates(request, task))
        ]
        scores = decoding.log_likelihoods(
            self.model, branches, [(row, self._answer_ids(task, labels)) for row, task, labels in closed]
        )
        return {row: (task, labels, each) for (row, task, labels), each in zip(closed, scores, strict=True)}

    def _written(
        self,
        branches: decoding.Branches,
        flat: Sequence[tuple[Request, Task[Any]]],
        limits: Sequence[int],
        starts: Sequence[list[int]],
    ) -> list[tuple[list[int], bool]]:
        """The answers, greedy or drawn, as each request asks; they begin with what is known of them."""
        drawn = [request.sampling for request, _ in flat]
        choices = {each: each.choice(len(flat)) for each in drawn if each is not None}

        def choose(logits: Tensor, rows: Sequence[int]) -> Tensor:
            tokens = decoding.likeliest(logits, rows)
            for sampling, choice in choices.items():
                mine = [i for i, row in enumerate(rows) if drawn[row] == sampling]
                if mine:
                    tokens[mine] = choice(logits[mine], [rows[i] for i in mine])
            return tokens

        return decoding.write(self.model, branches, limits, self._ends, choose, starts)

    @torch.inference_mode()
    def _features(
        self, requests: Sequence[Request], states: Sequence[Mapping[str, str]]
    ) -> dict[str, Tensor]:
        """Frozen features of all requests [B, …]; zeros where a clip lacks a modality."""
        rows: list[dict[str, Tensor]] = []
        for request, modalities in zip(requests, states, strict=True):
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
        self, request: Request, tasks: Sequence[Task[Any]], modalities: Mapping[str, str]
    ) -> tuple[list[list[int]], list[CodedWarning]]:
        """Token ids of every question, with a warning if text too long for the model has lost its oldest part."""
        with_words = request.modalities is None or "text" in request.modalities
        text = request.text if with_words else None
        dialogue = list(request.dialogue or []) if with_words else []
        room = self.model.config.text_config.max_position_embeddings
        limits = [self._limit(request, task) for task in tasks]
        warnings: list[CodedWarning] = []
        while True:
            prompts = [
                self.processor.prompt(
                    self.tasks.question(task, _candidates(request, task)),
                    modalities=_given(modalities) & {"video", "audio"},
                    text=text,
                    dialogue=dialogue or None,
                )
                for task in tasks
            ]
            ids = self.processor.training_batch(prompts)
            lengths = ids["attention_mask"].sum(dim=1).tolist()
            length, limit = max(zip(lengths, limits, strict=True), key=sum)
            if length + limit <= room:
                break
            if dialogue:
                dialogue = dialogue[1:]
                cut = f"the dialogue is too long for the model; its last {len(dialogue)} turns were read"
                warnings = [CodedWarning("dialogue_cut", cut)]
            elif text and len(text) > 1:
                text = text[(len(text) + 1) // 2 :]
                cut = f"the words are too long for the model; the last {len(text)} characters were read"
                warnings = [CodedWarning("text_cut", cut)]
            else:
                raise ArgumentError(
                    f"expected a prompt of at most {room - limit} tokens (the model has room for {room}, and an answer "
                    f"may have {limit}), got {length}; give fewer candidates, or a smaller max_new_tokens"
                )
        return [row[-n:].tolist() for row, n in zip(ids["input_ids"], lengths, strict=True)], warnings

    def _limit(self, request: Request, task: Task[Any]) -> int:
        """How many tokens an answer may have: none where the likeliest label is all that there is."""
        if self.tasks.by_likelihood(task):
            return 0
        return self.answer_limit(task, request.max_new_tokens)

    def _answer_ids(self, task: ClosedTask[Any], labels: Sequence[str]) -> list[list[int]]:
        answers = [answer + self.processor.end_of_turn for answer in self.tasks.answers(task, labels)]
        ids: list[list[int]] = self.processor.tokenizer(answers, add_special_tokens=False)["input_ids"]
        return ids


# ---------------------------------------------------------------- pieces


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 4)


def _modalities(request: Request) -> dict[str, str]:
    """Which modalities the answers rest on: "present", or why not."""
    if isinstance(request.source, Clip):
        found = dict(request.source.modalities)
    else:
        names = {modality_of(name) for name in request.source}
        found = {m: PRESENT if m in names else "no features were given" for m in ("video", "audio")}
    found["text"] = PRESENT if request.text or request.dialogue else request.no_text
    if request.modalities is not None:
        found |= {m: LEFT_OUT for m in found if m not in request.modalities}
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


def _candidates(request: Request, task: Task[Any]) -> list[str] | None:
    """What the request offers to choose from, else the usual labels; None for an open question."""
    usual = task.candidates()
    return usual if usual is None else list(request.candidates.get(task.name) or usual)


def _result(
    task: Task[Any],
    text: str,
    cut_at: int | None,
    candidates: Sequence[str] | None,
    probabilities: Mapping[str, float] | None,
    notes: Sequence[CodedWarning] = (),
) -> TaskResult:
    """What was written and how likely each candidate is -> one result, with notes about the task."""
    answer = task.parse(text, candidates)
    if notes:
        own = answer.warnings if text else ()
        answer = answer.model_copy(update={"warnings": (*notes, *own)})
    if cut_at is not None:
        cut = CodedWarning("answer_cut", f"the answer was cut at {cut_at} tokens")
        answer = answer.model_copy(update={"warnings": (*answer.warnings, cut)})
    if probabilities and isinstance(task, ClosedTask):
        answer = task.likeliest(answer, probabilities)
    return TaskResult.of(task, answer)
