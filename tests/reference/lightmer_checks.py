"""Parity with Light-MER's own code: its backbones' features, pictures, prompts, checkpoints, a model end to end."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoTokenizer, Wav2Vec2FeatureExtractor

from nanoemox.checkpoints.affectgpt_prompts import IDS, chat_template, prompt_texts
from nanoemox.checkpoints.convert import common_name, plan_checkpoint
from nanoemox.checkpoints.get import get
from nanoemox.checkpoints.load import load_model
from nanoemox.checkpoints.official_names import official_name
from nanoemox.checkpoints.official_processor import END_OF_TURN
from nanoemox.checkpoints.weight_files import Stored
from nanoemox.inference import decoding
from nanoemox.media.clip import FRAMES_PER_CLIP, WINDOW, frame_indices
from nanoemox.model.affectgpt import AttentionAdapter, AttentionFusion, opencv_resized
from nanoemox.model.clip_processor import normalised_sound, picture_processor
from nanoemox.model.configuration_nanoemox import PLACEHOLDERS, NanoEmoXConfig, preset_fields
from nanoemox.model.encoders import AudioEncoder, VisionEncoder
from nanoemox.model.parts import part_of
from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
from tests.reference.common import Reference, Result, load, rule_state, rule_values

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def config_of(**changes: Any) -> NanoEmoXConfig:
    """The configuration of Light-MER with some sizes changed; a dict changes a part's own configuration."""
    fields = preset_fields("light-mer")
    for name, value in changes.items():
        fields[name] = {**fields[name], **value} if isinstance(value, dict) else value
    return NanoEmoXConfig(**fields)


def picture(frames: int, height: int, width: int, a: int, b: int) -> NDArray[np.uint8]:
    """The pictures of the reference set's README, [T, H, W, 3]."""
    t, y, x, c = np.ogrid[:frames, :height, :width, :3]
    return ((a * x + b * y + 37 * c + 61 * t + ((x * y) >> 5) + ((x ^ y) & 31)) % 256).astype(np.uint8)


def sound(windows: int, salt: int) -> NDArray[np.float32]:
    """The sound of the reference set's README, [C, 32000]."""
    n = np.arange(WINDOW)
    rows = [
        0.3 * np.sin(0.05 * (1 + 0.13 * c) * n) + 0.1 * rule_values(c, WINDOW, salt) + 0.02 * c
        for c in range(windows)
    ]
    return np.stack(rows).astype(np.float32)


def pixels(frames: NDArray[np.uint8], side: int) -> Tensor:
    """Pictures of the encoder's own size -> [T, 3, H, W], by CLIP's preparation."""
    processor = picture_processor(side, CLIP_MEAN, CLIP_STD)
    return processor(list(frames), input_data_format="channels_last", return_tensors="pt")["pixel_values"]


# ---------------------------------------------------------------------- encoders and adapters
def check_clip(path: Path) -> Result:
    reference, result = Reference.read(path), Result()
    side = reference.number("image_size")
    config = config_of(
        vision_config={
            "hidden_size": reference.number("hidden"),
            "intermediate_size": reference.number("intermediate"),
            "num_hidden_layers": reference.number("layers"),
            "num_attention_heads": reference.number("heads"),
            "image_size": side,
            "patch_size": reference.number("patch"),
            "hidden_act": reference.metadata["hidden_act"],
            "layer_norm_eps": float(reference.metadata["layer_norm_eps"]),
            "projection_dim": reference.number("projection"),
        },
    )
    encoder = load("vision_encoder", VisionEncoder(config), reference.state)
    a, b = json.loads(reference.metadata["picture"])
    values = pixels(picture(reference.number("t"), side, side, a, b), side)
    output = encoder.model(values, output_hidden_states=True)
    ours = {
        "features": encoder(values[None])[0],
        "hidden_states_cls": torch.stack([state[:, 0] for state in output.hidden_states]),
        "pixel_values_every_16th": values[:, :, ::16, ::16],
        "pooled": output.pooler_output,
    }
    result.compare_all(ours, reference.outputs)
    return result


def check_hubert(path: Path) -> Result:
    reference, result = Reference.read(path), Result()
    config = config_of(
        audio_config={
            "hidden_size": reference.number("hidden"),
            "intermediate_size": reference.number("intermediate"),
            "num_hidden_layers": reference.number("layers"),
            "num_attention_heads": reference.number("heads"),
            "conv_dim": [reference.number("conv_dim")] * 7,
            "conv_bias": reference.metadata["conv_bias"] == "True",
            "do_stable_layer_norm": reference.metadata["do_stable_layer_norm"] == "True",
            "feat_extract_norm": reference.metadata["feat_extract_norm"],
            "layer_norm_eps": float(reference.metadata["layer_norm_eps"]),
            "num_conv_pos_embeddings": reference.number("num_conv_pos_embeddings"),
            "num_conv_pos_embedding_groups": reference.number("num_conv_pos_embedding_groups"),
        },
    )
    encoder = load("audio_encoder", AudioEncoder(config), reference.state)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    files = [sound(reference.number("clips"), salt) for salt in json.loads(reference.metadata["sound_salts"])]
    together = normalised_sound(np.stack(files), extractor)  # [B, C, L], all files of a batch as one
    flat = together.flatten(0, 1)
    output = encoder.model(flat, output_hidden_states=True)
    states = [*output.hidden_states[:-1], output.last_hidden_state]
    ours = {
        "main": encoder(together)[0],
        "main_one_at_a_time": torch.cat(
            [encoder(normalised_sound(one, extractor)[None])[0] for one in files]
        ),
        "hidden_states_timemean": torch.stack([state.mean(dim=1) for state in states]),
        "normalised_head": flat[:, :64],
        "normalised_stats": torch.stack([flat.mean(dim=1), flat.std(dim=1)], dim=1),
        "steps": torch.tensor(output.last_hidden_state.shape[1]),
    }
    result.compare_all(ours, reference.outputs)
    return result


def check_adapters(path: Path) -> Result:
    """The three adapters at their real sizes, with weights by the rule."""
    reference, result = Reference.read(path), Result()
    video_width, audio_width = reference.number("visual_dim"), reference.number("audio_dim")
    config = config_of(
        vision_config={"projection_dim": video_width},
        audio_config={"hidden_size": audio_width, "num_attention_heads": 1},
        text_config={"hidden_size": reference.number("llm_dim")},
        fusion_tokens=reference.number("num_multi_query_token"),
    )
    modules = {
        "video_adapter": AttentionAdapter(config, video_width, 0, reference.number("num_video_query_token")),
        "audio_adapter": AttentionAdapter(config, audio_width, 0, reference.number("num_audio_query_token")),
        "fusion": AttentionFusion(config),
    }
    state = reference.state
    if not state:
        shapes = {
            name: list(parameter.shape)
            for prefix, module in modules.items()
            for name, parameter in official_parameters(prefix, module)
        }
        result.equal("parameters", sorted(shapes), json.loads(reference.metadata["parameters"]))
        state = rule_state(shapes, reference.number("rule_salt"))
    state = {name.replace("affectgpt_proj.", "video_proj."): value for name, value in state.items()}
    for prefix, module in modules.items():
        load(prefix, module, state)
    video, audio = reference.inputs["video_features"], reference.inputs["audio_features"]
    fusion = modules["fusion"]
    assert isinstance(fusion, AttentionFusion)
    ours = {
        "video_tokens": modules["video_adapter"](video),
        "audio_tokens": modules["audio_adapter"](audio),
        "multi_hidden": fusion.mix(video, audio),
        "multi_tokens": fusion(video, audio)[0],
    }
    result.compare_all(ours, reference.outputs)
    return result


def official_parameters(prefix: str, module: torch.nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters of a module under the names of AffectGPT's family."""
    return [
        (official_name(name)[0].replace("video_proj.", "affectgpt_proj."), parameter)
        for name, parameter in module.named_parameters(prefix)
    ]


def check_faces(path: Path) -> Result:
    """Crops of faces -> eight pictures of 224 x 224, by OpenCV's bilinear rule; its versions differ by 1."""
    reference, result = Reference.read(path), Result()
    for name, case in json.loads(reference.metadata["cases"]).items():
        crops = picture(case["frames"], case["height"], case["width"], case["a"], case["b"])
        chosen = crops[frame_indices(len(crops), FRAMES_PER_CLIP)]
        ours = torch.from_numpy(opencv_resized(chosen, 224)).permute(3, 0, 1, 2)  # [3, T, H, W]
        result.equal(f"{name}.shape", list(ours.shape), case["shape"])
        every_8th = reference.outputs[f"{name}.raw_face_every_8th"]
        difference = (ours[:, :, ::8, ::8].int() - every_8th.int()).abs().max().item()
        result.equal(f"{name}.raw_face_every_8th, at most 1 apart", difference <= 1, True)
        means = ours.float().mean(dim=(2, 3))
        off = (means - reference.outputs[f"{name}.raw_face_mean"]).abs().max().item()
        result.equal(f"{name}.raw_face_mean, at most 0.05 apart", off <= 0.05, True)
    return result


# ---------------------------------------------------------------------- the whole model
def wording(prompt: str) -> dict[str, str]:
    """The pieces of a prompt of all media, by the names under which this package holds their ids."""
    texts = {}
    for name, end in (
        ("opening", "###Human: "),
        ("merged", "<Multi></Multi>. "),
        ("audio", "<Audio></Audio>. "),
        ("face", "<Video></Video>. "),
        ("text", "<Subtitle>"),
    ):
        before, _, prompt = prompt.partition(end)
        texts[name] = before or end
    rest = prompt.partition("</Subtitle>. ")[2].partition(" ###Assistant: ")[0]
    closing, _, question = rest.removesuffix(".").rpartition(". ")
    texts |= {"closing": f"{closing}. ", "open_vocabulary": f"{question}."}
    return texts | {"face_alone": "W" + texts["face"].partition(", w")[2]}


def pieces_of(texts: dict[str, str], tokenizer: Any) -> dict[str, dict[str, Any]]:
    """Ids and hash of each piece, as affectgpt_prompts.json holds them for the vocabulary of Qwen."""
    return {
        name: {
            "ids": tokenizer(text, add_special_tokens=False)["input_ids"],
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        for name, text in texts.items()
    }


def prompt_of(reference: Reference, tokenizer: Any) -> str:
    """The first clip's prompt without its placeholders."""
    theirs = json.loads(reference.metadata["placeholder_ids"]).values()
    ids = [token for token in reference.inputs["clip0.input_ids"].tolist() if token not in theirs]
    text: str = tokenizer.decode(ids)
    return text


def check_end_to_end(path: Path) -> Result:
    """`get` on the folder of the reference model, then its answers: ids, features, tokens, logits, words, loss."""
    reference, result = Reference.read(path), Result()
    tokenizer = AutoTokenizer.from_pretrained(path.parent / "sources" / "qwen3")
    texts = wording(prompt_of(reference, tokenizer))
    for name, text in texts.items():  # what this package holds as Qwen's ids is this wording
        stated = json.loads(IDS.read_text(encoding="utf-8"))[name]["sha256"]
        result.equal(f"wording of {name}", hashlib.sha256(text.encode()).hexdigest(), stated)
    pieces = pieces_of(texts | {"reasoning": texts["open_vocabulary"]}, tokenizer)
    with TemporaryDirectory() as folder:
        place, _ = get("light-mer", Path(folder) / "model", source=path.parent, pieces=pieces)
        model, processor = load_model(place, dtype=torch.float32)
    theirs, ours = json.loads(reference.metadata["placeholder_ids"]), model.config.placeholder_ids
    renamed = {theirs["multi"]: ours["fusion"], theirs["audio"]: ours["audio"], theirs["face"]: ours["video"]}

    def as_ours(ids: Tensor) -> Tensor:
        return torch.tensor([renamed.get(token, token) for token in ids.flatten().tolist()]).view_as(ids)

    features: list[dict[str, Tensor]] = []
    side = processor.image_processor.crop_size["height"]
    media = zip(
        json.loads(reference.metadata["pictures"]), json.loads(reference.metadata["sound_salts"]), strict=True
    )
    for number, ((a, b), salt) in enumerate(media):
        clip = f"clip{number}"
        subtitle = json.loads(reference.metadata["subtitles"])[number]
        prompt = processor.prompt(texts["open_vocabulary"], modalities={"video", "audio"}, text=subtitle)
        ids = processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        expected = as_ours(reference.inputs[f"{clip}.input_ids"])
        result.equal(f"{clip}.input_ids", ids, expected.tolist())
        windows = normalised_sound(sound(8, salt), processor.feature_extractor)
        found = model.encode(
            pixel_values_videos=pixels(picture(8, side, side, a, b), side)[None], input_values=windows[None]
        )
        features.append(found)
        embeddings, _ = model.merge(expected[None], found)
        branches, _ = decoding.read_prompts(model, [[expected.tolist()]], found)
        written = decoding.write(model, branches, [len(reference.outputs[f"{clip}.greedy_ids"])], [])
        values = {
            "face_features": found["video_features"][0],
            "audio_features": found["audio_features"][0],
            "face_tokens": model.get_video_features(found["video_features"])[0],
            "audio_tokens": model.get_audio_features(found["audio_features"])[0],
            "multi_tokens": model.get_fusion_features(found["video_features"], found["audio_features"])[0][0],
            "inputs_embeds": embeddings[0],
            "logits_of_the_last_16_positions": model(input_ids=expected[None], **found).logits[0, -16:],
            "greedy_ids": torch.tensor(written[0][0]),
        }
        wanted = {
            name.removeprefix(f"{clip}."): value
            for name, value in reference.outputs.items()
            if name.startswith(f"{clip}.")
        }
        result.compare_all(values, wanted)

    # The training form: both clips in one batch, with the end of the text masked although its label counts.
    batch = {name: torch.cat([each[name] for each in features]) for name in features[0]}
    labels = reference.inputs["train.labels"]
    ids = as_ours(reference.inputs["train.input_ids"])
    output = model(
        input_ids=ids, attention_mask=reference.inputs["train.attention_mask"], labels=labels, **batch
    )
    predicts = labels[:, 1:] != -100
    values = {
        "train.answer_logits": output.logits[:, :-1][predicts],
        "train.ce_loss": output.loss,
        "train.inputs_embeds": model.merge(ids, batch)[0],
    }
    result.compare_all(values, {n: v for n, v in reference.outputs.items() if n.startswith("train.")})
    return result


# ---------------------------------------------------------------------- tables and prompts
def check_checkpoint_tables(path: Path) -> Result:
    """Every tensor of the published checkpoints has its place in ours, and nothing of ours is left without one."""
    result = Result()
    for name, table in json.loads(path.read_text(encoding="utf-8")).items():
        dims = table["dims"]
        config = config_of(
            vision_config=VISION[dims["visual"]] | {"projection_dim": dims["visual"]},
            audio_config=AUDIO[dims["audio"]],
            text_config={
                "hidden_size": dims["llm"],
                "num_hidden_layers": dims["layers"],
                "num_attention_heads": dims["q_heads"],
                "num_key_value_heads": dims["kv_heads"],
                "head_dim": dims["head_dim"],
                "intermediate_size": dims["intermediate"],
                "vocab_size": dims["vocabulary_rows"],
                "tie_word_embeddings": f"{TIED}.weight" in table["tensors"],
            },
        )
        dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        stored = {
            common_name(tensor): Stored(tuple(shape), dtypes[dtype], lambda: torch.empty(0))
            for tensor, (shape, dtype) in table["tensors"].items()
        }
        plan = plan_checkpoint(path, config, stored)
        groups = table["parameters_by_group"]
        counted = Counter()
        for parameter, shape in plan.shapes.items():
            counted[part_of(parameter)] += math.prod(shape)
        heads = ("affectgpt_proj", "video_attention_mlp")
        result.equal(f"{name}: kept", set(plan.kept()), {"vision_encoder", "audio_encoder", "lm"})
        result.equal(f"{name}: LoRA", len(plan.lora), 7 * dims["layers"])
        result.equal(f"{name}: lm", counted["lm"], groups["llama_model"])
        result.equal(f"{name}: audio_encoder", counted["audio_encoder"], groups["acoustic_encoder"])
        vision = groups["visual_encoder.vision_model"] + groups["visual_encoder.visual_projection"]
        result.equal(f"{name}: vision_encoder", counted["vision_encoder"], vision)
        result.equal(f"{name}: video_adapter", counted["video_adapter"], sum(groups[head] for head in heads))
        lora = sum(math.prod(each.shape) for pair in plan.lora.values() for each in pair.values())
        result.equal(f"{name}: LoRA's numbers", lora, groups["lora"])
        unread = ("text_model", "text_projection", "logit_scale")
        left = sum(groups[f"visual_encoder.{part}"] for part in unread) + groups["image_llama_proj"]
        total = table["parameters_without_distillation_head"]
        result.equal(f"{name}: all", sum(counted.values()) + lora + left, total)
    return result


TIED = "llama_model.base_model.model.lm_head"
VISION: dict[int, dict[str, int]] = {
    512: {},
    768: {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
    },
}
AUDIO: dict[int, dict[str, Any]] = {
    768: {},
    1024: {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "do_stable_layer_norm": True,
    },
}


class Vocabulary:
    """So much of a tokenizer as the ends of answers need: pieces of text and their ids."""

    def __init__(self, pieces: dict[str, int]) -> None:
        self.pieces = pieces
        self.eos_token_id = pieces["<|im_end|>"]
        self.all_special_tokens = ["<|im_start|>", "<|im_end|>"]

    def get_vocab(self) -> dict[str, int]:
        return self.pieces

    def decode(self, ids: list[int], **options: Any) -> str:
        texts = {number: text for text, number in self.pieces.items()}
        return "".join(texts[number] for number in ids)


# Which prompts this package writes: the clip's modalities, as the mode has them.
MODES = {
    "multiface_audio_face_text": ({"video", "audio"}, True),
    "audio_text": ({"audio"}, True),
    "face_text": ({"video"}, True),
    "audioonly": ({"audio"}, False),
    "faceonly": ({"video"}, False),
    "textonly": (set(), True),
}


def check_prompts(path: Path) -> Result:
    """The ends of answers and what is read of them; the wording of the prompts, by its hash.

    The wording is known where the model of the reference set lies beside the file, or a tokenizer of Qwen3 in the
    folder that NANOEMOX_QWEN3 names; with the latter, the ids are compared, too.
    """
    told, result = json.loads(path.read_text(encoding="utf-8")), Result()
    pieces = {
        text: ids for row in told["endings"] for text, ids in zip(row["pieces"], row["ids"], strict=True)
    }
    pieces |= {"<|im_start|>": told["tokenizer"]["bos"], "<|im_end|>": told["tokenizer"]["eos"]}
    pieces |= {"#": 2, "##": 565}
    processor = NanoEmoXProcessor.__new__(NanoEmoXProcessor)
    processor.tokenizer, processor.end_of_turn = Vocabulary(pieces), END_OF_TURN
    ends = processor.end_sequences
    result.equal("ends that are not theirs", [end for end in ends if end not in told["stop_patterns"]], [])
    for pattern in told["stop_patterns"]:
        result.equal(f"stops at {pattern}", any(pattern[-len(end) :] == end for end in ends), True)
    for row in told["endings"]:
        stops = (
            count
            for count in range(1, len(row["ids"]) + 1)
            if any(row["ids"][:count][-len(end) :] == end for end in ends)
        )
        result.equal(f"{row['text']!r} stops after", next(stops, None), row["stops_after"])
    for row in told["responses"]:
        result.equal(f"response of {row['text']!r}", processor.response(row["text"]), row["response"])

    # The wording, from the ids of another vocabulary whose texts have the hashes that this package holds.
    qwen = os.environ.get("NANOEMOX_QWEN3")
    beside = path.parent / "e2e"
    if qwen:
        tokenizer = AutoTokenizer.from_pretrained(qwen)
        texts = prompt_texts(tokenizer)
        result.equal("the ids that this package holds fit Qwen3", texts is not None, True)
    elif beside.is_dir():
        tokenizer = AutoTokenizer.from_pretrained(beside / "sources" / "qwen3")
        texts = wording(prompt_of(Reference.read(beside / "lightmer_e2e.safetensors"), tokenizer))
    else:
        return result
    if texts is None:
        return result
    config = config_of()
    writer = NanoEmoXProcessor.from_config(config, tokenizer)
    writer.chat_template = chat_template(texts)
    names = dict(zip(PLACEHOLDERS.values(), ("<MultiHere>", "<AudioHere>", "", "<FaceHere>"), strict=True))
    numbers = told["tokenizer"]["placeholder_ids"]
    theirs = {numbers["multi"]: "fusion", numbers["audio"]: "audio", numbers["face"]: "video"}
    for row in told["prompts"]:
        if row["mode"] not in MODES or (not qwen and row["question"] != "open_vocabulary"):
            continue
        modalities, said = MODES[row["mode"]]
        question = told["questions"][row["question"]]["ids"]
        prompt = writer.prompt(
            tokenizer.decode(question) if qwen else texts["open_vocabulary"],
            modalities=modalities,
            text=row["subtitle"] if said else None,
        )
        plain = prompt
        for token, name in names.items():
            plain = plain.replace(token, name)
        name = f"{row['mode']}, {row['question']}, {row['subtitle']!r}"
        result.equal(f"{name}: characters", len(plain), row["characters"])
        result.equal(f"{name}: text", hashlib.sha256(plain.encode()).hexdigest(), row["sha256"])
        if qwen:
            config.fit_tokenizer(writer.tokenizer)
            ids = writer.tokenizer(prompt, add_special_tokens=False)["input_ids"]
            wanted = [config.placeholder_ids[theirs[i]] if i in theirs else i for i in row["ids"]]
            result.equal(f"{name}: ids", ids, wanted)
    return result


def check_manifest(path: Path) -> Result:
    """The files of the reference set are those that were made."""
    result = Result()
    for name, entry in json.loads(path.read_text(encoding="utf-8")).items():
        place = path.parent / name
        data = place.read_bytes() if place.is_file() else b""
        result.equal(f"{name}: bytes", len(data), entry["bytes"])
        result.equal(f"{name}: sha256", hashlib.sha256(data).hexdigest(), entry["sha256"])
    return result
