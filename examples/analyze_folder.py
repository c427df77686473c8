"""Analyse every media file of a folder and write a CSV row of your own making for each.

A file that cannot be read gets a row that says why, and the others are still analysed. If a text file lies beside
a clip under the same name (`a.mp4`, `a.txt`), its content is what is said in the clip. `nanoemox analyze FOLDER --out
DIR` does much of this without a script (docs/many-files.md).

Run it:  python examples/analyze_folder.py demo answers.csv
"""

import argparse
import csv
import sys
from pathlib import Path

from nanoemox import EmotionAnalyzer
from nanoemox.inference.many import FileResult
from nanoemox.inference.sources import found_in, with_text_files

COLUMNS = ["file", "emotion", "probability", "valence", "warnings", "error"]


def row(name: str, result: FileResult) -> dict[str, object]:
    """One row of the table."""
    if result.analysis is None:
        return {"file": name, "error": result.error}
    emotion = result.analysis["emotion"]
    return {
        "file": name,
        "emotion": emotion.label,
        "probability": max(emotion.probabilities.values()),  # that of the label
        "valence": result.analysis["sentiment"].score,  # from -1, unpleasant, to 1, pleasant
        "warnings": "; ".join(map(str, result.analysis.warnings)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path, help="the CSV file to write")
    options = parser.parse_args()

    clips = with_text_files(found_in([options.folder]).items)
    analyzer = EmotionAnalyzer.from_pretrained("pico")  # once for all files
    results = analyzer.analyze_many((clip.source for clip in clips), tasks=["emotion", "sentiment"])
    rows = [row(clip.name, result) for clip, result in zip(clips, results, strict=True)]
    with options.table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    broken = [entry for entry in rows if "error" in entry]
    print(f"wrote {options.table}: {len(rows) - len(broken)} of {len(rows)} files were analysed")
    sys.exit(f"{len(broken)} files could not be read; the column error says why" if broken else 0)


if __name__ == "__main__":
    main()
