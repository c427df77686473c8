"""Fixtures of a toy model. The heavy imports wait until a test asks for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
    from nanoemox.model.processing_nanoemox import NanoEmoXProcessor


@pytest.fixture(scope="session", autouse=True)
def _no_fetched_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests may have fetched a model, which `analyze` would then take by itself."""
    before = os.environ.get("NANOEMOX_HOME")
    os.environ["NANOEMOX_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    if before is None:
        del os.environ["NANOEMOX_HOME"]
    else:
        os.environ["NANOEMOX_HOME"] = before


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
