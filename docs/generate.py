"""Write the reference pages from the keys themselves: `python -m docs.generate [--check]`."""

import sys
from pathlib import Path

from fai_rl.recipes.algorithms import ALGORITHMS
from fai_rl.recipes.reference import reference_page

FOLDER = Path(__file__).parent / "reference"


def pages() -> dict[Path, str]:
    """Return every generated file's content."""
    files = {
        FOLDER / f"{name}.md": reference_page(name)
        for name, algorithm in ALGORITHMS.items()
        if algorithm.adapter
    }

    return files


def main() -> int:
    """Write the pages, or say which are stale."""
    stale = [path for path, text in pages().items() if not _same(path, text)]
    if "--check" in sys.argv:
        if stale:
            sys.stderr.write(f"stale: {', '.join(p.name for p in stale)}; run make docs\n")
        return int(bool(stale))
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
