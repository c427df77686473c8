"""Clip and question in, tensors out: frames, audio and text in the form the model takes.

The prompt's container is the chat template saved with each model (ours is ChatML). Video, audio and text come
first and the question last, so everything before it is the same for all tasks of a clip.
Letters: B batch, T frames, C audio windows, L samples of one audio window, S text, H, W pixels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_STANDARD_MEAN,
    IMAGENET_STANDARD_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from .clip import SAMPLE_RATE_HZ, Clip, Compat
from .affectgpt import opencv_resized
from .configuration_nanoemox import LOG_MEL_STEPS_PER_S, PLACEHOLDERS, NanoEmoXConfig

END_OF_TURN = "<|im_end|>"
CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja")
IGNORED = -100  # the label of a token that the loss leaves out
_QUESTION = (
    "\N{SYMBOL FOR NULL}question\N{SYMBOL FOR NULL}"  # stands for the question while a template is rendered
)


def prepare_tokenizer(tokenizer: Any) -> Any:
    """Give `tokenizer` the ChatML tokens and the four placeholders it lacks, and return it."""
    vocabulary = tokenizer.get_vocab()
    if END_OF_TURN not in vocabulary and all(token in vocabulary for token in PLACEHOLDERS.values()):
        return tokenizer  # of a model with marks of its own
    special = ["<|endoftext|>", "<|im_start|>", END_OF_TURN, *PLACEHOLDERS.values()]
    known = set(tokenizer.all_special_tokens) & set(tokenizer.get_vocab())
    tokenizer.add_special_tokens(
        {
            "eos_token": END_OF_TURN,
            "pad_token": "<|endoftext|>",
            "additional_special_tokens": [token for token in special if token not in known],
        },
        replace_extra_special_tokens=False,
    )
    tokenizer.padding_side = "left"  # as whoever generates needs it, pipelines of transformers among them
    return tokenizer


# Mean and spread of the colours that picture encoders were trained with, where they are not those of ImageNet.
_COLOURS = {
    "clip_vision_model": (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
    **dict.fromkeys(
        ("siglip_vision_model", "siglip2_vision_model", "vit", "beit"),
        (IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD),
    ),
}
_SQUEEZED = ("siglip_vision_model", "siglip2_vision_model")  # pictures become squares without a crop


def picture_processor(
    side: int, mean: Sequence[float], std: Sequence[float], **settings: Any
) -> CLIPImageProcessorPil:
    """CLIP's own preparation of an image at another size: scale, crop the centre, normalise.

    Args:
        side: the shortest side is scaled to it, in pixels.
        mean: of the three colours.
        std: of the three colours.
        **settings: of the image processor, in place of these.

    Returns:
        The image processor.
    """
    fields = {
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
        "image_mean": list(mean),
        "image_std": list(std),
    }
    return CLIPImageProcessorPil(**fields | settings)


def picture_processor_of(
    kind: str, side: int, settings: Mapping[str, Any] | None = None
) -> CLIPImageProcessorPil:
    """How an encoder's own preparation makes a picture.

    Args:
        kind: of the encoder, its `model_type`.
        side: of the picture that comes out, in pixels.
        settings: of the image processor that came with the encoder; what it leaves open is that of its kind.

    Returns:
        The image processor.
    """
    mean, std = _COLOURS.get(kind, (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
    of_kind = {"size": {"height": side, "width": side}} if kind in _SQUEEZED else {}
    return picture_processor(side, mean, std, **of_kind | dict(settings or {}))


def sound_processor(config: NanoEmoXConfig, settings: Mapping[str, Any] | None = None) -> Any:
    """How the audio encoder's own preparation makes its input: a waveform of unit variance, or Whisper's log-mel.

    Args:
        config: of the model.
        settings: of the feature extractor that came with the encoder.

    Returns:
        The feature extractor.
    """
    audio = config.audio_config
    if audio.model_type != "whisper":
        return Wav2Vec2FeatureExtractor(
            **{"sampling_rate": SAMPLE_RATE_HZ, "do_normalize": True} | dict(settings or {})
        )
    fields = {
        "feature_size": audio.num_mel_bins,
        "chunk_length": audio.max_source_positions // LOG_MEL_STEPS_PER_S,
    }
    return WhisperFeatureExtractor(**fields | dict(settings or {}))


def normalised_sound(audio_windows: NDArray[np.float32], feature_extractor: Any) -> Tensor:
    """Sound [..., L] of one file -> the same with mean 0 and variance 1 over all of it (not over a batch).

    Whisper gets the log-mel [..., M, S] of each audio window, with the two steps in which it fades into silence.
    """
    if isinstance(feature_extractor, WhisperFeatureExtractor):
        rows = np.asarray(audio_windows, dtype=np.float32).reshape(-1, audio_windows.shape[-1])
        prepared = feature_extractor(list(rows), sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        steps = -(-rows.shape[1] // feature_extractor.hop_length) + 2
        log_mel: Tensor = prepared["input_features"][..., :steps]  # [windows, M, S]
        by_window: Tensor = log_mel.unflatten(0, audio_windows.shape[:-1])
        return by_window
    whole = np.asarray(audio_windows, dtype=np.float32).reshape(-1)
    prepared = feature_extractor(whole, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
    values: Tensor = prepared["input_values"]  # [1, all samples]
    return values.reshape(audio_windows.shape)


def centred(audio_windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sound [..., L] minus the mean of each audio window: a side effect of the official code's log-mel step."""
    without_mean: NDArray[np.float32] = audio_windows - audio_windows.mean(axis=-1, keepdims=True)
    return without_mean


def _known_compat(compat: Compat) -> Compat:
    """Refuse any other value: a misspelt one must not count as None."""
    if compat not in (None, "official"):
        raise ValueError(f'compat: expected None or "official", got {compat!r}; correct it')
    return compat


class ClipProcessor(ProcessorMixin):
    """Clips and questions -> prompts, tensors and batches, as training, scoring and EmotionAnalyzer use them.

    It holds two image processors (video and face), a feature extractor (audio), a tokenizer and a chat template.

    Args:
        image_processor: Prepares frames for the video branch: scale the shortest side, crop the centre, normalise.
        face_image_processor: Likewise for the face branch.
        feature_extractor: Its `do_normalize` is applied over all audio windows of one file together; or Whisper's.
        tokenizer: One that has been through `prepare_tokenizer`.
        placeholder_counts: Placeholders of each kind for one clip, from the model's configuration.
        end_of_turn: What ends an answer.
        chat_template: The template of the prompt, ours by default.
        compat: "official" where `media` is to do as the official code does unless told otherwise.
        pictures: "opencv" for a model that has seen crops of faces as OpenCV reads and resizes them, blue first.
        own_tasks: What a model that was trained on other questions is asked: task -> "trained", "question" and, where
            labels are compared by their likelihood, "answer" with {label}. None: all of our tasks, as they are.
        temperatures: Task -> what the log-likelihoods of its labels are divided by (`nanoemox calibrate`).
    """

    def __init__(
        self,
        image_processor: Any,
        face_image_processor: Any,
        feature_extractor: Any,
        tokenizer: Any,
        placeholder_counts: dict[str, int] | None = None,
        end_of_turn: str = END_OF_TURN,
        chat_template: str | None = None,
        compat: Compat = None,
        pictures: Literal["opencv"] | None = None,
        own_tasks: dict[str, dict[str, Any]] | None = None,
        temperatures: dict[str, float] | None = None,
    ) -> None:
        self.compat = _known_compat(compat)
        self.pictures = pictures
        self.own_tasks = own_tasks
        self.temperatures = temperatures
        self.placeholder_counts = placeholder_counts or NanoEmoXConfig().placeholder_counts
        self.end_of_turn = end_of_turn
        super().__init__(
            image_processor,
            face_image_processor,
            feature_extractor,
            tokenizer,
            chat_template=chat_template or CHAT_TEMPLATE.read_text(encoding="utf-8"),
        )

    @classmethod
    def from_config(
        cls,
        config: NanoEmoXConfig,
        tokenizer: Any,
        pictures: Mapping[str, Any] | None = None,
        face_pictures: Mapping[str, Any] | None = None,
        sound: Mapping[str, Any] | None = None,
    ) -> Self:
        """The processor that fits a model of this configuration.

        Args:
            config: Of the model.
            tokenizer: Of the language model.
            pictures: Settings of the preparation that came with the video encoder; None, those of its kind.
            face_pictures: Likewise of the face encoder.
            sound: Likewise of the audio encoder.

        Returns:
            The processor.
        """
        return cls(
            image_processor=picture_processor_of(
                config.vision_config.model_type, config.video_side_px, pictures
            ),
            face_image_processor=picture_processor_of(
                config.face_config.model_type, config.face_side_px, face_pictures
            ),
            feature_extractor=sound_processor(config, sound),
            tokenizer=prepare_tokenizer(tokenizer),
            placeholder_counts=config.placeholder_counts,
        )

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str, processor_dict: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        """Load the parts as they were saved; left alone, the library would prefer torchvision's pictures."""
        saved = processor_dict or {}
        of_whisper = "hop_length" in saved["feature_extractor"]
        extractor: Any = WhisperFeatureExtractor if of_whisper else Wav2Vec2FeatureExtractor
        return [
            CLIPImageProcessorPil(**saved["image_processor"]),
            CLIPImageProcessorPil(**saved["face_image_processor"]),
            extractor(**saved["feature_extractor"]),
            cls._load_tokenizer_from_pretrained("tokenizer", pretrained_model_name_or_path, **kwargs),
        ]

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> list[str]:
        saved: list[str] = super().save_pretrained(save_directory, *args, **kwargs)
        if __name__.startswith("nanoemox."):  # for a copy of this file, transformers brings the code itself
            import_module("nanoemox.model.remote_code").bring_code(save_directory)
        return saved

    def media(self, clip: Clip, compat: Compat = None) -> dict[str, Tensor]:
        """One clip -> pixel_values_videos, face_pixel_values [T, 3, H, W], input_values [C, L] or [C, M, S], if there.

        `compat="official"` does as the official code does: frames squeezed to a square, faces neither scaled nor
        normalised (0 to 255), the mean of each audio window subtracted. There, crops of faces count only for a model
        that was trained on nothing but them.
        """
        if (_known_compat(compat) or self.compat) == "official":
            return self._official_media(clip)
        tensors: dict[str, Tensor] = {}
        if clip.frames is not None:
            frames = list(clip.frames)
            layout = {"input_data_format": "channels_last", "return_tensors": "pt"}
            tensors["pixel_values_videos"] = self.image_processor(frames, **layout)["pixel_values"]
            crops = frames if clip.face_frames is None else list(clip.face_frames)
            tensors["face_pixel_values"] = self.face_image_processor(crops, **layout)["pixel_values"]
        if clip.audio_windows is not None:
            tensors["input_values"] = normalised_sound(clip.audio_windows, self.feature_extractor)
        return tensors

    def _official_media(self, clip: Clip) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        if clip.frames is not None and self.pictures == "opencv":
            shown = clip.frames if clip.face_frames is None else clip.face_frames
            crops = opencv_resized(shown, self.image_processor.crop_size["height"])[..., ::-1]
            layout = {"input_data_format": "channels_last", "return_tensors": "pt"}
            tensors["pixel_values_videos"] = self.image_processor(list(crops), **layout)["pixel_values"]
        elif clip.frames is not None:
            size = dict(self.image_processor.crop_size)
            side = (size["width"], size["height"])
            frames = [Image.fromarray(frame).resize(side, Image.Resampling.BICUBIC) for frame in clip.frames]
            tensors["pixel_values_videos"] = self.image_processor(frames, return_tensors="pt")["pixel_values"]
            squares = torch.from_numpy(np.stack([np.asarray(frame) for frame in frames]))
            tensors["face_pixel_values"] = squares.permute(0, 3, 1, 2).float()
        if clip.audio_windows is not None:
            tensors["input_values"] = normalised_sound(centred(clip.audio_windows), self.feature_extractor)
        return tensors

    def prefix(
        self,
        *,
        modalities: Collection[str],
        text: str | None = None,
        dialogue: Sequence[Mapping[str, str]] | None = None,
    ) -> str:
        """The prompt up to the question, which is the same for every question about the clip.

        Args:
            modalities: which of "video" and "audio" the clip has.
            text: what is said in the clip.
            dialogue: earlier turns, oldest first, each with "role" and "text".

        Returns:
            The beginning of what `prompt` writes.
        """
        return self._container(modalities, text, dialogue)[0]

    def prompt(
        self,
        question: str,
        *,
        modalities: Collection[str],
        text: str | None = None,
        dialogue: Sequence[Mapping[str, str]] | None = None,
        answer: str | None = None,
    ) -> str:
        """The whole prompt, ready for the model to go on, or with `answer` and the end of its turn.

        Args:
            question: what a task asks.
            modalities: which of "video" and "audio" the clip has; only these get placeholders.
            text: what is said in the clip.
            dialogue: earlier turns, oldest first, each with "role" and "text".
            answer: what the model is to learn to answer.

        Returns:
            The text, each placeholder as often as the model has tokens for it.
        """
        before, after = self._container(modalities, text, dialogue)
        ending = "" if answer is None else self._plain(answer) + self.end_of_turn
        return before + self._plain(question) + after + ending

    def _container(
        self, modalities: Collection[str], text: str | None, dialogue: Sequence[Mapping[str, str]] | None
    ) -> tuple[str, str]:
        """What the chat template puts before and after the question."""
        unknown = set(modalities) - {"video", "audio"}
        if unknown:
            raise ValueError(f"unknown modality {', '.join(sorted(unknown))}: expected some of video, audio")
        content: list[dict[str, Any]] = [{"type": kind} for kind in ("video", "audio") if kind in modalities]
        if dialogue:
            turns = [
                {"role": self._plain(turn["role"]), "text": self._plain(turn["text"])} for turn in dialogue
            ]
            content.append({"type": "dialogue", "turns": turns})
        if text and text.strip():
            content.append({"type": "transcript", "text": self._plain(text)})
        content.append({"type": "text", "text": _QUESTION})
        # Each placeholder stands there as often as there are tokens, so that this prompt needs no more work.
        messages = [{"role": "user", "content": content}]
        rendered = self._rendered(messages, self.placeholder_counts, add_generation_prompt=True)
        before, _, after = rendered.partition(_QUESTION)
        return before, after

    def _rendered(
        self, messages: Sequence[Mapping[str, Any]], counts: Mapping[str, int], **options: Any
    ) -> str:
        """The text of a conversation, each placeholder as often as `counts` says."""
        text: str = super().apply_chat_template(
            list(messages),
            tokenize=False,
            placeholders={kind: token * counts[kind] for kind, token in PLACEHOLDERS.items()},
            **options,
        )
        return text

    def _plain(self, text: str) -> str:
        """Text from outside with the tokenizer's special tokens broken up, lest words act as one."""
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    @property
    def end_sequences(self) -> list[list[int]]:
        """Ids that end an answer, one after another: the tokens, and the pairs of them, that write its end.

        Of a tokenizer that joins the end with a blank or a full stop before it, these tokens count, too.
        """
        tokenizer = self.tokenizer
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        ends = {tokenizer.eos_token_id, vocabulary.get(self.end_of_turn)} - {None}
        if self.end_of_turn in tokenizer.all_special_tokens:  # written by nothing but its own token
            return [[end] for end in sorted(ends)]
        end = re.escape(self.end_of_turn)
        joined = re.compile(rf"(?![\s\S]*{re.escape(self.end_of_turn[0])}{end})[^\w]*{end}")
        for token, number in vocabulary.items():
            if token.endswith(self.end_of_turn):
                text = tokenizer.decode([number], clean_up_tokenization_spaces=False)
                ends |= {number} if joined.fullmatch(text) else set()
        halves = [
            [vocabulary.get(self.end_of_turn[:cut]), vocabulary.get(self.end_of_turn[cut:])]
            for cut in range(1, len(self.end_of_turn))
        ]
        return [[end] for end in sorted(ends)] + [
            [first, second] for first, second in halves if first is not None and second is not None
        ]

    @property
    def end_ids(self) -> list[int]:
        """Ids of the tokens that end an answer by themselves."""
        return [ids[0] for ids in self.end_sequences if len(ids) == 1]

    def response(self, text: str) -> str:
        """The answer in what a model wrote, by the rule of the official code where the end is no special token."""
        if self.end_of_turn in self.tokenizer.all_special_tokens:
            return text.removesuffix(self.end_of_turn).strip()
        text = text.partition("<|im_start|>")[2] or text
        text = text.partition(END_OF_TURN)[0]
        before, end, _ = text.rpartition(self.end_of_turn)
        return (before if end else text).rpartition("Assistant:")[2].strip()

    def training_batch(
        self,
        prompts: Sequence[str],
        answers: Sequence[str] | None = None,
        media: Sequence[Mapping[str, Tensor]] | None = None,
        padding_side: Literal["left", "right"] | None = None,
    ) -> BatchFeature:
        """Make one batch of whole prompts, for training and scoring.

        Rows without some medium get zeros for it, which the model ignores: their prompt has no placeholders.

        Args:
            prompts: as `prompt` writes them.
            answers: what the model has to learn to answer; None to generate or to score.
            media: each clip's tensors as `media` makes them, or its frozen features.
            padding_side: by default "right" with answers and "left" without.

        Returns:
            input_ids, attention_mask [B, S]; with answers also labels [B, S], -100 outside the answers; the media,
            stacked.

        Raises:
            ValueError: if there are not as many answers or media as prompts.
        """
        for name, given in (("answers", answers), ("media", media)):
            if given is not None and len(given) != len(prompts):
                raise ValueError(f"expected {len(prompts)} {name}, one for each prompt, got {len(given)}")
        prompt_ids = self.tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
        answer_ids: list[list[int]] = [[] for _ in prompts]
        if answers is not None:
            # Tokenised apart, so that the border is where generation begins and the end token joins directly.
            endings = [self._plain(answer) + self.end_of_turn for answer in answers]
            answer_ids = self.tokenizer(endings, add_special_tokens=False)["input_ids"]
        left = (padding_side or ("left" if answers is None else "right")) == "left"
        length = max(len(p) + len(a) for p, a in zip(prompt_ids, answer_ids, strict=True))

        def padded(rows: list[list[int]], filler: int) -> Tensor:
            padding = [[filler] * (length - len(row)) for row in rows]
            return torch.tensor([p + row if left else row + p for p, row in zip(padding, rows, strict=True)])

        rows = [p + a for p, a in zip(prompt_ids, answer_ids, strict=True)]
        batch = {
            "input_ids": padded(rows, self.tokenizer.pad_token_id),
            "attention_mask": padded([[1] * len(row) for row in rows], 0),
        }
        if answers is not None:
            labels = [[IGNORED] * len(p) + a for p, a in zip(prompt_ids, answer_ids, strict=True)]
            batch["labels"] = padded(labels, IGNORED)
        return BatchFeature(batch | stack_media(media or []))


def modality_of(tensor_name: str) -> str:
    """ "audio" or "video", by the name of a medium's tensor or of its features."""
    return "audio" if tensor_name.startswith(("audio", "input_values")) else "video"


def stack_media(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of several clips by name -> one batch [B, …] by name, zeros where a clip lacks one."""
    batch = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        like = next(row[name] for row in rows if name in row)
        batch[name] = torch.stack([row.get(name, torch.zeros_like(like)) for row in rows])
    return batch
