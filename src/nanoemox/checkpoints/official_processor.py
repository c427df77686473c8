"""What a converted model asks and how it reads media: as its official code did."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nanoemox.checkpoints.affectgpt_prompts import chat_template, own_tasks, prompt_texts
from nanoemox.checkpoints.template_trial import OFFICIAL_TEMPLATE
from nanoemox.checkpoints.weight_files import WeightsError
from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor

logger = logging.getLogger(__name__)

END_OF_TURN = "###"  # what ends an answer in the official code
MAX_NEW_TOKENS = 1200  # of an answer of AffectGPT's family
PUBLISHED_SAMPLING = {
    "temperature": 1.0,
    "top_p": 0.9,
}  # how its official code writes; ours is greedy by default


def official_processor(
    processor: NanoEmoXProcessor, config: NanoEmoXConfig, name: str, pieces: Mapping[str, Any] | None = None
) -> NanoEmoXProcessor:
    """The release's container, questions, end of an answer and preparation of media.

    Args:
        processor: That of the base, which is changed.
        config: Of the converted model.
        name: Of the base, for a warning.
        pieces: The prompts of AffectGPT's family as ids of another vocabulary than Qwen's.

    Returns:
        The processor.
    """
    processor.end_of_turn = END_OF_TURN
    processor.compat = "official"
    processor.placeholder_counts = config.placeholder_counts
    if config.fusion_type == "experts":  # Nano-EmoX
        processor.chat_template = OFFICIAL_TEMPLATE.read_text(encoding="utf-8")
        return processor
    texts = prompt_texts(processor.tokenizer, pieces)
    if texts is None:
        logger.warning(
            "%s: its tokenizer is not that of Qwen2.5 or Qwen3, so the official prompts cannot be written; the model "
            "gets prompts of the same form in other words",
            name,
        )
    official = OFFICIAL_TEMPLATE.read_text(encoding="utf-8")
    processor.chat_template = chat_template(texts) if texts else official
    processor.pictures = "opencv"
    processor.own_tasks = own_tasks(texts)
    return processor


def stated_counts(path: Path, config: Any) -> dict[str, int]:
    """The token counts that a checkpoint's own configuration states; where tensors tell them, those count more.

    Args:
        path: The checkpoint, for the error.
        config: What lies beside its tensors as "config", if anything does.

    Returns:
        Field of our configuration -> number.

    Raises:
        WeightsError: If a number is none.
    """
    model = config.get("model") if isinstance(config, Mapping) else None
    counts: dict[str, int] = {}
    for kind, field in (("video", "video_tokens"), ("audio", "audio_tokens"), ("multi", "fusion_tokens")):
        number = model.get(f"num_{kind}_query_token") if isinstance(model, Mapping) else None
        if number is None:
            continue
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= 4096:
            raise WeightsError(
                f"{path}: config.model.num_{kind}_query_token: expected a number from 1 to 4096, got {number!r:.40}; "
                "copy the checkpoint again"
            )
        counts[field] = number
    return counts
