"""The feature store: what was computed is found again, and nothing stale is ever used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nanoemox.checkpoints.load import load_model
from nanoemox.data import extract_features as extraction
from nanoemox.data.extract_features import extract_features
from nanoemox.data.feature_store import FeatureStore, StaleStoreError, clip_bytes, clip_shapes, origin_of
from nanoemox.data.filtering import distinct
from nanoemox.data.records import content_hash, load_record
from nanoemox.data.schema import Record
from nanoemox.files.errors import ArgumentError
from nanoemox.media.clip import AUDIO_WINDOWS, FRAMES_PER_CLIP
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from tests.media_files import make_media, numbered_frame, numbers, write_wav
from tests.tiny import make_batch, tiny_config


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
    pixels = torch.randn(FRAMES_PER_CLIP, 3, side, side, generator=random)
    tensors = {"pixel_values_videos": pixels, "face_pixel_values": pixels}
    if record.id != "r2":
        tensors["input_values"] = torch.randn(AUDIO_WINDOWS, 1600, generator=random)
    return tensors


def test_features_are_what_the_model_computes(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    store = extract_features(records, model, processor, tmp_path / "store", batch_size=2, media=_media)
    assert len(store) == 5
    alone = model.encode(**{name: value[None] for name, value in _media(records[1]).items()})
    for name, value in alone.items():
        torch.testing.assert_close(store["r1"][name], value[0], rtol=1e-4, atol=1e-5)
    assert set(store["r2"]) == {"video_features", "video_fusion_features", "face_features"}


def test_what_is_stored_is_not_computed_again(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    extract_features(records[:3], model, processor, tmp_path / "store", media=_media)
    asked: list[str] = []

    def media(record: Record) -> dict[str, torch.Tensor]:
        asked.append(record.id)
        return _media(record)

    twin = records[0].model_copy(update={"id": "twin"})
    store = extract_features([*records, twin], model, processor, tmp_path / "store", media=media)
    assert asked == ["r3", "r4"]
    assert torch.equal(store["twin"]["face_features"], store["r0"]["face_features"])


def test_a_store_of_other_encoders_is_refused(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    extract_features(records[:1], model, processor, tmp_path / "store", media=_media)
    with torch.no_grad():
        next(model.face_encoder.parameters()).add_(1)
    with pytest.raises(StaleStoreError, match="other encoders"):
        extract_features(records, model, processor, tmp_path / "store", media=_media)


def test_a_changed_file_is_refused_by_name(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    store = extract_features(records, model, processor, tmp_path / "store", media=_media)
    store.check(records)
    before = content_hash(records[3])
    assert records[3].video is not None
    records[3].video.write_bytes(b"something else")
    assert content_hash(records[3]) != before
    with pytest.raises(StaleStoreError, match="r3"):
        store.check(records)


def test_adapters_do_not_change_the_hash(model: Any, processor: Any) -> None:
    before = origin_of(model, processor)
    with torch.no_grad():
        model.video_adapter.query_tokens.add_(1)
    assert origin_of(model, processor) == before


def test_the_hash_of_the_bundled_encoders_stays() -> None:
    """Where it changes, every store that anybody has computed is stale."""
    assert origin_of(*load_model("pico")).encoders == "396a56b923f9fda05c3dfc1a9465b849"


def test_errors_say_what_to_do(model: Any, processor: Any, records: list[Record], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"store\.json"):
        FeatureStore(tmp_path)
    store = extract_features(records[:1], model, processor, tmp_path / "store", media=_media)
    with pytest.raises(KeyError, match="nobody"):
        store["nobody"]


# ---------------------------------------------------------------- precision and size


def _losses(model: Any, processor: Any, records: list[Record], store: FeatureStore) -> tuple[float, float]:
    """The loss with the media, and with what is stored, of the same batch."""
    kinds = [{"video", "audio"} - ({"audio"} if r.id == "r2" else set()) for r in records]
    answers = [f"The most likely label is {name}." for name in ("anger", "fear", "joy", "anger", "fear")]
    text = make_batch(processor, kinds, answers)
    text = {name: text[name] for name in ("input_ids", "attention_mask", "labels")}
    with torch.no_grad():
        live = model(**text, **processor_stack([_media(r) for r in records])).loss
        kept = model(**text, **processor_stack([store[r.id] for r in records])).loss
    return float(live), float(kept)


def processor_stack(rows: list[Any]) -> dict[str, torch.Tensor]:
    from nanoemox.model.clip_processor import stack_media

    return stack_media(rows)


def test_a_float32_store_gives_the_same_loss(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    store = extract_features(records, model, processor, tmp_path / "store", batch_size=5, media=_media)
    live, kept = _losses(model, processor, records, store)
    assert abs(live - kept) <= 1e-6


def test_a_float32_store_of_a_bfloat16_model_is_computed_in_float32(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    model.to(torch.bfloat16)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    arguments = (records[:2], model, processor)
    exact = extract_features(*arguments, tmp_path / "a", media=_media, dtype="float32")
    half = extract_features(*arguments, tmp_path / "b", media=_media, dtype="bfloat16")
    now = model.state_dict()
    assert all(torch.equal(now[name], value) for name, value in weights.items())
    assert {value.dtype for value in now.values() if value.is_floating_point()} == {torch.bfloat16}
    model.float()  # the same numbers, which all fit
    media = {name: value[None] for name, value in _media(records[1]).items()}
    for name, value in model.encode(**media).items():
        torch.testing.assert_close(exact["r1"][name], value[0], rtol=1e-5, atol=2e-6)
        assert (half["r1"][name] - value[0]).abs().max() > 1e-4


def test_a_bfloat16_store_is_half_as_large_and_close(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    sizes = {}
    for dtype in ("float32", "bfloat16"):
        folder = tmp_path / dtype
        store = extract_features(records, model, processor, folder, media=_media, dtype=dtype)
        with (next(folder.glob("shard-*"))).open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        sizes[dtype] = next(folder.glob("shard-*")).stat().st_size - header
        assert store["r0"]["face_features"].dtype == torch.float32
    assert 1.9 < sizes["float32"] / sizes["bfloat16"] <= 2.01
    live, kept = _losses(model, processor, records, store)
    assert 0 < abs(live - kept) < 0.02
    with pytest.raises(StaleStoreError, match="asked for float32"):
        extract_features(records, model, processor, tmp_path / "bfloat16", media=_media, dtype="float32")
    again = extract_features(records, model, processor, tmp_path / "bfloat16", media=_media)
    assert again.header["dtype"] == "bfloat16"  # goes on as it is


def test_what_a_clip_takes_is_known_beforehand(model: Any) -> None:
    side = model.config.vision_config.image_size
    pixels = torch.zeros(1, 8, 3, side, side)
    made = model.encode(pixels, pixels, torch.zeros(1, 8, 1600))
    assert {name: tuple(value.shape[1:]) for name, value in made.items()} == clip_shapes(model.config)


def test_nano_takes_at_most_160_kb_a_clip() -> None:
    assert clip_bytes(NanoEmoXConfig.preset("nano"), "bfloat16") == 135_168


# ---------------------------------------------------------------- killed, moved, shared, broken


def test_a_killed_run_loses_less_than_a_shard(
    model: Any, processor: Any, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "SHARD_CLIPS", 2)
    asked: list[str] = []

    def media(record: Record) -> dict[str, torch.Tensor]:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(record.id)
        return _media(record)

    with pytest.raises(KeyboardInterrupt):
        extract_features(records, model, processor, tmp_path / "store", batch_size=1, media=media)
    (tmp_path / "store" / "shard-00007.unfinished").write_bytes(b"half")
    del asked[:]
    asked.append("start")
    store = extract_features(
        records, model, processor, tmp_path / "store", media=lambda r: asked.append(r.id) or _media(r)
    )
    assert asked == ["start", "r2", "r3", "r4"]
    whole = extract_features(records, model, processor, tmp_path / "whole", batch_size=1, media=_media)
    for record in records:
        for name, value in whole[record.id].items():
            torch.testing.assert_close(store[record.id][name], value, rtol=1e-5, atol=1e-6)
    assert not list((tmp_path / "store").glob("*.unfinished"))


def test_another_preparation_is_refused(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    extract_features(records[:1], model, processor, tmp_path / "store", media=_media)
    mean = processor.image_processor.image_mean
    processor.image_processor.image_mean = [0.0, 0.0, 0.0]
    try:
        with pytest.raises(StaleStoreError, match="other preparation of media"):
            extract_features(records, model, processor, tmp_path / "store", media=_media)
    finally:
        processor.image_processor.image_mean = mean


def test_one_id_in_two_manifests_means_two_clips(
    model: Any, processor: Any, records: list[Record], tmp_path: Path
) -> None:
    other = records[1].model_copy(update={"id": "r0"})
    groups = distinct({"a.jsonl": records, "b.jsonl": [other, records[2]]})
    assert [r.id for r in groups["b.jsonl"]] == ["b.jsonl:r0", "r2"]
    store = extract_features(
        [*groups["a.jsonl"], groups["b.jsonl"][0]], model, processor, tmp_path / "store", media=_media
    )
    assert torch.equal(store["b.jsonl:r0"]["face_features"], store["r1"]["face_features"])
    assert not torch.equal(store["b.jsonl:r0"]["face_features"], store["r0"]["face_features"])
    store.check([other])  # found by what it shows, not by its id
    assert torch.equal(store["r0"]["face_features"], store["r1"]["face_features"])


def test_files_are_read_by_any_number_of_workers(model: Any, processor: Any, tmp_path: Path) -> None:
    paths = [make_media(tmp_path / f"{i}.mp4", 1.0 + i / 2) for i in range(2)]
    (tmp_path / "broken.mp4").write_bytes(b"this is no video")
    records = [Record(id=f"r{i}", video=path) for i, path in enumerate(paths)]
    records += [
        Record(id="broken", video=tmp_path / "broken.mp4"),
        Record(id="gone", video=tmp_path / "gone.mp4"),
    ]
    stores = [extract_features(records, model, processor, tmp_path / f"store{n}", workers=n) for n in (0, 2)]
    for store in stores:
        assert set(store.unreadable) == {"broken", "gone"} and "gone.mp4" in store.unreadable["gone"]
        assert len(store) == 2 and "broken" not in store
    for record in records[:2]:
        ones, others = (store[record.id] for store in stores)
        assert all(torch.equal(ones[name], others[name]) for name in ones)
    paths[0].unlink()  # what was encoded once needs its file no more
    again = extract_features(records[:2], model, processor, tmp_path / "store0", workers=0)
    assert not again.unreadable and "r0" in again


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


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("store.json", b"{", "store.json: is damaged"),
        ("store.json", b"[]", "expected an object, got list"),
        ("store.json", b'{"version": 3}', "there is no dtype, encoders, preparation"),
        ("aliases.json", b"\xff", "aliases.json: is damaged"),
        ("shard-00000.safetensors", b"not a shard", "shard-00000.safetensors: is damaged"),
    ],
)
def test_a_damaged_store_is_refused_by_the_name_of_its_file(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    header = '{"version": 3, "encoders": "e", "preparation": "p", "dtype": "float32"}'
    (tmp_path / "store.json").write_text(header, encoding="utf-8")
    assert len(FeatureStore(tmp_path)) == 0
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StaleStoreError, match=told) as caught:
        FeatureStore(tmp_path)
    assert "\n" not in str(caught.value)
