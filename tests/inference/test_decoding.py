"""Exact short cuts of decoding: what the likelihoods tell is what step after step would write, and costs no step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from nanoemox.inference import decoding
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.tasks.task import TASKS
from tests.inference.test_analyzer import make_clip

CLOSED = ["sentiment", "emotion", "intent"]
LENGTHS = (7, 12, 3, 9)  # of prompts


def read(model: Any, seed: int, rows: int = 4) -> decoding.Branches:
    """Prompts of several lengths of random tokens, each a clip of its own, read to their end."""
    random = torch.Generator().manual_seed(seed)
    prompts = [[torch.randint(5, 300, (n,), generator=random).tolist()] for n in LENGTHS[:rows]]
    return decoding.read_prompts(model, prompts, {})[0]


@contextmanager
def counted(model: Any) -> Iterator[list[int]]:
    """How many tokens, padding too, each pass through the language model reads."""
    widths: list[int] = []

    def note(module: Any, args: Any, inputs: Any) -> None:
        widths.append(inputs["inputs_embeds"].shape[1])

    handle = model.language_model.register_forward_pre_hook(note, with_kwargs=True)
    yield widths
    handle.remove()


@pytest.mark.parametrize("seed", range(3))
def test_what_likelihoods_tell_is_what_steps_write(model: Any, seed: int) -> None:
    branches = read(model, seed)
    limits = [9, 6, 12, 8]
    steps = decoding.write(model, branches, limits, [])
    greedy = [tokens for tokens, _ in steps]
    # A whole answer among others; only its beginning; nothing of it; an answer that is the beginning of another.
    candidates = [
        [[5, 6, 7], greedy[0], [*greedy[0][:4], 3]],
        [[*greedy[1][:3], (greedy[1][3] + 1) % 300], [9]],
        [[(greedy[2][0] + 1) % 300, 8]],
        [greedy[3][:2], greedy[3][:5], [4, 4]],
    ]
    found = decoding.log_likelihoods(model, branches, list(enumerate(candidates)))
    starts = [each.start for each in found]
    assert starts == [greedy[0], greedy[1][:4], greedy[2][:1], greedy[3][:5]]
    with counted(model) as widths:
        assert decoding.write(model, branches, limits, [], starts=starts) == steps
    # Row 0 takes no step. The known tokens of the others are read in one go, and then the longest goes on alone.
    assert widths == [5] + [1] * (12 - 2)
    short = [4, 4, 1, 0]  # where less is asked for than is known
    assert decoding.write(model, branches, short, [], starts=starts) == decoding.write(
        model, branches, short, []
    )


def test_a_known_answer_stops_at_its_end(model: Any) -> None:
    branches = read(model, 4)
    greedy = [tokens for tokens, _ in decoding.write(model, branches, [10] * 4, [])]
    for ends in ([[greedy[0][4]], [greedy[1][2]]], [greedy[0][3:5], greedy[2][:2]]):  # one token, and pairs
        steps = decoding.write(model, branches, [10] * 4, ends)
        assert steps[0][1] and len(steps[0][0]) < 5
        starts = [greedy[0][:7], greedy[1], [], greedy[3][:1]]
        assert decoding.write(model, branches, [10] * 4, ends, starts=starts) == steps
        assert decoding.is_whole(greedy[0][:7], ends) and not decoding.is_whole(steps[0][0], ends)


def test_a_batch_with_known_starts_writes_what_each_row_writes_alone(model: Any) -> None:
    branches = read(model, 5)
    greedy = [tokens for tokens, _ in decoding.write(model, branches, [12] * 4, [])]
    starts = [greedy[0][:5], [], greedy[2][:2], greedy[3][:9]]
    limits = [12, 5, 9, 12]
    together = decoding.write(model, branches, limits, [], starts=starts)
    for row in range(4):
        alone = decoding.write(model, branches.take([row]), limits[row : row + 1], [])
        assert together[row] == alone[0]
    assert branches.cache.get_seq_length() == max(LENGTHS)  # the branches stay as they are


def test_of_equally_likely_tokens_both_ways_take_the_first(model: Any) -> None:
    branches = read(model, 6, 1)
    [(greedy, _)] = decoding.write(model, branches, [6], [])
    table = model.get_output_embeddings().weight
    twins = {token: token + 1 if token + 1 not in greedy else token - 1 for token in set(greedy)}
    assert not set(twins.values()) & set(greedy)
    with torch.no_grad():
        for token, twin in twins.items():
            table[twin] = table[token]
    branches = read(model, 6, 1)
    [(first, _)] = decoding.write(model, branches, [6], [])
    # The same answers told by the twins are as likely to begin with, but they are not what is written.
    second = [twins.get(token, token) for token in first]
    assert second[0] != first[0]
    logits = branches.logits[0]
    assert logits[second[0]] == logits[first[0]]
    for answers in ([first, second], [second, first], [second]):
        [found] = decoding.log_likelihoods(model, branches, [(0, answers)])
        assert found.start == (first if first in answers else first[:1])
        [(written, _)] = decoding.write(model, branches, [6], [], starts=[found.start])
        assert written == first


def test_a_placeholder_is_never_known(model: Any) -> None:
    branches = read(model, 7, 1)
    placeholder = next(iter(model.config.placeholder_ids.values()))
    branches = branches._replace(logits=branches.logits.clone().index_fill(1, torch.tensor(placeholder), 1e4))
    [found] = decoding.log_likelihoods(model, branches, [(0, [[placeholder, 4]])])
    [(steps, _)] = decoding.write(model, branches, [1], [])
    assert found.start == steps and placeholder not in steps


@pytest.fixture(scope="module")
def pico() -> EmotionAnalyzer:
    return EmotionAnalyzer.from_pretrained("pico", dtype="float32", check=False)


def test_closed_tasks_alone_take_no_step(pico: EmotionAnalyzer) -> None:
    """One pass reads what the questions share, one the questions, one the candidates; the text is there, too."""
    asked = {"text": "I watered it every day.", "tasks": CLOSED}
    for write in (None, True):  # the model writes candidates, so even then
        with counted(pico.model) as widths:
            found = pico.analyze(None, write=write, **asked)
        assert len(widths) == 3
        for name in CLOSED:
            assert found[name].text == TASKS[name].answer_for(found[name].label or "")


def test_closed_answers_beside_open_ones_are_those_alone(pico: EmotionAnalyzer) -> None:
    asked = {"text": "I watered it every day.", "max_new_tokens": 20}
    together = pico.analyze(None, tasks=["emotion", "reasoning"], **asked)
    for name in together:
        alone = pico.analyze(None, tasks=[name], **asked)
        assert together[name].text == alone[name].text and together[name].label == alone[name].label
        assert together[name].warnings == alone[name].warnings


def test_what_is_no_candidate_is_written_on_request(model: Any, processor: Any) -> None:
    analyzer = EmotionAnalyzer(model, processor, "toy")
    with counted(model) as widths:
        silent = analyzer.analyze(make_clip(), tasks=["emotion"], max_new_tokens=4)
    assert len(widths) == 3 and silent["emotion"].text == "" and not silent["emotion"].warnings
    with counted(model) as widths:
        told = analyzer.analyze(make_clip(), tasks=["emotion"], max_new_tokens=4, write=True)
    assert 3 < len(widths) <= 6 and told["emotion"].text
    assert "answer_cut" in {warning.code for warning in told["emotion"].warnings}
    assert told["emotion"].probabilities == silent["emotion"].probabilities


def test_drawn_answers_do_not_begin_with_the_likeliest(pico: EmotionAnalyzer) -> None:
    asked = {"text": "I watered it every day.", "tasks": ["emotion", "empathy"], "max_new_tokens": 8}
    hot = decoding.Sampling(temperature=50.0, seed=3)
    first, again = (pico.analyze(None, sampling=hot, **asked) for _ in range(2))
    greedy = pico.analyze(None, **asked)
    assert first["emotion"].text == again["emotion"].text != greedy["emotion"].text
    assert first["emotion"].probabilities == greedy["emotion"].probabilities
