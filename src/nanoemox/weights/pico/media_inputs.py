"""What users of transformers hold of a clip -> `Clip`: arrays, tensors, lists of images, paths.

Where nanoemox is installed, its own reader opens the files. Elsewhere PyAV alone does, so that a saved model can be
used without nanoemox. Letters: T frames, H, W pixels, L samples.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import urlparse
from urllib.request import urlopen

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .clip import SAMPLE_RATE_HZ, Clip, Compat, clip_of_arrays, empty_clip, frame_indices
from .configuration_nanoemox import PLACEHOLDERS

MAX_CHANNELS = 8  # of an audio track; beyond it, [channels, L] and [L, channels] are probably mixed up
_DOWNLOAD_TIMEOUT_S = 30.0


def is_clip(value: Any) -> TypeGuard[Clip]:
    """Whether this is a `Clip`, by its fields: a copy of this code has another class of the same form."""
    return hasattr(value, "frames") and hasattr(value, "audio_windows")


def is_path(value: Any) -> bool:
    """Whether this names a file (or is a url, which `opened` refuses)."""
    return isinstance(value, (str, Path))


def is_image(value: Any) -> bool:
    """Whether this is a single image: of PIL, or an array [H, W, 3] or [3, H, W]."""
    return isinstance(value, Image.Image) or getattr(value, "ndim", 0) == 3


def is_video(value: Any) -> bool:
    """Whether this is one video: a path, a `Clip`, an array of four axes (or three, for one frame), or images."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(is_image(each) for each in value)
    return is_path(value) or is_clip(value) or is_image(value) or getattr(value, "ndim", 0) == 4


def is_audio(value: Any) -> bool:
    """Whether this is one audio track: a path, a `Clip`, an array of one or two axes, or a list of numbers."""
    if isinstance(value, (list, tuple)):
        return bool(value) and isinstance(value[0], (int, float))
    return is_path(value) or is_clip(value) or getattr(value, "ndim", 0) in (1, 2)


def flat_list(name: str, media: Any, is_one: Callable[[Any], bool]) -> list[Any]:
    """One medium, several, or a list of them for each text -> one list. None stays: a text without this medium.

    Args:
        name: What the argument is called, for the message.
        media: As a user gives them.
        is_one: Whether a value is one medium.

    Returns:
        The media, in order.

    Raises:
        ValueError: If something in it is no such medium.
    """
    if media is None or is_one(media):
        return [media]
    if isinstance(media, (list, tuple)) or getattr(media, "ndim", 0) == 5:  # 5: a batch of videos
        return [each for part in media for each in flat_list(name, part, is_one)]
    found = f"{media.dtype} {list(media.shape)}" if hasattr(media, "ndim") else type(media).__name__
    raise ValueError(f"{name}: expected an array, a path or a Clip for each text, got {found}")


def paired(name: str, given: Sequence[Any], wanted: Sequence[bool], placeholder: str) -> list[Any]:
    """Give every text its medium: one for each text, or one for each text that has a placeholder, in order.

    Args:
        name: What the argument is called, for the message.
        given: The media; None for a text without one.
        wanted: Whether each text has a placeholder.
        placeholder: The placeholder, for the message.

    Returns:
        A medium or None for each text.

    Raises:
        ValueError: If there are more or fewer media than placeholders.
    """
    found = list(given)
    if len(given) != len(wanted):
        if len(given) != sum(wanted):
            raise ValueError(
                f"{name}: expected {sum(wanted)}, one for each text with {placeholder}, got {len(given)}"
            )
        left = iter(given)
        found = [next(left) if wants else None for wants in wanted]
    for row, (wants, medium) in enumerate(zip(wanted, found, strict=True)):
        if medium is not None and not wants:
            raise ValueError(f"{name}: text {row} has no {placeholder}, but one was given for it")
    return found


def frames_of(video: Any) -> NDArray[np.uint8]:
    """The frames of a video that is no file, uint8 [T, H, W, 3]."""
    if isinstance(video, (list, tuple)):
        images = [_image(each) for each in video]
        if sizes := {image.shape for image in images[1:]} - {images[0].shape}:
            raise ValueError(
                f"videos: expected frames of one size, got {list(images[0].shape)} and {list(sizes.pop())}"
            )
        frames = np.stack(images)
    else:
        frames = _image(video) if isinstance(video, Image.Image) else _array(video)
    if frames.ndim == 3:
        frames = frames[None]
    if frames.ndim == 4 and frames.shape[-1] != 3 and frames.shape[1] == 3:
        frames = np.moveaxis(frames, 1, -1)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(
            f"videos: expected uint8 [T, H, W, 3] or [T, 3, H, W], got {frames.dtype} {list(frames.shape)}"
        )
    return frames


def mono_of(audio: Any) -> NDArray[np.float32]:
    """An audio track that is no file -> float32 [L], the mean of its channels."""
    samples = _array(audio)
    if samples.ndim not in (1, 2) or not np.issubdtype(samples.dtype, np.floating) or not samples.size:
        raise ValueError(
            f"audio: expected floats in [-1, 1], [L] or [channels, L], got {samples.dtype} {list(samples.shape)}"
        )
    if samples.ndim == 2:
        channels = int(np.argmin(samples.shape))
        if samples.shape[channels] > MAX_CHANNELS:
            raise ValueError(
                f"audio: expected one track [L], or [channels, L] of at most {MAX_CHANNELS} channels, got "
                f"{list(samples.shape)}; give several tracks as a list"
            )
        samples = samples.mean(axis=channels)
    if not np.isfinite(samples).all():
        raise ValueError("audio: expected numbers, got NaN or infinite samples; export the audio again")
    return samples.astype(np.float32)


def clips_of_texts(texts: Sequence[str], images: Any, videos: Any, audio: Any, compat: Compat) -> list[Clip]:
    """What the placeholders of each text ask for, out of media in the order of the texts.

    Args:
        texts: Prompts; each asks for the media whose placeholders it holds.
        images: One or several images, or None.
        videos: One or several videos, or None.
        audio: One or several audio tracks, or None; without it, the audio of the videos is taken.
        compat: As in `audio_window_starts`.

    Returns:
        A clip for each text; one without media where the text has no placeholder.

    Raises:
        ValueError: If media and placeholders do not pair up, or the media have another form.
    """
    # What was given, as one list for each kind of medium.
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
    shown = [opened(each, compat) for each in paired(name, seen, watched, PLACEHOLDERS["video"])]
    own = [each if is_clip(each) and each.audio_windows is not None else None for each in shown]

    # The audio of every text: its own if there is one, else that of its video.
    listened = [bool(each & {"audio", "fusion"}) for each in kinds]
    tracks: list[Any] = [each if wants else None for each, wants in zip(own, listened, strict=True)]
    if heard:
        given = paired("audio", heard, listened, PLACEHOLDERS["audio"])
        tracks = [
            each if other is None else opened(other, compat)
            for each, other in zip(tracks, given, strict=True)
        ]

    # One clip for each text, which has to have what its placeholders ask for.
    clips = []
    for row, (video, track) in enumerate(zip(shown, tracks, strict=True)):
        clip = clip_of(video, track, compat)
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


def clip_of(video: Any, audio: Any, compat: Compat) -> Clip:
    """One clip of the media that belong to one text.

    Args:
        video: A `Clip`, or what `frames_of` takes; None for no video.
        audio: A `Clip`, or what `mono_of` takes; None for no audio.
        compat: As in `audio_window_starts`.

    Returns:
        The clip, with the frames of `video` and the audio windows of `audio` alone.
    """
    frames = windows = None
    if video is not None:
        frames = video.frames if is_clip(video) else clip_of_arrays(frames_of(video), None, compat).frames
    if audio is not None:
        own = audio if is_clip(audio) else clip_of_arrays(None, mono_of(audio), compat)
        windows = own.audio_windows
    return replace(empty_clip("it was not given"), frames=frames, audio_windows=windows)


def opened(medium: Any, compat: Compat, allow_urls: bool = False) -> Any:
    """A path -> the `Clip` in the file; everything else as it is.

    Args:
        medium: As a user gives it.
        compat: As in `audio_window_starts`.
        allow_urls: Download what is a url; otherwise it is refused.

    Returns:
        A `Clip`, or the array, tensor or list that was given.

    Raises:
        ValueError: For a url, unless it is allowed.
        ImportError: If there is nothing to read files with.
    """
    if not is_path(medium):
        return medium
    if "://" not in str(medium):
        return read_clip(Path(medium), compat)
    if not allow_urls:
        raise ValueError(
            f"{medium}: a url is not opened, since this would tell others whose face and voice are looked at; "
            "give a path, or allow_urls=True"
        )
    if urlparse(medium).scheme not in ("http", "https"):
        raise ValueError(f"{medium}: expected a path, or a url that begins with http:// or https://")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"download{Path(urlparse(medium).path).suffix}"
        with urlopen(medium, timeout=_DOWNLOAD_TIMEOUT_S) as response, path.open("wb") as file:
            shutil.copyfileobj(response, file)
        return read_clip(path, compat)


def read_clip(path: Path, compat: Compat) -> Clip:
    """The clip in a file, read by nanoemox where it is installed: it is careful with files that others made."""
    try:
        load_clip: Callable[..., Clip] = import_module("nanoemox.media.load").load_clip
    except ImportError:  # nanoemox is not installed, or PyAV, which is asked for next
        return _read_plainly(path, compat)
    return load_clip(path, compat=compat)


def _read_plainly(path: Path, compat: Compat) -> Clip:
    """The clip in a file, read by PyAV alone. The video is decoded twice, so that only eight frames are in memory."""
    try:  # transformers insists on everything that a travelling file imports, except for what is tried
        import av
    except ImportError as error:
        raise ImportError(
            f"{path}: a media file is read with PyAV: pip install av; or give frames and audio as arrays"
        ) from error
    cover = av.stream.Disposition.attached_pic  # a picture that belongs to an audio file

    def decoded(kind: str) -> Iterator[Any]:
        with av.open(str(path)) as container:
            tracks = [s for s in container.streams if s.type == kind and cover not in s.disposition]
            yield from container.decode(tracks[0]) if tracks else ()

    wanted: list[int] = []
    if number := sum(1 for _ in decoded("video")):
        wanted = frame_indices(number)
    frames: list[NDArray[np.uint8]] = []
    for i, frame in enumerate(decoded("video") if wanted else ()):
        frames += [frame.to_ndarray(format="rgb24")] * wanted.count(i)
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
    pieces: list[NDArray[np.float32]] = []
    for block in chain(decoded("audio"), (None,)):  # None: give what is still held
        pieces += [piece.to_ndarray()[0] for piece in resampler.resample(block)]
    if not frames and not pieces:
        raise ValueError(f"{path}: expected a media file, found no frame and no audio in it")
    audio = np.concatenate(pieces) if pieces else None
    return clip_of_arrays(np.stack(frames) if frames else None, audio, compat)


def _image(image: Any) -> NDArray[Any]:
    return np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else _array(image)


def _array(values: Any) -> NDArray[Any]:
    """An array or a tensor, wherever it lies -> a numpy array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # numpy knows no bfloat16
    return np.asarray(values)
