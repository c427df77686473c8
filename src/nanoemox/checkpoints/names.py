"""What a name of a model or a part may be, told in seconds: a folder that is there, or an id of the Hub.

A mistyped folder looks like an id ("models/nano"), and the Hub's clients then try for a minute. So nothing is asked
where the first half of the name is a folder here, and else one short question comes before any download.
"""

from __future__ import annotations

import re
from pathlib import Path

from nanoemox.files.near import near_folders

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")  # owner/name
ANSWER_S = 8.0  # how long the Hub may take to say whether it has a model


def is_hub_id(name: str) -> bool:
    """Whether a name that is no folder can be an id of the Hub: owner/name, and no folder here called owner."""
    return bool(HUB_ID.fullmatch(name)) and not Path(name.partition("/")[0]).exists()


def no_such_folder(name: str, expected: str, what: str = "no such folder") -> str:
    """One line about a name that is neither a folder nor an id of the Hub, with what is like it.

    Args:
        name: The name that was given.
        expected: What it may be.
        what: What is wrong with it.

    Returns:
        The line.
    """
    near = near_folders(name)
    meant = f"did you mean {' or '.join(near)}?" if near else "check the path"
    return f"{name}: {what} (expected {expected}); {meant}"


def hub_problem(name: str, revision: str | None = None) -> str | None:
    """What is wrong with an id of the Hub, in seconds; None if it is there, or in the cache.

    Args:
        name: An id, owner/name.
        revision: Branch, tag or commit; None, the main branch.

    Returns:
        The end of a sentence that begins with the name.
    """
    from huggingface_hub import constants, model_info
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    cached = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "snapshots"
    if cached.is_dir() and any(cached.iterdir()):
        return None
    if constants.HF_HUB_OFFLINE:
        return "no such folder, not in the cache of the Hub either, and HF_HUB_OFFLINE forbids to ask it"
    try:
        model_info(name, revision=revision, timeout=ANSWER_S)
    except GatedRepoError:
        return "the Hub gives it only to those who have asked for it; ask on its page, and log in with `hf auth login`"
    except RevisionNotFoundError:
        return f"the Hub has it, but not at {revision}"
    except RepositoryNotFoundError:
        return "no such folder, and no such model on the Hub (a private one needs `hf auth login`)"
    except HfHubHTTPError as error:
        return f"no such folder, and the Hub does not answer ({' '.join(str(error).split())[:120]})"
    except Exception as error:  # a network fails in as many ways as its client has error classes
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        return f"no such folder, and the Hub cannot be reached ({reason})"
    return None
