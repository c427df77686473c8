"""Toy corpora in the layouts in which the benchmarks' corpora are distributed: a few clips each, of one small film.

`python -m tests.evaluation.toy_benchmarks FOLDER` writes those of every benchmark.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.corpora.clips import film
from tests.corpora.trees import label_archive, plant

MELD_HEAD = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
)
TIMES = '8,21,"00:16:16,059","00:16:21,731"\n'
IEMOCAP = (
    "[0.0000 - 0.3000]\tSes05F_impro01_F000\tsad\t[2.5000, 2.5000, 2.5000]\n"
    "[0.3000 - 0.6000]\tSes05F_impro01_M000\texc\t[4.5000, 3.5000, 2.5000]\n"
)
SCORES = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\n"
TURN = {"index": 0, "role": "speaker", "utterance": "I moved to another city."}
CHAIN = {
    "speaker_emotion": "lonely",
    "event_scenario": "a move to another city",
    "emotion_cause": "friends are far away",
    "goal_to_response": "comfort",
}
NINE = ("MER2023", "MER2024", "MELD.Raw", "IEMOCAP_full_release", "MOSI", "MOSEI", "SIMS", "ch-simsv2s")
OV_MERD = "ovmerdplus-process"


def merunibench(root: Path, folders: Sequence[str] = (*NINE, OV_MERD)) -> Path:
    """Those of the nine sets of MER-UniBench whose folders are named: as downloaded, or OV-MERD+ as prepared."""
    tables = {
        "MER2023": {
            "test1-label.csv": "name,discrete,valence\nsample_1,happy,2\nsample_2,worried,-1\n",
            "transcription-engchi-polish.csv": "name,chinese,english\nsample_1,你好,I am so glad\n",
        },
        "MER2024": {
            "reference-semi.csv": "name,discrete\nsample_5,surprise\nsample_6,angry\n",
            "transcription_merge.csv": "name,chinese,english\nsample_5,什么,What\n",
        },
        "MELD.Raw": {
            "test_sent_emo.csv": MELD_HEAD
            + f"1,I am so happy!,Joey,joy,positive,0,0,{TIMES}2,Oh no,Monica,sadness,negative,0,1,{TIMES}"
        },
        "IEMOCAP_full_release": {
            "Session5/dialog/EmoEvaluation/Ses05F_impro01.txt": IEMOCAP,
            "Session5/dialog/transcriptions/Ses05F_impro01.txt": "Ses05F_impro01_F000 [0.0-0.3]: I lost it.\n",
        },
        "MOSI": {"label.csv": f"{SCORES}abc,1,so good,2.4,,,,,test\nabc,2,so bad,-1.8,,,,,test\n"},
        "MOSEI": {"label.csv": f"{SCORES}def,1,I love it,1.0,,,,,test\ndef,2,I hate it,-2.0,,,,,test\n"},
        "SIMS": {
            "label.csv": f"{SCORES}video_0001,0001,好,0.8,,,,,test\nvideo_0001,0002,不好,-0.6,,,,,test\n"
        },
        "ch-simsv2s": {
            "meta.csv": f"{SCORES}aqgy3_0001,00003,嗯,0.6,,,,,test\naqgy3_0001,00004,哎,-0.4,,,,,test\n"
        },
        OV_MERD: {
            "ovlabel.csv": 'name,openset\nsample_7,"worried, tense"\nsample_8,"happy, relieved"\n',
            "subtitle_eng.csv": "name,chinese,english\nsample_7,,Wait\nsample_8,,At last\n",
        },
    }
    clips = {
        "MER2023": ("test1/sample_1.mp4", "test1/sample_2.mp4"),
        "MER2024": ("video-unlabeled/sample_5.mp4", "video-unlabeled/sample_6.mp4"),
        "MELD.Raw": tuple(f"test/output_repeated_splits_test/dia0_utt{i}.mp4" for i in (0, 1)),
        "IEMOCAP_full_release": ("Session5/dialog/avi/DivX/Ses05F_impro01.avi",),
        "MOSI": ("Raw/abc/1.mp4", "Raw/abc/2.mp4"),
        "MOSEI": ("Raw/def/1.mp4", "Raw/def/2.mp4"),
        "SIMS": ("Raw/video_0001/0001.mp4", "Raw/video_0001/0002.mp4"),
        "ch-simsv2s": ("Raw/aqgy3_0001/00003.mp4", "Raw/aqgy3_0001/00004.mp4"),
        OV_MERD: ("video/sample_7.mp4", "video/sample_8.mp4"),
    }
    for folder in folders:
        _plant(root / folder, tables[folder], clips[folder])
    return root


def mintrec(root: Path) -> Path:
    """MIntRec as downloaded."""
    rows = "season\tepisode\tclip\ttext\tlabel\nS05\tE01\t1\tthanks a lot\tThank\nS05\tE01\t2\thello\tGreet\n"
    _plant(root / "MIntRec", {"test.tsv": rows}, ("raw_data/S05/E01/1.mp4", "raw_data/S05/E01/2.mp4"))
    return root


def mintrec2(root: Path) -> Path:
    """MIntRec2.0 as downloaded."""
    rows = (
        "dialogue_id\tutterance_id\ttext\tlabel\tspeaker\n"
        "4\t0\tplease help me\tAsk for help\tAmy\n4\t1\tno way\tRefuse\tJonah\n"
    )
    _plant(root / "MIntRec2.0", {"in-scope/test.tsv": rows}, ("raw/dia4_utt0.mp4", "raw/dia4_utt1.mp4"))
    return root


def avamerg(root: Path) -> Path:
    """AvaMERG as downloaded: two conversations of one turn."""
    talks = [
        {
            "conversation_id": f"0000{i}",
            "speaker_profile": {"ID": 12},
            "listener_profile": {"ID": 40},
            "topic": "moving",
            "turns": [
                {
                    "turn_id": "0",
                    "context": "moving",
                    "dialogue_history": [TURN],
                    "response": "That sounds hard.",
                    "chain_of_empathy": CHAIN,
                }
            ],
        }
        for i in (1, 2)
    ]
    clips = ("test_video/dia00001utt0_12.mp4", "test_video/dia00002utt0_12.mp4")
    _plant(root / "AvaMERG", {"v_test_v5_0.json": talks}, clips)
    return root


def emer(root: Path) -> Path:
    """EMER as its authors hand it out, beside its clips."""
    rows = (
        "names,emotions,subtitles,reasons\n"
        'sample_1,worried,Wait,"She frowns, so she is worried."\nsample_2,happy,At last,"He smiles: he is happy."\n'
    )
    _plant(root / "EMER", {"gt-eng.csv": rows}, ("video/sample_1.mp4", "video/sample_2.mp4"))
    return root


def prepared_mosi(root: Path) -> Path:
    """CMU-MOSI in the published preparation, with a folder of validation clips, too."""
    splits = {"val": [(f"v_{i}", (-1) ** i * 1.5) for i in range(12)], "test": [("t_0", 2.0), ("t_1", -2.0)]}
    archive = {
        f"{split}_corpus": {name: {"emo": 0, "val": value} for name, value in clips}
        for split, clips in splits.items()
    }
    names = [f"subvideo/{name}.mp4" for clips in splits.values() for name, _ in clips]
    _plant(root / "cmumosi-process", {"label.npz": label_archive(**archive)}, names)
    return root


def _plant(folder: Path, tables: dict[str, object], clips: Sequence[str]) -> None:
    plant(folder, tables)
    small = film(folder / clips[0], 0.6).read_bytes() if clips[0].endswith(".mp4") else None
    if small is None:  # the film of a dialogue, whose name ends as no encoder of ours writes it
        made = film(folder / "made.mp4", 0.6)
        small = made.read_bytes()
        made.unlink()
    for clip in clips:
        path = folder / clip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(small)


if __name__ == "__main__":
    for write in (merunibench, mintrec, mintrec2, avamerg, emer):
        write(Path(sys.argv[1]))
