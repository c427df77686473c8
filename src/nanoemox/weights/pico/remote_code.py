"""A saved model brings the code that defines it, so that it loads where nanoemox is not installed.

The files lie beside the weights with their imports made relative, and `auto_map` tells transformers which classes
they hold. Where nanoemox is not installed, transformers itself copies them on when the model is saved again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

# What transformers looks up in the configuration of a model that brings its code.
AUTO_MAP = {
    "AutoConfig": "configuration_nanoemox.NanoEmoXConfig",
    "AutoModelForMultimodalLM": "modeling_nanoemox.NanoEmoXForConditionalGeneration",
    "AutoProcessor": "processing_nanoemox.NanoEmoXProcessor",
}
_KEYS = {"config.json": tuple(AUTO_MAP), "processor_config.json": ("AutoProcessor",)}
_OURS = re.compile(r"^(\s*)from nanoemox\.(\w+)\.(\w+) import", re.MULTILINE)


def code() -> dict[str, str]:
    """The files that define configuration, model and processor, with all they import of ours."""
    package, texts = Path(__file__).parent.parent, {}
    waiting = [("model", target.partition(".")[0]) for target in AUTO_MAP.values()]
    while waiting:
        folder, module = waiting.pop()
        if module not in texts:
            source = (package / folder / f"{module}.py").read_text(encoding="utf-8")
            waiting += [(folder, name) for _, folder, name in _OURS.findall(source)]
            texts[module] = _OURS.sub(r"\1from .\3 import", source)
    return texts


def bring_code(folder: str | Path) -> None:
    """Put the code beside saved weights, and name the classes in the configurations that are there.

    A copy of this file, where nanoemox is not installed, leaves that to transformers.
    """
    folder = Path(folder)
    if __name__ != "nanoemox.model.remote_code":
        return
    for module, text in code().items():
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
    for name, keys in _KEYS.items():
        path = folder / name
        if path.is_file():
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            fields["auto_map"] = {key: AUTO_MAP[key] for key in keys}
            path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":  # renew the code in a folder, such as the bundled one
    import sys

    from .remote_code import bring_code as bring

    bring(sys.argv[1])
