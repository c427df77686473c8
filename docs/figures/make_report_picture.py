"""Make docs/figures/report.png: the report page of the sample clip, from its top to the empathetic reply.

It needs Chromium (Debian: `apt install chromium`) and looks best with the fonts that the page asks for (Debian:
`apt install fonts-roboto-unhinted fonts-texgyre`).

Run it:  make picture
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "figures" / "report.png"
WIDTH_PX, HEIGHT_PX = 1080, 3000  # of the window: as wide as the column of the page, and higher than the page
SCALE = 1.5  # sharp on a dense screen
MARGIN_PX = 28 + 2  # of the page's column, and a little more for rounding
RULE = (0xE4, 0xDF, 0xD6)  # the line between two sections: --line in page.css.jinja
COLOURS = 256  # of the palette; a page of flat colours needs no more
MOST_BYTES = 300_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def find_browser() -> str:
    """The path of Chromium or Chrome."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        sys.exit(
            f"expected one of {', '.join(BROWSERS)} on the PATH, found none; on Debian: apt install chromium"
        )
    return found


def photograph(page: Path, picture: Path, profile: Path) -> None:
    """Let the browser draw a page into a file."""
    options = [
        f"--user-data-dir={profile}",
        f"--window-size={WIDTH_PX},{HEIGHT_PX}",
        f"--force-device-scale-factor={SCALE}",
        f"--screenshot={picture}",
    ]
    done = subprocess.run(
        [find_browser(), *FLAGS, *options, page.as_uri()], capture_output=True, text=True, timeout=180
    )
    if not picture.is_file():
        sys.exit(f"the browser wrote no picture: {done.stderr.strip()[-500:]}")


def section_tops(pixels: np.ndarray) -> list[int]:
    """The rows of a picture [H, W, 3] in which a line between two sections runs across the whole column."""
    margin = round(MARGIN_PX * SCALE)
    rows = np.flatnonzero((pixels[:, margin:-margin] == RULE).all(axis=(1, 2)))
    return [int(row) for row in rows if row - 1 not in rows]  # a line may be two pixels thick


def main() -> None:
    text = (ROOT / "demo" / "sample.txt").read_text("utf-8").strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "nanoemox", "analyze", str(ROOT / "demo" / "sample.mp4")]
        subprocess.run(
            [*command, "--text", text, "--html", str(folder / "report.html")],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        photograph(folder / "report.html", folder / "report.png", folder / "profile")
        page = Image.open(folder / "report.png").convert("RGB")
    tops = section_tops(np.asarray(page))
    if len(tops) < 3:
        sys.exit(f"expected a line above each section of the page, found {len(tops)}; has --line changed?")
    # The last two lines lie above "Behind the answers" and above the footer: the picture ends before both.
    page = page.crop((0, 0, page.width, tops[-2]))
    page = page.quantize(COLOURS, dither=Image.Dither.NONE)
    part = PICTURE.with_name("." + PICTURE.name)
    page.save(part, "PNG", optimize=True)
    if part.stat().st_size > MOST_BYTES:
        part.unlink()
        sys.exit(f"the picture is over {MOST_BYTES:,} bytes; lower SCALE or COLOURS")
    part.replace(PICTURE)
    sys.stdout.write(f"wrote {PICTURE}: {page.width} × {page.height}, {PICTURE.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
