"""Your own clips: the commands of docs/own-data.md, run as they stand there, and what a table may hold."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nanoemox.cli import main as cli
from nanoemox.corpora.prepare import prepare_own
from nanoemox.corpora.tables import CorpusError
from nanoemox.data.manifest import read_manifest
from nanoemox.data.schema import Record
from nanoemox.training.mixture import schedule
from nanoemox.training.recipe import Phase, load_recipe
from tests.corpora.clips import film
from tests.corpora.trees import plant
from tests.media_files import write_wav

PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"
TOY = ["--set", "phases.tuned.steps=3", "--set", "phases.tuned.batch_size=2", "--set", "workers=0"]


def block(kind: str) -> str:
    """The first block of code of a kind on the page."""
    return PAGE.read_text("utf-8").partition(f"```{kind}\n")[2].partition("```")[0]


def run(*arguments: str) -> Any:
    """The exit status of a command."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return ended.value.code


def own(root: Path, table: str, content: str | bytes, **options: Any) -> tuple[Any, dict[str, Record]]:
    plant(root, {table: content})
    report = prepare_own(root / table, root / "manifest.jsonl", **options)
    return report, {record.id: record for record in read_manifest(root / "manifest.jsonl")}


def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plant(tmp_path, {"clips/labels.csv": block("csv")})
    names = [line.split(",")[0] for line in block("csv").split("\n")[1:] if line]
    for number, name in enumerate(names):
        if name.endswith(".wav"):
            tone = 0.2 * np.sin(np.arange(32_000) * 0.1)
            write_wav(tmp_path / "clips" / name, tone)
        else:
            film(tmp_path / "clips" / name, 1.5, tone_hz=200.0 + 50 * number)
    commands = [shlex.split(line) for line in block("sh").split("\n") if line]
    assert len(commands) <= 10 and all(command[0] == "nanoemox" for command in commands)
    for _, *arguments in commands:
        assert run(*arguments, *(TOY if arguments[0] == "train" else [])) == 0, arguments
    speakers = [
        {record.speaker for record in read_manifest(f"clips/{split}.jsonl")} for split in ("train", "test")
    ]
    assert all(speakers) and not speakers[0] & speakers[1]
    phase = json.loads(Path("runs/own/tuned/phase.json").read_text("utf-8"))
    assert phase["realised"]["tasks"] == {"emotion": 6}
    report = json.loads(Path("runs/own/evaluation/report.json").read_text("utf-8"))
    assert report["n"] >= 1 and report["errors"]["clips"] == 0 and "emotion" in report["tasks"]
    assert "<html" in Path("runs/own/anna-01.html").read_text("utf-8")


def test_mixtures_give_what_the_page_says() -> None:
    lines = yaml.safe_load(block("yaml"))
    (changed,) = lines["phases"]
    (tuned,) = load_recipe("own", [f"manifests={lines['manifests']}"]).phases  # type: ignore[union-attr]
    phase = tuned.model_copy(update={**changed, "steps": 1000, "batch_size": 8})
    assert phase == Phase.model_validate(phase.model_dump())
    label = {"emotion": {"label": "fear"}}
    records = [
        Record(id=f"{source}{i}", text="oh", source=source, labels=label | intent)
        for source, number, intent in (("labels", 100, {}), ("meld", 1000, {"intent": {"label": "Joke"}}))
        for i in range(number)
    ]
    seen = {}
    for mixture in ("share", "subset_uniform"):
        turns = schedule(records, phase.model_copy(update={"mixture": mixture}), 1)
        times = Counter(turn.record for turn in turns)
        seen[mixture] = [sorted(n for row, n in times.items() if (row < 100) == own) for own in (True, False)]
    labels, meld = seen["share"]
    assert (sum(labels), sum(meld), set(labels), set(meld)) == (4800, 3200, {48}, {2, 3, 4})
    labels, meld = seen["subset_uniform"]
    assert (len(labels), len(meld)) == (60, 400)
    assert abs(sum(labels) / 60 - 67) < 4 and abs(sum(meld) / 400 - 10) < 1


def test_every_column_becomes_what_it_says(tmp_path: Path) -> None:
    plant(tmp_path, media="deep/a.mp4 b.wav pictures/1.jpg pictures/2.jpg c.png")
    report, records = own(
        tmp_path,
        "t.csv",
        "id,file,text,language,speaker,start_s,end_s,person_box,split,dialogue,emotion,polarity,valence,"
        "emotions,intent,reason,reply,mood\n"
        '1,a,Well “then”.,en,anna,0.5,2,"0,0,0.5,1",val,d,Angry,Negative,-0.5,cross; tired,thank,He left.,Oh.,x\n'
        "2,b.wav,And you?,,ben,,,,test,d,afraid,,,,,,,\n"
        "3,pictures,,,,,,,train,,,,,,,,,\n"
        "4,c.png,,,,,,,train,,,,,,,,,\n",
    )
    assert report.ok and report.splits == {"val": 1, "test": 1, "train": 2}
    first, second, third, fourth = records.values()
    assert first.video == tmp_path / "deep/a.mp4" and first.text == 'Well "then".' and first.end_s == 2
    assert first.person_box == (0.0, 0.0, 0.5, 1.0) and first.extra == {"mood": "x"}
    labels = first.labels
    assert labels.emotion and labels.emotion.label == "anger" and labels.emotion.candidates is None
    assert labels.sentiment and (labels.sentiment.polarity, labels.sentiment.valence) == ("negative", -0.5)
    assert labels.open_vocabulary and labels.open_vocabulary.labels == ["cross", "tired"]
    assert (
        labels.intent
        and labels.intent.label == "Thank"
        and set(labels.tasks)
        == {*("sentiment", "emotion", "open_vocabulary", "intent", "reasoning", "empathy")}
    )
    assert second.audio and second.dialogue and second.dialogue[0].text == 'Well "then".'
    assert third.frames_dir == tmp_path / "pictures" and fourth.image == tmp_path / "c.png"


def test_rows_that_cannot_be_used_are_told_and_the_status_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(
        tmp_path / "clips",
        {
            "t.csv": "file,emotion,split\na.mp4,joy,train\ngone.mp4,joy,train\n../x.mp4,joy,train\n"
            "a.mp4,joy,dev,more\nnotes.txt,joy,train\n,joy,train\na.mp4,sad,nowhere\n",
            "notes.txt": "no clip",
        },
        "a.mp4",
    )
    plant(tmp_path, media="x.mp4")
    assert run("corpora", "own", f"{tmp_path}/clips/t.csv", f"{tmp_path}/clips/m.jsonl") == 1
    told = capsys.readouterr().out
    for line, what in (
        (3, "there is no file 'gone.mp4'"),
        (4, "leads out of the table's folder"),
        (5, "has 4 fields"),
        (6, "neither video nor sound nor picture"),
        (7, "expected something to look at, hear or read"),
        (8, "unknown split 'nowhere'"),
    ):
        assert f"skipped t.csv:{line}: " in told and what in told
    assert "skipped in all: 6" in told
    assert [record.id for record in read_manifest(tmp_path / "clips" / "m.jsonl")] == ["a"]


def test_columns_and_rows_are_chosen(tmp_path: Path) -> None:
    table = "\n".join(
        json.dumps({"utterance": f"said {i}", "mood": mood, "set": "a" if i % 2 else "b", "n": i})
        for i, mood in enumerate(("calm", "wild", "calm", "odd", "wild", "calm"))
    )
    columns = ["text=utterance", "emotion=mood"]
    report, records = own(tmp_path, "t.jsonl", table, columns=columns, where=["set=b", "mood!=odd"])
    assert [record.text for record in records.values()] == ["said 0", "said 2", "said 4"]
    emotion = next(iter(records.values())).labels.emotion
    assert emotion and emotion.label == "calm" and emotion.candidates == ["calm", "wild"]
    assert next(iter(records.values())).extra == {"set": "b", "n": 0}
    assert report.ok and "1 of 3 rows are test" in next(iter(report.assumptions))
    for wrong, told in (
        ({"columns": ["text"]}, "NAME=COLUMN"),
        ({"columns": ["words=utterance"]}, "one of id, file"),
        ({"where": ["set"]}, "COLUMN=VALUE"),
        ({"where": ["set=c"]}, "no row is left"),
        ({"splits": ["val"]}, "expected a column"),
    ):
        with pytest.raises(CorpusError, match=told):
            prepare_own(tmp_path / "t.jsonl", tmp_path / "m.jsonl", **wrong)
    with pytest.raises(CorpusError, match="no line is in val"):
        prepare_own(tmp_path / "t.jsonl", tmp_path / "m.jsonl", columns, splits=["val"])
    with pytest.raises(CorpusError, match="no such file"):
        prepare_own(tmp_path / "none.csv", tmp_path / "m.jsonl")
    with pytest.raises(CorpusError, match="is the table itself"):
        prepare_own(tmp_path / "t.jsonl", tmp_path / "t.jsonl")


def test_a_table_that_is_not_utf_8_is_read_and_told(tmp_path: Path) -> None:
    report, records = own(tmp_path, "t.csv", "text,emotion\nSchön!,joy\nÜbel,sad\n".encode("cp1252"))
    assert [record.text for record in records.values()] == ["Schön!", "Übel"]
    assert any("not UTF-8 (line 2)" in told for told in report.assumptions)
    with pytest.raises(CorpusError, match="there is no column 'label'"):
        prepare_own(tmp_path / "t.csv", tmp_path / "m.jsonl", ["emotion=label"])


def test_nobody_is_in_both_parts(tmp_path: Path) -> None:
    rows = "".join(f"line {i},s{i % 11}\n" for i in range(44))
    _, records = own(tmp_path, "t.csv", "text,speaker\n" + rows)
    split = {record.speaker: record.split for record in records.values()}
    assert all(split[record.speaker] == record.split for record in records.values())
    assert list(split.values()).count("test") == 2


def test_every_ending_that_ffmpeg_reads_is_taken(tmp_path: Path) -> None:
    kinds = {
        "video": "a.ts b.m2ts c.vob d.3gp e.ogv f.MTS g.wmv",
        "audio": "h.wma i.aiff j.amr k.oga l.caf",
        "image": "m.heic n.gif o.avif p.webp q.tif",
    }
    names = [name for names in kinds.values() for name in names.split()]
    plant(tmp_path, media=" ".join(names))
    write_wav(tmp_path / "voice.take1", 0.2 * np.sin(np.arange(16_000) * 0.1))  # told by what is in it
    report, records = own(tmp_path, "t.csv", "file\n" + "\n".join([*names, "voice.take1"]))
    assert report.ok
    for kind, expected in kinds.items():
        for name in expected.split():
            assert getattr(records[Path(name).stem], kind) == tmp_path / name
    assert records["voice"].audio == tmp_path / "voice.take1"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text;emotion\nWell, then.;joy\n", "separated by semicolons"),
        ("text\temotion\nWell, then.\tjoy\n", "separated by tabs"),
        ("sep=;\ntext;emotion\nWell, then.;joy\n", "separated by semicolons"),
        ("text;emotion\r\nWell, then.;joy\r\n".encode("utf-16"), "separated by semicolons"),
        ("text,emotion\n好的，那么。,joy\n".encode("gb18030"), "read as gb18030"),
    ],
)
def test_what_spreadsheets_write_is_read_and_told(tmp_path: Path, content: str | bytes, told: str) -> None:
    report, records = own(tmp_path, "t.csv", content)
    (record,) = records.values()
    assert record.text in ("Well, then.", "好的,那么。", "好的，那么。")
    assert record.labels.emotion and record.labels.emotion.label == "happiness"
    assert any(told in sentence for sentence in report.assumptions)


def test_a_quote_that_is_never_closed_costs_no_rows_in_silence(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"t\.csv, line 3: a quote is opened and never closed"):
        own(tmp_path, "t.csv", 'text,emotion\nOne,joy\n"Two,sad\nThree,joy\n')


def labelled(rows: list[tuple[str, ...]], heading: str = "speaker,emotion") -> str:
    return f"text,{heading}\n" + "".join(f"line {i},{','.join(row)}\n" for i, row in enumerate(rows))


def asked(report: Any) -> dict[str, str]:
    """Code of a question -> its texts."""
    found: dict[str, str] = {}
    for question in report.questions:
        found[question.code] = f"{found.get(question.code, '')} {question.text}".strip()
    return found


def test_misspelt_labels_are_counted_and_asked_about(tmp_path: Path) -> None:
    moods = ["happy"] * 8 + ["hapy"] + ["Angry", "ANG", "anger"] + ["sad"] * 5 + ["bored"]
    report, _ = own(tmp_path, "t.csv", labelled([(f"s{i}", mood) for i, mood in enumerate(moods)]))
    assert report.labels == {"emotion": {"happiness": 8, "hapy": 1, "anger": 3, "sadness": 5, "boredom": 1}}
    summary = report.summary()
    assert "  emotion: happiness 8, sadness 5, anger 3, boredom 1, hapy 1" in summary
    questions = asked(report)
    assert "emotion 'hapy', one clip: is it happiness?" in questions["near_label"]
    assert "emotion 'boredom', one clip: it is none of the usual labels" in questions["unusual_label"]
    assert "the 5 labels of the table instead of the 7 usual ones" in questions["own_labels"]
    assert "please check: emotion 'hapy'" in summary and report.ok
    assert report.to_dict()["questions"][0].keys() == {"code", "text"}
    clean, _ = own(tmp_path, "u.csv", labelled([(f"s{i}", "joy") for i in range(120)]))
    assert not clean.questions and clean.labels == {"emotion": {"happiness": 120}}


def test_a_class_of_one_clip_in_hundreds_is_asked_about(tmp_path: Path) -> None:
    moods = ["calm"] * 150 + ["wild"] * 100 + ["XX"] + ["wilde"]
    report, _ = own(tmp_path, "t.csv", labelled([(f"s{i}", mood) for i, mood in enumerate(moods)]))
    questions = asked(report)
    assert questions["rare_label"] == "emotion 'XX': a class of one clip (of 252); a slip?"
    assert "emotion 'wilde', one clip: is it wild?" in questions["near_label"]
    intents, _ = own(
        tmp_path, "t.csv", labelled([("a", "Gret"), ("b", "greet"), ("c", "Joke")], "speaker,intent")
    )
    assert "intent 'Gret', one clip: is it Greet?" in asked(intents)["near_label"]


def test_the_names_of_the_tasks_are_columns(tmp_path: Path) -> None:
    report, records = own(
        tmp_path,
        "t.csv",
        "text,sentiment,open_vocabulary,reasoning,empathy\n"
        "a,pos,glad; calm,He won.,Well done.\nb,NEG,,,\nc,neutral,,,\n"
        "d,-1.5,,,\ne,positve,,,\n",
    )
    found = [record.labels for record in records.values()]
    assert [(labels.sentiment.polarity, labels.sentiment.valence) for labels in found] == [
        ("positive", None),
        ("negative", None),
        ("neutral", None),
        (None, -1.5),
    ]
    assert set(found[0].tasks) == {"sentiment", "open_vocabulary", "reasoning", "empathy"}
    (skipped,) = report.skipped
    assert skipped.where == "t.csv:6" and "unknown polarity 'positve'" in skipped.what
    assert skipped.what.endswith("; positive?")
    assert report.labels == {"sentiment": {"positive": 1, "negative": 1, "neutral": 1}}
    _, records = own(tmp_path, "t.csv", "text,polarity,sentiment\na,neu,0.25\n")
    (label,) = (record.labels.sentiment for record in records.values())
    assert label and (label.polarity, label.valence) == ("neutral", 0.25)


def test_candidates_come_from_the_rows_that_are_used(tmp_path: Path) -> None:
    plant(tmp_path, media="a.mp4 b.mp4")
    table = (
        "file,id,emotion,start_s,end_s\na.mp4,1,calm,,\nb.mp4,2,wild,,\ngone.mp4,3,lost,,\na.mp4,1,twice,,\n"
        "b.mp4,4,early,3,2\n"
    )
    report, records = own(tmp_path, "t.csv", table)
    assert len(report.skipped) == 3 and report.labels == {"emotion": {"calm": 1, "wild": 1}}
    for record in records.values():
        assert record.labels.emotion and record.labels.emotion.candidates == ["calm", "wild"]


@pytest.mark.parametrize("speakers", [2, 3, 4, 5, 9, 10, 23])
def test_few_speakers_too_have_a_test(tmp_path: Path, speakers: int) -> None:
    rows = [(f"s{i % speakers}", "joy") for i in range(2 * speakers)]
    report, records = own(tmp_path, "t.csv", labelled(rows))
    tested = {record.speaker for record in records.values() if record.split == "test"}
    trained = {record.speaker for record in records.values() if record.split == "train"}
    assert len(tested) == max(1, speakers // 5) and len(tested | trained) == speakers and not tested & trained
    assert "a figure on so few" in asked(report)["small_test"]


def test_one_speaker_leaves_no_test_and_the_remedy_is_right(tmp_path: Path) -> None:
    table = labelled([("Anna", "joy"), ("anna ", "sad")])
    report, records = own(tmp_path, "t.csv", table)
    assert {record.split for record in records.values()} == {"train"}
    assert "all rows are of one speaker" in asked(report)["no_test"]
    with pytest.raises(
        CorpusError, match=r"only in others \(train 2\); all rows are of one speaker.*column `split`"
    ):
        prepare_own(tmp_path / "t.csv", tmp_path / "m.jsonl", splits=["test"])


def test_who_has_no_clip_is_not_the_test(tmp_path: Path) -> None:
    plant(tmp_path, media="a.mp4 b.mp4 c.mp4 d.mp4 e.mp4")
    for gone in "abcde":
        table = "file,speaker\n" + "".join(f"{n if n != gone else 'gone'}.mp4,{n}\n" for n in "abcde")
        _, records = own(tmp_path, "t.csv", table)
        assert [record.split for record in records.values()].count("test") == 1


def test_labels_that_only_the_test_has_and_misnamed_columns_are_told(tmp_path: Path) -> None:
    rows = [("joy", "train"), ("sad", "train"), ("fear", "test")]
    assert (
        "only test clips have the labels fear"
        in asked(own(tmp_path, "t.csv", labelled(rows, "emotion,split"))[0])["only_in_test"]
    )
    questions = asked(own(tmp_path, "t.csv", "text,emotoin,speakers\na,joy,b\nc,sad,d\n")[0])
    assert (
        "'emotoin' is kept under extra; is it emotion? Then: --column emotion=emotoin"
        in questions["near_column"]
    )
    assert "no column holds labels" in questions["no_labels"]


def test_cells_of_another_kind_cost_their_row_alone(tmp_path: Path) -> None:
    lines = [{"text": "a", "dialogue": ["x"]}, {"text": {"b": 1}}, {"text": "c", "emotion": "joy"}]
    report, records = own(tmp_path, "t.jsonl", "\n".join(map(json.dumps, lines)))
    assert [problem.where for problem in report.skipped] == ["t.jsonl:1", "t.jsonl:2"]
    assert [record.text for record in records.values()] == ["c"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("first", ["", "sep=;\r\n"])
def test_a_spreadsheets_table_is_read_and_it_is_told(tmp_path: Path, encoding: str, first: str) -> None:
    table = first + "id;text;emotion;emotions\r\na;他很生气，走了;生气;生气、难过\r\nb;fine;HAP;glad|calm\r\n"
    report, records = own(tmp_path, "labels.csv", table.encode(encoding))
    assert records["a"].text == "他很生气，走了"
    assert [records[name].labels.emotion.label for name in "ab"] == ["anger", "happiness"]
    assert records["a"].labels.open_vocabulary.labels == ["生气", "难过"]
    assert records["b"].labels.open_vocabulary.labels == ["glad", "calm"]
    told = " ".join(report.assumptions)
    assert "separated by semicolons" in told
    assert ("gb18030" in told) == (encoding == "gb18030")


def test_rows_of_other_splits_are_not_looked_at(tmp_path: Path) -> None:
    from nanoemox.corpora.prepare import prepare_own
    from nanoemox.corpora.tables import CorpusError

    (tmp_path / "a.mp4").write_bytes(b"")
    table = tmp_path / "labels.csv"
    table.write_text("file,split,emotion\na.mp4,train,angry\nnever-downloaded.mp4,test,happy\n")
    report = prepare_own(table, tmp_path / "train.jsonl", splits="train")
    assert report.ok and report.lines == 1
    assert not prepare_own(table, tmp_path / "all.jsonl").ok
    test = tmp_path / "test.jsonl"
    with pytest.raises(CorpusError, match="not one line could be read"):
        prepare_own(table, test, splits=["test"])
    with pytest.raises(CorpusError, match="no line is in val; leave --split out"):
        prepare_own(table, test, splits="val")
