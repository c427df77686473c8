"""A page in a real browser, without a window and without a network, where Chromium is installed."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_PROBE = '<script>(() => {{ const tell = found => {{ const out = document.createElement("pre"); out.id = "probe"; out.textContent = JSON.stringify(found); document.body.append(out); }}; {script} }})();</script></body>'  # noqa: E501


def probe(page: str, folder: Path, script: str, ms: int = 8000) -> Any:
    """What `script` tells (`tell(value)`) once it runs at the end of a page that lies in `folder`."""
    assert CHROMIUM and "</body>" in page
    path = folder / "probe.html"
    path.write_text(page.replace("</body>", _PROBE.format(script=script)), encoding="utf-8")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}",
    ]
    command = [CHROMIUM, *options, f"--virtual-time-budget={ms}", "--dump-dom", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)
    assert found, f"the page told nothing: {dom[-500:]}"
    return json.loads(html.unescape(found[1]))
