"""The targets of phase 0, against their formulas written out."""

from __future__ import annotations

import torch

from nanoemox.data.schema import Record
from nanoemox.training.phase0.views import BANDS, FFT, FRAME, HIGHEST_HZ, HOP, _Views, frame_tracks


def test_bands_are_evenly_spaced_on_the_mel_scale() -> None:
    audio = torch.randn(2, 32_000, generator=torch.Generator().manual_seed(0))
    mel = torch.linspace(0, 2595 * torch.log10(torch.tensor(1 + HIGHEST_HZ / 700)).item(), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hz = torch.linspace(0, 8000, FFT // 2 + 1)[:, None]
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rising, falling).clamp(min=0)
    frames = audio.unfold(-1, FRAME, HOP)[:, :99]
    power = torch.fft.rfft(frames * torch.hann_window(FRAME), n=FFT).abs().square()
    _, bands = frame_tracks(audio)
    assert bands.shape == (2, 99, BANDS)
    assert torch.allclose(bands, (power @ filters).clamp(min=1e-4).log(), atol=2e-5)


def test_views_may_be_read_in_any_order() -> None:
    """Every round holds every clip once, whichever round is looked at first."""

    class _Clips:
        def has(self, name: str, need: str) -> bool:
            return name != "silent" and need == "audio"

    records = [Record(id=name, audio=f"/{name}.wav") for name in ("a", "silent", "b", "c")]
    views = [_Views(records, _Clips(), 9, 1, "audio") for _ in range(2)]  # type: ignore[arg-type]
    assert len(views[0]) == 9
    there = [views[0].record(index)[0].id for index in range(9)]
    back = [views[1].record(index)[0].id for index in reversed(range(9))]
    assert there == back[::-1]
    assert all(sorted(there[i : i + 3]) == ["a", "b", "c"] for i in (0, 3, 6))
    begun = [_Views(records, _Clips(), 9, 1, "audio").record(index)[0].id for index in range(9)]  # type: ignore[arg-type]
    assert begun == there
