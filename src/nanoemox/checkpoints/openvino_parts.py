"""OpenVINO graphs in the places of a model's parts: the model itself, and all that asks it, stay as they are.

The model is built without memory, and each of its parts is replaced by a module that takes and returns the same tensors
and lets OpenVINO compute. So there is one analyzer and one way of decoding. Nothing of it can be trained.
Letters: R rows, S tokens, P tokens in the cache, D width, V vocabulary.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationConfig
from transformers import initialization as init
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

from nanoemox.checkpoints.openvino_folder import (
    EMBEDDING,
    GRAPHS,
    LANGUAGE_MODEL,
    Listing,
    graph_names,
    openvino,
    read_listing,
    short,
)
from nanoemox.checkpoints.weight_files import WeightsError
from nanoemox.files.errors import ArgumentError
from nanoemox.files.machine import multiplies_bfloat16
from nanoemox.model.configuration_nanoemox import PARTS, NanoEmoXConfig
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration

logger = logging.getLogger(__name__)
# Parts that return two things, of which the second may be missing.
PAIRS = ("vision_encoder", "audio_encoder", "fusion")
_TYPES = {torch.float32: "f32", torch.bfloat16: "bf16"}


class GraphPart(nn.Module):
    """A part of the model that OpenVINO computes.

    Args:
        graph: The compiled graph.
        random: Whether the part was never trained, which nothing in its graph tells.
        pair: Whether two things are returned, the second of which is None where the graph has one output.
    """

    def __init__(self, graph: Any, random: bool = False, pair: bool = False) -> None:
        super().__init__()
        # The model asks its parts' parameters where they are, and of which type the tensors are that they take.
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)
        self.random, self._pair = random, pair
        self._request, self._alone = graph.create_infer_request(), threading.Lock()

    def forward(self, *inputs: Tensor) -> Any:
        """The outputs of the graph: one tensor, or a pair."""
        outputs = self.run(inputs)
        if self._pair:
            return outputs[0], (outputs[1] if len(outputs) > 1 else None)
        return outputs[0]

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """All outputs of the graph, in its order."""
        arrays = [tensor.contiguous().numpy() for tensor in inputs]
        with self._alone:  # a request computes for one caller at a time
            outputs = self._request.infer(arrays, share_inputs=True)
            return [torch.from_numpy(outputs[i]) for i in range(len(outputs))]


class GraphLanguageModel(GraphPart):
    """The language model with its cache: keys and values go in and come out, as in transformers."""

    def __init__(self, graph: Any, embedding: GraphPart, random: bool = False) -> None:
        """Take the place of a decoder.

        Args:
            graph: The compiled graph of the decoder.
            embedding: Token ids -> their embeddings.
            random: As of any part.
        """
        super().__init__(graph, random)
        self.embedding = embedding
        # After embeddings, mask, positions and places: keys and values of each layer [R, heads, P, D of a head].
        self._cache_shapes = [
            (shape[1].get_length(), shape[3].get_length())
            for shape in (entry.get_partial_shape() for entry in graph.inputs[4:])
        ]

    def get_input_embeddings(self) -> nn.Module:
        """What makes embeddings of token ids."""
        return self.embedding

    def forward(  # type: ignore[override]
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        logits_to_keep: int | Tensor = 0,
        **others: Any,
    ) -> CausalLMOutputWithPast:
        """As a decoder of transformers in evaluation.

        Args:
            inputs_embeds: [R, S, D].
            attention_mask: [R, P + S], 0 at padding.
            position_ids: [R, S].
            past_key_values: The cache, which stays as it is.
            logits_to_keep: How many of the last positions get logits; 0, all.
            **others: What changes no answer, such as use_cache.

        Returns:
            Logits [R, S, V] and a new cache.

        Raises:
            ArgumentError: If a loss is asked for.
        """
        if others.get("labels") is not None:
            raise ArgumentError(
                "openvino: an exported model computes no loss; train the one that it was made of"
            )
        rows, steps = inputs_embeds.shape[:2]
        past = self._past(past_key_values, rows)
        if attention_mask is None:
            attention_mask = torch.ones(rows, past[0].shape[2] + steps, dtype=torch.long)
        if position_ids is None:
            position_ids = (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -steps:]
        kept = logits_to_keep
        if isinstance(kept, int):
            kept = torch.arange(steps)[-kept:]
        outputs = self.run(
            [inputs_embeds.float(), attention_mask.long(), position_ids.long().expand(rows, -1), kept, *past]
        )
        return CausalLMOutputWithPast(logits=outputs[0], past_key_values=cache_of(outputs[1:]))

    def _past(self, cache: Any, rows: int) -> list[Tensor]:
        """Keys and values of each layer, of no tokens where there is no cache yet."""
        layers = [] if cache is None else list(cache.layers)
        held = [tensor for layer in layers if layer.is_initialized for tensor in (layer.keys, layer.values)]
        if held and held[0].numel():
            return held
        return [torch.zeros(rows, heads, 0, width) for heads, width in self._cache_shapes]


def cache_of(tensors: Sequence[Tensor]) -> DynamicCache:
    """A cache that holds these keys and values of its layers, in turn, without a copy of them."""
    cache = DynamicCache()
    for keys, values in list(pairwise(tensors))[::2]:
        layer = DynamicLayer()
        layer.keys, layer.values, layer.is_initialized = keys, values, True
        layer.dtype, layer.device = keys.dtype, keys.device
        cache.layers.append(layer)
    return cache


class GraphModel(NanoEmoXForConditionalGeneration):
    """The model with graphs as its parts. `load_openvino` builds and fills it.

    Attributes:
        listing: What its folder says about it.
        number_type: In which type of numbers OpenVINO computes, "float32" or "bfloat16".
    """

    listing: Listing
    number_type: str


def load_openvino(
    folder: Path,
    config: NanoEmoXConfig,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    check: bool = True,
) -> GraphModel:
    """Load a folder that `export --format openvino` wrote.

    Args:
        folder: The model folder.
        config: Its configuration.
        device: Only a CPU.
        dtype: In which OpenVINO computes: float32, bfloat16, or None for the best of this machine.
        check: Whether every byte is looked at first.

    Returns:
        The model, ready to answer.

    Raises:
        ArgumentError: If the extra is missing, or for another device or type.
        WeightsError: If the folder is not whole, damaged, or of a newer OpenVINO.
    """
    if torch.device(device).type != "cpu":
        raise ArgumentError(
            f"device {device}: {folder} is exported for CPUs; take cpu, or the model it was made of"
        )
    number_type = _number_type(dtype)
    listing = read_listing(folder, config, check)
    core = openvino().Core()
    settings = {
        "INFERENCE_PRECISION_HINT": _TYPES[number_type],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # threads of several processes would all be bound to the same cores
    }
    with (
        torch.device("meta"),
        init.no_init_weights(),
    ):  # no memory: names, sizes and what is done with the parts
        model = GraphModel(config)
    graphs = {}
    for name in graph_names(config, listing.tied):
        path = folder / GRAPHS / f"{name}.xml"
        try:
            graph = core.read_model(path)
            graphs[name] = core.compile_model(graph, "CPU", settings)
            if name == LANGUAGE_MODEL and listing.tied:
                graphs[EMBEDDING] = core.compile_model(embedding_of(graph), "CPU", settings)
        except RuntimeError as error:  # whatever OpenVINO finds wrong with a file
            raise WeightsError(
                f"{path}: OpenVINO cannot load it ({' '.join(str(error).split())[:200]}); export the model anew"
            ) from error
    for part, name in PARTS.items():
        random = part in listing.random_parts
        if name == LANGUAGE_MODEL:
            model.language_model = GraphLanguageModel(graphs[name], GraphPart(graphs[EMBEDDING]), random)
        elif name in graphs:
            setattr(model, name, GraphPart(graphs[name], random, name in PAIRS))
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    model.listing, model.number_type = listing, str(number_type).removeprefix("torch.")
    logger.info(
        "%s: weights of %d bits, computed in %s by OpenVINO %s; %d threads",
        folder,
        listing.bits,
        model.number_type,
        short(openvino().__version__),
        torch.get_num_threads(),
    )
    model.eval()
    return model


def _number_type(dtype: torch.dtype | str | None) -> torch.dtype:
    if dtype is None or dtype == "auto":
        return torch.bfloat16 if multiplies_bfloat16() else torch.float32
    found = next((each for each in _TYPES if dtype in (each, str(each).removeprefix("torch."))), None)
    if found is None:
        raise ArgumentError(
            f"dtype {dtype}: an exported model computes in float32 or bfloat16; take one of them"
        )
    return found


def embedding_of(graph: Any) -> Any:
    """The graph ids [R, S] -> embeddings [R, S, D], of the table with which the language model's last layer writes."""
    ov = openvino()
    node = graph.outputs[0].get_node().input_value(0).get_node()
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    ids = ov.opset13.parameter([-1, -1], ov.Type.i64, name="input_ids")
    rows = ov.opset13.gather(node.input_value(1), ids, ov.opset13.constant(0, ov.Type.i64))
    return ov.Model([rows], [ids], EMBEDDING)
