"""Fine-tune the bundled model on your own clips and ask the new model about one of them.

TABLE names your clips and their labels, one row each (docs/own-data.md says which columns there are). Without it
the script cuts the sample clip into parts. So few clips and steps teach a model nothing: they show the way.

Run it:  python examples/fine_tune.py runs/fine_tuned
or:      python examples/fine_tune.py runs/fine_tuned clips/labels.csv --steps 300
"""

import argparse
import logging
import shutil
from pathlib import Path

from nanoemox import EmotionAnalyzer, read_manifest, train
from nanoemox.corpora.prepare import prepare_own
from nanoemox.data.records import load_record

SAMPLE = Path(__file__).parents[1] / "demo" / "sample.mp4"
PARTS = "file,start_s,end_s,emotion\nsample.mp4,0,2,sadness\nsample.mp4,1,3,sadness\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder for features and the new model")
    parser.add_argument("table", type=Path, nargs="?", help="the table of your clips, which lie beside it")
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # training reports its progress there
    if options.table is None:
        options.out.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLE, options.out)
        options.table = options.out / "labels.csv"
        options.table.write_text(PARTS, "utf-8")

    # 1. The table becomes a manifest: one line for each clip, with its labels.
    report = prepare_own(options.table, options.table.with_name("train.jsonl"))
    print(report.summary())

    # 2. Training by the recipe `own`; every `key=value` changes one of its keys.
    settings = {
        "manifests": f"[{report.manifest}]",
        "output": options.out / "run",
        "features": options.out / "features",  # the frozen encoders' outputs, computed once
        "phases.tuned.tasks": "{emotion: 1}",
        "phases.tuned.steps": options.steps,
        "phases.tuned.batch_size": 2,
        "workers": 0,  # extra processes that decode files; worth their start with many clips
    }
    model = train("own", overrides=[f"{key}={value}" for key, value in settings.items()]).folder

    # 3. The new model folder is used like the bundled model.
    record = read_manifest(report.manifest)[0]
    analyzer = EmotionAnalyzer.from_pretrained(model)
    result = analyzer.analyze(load_record(record), text=record.text, tasks=["emotion"])
    print(f"{model}: the emotion of {record.id} is {result['emotion'].label}")


if __name__ == "__main__":
    main()
