"""Ways to break a model folder: each takes a whole one and changes what a disk, an editor or malice might change."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file


class _Missing:
    """As a value of `field`: the key is taken out."""

    def __repr__(self) -> str:  # part of the names of tests, which every worker has to find equal
        return "missing"


MISSING = _Missing()


class Case(NamedTuple):
    """A folder that is broken in one place, and a pattern of what the error has to say."""

    name: str
    break_it: Callable[[Path], object]
    says: str


def field(file: str, place: str, value: Any) -> Callable[[Path], object]:
    """Set one field, named like "vision_config.image_size" or "image_std.0", or take it out."""

    def change(folder: Path) -> None:
        path = folder / file
        fields = json.loads(path.read_text(encoding="utf-8"))
        *way, last = place.split(".")
        inner = fields
        for key in way:
            inner = inner[int(key) if isinstance(inner, list) else key]
        if value is MISSING:
            del inner[last]
        else:
            inner[int(last) if isinstance(inner, list) else last] = value
        path.write_text(json.dumps(fields), encoding="utf-8")

    return change


def content(file: str, data: str | bytes) -> Callable[[Path], object]:
    """Give a file another content."""
    return lambda folder: (folder / file).write_bytes(data.encode() if isinstance(data, str) else data)


def weight(
    value: float, name: str = "language_model.model.layers.0.mlp.up_proj.weight"
) -> Callable[[Path], object]:
    """Set one number of one tensor."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors[name].view(-1)[3] = value
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def flipped_bit(dtype: torch.dtype, bit: int) -> Callable[[Path], object]:
    """Store the weights in a type, and flip one bit of one of them, as a bad disk or cable does."""

    def change(folder: Path) -> None:
        tensors = {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
        flat = tensors["language_model.model.layers.0.mlp.up_proj.weight"].view(-1)
        flat[3] = 0.02
        bits = flat.view({2: torch.int16, 4: torch.int32}[dtype.itemsize])
        bits[3] ^= 1 << bit
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    """Change the tensors by name."""

    def changed(folder: Path) -> None:
        found = load_file(folder / "model.safetensors")
        change(found)
        save_file(found, folder / "model.safetensors", metadata={"format": "pt"})

    return changed


def cut(file: str, share: float) -> Callable[[Path], object]:
    """Keep only the first part of a file."""

    def change(folder: Path) -> None:
        data = (folder / file).read_bytes()
        (folder / file).write_bytes(data[: int(len(data) * share)])

    return change


def sharded(weight_map: Any, whole: bool = True) -> Callable[[Path], object]:
    """Turn the weights into one shard with an index; `weight_map` replaces that of the index unless it is None."""

    def change(folder: Path) -> None:
        shard = "model-00001-of-00001.safetensors"
        names = list(load_file(folder / "model.safetensors"))
        (folder / "model.safetensors").rename(folder / (shard if whole else "elsewhere.safetensors"))
        found = dict.fromkeys(names, shard) if weight_map is None else weight_map
        if callable(found):
            found = found(dict.fromkeys(names, shard))
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"metadata": {}, "weight_map": found}), encoding="utf-8"
        )

    return change


def outside(folder: Path) -> None:
    """An index that names the weights of a folder beside this one."""
    other = folder.parent / "outside.safetensors"
    other.write_bytes((folder / "model.safetensors").read_bytes())
    sharded(lambda names: dict.fromkeys(names, "../outside.safetensors"))(folder)


def header(length: int, text: bytes = b"{}") -> Callable[[Path], object]:
    """A safetensors file that says its header has this length."""
    return content("model.safetensors", struct.pack("<Q", length) + text)


def link(file: str, target: str) -> Callable[[Path], object]:
    """Replace a file by a symbolic link."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).symlink_to(target)

    return change


def folder_instead(file: str) -> Callable[[Path], object]:
    """Replace a file by a folder of its name."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).mkdir()

    return change


def added_token(token: str, number: int) -> Callable[[Path], object]:
    """Give a token that was added to the tokenizer another id."""

    def change(folder: Path) -> None:
        path = folder / "tokenizer.json"
        fields = json.loads(path.read_text(encoding="utf-8"))
        for entry in fields["added_tokens"]:
            if entry["content"] == token:
                entry["id"] = number
        path.write_text(json.dumps(fields), encoding="utf-8")

    return change


def swapped(one: str, other: str) -> Callable[[Path], object]:
    """Exchange two tokens that were added to the tokenizer."""

    def change(folder: Path) -> None:
        path = folder / "tokenizer.json"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(one, "\0").replace(other, one).replace("\0", other), encoding="utf-8")

    return change


C, P, T, G = "config.json", "processor_config.json", "tokenizer_config.json", "generation_config.json"
DEEP = "[" * 100_000 + "]" * 100_000
UP = "language_model.model.layers.0.mlp.up_proj.weight"
WRONG_KIND = ("null", "[]", "3", '"text"', "{", "", "\x00\x01", '{"a": NaN}', '{"a": 1e999}', DEEP)
FILES = (C, P, "tokenizer.json", T, G)

CASES: list[Case] = [
    *(
        Case(f"{file} is {text[:12]!r}", content(file, text), rf"{file}: is no configuration")
        for file in FILES
        for text in (WRONG_KIND if file == C else WRONG_KIND[:5])
    ),
    Case(
        "config.json is not UTF-8", content(C, b'{"model_type": "\xff"}'), "config.json: is no configuration"
    ),
    Case("config.json is a folder", folder_instead(C), "config.json"),
    Case("config.json links to itself", link(C, C), "config.json"),
    Case("config.json links to nothing", link(C, "nowhere.json"), "config.json"),
    Case("config.json links to a device", link(C, "/dev/zero"), "config.json"),
    # ------------------------------------------------------------------ sizes
    *(
        Case(f"{place} = {value!r}", field(C, place, value), place.split(".")[-1])
        for place, value in [
            ("text_config", None),
            ("text_config", []),
            ("text_config", 3),
            ("vision_config", "clip"),
            ("text_config.hidden_size", "32"),
            ("text_config.hidden_size", 0),
            ("text_config.hidden_size", -32),
            ("text_config.hidden_size", 10**9),
            ("text_config.hidden_size", 32.5),
            ("text_config.num_attention_heads", 3),
            ("text_config.num_attention_heads", 0),
            ("text_config.num_key_value_heads", 3),
            ("text_config.num_hidden_layers", 10**9),
            ("text_config.vocab_size", 10**12),
            ("text_config.vocab_size", -1),
            ("text_config.vocab_size", True),
            ("text_config.hidden_act", "os.system"),
            ("text_config.rms_norm_eps", 0),
            ("text_config.rms_norm_eps", None),
            ("text_config.eos_token_id", 10**6),
            ("text_config.pad_token_id", -7),
            ("text_config.max_position_embeddings", 0),
            ("text_config.dtype", "load"),
            ("vision_config.image_size", 100_000),
            ("vision_config.image_size", 0),
            ("vision_config.image_size", [24, 24, 24]),
            ("vision_config.patch_size", 0),
            ("vision_config.patch_size", 48),
            ("vision_config.num_channels", 4),
            ("vision_config.hidden_size", 17.5),
            ("audio_config.conv_stride", [0] * 7),
            ("audio_config.conv_dim", [8] * 3),
            ("audio_config.num_conv_pos_embedding_groups", 3),
            ("audio_config.feat_extract_norm", "none"),
            ("face_config.num_heads", [2]),
            ("face_config.depths", [1, 1, 1]),
            ("face_config.window_size", 0),
            ("face_config.num_heads", [2, 3]),
            ("qformer_config.cross_attention_frequency", 0),
            ("qformer_config.num_attention_heads", 7),
            ("video_tokens", -5),
            ("audio_tokens", 10**9),
            ("fusion_tokens", "one"),
            ("fusion_heads", 5),
            ("face_heads", 3),
            ("fusion_experts", 0),
            ("vision_fusion_layers", [1, 2, 99]),
            ("vision_fusion_layers", ["1", "2", "3"]),
            ("vision_feature_layer", -50),
            ("audio_feature_layers", 0),
            ("fusion_type", "none"),
            ("video_token_id", 10**6),
            ("video_token_id", -1),
            ("save_pretrained", 1),
            ("text_config.model_type", "os.system"),
            ("text_config.model_type", "t5"),
            ("text_config.model_type", ["qwen2"]),
            ("vision_config.model_type", "swin"),
            ("audio_config.model_type", "bert"),
            ("face_config.model_type", "hubert"),
            ("video_side_px", 48),
            ("face_side_px", 10**6),
            ("face_fused", "yes"),
            ("sub_configs", 3),
            ("base_model_tp_plan", 3),
            ("num_labels", 10**9),
            ("audio_feature_layers", 2.0),
            ("vision_fusion_layers", [True, True, True]),
            ("text_config.rope_parameters", {"rope_theta": "x", "rope_type": "default"}),
            ("text_config.rope_parameters", {"rope_theta": 0, "rope_type": "default"}),
            ("text_config.rope_parameters", {"rope_theta": 10000.0, "rope_type": "none"}),
            ("text_config.rope_parameters", []),
            ("text_config.head_dim", 0),
            ("text_config.attention_dropout", 5),
            ("audio_config.hidden_dropout", 9),
            ("audio_config.conv_stride", [900] * 7),
        ]
    ),
    Case("two placeholders, one id", field(C, "audio_token_id", 303), "id of its own"),
    Case("sizes of another model", field(C, "fusion_width", 24), "do not fit the configuration"),
    Case("more layers than there are weights", field(C, "face_config.depths", [1, 2]), "missing keys"),
    Case("layers without a type", field(C, "text_config.num_hidden_layers", 3), "num_hidden_layers"),
    Case("a model of another kind", field(C, "model_type", "qwen2"), "model of type nanoemox, found qwen2"),
    Case("a model of no kind", field(C, "model_type", None), "model of type nanoemox, found None"),
    # ------------------------------------------------------------------ code and places elsewhere
    *(
        Case(
            f"auto_map in {file}",
            field(file, "auto_map", {"AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoConfig": "evil.Evil"}),
            rf"{file}: auto_map names code",
        )
        for file in (C, P, T, G)
    ),
    Case("auto_map as text", field(T, "auto_map", "evil.Evil"), "auto_map names code"),
    Case(
        "auto_map of a repository",
        field(C, "auto_map", {"AutoConfig": "me/evil--x.Evil"}),
        "auto_map names code",
    ),
    Case("attention from the Hub", field(C, "text_config.attn_implementation", "me/evil"), "eager or sdpa"),
    Case(
        "layers with a window of no width",
        field(C, "text_config.layer_types", ["sliding_attention"] * 2),
        "window",
    ),
    Case("another attention", field(C, "_attn_implementation", "flash_attention_2"), "eager or sdpa"),
    Case("quantised", field(C, "quantization_config", {"quant_method": "awq"}), "quantization_config"),
    Case("other weights", field(C, "transformers_weights", "../x.safetensors"), "transformers_weights"),
    Case(
        "an adapter beside it",
        content("adapter_config.json", '{"base_model_name_or_path": "a/b"}'),
        "no adapter",
    ),
    # ------------------------------------------------------------------ processor
    *(
        Case(f"processor: {place} = {value!r}", field(P, place, value), place.split(".")[0])
        for place, value in [
            ("image_processor", None),
            ("image_processor", MISSING),
            ("face_image_processor", []),
            ("feature_extractor", "wav2vec"),
            ("image_processor.image_std", [0.0, 0.2, 0.2]),
            ("image_processor.image_std", [0.2, 0.2]),
            ("image_processor.image_std", 0),
            ("image_processor.image_mean", ["a", "b", "c"]),
            ("image_processor.image_mean", [1e300, 0, 0]),
            ("image_processor.rescale_factor", 0),
            ("image_processor.crop_size", {"height": 100_000, "width": 100_000}),
            ("image_processor.crop_size", {"height": 12, "width": 12}),
            ("image_processor.size", {"shortest_edge": 100_000}),
            ("image_processor.size", {"shortest_edge": 1}),
            ("image_processor.size", {"shortest_edge": 4000}),
            ("image_processor.size", {}),
            ("image_processor.resample", 99),
            ("face_image_processor.do_resize", False),
            ("feature_extractor.sampling_rate", 8000),
            ("feature_extractor.feature_size", 80),
            ("placeholder_counts", None),
            ("placeholder_counts", {"audio": 3}),
            ("placeholder_counts.video", -5),
            ("placeholder_counts.video", 6),
            ("end_of_turn", ""),
            ("end_of_turn", 7),
            ("compat", "other"),
            ("image_processor.preprocess", 3),
            ("feature_extractor.pad", 3),
        ]
    ),
    # ------------------------------------------------------------------ tokenizer
    Case("a token beyond the table", added_token("<|im_end|>", 5000), "ids below"),
    Case("two placeholders changed places", swapped("<|frame_pad|>", "<|face_pad|>"), "to be the one id"),
    Case("an id that is negative", added_token("<|im_end|>", -1), "added_tokens"),
    Case("an empty vocabulary", field("tokenizer.json", "model.vocab", {}), "vocab"),
    Case("a vocabulary of texts", field("tokenizer.json", "model.vocab", {"a": "b"}), "vocab"),
    Case("a vocabulary beyond the table", field("tokenizer.json", "model.vocab.a", 10**6), "ids below"),
    Case("merges of nothing", field("tokenizer.json", "model.merges", [["xx", "yy"]]), "loading it failed"),
    Case("merges that are no pairs", field("tokenizer.json", "model.merges", [3]), "loading it failed"),
    Case("another kind of tokenizer", field("tokenizer.json", "model.type", "Nonsense"), "model.type"),
    Case("merges at random", field("tokenizer.json", "model.dropout", 0.9), "dropout"),
    Case("two tokens, one id", field("tokenizer.json", "model.vocab.a", 5), "an id of its own"),
    Case("no decoder", field("tokenizer.json", "decoder", None), "comes back as it was"),
    Case(
        "all letters lost",
        field(
            "tokenizer.json", "normalizer", {"type": "Replace", "pattern": {"Regex": "[a-z]"}, "content": ""}
        ),
        "comes back as it was",
    ),
    Case("no model", field("tokenizer.json", "model", MISSING), "model"),
    Case("no added tokens", field("tokenizer.json", "added_tokens", None), "added_tokens"),
    *(
        Case(f"tokenizer: {key} = {value!r}", field(T, key, value), key)
        for key, value in [
            ("eos_token", None),
            ("pad_token", 3),
            ("eos_token", ""),
            ("extra_special_tokens", 3),
            ("extra_special_tokens", [None]),
            ("model_max_length", -1),
            ("model_max_length", "long"),
            ("padding_side", "middle"),
            ("added_tokens_decoder", {"x": 3}),
            ("tokenizer_class", 7),
        ]
    ),
    # ------------------------------------------------------------------ generation
    *(
        Case(f"generation: {key} = {value!r}", field(G, key, value), key)
        for key, value in [
            ("eos_token_id", 10**6),
            ("eos_token_id", "end"),
            ("eos_token_id", [-1]),
            ("pad_token_id", 10**6),
            ("suppress_tokens", [10**6]),
            ("suppress_tokens", "all"),
            ("max_new_tokens", 0),
            ("max_new_tokens", -3),
            ("max_new_tokens", "many"),
            ("max_new_tokens", 10**9),
            ("num_beams", 0),
            ("to_dict", 3),
            ("cache_implementation", "none"),
            ("watermarking_config", {"a": 1}),
            ("temperature", -1),
            ("task_max_new_tokens", {"emotion": -1}),
        ]
    ),
    *(
        Case(
            f"expression: {pattern}",
            field(
                "tokenizer.json",
                "pre_tokenizer",
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            ),
            r"tokenizer\.json: its regular expressions cannot be used|expected at most 50 regular",
        )
        for pattern in ["(a+)+$", r"(\p{L}+)+\d", "([a-z]|[a-z0-9])*#", "(é|é)*z", "(", "a" * 6000]
    ),
    # ------------------------------------------------------------------ chat template
    *(
        Case(f"template: {text[:40]}", content("chat_template.jinja", text), says)
        for text, says in [
            ("", "1 to 200,000 bytes"),
            ("{{ messages[0].role }}", "expected that the chat template writes"),
            ("{% for", "cannot be used"),
            ("{{ nothing.at.all }}", "cannot be used"),
            ("{{ raise_exception('no') }}", "cannot be used"),
            ("{{ ''.__class__.__mro__ }}", "cannot be used|expected that"),
            ("{% for i in range(10**9) %}x{% endfor %}", "cannot be used"),
            (
                "{% for i in range(99999) %}{% for j in range(99999) %}{% set k = j %}{% endfor %}{% endfor %}",
                "more than 2 s",
            ),
            ("{{ 'a' * 10**10 }}", "cannot be used"),
            ("{{ 10**(10**10) }}", "cannot be used"),
            ("{{ 'a' * 10**7 }}", "longer than"),
            ("x" * 300_000, "1 to 200,000 bytes"),
        ]
    ),
    Case(
        "template is not UTF-8",
        content("chat_template.jinja", b"\xff\xfe"),
        "chat_template|loading it failed",
    ),
    # ------------------------------------------------------------------ weights
    Case("NaN", weight(float("nan")), rf"{UP} holds NaN"),
    Case("infinite", weight(float("-inf")), rf"{UP} holds an infinite number"),
    Case("absurd", weight(1e30), rf"{UP} holds 1e\+30"),
    Case(
        "absurd in a vector", weight(-3e35, "language_model.model.norm.weight"), r"norm.weight holds -3e\+35"
    ),
    Case(
        "absurd in an encoder",
        weight(1e30, "audio_encoder.model.feature_projection.projection.weight"),
        r"1e\+30",
    ),
    Case("a flipped bit of float32", flipped_bit(torch.float32, 30), rf"{UP} holds"),
    Case("a flipped bit of bfloat16", flipped_bit(torch.bfloat16, 14), rf"{UP} holds"),
    Case("a flipped bit of float16", flipped_bit(torch.float16, 14), rf"{UP} holds 1\.31e\+03"),
    Case("a tensor is missing", tensors(lambda found: found.pop(UP)), "1 missing keys, such as " + UP),
    Case(
        "a tensor turned",
        tensors(lambda found: found.update({UP: found[UP].T.contiguous()})),
        "mismatched keys",
    ),
    Case(
        "whole numbers", tensors(lambda found: found.update({UP: found[UP].to(torch.int8)})), "floating-point"
    ),
    Case("no tensors", tensors(lambda found: found.clear()), "do not fit the configuration"),
    Case("cut in half", cut("model.safetensors", 0.5), "no whole safetensors file"),
    Case("cut in the header", cut("model.safetensors", 0.001), "no whole safetensors file"),
    Case("empty", content("model.safetensors", b""), "no whole safetensors file"),
    Case("a header of 10^18 bytes", header(10**18), "no whole safetensors file"),
    Case("a header of 90 MB that is not there", header(90_000_000), "no whole safetensors file"),
    Case("a header that is no JSON", header(8, b"not json"), "no whole safetensors file"),
    Case("weights are a folder", folder_instead("model.safetensors"), "model.safetensors"),
    Case("weights link to themselves", link("model.safetensors", "model.safetensors"), "model.safetensors"),
    Case("an index outside the folder", outside, "the name of a .safetensors file in this folder"),
    Case(
        "an index with a whole path",
        sharded(lambda n: dict.fromkeys(n, "/etc/x.safetensors")),
        "in this folder",
    ),
    Case("an index of other files", sharded(lambda n: dict.fromkeys(n, "config.json")), "in this folder"),
    Case("a missing shard", sharded(None, whole=False), "this shard is missing"),
    Case("an index of nothing", sharded({}), "is no index of shards"),
    Case("an index of numbers", sharded(lambda n: dict.fromkeys(n, 3)), "is no index of shards"),
    Case("an index that is a list", sharded([]), "is no index of shards"),
    Case(
        "a tensor that the shard lacks", sharded(lambda n: n | {"more": next(iter(n.values()))}), "lacks more"
    ),
]
