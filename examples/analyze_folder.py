"""Analyse every media file of a folder and write one CSV row for each.

A file that cannot be read gets a row that says why, and the others are still analysed. If a text file lies beside
a clip under the same name (`a.mp4`, `a.txt`), its content is what is said in the clip.

Run it:  python examples/analyze_folder.py demo answers.csv
"""

import argparse
import csv
import sys
from pathlib import Path

from nanoemox import EmotionAnalyzer, MediaError

MEDIA = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".wav", ".mp3", ".flac", ".m4a", ".ogg", ".png", ".jpg"}
COLUMNS = ["file", "emotion", "probability", "valence", "warnings", "error"]


def row(analyzer: EmotionAnalyzer, clip: Path) -> dict[str, object]:
    """One row of the table."""
    beside = clip.with_suffix(".txt")
    text = beside.read_text("utf-8").strip() if beside.is_file() else None
    try:
        result = analyzer.analyze(clip, text=text, tasks=["emotion", "sentiment"])
    except MediaError as error:
        return {"file": clip.name, "error": error}
    emotion = result["emotion"]
    return {
        "file": clip.name,
        "emotion": emotion.label,
        "probability": max(emotion.probabilities.values()),  # that of the label
        "valence": result["sentiment"].score,  # from -1, unpleasant, to 1, pleasant
        "warnings": "; ".join(map(str, result.warnings)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path, help="the CSV file to write")
    options = parser.parse_args()

    clips = sorted(path for path in options.folder.iterdir() if path.suffix.lower() in MEDIA)
    analyzer = EmotionAnalyzer.from_pretrained("pico")  # once for all files
    rows = [row(analyzer, clip) for clip in clips]
    with options.table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    broken = [entry for entry in rows if "error" in entry]
    print(f"wrote {options.table}: {len(rows) - len(broken)} of {len(rows)} files were analysed")
    sys.exit(f"{len(broken)} files could not be read; the column error says why" if broken else 0)


if __name__ == "__main__":
    main()
