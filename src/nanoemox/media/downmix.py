"""The channels of a frame of audio -> one, and whether they cancel each other on the way.

A recorder that inverts one channel makes the mean of two channels silent, although a listener hears speech on both
sides. `Downmix` adds up how the channels go together while it works; `cancelled` then names the channel to take.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

OPPOSED = -0.9  # two channels that correlate below this are one channel and its inversion
KEPT = 0.1  # more channels cancel where less than this is left of what independent channels would leave
_NO_ENERGY = 1e-8  # mean square, -80 dBFS: what is as quiet as that is silent
_PLANES = 8  # from here on PyAV 18 reads behind the end of a planar frame's list of channels

Samples = NDArray[np.float32]


class Downmix:
    """Frames of any layout and sample format -> the mean of their channels, or one of them."""

    def __init__(self, channel: int | None = None) -> None:
        """Begin a pass over one track.

        Args:
            channel: take this channel alone, counted without the bass channel; None, the mean.
        """
        self.channel = channel
        self.products: NDArray[np.float64] | None = None  # sums over time, of the channels and of 1

    def mono(self, frame: Any) -> Samples:
        """One frame as float32 [L]; it also counts for `cancelled`."""
        samples = _full_channels(frame)
        with np.errstate(all="ignore"):  # what is not finite is found by the caller
            if self.channel is not None:
                return np.asarray(samples[min(self.channel, len(samples) - 1)], dtype=np.float32)
            self._count(samples)
            return np.asarray(samples.mean(axis=0, dtype=np.float64), dtype=np.float32)

    def _count(self, samples: NDArray[Any]) -> None:
        if len(samples) < 2:
            return
        exact = np.concatenate([samples.astype(np.float64), np.ones((1, samples.shape[1]))])
        products = exact @ exact.T
        if self.products is None:
            self.products = products
        elif len(self.products) == len(products):  # after a change of layout the first one counts
            self.products += products

    def cancelled(self) -> int | None:
        """The loudest channel if the channels cancel each other, else None."""
        if self.products is None or not np.isfinite(self.products).all():
            return None
        sums, length = self.products[-1, :-1], self.products[-1, -1]
        # Without constant offsets, which are no audio.
        products = self.products[:-1, :-1] - np.outer(sums, sums) / max(length, 1.0)
        energies = np.diagonal(products)
        if energies.max() <= _NO_ENERGY * max(length, 1.0):
            return None
        if len(energies) == 2:
            opposed = products[0, 1] < OPPOSED * np.sqrt(max(energies.prod(), 0.0))
        else:
            opposed = products.sum() < KEPT * energies.sum()
        return int(energies.argmax()) if opposed else None


def _full_channels(frame: Any) -> NDArray[Any]:
    """The channels of a frame [channels, L] without the bass channel, integers scaled to [-1, 1]."""
    channels = [channel.name for channel in frame.layout.channels]
    if frame.format.is_planar and len(channels) >= _PLANES:
        (frame,) = av.AudioResampler(format=frame.format.packed.name).resample(frame)
    raw = frame.to_ndarray()
    samples: NDArray[Any] = raw if frame.format.is_planar else raw.reshape(-1, max(len(channels), 1)).T
    full = [i for i, name in enumerate(channels) if name != "LFE"]  # the bass channel holds no speech
    if 0 < len(full) < len(samples):
        samples = samples[full]
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / float(-np.iinfo(samples.dtype).min)
    return samples
