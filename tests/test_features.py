"""The feature store: what was computed is found again, and nothing stale is ever used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nanoemox.data import Record
from nanoemox.features import (
    FeatureStore,
    StaleStoreError,
    compute_features,
    content_hash,
    encoder_hash,
    load_record,
)

from .media_files import make_media, numbered_frame, numbers, write_wav
from .tiny import tiny_config


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    made = []
    for i in range(5):
        path = tmp_path / f"clip{i}.bin"
        path.write_bytes(bytes([i]) * 10)
        made.append(Record(id=f"r{i}", video=path, text="hello", labels={"emotion": {"label": "fear"}}))
    return made


def _media(record: Record) -> dict[str, torch.Tensor]:
    """Made-up pictures and sound of a record; the third has no sound."""
    config = tiny_config()
    random = torch.Generator().manual_seed(int(record.id[1:]))
    side = config.vision_config.image_size
    pixels = torch.randn(config.num_frames, 3, side, side, generator=random)
    tensors = {"pixel_values_videos": pixels, "face_pixel_values": pixels}
    if record.id != "r2":
        tensors["input_values"] = torch.randn(config.num_audio_clips, 1600, generator=random)
    return tensors


def test_features_are_what_the_model_computes(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    store = compute_features(records, model, processor, tmp_path / "store", batch_size=2, media=_media)
    assert len(store) == 5
    alone = model.encode(**{name: value[None] for name, value in _media(records[1]).items()})
    for name, value in alone.items():
        torch.testing.assert_close(store["r1"][name], value[0], rtol=1e-4, atol=1e-5)
    assert set(store["r2"]) == {"video_features", "video_taps", "face_features"}


def test_what_is_stored_is_not_computed_again(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    compute_features(records[:3], model, processor, tmp_path / "store", media=_media)
    asked: list[str] = []

    def media(record: Record) -> dict[str, torch.Tensor]:
        asked.append(record.id)
        return _media(record)

    twin = records[0].model_copy(update={"id": "twin"})
    store = compute_features([*records, twin], model, processor, tmp_path / "store", media=media)
    assert asked == ["r3", "r4"]
    assert torch.equal(store["twin"]["face_features"], store["r0"]["face_features"])


def test_a_store_of_other_encoders_is_refused(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    compute_features(records[:1], model, processor, tmp_path / "store", media=_media)
    with torch.no_grad():
        next(model.face_encoder.parameters()).add_(1)
    with pytest.raises(StaleStoreError, match="other encoders"):
        compute_features(records, model, processor, tmp_path / "store", media=_media)


def test_a_changed_file_is_refused_by_name(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    store = compute_features(records, model, processor, tmp_path / "store", media=_media)
    store.check(records)
    before = content_hash(records[3])
    assert records[3].video is not None
    records[3].video.write_bytes(b"something else")
    assert content_hash(records[3]) != before
    with pytest.raises(StaleStoreError, match="r3"):
        store.check(records)


def test_adapters_do_not_change_the_hash(model: Any, processor: Any) -> None:
    before = encoder_hash(model, processor)
    with torch.no_grad():
        model.video_adapter.query_tokens.add_(1)
    assert encoder_hash(model, processor) == before


def test_errors_say_what_to_do(model: Any, processor: Any, records: list[Record], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"store\.json"):
        FeatureStore(tmp_path)
    store = compute_features(records[:1], model, processor, tmp_path / "store", media=_media)
    with pytest.raises(KeyError, match="nobody"):
        store["nobody"]


# ---------------------------------------------------------------- what a line says is what is read


def test_a_cut_a_folder_of_pictures_and_a_sound_are_read_as_the_line_says(tmp_path: Path) -> None:
    film = make_media(tmp_path / "film.mp4", 4.0)
    cut = load_record(Record(id="a", video=film, start_s=1.0, end_s=2.0))
    assert cut.frames is not None and all(25 <= n < 50 for n in numbers(cut.frames))
    assert cut.duration_s == pytest.approx(1.0, abs=0.05)
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(20):
        Image.fromarray(numbered_frame(i)).save(folder / f"{i}.png")
    sound = write_wav(tmp_path / "sound.wav", 0.1 * np.ones(16_000))
    pictures = load_record(Record(id="b", frames_dir=folder, audio=sound))
    assert (
        pictures.frames is not None
        and numbers(pictures.frames)[0] == 0
        and max(numbers(pictures.frames)) > 15
    )
    assert pictures.modalities == {"video": "present", "audio": "present"}


def test_the_box_is_what_the_model_sees(tmp_path: Path) -> None:
    left_and_right = np.zeros((40, 80, 3), dtype=np.uint8)
    left_and_right[:, 40:] = 200
    Image.fromarray(left_and_right).save(tmp_path / "two.png")
    whole = Record(id="a", image=tmp_path / "two.png")
    left, right = (
        whole.model_copy(update={"person_box": box}) for box in ((0.0, 0.0, 0.5, 1.0), (0.5, 0.25, 0.5, 0.5))
    )
    seen = [load_record(record).frames for record in (whole, left, right)]
    assert [frames.shape[1:3] for frames in seen if frames is not None] == [(40, 80), (40, 40), (20, 40)]
    assert seen[1] is not None and seen[1].max() == 0 and seen[2] is not None and seen[2].min() == 200
    assert len({content_hash(record) for record in (whole, left, right)}) == 3  # one file, three clips
    narrow = load_record(whole.model_copy(update={"person_box": (1.0, 1.0, 0.0, 0.0)})).frames
    assert narrow is not None and narrow.shape[1:3] == (1, 1)
