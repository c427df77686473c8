"""Ask the bundled model about one clip and print what it answers.

Run it:  python examples/analyze_clip.py
or:      python examples/analyze_clip.py my_clip.mp4 --text "What is said in it."
"""

import argparse
from pathlib import Path

from nanoemox import EmotionAnalyzer

DEMO = Path(__file__).parents[1] / "demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clip", nargs="?", help="a video, an audio file or a picture; default: the sample")
    parser.add_argument("--text", help="what is said in the clip")
    options = parser.parse_args()
    clip, text = options.clip, options.text
    if clip is None:
        clip, text = DEMO / "sample.mp4", text or (DEMO / "sample.txt").read_text("utf-8").strip()

    analyzer = EmotionAnalyzer.from_pretrained("pico")  # a model folder or a Hub id does as well
    result = analyzer.analyze(clip, text=text, tasks=["emotion", "intent", "empathy"])

    # A closed question gives a label and a probability for every label that it could have been.
    for task in ("emotion", "intent"):
        print(f"{task}: {result[task].label}")
        likely = sorted(result[task].probabilities.items(), key=lambda pair: pair[1], reverse=True)
        for label, probability in likely[:3]:
            print(f"  {label:<12} {probability:.3f}")

    # An open question gives text; the empathetic reply comes with the steps that lead to it.
    for step, words in result["empathy"].thinking.items():
        print(f"{step}: {words}")
    print(f"reply: {result['empathy'].reply}")

    # What the answers rest on, and what a reader has to know about them.
    for modality, state in result.modalities.items():
        print(f"{modality}: {state}")
    for warning in result.warnings:
        print(f"warning: {warning}")


if __name__ == "__main__":
    main()
