"""A chat template is a program that comes with a model. It is tried where it can do no harm before it is used.

Templates run in a sandbox that keeps them from files and from Python, but not from counting to 10^10 or from making a
text of 10 GB. So one that is not our own is first run in a process of its own that has little time and memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from nanoemox.checkpoints.weight_files import WeightsError
from nanoemox.model.clip_processor import CHAT_TEMPLATE
from nanoemox.model.configuration_nanoemox import PLACEHOLDERS

OFFICIAL_TEMPLATE = Path(__file__).with_name("chat_template_official.jinja")
_MOST_CPU_S, _MOST_WALL_S, _MOST_BYTES = 2, 60, 1_000_000_000
_MOST_CHARACTERS = 100_000  # of the text that the trial makes; ours makes 500
_AGAIN = "take the chat template of this package, or that of the model as its makers gave it"
_QUESTION, _WORDS, _TURN = "How does this person feel?", "I am fine, thank you.", "And how are you today?"

# What the child does: as transformers renders a template, which would take seconds to import.
_CHILD = """
import json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (%(memory)d, %(memory)d))
    resource.setrlimit(resource.RLIMIT_CPU, (%(cpu)d, %(cpu)d))
except (ImportError, ValueError, OSError):
    pass
import datetime
import jinja2, jinja2.ext, jinja2.nodes, jinja2.sandbox
class Generation(jinja2.ext.Extension):
    tags = {"generation"}
    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)
def refuse(message):
    raise jinja2.exceptions.TemplateError(message)
given = json.load(sys.stdin)
try:
    world = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    world.filters["tojson"] = lambda value, **kw: json.dumps(value, ensure_ascii=False)
    world.globals |= {"raise_exception": refuse, "strftime_now": lambda f: datetime.datetime.now().strftime(f)}
    count = 0
    for piece in world.from_string(given["template"]).generate(**given["variables"]):
        count += len(piece)
        if count > %(characters)d:
            print("its text is longer than %(characters)d characters")
            break
    else:
        print("fine")
except MemoryError:
    print("it takes too much memory")
except Exception as error:
    print(" ".join(f"{type(error).__name__}: {error}".split())[:200])
"""


def check_template(path: Path, processor: Any) -> None:
    """Try the chat template of a processor.

    Args:
        path: Its file, or that of the processor, for the error.
        processor: The processor, as it was loaded.

    Raises:
        WeightsError: If the template is no text, cannot be rendered within bounds, or leaves out what it is given.
    """
    template = processor.chat_template
    if not isinstance(template, str):
        raise WeightsError(f"{path}: expected one chat template, got {type(template).__name__}; {_AGAIN}")
    if template not in (_text(CHAT_TEMPLATE), _text(OFFICIAL_TEMPLATE)):
        problem = render_problem(template, _variables(processor))
        if problem is not None:
            raise WeightsError(f"{path}: the chat template cannot be used ({problem}); {_AGAIN}")
    try:
        text = processor.prompt(_QUESTION, **_SAMPLE)
    except Exception as error:  # whatever a template can raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise WeightsError(f"{path}: the chat template cannot be used ({reason}); {_AGAIN}") from error
    counts = {_QUESTION: 1, _WORDS: 1, _TURN: 1}
    counts |= {token: processor.placeholder_counts[kind] for kind, token in PLACEHOLDERS.items()}
    for part, count in counts.items():
        if text.count(part) != count:
            raise WeightsError(
                f"{path}: expected that the chat template writes {part!r} {count} times for a clip that has all, "
                f"found it {text.count(part)} times; {_AGAIN}"
            )


_SAMPLE: dict[str, Any] = {
    "modalities": {"video", "audio"},
    "text": _WORDS,
    "dialogue": [{"role": "friend", "text": _TURN}],
}


def _variables(processor: Any) -> dict[str, Any]:
    """What `processor.prompt` gives a template for the sample."""
    content = [
        {"type": "video"},
        {"type": "audio"},
        {"type": "dialogue", "turns": _SAMPLE["dialogue"]},
        {"type": "transcript", "text": _WORDS},
        {"type": "text", "text": _QUESTION},
    ]
    return {
        "messages": [{"role": "user", "content": content}],
        "placeholders": {
            kind: token * processor.placeholder_counts[kind] for kind, token in PLACEHOLDERS.items()
        },
        "add_generation_prompt": True,
    }


def render_problem(template: str, variables: dict[str, Any]) -> str | None:
    """What goes wrong when the template is rendered in a process of its own; None if nothing does."""
    limits = {"memory": _MOST_BYTES, "cpu": _MOST_CPU_S, "characters": _MOST_CHARACTERS}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _CHILD % limits],
            input=json.dumps({"template": template, "variables": variables}),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_MOST_WALL_S,
        )
    except subprocess.TimeoutExpired:
        return f"it takes more than {_MOST_WALL_S} s"
    if done.returncode:
        return f"it takes more than {_MOST_CPU_S} s" if done.returncode < 0 else "its trial failed"
    said = done.stdout.strip()
    return None if said == "fine" else said


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
