"""The chats that school the language model: what they ask, what is missing, and the mixtures of words in them."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import Qwen2Config

from nanoemox.model.configuration_nanoemox import PLACEHOLDERS
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS
from nanoemox.theatre import words, world
from nanoemox.theatre.script import Script, stage_script
from nanoemox.training.phase0.chats import Chat, Chats, SchooledLM, varied_line

COUNTS = {"fusion": 2, "audio": 24, "face": 3, "video": 5}
END = "<|im_end|>"
SEED, NUMBER = 3, 1000


class _Tokenizer:
    """Each placeholder is a token, and so is each stretch between two of them."""

    pad_token_id = 7777

    def __init__(self) -> None:
        self.known: list[str] = []
        self.read: Counter[str] = Counter()

    def convert_tokens_to_ids(self, token: str) -> int:
        if token not in self.known:
            self.known.append(token)
        return self.known.index(token)

    def __call__(self, text: str | list[str], add_special_tokens: bool = True) -> dict[str, Any]:
        if isinstance(text, list):
            return {"input_ids": [self(part, add_special_tokens)["input_ids"] for part in text]}
        self.read[text] += 1
        parts = (["<|bos|>"] if add_special_tokens else []) + list(
            filter(None, re.split(r"(<\|\w+\|>)", text))
        )
        return {"input_ids": [self.convert_tokens_to_ids(part) for part in parts]}

    def texts(self, ids: list[int]) -> list[str]:
        return [self.known[i] for i in ids]


class _Processor:
    """Writes prompts that are easily taken apart again, and keeps what it was asked for."""

    placeholder_counts, end_of_turn = COUNTS, END

    def __init__(self) -> None:
        self.tokenizer = _Tokenizer()
        self.asked: list[dict[str, Any]] = []

    def prompt(self, question: str, **given: Any) -> str:
        self.asked.append({"question": question, **given})
        kinds = {"audio": ["audio"], "video": ["face", "video"]}
        shown = ["fusion"] * bool(given["modalities"])
        shown += [kind for m in ("audio", "video") if m in given["modalities"] for kind in kinds[m]]
        return "".join(f"{kind}:{PLACEHOLDERS[kind] * COUNTS[kind]};" for kind in shown) + "?"


@pytest.fixture(scope="module")
def read() -> SimpleNamespace:
    """Many chats, the script of each, and what the processor was asked for."""
    processor = _Processor()
    chats = Chats(processor, NUMBER, SEED)  # type: ignore[arg-type]
    made = [chats[i] for i in range(NUMBER)]
    scripts = [stage_script(i, SEED, "train") for i in range(NUMBER)]
    return SimpleNamespace(chats=chats, made=made, scripts=scripts, asked=processor.asked)


def _mixed(read: SimpleNamespace, kind: str) -> list[tuple[Script, list[list[tuple[str, float]]]]]:
    """Of every chat with placeholders of a kind: its script, and the words and weights of their mixtures."""
    token = read.chats.tokenizer.convert_tokens_to_ids(PLACEHOLDERS[kind])
    found = []
    for chat, script in zip(read.made, read.scripts, strict=True):
        if token not in chat.ids:
            continue
        standing = [read.chats.kinds[i] for i in chat.ids if i in read.chats.kinds]
        begin = standing.index(kind)
        of_kind = chat.mixtures[begin : begin + standing.count(kind)]
        found.append((script, [[(read.chats.tokenizer.known[i], w) for i, w in bag] for bag in of_kind]))
    return found


def _cues(script: Script, kind: str) -> list[str]:
    """What the mixtures of a kind may tell of a script, as its modality shows it."""
    told = script.cues()
    if kind == "face":
        return told["face"] + [script.strength_name] * (script.face not in ("still", "hidden"))
    if kind == "audio":
        return told["voice"] + [script.strength_name] * (script.voice != "drowned")
    return told["scene"] if kind == "video" else told["voice"] + told["scene"]


# ---------------------------------------------------------------- what is asked, and what is missing


def test_modalities_are_missing_as_often_as_they_should_be(read: SimpleNamespace) -> None:
    nothing = 0.15 * 0.15 * 0.1 / 3  # one is put back where all three are missing
    for modality, share in (("video", 0.15), ("audio", 0.15)):
        missing = sum(modality not in asked["modalities"] for asked in read.asked) / NUMBER
        assert missing == pytest.approx(share - nothing, abs=0.02)
    assert sum(asked["text"] is None for asked in read.asked) / NUMBER == pytest.approx(0.1, abs=0.02)
    assert all(asked["modalities"] or asked["text"] for asked in read.asked)
    assert all(set(asked["modalities"]) <= {"audio", "video"} for asked in read.asked)


def test_dialogue_is_told_where_there_is_text(read: SimpleNamespace) -> None:
    for asked, script in zip(read.asked, read.scripts, strict=True):
        turns = [{"role": role, "text": text} for role, text in script.dialogue]
        assert asked["dialogue"] == (turns if asked["text"] and turns else None)
    assert {bool(asked["dialogue"]) for asked in read.asked} == {True, False}


def test_every_task_is_asked_and_answered(read: SimpleNamespace) -> None:
    assert len(read.chats) == NUMBER
    usual = Chats(_Processor(), 60, SEED)  # type: ignore[arg-type]
    assert Counter(usual.tasks) == dict.fromkeys(TASKS, 10)
    some = Chats(_Processor(), 40, SEED, {"emotion": 3.0, "intent": 1.0})  # type: ignore[arg-type]
    assert Counter(some.tasks) == {"emotion": 30, "intent": 10}
    for i, (chat, script, asked) in enumerate(zip(read.made, read.scripts, read.asked, strict=True)):
        task = TASKS[read.chats.tasks[i]]
        assert asked["question"] == task.question()
        present = {*asked["modalities"], *(["text"] if asked["text"] else [])}
        expected = (task.target(Labels(**script.record()["labels"]), present) or "") + END
        assert "".join(read.chats.tokenizer.texts(chat.ids[chat.answer :])) == expected
        assert read.chats.length(chat) == len(chat.ids)


def test_three_tenths_of_the_chats_tell_the_cues_as_text(read: SimpleNamespace) -> None:
    as_text = 0
    for chat, script, asked in zip(read.made, read.scripts, read.asked, strict=True):
        prompt = "".join(read.chats.tokenizer.texts(chat.ids[: chat.answer]))
        if not asked["modalities"] or "<|" in prompt:
            assert bool(chat.mixtures) == bool(asked["modalities"])
            continue
        as_text += 1
        assert not chat.mixtures and not chat.noise and not chat.loudness
        parts = dict(part.split(":") for part in prompt.removesuffix("?").rstrip(";").split(";"))
        assert parts.pop("fusion") == ""
        for kind, told in parts.items():
            assert Counter(told.split(", ")) == Counter(_cues(script, kind))
    assert as_text / NUMBER == pytest.approx(0.3 * (1 - 0.15 * 0.15), abs=0.025)


# ---------------------------------------------------------------- mixtures


def test_every_cue_is_in_a_mixture_of_its_kind(read: SimpleNamespace) -> None:
    for kind in ("audio", "face", "video"):
        for script, mixtures in _mixed(read, kind):
            assert len(mixtures) == COUNTS[kind] and all(mixtures)
            told = {word for mixture in mixtures for word, weight in mixture}
            assert {f" {cue}" for cue in _cues(script, kind)} <= told


def test_half_of_what_fusion_says_is_nothing(read: SimpleNamespace) -> None:
    said = [mixture for _, mixtures in _mixed(read, "fusion") for mixture in mixtures]
    assert sum(not mixture for mixture in said) / len(said) == pytest.approx(0.5, abs=0.03)
    for script, mixtures in _mixed(read, "fusion"):
        mine = {f" {cue}" for cue in _cues(script, "fusion")}
        assert all(mixture[0][0] in mine for mixture in mixtures if mixture)


def test_mixtures_are_of_length_1_and_their_weights_lie_where_they_should(read: SimpleNamespace) -> None:
    """The first word counts 1; others of the clip 0.1 to 0.9; a doubt, which is last, 0.05 to 0.35."""
    sizes: Counter[int] = Counter()
    extra, doubts, number = [], [], 0
    for script, mixtures in _mixed(read, "audio"):
        mine = {f" {cue}" for cue in _cues(script, "audio")}
        for mixture in mixtures:
            assert abs(sum(weight**2 for _, weight in mixture) - 1) < 1e-9
            weights = [weight / mixture[0][1] for _, weight in mixture]
            foreign = [word for word, _ in mixture if word not in mine]
            assert mixture[0][0] in mine and foreign in ([], [mixture[-1][0]])
            number += 1
            if foreign:
                doubts.append(weights.pop())
            else:
                sizes[len(weights)] += 1
            extra += weights[1:] if foreign else []  # without a doubt, which may be a cue of the clip
    assert 0.05 <= min(doubts) < 0.06 and 0.34 < max(doubts) <= 0.35
    assert 0.1 <= min(extra) < 0.11 and 0.89 < max(extra) <= 0.9
    assert len(doubts) / number == pytest.approx(0.15 * 0.9, abs=0.012)
    for size, share in ((1, 0.6), (2, 0.24), (3, 0.096), (4, 0.064)):
        assert sizes[size] / sum(sizes.values()) == pytest.approx(share, abs=0.02)
    assert sizes[5] < 0.01 * sum(sizes.values())  # four, and a doubt that is true


def test_a_doubt_may_be_of_anything_that_is_seen_or_heard(read: SimpleNamespace) -> None:
    doubted = set()
    for script, mixtures in _mixed(read, "audio"):
        mine = {f" {cue}" for cue in _cues(script, "audio")}
        doubted |= {word for mixture in mixtures for word, _ in mixture if word not in mine}
    faces = [c for always, optional in world.FACE_CUES.values() for c in (*always, optional) if c]
    voices = [cue for cues in world.VOICE_CUES.values() for cue in cues]
    assert doubted == {f" {cue}" for cue in (*faces, *voices, *world.PLACES, *world.PROPS, *world.STRENGTHS)}


def test_cues_stand_in_any_order_and_share_a_vector_with_any_other(read: SimpleNamespace) -> None:
    first: dict[str, set[str]] = {}
    together, repeated = set(), 0
    for script, mixtures in _mixed(read, "face"):
        first.setdefault(script.face, set()).add(mixtures[0][0][0])
        if script.face == "droop" and script.face_optional:  # four cues for three vectors
            for (a, weight), (b, other) in (pair for mixture in mixtures for pair in pairwise(mixture)):
                if weight == other:
                    together.add(frozenset((a, b)))
    assert len(first["droop"]) == 5 and len(together) > 5
    for _, mixtures in _mixed(read, "video"):  # one of two cues may stand at the beginning twice
        repeated += mixtures[0][0][0] == mixtures[1][0][0]
    assert repeated > 60


def test_a_mixture_has_at_most_24_tokens_and_a_phrase_is_read_once() -> None:
    chats = Chats(_Processor(), 1, SEED)  # type: ignore[arg-type]
    bag = chats._bag(["<|a|>" * 30], [0.5])
    assert len(bag) == 24 and all(weight == pytest.approx(31**-0.5) for _, weight in bag)
    chats._bag(["<|a|>" * 30], [0.5])
    assert chats.tokenizer.read[" " + "<|a|>" * 30] == 1
    two = chats._bag(["x", "y"], [3.0, 4.0])
    assert [weight for _, weight in two] == pytest.approx([0.6, 0.8])


def test_noise_and_loudness_lie_where_they_should(read: SimpleNamespace) -> None:
    """Noise: a level of a chat up to 0.8, times 0.5 to 1. Loudness: 12 to the power of 0 to 1, times 0.7 to 1.4."""
    made = [chat for chat in read.made if chat.mixtures]
    assert all(len(chat.noise) == len(chat.loudness) == len(chat.mixtures) for chat in made)
    noise = [value for chat in made for value in chat.noise]
    assert 0 <= min(noise) < 0.01 and 0.78 < max(noise) <= 0.8
    assert sum(noise) / len(noise) == pytest.approx(0.4 * 0.75, abs=0.02)
    of_audio = [chat for chat in made if len(chat.noise) >= 24]
    assert all(0.5 <= min(chat.noise) / max(chat.noise) < 0.7 for chat in of_audio)
    loud = [value for chat in made for value in chat.loudness]
    assert 0.7 <= min(loud) < 0.75 and 15 < max(loud) <= 16.8
    groups = [chat.loudness[2:26] for chat in of_audio]  # the audio's come after the two of fusion
    assert all(0.5 <= min(group) / max(group) < 0.65 for group in groups)
    evenly = [sum(group) / 24 / max(group) for group in groups]
    assert sum(evenly) / len(evenly) == pytest.approx(1.05 / 1.372, abs=0.01)
    middle = sorted(sum(group) / 24 for group in groups)[len(groups) // 2]
    assert middle == pytest.approx(12**0.5 * 1.05, rel=0.15)


def test_collate_writes_everything_out() -> None:
    chats = Chats(_Processor(), 1, SEED)  # type: ignore[arg-type]
    long = Chat([5, 6, 7, 8], 2, [[(1, 0.5), (2, 0.25)], []], [0.1, 0.2], [1.0, 2.0])
    short = Chat([9, 10], 1, [[(3, 1.0)]], [0.3], [3.0])
    batch = chats.collate([long, short])
    pad = _Tokenizer.pad_token_id
    expected = {
        "input_ids": [[5, 6, 7, 8], [9, 10, pad, pad]],
        "attention_mask": [[1, 1, 1, 1], [1, 1, 0, 0]],
        "labels": [[-100, -100, 7, 8], [-100, 10, -100, -100]],
        "mixture_ids": [[1, 2], [0, 0], [3, 0]],
        "mixture_weights": [[0.5, 0.25], [0, 0], [1, 0]],
    }
    assert {name: batch[name].tolist() for name in expected} == expected
    assert torch.allclose(batch["noise"], torch.tensor([0.1, 0.2, 0.3]))
    assert batch["loudness"].tolist() == [1, 2, 3]
    assert batch["mixture_ids"].dtype == torch.long
    empty = chats.collate([Chat([5], 0, [[]], [0.0], [1.0])])
    assert empty["mixture_ids"].tolist() == [[0]] and empty["mixture_weights"].tolist() == [[0]]
    without = chats.collate([Chat([5], 0, [], [], [])])
    assert without["mixture_ids"].shape == (0, 1)


# ---------------------------------------------------------------- the text


def _lines(number: int) -> list[tuple[Script, str]]:
    scripts = [stage_script(i, 5, "train") for i in range(number)]
    return [(script, varied_line(script, random.Random(i))) for i, script in enumerate(scripts)]


def test_about_a_third_of_the_lines_are_the_scripts_own() -> None:
    lines = _lines(1500)
    own = sum(line == script.text for script, line in lines) / len(lines)
    # The rest of a quarter and more: no word lost of n (0.94 to the n), nothing swapped (0.7).
    whole = [0.7 * 0.94 ** len(script.text.split()) for script, _ in lines]
    assert own == pytest.approx(0.35 + 0.3 * sum(whole) / len(whole), abs=0.035)
    for _, line in lines:
        assert line == line.strip() and line.endswith(".") and line[0] == line[0].upper()
        assert not line.endswith("..")


def test_a_looser_line_loses_or_swaps_words() -> None:
    """Of the last three tenths: each word is lost with 6 %, and two that are neighbours change places with 30 %."""
    script = stage_script(2, 5, "train")
    spoken = [f"w{i}" for i in range(12)]
    script = SimpleNamespace(text=" ".join(spoken) + ".", plot=script.plot)  # type: ignore[assignment]
    kept, swapped, number, places = 0, 0, 0, Counter[int]()
    for seed in range(6000):
        rng = random.Random(seed)
        if random.Random(seed).random() < 0.7:
            continue
        found = varied_line(script, rng)
        assert found[0].isupper() and found.endswith(".")
        numbers = [int(word[1:]) for word in found.rstrip(".").split()]
        assert len(set(numbers)) == len(numbers)
        number, kept = number + 1, kept + len(numbers)
        wrong = [i for i, (a, b) in enumerate(pairwise(numbers)) if a > b]
        assert len(wrong) <= 1
        assert sorted(numbers) == numbers or numbers[wrong[0]] > numbers[wrong[0] + 1]
        if wrong:
            places[wrong[0]] += 1
            ordered = numbers[:]
            i = wrong[0]
            ordered[i], ordered[i + 1] = ordered[i + 1], ordered[i]
            assert ordered == sorted(numbers)
        swapped += bool(wrong)
    assert kept / number / 12 == pytest.approx(0.94, abs=0.006)
    assert swapped / number == pytest.approx(0.3, abs=0.03)
    assert set(places) == set(range(11))


@pytest.mark.parametrize(("text", "swaps"), [("A b c.", False), ("A b c d.", True)])
def test_words_change_places_in_lines_of_more_than_three(text: str, swaps: bool) -> None:
    plot = stage_script(2, 5, "train").plot
    script: Any = SimpleNamespace(text=text, plot=plot)
    found = set()
    for seed in range(400):
        if random.Random(seed).random() >= 0.7:
            line = varied_line(script, random.Random(seed)).lower().rstrip(".").split()
            found.add(line != sorted(line))
    assert found == ({True, False} if swaps else {False})


def test_a_line_is_never_empty() -> None:
    script: Any = SimpleNamespace(text="No.", plot=stage_script(2, 5, "train").plot)
    lines = {varied_line(script, random.Random(s)) for s in range(300) if random.Random(s).random() >= 0.7}
    assert lines == {"No."}


@pytest.mark.parametrize("mention", [False, True])
def test_halves_of_two_sentences_of_the_family(mention: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A beginning of one, an end of another of at least two words; what names the cause or the tone stays behind."""
    asked: list[world.Plot] = []

    def line(plot: world.Plot, split: str, rng: random.Random, *dials: object) -> str:
        asked.append(plot)
        assert split == "train"
        letter = "a" if len(asked) % 2 else "b"
        return " ".join(f"{letter}{i}" for i in range(5)) + "."

    monkeypatch.setattr(words, "spoken_line", line)
    plot = stage_script(2, 5, "train").plot._replace(mention=mention, tone="plain")
    own = [f"c{i}" for i in range(9)]
    script: Any = SimpleNamespace(text=" ".join(own) + ".", plot=plot)
    starts, cuts, whole = set(), set(), 0
    for seed in range(6000):
        if not 0.35 <= random.Random(seed).random() < 0.7:
            continue
        asked.clear()
        found = varied_line(script, random.Random(seed)).lower().rstrip(".").split()
        assert [(p.mention, p.tone, p.family) for p in asked] == [(False, "plain", plot.family)] * 2
        assert all(word[0] in "abc" for word in found)
        mine = {letter: sorted(int(w[1:]) for w in found if w[0] == letter) for letter in "abc"}
        assert not mine["c"] or (mention and mine["c"][0] >= 3)
        if len(mine["b"]) and not mention and mine["b"][-1] == 4:
            starts.add(mine["b"][0])
        cuts.add(len(mine["a"]))
        whole += mine["c"] == [3, 4, 5, 6, 7, 8]
    assert (whole > 500) == mention
    assert cuts == {0, 1, 2, 3, 4, 5}
    if not mention:
        assert {0, 1, 2, 3} <= starts and len([s for s in starts if s == 4]) <= 1


# ---------------------------------------------------------------- the model that reads mixtures


def _lm() -> SchooledLM:
    config = Qwen2Config(
        vocab_size=20, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    config.placeholder_ids = [17, 18]
    torch.manual_seed(0)
    return SchooledLM(config).eval()


def test_a_placeholder_is_the_sum_of_its_words_with_noise_made_louder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = _lm()
    ids = torch.tensor([[1, 17, 18, 2, 3], [4, 5, 17, 6, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    labels = torch.tensor([[-100, -100, -100, 2, 3], [-100, -100, -100, 6, -100]])
    mixture_ids = torch.tensor([[7, 8], [9, 0], [0, 0]])
    weights = torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.0, 0.0]])
    noise, loudness = torch.tensor([0.5, 0.0, 0.25]), torch.tensor([2.0, 3.0, 0.5])
    drawn = torch.randn(3, 8, generator=torch.Generator().manual_seed(4))
    monkeypatch.setattr(torch, "randn_like", lambda like: drawn)
    table = model.get_input_embeddings().weight.detach()
    spread = float(((table - table.mean()) ** 2).sum().div(table.numel() - 1).sqrt())
    stands = [
        (0.6 * table[7] + 0.8 * table[8] + 0.5 * spread * drawn[0]) * 2,
        table[9] * 3,
        0.25 * spread * drawn[2] * 0.5,
    ]
    vectors = table[ids].clone()
    vectors[0, 1], vectors[0, 2], vectors[1, 2] = stands
    given = {
        "input_ids": ids, "attention_mask": mask, "labels": labels, "mixture_ids": mixture_ids,
        "mixture_weights": weights, "noise": noise, "loudness": loudness,
    }  # fmt: skip
    with torch.no_grad():
        logits = model.lm_head(model.model(inputs_embeds=vectors, attention_mask=mask).last_hidden_state)
        costs = [
            -functional.log_softmax(logits[row, at - 1], dim=0)[labels[row, at]]
            for row, at in ((0, 3), (0, 4), (1, 3))
        ]
        found = model(**given)
    assert float(found.loss) == pytest.approx(float(sum(costs)) / 3, rel=1e-5)
    # Without any of what makes a mixture, it is any Qwen2.
    with torch.no_grad():
        plain = model(input_ids=ids, attention_mask=mask, labels=labels)
        for left_out in ("mixture_ids", "mixture_weights", "noise", "loudness"):
            fewer = {name: value for name, value in given.items() if name != left_out}
            assert float(model(**fewer).loss) == float(plain.loss) and plain.logits.shape == (2, 5, 20)
        unlabelled = model(**{name: value for name, value in given.items() if name != "labels"})
        assert unlabelled.loss is None and torch.equal(unlabelled.logits, plain.logits)


def test_chats_without_placeholders_are_read_as_they_are() -> None:
    model = _lm()
    ids, labels = torch.tensor([[1, 2, 3]]), torch.tensor([[-100, 2, 3]])
    none = {"mixture_ids": torch.zeros(0, 1, dtype=torch.long), "mixture_weights": torch.zeros(0, 1)}
    with torch.no_grad():
        found = model(
            ids, torch.ones_like(ids), labels, **none, noise=torch.zeros(0), loudness=torch.zeros(0)
        )
        plain = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)
    assert float(found.loss) == pytest.approx(float(plain.loss), rel=1e-5)
