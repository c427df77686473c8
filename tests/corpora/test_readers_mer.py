"""MELD, IEMOCAP, MER2023/24/25, MERR, EMER, OV-MERD, DFEW: both layouts of each, and their traps."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from nanoemox.corpora.tables import CorpusError
from tests.corpora.trees import label_archive, plant, poisoned_archive, read, wheres

HEAD = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
)
TIMES = '8,21,"00:16:16,059","00:16:21,731"\n'
SUBTITLES = "name,chinese,english\nsample_1,你好,Hello there\nsample_2,再见,\n"


def test_meld_original(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "MELD.Raw/train_sent_emo.csv": HEAD
            + f"1,It\x92s “fine”,Chandler,neutral,neutral,0,0,{TIMES}"
            + f"2,Oh no,Monica,sadness,negative,125,3,{TIMES}"
            + f"3,Hm,Monica,bored,negative,0,9,{TIMES}",
            "MELD.Raw/dev_sent_emo.csv": HEAD
            + f"1,What?,Ross,joy,positive,0,0,{TIMES}2,So,Ross,joy,positive,110,7,{TIMES}",
            "MELD.Raw/test_sent_emo.csv": HEAD + f"1,Go,Joey,anger,negative,0,0,{TIMES}",
        },
        "MELD.Raw/train/train_splits/dia0_utt0.mp4 MELD.Raw/train/train_splits/dia125_utt3.mp4 "
        "MELD.Raw/dev/dev_splits_complete/dia0_utt0.mp4 MELD.Raw/dev/dev_splits_complete/._dia110_utt7.mp4 "
        "MELD.Raw/test/output_repeated_splits_test/dia0_utt0.mp4 "
        "MELD.Raw/test/output_repeated_splits_test/final_videos_testdia0_utt0.mp4",
    )
    report, records = read("meld", tmp_path)
    assert report.layout == "original"
    assert {i: (r.split, r.video.parent.name) for i, r in records.items() if r.video} == {
        "train_dia0_utt0": ("train", "train_splits"),
        "train_dia125_utt3": ("train", "train_splits"),
        "dev_dia0_utt0": ("val", "dev_splits_complete"),
        "test_dia0_utt0": ("test", "output_repeated_splits_test"),
    }
    first = records["train_dia0_utt0"]
    assert first.text == 'It\'s "fine"' and first.speaker == "Chandler"
    assert first.labels.sentiment and first.labels.sentiment.polarity == "neutral"
    assert (
        records["dev_dia0_utt0"].labels.emotion
        and records["dev_dia0_utt0"].labels.emotion.label == "happiness"
    )
    assert wheres(report) == ["train_sent_emo.csv:4", "dev_sent_emo.csv:3"]
    assert "missing from the official code" in report.skipped[1].what
    assert [fault.where for fault in report.faults] == ["train_dia125_utt3"]


def test_meld_words_alone(tmp_path: Path) -> None:
    files = {
        f"{split}_sent_emo.csv": HEAD + f"1,Hi,Ross,joy,positive,0,0,{TIMES}"
        for split in ("train", "dev", "test")
    }
    report, records = read("meld", plant(tmp_path, files))
    assert report.ok and report.media == {"text": 3} and len(records) == 3
    assert any("words alone" in sentence for sentence in report.assumptions)


def test_meld_processed_beside_other_preparations(tmp_path: Path) -> None:
    archive = label_archive(
        train_corpus={"train_dia0_utt0": {"emo": 1, "val": -10}},
        val_corpus={"val_dia110_utt7": {"emo": 0, "val": -10}},
        test_corpus={"test_dia0_utt0": {"emo": 9, "val": -10}},
    )
    plant(
        tmp_path,
        {
            "cmumosi-process/label.npz": label_archive(train_corpus={"v_1": {"emo": 0, "val": 1.0}}),
            "meld-process/label.npz": archive,
            "meld-process/transcription-engchi-polish.csv": "name,chinese,english\ntrain_dia0_utt0,嗨,Hi\n",
        },
        "meld-process/subvideo/train_dia0_utt0.mp4 meld-process/subaudio/train_dia0_utt0.wav "
        "meld-process/subvideo/val_dia110_utt7.mp4 meld-process/subvideo/test_dia0_utt0.mp4",
    )
    report, records = read("meld", tmp_path)
    first = records["train_dia0_utt0"]
    assert report.layout == "processed" and first.text == "Hi" and first.audio and first.video
    assert first.labels.emotion and first.labels.emotion.label == "happiness"
    assert records["val_dia110_utt7"].split == "val" and len(report.faults) == 1
    assert wheres(report) == ["label.npz[test][test_dia0_utt0]"]
    with pytest.raises(CorpusError, match="expected"):
        read("mer2023", tmp_path)


def test_an_archive_that_would_run_code_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, {"label.npz": poisoned_archive()})
    with pytest.raises(CorpusError, match="do not trust it"):
        read("meld", tmp_path)
    assert not Path("/tmp/should-not-exist").exists()
    plant(tmp_path, {"label.npz": b"PK nothing"})
    with pytest.raises(CorpusError, match="not a readable"):
        read("meld", tmp_path)


IEMOCAP = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes05F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-F1:\tNeutral;\t(curious)

[10.0100 - 11.3925]\tSes05F_impro01_M001\texc\t[4.5000, 3.5000, 2.5000]
[12.0 - 13.0]\tSes05F_impro01_M002\txxx\t[2.5000, 2.5000, 2.5000]
[14.0 - 15.0]\tSes05F_impro01_M003\tfru\t[1.5000, 2.5000, 2.5000]
[16.0 - 17.0] Ses05F_impro01_M004 damaged
"""


def test_iemocap_original_knows_who_sits_where(tmp_path: Path) -> None:
    base = "IEMOCAP_full_release/Session5/dialog"
    plant(
        tmp_path,
        {
            f"{base}/EmoEvaluation/Ses05F_impro01.txt": IEMOCAP,
            f"{base}/EmoEvaluation/Categorical/Ses05F_impro01_e2_cat.txt": "Ses05F_impro01_F000 :neutral;\n",
            f"{base}/transcriptions/Ses05F_impro01.txt": "Ses05F_impro01_F000 [006.29-008.23]: Excuse me.\n",
        },
        f"{base}/avi/DivX/Ses05F_impro01.avi {base}/wav/Ses05F_impro01.wav "
        "IEMOCAP_full_release/Session5/sentences/wav/Ses05F_impro01/Ses05F_impro01_F000.wav",
    )
    report, records = read("iemocap", tmp_path)
    woman, man = records["Ses05F_impro01_F000"], records["Ses05F_impro01_M001"]
    assert woman.person_box == (0.0, 0.0, 0.5, 1.0) and man.person_box == (0.5, 0.0, 0.5, 1.0)
    assert (woman.start_s, woman.end_s, woman.text) == (6.2901, 8.2357, "Excuse me.")
    assert woman.audio and woman.audio.parent.name == "wav" and woman.audio.name == "Ses05F_impro01.wav"
    assert man.labels.emotion and man.labels.emotion.label == "happiness" and man.split == "test"
    assert man.speaker == "Ses05_M" and man.extra and man.extra["valence"] == 4.5
    assert len(records) == 2 and wheres(report) == ["Ses05F_impro01.txt:10"]
    six = read("iemocap6", tmp_path)[1]
    assert [r.labels.emotion.label for r in six.values() if r.labels.emotion] == [
        "neutral",
        "excitement",
        "frustration",
    ]


def test_iemocap_processed(tmp_path: Path) -> None:
    archive = label_archive(
        whole_corpus={"Ses01F_impro01_F000": {"emo": 0, "val": -10}, "strange": {"emo": 1, "val": -10}}
    )
    plant(
        tmp_path,
        {"iemocap-process/label_4way.npz": archive},
        "iemocap-process/subvideo-tgt/Ses01F_impro01_F000.avi "
        "iemocap-process/subaudio/Ses01F_impro01_F000.wav "
        "iemocap-process/subvideo-tgt/strange.avi",
    )
    report, records = read("iemocap", tmp_path)
    line = records["Ses01F_impro01_F000"]
    assert line.split == "train" and line.start_s is None and line.labels.emotion
    assert line.labels.emotion.label == "happiness" and "strange" in report.skipped[0].what


def test_mer2023_both_layouts(tmp_path: Path) -> None:
    processed = plant(
        tmp_path / "processed",
        {
            "mer2023-dataset-process/label-6way.npz": label_archive(
                train_corpus={"sample_1": {"emo": "worried", "val": -1.5}},
                test1_corpus={"sample_2": {"emo": "happy", "val": 2.0}},
                test3_corpus={"sample_3": {"emo": "angry", "val": -10}},
            ),
            "mer2023-dataset-process/transcription-engchi-polish.csv": SUBTITLES,
        },
        " ".join(f"mer2023-dataset-process/video/sample_{i}.mp4" for i in (1, 2, 3)),
    )
    report, records = read("mer2023", processed)
    assert [r.split for r in records.values()] == ["train", "test", None]
    assert records["sample_1"].text == "Hello there" and records["sample_1"].language == "en"
    assert records["sample_2"].text == "再见" and records["sample_2"].language == "zh"
    assert records["sample_3"].labels.sentiment is None and report.splits["none"] == 1
    original = plant(
        tmp_path / "original",
        {"train-label.csv": "name,discrete,valence\nsample_1,worried,-2\nsample_2,blue,1\nsample_9,sad,1\n"},
        "train/sample_1.mp4 train/sample_2.avi",
    )
    report, records = read("mer2023", original)
    assert records["sample_1"].labels.sentiment and wheres(report) == [
        "train-label.csv:3",
        "train-label.csv:4",
    ]


def test_mer2024_prefers_chinese_and_reads_tables_that_are_not_utf8(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "label-disdim.csv": "name,discrete,valence\nsample_1,neutral,0\n",
            "reference-semi.csv": "name,discrete\nsample_2,surprise\n",
            "transcription_merge.csv": SUBTITLES.encode("gb18030"),
        },
        "video-labeled/sample_1.mp4 video-unlabeled/sample_2.mp4",
    )
    report, records = read("mer2024", tmp_path)
    assert records["sample_1"].text == "你好" and records["sample_1"].extra == {
        "text_en": "Hello there",
        "part": "train",
    }
    assert records["sample_2"].split == "test" and any(
        "gb18030" in sentence for sentence in report.assumptions
    )


def test_mer_caption_plus_joins_two_tracks(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "track2_train_mercaptionplus.csv": "name,openset\n"
            "sample_1,\"[happy, 'calm', happy]\"\nsample_2,[]\nsample_3,sad\n",
            "track3_train_mercaptionplus.csv": "name,reason\n"
            "sample_1,He smiles.\nsample_2,\nsample_4,She frowns.\n",
            "subtitle_chieng.csv": SUBTITLES,
        },
        "video/video/sample_1.mp4 video/video/sample_2.mp4 video/video/sample_4.mp4 audio/sample_1.wav",
    )
    report, records = read("mer_caption_plus", tmp_path)
    first = records["sample_1"].labels
    assert (
        first.open_vocabulary
        and first.open_vocabulary.labels == ["happy", "calm"]
        and records["sample_1"].audio
    )
    assert first.reasoning and first.reasoning.text == "He smiles."
    assert records["sample_2"].labels.open_vocabulary and records[
        "sample_2"
    ].labels.open_vocabulary.labels == ["neutral"]
    assert records["sample_4"].labels.tasks == ("reasoning",)
    assert wheres(report) == ["track3_train_mercaptionplus.csv:3", "track2_train_mercaptionplus.csv:4"]


def test_ov_merd_and_tracks(tmp_path: Path) -> None:
    plus = plant(
        tmp_path / "plus",
        {
            "ovmerdplus-process/ovlabel.csv": 'name,openset\nsample_1,"worried, tense"\n',
            "ovmerdplus-process/subtitle_eng.csv": "name,chinese,english\nsample_1,,Wait\n",
        },
        "ovmerdplus-process/video/sample_1.mp4",
    )
    report, records = read("ov_merd", plus)
    assert (
        report.layout == "processed"
        and records["sample_1"].split == "test"
        and records["sample_1"].text == "Wait"
    )
    family = plant(
        tmp_path / "MER2025",
        {
            "track2_train_ovmerd.csv": "name,openset\nsample_1,[calm]\n",
            "track1_train_disdim.csv": "name,discrete,valence\nsample_1,happy,2\nsample_2,happy,high\n",
            "track2_test.csv": "name\nsample_2\n",
            "mer2025-ov.csv": "name,openset\nsample_2,[calm]\n",
        },
        "video/sample_1.mp4 video/sample_2.mp4",
    )
    assert read("ov_merd", family)[0].layout == "original"
    report, records = read("mer2025", family)
    assert (
        records["sample_1"].labels.tasks == ("sentiment", "emotion") and records["sample_2"].split == "test"
    )
    assert wheres(report) == ["track1_train_disdim.csv:3"]


def test_mer2026_speakers_open_labels_and_preferences(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "track1_train.csv": "name,discrete\nsample_1,happy\nsample_2,bored\n",
            "track2_train_human.csv": 'name,openset\nsample_1,"shocked,care"\n',
            "track3_emoprefer.csv": "name,a1,a2,preference\nsample_1,He smiles.,He cries.,a2\n",
            "track3_emopreferv2.csv": "name,a1,a2,preference\n"
            "sample_1,He frowns.,He laughs.,a1\nsample_1,x,y,tie\nsample_1,He hides.,He shouts.,a2\n",
            "track1_track2_candidate.csv": "name\nsample_9\n",
            "subtitle_chieng.csv": SUBTITLES,
        },
        "video/video_track1_train/video/sample_1.mp4",
    )
    report, records = read("mer2026", tmp_path)
    assert list(records) == [
        "track1_sample_1",
        "track2_sample_1",
        "track3_emoprefer_sample_1_2",
        "track3_emopreferv2_sample_1_2",
        "track3_emopreferv2_sample_1_4",
    ]
    assert wheres(report) == ["track1_train.csv:3", "track3_emopreferv2.csv:3"]
    first, second, pair = list(records.values())[:3]
    assert first.labels.emotion and first.labels.emotion.label == "happiness" and first.text == "你好"
    assert second.labels.open_vocabulary and second.labels.open_vocabulary.labels == ["shocked", "care"]
    assert pair.labels.reasoning and pair.labels.reasoning.text == "He cries."
    assert pair.extra and (pair.extra["a1"], pair.extra["preferred"]) == ("He smiles.", "a2")
    assert any("without published answers" in sentence for sentence in report.assumptions)


def test_merr(tmp_path: Path) -> None:
    fine = {
        "sample_1": {
            "AU_list": ["AU04"],
            "visual_prior_list": ["Lower the brow"],
            "audio_prior_list": "in a low voice",
            "peak_index": "3",
            "peak_AU_list": ["AU04"],
            "pseu_emotion": "doubt",
            "text": "Really?",
            "smp_reason_caption": "He doubts it.",
        },
        "sample_2": {"pseu_emotion": "sad", "text": "Oh"},
        "sample_3": [],
    }
    plant(
        tmp_path, {"MERR_fine_grained.json": fine}, "test3/sample_1.avi audio/sample_1.wav test3/sample_2.mp4"
    )
    report, records = read("merr", tmp_path)
    first = records["sample_1"]
    assert first.labels.reasoning and first.labels.reasoning.cues is None and first.extra
    assert first.extra["audio_prior_list"] == "in a low voice" and first.language == "en"
    assert records["sample_2"].labels.tasks == ("emotion",) and wheres(report) == [
        "MERR_fine_grained.json[sample_3]"
    ]
    plant(tmp_path, {"MERR_coarse_grained.json": {"sample_2": {"smp_reason_caption": "Sad."}}})
    assert read("merr_coarse", tmp_path)[1]["sample_2"].labels.reasoning


def test_emer(tmp_path: Path) -> None:
    first = plant(
        tmp_path / "v1",
        {
            "EMER/gt-eng.csv": "names,emotions,subtitles,reasons\n"
            "sample_1,worried,Wait,He frowns.\nsample_2,odd,a,b\n",
            "EMER/gt.csv": "names,chi_reasons\nsample_1,皱眉\n".encode("gb18030"),
        },
        "video/sample_1.mp4 video/sample_2.mp4",
    )
    report, records = read("emer", first)
    assert records["sample_1"].extra == {"reason_zh": "皱眉"} and records["sample_1"].split == "test"
    assert wheres(report) == ["gt-eng.csv:3"]
    second = plant(
        tmp_path / "v2",
        {"final-EMER-reason.csv": "names,chi,english\nsample_1,皱眉,He frowns.\n"},
        "sample_1.mp4",
    )
    report, records = read("emer", second)
    label = records["sample_1"].labels.reasoning
    assert label and label.text == "He frowns." and report.layout == "v2"


DFEW_HEAD = ["1happy", "2sad", "3neutral", "4angry", "5surprise", "6disgust", "7fear", "order", "label"]


def test_dfew(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book, file = openpyxl.Workbook(), BytesIO()
    for row in (
        DFEW_HEAD,
        [8, 1, 1, 0, 0, 0, 0, 1, 1],
        [0, 0, 0, 7, 3, 0, 0, 2, 4],
        [3, 3, 4, 0, 0, 0, 0, 3, 0],
    ):
        book.active.append(row)
    book.active.append([0, 9, 1, 0, 0, 0, 0, 4, 2])  # in no fold
    book.active.append([0, 9, 1, 0, 0, 0, 0, 5, 12])
    book.save(file)
    plant(
        tmp_path,
        {
            "Annotation/annotation.xlsx": file.getvalue(),
            "EmoLabel_DataSplit/test(single-labeled)/set_1.csv": "video_name,label\n00001,1\n",
            "EmoLabel_DataSplit/test(single-labeled)/set_2.csv": "video_name,label\n2,4\n",
        },
        "Clip/original/1.mp4 Clip/clip_224x224/00002/00001.jpg Clip/clip_224x224_16f/00002/00001.jpg "
        "Clip/original/4.mp4",
    )
    report, records = read("dfew", tmp_path)
    assert {i: r.split for i, r in records.items()} == {"00001": "test", "00002": "train", "00004": None}
    label = records["00002"].labels.emotion
    assert label and label.label == "anger" and label.votes == {"anger": 7, "surprise": 3}
    assert records["00002"].frames_dir and records["00002"].frames_dir.parent.name == "clip_224x224"
    assert wheres(report) == ["annotation.xlsx:6"] and any(
        "no single label" in text for text in report.assumptions
    )
