"""The prompts that AffectGPT and Light-MER were trained with, as data of a converted model.

Their wording is not ours, so this package holds token ids, and the tokenizer of the model turns them into the chat
template and the questions that lie in its folder. SHA-256 of each text says whether it is the right tokenizer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanoemox.checkpoints.json_files import parse_object
from nanoemox.tasks.closed import EMOTION
from nanoemox.tasks.open_vocabulary import OPEN_VOCABULARY
from nanoemox.tasks.reasoning import REASONING
from nanoemox.tasks.sentiment import SENTIMENT

IDS = Path(__file__).with_suffix(".json")
Piece = Mapping[str, Any]  # "ids", "sha256"

TEMPLATE = Path(__file__).with_name("chat_template_affectgpt.jinja")


def prompt_texts(tokenizer: Any, pieces: Mapping[str, Piece] | None = None) -> dict[str, str] | None:
    """The wording of the prompts, piece by piece.

    Args:
        tokenizer: That of the language model.
        pieces: Ids and SHA-256 of each piece for another vocabulary than that of Qwen2.5 and Qwen3.

    Returns:
        Name of a piece -> text; None if the tokenizer has another vocabulary than the ids.
    """
    texts: dict[str, str] = {}
    known = pieces or {name: each for name, each in parse_object(IDS).items() if not name.startswith("_")}
    rows = len(tokenizer)
    for name, piece in known.items():
        if max(piece["ids"]) >= rows:
            return None
        texts[name] = tokenizer.decode(piece["ids"], clean_up_tokenization_spaces=False)
        if hashlib.sha256(texts[name].encode()).hexdigest() != piece["sha256"]:
            return None
    return texts


def chat_template(texts: Mapping[str, str]) -> str:
    """The container as a chat template. Video and audio together also have the fused token, and always a subtitle."""
    template = TEMPLATE.read_text(encoding="utf-8")
    for name, text in texts.items():
        template = template.replace(f"<<{name}>>", json.dumps(text, ensure_ascii=False))
    return template


def own_tasks(texts: Mapping[str, str] | None) -> dict[str, dict[str, Any]]:
    """What these models are asked: they were trained on two questions, and answer no other one by themselves.

    The label of a closed task is read from how likely it is as the answer to the open question.

    Args:
        texts: The wording of the questions; None where it is not known, which leaves that of this package.

    Returns:
        Task -> what `ClipProcessor.own_tasks` holds.
    """
    questions = {
        OPEN_VOCABULARY.name: texts["open_vocabulary"] if texts else OPEN_VOCABULARY.question_text,
        REASONING.name: texts["reasoning"] if texts else REASONING.question_text,
    }
    tasks: dict[str, dict[str, Any]] = {
        name: {"trained": True, "question": question} for name, question in questions.items()
    }
    for task in (EMOTION, SENTIMENT):
        tasks[task.name] = {
            "trained": False,
            "question": questions[OPEN_VOCABULARY.name],
            "answer": OPEN_VOCABULARY.answer.replace("{labels}", "{label}"),
        }
    return tasks
