"""What libraries of training do to any model works on this one: checkpoints of activations, LoRA everywhere, int8."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from nanoemox.model.adapters import CrossAttention
from nanoemox.model.configuration_nanoemox import ENCODERS
from tests.tiny import make_batch


@pytest.fixture
def answered(processor: Any) -> dict[str, torch.Tensor]:
    return make_batch(processor, answers=["anger", "joy", "fear", "sadness"])


def without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return model


def gradients(model: nn.Module, batch: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)  # of the dropout that is left
    model.zero_grad()
    model(**batch).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_of_activations_change_no_gradient(model: Any, answered: Any, reentrant: bool) -> None:
    without_dropout(model).train()
    plain = gradients(model, answered)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers 6 has another name for it
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    kept: list[int] = []
    layer = model.language_model.model.layers[0]
    layer.mlp.register_forward_pre_hook(lambda *_: kept.append(1))
    again = gradients(model, answered)
    assert len(kept) == 2  # once forward, and once more in the backward pass
    assert plain.keys() == again.keys()
    assert not any(name.startswith(ENCODERS) for name in plain)
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, msg=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_attention_is_that_of_torch_bit_by_bit(dtype: torch.dtype, training: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(24, 4, dropout=0.2, batch_first=True).to(dtype).train(training)
    ours = CrossAttention(24, 4, dropout=0.2, batch_first=True).to(dtype).train(training)
    nn.init.normal_(theirs.in_proj_bias)
    nn.init.normal_(theirs.out_proj.bias)
    ours.load_state_dict(theirs.state_dict())
    query, memory = torch.randn(3, 5, 24, dtype=dtype), torch.randn(3, 7, 24, dtype=dtype)
    results = []
    for attention in (theirs, ours):
        torch.manual_seed(1)
        out, weights = attention(query, memory, memory, need_weights=False)
        out.float().square().sum().backward()
        assert weights is None
        results.append([out, *(p.grad for p in attention.parameters())])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    for options in ({"need_weights": True}, {"need_weights": True, "average_attn_weights": False}):
        one, other = (attention.eval()(query, memory, memory, **options)[1] for attention in (theirs, ours))
        assert torch.equal(one, other)


def test_lora_on_all_linear_layers_answers_alike_before_and_after_it_is_merged(
    model: Any, answered: Any
) -> None:
    without_dropout(model)
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", lora_dropout=0.0))
    names = [name for name, _ in wrapped.named_parameters() if "out_proj.lora_B" in name]
    mine = [name for name in names if "fusion." in name or "face_adapter." in name]
    assert len(mine) == 4  # three experts and the face
    gradients(wrapped.train(), answered)
    torch.manual_seed(0)
    for name, parameter in wrapped.named_parameters():
        if name in mine:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        before = wrapped.eval()(**answered).logits
        bare = wrapped.base_model.model
        with wrapped.disable_adapter():
            assert not torch.allclose(wrapped(**answered).logits, before)
        merged = wrapped.merge_and_unload()
        assert merged is bare
        torch.testing.assert_close(merged(**answered).logits, before, rtol=1e-4, atol=1e-4)


def test_dynamic_int8_of_a_float32_model_answers(model: Any, batch: Any) -> None:
    """torch itself refuses a bfloat16 model, such as `pico` as it is stored; docs/analyze.md says to load float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = torch.ao.quantization.quantize_dynamic(model.eval(), {nn.Linear}, dtype=torch.qint8)
    with torch.no_grad():
        logits = small(**batch).logits
    assert logits.isfinite().all()
