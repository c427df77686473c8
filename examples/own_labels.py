"""Let the model choose between labels of your own, for the emotion and for the intent.

Any words will do: the model compares how likely it is to write each of them, and the probabilities are over your
labels alone. Whether a choice is right is another matter. The bundled model was trained with the standard labels
only, so what it chooses from another list shows how it works and no more. Fine-tune a model on your labels first.

Run it:  python examples/own_labels.py
or:      python examples/own_labels.py --emotion calm,tense --intent Ask,Refuse,Agree
"""

import argparse
from pathlib import Path

from nanoemox import EmotionAnalyzer

DEMO = Path(__file__).parents[1] / "demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--emotion", default="joy,grief,rage", help="labels, separated by commas")
    parser.add_argument("--intent", default="Apologise,Complain,Thank", help="the same")
    options = parser.parse_args()
    labels = {"emotion": options.emotion.split(","), "intent": options.intent.split(",")}

    analyzer = EmotionAnalyzer.from_pretrained("pico")
    result = analyzer.analyze(
        DEMO / "sample.mp4",
        text=(DEMO / "sample.txt").read_text("utf-8").strip(),
        tasks=list(labels),
        candidates=labels,
    )
    for task, answer in result.items():
        print(f"{task}: {answer.label}")
        for label, probability in answer.probabilities.items():
            print(f"  {label:<12} {probability:.3f}")


if __name__ == "__main__":
    main()
