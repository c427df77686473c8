"""Which example comes when, what it shows, and what becomes of it in a batch."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import torch

from nanoemox.data.schema import Record
from nanoemox.training.mixture import (
    Example,
    Examples,
    PreparedExample,
    _shown,
    corpus_of,
    realised,
    schedule,
    schedule_uniformly,
    spread,
)
from nanoemox.training.recipe import Phase

ALL = ["video", "audio", "text"]
FEATURES = {"video_features": torch.ones(4, 16), "audio_features": torch.ones(3, 16)}


def _record(name: str, text: str | None = "words", source: str | None = None) -> Record:
    labels = {"emotion": {"label": "fear"}, "intent": {"label": "Joke"}}
    return Record(id=name, video=f"/{name}.mp4", text=text, source=source, labels=labels)


def _phase(**changes: Any) -> Phase:
    given: dict[str, Any] = {
        "name": "p", "train": ["fusion"], "tasks": {"emotion": 3, "intent": 1}, "steps": 6, "batch_size": 4,
        "learning_rate": 1,
    }  # fmt: skip
    return Phase(**{**given, **changes})


def test_the_first_named_comes_first_where_shares_are_equal() -> None:
    assert spread({"b": 1, "a": 1}, 4) == ["b", "a", "b", "a"]
    assert spread({"a": 1, "b": 3}, 8) == ["b", "a", "b", "b", "b", "a", "b", "b"]
    assert spread({"a": 1}, 0) == []


def test_nothing_is_left_out_without_dropout() -> None:
    rng = random.Random(0)
    for shown in (ALL, ["audio"], ["audio", "text"]):
        assert _shown(_record("a"), shown, {}, rng) == set(shown)
    assert _shown(_record("a", text=None), ALL, {}, rng) == {"video", "audio"}


def test_modalities_are_left_out_as_often_as_said_and_never_all() -> None:
    rng, record = random.Random(0), _record("a")
    seen = Counter(_shown(record, ALL, {"video": 0.3, "text": 0.1}, rng) for _ in range(4000))
    without = {name: sum(n for shown, n in seen.items() if name not in shown) / 4000 for name in ALL}
    assert without == pytest.approx({"video": 0.3, "audio": 0.0, "text": 0.1}, abs=0.03)
    heavy = [_shown(record, ALL, dict.fromkeys(ALL, 0.99), rng) for _ in range(300)]
    assert min(map(len, heavy)) == 1 and {name for shown in heavy for name in shown} == set(ALL)
    assert all(_shown(record, ["audio"], {"audio": 0.99}, rng) == {"audio"} for _ in range(20))


def test_a_phase_has_a_whole_number_of_batches_by_either_mixture() -> None:
    records = [_record(f"{source}{i}", source=source) for source in ("one", "two") for i in range(4)]
    by_share = schedule(records, _phase(corpora={"one": 1, "two": 3}), 5)
    assert realised(by_share, records) == {
        "tasks": {"emotion": 19, "intent": 5},
        "corpora": {"one": 6, "two": 18},
        "modalities": {"audio+text+video": 24},
    }
    uniform = schedule(records, _phase(mixture="subset_uniform", tasks={"emotion": 1, "intent": 0}), 5)
    assert len(uniform) == 24 and {example.task for example in uniform} == {"emotion"}
    batches = [uniform[i : i + 4] for i in range(0, 24, 4)]
    assert all(len({records[example.record].source for example in batch}) == 1 for batch in batches)
    other = schedule_uniformly(records, ["emotion"], ALL, {}, 6, 4, 5)
    assert other == uniform  # all clips of all corpora where nothing is said


def test_a_ratio_above_one_is_all_of_a_corpus() -> None:
    records = [_record(f"r{i}", source="one") for i in range(4)]
    scheduled = schedule_uniformly(records, ["emotion"], ALL, {}, 4, 4, 5, {"one": 7.0})
    assert Counter(example.record for example in scheduled) == dict.fromkeys(range(4), 4)


def test_a_clip_without_a_corpus_is_unnamed() -> None:
    assert corpus_of(_record("a")) == "unnamed" and corpus_of(_record("a", source="meld")) == "meld"


def test_an_example_is_prompt_answer_and_the_features_it_shows(processor: Any) -> None:
    records = [_record("a"), _record("b", text=None)]
    store = {record.id: FEATURES for record in records}
    scheduled = [
        Example(0, "intent", frozenset({"audio", "text"})),
        Example(1, "intent", frozenset({"video"})),
    ]
    examples = Examples(records, scheduled, store, processor)  # type: ignore[arg-type]
    assert len(examples) == 2
    heard, seen = examples[0], examples[1]
    assert set(heard.features) == {"audio_features"} and set(seen.features) == {"video_features"}
    assert heard.answer == seen.answer == "Joke" and "words" in heard.prompt
    assert examples.length(PreparedExample("1234", "56", {})) == 6
    batch = examples.collate([heard, seen])
    assert set(batch) == {"input_ids", "attention_mask", "labels", "audio_features", "video_features"}
    assert batch["audio_features"].shape == (2, 3, 16) and not batch["audio_features"][1].any()
    assert not batch["video_features"][0].any() and batch["video_features"][1].all()
    assert batch["attention_mask"][:, 0].all()  # the padding is on the right


def test_withheld_tokens_leave_the_prompt_and_nothing_else(processor: Any) -> None:
    plain = schedule([_record(str(i)) for i in range(8)], _phase(steps=50), 3)
    withheld = schedule(
        [_record(str(i)) for i in range(8)], _phase(steps=50, withheld={"audio": 0.5, "face": 0.2}), 3
    )
    assert [example._replace(withheld=frozenset()) for example in withheld] == plain
    for branch, share in (("audio", 0.5), ("face", 0.2)):
        assert sum(branch in example.withheld for example in withheld) / 200 == pytest.approx(share, abs=0.1)
    records, both = [_record("a")], frozenset({"audio", "video", "text"})
    scheduled = [Example(0, "intent", both), Example(0, "intent", both, frozenset({"audio"}))]
    examples = Examples(records, scheduled, {"a": FEATURES}, processor)  # type: ignore[arg-type]
    assert "<|audio_pad|>" in examples[0].prompt and "<|audio_pad|>" not in examples[1].prompt
    assert "<|fusion_pad|>" in examples[1].prompt and "<|frame_pad|>" in examples[1].prompt
    assert set(examples[1].features) == set(examples[0].features)


def test_nothing_is_withheld_where_there_is_no_fusion_token() -> None:
    heard = schedule([_record("a")], _phase(modalities=["audio", "text"], withheld={"audio": 0.9}), 3)
    assert not any(example.withheld for example in heard)
    with pytest.raises(ValueError, match="unknown branch"):
        _phase(withheld={"fusion": 0.5})
