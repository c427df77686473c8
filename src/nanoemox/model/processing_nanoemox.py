"""Clip and question in, tensors out: frames, audio and text in the form the model takes.

The prompt's container is the chat template saved with each model (ours is ChatML). Video, audio and text come
first and the question last, so everything before it is the same for all tasks of a clip.
Letters: B batch, T frames, C audio windows, L samples of one audio window, S text, H, W pixels.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
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
from transformers.processing_utils import MultiModalData

from nanoemox.media.clip import SAMPLE_RATE_HZ, Clip, Compat
from nanoemox.model.configuration_nanoemox import PLACEHOLDERS, NanoEmoXConfig
from nanoemox.model.media_inputs import (
    clip_of,
    flat_list,
    is_audio,
    is_clip,
    is_image,
    is_path,
    is_video,
    opened,
    paired,
)

logger = logging.getLogger(__name__)

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
    tokenizer.padding_side = "left"  # as whoever generates needs it, pipelines of transformers among them
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
    """Two image processors (video and face), a feature extractor (audio), a tokenizer and a chat template.

        chat = [{"role": "user", "content": [
            {"type": "video", "path": "clip.mp4"},  # its audio is used, too
            {"type": "transcript", "text": "I am fine."},  # what is said in the clip
            {"type": "text", "text": "How does this person feel?"},  # the question
        ]}]
        inputs = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=True)
        ids = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
        processor.batch_decode(ids, skip_special_tokens=True)

    `apply_chat_template` lists every kind of part; the prompt it makes is the one that EmotionAnalyzer makes, token by
    token. Training and scoring use `media`, `prompt` and `training_batch` instead.

    Args:
        image_processor: Prepares frames for the video branch: scale the shortest side, crop the centre, normalise.
        face_image_processor: Likewise for the face branch.
        feature_extractor: Its `do_normalize` is applied over all audio windows of one file together.
        tokenizer: One that has been through `prepare_tokenizer`.
        placeholder_counts: Placeholders of each kind for one clip, from the model's configuration.
        end_of_turn: What ends an answer.
        chat_template: The template of the prompt, ours by default.
        compat: "official" where `media` is to do as the official code does unless told otherwise.
    """

    # As tools of transformers look for them; face and fusion have placeholders beside these.
    video_token = PLACEHOLDERS["video"]
    audio_token = PLACEHOLDERS["audio"]

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
        if __name__.startswith("nanoemox."):  # for a copy of this file, transformers brings the code itself
            import_module("nanoemox.model.remote_code").bring_code(save_directory)
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
        messages = [{"role": "user", "content": content}]
        rendered = self._rendered(messages, self.placeholder_counts, add_generation_prompt=True)
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
        sampling_rate: int | None = None,
        return_tensors: str | None = "pt",
        padding: bool | str = True,
        padding_side: Literal["left", "right"] = "left",
        **kwargs: Any,
    ) -> BatchFeature:
        """Texts with placeholders and their media -> the inputs of `model.generate`.

        A placeholder stands once for each kind of medium, as the chat template writes it, or as often as the model
        has tokens for it. A text without placeholders has no media.

        Args:
            text: One text or several.
            images: One image for each text that has a video placeholder; an image is a video of one frame.
            videos: One video for each text that has a video placeholder: frames [T, H, W, 3] or [T, 3, H, W] as uint8
                array or tensor, a list of images, the path of a file, or a `Clip`. Any T will do; frames are taken at
                equal steps.
            audio: One audio track for each text that has an audio placeholder: floats [L] or [channels, L] (which are
                averaged) in [-1, 1], the path of a file, or a `Clip`. Without it, a video that is a path or a `Clip`
                brings its own.
            sampling_rate: The rate of `audio` in Hz, which has to be 16000.
            return_tensors: "pt", "np", or None for lists of token ids.
            padding: As tokenizers take it; True pads to the longest text.
            padding_side: "left" to generate.
            **kwargs: More arguments of the tokenizer, such as max_length. `text_kwargs` and `audio_kwargs` may hold the
                arguments, too. Others are ignored with a warning: sizes and numbers of frames are the model's own.

        Returns:
            input_ids, attention_mask [B, S]; pixel_values_videos, face_pixel_values [B, T, 3, H, W] and input_values
            [B, C, L] where any text has them.

        Raises:
            ValueError: If media and placeholders do not pair up, or the media have another form.
        """
        options = {
            "sampling_rate": sampling_rate,
            "return_tensors": return_tensors,
            "padding": padding,
            "padding_side": padding_side,
            "add_special_tokens": False,  # the template writes them
            "return_token_type_ids": False,
        } | _known_options(kwargs)
        rate = options.pop("sampling_rate")
        if rate not in (None, SAMPLE_RATE_HZ):
            raise ValueError(f"sampling_rate: expected {SAMPLE_RATE_HZ}, got {rate}; resample the audio")
        if text is None:
            raise ValueError(
                "text: expected a text or a list of texts, got None; write one with apply_chat_template"
            )
        texts = [text] if isinstance(text, str) else list(text)
        media = [self.media(clip) for clip in self._clips(texts, images, videos, audio)]
        ids = self.tokenizer([self._expanded(each) for each in texts], **options)
        return BatchFeature({**ids, **stack_media(media)}, tensor_type=options["return_tensors"])

    def _clips(self, texts: Sequence[str], images: Any, videos: Any, audio: Any) -> list[Clip]:
        """What the placeholders of each text ask for, out of media in the order of the texts."""
        if images is not None and videos is not None:
            raise ValueError("expected images or videos, got both; give an image as a video of one frame")
        if images is not None:
            name, single = (
                "images",
                flat_list("images", images, lambda x: is_path(x) or is_clip(x) or is_image(x)),
            )
            seen = [[each] if is_image(each) else each for each in single]
        else:
            name, seen = "videos", [] if videos is None else flat_list("videos", videos, is_video)
        heard = [] if audio is None else flat_list("audio", audio, is_audio)
        kinds = [{kind for kind, token in PLACEHOLDERS.items() if token in each} for each in texts]

        # The video of every text, and the audio that is in its file.
        watched = [bool(each & {"video", "face", "fusion"}) for each in kinds]
        shown = [opened(each, self.compat) for each in paired(name, seen, watched, PLACEHOLDERS["video"])]
        own = [each if is_clip(each) and each.audio_windows is not None else None for each in shown]

        # The audio of every text: its own if there is one, else that of its video.
        listened = [bool(each & {"audio", "fusion"}) for each in kinds]
        tracks: list[Any] = [each if wants else None for each, wants in zip(own, listened, strict=True)]
        if heard:
            given = paired("audio", heard, listened, PLACEHOLDERS["audio"])
            tracks = [
                each if other is None else opened(other, self.compat)
                for each, other in zip(tracks, given, strict=True)
            ]
        clips = []
        for row, (video, track) in enumerate(zip(shown, tracks, strict=True)):
            clip = clip_of(video, track, self.compat)
            for kind, wants, found in (
                ("video", watched[row], clip.frames),
                ("audio", listened[row], clip.audio_windows),
            ):
                if wants and found is None:
                    raise ValueError(
                        f"{name if kind == 'video' else kind}: text {row} has {PLACEHOLDERS[kind]}, but there is no "
                        f"{kind} for it"
                    )
            clips.append(clip)
        return clips

    def apply_chat_template(
        self,
        conversation: Sequence[Mapping[str, Any]] | Sequence[Sequence[Mapping[str, Any]]],
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = False,
        return_dict: bool = True,
        return_tensors: str | None = "pt",
        load_audio_from_video: bool = True,
        allow_urls: bool = False,
        processor_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """A conversation, or several -> its text, or the inputs of `model.generate`.

        A conversation is about one clip. Parts of a message's content, in any order:

        - `{"type": "video", "path": …}` or `{"type": "video", "video": array, list of images, path or Clip}`. The audio
          of a file is used too, unless `load_audio_from_video=False`. What the file does not have is left out.
        - `{"type": "audio", "path": …}` or `{"type": "audio", "audio": array, path or Clip}`, in place of the file's
          own audio. `{"type": "audio"}` alone stands for the audio of the video.
        - `{"type": "image", …}` likewise: a video of one frame.
        - `{"type": "transcript", "text": …}`: what is said in the clip.
        - `{"type": "dialogue", "turns": [{"role", "text"}, …]}`: what was said before, oldest first.
        - `{"type": "text", "text": …}`: the question, or an answer of the assistant. Earlier messages are earlier turns
          with the model.

        A `url` is refused unless `allow_urls=True`: whoever serves it would learn whose face and voice are looked at.

        Args:
            conversation: Messages with "role" and "content", or a list of such lists.
            chat_template: Another template than the processor's own.
            add_generation_prompt: End the text where the model's answer begins.
            continue_final_message: Leave the last message open, for the model to go on with it.
            tokenize: Return the inputs of the model instead of the text.
            return_dict: With `tokenize`, return all inputs; False, the token ids alone.
            return_tensors: As in `__call__`.
            load_audio_from_video: Also use the audio of a video.
            allow_urls: Download media that are given as a url, with http or https.
            processor_kwargs: More arguments of `__call__`.
            **kwargs: Arguments of `__call__` (`padding` and the like), and variables of the template.

        Returns:
            A text or several; with `tokenize` what `__call__` returns. Without `tokenize`, media without a source
            (`{"type": "video"}`) get their placeholders too, to be given to `__call__` beside the text.

        Raises:
            ValueError: For a part of another form, more than one clip in a conversation, or a url.
        """
        if kwargs.pop("return_assistant_tokens_mask", False):
            raise ValueError("return_assistant_tokens_mask: is not made here; training_batch makes labels")
        options = {name: kwargs.pop(name) for name in list(kwargs) if name in _OPTIONS}
        options |= dict(processor_kwargs or {})
        template = str(chat_template or self.chat_template)
        for name in [name for name in kwargs if name not in template]:
            if kwargs.pop(name) is not None:
                logger.warning("%s: is no argument of this processor, and is ignored", name)
        several = bool(conversation) and not isinstance(conversation[0], Mapping)
        conversations: list[Any] = list(conversation) if several else [conversation]
        marks = {kind: min(1, count) for kind, count in self.placeholder_counts.items()}
        texts, videos, tracks = [], [], []
        for messages in conversations:
            at, modalities, video, track = self._media_in(
                messages, load_audio_from_video, allow_urls, with_sources=tokenize
            )
            plain = [
                {
                    "role": self._plain(message["role"]),
                    "content": [{"type": kind} for kind in modalities if row == at] + self._words(message),
                }
                for row, message in enumerate(messages)
            ]
            texts.append(
                self._rendered(
                    plain,
                    marks,
                    chat_template=chat_template,
                    add_generation_prompt=add_generation_prompt,
                    continue_final_message=continue_final_message,
                    **kwargs,
                )
            )
            videos.append(video)
            tracks.append(track)
        if not tokenize:
            return texts if several else texts[0]
        batch = self(texts, videos=videos, audio=tracks, **{"return_tensors": return_tensors, **options})
        return batch if return_dict else batch["input_ids"]

    def _media_in(
        self,
        messages: Sequence[Mapping[str, Any]],
        load_audio_from_video: bool,
        allow_urls: bool,
        with_sources: bool,
    ) -> tuple[int, list[str], Any, Any]:
        """Where in a conversation its media are, which they are ("video", "audio"), the video, and the audio."""
        places: dict[str, int] = {}
        given: dict[str, Any] = {}
        for row, message in enumerate(messages):
            for part in _parts(message):
                kind = {"image": "video"}.get(part["type"], part["type"])
                if kind not in ("video", "audio"):
                    continue
                if kind in places:
                    raise ValueError(
                        f"expected one {kind} in a conversation, got another one; ask about one clip"
                    )
                places[kind] = row
                medium = opened(_source(part), self.compat, allow_urls)
                given[kind] = [medium] if part["type"] == "image" and is_image(medium) else medium
        if len(set(places.values())) > 1:
            raise ValueError("expected video and audio in one message, got them in two; they are one clip")
        video, track = given.get("video"), given.get("audio")
        of_video = is_clip(video) and video.audio_windows is not None
        if track is None and of_video and ("audio" in places or load_audio_from_video):
            track = video

        # What is not there is left out, unless there is nothing but a placeholder so far.
        found = {"video": video, "audio": track}
        if is_clip(video) and video.frames is None:
            found["video"] = None
        if is_clip(track) and track.audio_windows is None:
            found["audio"] = None
        bare = [kind for kind in places if given[kind] is None and (kind == "video" or video is None)]
        if bare and with_sources:
            raise ValueError(f"{bare[0]}: expected path or {bare[0]}, got a part without either")
        modalities = [kind for kind in found if kind in bare or found[kind] is not None]
        return min(places.values(), default=0), modalities, found["video"], found["audio"]

    def _words(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The parts of a message that are no media, with special tokens broken up."""
        words: list[dict[str, Any]] = []
        for part in _parts(message):
            if part["type"] == "dialogue":
                turns = [{key: self._plain(turn[key]) for key in ("role", "text")} for turn in part["turns"]]
                words.append({"type": "dialogue", "turns": turns})
            elif part["type"] in ("transcript", "text"):
                words.append({"type": part["type"], "text": self._plain(part["text"])})
            elif part["type"] not in ("video", "image", "audio"):
                raise ValueError(
                    "content: expected parts of type video, image, audio, transcript, dialogue or text, got "
                    f"{part['type']!r}"
                )
        return words

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

    def _expanded(self, text: str) -> str:
        """The text with each placeholder as often as the model has tokens for it."""
        for kind, token in PLACEHOLDERS.items():
            runs = re.findall(f"(?:{re.escape(token)})+", text)
            if len(runs) > 1:
                raise ValueError(
                    f"text: expected {token} for one clip, found it in {len(runs)} places; ask about one"
                )
            if runs:
                count, found = self.placeholder_counts[kind], len(runs[0]) // len(token)
                if not count:
                    raise ValueError(
                        f"text: {token} has no place in this model; write the text with apply_chat_template"
                    )
                if found not in (1, count):
                    raise ValueError(f"text: expected {token} once or {count} times, found it {found} times")
                text = text.replace(runs[0], token * count)
        return text

    @property
    def end_ids(self) -> list[int]:
        """Ids of the tokens that end an answer."""
        tokenizer = self.tokenizer
        ends = {tokenizer.eos_token_id, tokenizer.get_vocab().get(self.end_of_turn)}
        return sorted(end for end in ends if end is not None)

    @property
    def model_input_names(self) -> list[str]:
        """The names of what `__call__` returns."""
        return ["input_ids", "attention_mask", "pixel_values_videos", "face_pixel_values", "input_values"]

    def _get_num_multimodal_tokens(
        self, image_sizes: Any = None, video_sizes: Any = None, audio_lengths: Any = None, **kwargs: Any
    ) -> MultiModalData:
        """How many tokens media of these sizes take, for servers that plan ahead: it is always the same number."""
        counts = self.placeholder_counts
        seen = counts["video"] + counts["face"]
        numbers: dict[str, Any] = {}
        if image_sizes is not None:
            numbers["num_image_tokens"] = [seen for _ in image_sizes]
            numbers["num_image_patches"] = [1 for _ in image_sizes]
        if video_sizes is not None:
            numbers["num_video_tokens"] = [seen for _ in video_sizes]
        if audio_lengths is not None:
            numbers["num_audio_tokens"] = [counts["audio"] for _ in audio_lengths]
        return MultiModalData(**numbers)

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


# What `__call__` and the tokenizer take, beside the text and the media.
_OPTIONS = {
    "sampling_rate",
    "return_tensors",
    "padding",
    "padding_side",
    "truncation",
    "max_length",
    "pad_to_multiple_of",
    "return_attention_mask",
    "return_special_tokens_mask",
    "return_offsets_mapping",
    "return_length",
    "text_kwargs",
    "audio_kwargs",
    "images_kwargs",
    "videos_kwargs",
    "common_kwargs",
}


def _known_options(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `kwargs` and in the dictionaries by medium that it may hold; a warning tells the others."""
    flat: dict[str, Any] = {}
    for name, value in kwargs.items():
        flat |= dict(value or {}) if name.endswith("_kwargs") else {name: value}
    for name in flat.keys() - _OPTIONS:
        logger.warning("%s: is no argument of this processor, and is ignored", name)
    return {name: value for name, value in flat.items() if name in _OPTIONS}


def _parts(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The content of a message as parts; a plain string is one part."""
    content = message.get("content") or []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _source(part: Mapping[str, Any]) -> Any:
    """The medium of a part: a path, a url, an array, a list of images or a `Clip`; None if there is none."""
    for key in ("path", "url", part["type"]):
        if part.get(key) is not None:
            return part[key]
    return None


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
