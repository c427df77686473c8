"""Clip and question in, tensors out: pictures, sound and text in the form the model takes.

The prompt's container is the chat template saved with each model (ours is ChatML). What was seen, heard and
said comes first and the question last, so everything before it is the same for all six tasks of a clip.
Letters: B batch, T frames, C audio windows, L samples of one audio window, S text, H, W pixels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, BatchFeature, ProcessorMixin, Wav2Vec2FeatureExtractor
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from .clip import SAMPLE_RATE_HZ, Clip, Compat, clip_of_arrays
from .configuration_nanoemox import PLACEHOLDERS, NanoEmoXConfig
from .remote_code import bring_code

END_OF_TURN = "<|im_end|>"
CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja")
IGNORED = -100  # the label of a token that the loss leaves out
_QUESTION = (
    "\N{SYMBOL FOR NULL}question\N{SYMBOL FOR NULL}"  # stands for the question while a template is rendered
)


def prepare_tokenizer(tokenizer: Any) -> Any:
    """Give `tokenizer` the ChatML tokens and the four placeholders it lacks, and return it."""
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
    return tokenizer


def picture_processor(side: int, mean: Sequence[float], std: Sequence[float]) -> CLIPImageProcessorPil:
    """CLIP's own preparation of an image at another size: scale, crop the centre, normalise.

    Args:
        side: the shortest side is scaled to it, in pixels.
        mean: of the three colours.
        std: of the three colours.

    Returns:
        The image processor.
    """
    return CLIPImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=list(mean),
        image_std=list(std),
    )


def normalised_sound(audio_windows: NDArray[np.float32], feature_extractor: Any) -> Tensor:
    """Sound [..., L] of one file -> the same with mean 0 and variance 1 over all of it (not over a batch)."""
    whole = np.asarray(audio_windows, dtype=np.float32).reshape(-1)
    values = feature_extractor(whole, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")["input_values"]
    return values.reshape(audio_windows.shape)


def centred(audio_windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sound [..., L] minus the mean of each audio window: a side effect of the official code's log-mel step."""
    return audio_windows - audio_windows.mean(axis=-1, keepdims=True)


def _known_compat(compat: Compat) -> Compat:
    """Refuse any other value: a misspelt one must not count as None."""
    if compat not in (None, "official"):
        raise ValueError(f'compat: expected None or "official", got {compat!r}; correct it')
    return compat


class NanoEmoXProcessor(ProcessorMixin):
    """Two image processors (scene and face), a feature extractor (voice), a tokenizer and a chat template.

    Args:
        image_processor: prepares frames for the video branch: scale the shortest side, crop the centre, normalise.
        face_image_processor: likewise for the face branch.
        feature_extractor: its `do_normalize` is applied over all audio windows of one file together.
        tokenizer: one that has been through `prepare_tokenizer`.
        placeholder_counts: placeholders of each kind for one clip, from the model's configuration.
        end_of_turn: what ends an answer.
        chat_template: the template of the prompt, ours by default.
        compat: "official" where `media` is to do as the official code does unless told otherwise.
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
    ) -> None:
        self.compat = _known_compat(compat)
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
    def from_config(cls, config: NanoEmoXConfig, tokenizer: Any) -> NanoEmoXProcessor:
        """The processor that fits a model of this configuration."""
        return cls(
            image_processor=picture_processor(
                config.vision_config.image_size, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
            ),
            face_image_processor=picture_processor(
                config.face_config.image_size, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
            ),
            feature_extractor=Wav2Vec2FeatureExtractor(sampling_rate=SAMPLE_RATE_HZ, do_normalize=True),
            tokenizer=prepare_tokenizer(tokenizer),
            placeholder_counts=config.placeholder_counts,
        )

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> list[str]:
        saved: list[str] = super().save_pretrained(save_directory, *args, **kwargs)
        bring_code(save_directory)
        return saved

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str, processor_dict: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        """Load the parts as they were saved; left alone, the library would prefer torchvision's pictures."""
        saved = processor_dict or {}
        return [
            CLIPImageProcessorPil(**saved["image_processor"]),
            CLIPImageProcessorPil(**saved["face_image_processor"]),
            Wav2Vec2FeatureExtractor(**saved["feature_extractor"]),
            cls._load_tokenizer_from_pretrained("tokenizer", pretrained_model_name_or_path, **kwargs),
        ]

    def media(self, clip: Clip, compat: Compat = None) -> dict[str, Tensor]:
        """One clip -> pixel_values_videos, face_pixel_values [T, 3, H, W], input_values [C, L], if there.

        `compat="official"` does as the official code does: frames squeezed to a square, faces neither scaled nor
        normalised (0 to 255), the mean of each audio window subtracted.
        """
        if (_known_compat(compat) or self.compat) == "official":
            return self._official_media(clip)
        tensors: dict[str, Tensor] = {}
        if clip.frames is not None:
            frames = list(clip.frames)
            layout = {"input_data_format": "channels_last", "return_tensors": "pt"}
            tensors["pixel_values_videos"] = self.image_processor(frames, **layout)["pixel_values"]
            tensors["face_pixel_values"] = self.face_image_processor(frames, **layout)["pixel_values"]
        if clip.audio_windows is not None:
            tensors["input_values"] = normalised_sound(clip.audio_windows, self.feature_extractor)
        return tensors

    def _official_media(self, clip: Clip) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        if clip.frames is not None:
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
        if text:
            content.append({"type": "transcript", "text": self._plain(text)})
        content.append({"type": "text", "text": _QUESTION})
        # Each placeholder stands there as often as there are tokens, so that this prompt needs no more work.
        rendered = self._rendered([{"role": "user", "content": content}], self.placeholder_counts, True)
        before, _, after = rendered.partition(_QUESTION)
        return before, after

    def _plain(self, text: str) -> str:
        """Text from outside with the tokenizer's special tokens broken up, lest words act as one."""
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    # ------------------------------------------------------------ the contract of transformers

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        images: Any = None,
        videos: Any = None,
        audio: Any = None,
        sampling_rate: int = SAMPLE_RATE_HZ,
        return_tensors: str | None = "pt",
        **kwargs: Any,
    ) -> BatchFeature:
        """Texts with placeholders and their media -> the inputs of `model.generate`, padded on the left.

        A placeholder stands once for each kind of medium, as the chat template writes it, or as often as the model
        has tokens for it. A text without placeholders has no media.

        Args:
            text: one text or several.
            images: one image for each text that has a video placeholder; an image is a video of one frame.
            videos: one video for each text that has a video placeholder: frames [T, H, W, 3] or [T, 3, H, W] as uint8
                array or tensor, a list of images, or a `Clip`. Any T will do; frames are taken at equal steps.
            audio: one audio track for each text that has an audio placeholder: [samples], or [channels, samples], which
                are averaged, in [-1, 1].
            sampling_rate: the rate of `audio` in Hz, which has to be 16000.
            return_tensors: "pt"; other kinds are not made.
            **kwargs: ignored (`padding` and the like: a batch is always padded).

        Returns:
            input_ids, attention_mask [B, S]; pixel_values_videos, face_pixel_values [B, T, 3, H, W] and input_values
            [B, C, L] where any text has them.

        Raises:
            ValueError: if media and placeholders do not pair up, or the media have another form.
        """
        if text is None:
            raise ValueError(
                "text: expected a text or a list of texts, got None; write one with apply_chat_template"
            )
        if return_tensors not in ("pt", None):
            raise ValueError(f'return_tensors: expected "pt", got {return_tensors!r}')
        if sampling_rate != SAMPLE_RATE_HZ:
            raise ValueError(
                f"sampling_rate: expected {SAMPLE_RATE_HZ}, got {sampling_rate}; resample the audio"
            )
        if images is not None and videos is not None:
            raise ValueError("expected images or videos, got both; give the images as frames of a video")
        texts = [text] if isinstance(text, str) else list(text)
        if images is not None:
            videos = [[image] for image in (images if isinstance(images, (list, tuple)) else [images])]
        seen = self._paired("videos", _listed(videos), texts, "video")
        heard = self._paired("audio", _listed(audio), texts, "audio")
        media = []
        for video, track in zip(seen, heard, strict=True):
            clip = video if isinstance(video, Clip) else clip_of_arrays(_frames(video), None, self.compat)
            if track is not None:
                own = track if isinstance(track, Clip) else clip_of_arrays(None, _mono(track), self.compat)
                clip = replace(clip, audio_windows=own.audio_windows)
            media.append(self.media(clip))
        for row, tensors in enumerate(media):  # what a text has no placeholder for is left out
            for name in [name for name in tensors if PLACEHOLDERS[modality_of(name)] not in texts[row]]:
                del tensors[name]
        return self.training_batch([self._expanded(each) for each in texts], media=media)

    def apply_chat_template(
        self,
        conversation: Sequence[Mapping[str, Any]] | Sequence[Sequence[Mapping[str, Any]]],
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        return_dict: bool = True,
        return_tensors: str | None = "pt",
        load_audio_from_video: bool = True,
        **kwargs: Any,
    ) -> Any:
        """A conversation, or several -> its text, or the inputs of `model.generate`.

        Parts of a message's content:

        - `{"type": "video", "path": …}` or `{"type": "video", "video": array, list of images, path or Clip}`. The audio
          track of a file is used too, unless `load_audio_from_video=False` or the message has an audio part.
        - `{"type": "audio", "path": …}` or `{"type": "audio", "audio": array or path}`; likewise `image`.
        - `{"type": "transcript", "text": …}`: what is said in the clip.
        - `{"type": "dialogue", "turns": [{"role", "text"}, …]}`: what was said before, oldest first.
        - `{"type": "text", "text": …}`: the question.

        A `url` is refused: this processor sends nobody's face or voice anywhere, and downloads nothing.

        Args:
            conversation: messages with "role" and "content", or a list of such lists.
            chat_template: another template than the processor's own.
            add_generation_prompt: end the text where the model's answer begins.
            tokenize: return the inputs of the model instead of the text.
            return_dict: with `tokenize`, return all inputs; False, the token ids alone.
            return_tensors: "pt"; other kinds are not made.
            load_audio_from_video: also use the audio track of a video file.
            **kwargs: ignored.

        Returns:
            A text or several; with `tokenize` what `__call__` returns.

        Raises:
            ValueError: for a part of another form, or more than one clip in a conversation.
        """
        several = bool(conversation) and not isinstance(conversation[0], Mapping)
        conversations: list[Any] = list(conversation) if several else [conversation]
        texts, videos, tracks = [], [], []
        marks = {kind: min(1, count) for kind, count in self.placeholder_counts.items()}
        for messages in conversations:
            plain, video, track = self._opened(messages, load_audio_from_video)
            texts.append(self._rendered(plain, marks, add_generation_prompt, chat_template))
            videos.append(video)
            tracks.append(track)
        if not tokenize:
            return texts if several else texts[0]
        batch = self(texts, videos=videos, audio=tracks, return_tensors=return_tensors)
        return batch if return_dict else batch["input_ids"]

    def _opened(
        self, messages: Sequence[Mapping[str, Any]], load_audio_from_video: bool
    ) -> tuple[list[dict[str, Any]], Any, Any]:
        """Messages with plain parts alone, the one video of the conversation, and its one audio track."""
        video = track = None
        plain = []
        for message in messages:
            content = message["content"]
            parts: list[dict[str, Any]] = []
            if isinstance(content, str):
                content = [{"type": "text", "text": content}]
            own_audio = any(part["type"] == "audio" for part in content)
            for part in content:
                kind = part["type"]
                if kind in ("video", "image", "audio"):
                    source = self._source(part)
                    if (track if kind == "audio" else video) is not None:
                        raise ValueError(
                            f"expected one {kind} in a conversation, got another one; ask about one clip"
                        )
                    if isinstance(source, (str, Path)):
                        source = _read(source, self.compat)
                    if kind == "audio":
                        track = source
                    else:
                        video = [source] if kind == "image" and not isinstance(source, Clip) else source
                        audible = isinstance(source, Clip) and source.audio_windows is not None
                        if audible and load_audio_from_video and not own_audio:
                            track = source
                            parts.append({"type": "audio"})
                    parts.append({"type": "audio" if kind == "audio" else "video"})
                elif kind == "dialogue":
                    turns = [
                        {key: self._plain(turn[key]) for key in ("role", "text")} for turn in part["turns"]
                    ]
                    parts.append({"type": kind, "turns": turns})
                elif kind in ("transcript", "text"):
                    parts.append({"type": kind, "text": self._plain(part["text"])})
                else:
                    raise ValueError(
                        f"content: expected parts of type video, image, audio, transcript, dialogue or text, "
                        f"got {kind!r}"
                    )
            plain.append({"role": message["role"], "content": parts})
        return plain, video, track

    @staticmethod
    def _source(part: Mapping[str, Any]) -> Any:
        """The medium of a part: a path, an array, a list of images or a `Clip`."""
        found = part.get("path") if part.get("path") is not None else part.get(part["type"])
        if "url" in part or (isinstance(found, str) and "://" in found):
            raise ValueError(
                "a url is never opened, since nobody's face or voice leaves this machine; give a path"
            )
        if found is None:
            raise ValueError(
                f"{part['type']}: expected path or {part['type']}, got {', '.join(sorted(part))}"
            )
        return found

    def _rendered(
        self,
        messages: Sequence[Mapping[str, Any]],
        counts: Mapping[str, int],
        add_generation_prompt: bool,
        chat_template: str | None = None,
    ) -> str:
        """The text of a conversation, each placeholder as often as `counts` says."""
        text: str = super().apply_chat_template(
            list(messages),
            chat_template=chat_template,
            add_generation_prompt=add_generation_prompt,
            tokenize=False,
            placeholders={kind: token * counts[kind] for kind, token in PLACEHOLDERS.items()},
        )
        return text

    def _expanded(self, text: str) -> str:
        """The text with each placeholder as often as the model has tokens for it."""
        for kind, token in PLACEHOLDERS.items():
            runs = re.findall(f"(?:{re.escape(token)})+", text)
            if len(runs) > 1:
                raise ValueError(
                    f"text: expected {token} for one clip, found it in {len(runs)} places; ask about one"
                )
            if runs:
                text = text.replace(runs[0], token * self.placeholder_counts[kind])
        return text

    @staticmethod
    def _paired(name: str, given: Sequence[Any], texts: Sequence[str], kind: str) -> list[Any]:
        """One medium or None for each text: given for every text, or for those with a placeholder, in order."""
        wanted = [PLACEHOLDERS[kind] in text for text in texts]
        found = list(given) if len(given) == len(texts) else []
        if not found:
            if len(given) != sum(wanted):
                raise ValueError(
                    f"{name}: expected {sum(wanted)}, one for each text with {PLACEHOLDERS[kind]}, got {len(given)}"
                )
            left = iter(given)
            found = [next(left) if has else None for has in wanted]
        for row, (has, medium) in enumerate(zip(wanted, found, strict=True)):
            if has and medium is None:
                raise ValueError(f"{name}: text {row} has {PLACEHOLDERS[kind]}, but there is none for it")
        return found

    @property
    def model_input_names(self) -> list[str]:
        """The names of what `__call__` returns."""
        return ["input_ids", "attention_mask", "pixel_values_videos", "face_pixel_values", "input_values"]

    # ------------------------------------------------------------ training and scoring

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


def _listed(media: Any) -> list[Any]:
    """One medium or several -> a list of them."""
    if media is None:
        return []
    if isinstance(media, (list, tuple)) and not _is_image(media[0] if media else None):
        return list(media)
    return [media]


def _is_image(value: Any) -> bool:
    """Whether this is a single picture: then a list of them is one video."""
    return isinstance(value, Image.Image) or (hasattr(value, "ndim") and value.ndim == 3 and 3 in value.shape)


def _frames(video: Any) -> NDArray[np.uint8] | None:
    """A video of any form -> uint8 [T, H, W, 3]."""
    if video is None:
        return None
    if isinstance(video, (list, tuple)):
        video = [np.asarray(each.convert("RGB")) if isinstance(each, Image.Image) else each for each in video]
        video = np.stack([np.asarray(each) for each in video])
    frames = np.asarray(video)
    if frames.ndim == 4 and frames.shape[-1] != 3 and frames.shape[1] == 3:
        frames = np.moveaxis(frames, 1, -1)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(
            f"videos: expected uint8 [T, H, W, 3] or [T, 3, H, W], got {frames.dtype} {list(frames.shape)}"
        )
    return frames


def _mono(audio: Any) -> NDArray[np.float32]:
    """An audio track of any form -> float32 [samples]."""
    samples = np.asarray(audio)
    if samples.ndim not in (1, 2) or not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(
            f"audio: expected floats [samples] or [channels, samples], got {samples.dtype} {list(samples.shape)}"
        )
    return (samples.mean(axis=0) if samples.ndim == 2 else samples).astype(np.float32)


def _read(path: str | Path, compat: Compat) -> Clip:
    """The clip in a file. Where nanoemox is installed, its own reader is used, which is careful with files."""
    try:
        reader = import_module("nanoemox.media.load").load_clip
    except ImportError:
        return _read_plainly(path, compat)
    clip: Clip = reader(path, compat=compat)
    return clip


def _read_plainly(path: str | Path, compat: Compat) -> Clip:
    """The clip in a file, with PyAV alone: for code that travels with saved weights. Decodes all of it."""
    try:  # transformers asks for everything that a travelling file imports, but for what is tried
        import av
    except ImportError as error:
        raise ImportError(
            "a media file is read with PyAV: pip install av; or give frames and audio as arrays"
        ) from error
    frames, pieces = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0) if container.streams.video else ():
            frames.append(frame.to_ndarray(format="rgb24"))
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
        for heard in container.decode(audio=0) if container.streams.audio else ():
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(heard)]
        if container.streams.audio:
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    audio = np.concatenate(pieces) if pieces else None
    return clip_of_arrays(np.stack(frames) if frames else None, audio, compat)


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


AutoProcessor.register(NanoEmoXConfig, NanoEmoXProcessor, exist_ok=True)
