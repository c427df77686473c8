"""Trained models of this family that others have published, and where their parts are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Commits of the Hub that are known to hold what is expected. What is not listed is taken as it is on the day.
REVISIONS = {
    "openai/clip-vit-base-patch16": "57c216476eefef5ab752ec549e440a49ae4ae5f3",
    "openai/clip-vit-large-patch14": "32bd64288804d66eefd0ccbe215aa642df71cc41",
    "TencentGameMate/chinese-hubert-base": "fce0375452b1dd6c080ac3248d423d4d037bc831",
    "TencentGameMate/chinese-hubert-large": "90cb660492214f687e60f5ca509b20edae6e75bd",
    "Qwen/Qwen3-0.6B": "c1899de289a04d12100db370d81485cdf75e47ca",
    "Qwen/Qwen3-8B": "b968826d9c46dd6066d109eabc6255188de91218",
}


@dataclass(frozen=True)
class Release:
    """One published model.

    Attributes:
        name: What it is called here.
        title: What it is, in one sentence.
        repository: The Hub id that holds its checkpoint.
        file: The path of the checkpoint in it.
        licence: Of the checkpoint.
        backbones: Part of the model -> Hub id.
        backbone_names: What the checkpoint's own configuration calls them.
        dtype: Of the weights, unless another one is asked for.
        paper: Where it is described.
        training_data: What it was trained on.
        figures: What its authors report: benchmark -> figure.
        figures_note: How they were measured.
    """

    name: str
    title: str
    repository: str
    file: str
    licence: str
    backbones: Mapping[str, str]
    backbone_names: Mapping[str, str]
    dtype: str
    paper: str
    training_data: str
    figures: Mapping[str, float]
    figures_note: str

    def to_dict(self) -> dict[str, Any]:
        """What release.json of its folder holds."""
        return {
            "name": self.name,
            "title": self.title,
            "repository": self.repository,
            "file": self.file,
            "licence": self.licence,
            "paper": self.paper,
            "training_data": self.training_data,
            "figures": dict(self.figures),
            "figures_note": self.figures_note,
        }


_DATA = "MER-Caption+ (31,327 clips, labels and descriptions made by machine): every emotion, or a description of one"
_NOTE = (
    "Reported by the authors on MER-UniBench with audio, faces and text: hit rate for MER2023, MER2024, MELD and "
    "IEMOCAP, weighted F1 for MOSI, MOSEI, SIMS and SIMSv2, set F over emotion wheels for OV-MERD+. Answers were "
    "sampled, a larger language model read the labels out of them, and the best of all epochs on each test set counts. "
    "This package has not measured them."
)
_SETS = ("MER2023", "MER2024", "MELD", "IEMOCAP", "MOSI", "MOSEI", "SIMS", "SIMSv2", "OV-MERD+", "mean")

LIGHT_MER = Release(
    name="light-mer",
    title="Light-MER, 0.85 billion parameters: every emotion of a person in open words, and the reasons",
    repository="kevin233333/Light-MER",
    file="stage1-swdh-qwen3-0.6b/checkpoint_000060_loss_1.291.pth",
    licence="Apache-2.0",
    backbones={
        "vision_encoder": "openai/clip-vit-base-patch16",
        "audio_encoder": "TencentGameMate/chinese-hubert-base",
        "lm": "Qwen/Qwen3-0.6B",
    },
    backbone_names={
        "visual_encoder": "CLIP_VIT_BASE",
        "acoustic_encoder": "HUBERT_BASE",
        "llama_model": "Qwen3_0.6B",
    },
    dtype="float32",
    paper="arXiv 2607.12787",
    training_data=f"{_DATA}. Distilled from light-mer-teacher.",
    figures=dict(
        zip(_SETS, (75.66, 80.04, 57.02, 61.46, 80.04, 77.23, 89.05, 87.74, 63.28, 74.61), strict=True)
    ),
    figures_note=_NOTE,
)
LIGHT_MER_TEACHER = Release(
    name="light-mer-teacher",
    title="The teacher of Light-MER, 9 billion parameters: AffectGPT's form on Qwen3-8B",
    repository="kevin233333/Light-MER",
    file="light-mer-teacher-qwen3-8b.pth",
    licence="Apache-2.0",
    backbones={
        "vision_encoder": "openai/clip-vit-large-patch14",
        "audio_encoder": "TencentGameMate/chinese-hubert-large",
        "lm": "Qwen/Qwen3-8B",
    },
    backbone_names={
        "visual_encoder": "CLIP_VIT_LARGE",
        "acoustic_encoder": "HUBERT_LARGE",
        "llama_model": "Qwen3",
    },
    dtype="bfloat16",
    paper="arXiv 2607.12787",
    training_data=f"{_DATA}.",
    figures=dict(
        zip(_SETS, (76.72, 79.68, 55.99, 59.32, 78.46, 78.48, 88.30, 86.94, 61.47, 73.93), strict=True)
    ),
    figures_note=_NOTE,
)
RELEASES = {release.name: release for release in (LIGHT_MER, LIGHT_MER_TEACHER)}
# Licences of the parts, as their pages on the Hub or their makers state them.
LICENCES = {
    "openai/clip-vit-base-patch16": "MIT (of its code; its page on the Hub states none)",
    "openai/clip-vit-large-patch14": "MIT (of its code; its page on the Hub states none)",
    "TencentGameMate/chinese-hubert-base": "MIT",
    "TencentGameMate/chinese-hubert-large": "MIT",
    "kartiknarayan/facexformer": "MIT",
    "Qwen/Qwen2.5-1.5B-Instruct": "Apache-2.0",
    "Qwen/Qwen2.5-7B-Instruct": "Apache-2.0",
    "Qwen/Qwen3-0.6B": "Apache-2.0",
    "Qwen/Qwen3-8B": "Apache-2.0",
    "kevin233333/Light-MER": "Apache-2.0",
}
