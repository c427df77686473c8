"""Each part of the architecture against its formula, written out here with matrices and loops alone.

The formulas follow the paper and the description of the official code; they share no line with the model. Letters as
in the model: B batch, T frames, C audio windows, N tokens, D width.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import SwinConfig

from nanoemox.model.adapters import QFormerAdapter
from nanoemox.model.affectgpt import AttentionAdapter, AttentionFusion, opencv_resized
from nanoemox.model.encoders import AudioEncoder, FaceEncoder, VisionEncoder
from nanoemox.model.fusion import FusionEncoder
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from tests.tiny import tiny_config


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def shaken(module: nn.Module) -> nn.Module:
    """The module with every parameter drawn anew, norms and biases too, so that none can be forgotten unseen."""
    for parameter in module.parameters():
        fan_in = parameter.shape[-1] if parameter.dim() > 1 else 4
        parameter.copy_(torch.randn(parameter.shape) / math.sqrt(fan_in) + (parameter == 1))
    return module.eval()


def linear(x: Tensor, layer: Any) -> Tensor:
    return x @ layer.weight.T + layer.bias


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def normed(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    variance = (centred**2).mean(dim=-1, keepdim=True)
    return centred / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def attention(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """Softmax of q k / sqrt(width of a head), head by head; [N, D], [T, D], [T, D] -> [N, D]."""
    mixed = []
    for q, k, v in zip(queries.chunk(heads, -1), keys.chunk(heads, -1), values.chunk(heads, -1), strict=True):
        scores = (q @ k.T / math.sqrt(q.shape[-1])).exp()
        mixed.append(scores / scores.sum(dim=-1, keepdim=True) @ v)
    return torch.cat(mixed, dim=-1)


def torch_attention(query: Tensor, memory: Tensor, module: nn.MultiheadAttention) -> Tensor:
    """What nn.MultiheadAttention is said to do: three projections in one matrix, and one behind the heads."""
    rows, biases = module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3)
    q, k, v = (x @ w.T + b for x, w, b in zip((query, memory, memory), rows, biases, strict=True))
    return linear(attention(q, k, v, module.num_heads), module.out_proj)


# ---------------------------------------------------------------- fusion


def test_fusion():
    """Per depth: the voice asks, the scene answers; two residuals. Then a gate over depths by one softmax."""
    config = tiny_config(fusion_tokens=2)
    fusion = shaken(FusionEncoder(config))
    video, audio = torch.randn(3, 5, 48), torch.randn(3, 4, 48)  # [B, T, 3 D], [B, C, 3 D]
    tokens, gate = fusion(video, audio)
    for row in range(3):
        experts = []
        for depth, expert in enumerate(fusion.experts):
            part = slice(16 * depth, 16 * depth + 16)  # concrete first
            asks = linear(audio[row, :, part], fusion.audio_projection)
            answers = linear(video[row, :, part], fusion.video_projection)
            hidden = asks + torch_attention(asks, answers, expert.attention)
            norm, first, _, _, second = expert.feed_forward
            experts.append(hidden + linear(gelu(linear(normed(hidden, norm), first)), second))
        over_time = torch.cat([expert.mean(dim=0) for expert in experts])  # [3 D]
        powers = linear(gelu(linear(over_time, fusion.gate[0])), fusion.gate[-1]).exp()
        expected_gate = powers / powers.sum()
        mixed = sum(weight * expert for weight, expert in zip(expected_gate, experts, strict=True))
        token = linear(mixed.mean(dim=0), fusion.projection)
        torch.testing.assert_close(gate[row], expected_gate, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(tokens[row], torch.stack([token, token]), atol=1e-5, rtol=1e-4)


# ---------------------------------------------------------------- adapters


def _qformer_attention(x: Tensor, memory: Tensor, block: Any, heads: int) -> Tensor:
    """Attention, dense, the input added, then the norm."""
    inner = block.attention
    q, k, v = linear(x, inner.query), linear(memory, inner.key), linear(memory, inner.value)
    return normed(linear(attention(q, k, v, heads), block.output.dense) + x, block.output.LayerNorm)


def test_qformer_adapter():
    adapter = shaken(NanoEmoXForConditionalGeneration(tiny_config()).video_adapter)
    features = torch.randn(2, 4, 16)
    tokens = adapter(features)
    for row in range(2):
        memory = features[row] + adapter.position_embedding.weight[:4]
        x = normed(adapter.query_tokens[0], adapter.qformer.layernorm)
        for layer in adapter.qformer.encoder.layer:
            x = _qformer_attention(x, x, layer.attention, heads=2)
            x = _qformer_attention(x, memory, layer.crossattention, heads=2)
            inner = linear(gelu(linear(x, layer.intermediate_query.dense)), layer.output_query.dense)
            x = normed(inner + x, layer.output_query.LayerNorm)
        torch.testing.assert_close(tokens[row], linear(x, adapter.projection), atol=1e-4, rtol=1e-4)


def test_each_adapter_reads_its_own_features():
    model = NanoEmoXForConditionalGeneration(tiny_config()).eval()
    features = torch.randn(1, 3, 16)
    torch.testing.assert_close(model.get_audio_features(features), model.audio_adapter(features))
    torch.testing.assert_close(model.get_video_features(features), model.video_adapter(features))
    assert model.audio_adapter(features).shape[1] == 3 and model.video_adapter(features).shape[1] == 5


def test_face_adapter():
    """Learned queries attend over the frames, without positions, norm or residual; then two linear layers."""
    adapter = shaken(NanoEmoXForConditionalGeneration(tiny_config()).face_adapter)
    features = torch.randn(2, 7, 8)
    tokens = adapter(features)
    first, _, _, second = adapter.projection
    for row in range(2):
        pooled = torch_attention(adapter.query_tokens, features[row], adapter.attention)
        expected = linear(gelu(linear(pooled, first)), second)
        torch.testing.assert_close(tokens[row], expected, atol=1e-5, rtol=1e-4)


# ---------------------------------------------------------------- AffectGPT's forms


def test_attention_adapter():
    """One weight for each step, which may be negative; the weighted sum, projected and repeated."""
    adapter = shaken(AttentionAdapter(tiny_config(), 6, 9, 3))
    features = torch.randn(2, 4, 6)
    tokens = adapter(features)
    for row in range(2):
        pooled = sum(step * linear(step, adapter.weigh) for step in features[row])
        assert tokens[row].shape == (3, 32)
        for token in tokens[row]:
            torch.testing.assert_close(token, linear(pooled, adapter.projection), atol=1e-5, rtol=1e-4)


def test_attention_fusion():
    """Means over time at one width; two weights from both, video first, without softmax."""
    fusion = shaken(AttentionFusion(tiny_config(fusion_tokens=2)))
    video, audio = torch.randn(2, 5, 16), torch.randn(2, 3, 16)
    tokens, gate = fusion(video, audio)
    assert gate is None and tokens.shape == (2, 2, 32)
    for row in range(2):
        seen = linear(video[row].mean(dim=0), fusion.video_embedding)
        heard = linear(audio[row].mean(dim=0), fusion.audio_embedding)
        weights = linear(linear(torch.cat([seen, heard]), fusion.compare), fusion.weigh)
        expected = linear(weights[0] * seen + weights[1] * heard, fusion.projection)
        for token in tokens[row]:
            torch.testing.assert_close(token, expected, atol=1e-5, rtol=1e-4)


def test_qformer_fusion_reads_video_and_then_audio_as_one_stream():
    fusion = NanoEmoXForConditionalGeneration(tiny_config(fusion_type="qformer")).eval().fusion
    video, audio = torch.randn(2, 5, 16), torch.randn(2, 3, 16)
    tokens, gate = fusion(video, audio)
    joined = torch.cat([linear(video, fusion.video_embedding), linear(audio, fusion.audio_embedding)], dim=1)
    assert gate is None
    torch.testing.assert_close(tokens, QFormerAdapter.forward(fusion, joined), atol=1e-5, rtol=1e-4)


# ---------------------------------------------------------------- encoders


def _enlarged(level: Tensor, height: int, width: int) -> Tensor:
    """[D, H, W] enlarged by straight lines between the middles of pixels."""

    def weights(old: int, new: int) -> Tensor:
        matrix = torch.zeros(new, old)
        for i in range(new):
            place = min(max((i + 0.5) * old / new - 0.5, 0.0), old - 1.0)
            low = int(place)
            matrix[i, low] += 1 - (place - low)
            matrix[i, min(low + 1, old - 1)] += place - low
        return matrix

    rows, columns = weights(level.shape[1], height), weights(level.shape[2], width)
    return rows @ level @ columns.T


def test_face_levels_are_fused_coarsest_first():
    """Each stage to one width, enlarged to the finest, stacked coarsest first, one matrix, mean over the picture."""
    config = tiny_config()
    config.face_config = SwinConfig(
        image_size=48, patch_size=2, embed_dim=8, window_size=3, depths=[1, 1, 1], num_heads=[2, 2, 2]
    )
    encoder = shaken(FaceEncoder(config))
    maps = (torch.randn(2, 8, 24, 24), torch.randn(2, 16, 12, 12), torch.randn(2, 32, 6, 6))
    fused = encoder.fuse(maps)
    matrix = encoder.fuse_projection.weight[:, :, 0, 0]
    for row in range(2):
        levels = []
        for stage, projection in zip(maps, encoder.level_projections, strict=True):
            level = (
                torch.einsum("dhw,od->ohw", stage[row], projection.weight) + projection.bias[:, None, None]
            )
            levels.append(_enlarged(level, 24, 24))
        stacked = torch.cat([levels[2], levels[1], levels[0]])
        expected = torch.einsum("dhw,od->ohw", stacked, matrix).mean(dim=(1, 2))
        torch.testing.assert_close(fused[row], expected, atol=1e-5, rtol=1e-4)


def test_face_stages_are_the_outputs_before_merging_finest_first():
    encoder = FaceEncoder(tiny_config()).eval()
    seen: list[Tensor] = []
    for stage in encoder.model.encoder.layers:
        last = stage.blocks[-1]
        last.register_forward_hook(
            lambda _, __, output: seen.append(output[0] if isinstance(output, tuple) else output)
        )
    maps = encoder.stage_maps(torch.randn(2, 3, 24, 24))
    assert [tuple(stage.shape) for stage in maps] == [(2, 8, 12, 12), (2, 16, 6, 6)]
    for stage, block in zip(maps, seen, strict=True):
        torch.testing.assert_close(stage.flatten(2).transpose(1, 2), block)


def _layer_outputs(layers: Any, run: Any) -> list[Tensor]:
    """What each layer returns while `run` runs."""
    seen: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(
            lambda _, __, output: seen.append(output[0] if isinstance(output, tuple) else output)
        )
        for layer in layers
    ]
    run()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2]])
def test_vision_layers_are_read_in_the_order_of_the_configuration(order: list[int]):
    """CLS of hidden state l, the output of layer l, concrete layers first as the configuration lists them."""
    encoder = VisionEncoder(tiny_config(vision_fusion_layers=order)).eval()
    pixels = torch.randn(2, 4, 3, 24, 24)
    outputs = _layer_outputs(encoder.model.encoder.layers, lambda: encoder.model(pixels.flatten(0, 1)))
    cls = [output[:, 0].reshape(2, 4, 16) for output in outputs]
    features, fusion_features = encoder(pixels)
    torch.testing.assert_close(fusion_features, torch.cat([cls[layer - 1] for layer in order], dim=-1))
    torch.testing.assert_close(features, cls[-2])  # hidden state -2 of four is the second layer's output


@pytest.mark.parametrize("order", [[1, 2, 3], [2, 3, 1]])
def test_audio_layers_are_read_in_the_order_of_the_configuration(order: list[int]):
    """Means over the time of each window; only the last hidden state has passed the final norm."""
    encoder = AudioEncoder(tiny_config(audio_fusion_layers=order)).eval()
    shaken(encoder.model.encoder.layer_norm)
    sound = torch.randn(2, 3, 4000)
    outputs = _layer_outputs(encoder.model.encoder.layers, lambda: encoder.model(sound.flatten(0, 1)))
    outputs[-1] = normed(outputs[-1], encoder.model.encoder.layer_norm)
    means = [output.mean(dim=1).reshape(2, 3, 16) for output in outputs]
    features, fusion_features = encoder(sound)
    expected = torch.cat([means[layer - 1] for layer in order], dim=-1)
    torch.testing.assert_close(fusion_features, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(features, (means[-1] + means[-2]) / 2, atol=1e-5, rtol=1e-4)


# ---------------------------------------------------------------- the whole model


def test_tokens_stand_where_their_placeholders_stood(model, batch):
    """From left to right, each kind in its own places, words elsewhere."""
    features = model.encode(
        batch["pixel_values_videos"][:1], batch["face_pixel_values"][:1], batch["input_values"][:1]
    )
    ids = batch["input_ids"][:1]
    embeddings, gate = model.merge(ids, features)
    tokens, expected_gate = model.fusion(features["video_fusion_features"], features["audio_fusion_features"])
    expected = {
        "fusion": tokens,
        "audio": model.audio_adapter(features["audio_features"]),
        "face": model.face_adapter(features["face_features"]),
        "video": model.video_adapter(features["video_features"]),
    }
    torch.testing.assert_close(gate, expected_gate)
    places = torch.zeros_like(ids, dtype=torch.bool)
    for kind, placeholder in model.config.placeholder_ids.items():
        where = ids == placeholder
        torch.testing.assert_close(embeddings[where], expected[kind][0])
        places |= where
    table = model.language_model.get_input_embeddings().weight
    assert torch.equal(embeddings[~places], table[ids[~places]])


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize(("height", "width", "side"), [(20, 33, 16), (33, 20, 16), (7, 50, 24), (16, 16, 16)])
def test_frames_are_resized_as_opencv_does(height: int, width: int, side: int) -> None:
    """Bilinear between the centres of pixels, each side by its own scale, the border repeated."""
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    found = opencv_resized(frames, side)
    assert found.shape == (2, side, side, 3)
    for row in range(side):
        for column in range(side):
            y = min(max((row + 0.5) * height / side - 0.5, 0), height - 1)
            x = min(max((column + 0.5) * width / side - 0.5, 0), width - 1)
            top, left = int(y), int(x)
            below, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = frames[:, top, left] * (1 - x + left) + frames[:, top, right] * (x - left)
            lower = frames[:, below, left] * (1 - x + left) + frames[:, below, right] * (x - left)
            wanted = upper * (1 - y + top) + lower * (y - top)
            assert np.abs(found[:, row, column] - wanted).max() <= 1  # OpenCV computes in whole numbers
