"""A model for CPUs: each of its parts becomes an OpenVINO graph with weights of 8 or 4 bits.

Part after part is converted, compressed, written, read back, and compared with the part it was made of on other numbers
of rows, frames, windows and tokens; so a part whose shape or mask was frozen by the conversion is refused, and no more
than the language model in float32 is held beside the rest.
Letters: R rows, S tokens, P tokens in the cache, K places with logits, D width, V vocabulary.
"""

from __future__ import annotations

import gc
import logging
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nanoemox.checkpoints.export import check_report
from nanoemox.checkpoints.load import load_model, locate
from nanoemox.checkpoints.model_card import write_card
from nanoemox.checkpoints.openvino_folder import (
    EMBEDDING,
    GRAPHS,
    LANGUAGE_MODEL,
    LISTING,
    GraphFile,
    Listing,
    check_bits,
    check_installed,
    digest_of,
    is_openvino,
    openvino,
)
from nanoemox.checkpoints.openvino_parts import GraphPart, cache_of, embedding_of
from nanoemox.checkpoints.provenance import random_parts
from nanoemox.checkpoints.weight_files import WeightsError
from nanoemox.files.atomic import check_new_folder, json_text, whole_folder
from nanoemox.media.clip import clip_of_arrays
from nanoemox.model.clip_processor import stack_media
from nanoemox.model.encoders import FEATURE_NAMES
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration as Model
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor

GROUP = 64  # weights of 4 bits that share a scale; it divides the widths of every model here
# Bits -> how far the outputs of a part may be from the exact ones, as a share of their length. A shape that was frozen
# in the conversion is further off at any number of bits. With 4, `pico` is at 0.14, random weights of `nano` at 0.55.
_MOST = {32: 1e-3, 16: 1e-2, 8: 0.15, 4: 0.9}
_MEDIA = (
    ("vision_encoder", "pixel_values_videos"),
    ("face_encoder", "face_pixel_values"),
    ("audio_encoder", "input_values"),
)
Inputs = tuple[Tensor, ...]


class _Decoder(nn.Module):
    """A language model as a function of tensors."""

    def __init__(self, language_model: nn.Module) -> None:
        super().__init__()
        self.language_model = language_model

    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        kept: Tensor,
        *cache: Tensor,
    ) -> Inputs:
        """As `GraphLanguageModel` calls it.

        Args:
            inputs_embeds: [R, S, D].
            attention_mask: [R, P + S].
            position_ids: [R, S].
            kept: [K], the places that get logits.
            *cache: Keys and values of each layer in turn [R, heads, P, D of a head].

        Returns:
            Logits [R, K, V], and the cache with the new tokens.
        """
        places = torch.arange(attention_mask.shape[1])  # [P + S]
        asking = places[attention_mask.shape[1] - inputs_embeds.shape[1] :, None]  # [S, 1]
        # A token sees what comes before it. Padding sees itself: a softmax over nothing would be NaN.
        seen = ((places <= asking) & attention_mask[:, None].bool()) | (places == asking)  # [R, S, P + S]
        output = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=seen[:, None],
            position_ids=position_ids,
            past_key_values=cache_of(cache),
            use_cache=True,
            logits_to_keep=kept,
        )
        held = [tensor for layer in output.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return output.logits, *held


class _Present(nn.Module):
    """A part without the outputs that are None."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *inputs: Tensor) -> Any:
        """Its outputs that are there."""
        outputs = self.part(*inputs)
        return tuple(each for each in outputs if each is not None) if isinstance(outputs, tuple) else outputs


def export_openvino(
    model: str | Path, out: str | Path, bits: int = 8, report: str | Path | None = None
) -> Path:
    """Write a model folder that OpenVINO computes, whole or not at all.

    Args:
        model: A model folder, or the name of the bundled model.
        out: The folder to write; it must not exist yet.
        bits: Of most weights: 8, 4, 16 or 32. With 4 these are the matrices of the language model's layers; its table
            of words and the other parts have 8.
        report: A report.json of `nanoemox evaluate`, for the card.

    Returns:
        The folder `out`.

    Raises:
        ArgumentError: For another number of bits, or if the extra is missing.
        WeightsError: If something is missing, or a part cannot be converted.
        ModelError: If the model does not fit together.
    """
    # Check everything that is cheap before anything that is slow.
    check_bits(bits)
    check_installed()
    check_new_folder(out)
    folder, out = Path(locate(str(model))), Path(out)
    if is_openvino(folder):
        raise WeightsError(f"{folder}: is exported to OpenVINO already; name the model that it was made of")
    if report is not None:
        check_report(Path(report))
    weights, processor = load_model(folder, dtype="auto")
    _check_decoder(folder, weights)

    with whole_folder(out) as new:
        # Everything but the weights is as in any model folder.
        weights.config.save_pretrained(new)
        weights.generation_config.save_pretrained(new)
        processor.save_pretrained(new)
        for name in ("assembly.json", "conversion.json", "phase.json", "release.json"):
            if (folder / name).is_file():
                shutil.copy(folder / name, new / name)
        if report is not None:
            shutil.copy(report, new / "report.json")

        # The parts, one after the other; each leaves the memory before the next one is taken.
        untrained, deviation = random_parts(weights), {}
        (new / GRAPHS).mkdir()
        with _quiet():
            for name, part, example, other in _parts(weights, processor):
                in_four = bits == 4 and name == LANGUAGE_MODEL
                deviation[name] = _write(part, example, other, new / GRAPHS / f"{name}.xml", bits, in_four)
            tied = bool(weights.config.text_config.tie_word_embeddings)
            table, ids = weights.get_input_embeddings().float(), torch.arange(24).view(2, 12)
            if tied:  # unless something is done to the embeddings that the last layer does not know
                deviation[EMBEDDING] = _tied_deviation(new / GRAPHS / f"{LANGUAGE_MODEL}.xml", table, ids)
                tied = deviation[EMBEDDING] <= _MOST[8 if bits < 8 else bits]
            if not tied:
                deviation[EMBEDDING] = _write(
                    table, (ids[:1, :3],), (ids,), new / GRAPHS / f"{EMBEDDING}.xml", bits
                )

        # What is in the folder.
        files = {
            path.name: GraphFile(size_bytes=path.stat().st_size, sha256=digest_of(path))
            for path in sorted((new / GRAPHS).iterdir())
        }
        import nncf

        listing = Listing(
            openvino=openvino().__version__,
            nncf=nncf.__version__,
            bits=bits,
            tied=tied,
            random_parts=untrained,
            deviation={name: round(value, 6) for name, value in deviation.items()},
            files=files,
        )
        (new / LISTING).write_text(json_text(listing.model_dump(), new / LISTING), encoding="utf-8")
        write_card(new)
    return out


def _check_decoder(folder: Path, model: Model) -> None:
    """Refuse a decoder whose tokens do not all see each other's keys."""
    text = model.config.text_config
    kinds = set(getattr(text, "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        raise WeightsError(
            f"{folder}: expected a language model in which each token sees all before it, this one has layers of "
            f"{', '.join(sorted(kinds))} ({text.model_type}), which this export does not know; use it as it is"
        )


# ---------------------------------------------------------------------- the parts and what they are tried on
def _parts(model: Model, processor: NanoEmoXProcessor) -> Iterator[tuple[str, nn.Module, Inputs, Inputs]]:
    """Each part with its inputs in the conversion and other ones for the comparison; it leaves the model then."""
    media = [_media(processor, clips, frames, windows) for clips, frames, windows in ((1, 2, 2), (2, 3, 4))]
    features: list[dict[str, Tensor]] = [{}, {}]
    for name, medium in _MEDIA:
        part = getattr(model, name)
        if part is None:
            continue
        part.float()
        examples = [(each[medium],) for each in media]
        for found, inputs in zip(features, examples, strict=True):
            found |= _features(name, part, *inputs)
        yield name, _Present(part), examples[0], examples[1]
        setattr(model, name, None)
    for kind in ("video", "audio", "face", "fusion"):
        name = kind if kind == "fusion" else f"{kind}_adapter"
        part = getattr(model, name)
        if part is None:
            continue
        first, second = (tuple(found[n] for n in model.needed_features(kind)) for found in features)
        yield name, _Present(part.float()), first, second
        setattr(model, name, None)
    decoder = model.language_model.float()
    yield LANGUAGE_MODEL, _Decoder(decoder), _tokens(decoder, 2, 3, 4), _tokens(decoder, 3, 6, 9)


def _media(processor: NanoEmoXProcessor, clips: int, frames: int, windows: int) -> dict[str, Tensor]:
    """Tensors of made-up clips, in the shapes that the processor gives to real ones."""
    random = np.random.default_rng(clips)
    rows = []
    for _ in range(clips):
        pictures = random.integers(0, 256, (frames, 48, 64, 3), dtype=np.uint8)
        sound = random.normal(0, 0.1, 16_000 * 3).astype(np.float32)
        tensors = processor.media(clip_of_arrays(pictures, sound))
        rows.append({n: v[: windows if n == "input_values" else frames] for n, v in tensors.items()})
    return stack_media(rows)


@torch.inference_mode()
def _features(name: str, part: nn.Module, medium: Tensor) -> dict[str, Tensor]:
    outputs = part(medium)
    pair = outputs if isinstance(outputs, tuple) else (outputs,)
    names = [
        each for each in FEATURE_NAMES if each.startswith({"vision_encoder": "video"}.get(name, name[:4]))
    ]
    return {n: x.clone() for n, x in zip(names, pair, strict=False) if x is not None}


def _tokens(decoder: Any, rows: int, steps: int, past: int) -> Inputs:
    """Embeddings, mask with padding, positions, kept places and a cache, of made-up tokens."""
    random = torch.Generator().manual_seed(rows)
    table = decoder.get_input_embeddings()
    ids = torch.randint(0, table.num_embeddings, (rows, past + steps), generator=random)
    mask = torch.ones(rows, past + steps, dtype=torch.long)
    mask[0, :2] = 0
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    with torch.inference_mode():
        embeddings = table(ids)
        before = decoder(
            inputs_embeds=embeddings[:, :past],
            attention_mask=mask[:, :past],
            position_ids=positions[:, :past],
            use_cache=True,
            logits_to_keep=1,
        )
    cache = [x.clone() for layer in before.past_key_values.layers for x in (layer.keys, layer.values)]
    kept = torch.arange(steps)[-rows:]
    return (embeddings[:, past:].clone(), mask, positions[:, past:], kept, *cache)


# ---------------------------------------------------------------------- one graph
@torch.no_grad()
def _write(
    part: nn.Module, example: Inputs, other: Inputs, path: Path, bits: int, in_four: bool = False
) -> float:
    """Convert, compress, write and compare one part.

    Args:
        part: In float32.
        example: Inputs with which it is traced.
        other: Inputs of other sizes in all that may change, on which the file is compared with it.
        path: The .xml to write; the .bin is written beside it.
        bits: Of its weights.
        in_four: Whether its matrices have 4 bits where `bits` is 4; else they have 8.

    Returns:
        How far the outputs are from the exact ones, as a share of their length.

    Raises:
        WeightsError: If it cannot be converted, or its outputs are others.
    """
    ov = openvino()
    try:
        graph = ov.convert_model(part.eval(), example_input=example)
        # A dimension is fixed where both inputs agree in it, such as heads, widths and pixels.
        shapes = [
            [a if a == b else -1 for a, b in zip(one.shape, another.shape, strict=True)]
            for one, another in zip(example, other, strict=True)
        ]
        graph.reshape(dict(zip(graph.inputs, map(ov.PartialShape, shapes), strict=True)))
    except (
        Exception
    ) as error:  # of a decoder or an encoder that OpenVINO does not know, anything may be raised
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{path.stem}: OpenVINO cannot convert it ({reason}); use the model as it is"
        ) from error
    if bits < 16:
        import nncf

        mode = nncf.CompressWeightsMode
        options: dict[str, Any] = {"mode": mode.INT8_ASYM}
        if in_four:
            options = {"mode": mode.INT4_ASYM, "group_size": GROUP, "ratio": 1.0}
        graph = nncf.compress_weights(graph, **options)
    ov.save_model(graph, path, compress_to_fp16=bits < 32)
    del graph
    gc.collect()
    exact = part(*other)
    exact = exact if isinstance(exact, tuple) else (exact,)
    try:
        compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        wrong = deviation_of(GraphPart(compiled).run(other), exact)
    except RuntimeError:  # of OpenVINO, where a shape was frozen that does not fit other inputs
        wrong = float("inf")
    most = _MOST[8 if bits == 4 and not in_four else bits]
    if not wrong <= most:
        raise WeightsError(
            f"{path.stem}: its graph computes something else (off by {wrong:.2f} of its length, expected at "
            f"most {most}); take more bits, or use the model as it is"
        )
    return wrong


def deviation_of(found: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """How far tensors are from the exact ones, as a share of their length; infinite where they have other shapes."""
    if [each.shape for each in found] != [each.shape for each in exact]:
        return float("inf")
    pairs = [(a.double(), b.double()) for a, b in zip(found, exact, strict=True)]
    return max(float((a - b).norm() / b.norm().clamp(min=1e-9)) for a, b in pairs)


def _tied_deviation(path: Path, table: nn.Module, ids: Tensor) -> float:
    ov = openvino()
    graph = embedding_of(ov.Core().read_model(path))
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.no_grad():
        return deviation_of(GraphPart(compiled).run((ids,)), (table(ids),))


@contextmanager
def _quiet() -> Iterator[None]:
    """Libraries that show bars on standard output, and warn of what the comparison looks at."""
    logger = logging.getLogger("nncf")
    level = logger.level
    openvino()  # before NNCF, so that neither reports
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nncf

            nncf.set_log_level(logging.ERROR)
            yield
    finally:
        logger.setLevel(level)
