"""The Hub's habits: parts found by id or folder, a saved model that brings its own code and card, and uploads.

`AutoModelForMultimodalLM.from_pretrained(folder, trust_remote_code=True)` and the like load a completed folder in
a process that knows nothing of nanoemox (`remote_code`).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanoemox.checkpoints.check_folder import check_folder
from nanoemox.checkpoints.model_card import write_card
from nanoemox.checkpoints.names import hub_problem, is_hub_id, no_such_folder
from nanoemox.checkpoints.weight_files import WeightsError
from nanoemox.model.remote_code import bring_code

_SMALL_FILES = ["*.json", "*.txt", "*.jinja", "*.model"]
_HUB_FILE = re.compile(r"([\w.-]+/[\w.-]+)/([\w./-]+\.(?:pth|pt|bin|safetensors))")
_CHECKPOINTS = ("*.pt", "*.pth", "*.safetensors")


def public_name(name: str) -> str:
    """How a part is named in a folder that others may get: a Hub id as it is, of a path only its last name."""
    return Path(name).name if Path(name).exists() else name


def find_part(
    name: str, revision: str | None = None, single_file: bool = False, weights: bool = True
) -> Path:
    """Find a part: a folder as it is, or the files of a Hub id, downloaded or from the cache.

    With HF_HUB_OFFLINE=1 nothing is downloaded.

    Args:
        name: a folder, a file, or a Hub id "owner/name".
        revision: branch, tag or commit of a Hub id.
        single_file: the one checkpoint that `name` is or holds, in whatever subfolder.
        weights: whether the weights are downloaded, too, or only the small files.

    Returns:
        The folder, or with `single_file` the file.

    Raises:
        WeightsError: if there is no such part, or not exactly one checkpoint in it.
    """
    place = Path(name)
    if not place.exists():
        if not is_hub_id(name):
            raise WeightsError(
                no_such_folder(name, "a folder, or a Hub id owner/name", "no such file or folder")
            )
        if problem := hub_problem(name, revision):
            raise WeightsError(no_such_folder(name, "a folder, or a Hub id owner/name", problem))
        place = _fetch(name, revision, single_file, weights)
    if not single_file or place.is_file():
        return place
    found = sorted(path for pattern in _CHECKPOINTS for path in place.rglob(pattern))
    if len(found) != 1:
        raise WeightsError(
            f"{name}: expected one checkpoint ({', '.join(_CHECKPOINTS)}), found {len(found)}; name the file"
        )
    return found[0]


def find_checkpoint(name: str, revision: str | None = None) -> Path:
    """Find one checkpoint: a file of this disk, or one of the Hub by owner, name and its path there.

    A repository may hold many checkpoints of half a gigabyte, so the others are not fetched.

    Args:
        name: A path, or "owner/name/path/to/file.pth".
        revision: Branch, tag or commit.

    Returns:
        The file.

    Raises:
        WeightsError: If there is no such file.
    """
    if Path(name).exists():
        return Path(name)
    match = _HUB_FILE.fullmatch(name)
    if match is None or name.startswith("."):
        raise WeightsError(
            f"{name}: no such file, and no file of the Hub, owner/name/path/to/file.pth; check the name"
        )
    from huggingface_hub import hf_hub_download

    repository, file = match.groups()
    with told_in_one_line(name, revision):
        return Path(hf_hub_download(repository, file, revision=revision))


@contextmanager
def told_in_one_line(
    name: str, revision: str | None, remedy: str = "check the name and the connection, or name a folder"
) -> Iterator[None]:
    """Raise what the Hub's library raises as a WeightsError; a full disk stays what it is.

    Args:
        name: What is fetched.
        revision: Which commit or branch of it.
        remedy: What a user can do about it.

    Yields:
        Nothing; the library is called inside.

    Raises:
        WeightsError: If it cannot be fetched.
    """
    from huggingface_hub.errors import HfHubHTTPError

    # The parents of HfHubHTTPError are the errors of the HTTP library that this version of huggingface_hub uses (no
    # network, a broken connection) and OSError. A RuntimeError comes from its library for large files, hf_xet.
    failures: tuple[type[BaseException], ...] = (*HfHubHTTPError.__bases__, OSError, RuntimeError)
    try:
        yield
    except failures as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        at = f" at {revision}" if revision else ""
        raise WeightsError(
            f"{name}{at}: fetching it from the Hub failed ({' '.join(str(error).split())[:200]}); {remedy}"
        ) from error


def _fetch(name: str, revision: str | None, single_file: bool, weights: bool) -> Path:
    """The files of a Hub repository that are needed; PyTorch's zip files only where there is nothing better."""
    from huggingface_hub import snapshot_download

    kinds: list[tuple[str, ...]] = [("*.safetensors",), ("pytorch_model*.bin",)] if weights else [()]
    if single_file:
        kinds = [_CHECKPOINTS]
    with told_in_one_line(name, revision):
        for patterns in kinds:
            wanted = [*_SMALL_FILES, *patterns]
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
            if any(True for pattern in patterns for _ in folder.rglob(pattern)):
                break
    return folder


def complete(folder: str | Path) -> None:
    """Put the model's code and its card beside saved weights, and tell transformers where the classes are."""
    bring_code(folder)
    write_card(Path(folder))


def push(
    folder: str | Path,
    repo_id: str,
    *,
    revision: str | None = None,
    private: bool = False,
    message: str = "Upload model",
) -> str:
    """Upload a model folder with its code and card in one commit.

    Args:
        folder: the model folder.
        repo_id: where to upload it, "owner/name"; it is made if it does not exist.
        revision: the branch to upload to.
        private: whether a repository that is made is private.
        message: the message of the commit.

    Returns:
        The address of the commit.
    """
    from huggingface_hub import HfApi

    folder = Path(folder)
    check_folder(folder)
    complete(folder)
    api = HfApi()
    api.create_repo(repo_id, private=private, exist_ok=True)
    if revision is not None:
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=folder,
        revision=revision,
        commit_message=message,
        ignore_patterns=["log.jsonl", ".*"],
    )
    return str(commit)
