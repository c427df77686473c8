"""Fixtures of a toy model. The heavy imports wait until a test asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
    from nanoemox.model.processing_nanoemox import NanoEmoXProcessor


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    from tests.tiny import tiny_tokenizer

    return tiny_tokenizer()


@pytest.fixture(scope="session")
def processor(tokenizer: PreTrainedTokenizerFast) -> NanoEmoXProcessor:
    from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
    from tests.tiny import tiny_config

    return NanoEmoXProcessor.from_config(tiny_config(tokenizer), tokenizer)


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast) -> NanoEmoXForConditionalGeneration:
    import torch

    from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
    from tests.tiny import tiny_config

    torch.manual_seed(0)
    return NanoEmoXForConditionalGeneration(tiny_config(tokenizer)).eval()


@pytest.fixture
def batch(processor: NanoEmoXProcessor) -> dict[str, Tensor]:
    """Four rows padded on the left: everything, sound only, pictures only, words only."""
    from tests.tiny import make_batch

    return make_batch(processor)
