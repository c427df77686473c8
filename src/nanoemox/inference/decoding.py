"""Many questions about one clip for the price of one: the prompt up to the question is read once.

All prompts of a clip begin alike (media, dialogue, text), so that beginning goes through the language
model once and every question continues from a copy of its cache: greedy answers row by row, and the
likelihood of every candidate of a closed question. Rows that have ended leave the batch, so a long answer
does not drag short ones along. Letters: B clips, R rows (one per clip and question), S text, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache

from nanoemox.files.errors import NanoEmoXError
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration as Model

ROWS_AT_ONCE = 512  # candidates whose likelihood is computed in one go; bounds memory
Tokens = list[int]


class LogitsError(NanoEmoXError):
    """The model computes NaN or infinite numbers, of which no answer can be read."""


class Branches(NamedTuple):
    """R prompts that have been read to their end."""

    cache: DynamicCache
    mask: Tensor  # [R, S], 1 where the cache holds a token and 0 at padding
    logits: Tensor  # [R, V], of the first token of the answer

    def take(self, rows: Sequence[int] | Tensor) -> Branches:
        """A copy of some rows, in any order and number; these branches stay as they are."""
        index = torch.as_tensor(rows, dtype=torch.long, device=self.mask.device)  # of no rows, too
        # Keys and values of each layer of the language model: [R, heads, S, D of a head].
        layers = [(keys[index], values[index]) for keys, values, *_ in self.cache]
        return Branches(DynamicCache(layers), self.mask[index], self.logits[index])


@torch.inference_mode()
def read_prompts(
    model: Model, prompts: Sequence[Sequence[Tokens]], features: Mapping[str, Tensor]
) -> tuple[Branches, Tensor | None]:
    """Read the prompts of all clips to their end; what a clip's prompts share is read once.

    Args:
        model: the model.
        prompts: token ids by clip and question.
        features: the clips' frozen features by name, [B, T or C, D].

    Returns:
        One branch for each clip and question, clip by clip, and the gate [B, 3] of the fusion experts (None without
        media).

    Raises:
        LogitsError: If the model computes numbers that are not finite.
    """
    shared = [_common_length(questions) for questions in prompts]
    starts = [questions[0][:length] for questions, length in zip(prompts, shared, strict=True)]
    ids, mask = _pad_left(starts, model.device)  # [B, S]
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=_positions(mask),
        use_cache=True,
        past_key_values=DynamicCache(),
        logits_to_keep=1,
        **features,
    )
    clips = [clip for clip, questions in enumerate(prompts) for _ in questions]  # [R], the clip of each row
    start = Branches(output.past_key_values, mask, output.logits[:, -1]).take(clips)
    rests = [q[length:] for questions, length in zip(prompts, shared, strict=True) for q in questions]
    return _read_on(model, start, *_pad_left(rests, model.device)), output.gate


# Logits of the next token [R, V], and which rows they are of -> the tokens [R].
Choice = Callable[[Tensor, Sequence[int]], Tensor]


def likeliest(logits: Tensor, rows: Sequence[int]) -> Tensor:
    """Always the most likely token."""
    return logits.argmax(dim=-1)


@dataclass(frozen=True)
class Sampling:
    """How a model draws its tokens where it does not take the likeliest; the same seed draws the same.

    Attributes:
        temperature: What the logits are divided by.
        top_p: Draw from the likeliest tokens that have this share together.
        top_k: Draw from so many tokens at most; 0, from all.
        seed: Of the drawing; each answer to each clip has numbers of its own.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def choice(self, number: int) -> Choice:
        """How the rows of a batch draw, with a stream of random numbers for each."""
        streams = [torch.Generator().manual_seed(self.seed) for _ in range(number)]

        def draw(logits: Tensor, rows: Sequence[int]) -> Tensor:
            shares = self._shares(logits.float()).cpu()  # [R, V]
            drawn = [
                torch.multinomial(share, 1, generator=streams[row])
                for share, row in zip(shares, rows, strict=True)
            ]
            return torch.cat(drawn).to(logits.device)

        return draw

    def _shares(self, logits: Tensor) -> Tensor:
        """Logits [R, V] -> probabilities [R, V]: temperature first, then top_k, then top_p, as transformers has it."""
        logits = logits / self.temperature
        if self.top_k:
            least = logits.topk(min(self.top_k, logits.shape[-1])).values[..., -1:]  # [R, 1]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if self.top_p < 1:
            ordered, places = logits.sort()  # least likely first
            rare = ordered.softmax(dim=-1).cumsum(dim=-1) <= 1 - self.top_p
            rare[..., -1] = False
            logits = logits.masked_fill(rare.scatter(-1, places, rare), -torch.inf)
        return logits.softmax(dim=-1)


@torch.inference_mode()
def write(
    model: Model,
    branches: Branches,
    limits: Sequence[int],
    ends: Sequence[Tokens],
    choose: Choice = likeliest,
) -> list[tuple[Tokens, bool]]:
    """The answer of every row, token by token.

    Args:
        model: the model.
        branches: the prompts, read to their end.
        limits: how many tokens each row may have; 0 asks for none.
        ends: the sequences of tokens that end an answer.
        choose: how the next token is chosen.

    Returns:
        For each row its tokens without those that end it, and whether it ended within its limit.

    Raises:
        LogitsError: If the model computes numbers that are not finite.
    """
    answers: list[Tokens] = [[] for _ in limits]
    ended = [False] * len(limits)
    forbidden = list(model.config.placeholder_ids.values())  # a model never writes a placeholder
    rows = [row for row, limit in enumerate(limits) if limit > 0]
    if not rows:
        return [([], False) for _ in limits]
    state = branches.take(rows)
    while True:
        state.logits[:, forbidden] = -torch.inf
        tokens = choose(state.logits, rows)  # [R], of the rows that go on
        going = []
        for i, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            answers[row].append(token)
            end = next((end for end in ends if answers[row][-len(end) :] == end), None)
            if end is not None:
                ended[row] = True
                del answers[row][-len(end) :]
                continue
            if len(answers[row]) < limits[row]:
                going.append(i)
        if not going:
            break
        if len(going) < len(rows):
            state, tokens, rows = state.take(going), tokens[going], [rows[i] for i in going]
        state = _read_on(model, state, tokens[:, None], torch.ones_like(tokens[:, None]))
    return list(zip(answers, ended, strict=True))


@torch.inference_mode()
def log_likelihoods(
    model: Model, branches: Branches, candidates: Sequence[tuple[int, Sequence[Tokens]]]
) -> list[Tensor]:
    """How likely whole answers are.

    The sum goes over the answer's tokens, its end token included, so that a label is not favoured because it is short
    or the beginning of another one.

    Args:
        model: the model.
        branches: the prompts, read to their end.
        candidates: for each row that is asked for, its number and its answers with their end tokens.

    Returns:
        For each of them log p of each answer, float32 [answers].

    Raises:
        LogitsError: If the model computes numbers that are not finite.
    """
    pairs = [(row, answer) for row, answers in candidates for answer in answers]
    scores: list[Tensor] = []
    for first in range(0, len(pairs), ROWS_AT_ONCE):
        rows, answers = zip(*pairs[first : first + ROWS_AT_ONCE], strict=True)
        state = branches.take(rows)
        length = max(map(len, answers))  # S of the longest answer
        # Ids and which of them are the answer's own, both [R, S].
        ids = torch.tensor([a + [0] * (length - len(a)) for a in answers], device=model.device)
        here = torch.tensor([[1] * len(a) + [0] * (length - len(a)) for a in answers], device=model.device)
        logits = state.logits[:, None]  # [R, 1, V], of the first token, which the prompt has already given
        if length > 1:  # [R, S, V], of all tokens
            logits = torch.cat([logits, _forward(model, state, ids[:, :-1], here[:, :-1]).logits], dim=1)
        each = logits.float().log_softmax(dim=-1).gather(-1, ids[..., None])[..., 0]  # [R, S]
        scores.append((each * here).sum(dim=-1))  # [R]
    flat = torch.cat(scores) if scores else torch.zeros(0)
    return list(flat.split([len(answers) for _, answers in candidates]))


def _read_on(model: Model, branches: Branches, ids: Tensor, mask: Tensor) -> Branches:
    """Append tokens [R, S'] (masked by [R, S']) to every branch."""
    output = _forward(model, branches, ids, mask, logits_to_keep=1)
    return Branches(output.past_key_values, torch.cat([branches.mask, mask], dim=1), output.logits[:, -1])


def _forward(model: Model, branches: Branches, ids: Tensor, mask: Tensor, logits_to_keep: int = 0):  # type: ignore[no-untyped-def]
    whole = torch.cat([branches.mask, mask], dim=1)  # [R, S + S']
    output = model(
        inputs_embeds=model.get_input_embeddings()(ids),
        attention_mask=whole,
        position_ids=_positions(whole)[:, -ids.shape[1] :],
        past_key_values=branches.cache,
        use_cache=True,
        logits_to_keep=logits_to_keep,
    )
    # Of NaN, argmax makes the first token of the table and softmax a label: a wrong answer that looks like any other.
    finite = output.logits.amax(dim=-1).isfinite() & output.logits.amin(dim=-1).isfinite()  # [R, S']
    if not finite[mask[:, -finite.shape[1] :].bool()].all():
        raise LogitsError(
            "expected finite numbers from the model, got NaN or infinite ones; its weights are damaged, or its numbers "
            "are too large for their type: copy the model again, or load it with dtype float32"
        )
    return output


def _common_length(questions: Sequence[Tokens]) -> int:
    """How many first tokens all share, leaving each at least one of its own."""
    length = 0
    for column in zip(*questions, strict=False):
        if len(set(column)) > 1:
            break
        length += 1
    return min(length, min(map(len, questions)) - 1)


def _pad_left(rows: Sequence[Tokens], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and mask, both [R, S]; the filler is any id, as it is masked."""
    length = max(map(len, rows))
    ids = torch.tensor([[0] * (length - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


def _positions(mask: Tensor) -> Tensor:
    """Positions that count real tokens only, whatever padding lies between."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)  # [R, S]
