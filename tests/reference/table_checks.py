"""Parity of tables: parameter names, shapes and counts, frame and audio sampling, the weight rule itself."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn
from transformers.initialization import no_init_weights

from nanoemox.checkpoints.official_names import NEVER_REACHED, official_name
from nanoemox.media.clip import SAMPLE_RATE_HZ, audio_window_starts, frame_indices
from nanoemox.media.load import load_clip
from nanoemox.media.resample import resample
from nanoemox.model.clip_processor import centred
from nanoemox.model.configuration_nanoemox import PARTS, NanoEmoXConfig
from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
from nanoemox.model.parts import LORA_RANK, LORA_TARGETS, OFFICIAL_NANO, PHASES, parameter_report, part_of
from tests.media_files import write_wav
from tests.reference.common import Reference, Result, load_json, official_shapes, rule_state, rule_values

# Rows of param_counts.json -> the part of ours that holds them.
ROWS = {
    "CLIP ViT-L/14 vision tower": "vision_encoder",
    "HuBERT-large": "audio_encoder",
    "FaceXFormer: Swin-B (no classifier)": "face_encoder",
    "FaceXFormer: linear_c + linear_fuse": "face_encoder",
    "video Q-Former": "video_adapter",
    "video_proj": "video_adapter",
    "audio Q-Former": "audio_adapter",
    "audio_llama_proj": "audio_adapter",
    "facial time pooling (query + attn)": "face_adapter",
    "facial face_proj (256-768-1536)": "face_adapter",
    "multi_multiscale_fusion": "fusion",
    "multi_llama_proj": "fusion",
    "Qwen2.5-1.5B": "lm",
    "LoRA (r=16)": "lora",
}
PHASE_FILES = {"phase1_1.yaml": "1a", "phase1_2.yaml": "1b", "phase2.yaml": "2", "phase3.yaml": "3"}


@cache
def nano_on_meta() -> nn.Module:
    """The paper's model without memory."""
    with torch.device("meta"), no_init_weights():
        return NanoEmoXForConditionalGeneration(NanoEmoXConfig.preset("nano"))


def check_param_counts(path: Path) -> Result:
    table, result = load_json(path), Result()
    report = parameter_report(NanoEmoXConfig.preset("nano"))
    expected = dict.fromkeys((*PARTS, "lora"), 0)
    for row, part in ROWS.items():
        expected[part] += table["total"][row]
    for part, count in expected.items():
        result.equal(part, report["parameters"]["parts"][part], count)
    result.equal("total", report["parameters"]["total"], sum(expected.values()))
    for part, count in expected.items():
        result.equal(f"{part} as stated", OFFICIAL_NANO["parameters"][part], count)
    result.equal("total as stated", OFFICIAL_NANO["parameters"]["total"], table["total"]["ALL"])
    unread = table["total"]["ALL"] - sum(expected.values())
    result.equal("never read, as stated", OFFICIAL_NANO["parameters"]["never read"], unread)
    for file, phase in PHASE_FILES.items():
        result.equal(f"{phase} as stated", OFFICIAL_NANO["trainable"][phase], table["trainable"][file]["ALL"])
        reached = table["trainable_and_reached_by_the_loss"][file]["ALL"]
        result.equal(f"trained in phase {phase}", report["trainable"][phase], reached)
    return result


def check_nanoemox_param_table(path: Path) -> Result:
    table, result = load_json(path), Result()
    model = nano_on_meta()
    ours: dict[str, list[int]] = {}
    for attribute in ("face_encoder", "video_adapter", "audio_adapter", "face_adapter", "fusion"):
        ours |= official_shapes(attribute, getattr(model, attribute))
    for name, shape in ours.items():
        if ".backbone." not in name:  # the table has what stands outside the backbones
            result.equal(name, _squeezed(shape), _squeezed(table["parameters"].get(name)))
    left = [name for name in table["parameters"] if name not in ours and not name.startswith(NEVER_REACHED)]
    result.equal("official parameters that ours lacks", left, [])
    for name, module in model.named_modules():
        if re.fullmatch(LORA_TARGETS, name) and ".layers.0." in name:
            official = official_name(f"{name}.weight")[0].removesuffix(".weight")
            for letter, shape in (
                ("A", [LORA_RANK, module.in_features]),
                ("B", [module.out_features, LORA_RANK]),
            ):
                key = f"{official}.lora_{letter}.default.weight"
                result.equal(key, shape, table["lora_layer0"].get(key))
    for file, phase in PHASE_FILES.items():
        theirs = set(table["trainable_roots_by_phase"][file])
        names = [name for name, _ in model.named_parameters() if part_of(name) in PHASES[phase]]
        outside = [name for name in names if not _below(official_name(name)[0], theirs)]
        result.equal(f"trained in {phase} by us only", outside, [])
    return result


def check_facial_param_table(path: Path) -> Result:
    table, result = load_json(path), Result()
    model = nano_on_meta()
    ours = official_shapes("face_encoder", model.face_encoder) | official_shapes(
        "face_adapter", model.face_adapter
    )
    for name, shape in table["parameters"].items():
        if not name.startswith(NEVER_REACHED):
            result.equal(name, _squeezed(ours.get(name)), _squeezed(shape))
    result.equal("ours only", sorted(set(ours) - set(table["parameters"])), [])
    return result


def check_rule(path: Path) -> Result:
    table, result = load_json(path), Result()
    for entry in table["u"]:
        ours = rule_values(entry["i"], len(entry["first_four"]), entry["salt"])
        result.compare(f"u {entry['i']}", ours, entry["first_four"])
    fusion = official_shapes("fusion", nano_on_meta().fusion)
    for key, expected in table["values"].items():
        match = re.fullmatch(r"fusion_paper salt (\d+): (.+)", key)
        if not match or match[2] not in fusion:
            result.problems.append(f"{key}: not a parameter of the fusion encoder")
            continue
        values = rule_state(fusion, int(match[1]))[match[2]].flatten()[: len(expected)]
        result.compare(key, values, torch.tensor(expected))
    return result


def check_frame_indices(path: Path) -> Result:
    result = Result()
    for case in load_json(path):
        result.equal(f"{case['vlen']} frames", frame_indices(case["vlen"], case["n"]), case["indices"])
    return result


def check_audio_windows(path: Path) -> Result:
    result = Result()
    for case in load_json(path):
        starts = audio_window_starts(case["num_samples_16k"], case["num_clips"], compat="official")
        expected = [start for start, _ in case["sample_ranges"]]
        result.equal(f"{case['num_samples_16k']} samples", list(starts), expected)
    return result


def check_audio_preproc(path: Path) -> Result:
    """The release's own path, of a file: resample, average channels, pad to 2 s, cut, subtract means."""
    reference, result = Reference.read(path), Result()
    waveform, rate_hz = reference.inputs["waveform"].numpy(), int(reference.inputs["sample_rate"])
    with TemporaryDirectory() as folder:
        file = write_wav(Path(folder) / "sound.wav", waveform.T, rate_hz, len(waveform))
        clip = load_clip(file, compat="official")
    assert clip.audio_windows is not None
    before = torch.from_numpy(clip.audio_windows)
    after = torch.from_numpy(centred(clip.audio_windows))
    ours = {
        "resampled": resample(waveform, rate_hz, SAMPLE_RATE_HZ),
        "raw_audio_shape": torch.tensor([len(after), 1, after.shape[1]]),
        "before_every_29th": before[:, ::29],
        "after_every_29th": after[:, ::29],
        "clip_means_before": before.mean(dim=1),
        "clip_means_after": after.mean(dim=1),
        "clip_std_after": after.std(dim=1),
    }
    ours |= {f"clip{index}_after": clip for index, clip in enumerate(after)}
    result.compare_all(ours, reference.outputs)
    return result


def _squeezed(shape: list[int] | None) -> list[int] | None:
    """A shape without trailing ones, since a 1 x 1 convolution may be stored as a matrix."""
    while shape and len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _below(name: str, roots: set[str]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)
