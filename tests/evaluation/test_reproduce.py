"""A benchmark measured again: toy corpora in their original layouts, answers of which every score is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanoemox.cli import main as cli
from nanoemox.corpora.prepare import CORPORA
from nanoemox.evaluation import predict as predictions
from nanoemox.evaluation.benchmarks import benchmarks, find_corpora
from nanoemox.evaluation.reproduce import reproduce
from nanoemox.files.errors import ArgumentError
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.model_tasks import ModelTasks
from nanoemox.inference.results import Answers, Request, TaskResult
from nanoemox.media.clip import empty_clip
from nanoemox.media.untrusted import MediaError
from nanoemox.tasks.task import TASKS
from tests.corpora.trees import label_archive, plant

WORDS = "name,chinese,english\n"
MELD_HEAD = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
)
MELD_TIMES = '8,21,"00:16:16,059","00:16:21,731"\n'


def plant_all(root: Path) -> Path:
    """The nine sets of MER-UniBench with two test clips each, of which the toy model gets one right.

    What the toy model answers is what a clip's text says after "say".
    """

    def words(*lines: str) -> str:
        return WORDS + "".join(f"{line}\n" for line in lines)

    def processed(process: str, first: Any, second: Any, media: str, key: str = "test_corpus") -> None:
        plant(
            root,
            {
                f"{process}/label.npz": label_archive(**{key: {"sample_1": first, "sample_2": second}}),
                f"{process}/transcription-engchi-polish.csv": words(
                    "sample_1,,say joyful", "sample_2,,say joyful"
                ),
            },
            f"{process}/{media}/sample_1.mp4 {process}/{media}/sample_2.mp4",
        )

    good, bad = {"emo": 0, "val": 1.0}, {"emo": 0, "val": -1.0}
    processed("cmumosi-process", good, bad, "subvideo")
    processed("cmumosei-process", good, bad, "subvideo_new")
    processed("sims-process", good, bad, "video")
    processed("simsv2-process", good, bad, "video_new")
    plant(
        root,
        {
            "mer2023-dataset-process/label-6way.npz": label_archive(
                train_corpus={"sample_3": {"emo": "angry", "val": -1.0}},
                test1_corpus={
                    "sample_1": {"emo": "happy", "val": 2.0},
                    "sample_2": {"emo": "sad", "val": -1.0},
                },
            ),
            "mer2023-dataset-process/transcription-engchi-polish.csv": words(
                "sample_1,,say joyful", "sample_2,,say joyful", "sample_3,,say angry"
            ),
            "MER2024/label-disdim.csv": "name,discrete,valence\nsample_3,neutral,0\n",
            "MER2024/reference-semi.csv": "name,discrete\nsample_1,happy\nsample_2,sad\n",
            "MER2024/transcription_merge.csv": words(
                "sample_1,say joyful,", "sample_2,say joyful,", "sample_3,say calm,"
            ),
            "MELD.Raw/test_sent_emo.csv": MELD_HEAD
            + f"1,say joyful,Ross,joy,positive,0,0,{MELD_TIMES}2,say joyful,Ross,sadness,negative,0,1,{MELD_TIMES}",
            "IEMOCAP/label_4way.npz": label_archive(
                whole_corpus={
                    "Ses05F_impro01_F000": {"emo": 0, "val": -10},
                    "Ses05F_impro01_F001": {"emo": 2, "val": -10},
                }
            ),
            "ovmerdplus-process/ovlabel.csv": "name,openset\nsample_1,[happy]\nsample_2,[sad]\n",
            "ovmerdplus-process/subtitle_eng.csv": words("sample_1,,say joyful", "sample_2,,say joyful"),
        },
        "MER2024/video-labeled/sample_3.mp4 MER2024/video-unlabeled/sample_1.mp4 "
        "MER2024/video-unlabeled/sample_2.mp4 "
        "mer2023-dataset-process/video/sample_1.mp4 mer2023-dataset-process/video/sample_2.mp4 "
        "mer2023-dataset-process/video/sample_3.mp4 "
        "MELD.Raw/test/output_repeated_splits_test/dia0_utt0.mp4 "
        "MELD.Raw/test/output_repeated_splits_test/dia0_utt1.mp4 "
        "IEMOCAP/subvideo-tgt/Ses05F_impro01_F000.avi IEMOCAP/subvideo-tgt/Ses05F_impro01_F001.avi "
        "ovmerdplus-process/video/sample_1.mp4 ovmerdplus-process/video/sample_2.mp4",
    )
    return root


class Parrot(EmotionAnalyzer):
    """A model that answers what the text tells it to say; it counts its clips."""

    clips = 0

    def answer_batch(self, requests: Any) -> list[Answers]:
        return [self._answers(request) for request in requests]

    def _answers(self, request: Request) -> Answers:
        self.clips += 1
        text = (request.text or "say happy").partition("say ")[2] or "nothing"
        told = {name: TaskResult.of(TASKS[name], TASKS[name].parse(text)) for name in request.tasks or ()}
        return Answers(told, {"text": "present"}, None, (), {})


@pytest.fixture
def parrot(model: Any, processor: Any, monkeypatch: pytest.MonkeyPatch) -> Parrot:
    monkeypatch.setattr(predictions, "load_record", lambda record, compat=None: empty_clip("a toy"))
    return Parrot(model, processor, "toy")


def test_every_cell_of_the_table(parrot: Parrot, tmp_path: Path) -> None:
    plant_all(tmp_path / "data")
    report = reproduce("merunibench", parrot, tmp_path / "data", tmp_path / "out")
    assert not report.missing and parrot.clips == 18  # two of each set, and none of another split
    assert {cell.name: cell.n for cell in report.cells} == dict.fromkeys(
        ["MER2023", "MER2024", "MELD", "IEMOCAP", "MOSI", "MOSEI", "SIMS", "SIMSv2", "OV-MERD+"], 2
    )
    values = {cell.name: cell.value for cell in report.cells}
    # "joyful" is right for the happy clip and wrong for the sad one.
    for name in ("MER2023", "MER2024", "MELD"):
        assert values[name] == 50.0
    # One positive of two is right: F1 of "positive" is 2/3, that of the rest 0, and each is half of the clips.
    for name in ("MOSI", "MOSEI", "SIMS", "SIMSv2"):
        assert values[name] == pytest.approx(100 / 3, abs=1e-3)
    assert values["OV-MERD+"] == 50.0
    known = [value for value in values.values() if value is not None]
    assert report.mean == pytest.approx(sum(known) / 9, abs=1e-3)
    # The official scorer needs word lists for all but sentiment.
    official = {cell.name: cell.official for cell in report.cells}
    assert official["MOSI"] == pytest.approx(100 / 3, abs=1e-3) and official["MELD"] is None
    assert any("give --tables DIR" in note for corpus in report.corpora for note in corpus.notes)


def test_the_published_means_are_those_of_the_papers() -> None:
    plan = benchmarks()["merunibench"]
    means = {paper.model: sum(v for v in paper.values if v) / 9 for paper in plan.published}
    assert {name: round(mean, 2) for name, mean in means.items()} == {
        "Nano-EmoX, 2.2 B": 74.01,
        "AffectGPT, 8.3 B": 74.77,
        "Light-MER, 0.85 B": 74.61,
    }


def test_the_file_of_benchmarks_fits_the_package() -> None:
    for plan in benchmarks().values():
        assert set(plan.corpora) <= set(CORPORA) and set(plan.asks) <= set(TASKS)
        assert all(len(paper.values) == len(plan.cells) for paper in plan.published)
        for cell in plan.cells:
            assert set(plan.asks) & {cell.task} or TASKS[cell.task].from_words


def test_it_goes_on_where_it_was_stopped_and_refuses_another_protocol(parrot: Parrot, tmp_path: Path) -> None:
    data = plant_all(tmp_path / "data")
    whole = reproduce("merunibench", parrot, data, tmp_path / "whole")
    stopped = tmp_path / "stopped"
    reproduce("merunibench", parrot, data, stopped, limit=1)
    asked = parrot.clips
    resumed = reproduce("merunibench", parrot, data, stopped)
    assert parrot.clips == asked + 9  # the other clip of each set
    assert [vars(cell) for cell in resumed.cells] == [vars(cell) for cell in whole.cells]
    with pytest.raises(ArgumentError, match="answers of another run are there"):
        reproduce("merunibench", parrot, data, stopped, max_new_tokens=7)


def test_what_is_missing_is_named_and_the_rest_is_measured(parrot: Parrot, tmp_path: Path) -> None:
    data = plant_all(tmp_path / "data")
    (data / "MELD.Raw" / "test_sent_emo.csv").unlink()
    (data / "MER2024").rename(data / "elsewhere")
    report = reproduce("merunibench", parrot, data, tmp_path / "out")
    assert (
        set(report.missing) == {"meld", "mer2024"} and "no folder of that name" in report.missing["mer2024"]
    )
    cells = {cell.name: cell for cell in report.cells}
    assert cells["MELD"].value is None and cells["MER2023"].value == 50.0
    assert report.mean is None  # a mean of other cells is another figure
    report = reproduce("merunibench", parrot, data, tmp_path / "out", corpora={"mer2024": data / "elsewhere"})
    assert set(report.missing) == {"meld"}


def test_a_clip_that_cannot_be_read_counts_as_wrong(
    parrot: Parrot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(record: Any, compat: Any = None) -> Any:
        if record.id == "sample_1":
            raise MediaError(f"{record.video}: it is empty")
        return empty_clip("a toy")

    monkeypatch.setattr(predictions, "load_record", load)
    data = plant_all(tmp_path / "data")
    report = reproduce("merunibench", parrot, data, tmp_path / "out")
    first = next(corpus for corpus in report.corpora if corpus.corpus == "mer2023")
    assert list(first.broken) == ["sample_1"] and report.cells[0].n == 2 and report.cells[0].value == 0.0


def test_files_and_command(
    parrot: Parrot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    data = plant_all(tmp_path / "data")
    monkeypatch.setattr(EmotionAnalyzer, "from_pretrained", classmethod(lambda cls, *a, **k: parrot))
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", "merunibench", "--data", str(data), "--out", str(tmp_path / "out")])
    shown = capsys.readouterr().out
    assert ended.value.code == 0 and "74.61" in shown and "MER2024" in shown and "mean" in shown
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert found["protocol"]["decoding"] == "greedy" and "open_vocabulary" in found["protocol"]["questions"]
    assert "| MELD |" in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "report.csv").read_text().count("\n") == 11


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "--data", "."], "expected one of merunibench, mintrec"),
        (["merunibench", "--data", "no/where"], "no/where: no such folder"),
        (["merunibench"], "give --data DIR"),
        (["merunibench", "--corpus", "meld"], "expected NAME=DIR"),
        (["mintrec", "--corpus", "meld=."], "expected corpora of this benchmark (mintrec)"),
        (["merunibench", "--data", "."], "found none (mer2023, mer2024, meld, iemocap, "),
        (["merunibench", "--data", ".", "--dtype", "float8"], "dtype: expected one of"),
        (["merunibench", "--data", ".", "--tables", "."], "expected the word lists of the official scorer"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", *arguments, "--out", "out"])
    error = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2 and said in error[-1] and error[-1].startswith("nanoemox: ")
    assert not (tmp_path / "out" / "report.json").exists()


def test_two_folders_of_one_name_are_a_question(tmp_path: Path) -> None:
    plant(tmp_path, {}, "meld/a.mp4 MELD.Raw/a.mp4")
    with pytest.raises(ArgumentError, match="--corpus meld=FOLDER"):
        find_corpora(["meld"], tmp_path)


def test_a_model_that_was_not_trained_on_the_question_is_refused(parrot: Parrot, tmp_path: Path) -> None:
    data = plant_all(tmp_path / "data")
    parrot.tasks = ModelTasks({"reasoning": {"trained": True}})
    with pytest.raises(ArgumentError, match="open_vocabulary: not trained"):
        reproduce("merunibench", parrot, data, tmp_path / "out")
    assert parrot.clips == 0
