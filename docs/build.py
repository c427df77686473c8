"""Build the site, and fail where a reader would be let down.

    python docs/build.py        # from the root of the repository; writes site/

`zensical build --strict` fails on links to pages, headings and names of the API that do not exist. This script
fails too where a docstring names an argument that the function does not have, where the navigation lacks a page
or names one that does not exist, where a picture or another file is missing, and where a page would load
something from another server.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parent.parent
LOADED = {"script", "img", "iframe", "source", "video", "audio", "link"}  # a browser fetches these unasked
ABORTED = "RuntimeError: Aborted because --strict flag is set"
NOT_LOADED = {"canonical", "alternate", "next", "prev"}  # links that are only read


class References(HTMLParser):
    """The addresses that one page names: `links` a reader may follow, `loads` the browser fetches by itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        address = found.get("src") or found.get("href")
        if address and found.get("rel") not in NOT_LOADED:
            (self.loads if tag in LOADED else self.links).append(address)
        if tag == "pre" and "mermaid" in (found.get("class") or ""):
            self.loads.append("https://unpkg.com/mermaid")  # what the theme would then ask for


def main() -> int:
    """Build, print what the builder says and what is wrong besides; 1 if anything is."""
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    written = re.sub(r"\x1b\[[0-9;]*m", "", built.stdout)  # it colours what no terminal shows
    if written.rstrip().endswith(ABORTED):  # its way to say that there were warnings
        written = written.partition("Traceback (most recent call last)")[0]
    told = written.splitlines()
    docstrings = [line for line in told if line.startswith("griffe: ")]
    sys.stdout.writelines(f"{line}\n" for line in told if line not in docstrings)
    faults = list(dict.fromkeys(docstrings))  # each comes twice
    faults += navigation(config["nav"], ROOT / config["docs_dir"])
    if built.returncode == 0:
        faults += references(ROOT / config["site_dir"])
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults or built.returncode else 0


def navigation(nav: list[Any], docs: Path) -> Iterator[str]:
    """Pages that the navigation lacks, and pages that it names and that do not exist."""
    named = set(_pages(nav))
    there = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    for page in sorted(there - named):
        yield f"docs/{page} is not in the navigation; name it under nav in zensical.toml"
    for page in sorted(named - there):
        yield f"docs/{page} is in the navigation (zensical.toml), but there is no such page"


def _pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from _pages(entry)


def references(site: Path) -> Iterator[str]:
    """Files that pages name and that are not in the site, and what would be loaded from another server."""
    for path in sorted(site.rglob("*.html")):
        if path.name == "404.html":
            continue  # its addresses start at the root of a server
        page = References(path.read_text(encoding="utf-8"))
        name = path.relative_to(site)
        for address in dict.fromkeys([*page.loads, *page.links]):
            url = urlsplit(address)
            if url.scheme or url.netloc:
                if address in page.loads and url.scheme != "data":
                    yield f"{name}: {address} would be loaded from another server; keep what a page needs in docs/"
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if not target.is_relative_to(site.resolve()) or not target.is_file():
                yield f"{name}: {address} is not a file of the site; correct the link, or name the path without one"


if __name__ == "__main__":
    sys.exit(main())
