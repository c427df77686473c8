"""AvaMERG, CMU-MOSI, CMU-MOSEI, CH-SIMS, CH-SIMS v2, RAVDESS, EMO-DB: their layouts and traps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpora.trees import label_archive, plant, read, wheres

CHAIN = {
    "speaker_emotion": "Lonely",
    "event_scenario": "a move to another city",
    "emotion_cause": "friends far away",
    "goal_to_response": "comfort",
}


def _talk(number: str, turns: int) -> dict[str, object]:
    said = [
        {"index": 0, "role": "speaker", "utterance": "I moved."},
        {"index": 1, "role": "listener", "utterance": "Oh?"},
    ]
    return {
        "conversation_id": number,
        "speaker_profile": {"ID": 12, "gender": "female"},
        "listener_profile": {"ID": 40},
        "topic": "moving",
        "turns": [
            {
                "turn_id": str(i),
                "context": "moving",
                "dialogue_history": [
                    *(said * i),
                    {"index": 2 * i, "role": "speaker", "utterance": "I miss them."},
                ],
                "response": "That sounds hard.",
                "chain_of_empathy": CHAIN,
            }
            for i in range(turns)
        ],
    }


def test_avamerg_reads_every_turn_of_train_and_the_last_of_test(tmp_path: Path) -> None:
    broken = {**_talk("00003", 1), "turns": [{"turn_id": "0", "dialogue_history": []}, 7]}
    plant(
        tmp_path,
        {"train.json": [_talk("00001", 2), broken, {"turns": []}], "v_test_v5_0.json": [_talk("00002", 2)]},
        "video/dia00001utt0_12.mp4 video/dia00001utt2_12.mp4 audio/dia00001utt0_12.wav "
        "video/dia00001utt1_40.mp4 "
        "test_video/dia00002utt0_12.mp4 test_video/dia00002utt2_12.mp4",
    )
    report, records = read("avamerg", tmp_path)
    assert {i: r.split for i, r in records.items()} == {
        "dia00001utt0_12": "train",
        "dia00001utt2_12": "train",
        "dia00002utt2_12": "test",
    }
    line = records["dia00001utt2_12"]
    assert (
        line.text == "I miss them."
        and line.dialogue
        and [t.role for t in line.dialogue] == ["user", "assistant"]
    )
    assert line.labels.empathy and line.labels.empathy.cause == "friends far away"
    assert line.labels.emotion and line.labels.emotion.label == "lonely"
    assert line.labels.emotion.candidates and len(line.labels.emotion.candidates) == 25
    assert wheres(report) == ["train.json[1].turns[0]", "train.json[1].turns[1]", "train.json[2]"]


def test_mosi_processed_and_mmsa(tmp_path: Path) -> None:
    processed = plant(
        tmp_path / "processed",
        {
            "cmumosi-process/label.npz": label_archive(
                train_corpus={"abc_1": {"emo": 0, "val": -1.8}},
                test_corpus={"abc_2": {"emo": 0, "val": 9.0}, "abc_3": {"emo": 0}},
            ),
            "cmumosi-process/transcription-engchi-polish.csv": "name,chinese,english\nabc_1,坏,Bad\n",
        },
        "cmumosi-process/subvideo/abc_1.mp4 cmumosi-process/subvideo/abc_2.mp4 "
        "cmumosi-process/subvideo/abc_3.mp4",
    )
    report, records = read("cmu_mosi", processed)
    label = records["abc_1"].labels.sentiment
    assert label and label.valence == -1.8 and label.range == (-3.0, 3.0) and label.polarity is None
    assert wheres(report) == ["label.npz[test][abc_2]", "label.npz[test][abc_3]"]
    mmsa = plant(
        tmp_path / "MOSEI",
        {
            "label.csv": "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\n"
            "-3g5yACwYnA,10,so good,2.0,1,,,Positive,train\n-3g5yACwYnA,11,hm,0,,,,Neutral,valid\n"
            "x,0,?,1,,,,P,maybe\n"
        },
        "Raw/-3g5yACwYnA/10.mp4 Raw/-3g5yACwYnA/11.mp4 Raw/other/10.mp4",
    )
    report, records = read("cmu_mosei", mmsa)
    assert records["-3g5yACwYnA_10"].video and records["-3g5yACwYnA_10"].video.parent.name == "-3g5yACwYnA"
    assert records["-3g5yACwYnA_11"].split == "val" and wheres(report) == ["label.csv:4"]


@pytest.mark.parametrize("which", ["mosi", "mosei"])
def test_mosi_and_mosei_from_the_sdk(which: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    name = {"mosi": "CMU_MOSI_Opinion_Labels.csd", "mosei": "CMU_MOSEI_Labels.csd"}[which]
    with h5py.File(tmp_path / name, "w") as file:
        data = file.create_group("All Labels").create_group("data").create_group("vid")
        data["features"] = [[1.5, 0.0], [-7.0, 0.0]]
        data["intervals"] = [[0.5, 2.0], [2.0, 4.0]]
    words = {
        "mosi": {"Transcript/Segmented/vid.annotprocessed": "1_DELIM_SO GOOD\n2_DELIM_BAD\n"},
        "mosei": {
            "Transcript/Segmented/Combined/vid.txt": "vid___1___2.0___4.0___bad\n"
            "vid___0___0.5___2.0___so good\nvid___x\n"
        },
    }[which]
    media = {"mosi": "Raw/Video/Segmented/vid_1.mp4", "mosei": "Raw/Videos/Full/Combined/vid.mp4"}[which]
    plant(tmp_path, {**words, "folds.json": {"valid": ["vid"]}}, media)
    report, records = read(f"cmu_{which}", tmp_path)
    (line,) = records.values()
    assert line.split == "val" and line.text and line.text.lower() == "so good"
    assert (line.start_s, line.end_s) == ((None, None) if which == "mosi" else (0.5, 2.0))
    assert "outside [-3, 3]" in report.skipped[-1].what


def test_sims_keeps_leading_zeros(tmp_path: Path) -> None:
    original = plant(
        tmp_path / "original",
        {
            "metadata/sentiment/label_M.csv": "video_id,clip_id,label\n"
            "video_0001,0001,-0.4\nvideo_0001,2,1.4\n",
            "metadata/sentiment/label_T.csv": "video_id,clip_id,label\nvideo_0001,1,0.2\n",
            "metadata/train_index.csv": "video_id,clip_id\nvideo_0001,0001\n",
            "metadata/Translation.csv": "video_id,clip_id,Chinese,English\nvideo_0001,1,你好,Hello\n".encode(
                "gb18030"
            ),
        },
        "Raw/video_0001/0001.mp4 Raw/video_0001/0002.mp4 Raw/video_0002/0001.mp4",
    )
    report, records = read("ch_sims", original)
    line = records["video_0001_0001"]
    assert (
        line.video
        and line.video.parent.name == "video_0001"
        and line.split == "train"
        and line.text == "你好"
    )
    assert (
        line.extra == {"unimodal": {"t": 0.2}, "video": "video_0001", "text_en": "Hello"}
        and line.language == "zh"
    )
    assert "outside [-1, 1]" in report.skipped[0].what
    mmsa = plant(
        tmp_path / "mmsa",
        {"label.csv": "video_id,clip_id,text,label,mode\nvideo_0001,1,你好,0.2,valid\n"},
        "Raw/video_0001/0001.mp4",
    )
    assert read("ch_sims", mmsa)[1]["video_0001_0001"].split == "val"


def test_sims_v2(tmp_path: Path) -> None:
    original = plant(
        tmp_path / "original",
        {
            "ch-simsv2s/meta.csv": "video_id,clip_id,text,label,label_T,mode\n"
            "aqgy3_0001,00003,嗯,0.6,0.2,test\n"
        },
        "ch-simsv2s/Raw/aqgy3_0001/00003.mp4",
    )
    report, records = read("ch_sims_v2", original)
    assert records["aqgy3_0001_00003"].split == "test" and report.ok
    processed = plant(
        tmp_path / "processed",
        {"simsv2-process/label.npz": label_archive(test_corpus={"aqgy3_0001_00003": {"emo": 0, "val": 0.6}})},
        "simsv2-process/video_new/aqgy3_0001_00003.mp4",
    )
    assert read("ch_sims_v2", processed)[0].layout == "processed"


def test_ravdess_is_one_line_a_performance(tmp_path: Path) -> None:
    plant(
        tmp_path,
        media="Video_Speech_Actor_01/Actor_01/01-01-03-02-01-01-01.mp4 "
        "Audio_Speech/Actor_01/03-01-03-02-01-01-01.wav "
        "Video_Speech_Actor_01/Actor_01/02-01-03-02-01-01-01.mp4 "
        "Audio_Speech/Actor_22/03-01-02-01-02-02-22.wav "
        "Audio_Speech/Actor_20/03-01-05-01-02-02-20.wav Video/Actor_20/02-01-05-01-02-02-20.mp4 "
        "Audio_Song/Actor_01/03-02-03-02-01-01-01.wav Audio_Speech/Actor_99/03-01-05-01-02-02-99.wav",
    )
    report, records = read("ravdess", tmp_path)
    first, second, third = (
        records[f"01-{x}"] for x in ("03-02-01-01-01", "02-01-02-02-22", "05-01-02-02-20")
    )
    assert first.video and first.video.stem.startswith("01") and first.audio is None  # its own sound
    assert third.video and third.audio and third.split == "val"
    assert second.labels.emotion and second.labels.emotion.label == "neutral" and second.split == "test"
    assert second.text == "Dogs are sitting by the door." and len(records) == 3
    assert "actor 99" in report.skipped[0].what and "songs were left out" in report.assumptions


def test_emodb(tmp_path: Path) -> None:
    plant(tmp_path, media="wav/03a01Fa.wav wav/16b10Wb.wav wav/13a02Lc.wav wav/08a03Na.wav wav/notes.wav")
    report, records = read("emodb", tmp_path)
    assert {i: (r.split, r.labels.emotion.label) for i, r in records.items() if r.labels.emotion} == {
        "03a01Fa": ("train", "happiness"),
        "16b10Wb": ("test", "anger"),
        "13a02Lc": ("val", "boredom"),
    }
    assert records["03a01Fa"].language == "de" and wheres(report) == ["08a03na"]
