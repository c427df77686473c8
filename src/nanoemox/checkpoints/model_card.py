"""The card of a model folder, written from what the folder itself says: parts, licences, training, results, limits.

Nothing is claimed that no file of the folder holds. Parts come from assembly.json, training from phase.json and
conversion.json, results from a report.json of `nanoemox evaluate`. Of a model that `nanoemox get` has fetched,
release.json says who made it, from what, and what they report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanoemox.checkpoints.provenance import domain_note, history, random_by_record
from nanoemox.checkpoints.releases import LICENCES
from nanoemox.model.configuration_nanoemox import PARTS
from nanoemox.tasks.task import TASKS

TITLES = {
    "vision_encoder": "scene encoder",
    "audio_encoder": "voice encoder",
    "face_encoder": "face encoder",
    "lm": "language model",
}
PHASE_0 = (
    "The encoders were trained with the labels of the same cues that the reasoning task is scored on, and the language "
    "model had practised all six tasks with noisy vectors of them. So the cue figures are mostly supervised "
    "classification."
)
NOT_FOR = (
    "Nothing here may decide anything about anyone: no hiring, schooling, policing, insurance, borders or care; no "
    "watching of people who have not agreed to it; no diagnosis. The answers are a model's readings of a picture, a "
    "voice and words, not what a person feels."
)


def write_card(folder: Path) -> None:
    """Write README.md into a model folder."""
    (folder / "README.md").write_text(model_card(folder), encoding="utf-8")


def model_card(folder: Path) -> str:
    """The card as Markdown with the Hub's front matter."""
    config = _read(folder / "config.json")
    sources: Mapping[str, Any] = _read(folder / "assembly.json").get("sources") or {}
    release = _read(folder / "release.json")
    own = _read(folder / "processor_config.json").get("own_tasks") or {}
    trained = [name for name, task in own.items() if task["trained"]]
    sections = [
        _front_matter(config, sources, release),
        f"# {release.get('name') or folder.name.lstrip('.').removesuffix('.unfinished')}",
        _released(release)
        if release
        else "Nano-EmoX reads a clip the way people do, from face, scene, voice and words, and answers six questions "
        "about it: sentiment, emotion, every emotion in open words, intent, the reasons, and what to reply with "
        "empathy ([arXiv 2603.02123](https://arxiv.org/abs/2603.02123)).",
        _use(trained),
        f"## Tasks\nTrained: {', '.join(trained)}. All others are not trained, and are not asked unless forced."
        if trained
        else "",
        _parts(folder, config, sources, release),
        f"## Training data\n{release['training_data']}" if release else _training(folder, config, sources),
        _published(release),
        _results(folder, config),
        _intended(config),
        f"## What it must not be used for\n{NOT_FOR}",
        "## Limits\nA missing picture, sound or text is stated in the answer, never replaced. Complex reasoning is "
        "weaker than in larger models. Emotion words are not the same in all cultures, and neither are faces.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _hub_ids(sources: Mapping[str, Any]) -> list[str]:
    return sorted({source["name"] for source in sources.values() if source["name"] in LICENCES})


def _released(release: Mapping[str, Any]) -> str:
    """Whose model it is, and how it came into this form."""
    at = f" at {release['revision']}" if release.get("revision") else ""
    return (
        f"{release['title']} ({release['paper']}). Its makers published the checkpoint as `{release['file']}` of "
        f"{release['repository']}{at}, under {release['licence']}. `nanoemox get` has laid it over its backbones, "
        "checked every tensor, and merged its LoRA, which lies in `lora/` as it was."
    )


def _published(release: Mapping[str, Any]) -> str:
    """The figures that the makers report."""
    if not release:
        return ""
    rows = ["## Published figures", "| benchmark | figure |", "|---|---|"]
    rows += [f"| {name} | {value:.2f} |" for name, value in release["figures"].items()]
    return "\n".join([*rows, f"\n{release['figures_note']}"])


def _front_matter(config: Mapping[str, Any], sources: Mapping[str, Any], release: Mapping[str, Any]) -> str:
    lines = ["---", "library_name: transformers", "pipeline_tag: video-text-to-text"]
    if config.get("training_domain"):  # made here from nothing, in one language
        lines += ["license: mit", "language: [en]"]
    elif release:
        lines += [f"license: {release['licence'].lower()}", "language: [en, zh]"]
    else:
        lines += ["license: other", "license_name: terms-of-its-parts", "language: [en, zh]"]
    lines.append("tags: [nanoemox, emotion, empathy, custom_code]")
    if ids := _hub_ids(sources):
        lines += ["base_model:", *(f"  - {name}" for name in ids)]
    if config.get("training_domain"):
        lines.append("inference: false")
    return "\n".join([*lines, "---"])


def _use(trained: Sequence[str]) -> str:
    answer = '["emotion"].label' if not trained else f'["{trained[0]}"].answer'
    return (
        "## Use\n```python\nfrom nanoemox import EmotionAnalyzer\n\n"
        'analyzer = EmotionAnalyzer.from_pretrained("this folder or Hub id")\n'
        f'analyzer.analyze("clip.mp4", text="…"){answer}\n```\n'
        "Without nanoemox, `AutoModelForMultimodalLM` and `AutoProcessor` load it with `trust_remote_code=True`."
    )


def _parts(
    folder: Path, config: Mapping[str, Any], sources: Mapping[str, Any], release: Mapping[str, Any]
) -> str:
    rows = ["## Parts", "| part | from | licence |", "|---|---|---|"]
    for part, source in sources.items():
        at = f" @ {source['revision']}" if source.get("revision") else ""
        name = source["name"] if "/" in source["name"] else f"`{source['name']}` (a local folder or file)"
        terms = LICENCES.get(source["name"], "check at the source")
        rows.append(f"| {TITLES.get(part, part)} | {name}{at} | {terms} |")
    checkpoints = _read(folder / "conversion.json").get("checkpoints")
    trained = (
        f"{', '.join(checkpoints)}, converted | check at the source" if checkpoints else "this project | MIT"
    )
    if release:
        trained = f"{release['repository']}, `{release['file']}` | {release['licence']}"
    own = "adapters, fusion" if sources or checkpoints else "all, encoders and language model too"
    steps = config.get("provenance") or ()
    if not checkpoints and not config.get("training_domain") and any(step.get("corpora") for step in steps):
        trained = "training on the clips named below | check their terms"
    rows.append(f"| {own} | {trained} |")
    return "\n".join(rows)


def _intended(config: Mapping[str, Any]) -> str:
    if config.get("training_domain"):
        return (
            "## Intended use\nTrying the software, testing it, and studying how such a model learns. Clips of Affect "
            "Theatre with English words; of other clips it says something, but nothing that means anything."
        )
    return (
        "## Intended use\nResearch on multimodal emotion understanding, and building on it with people who know of "
        "it and agree. Clips in English or Chinese, of one person speaking, up to some 16 s."
    )


def _training(folder: Path, config: Mapping[str, Any], sources: Mapping[str, Any]) -> str:
    conversion, phase = _read(folder / "conversion.json"), _read(folder / "phase.json")
    trained = bool(conversion or phase)
    if conversion:
        text = f"Converted from official checkpoints: {', '.join(conversion['checkpoints'])}. See their authors' data."
    elif phase:
        data = "; ".join(
            f"{kind}: {', '.join(f'{name} {n}' for name, n in counts.items())}"
            for kind, counts in (phase.get("realised") or {}).items()
            if isinstance(counts, Mapping)
        )
        text = f"Recipe {phase['recipe']}, last phase {phase['settings'].get('name', '')}: {data}."
    else:
        text = "The folder holds no settings of its training."
    left = random_by_record(config)
    if left is None:
        left = [] if trained else [part for part in PARTS if part not in sources]
    if len(left) == len(PARTS):
        text = "**Untrained**: all weights are random, its answers mean nothing."
    elif left and not trained:
        text = f"{', '.join(left)} are **untrained**: this folder is where training starts, its answers mean nothing."
    elif left:
        text += f" {', '.join(left)} are **untrained**, so its answers mean nothing."
    if lines := history(config.get("provenance")):
        text += f"\n\nHow its weights came about: {' → '.join(lines)}."
    if note := domain_note(config.get("training_domain"), config.get("provenance")):
        text += f"\n\n{note[:1].upper()}{note[1:]}."
    return f"## Training data\n{text}"


def _results(folder: Path, config: Mapping[str, Any]) -> str:
    report = _read(folder / "report.json")
    if not report:
        return "## Results\nNone have been measured for this folder."
    rows = [
        f"## Results\n{report['n']} clips, `{report['command']}`\n",
        "| figure | value | 95 % interval | n |",
        "|---|---|---|---|",
    ]
    for task, figures in report["tasks"].items():
        for name in TASKS[task].card_figures if task in TASKS else ():
            row = figures.get(name)
            if isinstance(row, Mapping) and row.get("value") is not None:
                low, high = row.get("low"), row.get("high")
                interval = "" if low is None or high is None else f"{low:.3f} – {high:.3f}"
                rows.append(f"| {task}.{name} | {row['value']:.3f} | {interval} | {row.get('n', '')} |")
    rows.append("\nAll figures, by class and by modality, are in `report.json`.")
    if config.get("training_domain"):  # its encoders come from phase 0
        rows.append(f"\n{PHASE_0}")
    return "\n".join(rows)
