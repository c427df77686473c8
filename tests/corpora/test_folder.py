"""What all readers stand on: finding files, reading tables, and telling what does not fit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nanoemox.corpora.folder import Folder
from nanoemox.corpora.prepare import CORPORA, list_corpora, prepare
from nanoemox.corpora.tables import (
    CorpusError,
    Row,
    RowError,
    chats,
    document,
    entries,
    listed,
    plain,
    rows,
    text_of,
)
from tests.corpora.trees import chat, plant, read, wheres


def test_files_are_found_wherever_they_were_unpacked(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {"A/B/Label.CSV": "x", "other/label.csv": "y"},
        "A/Clips/X.MP4 A/Clips/._x.mp4 __MACOSX/x.mp4 A/Frames/x/1.jpg A/Frames/x/2.jpg A/B/x.WAV",
    )
    (tmp_path / "A" / "loop").symlink_to(tmp_path)
    (tmp_path / "A" / "itself").symlink_to(tmp_path / "A" / "itself")
    folder = Folder(tmp_path)
    assert folder.file("label.csv") == tmp_path / "other/label.csv"
    assert folder.file("b/label.csv") == tmp_path / "A/B/Label.CSV" and folder.file("c/label.csv") is None
    assert folder.video("x") == tmp_path / "A/Clips/X.MP4" and len(folder.videos["x"]) == 1
    assert folder.video("clips/x") and not folder.video("others/x") and not folder.video("x", "Frames")
    assert folder.frames("x") == tmp_path / "A/Frames/x" and folder.sound("x", "B") == tmp_path / "A/B/x.WAV"
    assert set(folder.media("x")) == {"video", "audio"}
    with pytest.raises(RowError, match="no clip 'y'"):
        folder.media("y")
    with pytest.raises(CorpusError, match=r"expected z\.csv .* the folder holds A/, __MACOSX/, other/"):
        folder.need("z.csv")
    with pytest.raises(CorpusError, match="no such folder"):
        Folder(tmp_path / "none")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list every folder")
def test_a_locked_folder_is_reported(tmp_path: Path) -> None:
    plant(tmp_path, media="locked/x.mp4")
    (tmp_path / "locked").chmod(0)
    assert Folder(tmp_path).skipped[0].where == "locked"
    (tmp_path / "locked").chmod(0o755)


def test_tables_keep_text_and_tell_the_line(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "a.csv": '\ufeffName, Value ,note\n0007,1.5,"two\nlines"\n\n0008,nan\n0009,1,2,3\n0010,2,x\n',
            "b.csv": "name\nfüße\n".encode("cp1252"),
            "c.csv": "one,two\n",
            "d.tsv": 'name\ttext\na\tthe "open quote\nb\tend\n',
            "e.csv": "name,text\n" + "x" * 200_000 + ",y\n",
            "f.csv": "name\nü\n".encode("utf-16"),
        },
    )
    table = list(rows(tmp_path / "a.csv", ("name", "value")))
    assert [row.where for row in table] == ["a.csv:2", "a.csv:5", "a.csv:6", "a.csv:7"]
    assert table[0]["NAME"] == "0007" and table[0].number("value") == 1.5 and table[0]["note"] == "two\nlines"
    assert "3 fields" not in table[1].fault and table[1].get("note") == ""  # a column that nobody asked for
    with pytest.raises(RowError, match="finite"):
        table[1].number("value")
    assert table[2].fault == "has 4 fields, expected 3"
    told: list[str] = []
    assert [row["name"] for row in rows(tmp_path / "b.csv", assume=told.append)] == ["füße"]
    assert told == ["b.csv is not UTF-8 (line 2); it was read as cp1252"]
    with pytest.raises(CorpusError, match="there is no name among one, two"):
        list(rows(tmp_path / "c.csv", ("name",)))
    assert [row["text"] for row in rows(tmp_path / "d.tsv")] == ['the "open quote', "end"]
    with pytest.raises(CorpusError, match="line 2"):
        list(rows(tmp_path / "e.csv"))
    assert [row["name"] for row in rows(tmp_path / "f.csv")] == ["ü"]
    with pytest.raises(CorpusError, match="cannot be read"):
        text_of(tmp_path / "none.csv")


def test_spreadsheets(tmp_path: Path) -> None:
    plant(tmp_path, {"a.xlsx": b"no spreadsheet"})
    pytest.importorskip("openpyxl")
    with pytest.raises(CorpusError, match=r"not a readable \.xlsx"):
        list(rows(tmp_path / "a.xlsx"))


def test_json_is_told_by_line_or_item(tmp_path: Path) -> None:
    good = chat("videos", ("sub\\x.mp4", "“Hi”", " Joke "))
    plant(
        tmp_path,
        {
            "a.json": '[1,\n{"a": }]',
            "b.json": "7",
            "c.json": b"\xff\xfe\xff",
            "d.json": "[" * 100_000,
            "e.json": [*good, {"videos": ["a", "b"], "messages": []}, {"messages": 3}, "x"],
        },
    )
    for name, wrong in (
        ("a", "line 2"),
        ("b", "expected a list"),
        ("c", "not UTF-8"),
        ("d", "nested too deeply"),
    ):
        with pytest.raises(CorpusError, match=wrong):
            list(entries(tmp_path / f"{name}.json"))
    first, *others = chats(tmp_path / "e.json")
    assert (first["file"], first["text"], first["label"]) == ("/home/someone/data/sub/x.mp4", '"Hi"', "Joke")
    assert [row.where for row in others] == ["e.json[1]", "e.json[2]", "e.json[3]"] and all(
        r.fault for r in others
    )
    assert document(tmp_path / "e.json")


def test_words_and_lists() -> None:
    assert plain("It\x92s\u00a0 \x93odd\x94…\r\n\ufeff") == 'It\'s "odd"…' and plain("你好　吗") == "你好 吗"
    assert (
        listed("[happy, 'sad', happy, ]") == ["happy", "sad"]
        and listed("") == []
        and listed("喜，怒") == ["喜", "怒"]
    )
    assert Row({"a": 12.0}, "x")["a"] == "12"


def test_two_lines_for_one_clip_are_reported(tmp_path: Path) -> None:
    items = chat(
        "audios", ("a/Anger_1001_DFA_ANG_XX.wav", "", "anger"), ("b/Anger_1001_DFA_ANG_XX.wav", "", "anger")
    )
    plant(tmp_path, {"crema_d_annotations.json": items}, "Anger_1001_DFA_ANG_XX.wav")
    report, _ = read("crema_d", tmp_path)
    assert wheres(report) == ["crema_d_annotations.json[1]"] and "was taken by" in report.skipped[0].what


def test_a_manifest_elsewhere_leads_out_of_its_folder(tmp_path: Path) -> None:
    corpus = plant(tmp_path / "corpus", media="wav/03a01Fa.wav wav/03a02Ta.wav")
    report = prepare("emodb", corpus, tmp_path / "lists" / "emodb.jsonl")
    line = json.loads((tmp_path / "lists" / "emodb.jsonl").read_text("utf-8").splitlines()[0])
    assert (
        report.outside and line["audio"] == "../corpus/wav/03a01Fa.wav" and "lies outside" in report.summary()
    )
    assert line["source"] == "emodb" and line["licence"] and line["language"] == "de"
    assert json.dumps(report.to_dict())


def test_names_that_are_no_text_are_skipped(tmp_path: Path) -> None:
    plant(tmp_path, media="wav/03a01Fa.wav")
    try:
        (tmp_path / os.fsdecode(b"w\xff")).mkdir()
        (tmp_path / os.fsdecode(b"w\xff") / "03a02Ta.wav").write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    report, records = read("emodb", tmp_path)
    assert list(records) == ["03a01Fa"] and "not text" in report.skipped[0].what


def test_an_unknown_corpus_and_a_failing_one_leave_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="unknown corpus 'mead': expected one of avamerg"):
        prepare("mead", tmp_path, tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_text("old")
    plant(tmp_path, media="wav/03x01Fa.wav wav/03a99Fa.wav")
    with pytest.raises(CorpusError, match="not one line could be read, 1 were skipped"):
        prepare("emodb", tmp_path, tmp_path / "m.jsonl")
    assert (tmp_path / "m.jsonl").read_text() == "old"


def test_every_corpus_has_a_card_and_a_page() -> None:
    pages = Path(__file__).parents[2] / "docs" / "corpora"
    index = (pages / "README.md").read_text("utf-8")
    for corpus in list_corpora():
        assert corpus.tasks and corpus.language and corpus.size and corpus.licence and corpus.where, (
            corpus.name
        )
        found = [
            page
            for page in pages.glob("*.md")
            if f"corpora prepare {corpus.name} " in page.read_text("utf-8")
        ]
        assert found, f"no page tells how to prepare {corpus.name}"
        own = pages / f"{corpus.name}.md"
        assert not own.exists() or corpus.licence in own.read_text("utf-8"), corpus.name
        assert f"`{corpus.name}`" in index and corpus.title in index, corpus.name
    assert len(CORPORA) == len(list_corpora()) >= 22


MOSEI_TABLE = "video_id,clip_id,text,label,mode\nabc,10,so good,2.0,train\nabc,11,hm,0,test\n"
SIMS = {
    "label_M.csv": "video_id,clip_id,label\nv1,1,-0.4\nv1,2,0.4\n",
    "train_index.csv": "video_id,clip_id\nv1,1\n",
    "test_index.csv": "video_id,clip_id\nv1,2\n",
}
CREMA = [
    {
        "messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": label}],
        "audios": [f"{stem}.wav"],
    }
    for stem, label in (("1001_DFA_ANG_XX", "anger"), ("1009_IEO_SAD_LO", "sad"))
]
# Corpus, its files, the clip of train that is there; the one of test is not.
PARTS_OF_CORPORA: tuple[tuple[str, dict[str, object], str], ...] = (
    ("cmu_mosei", {"label.csv": MOSEI_TABLE}, "Raw/abc/10.mp4"),
    ("ch_sims", {"label.csv": MOSEI_TABLE.replace("2.0", "0.2")}, "Raw/abc/0010.mp4"),
    ("ch_sims", SIMS, "Raw/v1/0001.mp4"),
    ("ch_sims_v2", {"meta.csv": MOSEI_TABLE.replace("2.0", "0.2")}, "Raw/abc/0010.mp4"),
    ("crema_d", {"crema_d_annotations.json": CREMA}, "crema/1001_DFA_ANG_XX.wav"),
    (
        "iemocap",
        {
            "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt": "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t"
            "[2.5, 2.5, 2.5]\n",
            "Session5/dialog/EmoEvaluation/Ses05F_impro01.txt": "[6.2901 - 8.2357]\tSes05F_impro01_F000\tneu\t"
            "[2.5, 2.5, 2.5]\n",
        },
        "Session1/dialog/avi/DivX/Ses01F_impro01.avi",
    ),
)


@pytest.mark.parametrize(("name", "files", "media"), PARTS_OF_CORPORA)
def test_clips_of_other_splits_need_not_be_there(
    tmp_path: Path, name: str, files: dict[str, object], media: str
) -> None:
    plant(tmp_path, files, media)
    report = prepare(name, tmp_path, tmp_path / "train.jsonl", splits=["train"])
    assert (report.ok, report.splits) == (True, {"train": 1})
    whole = prepare(name, tmp_path, tmp_path / "all.jsonl")  # without the option, the other one is missing
    assert [problem.what.startswith("there is no clip") for problem in whole.skipped] == [True]
    with pytest.raises(CorpusError, match="there is no clip"):
        prepare(name, tmp_path, tmp_path / "test.jsonl", splits=["test"])
