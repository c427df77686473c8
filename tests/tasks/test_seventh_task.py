"""A seventh task is one Python object and one YAML file; nothing else in the package knows a task by its name."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from rich.console import Console

from nanoemox.cli.terminal import show_analysis, show_comparison, show_file_scores, show_scores
from nanoemox.data.manifest import ManifestError, read_manifest, read_predictions
from nanoemox.data.schema import Prediction, json_schema
from nanoemox.evaluation import predict as predictions
from nanoemox.evaluation.evaluate import evaluate
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.page import render_report
from nanoemox.inference.results import TaskResult
from nanoemox.scoring.compare import compare
from nanoemox.scoring.external import score_file
from nanoemox.scoring.score import score
from nanoemox.tasks.base import Figures, Label, Sample, Task
from nanoemox.tasks.grammar import Answer, most_common
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS
from nanoemox.training.mixture import schedule_by_share
from tests.inference.test_analyzer import make_clip
from tests.inference.test_page import Page

# ---------------------------------------------------------------- the seventh task: one YAML, one class, one entry

YAML = """
name: energy
title: Energy
version: 3
level: perception
tag: "[Energy]"
question: "How energetic is this person?"
answer: "The energy is {steps} of 10."
max_new_tokens: 5
"""


class EnergyLabel(Label):
    """How energetic the person is, from 0 to 10."""

    steps: int = Field(ge=0, le=10)


@dataclass(frozen=True, kw_only=True)
class Energy(Task[EnergyLabel]):
    """The task."""

    form = EnergyLabel
    headline = "near"
    watched_figures = ("near",)
    compared_by = "nearness in steps"
    label_columns = ("energy",)

    def target(self, labels: Labels, modalities: Collection[str] | None = None) -> str | None:
        mine = self.label(labels)
        return None if mine is None else self.answer.format(steps=mine.steps)

    def parse(self, text: str, candidates: Sequence[str] | None = None) -> Answer:
        found = re.search(r"\d+", text)
        return Answer(text=text, label=found.group() if found else None)

    def shown(self, answer: Answer) -> str:
        return f"{answer.label} steps" if answer.label else "no number"

    def score(self, sample: Sample[EnergyLabel]) -> Figures:
        return {"near": sample.mean(lambda case: self.clip_score(case.label, case.answer))}

    def majority(self, train: Sequence[Labels]) -> Answer:
        return Answer(label=most_common(str(mine.steps) for mine in self.labels_of(train)))

    def clip_score(self, label: EnergyLabel, answer: Answer) -> float:
        return 1 - abs(label.steps - int(answer.label)) / 10 if answer.label else 0.0

    def label_from(self, text: str) -> EnergyLabel | None:
        return EnergyLabel(steps=int(text)) if text.isdigit() else None


@pytest.fixture(autouse=True)
def energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Energy:
    (tmp_path / "energy.yaml").write_text(YAML, encoding="utf-8")
    task = Energy.from_yaml(tmp_path / "energy.yaml")
    monkeypatch.setitem(TASKS, task.name, task)
    return task


# ---------------------------------------------------------------- asked, parsed, scored, reported, compared


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Four clips with a label for the new task, the last of them with one for emotion too."""
    path = tmp_path / "manifest.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for i, steps in enumerate((3, 3, 7, 10)):
            labels: dict[str, Any] = {"energy": {"steps": steps}}
            if i == 3:
                labels["emotion"] = {"label": "anger"}
            file.write(json.dumps({"id": f"c{i}", "video": f"{i}.mp4", "labels": labels}) + "\n")
            (tmp_path / f"{i}.mp4").touch()
    return path


@pytest.fixture
def analyzer(model: Any, processor: Any, monkeypatch: pytest.MonkeyPatch) -> EmotionAnalyzer:
    monkeypatch.setattr(predictions, "load_record", lambda record, compat=None: make_clip(int(record.id[1:])))
    return EmotionAnalyzer(model, processor, "toy")


def shown(show: Any, value: Any) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        show(console, value)
    return capture.get()


def test_it_stands_in_manifests_predictions_and_their_schemas(tmp_path: Path, manifest: Path) -> None:
    records = read_manifest(manifest)
    assert records[3].labels.tasks == ("emotion", "energy")
    assert records[3].labels.get("energy") == EnergyLabel(steps=10) == records[3].labels.energy
    assert records[0].line(tmp_path)["labels"] == {"energy": {"steps": 3}}
    manifest.write_text('{"id": "a", "text": "x", "labels": {"energy": {"steps": 11}}}\n')
    with pytest.raises(ManifestError, match=r"labels\.energy\.steps: .* less than or equal to 10, got 11"):
        read_manifest(manifest)
    manifest.write_text('{"id": "a", "text": "x", "labels": {"energy": {"step": 1}}}\n')
    with pytest.raises(ManifestError, match=r"unknown key 'labels\.energy\.step' \(known: steps\)"):
        read_manifest(manifest)
    assert "energy" in json_schema()["$defs"]["Labels"]["properties"]
    assert "energy" in json_schema(Prediction)["properties"]["task"]["enum"]
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(Prediction.of("a", "energy", Answer(label="4")).line()) + "\n")
    assert read_predictions(path)[0].task_version == 3


def test_it_is_asked_and_parsed(analyzer: EmotionAnalyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[str] = []
    prompt = analyzer.processor.prompt

    def spy(question: str, **more: Any) -> str:
        prompts.append(prompt(question, **more))
        return prompts[-1]

    monkeypatch.setattr(analyzer.processor, "prompt", spy)
    decode = analyzer.processor.tokenizer.decode
    monkeypatch.setattr(
        analyzer.processor.tokenizer,
        "decode",
        lambda tokens, **_: decode(tokens) and "The energy is 8 of 10.",
    )
    analysis = analyzer.analyze(make_clip(), tasks=["energy"])
    assert len(prompts) == 1 and "[Energy] How energetic is this person?" in prompts[0]
    result = analysis["energy"]
    assert isinstance(result, TaskResult) and (result.label, result.answer) == ("8", "8 steps")
    assert [w.code for w in result.warnings] == ["answer_cut"]  # at the five tokens of the YAML
    assert analysis.to_dict()["tasks"]["energy"]["answer"] == "8 steps"
    page = Page(render_report(analysis))
    assert "Energy" in page.text and "8 steps" in page.text
    terminal = shown(show_analysis, analysis)
    assert "Energy" in terminal and "8 steps" in terminal


def test_it_is_scored_and_reported(
    analyzer: EmotionAnalyzer, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyzer.processor.tokenizer, "decode", lambda *_, **__: "The energy is 5 of 10.")
    report = evaluate(manifest, analyzer, tmp_path / "out", tasks=["energy"])
    written = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert written == report.to_dict()
    assert written["tasks"]["energy"]["near"]["value"] == pytest.approx((0.8 + 0.8 + 0.8 + 0.5) / 4)
    assert written["baselines"]["majority"]["energy"]["near"]["value"] == pytest.approx(
        (1 + 1 + 0.6 + 0.3) / 4
    )
    assert written["versions"]["tasks"] == {"energy": 3}
    assert written["routes"] == {"energy": {"free text": 4}}
    assert written["by_modalities"]["audio + video"]["figures"]["energy.near"]["n"] == 4
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "Energy" in page.text and "near" in page.text and "0.725" in page.text
    terminal = shown(show_scores, report)
    assert "0.725 energy, near" in terminal
    lines = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert score({r.id: r.labels for r in read_manifest(manifest)}, lines) == report.tasks


def test_files_of_others_are_scored_and_compared(tmp_path: Path, manifest: Path) -> None:
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_text("id,text,truth\nc0,3,3\nc1,about 4,3\nc2,no idea,7\nc3,10,ten\n")
    b.write_text("id,energy\nc0,3\nc1,3\nc2,7\n")
    report = score_file(a, "energy", manifest)
    assert report.standard is not None
    assert report.standard["near"]["value"] == pytest.approx((1 + 0.9 + 0 + 1) / 4)
    assert "near" in shown(show_file_scores, report)
    by_column = score_file(a, "energy")
    assert by_column.n == 3
    assert (by_column.faults or {})["truth cannot be read (not scored)"]["names"] == ["c3: 'ten'"]
    comparison = compare(a, b, manifest, "energy")
    row = comparison.tasks["energy"]
    assert (row["measure"], row["n"], row["b_better"], row["a_better"]) == ("nearness in steps", 4, 2, 1)
    assert "energy: nearness in steps" in shown(show_comparison, comparison)
    with pytest.raises(ValueError, match="the official code does not score this task"):
        score_file(a, "energy", manifest, mode="official")
    with pytest.raises(ValueError, match=r"a server can help with reasoning, .* not with energy"):
        score_file(a, "energy", manifest, server=object())  # type: ignore[arg-type]


def test_it_is_trained(manifest: Path) -> None:
    examples = schedule_by_share(read_manifest(manifest), {"energy": 1.0}, ["video"], {}, 8, 0)
    assert {example.task for example in examples} == {"energy"} and len(examples) == 8


# ---------------------------------------------------------------- nobody else knows a task by its name

PACKAGE = Path(__file__).parents[2] / "src" / "nanoemox"
# Tasks themselves; what writes labels (readers of corpora, Affect Theatre); what is shown as an example.
EXEMPT = ("tasks", "corpora/readers", "theatre")
NAMES = frozenset(TASKS)


def names_in(node: ast.AST) -> list[str]:
    """Names of tasks among the constants of an expression."""
    constants = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
    return [value for value in constants if isinstance(value, str) and value in NAMES]


def decisions_by_name(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where code decides by a task's name: comparisons, tables keyed by tasks, lists of tasks, cases of a match."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and (found := names_in(node)):
            yield node.lineno, f"comparison with {', '.join(found)}"
        elif isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant) and key.value in NAMES]
            if len(keys) > 1:
                yield node.lineno, f"table by {', '.join(keys)}"
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            items = [e.value for e in node.elts if isinstance(e, ast.Constant) and e.value in NAMES]
            if len(items) > 1 and len(items) == len(node.elts):
                yield node.lineno, f"list of {', '.join(items)}"
        elif isinstance(node, ast.MatchValue) and (found := names_in(node)):
            yield node.value.lineno, f"case {', '.join(found)}"


def test_no_other_file_decides_by_the_name_of_a_task() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(EXEMPT):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{name}:{line}: {what}" for line, what in decisions_by_name(tree)]
    for path in sorted(PACKAGE.rglob("*.jinja")):
        text = path.read_text(encoding="utf-8")
        known = re.findall(rf"""(?:tasks\.|["'])({"|".join(sorted(NAMES))})\b["']?""", text)
        found += [f"{path.relative_to(PACKAGE)}: {each}" for each in known]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        'if task == "emotion": pass',
        'x = task.name in ("sentiment", "other")',
        'HEADLINES = {"emotion": 1, "intent": 2}',
        'CLOSED = ("sentiment", "emotion", "intent")',
        'match task:\n    case "empathy": pass',
    ],
)
def test_the_search_finds_what_it_looks_for(text: str) -> None:
    assert len(list(decisions_by_name(ast.parse(text)))) == 1


def test_the_search_lets_label_data_pass() -> None:
    assert not list(
        decisions_by_name(ast.parse('labels["emotion"] = {"label": "anger"}\nx = ["emotion", name]'))
    )
