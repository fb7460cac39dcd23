"""The folder as another service takes it: alone, beside three libraries."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.service.process import ROOT

LIBRARIES = {"jwt", "cryptography", "fastapi"}
FOLDER = ROOT / "jwt_tools"


def test_it_needs_three_libraries_and_nothing_of_ours() -> None:
    needed = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                needed |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                needed.add(str(node.module).partition(".")[0])
    assert needed - sys.stdlib_module_names - {"jwt_tools"} == LIBRARIES


def alone(folder: Path, code: str) -> str:
    """What Python says in a folder where nothing of ours is but `jwt_tools`."""
    shutil.copytree(FOLDER, folder / "jwt_tools")
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    # -I: neither the current folder nor the environment leads back to the rest of the project.
    ran = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_it_works_where_nothing_else_of_ours_is(tmp_path: Path) -> None:
    modules = ", ".join(f"jwt_tools.{path.stem}" for path in FOLDER.glob("[a-z]*.py"))
    said = alone(tmp_path, f"import {modules}\nprint(jwt_tools.protect.__file__)")
    assert Path(said).is_relative_to(tmp_path)


def test_the_five_lines_of_its_readme_make_a_service(tmp_path: Path) -> None:
    readme = (FOLDER / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    assert [line.rpartition("# ")[2] for line in code.splitlines() if "  # " in line] == ["1", "2", "3", "4", "5"]
    assert "/reports" in alone(tmp_path, f"{code}\nprint(*app.openapi()['paths'])")
