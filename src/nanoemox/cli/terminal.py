"""What the commands show in a terminal: answers, scores and sizes as tables (rich)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nanoemox.checkpoints.provenance import ORIGIN_CODES
from nanoemox.cli.console import printable
from nanoemox.evaluation.report import EvaluationReport
from nanoemox.evaluation.reproduce import ReproductionReport
from nanoemox.inference.results import Analysis, TaskResult
from nanoemox.media.clip import PRESENT
from nanoemox.metrics.bootstrap import Figure
from nanoemox.scoring.compare import ComparisonReport, Pairing
from nanoemox.scoring.external import FileReport
from nanoemox.scoring.prediction_files import FaultNames
from nanoemox.scoring.readings import Renamed
from nanoemox.tasks.base import Figures
from nanoemox.tasks.task import TASKS

if TYPE_CHECKING:
    from nanoemox.baselines.classify import ClassifierReport
    from nanoemox.timeline.report import TimelineReport

LABELS_SHOWN = 3
WORDS_SHOWN = 300  # characters of what was read or heard
INTERVAL = "95 %\ninterval"
REAL_PEOPLE = "nanoemox get light-mer fetches a model that was trained on real people"
FEW_CLIPS = 20  # below this a bootstrap interval is too narrow to go by
EXPERT_NAMES = ("shallow", "middle", "deep")


def show_analysis(console: Console, analysis: Analysis) -> None:
    """The answers as a table, and below it what the model had to go on."""
    name = Path(analysis.clip.path).name or "words alone"
    length = f" · {analysis.clip.duration_s:.1f} s" if analysis.clip.duration_s else ""
    table = _table(f"{name}{length} · model {analysis.model}", show_lines=True)
    table.add_column("Task", style="bold", no_wrap=True)
    table.add_column("Answer", overflow="fold")
    table.add_column("Probability", no_wrap=True)
    for task, result in analysis.items():
        ranked = sorted(result.probabilities.items(), key=lambda pair: -pair[1])[:LABELS_SHOWN]
        shares = "\n".join(f"{_percent(share)} {label}" for label, share in ranked)
        table.add_row(TASKS[task].title, _safe(_answer(result)), _safe(shares))
    console.print(table)
    if analysis.people is not None:
        console.print(_people(analysis))
    for modality, state in analysis.modalities.items():
        there = "[green]present[/]" if state == PRESENT else f"[yellow]absent[/], {_safe(state)}"
        console.print(f"{modality:<8} {there}", highlight=False)
    if analysis.spoken:
        said = _safe(shorten(f"{analysis.spoken.text}", WORDS_SHOWN, placeholder=" …"))
        console.print(
            f"{'words':<8} {said} ({_safe(str(analysis.text_source))})", highlight=False, soft_wrap=True
        )
    if analysis.experts:
        names = EXPERT_NAMES if len(analysis.experts) == len(EXPERT_NAMES) else range(len(analysis.experts))
        weights = (
            f"{name} {_percent(weight).strip()}" for name, weight in zip(names, analysis.experts, strict=True)
        )
        console.print(f"{'experts':<8} {' · '.join(weights)}", highlight=False)
    if analysis.explanation is not None and analysis.explanation.without:
        for task in (task for task, result in analysis.items() if result.probabilities):
            most = analysis.explanation.matters_most(task)
            line = "hardly anything moves without any one modality"
            if most is not None:
                moved = _percent(analysis.explanation.moved(task, most)).strip()
                line = f"without {most}, {moved} of the probability moves"
            console.print(f"{'rests on':<8} {TASKS[task].title}: {line}", highlight=False)
    if analysis.provenance and not {w.code for w in analysis.warnings} & {
        *ORIGIN_CODES
    }:  # the notes say it else
        console.print(
            f"{'model':<8} {_safe(' → '.join(analysis.provenance))}", highlight=False, soft_wrap=True
        )
    shown = {f"no_{modality}" for modality in analysis.modalities}  # as present or absent, above
    notes = []
    for warning in analysis.warnings:
        notes += [] if warning.code in shown else [warning.text]
        notes += [REAL_PEOPLE] if warning.code == "training_domain" else []
    notes += [f"{TASKS[task].title}: {w.text}" for task, result in analysis.items() for w in result.warnings]
    for note in notes:
        console.print(f"[yellow]{'note':<8}[/] {_safe(note)}", highlight=False)


def _people(analysis: Analysis) -> Table:
    """Who was seen, who speaks, and the answers for each that fit a line."""
    table = _table(f"people · {analysis.face_detector}", show_lines=True)
    table.add_column("Person", style="bold", no_wrap=True)
    table.add_column("Speaks", no_wrap=True)
    closed = [task for task in analysis if TASKS[task].candidates() is not None]
    for task in closed:
        table.add_column(TASKS[task].title, overflow="fold")
    for each in analysis.people or ():
        speech = "—" if each.person.speech is None else _percent(each.person.speech)
        answers = (_safe(each.tasks[task].answer) if task in each.tasks else "—" for task in closed)
        table.add_row(each.person.name, speech, *answers)
    return table


def _percent(share: float) -> str:
    """A share in four characters; what is nearly nothing or nearly all is not rounded to it."""
    return " <1%" if 0 < share < 0.005 else ">99%" if 0.995 <= share < 1 else f"{share:4.0%}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _answer(result: TaskResult) -> str:
    """One cell of the table; an empathetic reply comes below the chain of thought that led to it."""
    if not result.thinking:
        return result.answer or result.text
    chain = (f"{link + ':':<8} {text}" for link, text in result.thinking.items())
    return "\n".join([*chain, "", result.answer])


def show_scores(console: Console, report: EvaluationReport) -> None:
    """Figures, with what trivial models reach and what the world's construction allows beside them."""
    _heading(console, f"{_count(report.n, 'clip')} · model {report.model}")
    table = _narrow()
    headings = ["value", INTERVAL, "n", *(name.replace("_", "\n") for name in report.baselines)]
    _columns(table, "figure", [*headings, "ceiling"] if report.ceilings else headings)
    for task, figures in report.tasks.items():
        table.add_row(f"[bold]{task}[/]")
        for name, figure in figures.items():
            if figure["value"] is None:
                continue
            cells = [_spaced(name), _number(figure["value"]), _interval(figure), str(figure["n"])]
            cells += [_number(baseline.value(task, name)) for baseline in report.baselines.values()]
            if report.ceilings:
                cells.append(_number(report.ceiling(task, name)))
            table.add_row(*cells)
        table.add_section()
    console.print(table)
    for task in report.tasks:  # last, where a long table leaves the eye
        if (value := report.tasks.headline(task)) is not None:
            console.print(
                f"[bold]{_number(value)}[/] {task}, {_spaced(TASKS[task].headline)}", highlight=False
            )
    console.print("[dim]what each figure means: docs/scoring.md[/]", highlight=False)
    if report.n < FEW_CLIPS:
        console.print("[yellow]note[/] so few clips make the intervals too narrow", highlight=False)
    if report.world_note:
        console.print(f"[yellow]note[/] {_safe(report.world_note)}", highlight=False)
    broken = report.errors["clips"]
    if broken:
        console.print(f"[yellow]note[/] {broken} clips could not be read and count as wrong", highlight=False)


NAMES_SHOWN = 5


def show_file_scores(console: Console, report: FileReport) -> None:
    """Figures of somebody's predictions, where the two ways of scoring differ, and every fault of the file."""
    _heading(console, f"{report.task} · {report.n} clips · {report.predictions}")
    table = _narrow()
    _columns(table, "figure", ["value", INTERVAL, "n"])
    judged: Figures = (report.judge or {}).get("figures") or {}
    for name, figure in (report.standard or {}).items():
        value = _number(figure["value"]) or "undefined"
        table.add_row(_spaced(name), value, _interval(figure), str(figure["n"]))
    for name, figure in judged.items():
        value = _number(figure["value"])
        table.add_row(f"{_spaced(name)} (1 to 10)", value, _interval(figure), str(figure["n"]))
    table.add_section()
    for name, share in (report.official or {}).items():
        table.add_row(f"official {_spaced(name)}", _number(share) or "undefined", "", "")
    console.print(table)
    for pair in report.differences or ():
        theirs, ours = (_number(value) or "undefined" for value in pair["values"])
        line = f"official {pair['official']} {theirs}, standard {pair['standard']} {ours}: {pair['why']}"
        console.print(f"[yellow]differ[/] {_safe(line)}", highlight=False, soft_wrap=True)
    for note in report.notes or ():
        console.print(f"[yellow]note[/] {_safe(note)}", highlight=False, soft_wrap=True)
    routes = " · ".join(f"{route} {n}" for route, n in (report.routes or {}).items())
    console.print(f"labels from: {_safe(routes)}", highlight=False, soft_wrap=True)
    _show_readings(console, report.wrappers or {}, report.mapping or {})
    _show_faults(console, report.faults or {})


def _show_readings(
    console: Console,
    wrappers: Mapping[str, int],
    mapping: Mapping[str, Mapping[str, Renamed]],
    before: str = "",
) -> None:
    """What answers were wrapped in, and which labels count as another spelling."""
    if wrappers:
        shown = " · ".join(f"{name} {n}" for name, n in wrappers.items())
        console.print(f"{_safe(before)}answers came in: {_safe(shown)}", highlight=False, soft_wrap=True)
    for side, labels in mapping.items():
        pairs = [f"{spelt} → {each['counts_as']} ({each['n']})" for spelt, each in labels.items()]
        if pairs:
            more = " …" if len(pairs) > NAMES_SHOWN else ""
            line = f"labels of {side} count as: {', '.join(pairs[:NAMES_SHOWN])}{more}"
            console.print(_safe(line), highlight=False, soft_wrap=True)


def _show_faults(console: Console, faults: Mapping[str, FaultNames], before: str = "") -> None:
    for kind, fault in faults.items():
        shown = ", ".join(fault["names"][:NAMES_SHOWN]) + (" …" if fault["n"] > NAMES_SHOWN else "")
        console.print(
            f"[yellow]{fault['n']}[/] {_safe(before + kind)}: {_safe(shown)}", highlight=False, soft_wrap=True
        )


def show_comparison(console: Console, report: ComparisonReport) -> None:
    """Two systems side by side, and the clips where they differ most."""
    _heading(console, f"A {report.a}")
    _heading(console, f"B {report.b}")
    table = _narrow()
    _columns(table, "task", ["A", "B", "B - A", INTERVAL, "p", "A > B", "B > A", "n"])
    for task, row in report.tasks.items():
        means = [_number(value) for value in (row["a"], row["b"], row["difference"])]
        counts = [str(number) for number in (row["a_better"], row["b_better"], row["n"])]
        table.add_row(_spaced(task), *means, _interval(row), f"{row['p']:.4f}", *counts)
    console.print(table)
    for task, row in report.tasks.items():
        shown = ", ".join(clip["id"] for clip in row["clips"][:NAMES_SHOWN])
        more = f" and {len(row['clips']) - NAMES_SHOWN} more" if len(row["clips"]) > NAMES_SHOWN else ""
        left = row["answered_by_neither"]
        also = f"; {left} clips that neither has answered are left out" if left else ""
        console.print(f"{task}: {row['measure']}, mean over clips{also}", highlight=False, soft_wrap=True)
        if row["n"] < FEW_CLIPS:
            console.print(
                f"{task}: so few clips make the interval too narrow; trust p", highlight=False, soft_wrap=True
            )
        if shown:
            console.print(f"{task} differs on {_safe(shown)}{more}", highlight=False, soft_wrap=True)
    for side, wrappers in report.wrappers.items():
        _show_readings(console, wrappers, {}, f"{side.upper()}: ")
    _show_readings(
        console, {}, {side.upper() if len(side) == 1 else side: m for side, m in report.mapping.items()}
    )
    for side, faults in report.faults.items():
        _show_faults(console, faults, f"{side.upper()}: ")


def show_reproduction(console: Console, report: ReproductionReport) -> None:
    """A benchmark's cells beside the published figures, in percent, and what the figures hide."""
    _heading(console, f"{report.title}, in percent · model {report.model}")
    table = _narrow()
    table.padding = 0  # up to nine columns
    papers = [_safe(fill(paper["model"], 7, break_long_words=False)) for paper in report.published]
    _columns(
        table, "set", ["this\nmodel", INTERVAL.replace(" % ", " %\n"), "official\nscorer", "n", *papers], 8
    )
    for i, cell in enumerate(report.cells):
        interval = "" if cell.low is None or cell.high is None else f"{cell.low:.1f}–{cell.high:.1f}"
        theirs = [_points(paper["values"][i]) for paper in report.published]
        table.add_row(
            _safe(cell.name),
            _points(cell.value),
            interval,
            _points(cell.official),
            str(cell.n or ""),
            *theirs,
        )
    if any(paper["mean"] is not None for paper in report.published):
        means = [_points(paper["mean"]) for paper in report.published]
        table.add_row("mean", _points(report.mean), "", _points(report.official_mean), "", *means)
    console.print(table)

    # What a reader has to know about the cells.
    lines = [report.about, *report.warnings]
    for why in dict.fromkeys(report.missing.values()):
        names = ", ".join(name for name, reason in report.missing.items() if reason == why)
        lines.append(f"missing: {names} ({why})")
    for corpus in report.corpora:
        if corpus.published_clips not in (None, corpus.clips):
            lines.append(
                f"{corpus.corpus}: {corpus.clips} of the {corpus.published_clips} test clips published"
            )
        if corpus.skipped:
            lines.append(f"{corpus.corpus}: {corpus.skipped} lines could not be used and are left out")
        if corpus.quarantined:
            lines.append(
                f"{corpus.corpus}: {corpus.quarantined} clips are left out, as they are on the quarantine list"
            )
        if corpus.broken:
            lines.append(f"{corpus.corpus}: {len(corpus.broken)} clips could not be read and count as wrong")
        if corpus.without_media:
            lines.append(
                f"{corpus.corpus}: {corpus.without_media} clips have no files and were asked by their text alone"
            )
        if corpus.without_text:
            lines.append(f"{corpus.corpus}: clips without text: {corpus.without_text}")
    for note in dict.fromkeys(note for corpus in report.corpora for note in corpus.notes):
        names = ", ".join(corpus.corpus for corpus in report.corpora if note in corpus.notes)
        lines.append(f"{names}: {note}")
    if few := [cell.name for cell in report.cells if 0 < cell.n < FEW_CLIPS]:
        lines.append(f"{', '.join(few)}: so few clips make the interval too narrow")
    for line in lines:
        console.print(_safe(line), highlight=False, soft_wrap=True)


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def show_systems(console: Console, report: ClassifierReport) -> None:
    """A small network beside classical classifiers, and every clip that was left out."""
    table = _table(f"{report.task} by {report.modality} · {report.n} clips · {report.manifest}")
    table.add_column("System", no_wrap=True)
    for heading in ("Accuracy", "Recall (UAR)", "Weighted F1"):
        table.add_column(heading, justify="right")
    for name, figures in report.systems.items():
        table.add_row(
            _safe(name), *(f"{_number(row['value'])} ({_interval(row)})" for row in figures.values())
        )
    console.print(table)
    left_out = list(report.left_out.items())
    for name, why in left_out[:NAMES_SHOWN]:
        console.print(f"[yellow]left out[/] {_safe(f'{name}: {why}')}", highlight=False, soft_wrap=True)
    if left_out:
        console.print(f"left out in all: {len(left_out)}", highlight=False)


SEGMENTS_SHOWN = 30
_LEVELS = "▁▂▃▄▅▆▇█"


def show_timeline(console: Console, report: TimelineReport) -> None:
    """The segments of a recording: when which emotion holds."""
    from nanoemox.timeline.read import clock

    rows = _count(len(report.rows), "row")
    heading = f"{report.file.name} · {clock(report.length_s)} · model {report.model} · {rows}"
    table = _table(heading)
    people = any(segment.person for segment in report.segments)
    for name in ("from", "to", *(("person",) if people else ()), "emotion", "probability", "valence"):
        table.add_column(
            name, justify="right" if name in ("from", "to", "probability", "valence") else "left"
        )
    for each in report.segments[:SEGMENTS_SHOWN]:
        who = [_safe(each.person or "")] if people else []
        numbers = [_percent(each.probability), f"{each.valence:+.2f}"]
        table.add_row(
            clock(each.start_s, tenths=True),
            clock(each.end_s, tenths=True),
            *who,
            _safe(each.emotion),
            *numbers,
        )
    console.print(table)
    if len(report.segments) > SEGMENTS_SHOWN:
        console.print(f"and {len(report.segments) - SEGMENTS_SHOWN} more segments", highlight=False)
    for warning in report.warnings:
        console.print(f"[yellow]note[/] {_safe(warning.text)}", highlight=False)


class LiveView:
    """What is read live, in place: bars, and a line of the last minute. Use it in a `with` statement."""

    def __init__(self, console: Console, source: str) -> None:
        from rich.live import Live

        self.source, self.trail = source, ""
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, answer: Mapping[str, Any]) -> None:
        """Show one answer in place of the one before."""
        row = answer["row"]
        named = row["emotion"]
        table = _table(f"{self.source} · {row['end_s']:.1f} s")
        for name in ("emotion", "", "probability"):
            table.add_column(name, no_wrap=True)
        for label, share in row["probabilities"].items():
            bold = "[bold]" if label == named else ""
            table.add_row(f"{bold}{_safe(label)}", "█" * round(30 * share), _percent(share))
        self.trail = (self.trail + _LEVELS[round((row["valence"] + 1) / 2 * (len(_LEVELS) - 1))])[-60:]
        facts = f"valence {row['valence']:+.2f} · {answer['behind_s']:.1f} s behind"
        facts += f" · {answer['skipped']} windows left out" if answer["skipped"] else ""
        warned = f"\n{', '.join(row['warnings']).replace('_', ' ')}" if row.get("warnings") else ""
        table.caption = f"{facts}\n{self.trail}{_safe(warned)}"
        self._live.update(table, refresh=True)


def show_sizes(console: Console, model: str, sizes: Mapping[str, Any]) -> None:
    """Parameters of every part, and how many each phase trains; the official code's beside them if given."""
    table = _table(f"model {model}")
    table.add_column("Part", no_wrap=True)
    table.add_column("Parameters", justify="right")
    published = sizes.get("official")
    counts, trained = (published["parameters"], published["trainable"]) if published else ({}, {})
    if published:
        table.add_column("official code", justify="right")
    parts = sizes["parameters"]["parts"]
    _count_rows(table, parts, counts)
    _count_rows(table, {"never read": 0} if published else {}, counts)
    _count_rows(table, {"total": sizes["parameters"]["total"]}, counts)
    _count_rows(table, sizes["trainable"], trained, "trained in phase ")
    console.print(table)


def show_dry_run(console: Console, report: Any) -> None:
    """What a dry run found : the clips, the phases, what it takes, what is wrong."""
    if report.corpora:
        table = _table(f"{report.recipe} · clips to train on")
        table.add_column("Manifest", overflow="fold")
        for heading in ("Clips", "Quarantined", "No file", "Unreadable"):
            table.add_column(heading, justify="right")
        table.add_column("Labels")
        for row in report.corpora:
            labels = "\n".join(f"{task} {count}" for task, count in row.tasks.items())
            unreadable = f"{len(row.unreadable)} of {row.tried}" if row.tried else "not tried"
            numbers = [str(n) for n in (row.clips, row.quarantined, len(row.missing))]
            table.add_row(_safe(row.manifest), *numbers, unreadable, labels)
        console.print(table)
    table = _table(f"{report.recipe} · phases")
    table.add_column("Phase")
    for heading in ("Steps", "Batch", "Clips seen", "Trained", "s a step"):
        table.add_column(heading, justify="right")
    table.add_column("Examples")
    for row in report.phases:
        kinds = {**row.realised.get("tasks", {}), **row.realised.get("corpora", {})}
        examples = "\n".join(f"{_safe(kind)} {count}" for kind, count in kinds.items()) or "none"
        step = "not timed" if row.step_s is None else f"{row.step_s:.3g}"
        numbers = [str(n) for n in (row.steps, row.batch_size, row.clips)]
        table.add_row(row.name, *numbers, f"{row.trained / 1e6:.1f} M" if row.trained else "", step, examples)
    console.print(table)
    for name, fact in report.facts.items():
        console.print(f"[bold]{_safe(name)}[/]  {_safe(fact)}", highlight=False)
    for note in report.notes:
        console.print(f"[yellow]note[/] {_safe(note)}", highlight=False)
    for problem in report.problems:
        console.print(f"[red]problem[/] {_safe(problem)}", highlight=False)
    verdict = f"cannot run: {_count(len(report.problems), 'problem')}" if report.problems else "ready to run"
    console.print(f"{_safe(report.recipe)}: {verdict}", highlight=False)


def _count_rows(
    table: Table, rows: Mapping[str, int], published: Mapping[str, int], prefix: str = ""
) -> None:
    for name, count in rows.items():
        beside = [f"{published[name]:,}"] if published else []
        table.add_row(f"{prefix}{name}", f"{count:,}", *beside)
    if rows:
        table.add_section()


def _heading(console: Console, text: str) -> None:
    console.print(f"[bold]{_safe(text)}[/]", highlight=False, soft_wrap=True)


def _narrow() -> Table:
    """A table without frames, for many columns of numbers in 80 columns of text."""
    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _columns(table: Table, first: str, numbers: Sequence[str], width: int = 12) -> None:
    """Names that may take two lines, of at least `width` letters, and numbers that may not."""
    table.add_column(first, min_width=width, vertical="bottom")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True, vertical="bottom")


def _spaced(name: str) -> str:
    return _safe(name.replace("_", " ").replace("f1", "F1"))


def _table(title: str, show_lines: bool = False) -> Table:
    return Table(title=_safe(title), title_justify="left", title_style="bold", show_lines=show_lines)


def _safe(text: str) -> str:
    """Text of files and models: neither markup nor commands to the terminal."""
    return escape(printable(text))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(row: Figure | Pairing) -> str:
    low, high = row["low"], row["high"]
    return "" if low is None or high is None else f"{low:.3f}–{high:.3f}"
