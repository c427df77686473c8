"""The features of what was seen and heard last: each frame and each piece of audio is encoded once, for all windows.

The frozen encoders look at one frame, or hear one piece of 2 s, at a time. What depends on all frames of a window (the
adapters with their attention over time, the fusion, the language model) is computed anew for each window, and cheap.
Letters: T frames, C pieces of audio, D width, H, W pixels, L samples, M mel bands, S steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.of_people import own_pictures
from nanoemox.media.clip import WINDOW, Clip, clip_of_arrays
from nanoemox.model.clip_processor import centred, normalised_sound

ENCODED_AT_ONCE = 32  # frames or pieces; bounds memory
_EPSILON = 1e-7  # of the variance, as in the feature extractor of wav2vec 2.0

Features = dict[str, Tensor]
Key = TypeVar("Key", int, tuple[int, int])


class FeatureRing:
    """Encodings by their places on the grid. What no later window needs is forgotten.

    Args:
        analyzer: The model.

    Attributes:
        frames: Place -> features [D] of the frame by name.
        faces: Place and number of a track -> features [D] of this face by name, in place of those of the frame.
        pieces: Place -> features [D] of the piece of audio by name.
        encoded: How many frames and pieces were encoded so far.
    """

    def __init__(self, analyzer: EmotionAnalyzer) -> None:
        self.analyzer = analyzer
        self.frames: dict[int, Features] = {}
        self.faces: dict[tuple[int, int], Features] = {}
        self.pieces: dict[int, Features] = {}
        self.encoded = {"frames": 0, "faces": 0, "pieces": 0}
        self._pictures: dict[int, Features] = {}  # that wait to be encoded: pixels [3, H, W] by name
        self._crops: dict[tuple[int, int], Features] = {}  # likewise
        self._sounds: dict[int, Features] = {}  # likewise: samples [L], or log-mel [M, S]

    def add_frame(self, place: int, frame: NDArray[np.uint8]) -> None:
        """Take the frame [H, W, 3] at this place of the grid."""
        tensors = self.analyzer.processor.media(_clip_of_frame(frame))
        self._pictures[place] = {name: value[0] for name, value in tensors.items()}

    def add_face(self, place: int, number: int, crop: NDArray[np.uint8]) -> None:
        """Take a face at this place of the grid.

        Args:
            place: The place.
            number: Of the track.
            crop: The picture [S, S, 3] of the face.
        """
        name = own_pictures(self.analyzer)
        tensors = self.analyzer.processor.media(_clip_of_frame(crop))
        self._crops[place, number] = {name: tensors[name][0]}

    def add_piece(self, place: int, samples: NDArray[np.float32], around: NDArray[np.float32]) -> None:
        """Take the piece of audio at this place of the grid.

        `analyze` gives all audio windows of a clip the mean 0 and the variance 1 together. A piece that belongs to
        several windows cannot have the mean of each of them, so it gets that of the audio up to its own end.

        Args:
            place: The place.
            samples: Mono at 16 kHz [L]; what is missing to 2 s becomes zeros.
            around: The audio of the length of a window that ends with the piece.
        """
        processor = self.analyzer.processor
        piece = np.zeros(WINDOW, dtype=np.float32)
        piece[: len(samples)] = samples[:WINDOW]
        if processor.compat == "official":
            piece = centred(piece)
            around = around - around.mean() if len(around) else around
        extractor = processor.feature_extractor
        if getattr(extractor, "hop_length", None) or not extractor.do_normalize or not len(around):
            self._sounds[place] = {"input_values": normalised_sound(piece[None], extractor)[0]}
            return
        # The padding of a short window counts, as it does in the feature extractor.
        filler = max(0, WINDOW - len(around))
        mean = float(around.sum(dtype=np.float64)) / (len(around) + filler)
        square = float((around.astype(np.float64) ** 2).sum()) / (len(around) + filler)
        scaled = (piece - np.float32(mean)) / np.float32(np.sqrt(square - mean**2 + _EPSILON))
        self._sounds[place] = {"input_values": torch.from_numpy(scaled.astype(np.float32))}

    def encode(self) -> None:
        """Encode all that waits."""
        self.encoded["frames"] += self._encode(self._pictures, self.frames)
        self.encoded["faces"] += self._encode(self._crops, self.faces)
        self.encoded["pieces"] += self._encode(self._sounds, self.pieces)

    @torch.inference_mode()
    def _encode(self, waiting: dict[Key, Features], done: dict[Key, Features]) -> int:
        model, order = self.analyzer.model, sorted(waiting)
        for first in range(0, len(order), ENCODED_AT_ONCE):
            part = order[first : first + ENCODED_AT_ONCE]
            media = {}
            for name in waiting[part[0]]:  # [1, T or C, …] each
                stacked = torch.stack([waiting[place][name] for place in part])[None]
                media[name] = stacked.to(model.device, model.dtype)
            for name, value in model.encode(**media).items():  # [1, T or C, D]
                for place, row in zip(part, value[0], strict=True):
                    done.setdefault(place, {})[name] = row.clone()
        waiting.clear()
        return len(order)

    def features(self, frames: Sequence[int], pieces: Sequence[int], number: int | None = None) -> Features:
        """The features of one window, [T, D] and [C, D] by name; those of a modality that is absent are missing.

        A place at which there is nothing gets what is nearest in the window.

        Args:
            frames: The places of its frames.
            pieces: The places of its pieces of audio.
            number: Of the track whose face is looked at; None looks at whole frames.

        Returns:
            The features; empty where the face of this track lies at none of the places.
        """
        found: Features = {}
        faces = {place: self.faces[place, number] for place in frames if (place, number) in self.faces}  # type: ignore[index]
        if number is not None and not faces:
            return found
        for wanted, there in ((frames, self.frames), (frames, faces), (pieces, self.pieces)):
            known = [place for place in wanted if place in there]
            if not known:
                continue
            taken = [
                place if place in there else min(known, key=lambda each: abs(each - place))
                for place in wanted
            ]
            for name in there[taken[0]]:
                found[name] = torch.stack([there[place][name] for place in taken])
        return found

    def forget(self, frames_before: int, pieces_before: int) -> None:
        """Drop what lies before these places."""
        for kept, first in (
            (self.frames, frames_before),
            (self._pictures, frames_before),
            (self.pieces, pieces_before),
            (self._sounds, pieces_before),
        ):
            for place in [place for place in kept if place < first]:
                del kept[place]
        for faces in (self.faces, self._crops):
            for key in [key for key in faces if key[0] < frames_before]:
                del faces[key]


def _clip_of_frame(frame: NDArray[np.uint8]) -> Clip:
    """A clip of one frame [H, W, 3], which the processor prepares as any other."""
    return replace(clip_of_arrays(None, None), frames=frame[None])
