"""CREMA-D, M3ED, CAER, FERV39k, MIntRec, MIntRec2.0: both layouts of each, and their traps."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanoemox.corpora.tables import CorpusError
from tests.corpora.trees import chat, plant, read, wheres


def test_crema_d_original(tmp_path: Path) -> None:
    votes = (
        '"","A","D","F","H","N","S","fileName","numResponses"\n'
        '"100001","9","0","0","0","1","0","1001_DFA_ANG_XX","10"\n'
        '"300001","7","1","0","0","2","0","1001_DFA_ANG_XX","10"\n'
        '"300002","x","1","0","0","2","0","1002_IEO_HAP_LO","10"\n'
    )
    plant(
        tmp_path,
        {"processedResults/tabulatedVotes.csv": votes},
        "AudioWAV/1001_DFA_ANG_XX.wav AudioMP3/1001_DFA_ANG_XX.mp3 VideoFlash/1001_DFA_ANG_XX.flv "
        "AudioWAV/1008_IEO_HAP_LO.wav AudioWAV/1076_MTI_SAD_XX.wav AudioWAV/1040_ITH_SAD_X.wav "
        "AudioWAV/notes.wav",
    )
    report, records = read("crema_d", tmp_path)
    assert report.layout == "original" and set(records) == {
        "1001_DFA_ANG_XX",
        "1008_IEO_HAP_LO",
        "1076_MTI_SAD_XX",
        "1040_ITH_SAD_X",
    }
    first = records["1001_DFA_ANG_XX"]
    assert (
        first.video
        and first.video.suffix == ".flv"
        and first.audio
        and first.text == "Don't forget a jacket."
    )
    assert first.labels.emotion and first.labels.emotion.votes == {"anger": 7, "disgust": 1, "neutral": 2}
    assert first.speaker == "1001" and first.split == "train" and records["1008_IEO_HAP_LO"].split == "test"
    assert report.faults == (("1076_MTI_SAD_XX", "the recording is silent"),)
    assert records["1076_MTI_SAD_XX"].extra and "known_fault" in records["1076_MTI_SAD_XX"].extra
    assert wheres(report) == ["tabulatedVotes.csv:4"]


def test_crema_d_processed(tmp_path: Path) -> None:
    items = chat(
        "audios",
        ("crema/Anger_1001_DFA_ANG_XX.wav", "", "anger"),
        ("crema/Happy_1002_IEO_HAP_LO.wav", "", "happy"),
        ("crema/Sad_1003_IEO_HAP_LO.wav", "", "sad"),  # contradicts its name
        ("crema/Sad_1004_IEO_SAD_LO.wav", "", "sad"),  # has no file
    )
    items.append({"messages": [], "audios": []})
    plant(
        tmp_path,
        {"data/crema_d_annotations.json": items},
        "wav/Anger_1001_DFA_ANG_XX.wav wav/Happy_1002_IEO_HAP_LO.wav wav/Sad_1003_IEO_HAP_LO.wav",
    )
    report, records = read("CREMA-D", tmp_path)
    assert report.layout == "processed" and sorted(records) == ["1001_DFA_ANG_XX", "1002_IEO_HAP_LO"]
    assert wheres(report) == [f"crema_d_annotations.json[{i}]" for i in (2, 3, 4)]
    assert not report.ok and "skipped crema_d_annotations.json[3]: there is no clip" in report.summary()


M3ED = {
    "anjia": {
        "anjia_1": {
            "SpeakerInfo": {"A": {"Name": "x"}, "B": {"Name": "y"}},
            "Dialog": {
                "anjia_1_1": {
                    "StartTime": "00:00:01:00",
                    "EndTime": "00:00:02:00",
                    "Text": "你好",
                    "Speaker": "A",
                    "EmoAnnotation": {
                        "EmoAnnotator1": "Happy",
                        "EmoAnnotator2": "Happy,Surprise",
                        "EmoAnnotator3": "Neutral",
                        "final_mul_emo": "Happy,Surprise",
                        "final_main_emo": "Happy",
                    },
                },
                "anjia_1_2": {"Text": "再见", "Speaker": "B", "EmoAnnotation": {"final_main_emo": "Joyful"}},
            },
        },
        "anjia_2": [],
    }
}


def test_m3ed(tmp_path: Path) -> None:
    original = plant(
        tmp_path / "original",
        {"annotation.json": M3ED, "splitInfo/movie_list_val.txt": "anjia\n"},
        "modality_speech/A_anjia_1_1.wav",
    )
    report, records = read("m3ed", original)
    line = records["anjia_1_1"]
    assert line.split == "val" and line.text == "你好" and line.language == "zh" and line.audio
    assert line.labels.emotion and line.labels.emotion.label == "happiness"
    assert line.labels.emotion.votes == {"happiness": 2, "surprise": 1, "neutral": 1}
    assert line.extra and line.extra["emotions"] == ["happiness", "surprise"]
    assert wheres(report) == [
        "annotation.json[anjia][anjia_1][anjia_1_2]",
        "annotation.json[anjia][anjia_2]",
    ]
    processed = plant(
        tmp_path / "processed",
        {"m3ed_annotaton.json": chat("audios", ("m3ed/A_x_1.wav", "你好", "Surprise"))},
        "m3ed/A_x_1.wav",
    )
    report, records = read("m3ed", processed)
    assert report.layout == "processed" and records["A_x_1"].labels.emotion


def test_caer_keeps_numbers_that_repeat_apart(tmp_path: Path) -> None:
    plant(
        tmp_path,
        media="CAER/train/Anger/0001.avi CAER/train/Happy/0001.avi CAER/validation/Anger/0001.avi "
        "CAER/test/Bored/0001.avi CAER/train/Anger/._0001.avi",
    )
    report, records = read("caer", tmp_path)
    assert {i: r.split for i, r in records.items()} == {
        "train/Anger/0001": "train",
        "train/Happy/0001": "train",
        "validation/Anger/0001": "val",
    }
    assert "unknown emotion 'Bored'" in report.skipped[0].what


def test_ferv39k_reads_folders_of_frames(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "FERV39k/4_setups/All_scenes/train_All.csv": "Action/Sad/0010 Sad\nAction/Angry/0010 Angry\n\n",
            "FERV39k/4_setups/All_scenes/test_All.csv": "Talk/Happy/0007 Happy\nTalk/Happy/0008 Happy\n",
        },
        "FERV39k/2_ClipsforFaceCrop/Action/Sad/0010/0001.jpg "
        "FERV39k/2_ClipsforFaceCrop/Action/Sad/0010/0002.jpg "
        "FERV39k/2_ClipsforFaceCrop/Action/Angry/0010/0001.jpg "
        "FERV39k/2_ClipsforFaceCrop/Talk/Happy/0007/0001.jpg",
    )
    report, records = read("ferv39k", tmp_path)
    assert records["Action/Sad/0010"].frames_dir != records["Action/Angry/0010"].frames_dir
    label = records["Action/Angry/0010"].labels.emotion
    assert label and label.label == "anger" and records["Talk/Happy/0007"].split == "test"
    assert wheres(report) == ["test_All.csv:2"]


def test_caer_and_ferv39k_as_one_list(tmp_path: Path) -> None:
    items = chat(
        "videos",
        ("ferv/Action/Sad/0010.mp4", "", "sad"),
        ("ferv/Action/Fear/0010.mp4", "", "fear"),
        ("caer/0003.mp4", "", "happy"),  # lies there as .avi
        ("caer/0010.mp4", "", "happy"),  # may be either of two
    )
    plant(
        tmp_path, {"caer_ferv39k_ann.json": items}, "v/Action/Sad/0010.mp4 v/Action/Fear/0010.mp4 v/0003.avi"
    )
    report, records = read("caer", tmp_path)
    assert sorted(records) == ["v/0003", "v/Action/Fear/0010", "v/Action/Sad/0010"]
    assert "may be any of 2 files" in report.skipped[0].what


def test_mintrec(tmp_path: Path) -> None:
    head = "season\tepisode\tclip\ttext\tlabel\n"
    original = plant(
        tmp_path / "original",
        {
            "train.tsv": head + 'S05\tE01\t123\the said "no.\tOppose\nS05\tE01\t124\tthanks\tThank\n',
            "dev.tsv": head + "S05\tE02\t5\tcan you help?\task for help\n",
            "test.tsv": head + "S05\tE02\t6\tok\tNonsense\nS05\tE02\t7\n",
        },
        "raw_data/S05/E01/123.mp4 raw_data/S05/E01/124.mp4 raw_data/S05/E02/5.mp4 raw_data/S05/E02/6.mp4",
    )
    report, records = read("mintrec", original)
    assert records["S05_E01_123"].text == 'he said "no.' and records["S05_E02_5"].split == "val"
    intent = records["S05_E02_5"].labels.intent
    assert intent and intent.label == "Ask for help" and intent.candidates and len(intent.candidates) == 20
    assert wheres(report) == ["test.tsv:2", "test.tsv:3"]
    assert "train: 2 of the 1334 lines published" in report.summary()
    processed = plant(
        tmp_path / "processed",
        {"MIntRec/train_MIntRec_ann.json": chat("videos", ("S06_E04_70.mp4", "hi", "Greet"))},
        "video/S06_E04_70.mp4 audio/S06_E04_70.wav",
    )
    report, records = read("mintrec", processed)
    assert records["S06_E04_70"].video and records["S06_E04_70"].audio


def test_mintrec2(tmp_path: Path) -> None:
    head = "dialogue_id\tutterance_id\ttext\tlabel\tspeaker\n"
    original = plant(
        tmp_path / "original",
        {
            "in-scope/train.tsv": head + "0\t3\thello\tGreet\tAmy\n",
            "in-scope/dev.tsv": head + "1\t0\tno way\tDoubt\tJonah\n",
            "in-scope/test.tsv": head + "1\t1\thm\tUNK\tJonah\n2\tx\thm\tJoke\tJonah\n",
            "out-of-scope/MIntRec2.0-OOD/train.tsv": head + "9\t9\t?\tUNK\tAmy\n",
        },
        "raw/dia0_utt3.mp4 raw/dia1_utt0.mp4",
    )
    report, records = read("mintrec2", original)
    assert {i: r.split for i, r in records.items()} == {"dia0_utt3": "train", "dia1_utt0": "val"}
    assert records["dia0_utt3"].speaker == "Amy" and any("UNK" in text for text in report.assumptions)
    processed = plant(
        tmp_path / "processed",
        {"test_MIntRec2_ann.json": chat("videos", ("dia5_utt6.mp4", "hm", "Asking for Opinions"))},
    )
    report, records = read("mintrec2", processed)
    assert records["dia5_utt6"].text == "hm" and records["dia5_utt6"].video is None
    assert any("not the official" in text for text in report.assumptions)
    assert any("words alone" in text for text in report.assumptions)


@pytest.mark.parametrize("name", ["crema_d", "m3ed", "caer", "ferv39k", "mintrec", "mintrec2"])
def test_another_folder_is_refused_with_what_was_expected(name: str, tmp_path: Path) -> None:
    plant(tmp_path, {"readme.txt": "nothing here"})
    with pytest.raises(CorpusError, match=r"expected .* the folder holds readme\.txt"):
        read(name, tmp_path)
    assert not (tmp_path / "manifest.jsonl").exists()
