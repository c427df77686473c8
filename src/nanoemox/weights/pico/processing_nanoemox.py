"""The processor of the model as any of transformers: conversations and texts with media -> inputs of `generate`.

What training, scoring and EmotionAnalyzer use is in clip_processor.py.
Letters: B batch, T frames, C audio windows, L samples of one audio window, S text, H, W pixels.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from transformers import AutoProcessor, BatchFeature
from transformers.processing_utils import MultiModalData

from .clip import SAMPLE_RATE_HZ, Compat
from .clip_processor import ClipProcessor, stack_media
from .configuration_nanoemox import PLACEHOLDERS, NanoEmoXConfig
from .media_inputs import clips_of_texts, is_clip, is_image, opened

logger = logging.getLogger(__name__)

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


class NanoEmoXProcessor(ClipProcessor):
    """What transformers expects of a processor; its parts are those of `ClipProcessor`.

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
    """

    # As tools of transformers look for them; face and fusion have placeholders beside these.
    video_token = PLACEHOLDERS["video"]
    audio_token = PLACEHOLDERS["audio"]

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
        # Sort the options: what was named, and what `kwargs` and its dictionaries hold.
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

        # Prepare the media and the texts, and give each placeholder as many tokens as the model has.
        texts = [text] if isinstance(text, str) else list(text)
        media = [self.media(clip) for clip in clips_of_texts(texts, images, videos, audio, self.compat)]
        ids = self.tokenizer([self._expanded(each) for each in texts], **options)
        return BatchFeature({**ids, **stack_media(media)}, tensor_type=options["return_tensors"])

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
        # Tell the arguments of `__call__` from the variables of the template.
        if kwargs.pop("return_assistant_tokens_mask", False):
            raise ValueError("return_assistant_tokens_mask: is not made here; training_batch makes labels")
        options = {name: kwargs.pop(name) for name in list(kwargs) if name in _OPTIONS}
        options |= dict(processor_kwargs or {})
        template = str(chat_template or self.chat_template)
        for name in [name for name in kwargs if name not in template]:
            if kwargs.pop(name) is not None:
                logger.warning("%s: is no argument of this processor, and is ignored", name)

        # Render each conversation, with a single placeholder for each medium, and open its media.
        several = bool(conversation) and not isinstance(conversation[0], Mapping)
        conversations: list[Any] = list(conversation) if several else [conversation]
        marks = {kind: min(1, count) for kind, count in self.placeholder_counts.items()}
        texts, videos, tracks = [], [], []
        for messages in conversations:
            at, modalities, video, track = _media_in(
                messages, self.compat, load_audio_from_video, allow_urls, with_sources=tokenize
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

        # Return the texts, or have `__call__` make the inputs of them.
        if not tokenize:
            return texts if several else texts[0]
        batch = self(texts, videos=videos, audio=tracks, **{"return_tensors": return_tensors, **options})
        return batch if return_dict else batch["input_ids"]

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


def _known_options(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `kwargs` and in the dictionaries by medium that it may hold; a warning tells the others."""
    flat: dict[str, Any] = {}
    for name, value in kwargs.items():
        flat |= dict(value or {}) if name.endswith("_kwargs") else {name: value}
    for name in flat.keys() - _OPTIONS:
        logger.warning("%s: is no argument of this processor, and is ignored", name)
    return {name: value for name, value in flat.items() if name in _OPTIONS}


def _media_in(
    messages: Sequence[Mapping[str, Any]],
    compat: Compat,
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
            medium = opened(_source(part), compat, allow_urls)
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


AutoProcessor.register(NanoEmoXConfig, NanoEmoXProcessor, exist_ok=True)
