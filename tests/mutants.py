"""Which small breaks of the source do the tests notice?

`make mutants`, or `python -m tests.mutants --sample 80 --seed 1`. A mutant is the source with one thing changed: a
comparison, an operator, a number, a condition, a statement left out. It is killed when a test fails. The tests of a
mutant are those that ran its line, the fastest first. What is done is kept in `.cache/mutants`, so a run that was
stopped goes on. Everything happens in a copy of the tree, in processes that are forked after torch has been imported.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
# What is broken, under src/nanoemox, and the tests that are to notice it.
TESTS = {
    "model": ("tests/model",),
    "training": ("tests/training",),
    "scoring": ("tests/scoring", "tests/adversarial/test_answers.py"),
    "tasks": ("tests/tasks", "tests/scoring", "tests/adversarial/test_answers.py"),
    "theatre/world.py": ("tests/theatre/test_world.py",),
}
MOST_EVENTS = 2000  # of one function in one test that are recorded
MOST_TEST_S = 600.0  # of the tests of one mutant, by their own times
AT_IMPORT = "at import"

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}
# What nobody needs to test: words for people, and what only a type checker reads.
_QUIET = ("logger", "warnings", "TYPE_CHECKING", "overload")


class Mutant(NamedTuple):
    """One change: bytes from `begin` to `end` of a file become `text`."""

    path: str
    line: int
    begin: int
    end: int
    what: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line}:{self.begin} {self.what}"


# ---------------------------------------------------------------- what is changed


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may be changed of one node: a word for it, and the node that takes its place."""
    new: Any = copy.deepcopy(node)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
        new.ops[0] = _COMPARED[type(node.ops[0])]()
        yield "comparison", new
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
        new.op = _COMPUTED[type(node.op)]()
        yield "operator", new
    elif isinstance(node, ast.BoolOp):
        new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", new
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield "sign", new.operand
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield "condition", ast.UnaryOp(ast.Not(), new.test)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "truth", ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield "number", ast.Constant(node.value + 1 if isinstance(node.value, int) else node.value * 2 + 0.5)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLED:
        new.func.id = _CALLED[node.func.id]
        yield "call", new
    elif isinstance(node, (ast.Expr, ast.AugAssign, ast.Continue, ast.Break)):
        yield "left out", ast.Pass()
    elif isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"):
        yield "returns None", ast.Return(ast.Constant(None))


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that do something, without annotations, messages and strings."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_comment") or isinstance(node, (ast.Raise, ast.JoinedStr)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if text or any(word in ast.unparse(child)[:40] for word in _QUIET):
                continue
            if isinstance(child, ast.Assert):  # for the type checker
                continue
            yield child
            negative = isinstance(child, ast.UnaryOp) and isinstance(child.operand, ast.Constant)
            yield from () if negative else _walk(child)


def mutants_of(path: Path, tree: Path = ROOT) -> list[Mutant]:
    """Every mutant of a file of a tree, in the order of its lines."""
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in _walk(ast.parse(source)):
        for what, new in _changes(node):
            place: Any = node.test if what == "condition" else node
            begin = starts[place.lineno - 1] + place.col_offset
            end = starts[place.end_lineno - 1] + place.end_col_offset
            text = ast.unparse(ast.fix_missing_locations(new))
            text = f"({text})" if isinstance(new, ast.expr) and not isinstance(new, ast.Constant) else text
            mutant = Mutant(str(path.relative_to(tree)), place.lineno, begin, end, what, text)
            try:
                ast.parse(changed(source, mutant))
            except SyntaxError:
                continue
            found.append(mutant)
    return sorted(set(found), key=lambda mutant: (mutant.begin, mutant.what))


def changed(source: bytes, mutant: Mutant) -> bytes:
    """The source with the change made."""
    return source[: mutant.begin] + mutant.text.encode() + source[mutant.end :]


# ---------------------------------------------------------------- running tests


def _copy_tree(to: Path) -> Path:
    """The files that git knows or would add, without their history."""
    shutil.rmtree(to, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


def _import_libraries() -> None:
    """Everything slow that tests import and no mutant changes, once for all forks."""
    import accelerate  # noqa: F401
    import peft  # noqa: F401
    import pydantic  # noqa: F401
    import pytest  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.metrics  # noqa: F401
    from transformers import (  # noqa: F401
        Blip2QFormerModel,
        CLIPVisionModel,
        HubertModel,
        Qwen2ForCausalLM,
        SwinModel,
        Trainer,
    )


def _forked(tree: Path, work: Callable[[], int], limit_s: float) -> int | None:
    """The exit status of `work` in a process of its own that reads nanoemox and tests from `tree`; None: too long."""
    child = os.fork()
    if child == 0:
        os.setsid()
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        os.chdir(tree)
        os.environ |= {"PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree}", "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True
        sys.path[:0] = [str(tree / "src"), str(tree)]
        for name in [n for n in sys.modules if n.partition(".")[0] in ("nanoemox", "tests")]:
            del sys.modules[name]
        status = 70
        try:
            status = work()
        finally:
            os._exit(status)
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


class Recorder:
    """A plugin of pytest: which lines of the sources each test runs, and how long it takes."""

    def __init__(self, tree: Path) -> None:
        self.prefix = str(tree / "src" / "nanoemox") + os.sep
        self.root = len(str(tree)) + 1
        self.current = AT_IMPORT
        self.lines: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self.events: Counter[Any] = Counter()
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    def _enter(self, frame: Any, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(self.prefix) or not name[len(self.prefix) :].startswith(tuple(TESTS)):
            return None
        return self._line(frame, event, argument)

    def _line(self, frame: Any, event: str, argument: Any) -> Any:
        code = frame.f_code
        self.events[code] += 1
        if self.events[code] > MOST_EVENTS:  # a long loop, whose lines are known by now
            return None
        self.lines[self.current].add((code.co_filename[self.root :], frame.f_lineno))
        return self._line

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self.current = nodeid
        self.events.clear()

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self.current = AT_IMPORT

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed or report.skipped:
            self.failed.add(report.nodeid)

    def record(self, files: Sequence[str], out: Path) -> int:
        import pytest

        sys.settrace(self._enter)
        status = pytest.main([*files, "-q", "-p", "no:cacheprovider", "-p", "no:xdist"], plugins=[self])
        sys.settrace(None)
        tests = {
            name: {"seconds": round(self.seconds.get(name, 0.0), 2), "lines": sorted(lines)}
            for name, lines in self.lines.items()
            if name not in self.failed
        }
        out.write_text(json.dumps(tests), encoding="utf-8")
        return int(status)


def _digest(paths: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _recorded(tree: Path, out: Path, sources: Sequence[str]) -> dict[str, Any]:
    """Which lines each test runs, recorded anew for the test files that have changed, or for all if sources have."""
    record, state = out / "lines.json", out / "state.json"
    package = [path for kind in ("*.py", "*.yaml") for path in (tree / "src" / "nanoemox").rglob(kind)]
    places = dict.fromkeys(
        place for name in sources for place in TESTS[name.partition("/")[0] if name not in TESTS else name]
    )
    files = [
        f
        for place in places
        for f in ([tree / place] if place.endswith(".py") else sorted((tree / place).rglob("test_*.py")))
    ]
    now = {"sources": _digest(package)} | {str(path.relative_to(tree)): _digest([path]) for path in files}
    before = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    if before.get("sources") != now["sources"]:
        before = {"sources": now["sources"]}
    stale = [name for name, digest in now.items() if name != "sources" and before.get(name) != digest]
    kept = json.loads(record.read_text(encoding="utf-8")) if len(before) > 1 else {}
    kept = {name: test for name, test in kept.items() if name.partition("::")[0] not in stale}
    new = out / "new.json"
    for number, name in enumerate(
        stale, start=1
    ):  # kept file by file, so that a run that was stopped goes on
        print(f"running {name} once ({number} of {len(stale)}), to see which lines its tests run", flush=True)
        new.unlink(missing_ok=True)
        _forked(tree, lambda name=name: Recorder(tree).record([name], new), 7200)
        if not new.is_file():
            raise SystemExit(f"{name}: running it for two hours did not end, or its process died")
        for test, seen in json.loads(new.read_text(encoding="utf-8")).items():
            # What was read while the file was collected, before its first test, is one entry for all files.
            lines = kept.get(test, {}).get("lines", []) if test == AT_IMPORT else []
            kept[test] = {"seconds": seen["seconds"], "lines": [*lines, *seen["lines"]]}
        before[name] = now[name]
        record.write_text(json.dumps(kept), encoding="utf-8")
        state.write_text(json.dumps(before), encoding="utf-8")
    return {
        name: {**test, "lines": {(path, line) for path, line in test["lines"]}} for name, test in kept.items()
    }


def _tests_of(mutant: Mutant, recorded: dict[str, Any]) -> list[str]:
    """The tests that ran the mutant's line, then others that ran its file, each the fastest first, while time lasts.

    The others count too: what is cached, or made by a fixture for all tests, runs in the first of them alone.
    """

    def rank(name: str) -> tuple[bool, float]:
        return (mutant.path, mutant.line) not in recorded[name]["lines"], recorded[name]["seconds"]

    ran = [
        name
        for name, test in recorded.items()
        if name != AT_IMPORT and any(path == mutant.path for path, _ in test["lines"])
    ]
    chosen: list[str] = []
    total = 0.0
    for name in sorted(ran, key=rank):
        total += recorded[name]["seconds"]
        if chosen and total > MOST_TEST_S:
            break
        chosen.append(name)
    return chosen


def judge(mutant: Mutant, tree: Path, recorded: dict[str, Any]) -> str:
    """Killed, survived, or untested where no test ran the line."""
    tests = _tests_of(mutant, recorded)
    if not tests:
        return "untested"
    path = tree / mutant.path
    source = path.read_bytes()

    def run() -> int:
        import pytest

        return int(pytest.main([*tests, "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]))

    path.write_bytes(changed(source, mutant))
    try:
        limit_s = 60 + 4 * sum(recorded[name]["seconds"] for name in tests)
        return "survived" if _forked(tree, run, limit_s) == 0 else "killed"
    finally:
        path.write_bytes(source)


# ---------------------------------------------------------------- the command


def _files(wanted: Sequence[str], tree: Path) -> list[Path]:
    folder = tree / "src" / "nanoemox"
    paths = [folder / name for name in wanted]
    return sorted(p for path in paths for p in ([path] if path.is_file() else path.rglob("*.py")))


def _report(results: dict[str, str]) -> str:
    """Counts by package, then the names of those that no test noticed."""
    rows = []
    by_package: dict[str, Counter[str]] = defaultdict(Counter)
    for name, verdict in results.items():
        by_package[name.split("/")[2]][verdict] += 1
    total: Counter[str] = sum(by_package.values(), Counter())
    for package, counts in [*sorted(by_package.items()), ("all", total)]:
        number = sum(counts.values())
        rows.append(
            f"{package:10s} {counts['killed']:4d} of {number:4d} killed ({counts['killed'] / number:.0%})"
        )
    rows += [f"{verdict}: {name}" for name, verdict in sorted(results.items()) if verdict != "killed"]
    return "\n".join(rows)


def main() -> int:
    """Judge a sample of mutants, or all of them."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--sample", type=int, help="how many mutants; all without it")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--sources", nargs="+", default=list(TESTS), help="files or folders of src/nanoemox")
    parser.add_argument("--again", action="store_true", help="judge those once more that were not killed")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "mutants", help="keeps what is done")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    tree = _copy_tree(options.out / "tree")
    _import_libraries()

    recorded = _recorded(tree, options.out, options.sources)
    results_path = options.out / "results.json"

    # The mutants, and what is known of them.
    mutants = [mutant for path in _files(options.sources, tree) for mutant in mutants_of(path, tree)]
    if options.sample is not None:
        mutants = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    results = json.loads(results_path.read_text(encoding="utf-8")) if results_path.is_file() else {}
    judged: dict[str, str] = {}
    for number, mutant in enumerate(mutants, start=1):
        key = f"{mutant.name} {_digest([tree / mutant.path])}"  # a file that has changed is judged anew
        if key not in results or (options.again and results[key] != "killed"):
            results[key] = judge(mutant, tree, recorded)
            results_path.write_text(json.dumps(results, indent=0), encoding="utf-8")
            print(
                f"{number} of {len(mutants)}: {results[key]} {mutant.name} -> {mutant.text[:60]}", flush=True
            )
        judged[f"{mutant.name} -> {mutant.text[:80]}"] = results[key]
    print(_report(judged))
    return 0


if __name__ == "__main__":
    sys.exit(main())
