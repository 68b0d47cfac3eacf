#!/usr/bin/env python3
"""Check the Markdown files: every relative link and anchor leads somewhere, and no file names a local path.

    python docs/check_links.py

exits 1 with a line for each problem. Addresses on the web are not visited.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]

_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(<?([^)<>\s]+)>?(?:\s+\"[^\"]*\")?\)")
_IMAGE = re.compile(r"<(?:img|a)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"")
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_WEB = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# Places that exist on the writer's machine only.
_LOCAL = re.compile(r"(?<![\w/.:$~-])/(?:work|tmp|root|home|Users)/[\w.-]+")


def main() -> None:
    """Check every Markdown file that git knows or would add."""
    found = [problem for file in markdown_files(ROOT) for problem in problems(file)]
    for problem in found:
        print(problem)
    if found:
        raise SystemExit(1)


def markdown_files(root: Path) -> list[Path]:
    """The repository's Markdown files, those that git ignores aside."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "*.md"]
    done = subprocess.run(listed, cwd=root, capture_output=True, check=False)
    if done.returncode:  # a source archive has no git
        return sorted(path for path in root.rglob("*.md") if not {".venv", "build"} & set(path.parts))
    paths = [root / name for name in done.stdout.decode().split("\0") if name]
    return sorted(path for path in paths if path.is_file())


def problems(file: Path) -> Iterator[str]:
    """What is wrong with one file, a line each."""
    text = file.read_text(encoding="utf-8")
    name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    for match in _LOCAL.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield f"{name}:{line}: names a path of one machine, {match[0]}: write it relative, or as ROOT/…"
    prose = _CODE.sub(_blank, _FENCE.sub(_blank, text))
    for match in sorted([*_LINK.finditer(prose), *_IMAGE.finditer(prose)], key=lambda m: m.start()):
        target = match[1]
        if _WEB.match(target):
            continue
        line = prose.count("\n", 0, match.start()) + 1
        path, _, anchor = unquote(target).partition("#")
        aim = file if not path else (ROOT / path[1:] if path.startswith("/") else file.parent / path)
        if not aim.exists():
            yield f"{name}:{line}: {target}: there is no {path}"
        elif anchor and aim.suffix == ".md" and anchor not in anchors(aim.resolve()):
            yield f"{name}:{line}: {target}: no heading gives #{anchor}"


@cache
def anchors(file: Path) -> frozenset[str]:
    """The anchors that GitHub makes of a file's headings."""
    seen: dict[str, int] = {}
    found = set()
    for heading in re.findall(
        r"^#{1,6}\s+(.+?)\s*#*$", _FENCE.sub(_blank, file.read_text("utf-8")), re.MULTILINE
    ):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        number = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{number}" if number else slug)
    return frozenset(found)


def _blank(match: re.Match[str]) -> str:
    """Spaces of the same length: line numbers stay."""
    return re.sub(r"[^\n]", " ", match[0])


if __name__ == "__main__":
    sys.exit(main())
