"""How a pretrained language model marks turns of a conversation, if not in ChatML, taken over into our chat template.

A table of words that nobody trains any more cannot learn a new mark: the end of an answer has to be one that the model
knows. So it is read off the model's own chat template, by what this writes between the turns of a made-up talk.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from nanoemox.checkpoints.template_trial import render_problem
from nanoemox.checkpoints.weight_files import WeightsError
from nanoemox.model.clip_processor import CHAT_TEMPLATE, END_OF_TURN
from nanoemox.model.configuration_nanoemox import PLACEHOLDERS

_TALK = ("Xqu1", "Yan1", "Xqu2", "Yan2")  # questions and answers that no template holds itself
_OPENING = "{{ '<|im_start|>' + message.role + '\\n' }}"
_CLOSING = "{{ '<|im_end|>\\n' }}"
_GENERATION = "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"


class Turns(NamedTuple):
    """What stands around the turns: start question between answer end question between answer end …"""

    start: str  # before the first question alone
    question: str  # before each question
    between: str  # after each question, before its answer
    end: str  # after each answer: one token


def turns_of(tokenizer: Any, name: str) -> Turns | None:
    """The marks of a pretrained language model.

    Args:
        tokenizer: As it was loaded.
        name: The language model, for the error.

    Returns:
        The marks; None for a model that knows ChatML, and for a tokenizer that knows no marks at all.

    Raises:
        WeightsError: If its chat template cannot be run within bounds.
    """
    if END_OF_TURN in tokenizer.get_vocab() or tokenizer.eos_token is None:
        return None
    start = tokenizer.bos_token or ""
    plain = Turns(start, "User: ", "\nAssistant: ", tokenizer.eos_token)
    template = tokenizer.chat_template
    if not isinstance(template, str):
        return plain
    roles = ("user", "assistant", "user", "assistant")
    variables = {
        "messages": [{"role": role, "content": text} for role, text in zip(roles, _TALK, strict=True)],
        "bos_token": start,
        "eos_token": tokenizer.eos_token,
        "add_generation_prompt": False,
    }
    problem = render_problem(template, variables)
    if problem is not None:
        raise WeightsError(
            f"{name}: its chat template cannot be used ({problem}); take the template as its makers gave it"
        )
    text = tokenizer.apply_chat_template(variables["messages"], tokenize=False)
    pieces = []
    for mark in _TALK:
        piece, found, text = text.partition(mark)
        if not found:
            return plain
        pieces.append(piece)
    _, between, after, _ = pieces
    marks = {*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens}
    found_at = {mark: after.find(mark) for mark in marks if mark in after}
    if not found_at:
        return plain
    end = min(found_at, key=lambda mark: (found_at[mark], -len(mark)))
    question = after[found_at[end] + len(end) :].lstrip("\n ")
    return Turns(start if not question.startswith(start) else "", question, between, end)


def template_of(turns: Turns) -> str:
    """Our chat template with the marks of a language model in place of ChatML's."""
    start, question, between, end = (json.dumps(each) for each in turns)
    opening = (
        f"{{%- if loop.first -%}}{{{{ {start} }}}}{{%- endif -%}}"
        f"{{%- if message.role != 'assistant' -%}}{{{{ {question} }}}}{{%- endif -%}}"
    )
    closing = (
        f"{{%- if message.role == 'assistant' -%}}{{{{ {end} }}}}"
        f"{{%- elif not loop.last or add_generation_prompt -%}}{{{{ {between} }}}}{{%- endif -%}}"
    )
    text = CHAT_TEMPLATE.read_text(encoding="utf-8")
    for ours, theirs in ((_OPENING, opening), (_CLOSING, closing), (_GENERATION, "")):
        if text.count(ours) != 1:
            raise ValueError(f"{CHAT_TEMPLATE}: expected {ours} once; the marks of other models replace it")
        text = text.replace(ours, theirs)
    return text.replace("ChatML.", "The marks of the language model.", 1)


def take_turns(tokenizer: Any, turns: Turns) -> None:
    """Give a tokenizer our placeholders beside its own marks, which become special tokens if they are tokens."""
    written = "".join(turns)
    marks = [mark for mark in tokenizer.get_added_vocab() if mark in written]
    known = set(tokenizer.all_special_tokens) & set(tokenizer.get_vocab())
    tokenizer.add_special_tokens(
        {
            "additional_special_tokens": [
                token for token in (*marks, *PLACEHOLDERS.values()) if token not in known
            ]
        },
        replace_extra_special_tokens=False,
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
