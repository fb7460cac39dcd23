"""The code of the how-to pages imports what exists, so that no rename forgets the pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "howto").glob("add-*.md"))
ALL = "\n".join(page.read_text() for page in PAGES)
INTRODUCED = {*re.findall(r"^ *class (\w+)", ALL, re.MULTILINE), *re.findall(r"^ *(\w+) = ", ALL, re.MULTILINE)}
"""What a page adds, and another page may use."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_imports_what_exists(page: Path) -> None:
    for module, names in re.findall(r"^ *from ([\w.]+) import (.+)$", page.read_text(), re.MULTILINE):
        source = ROOT / f"{module.replace('.', '/')}.py"
        if (ROOT / module.partition(".")[0]).is_dir():
            for name in {*names.split(", ")} - INTRODUCED:
                assert source.exists(), f"{page.name}: {module}"
                assert re.search(rf"\b{name}\b", source.read_text()), f"{page.name}: {name} of {module}"
