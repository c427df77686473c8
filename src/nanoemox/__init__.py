"""Nano-EmoX: emotion understanding and empathetic response from video, voice and words.

```python
from nanoemox import EmotionAnalyzer

analyzer = EmotionAnalyzer.from_pretrained("pico")
result = analyzer.analyze("clip.mp4", text="What a surprise!")
result["emotion"].label, result["emotion"].probabilities
```

Names are imported when they are first used, so that `import nanoemox` stays light (no torch, no transformers).
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# huggingface_hub would ask its server for a list of programs that start others, to name them in its requests.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Threads that wait sleep: spinning ones take the cores that other processes could compute with. Before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from nanoemox.data.manifest import read_manifest
    from nanoemox.evaluation.evaluate import evaluate
    from nanoemox.files.errors import NanoEmoXError
    from nanoemox.inference.analyzer import EmotionAnalyzer
    from nanoemox.inference.results import Analysis
    from nanoemox.media.clip import Clip
    from nanoemox.media.load import load_clip
    from nanoemox.media.subtitles import Sentence, Spoken, read_subtitles
    from nanoemox.media.transcribe import transcribe
    from nanoemox.media.untrusted import MediaError
    from nanoemox.model.configuration_nanoemox import NanoEmoXConfig
    from nanoemox.model.modeling_nanoemox import NanoEmoXForConditionalGeneration
    from nanoemox.model.processing_nanoemox import NanoEmoXProcessor
    from nanoemox.scoring.compare import compare
    from nanoemox.scoring.external import score_file
    from nanoemox.scoring.score import score
    from nanoemox.training.run import train

__version__ = "0.1.0"

_HOMES = {
    "Analysis": "inference.results",
    "Clip": "media.clip",
    "EmotionAnalyzer": "inference.analyzer",
    "MediaError": "media.untrusted",
    "NanoEmoXConfig": "model.configuration_nanoemox",
    "NanoEmoXError": "files.errors",
    "NanoEmoXForConditionalGeneration": "model.modeling_nanoemox",
    "NanoEmoXProcessor": "model.processing_nanoemox",
    "Sentence": "media.subtitles",
    "Spoken": "media.subtitles",
    "compare": "scoring.compare",
    "evaluate": "evaluation.evaluate",
    "load_clip": "media.load",
    "read_manifest": "data.manifest",
    "read_subtitles": "media.subtitles",
    "score": "scoring.score",
    "score_file": "scoring.external",
    "train": "training.run",
    "transcribe": "media.transcribe",
}

__all__ = [
    "Analysis",
    "Clip",
    "EmotionAnalyzer",
    "MediaError",
    "NanoEmoXConfig",
    "NanoEmoXError",
    "NanoEmoXForConditionalGeneration",
    "NanoEmoXProcessor",
    "Sentence",
    "Spoken",
    "__version__",
    "compare",
    "evaluate",
    "load_clip",
    "read_manifest",
    "read_subtitles",
    "score",
    "score_file",
    "train",
    "transcribe",
]


def __getattr__(name: str) -> Any:
    """Import a public name from the file it lives in, at first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"nanoemox has no {name!r}; it has {', '.join(sorted(_HOMES))}")
    return getattr(import_module(f"nanoemox.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
