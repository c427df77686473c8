"""Score another system's answers against a manifest: figures with intervals, and every fault by name.

No model is loaded. Without arguments the script writes a small manifest and a file of answers with typical faults.

Run it:  python examples/score_peer.py
or:      python examples/score_peer.py answers.csv manifest.jsonl --task emotion
"""

import argparse
import json
import tempfile
from pathlib import Path

from nanoemox import score_file

TRUE = ["anger", "fear", "happiness", "sadness", "surprise", "neutral"] * 5


def make_files(folder: Path) -> tuple[Path, Path]:
    """Thirty labelled clips, and a system's answers about them: some wrong, some missing, one given twice."""
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for i, label in enumerate(TRUE):
            line = {"id": f"clip-{i:02}", "text": "Oh.", "speaker": f"speaker-{i % 10}"}
            print(json.dumps(line | {"labels": {"emotion": {"label": label}}}), file=manifest)
    answers = [f"clip-{i:02},{'sadness' if i % 4 == 0 else label}" for i, label in enumerate(TRUE)]
    answers[7], answers[9] = "clip-07,", "clip-09,bored"  # an empty answer, a label that is not offered
    answers += ["clip-01,anger", "clip-99,fear"]  # a second answer, a clip that the manifest does not know
    del answers[20]
    (folder / "answers.csv").write_text("\n".join(["name,label", *answers, ""]), "utf-8")
    return folder / "answers.csv", folder / "manifest.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("answers", nargs="?", type=Path, help="csv, tsv, jsonl, json or npz")
    parser.add_argument("manifest", nargs="?", type=Path)
    parser.add_argument("--task", default="emotion")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        answers, manifest = options.answers, options.manifest
        if answers is None:
            answers, manifest = make_files(Path(folder))
        report = score_file(answers, options.task, manifest)
    print(f"{report.n} labelled clips")
    for name, figure in (report.standard or {}).items():
        if figure["value"] is not None:
            print(f"{name:<20} {figure['value']:.3f}  (95 %: {figure['low']:.3f} to {figure['high']:.3f})")
    for kind, fault in (report.faults or {}).items():
        print(f"{kind}: {', '.join(fault['names'])}")


if __name__ == "__main__":
    main()
