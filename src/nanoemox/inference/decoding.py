"""Many questions about one clip for the price of one: the prompt up to the question is read once.

All prompts of a clip begin alike (media, dialogue, text), so that beginning goes through the language
model once and every question continues from a copy of its cache: greedy answers row by row, and the
likelihood of every candidate of a closed question. That likelihood also tells what the model itself would
write, as long as it writes one of the candidates, so such an answer takes no step of its own. Rows that have ended
leave the batch, so a long answer does not drag short ones along.
Letters: B clips, R rows (one per clip and question), S text, V vocabulary.
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

# Candidates whose likelihood is computed in one go, and tokens that their copies of the cache hold; both bound memory.
ROWS_AT_ONCE, TOKENS_AT_ONCE = 512, 2**15
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
    starts: Sequence[Tokens] | None = None,
) -> list[tuple[Tokens, bool]]:
    """The answer of every row, token by token.

    Args:
        model: the model.
        branches: the prompts, read to their end.
        limits: how many tokens each row may have; 0 asks for none.
        ends: the sequences of tokens that end an answer.
        choose: how the next token is chosen.
        starts: for each row the tokens that are known to come first, which are read in one go; none where it is empty.

    Returns:
        For each row its tokens without those that end it, and whether it ended within its limit.

    Raises:
        LogitsError: If the model computes numbers that are not finite.
    """
    written: list[tuple[Tokens, bool]] = [([], False) for _ in limits]
    rows = [row for row, limit in enumerate(limits) if limit > 0]
    if not rows:
        return written
    # A model never writes a placeholder.
    forbidden = torch.tensor(list(model.config.placeholder_ids.values()), device=model.device)
    first = choose(branches.logits[rows].index_fill(1, forbidden, -torch.inf), rows).tolist()
    new = [(starts[row] if starts else []) or [token] for row, token in zip(rows, first, strict=True)]
    state: Branches | None = None
    while True:
        going = []  # which of the rows go on
        for i, (row, tokens) in enumerate(zip(rows, new, strict=True)):
            written[row] = _up_to_end(written[row][0], tokens[: limits[row] - len(written[row][0])], ends)
            if not written[row][1] and len(written[row][0]) < limits[row]:
                going.append(i)
        if not going:
            return written
        if state is None:  # a copy, as the branches stay as they are
            state = branches.take([rows[i] for i in going])
        elif len(going) < len(rows):
            state = state.take(going)
        rows, new = [rows[i] for i in going], [new[i] for i in going]
        state = _read_on(model, state, *_pad_left(new, model.device))
        chosen = choose(
            state.logits.index_fill(1, forbidden, -torch.inf), rows
        )  # [R], of the rows that go on
        new = [[token] for token in chosen.tolist()]


def is_whole(tokens: Tokens, ends: Sequence[Tokens]) -> bool:
    """Whether the tokens hold an answer up to its end."""
    return _up_to_end([], tokens, ends)[1]


def _up_to_end(answer: Tokens, tokens: Tokens, ends: Sequence[Tokens]) -> tuple[Tokens, bool]:
    """An answer with further tokens, up to those that end it, which are left out; and whether they end it."""
    answer = list(answer)
    for token in tokens:
        answer.append(token)
        if end := next((end for end in ends if answer[-len(end) :] == end), None):
            return answer[: -len(end)], True
    return answer, False


class Likelihoods(NamedTuple):
    """How likely the model finds some answers to a question, and what this tells about its own answer."""

    log_p: Tensor  # [answers], float32
    start: Tokens  # what the model writes when it always takes the likeliest token, as far as these answers tell it


@torch.inference_mode()
def log_likelihoods(
    model: Model, branches: Branches, candidates: Sequence[tuple[int, Sequence[Tokens]]]
) -> list[Likelihoods]:
    """How likely whole answers are.

    The sum goes over the answer's tokens, its end token included, so that a label is not favoured because it is short
    or the beginning of another one.

    Args:
        model: the model.
        branches: the prompts, read to their end.
        candidates: for each row that is asked for, its number and its answers with their end tokens.

    Returns:
        For each of them log p of each answer, and the beginning of what the model itself would write.

    Raises:
        LogitsError: If the model computes numbers that are not finite.
    """
    pairs = [(row, answer) for row, answers in candidates for answer in answers]
    forbidden = torch.tensor(list(model.config.placeholder_ids.values()), device=model.device)
    scores: list[Tensor] = []
    likeliest: list[Tokens] = []  # of each answer, the likeliest token at the place of each of its tokens
    at_once = max(1, min(ROWS_AT_ONCE, TOKENS_AT_ONCE // branches.mask.shape[1]))
    for first in range(0, len(pairs), at_once):
        rows, answers = zip(*pairs[first : first + at_once], strict=True)
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
        likeliest += logits.index_fill(-1, forbidden, -torch.inf).argmax(dim=-1).tolist()
    found, first = [], 0
    flat = torch.cat(scores) if scores else torch.zeros(0)
    for _, mine in candidates:
        last = first + len(mine)
        found.append(Likelihoods(flat[first:last], _greedy_start(mine, likeliest[first:last])))
        first = last
    return found


def _greedy_start(answers: Sequence[Tokens], likeliest: Sequence[Tokens]) -> Tokens:
    """Follow the likeliest tokens as long as an answer has them; the first token that none has is known, too."""
    start: Tokens = []
    alike = list(range(len(answers)))  # the answers that begin so and go on
    while alike:
        token = likeliest[alike[0]][len(start)]
        alike = [i for i in alike if answers[i][len(start)] == token and len(answers[i]) > len(start) + 1]
        start.append(token)
    return start


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
