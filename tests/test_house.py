"""The rules of the house, held by a machine: who may import whom, and what a guarded room needs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from api import ROUTERS
from jwt_tools.decorators import guard, requirement_of

ROOT = Path(__file__).parent.parent

# Downstairs only, and each floor sees the next one; whoever may skip a floor says why.
MAY_IMPORT = {
    "config": {"models"},  # settings are told in the words of the house
    "models": {"models"},
    "database": {"database", "models"},
    "redis_tools": {"redis_tools", "models"},
    "jwt_tools": {"jwt_tools"},  # stands alone, so that another service can use it as it is
    "template_message": {"template_message", "models"},
    "backend": {"backend", "database", "redis_tools", "jwt_tools", "template_message", "models"},
    "api": {"api", "models", "jwt_tools.decorators"},
    "api.deps": {"backend", "jwt_tools.decorators", "models", "wiring.services"},  # services by their types
    "api.problems": {"models", "jwt_tools.errors"},  # the one translator of refusals
    "commands": {
        "commands",
        "wiring",
        "backend",
        "database",
        "redis_tools",
        "template_message",
        "models",
        "config",
    },  # a door, wires itself
    "commands.openapi": {"application", "config"},
    "main": {"commands"},
    "wiring": {"wiring", "backend", "database", "redis_tools", "jwt_tools", "template_message", "models", "config"},
    "application": {"api", "wiring", "backend", "database", "redis_tools", "config"},
    "alembic": {"config", "database"},
    "devstack": {"devstack"},
    "examples": {"jwt_tools"},  # services of other people
}
ROOM_NAMES = {name.partition(".")[0] for name in MAY_IMPORT}


def _modules() -> list[Path]:
    folders = [path for room in ROOM_NAMES for path in (ROOT / room).rglob("*.py")]
    return sorted(folders + [ROOT / f"{room}.py" for room in ROOM_NAMES if (ROOT / f"{room}.py").exists()])


def _imports(tree: ast.AST) -> list[tuple[ast.stmt, str]]:
    found: list[tuple[ast.stmt, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where an arrow points"
            found.append((node, node.module or ""))
    return found


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", _modules(), ids=_module_name)
def test_imports_point_downstairs(path: Path) -> None:
    name = _module_name(path)
    allowed = MAY_IMPORT.get(name) or MAY_IMPORT[name.partition(".")[0]]
    for statement, target in _imports(ast.parse(path.read_text())):
        room = target.partition(".")[0]
        if room not in ROOM_NAMES or (room == "alembic" and name.startswith(("alembic", "commands"))):
            continue  # a library; alembic's own name is also that of our folder
        inside = any(target == rule or target.startswith(f"{rule}.") for rule in allowed)
        assert inside, f"{path.relative_to(ROOT)}:{statement.lineno} imports {target}; move what is shared downstairs"


@pytest.mark.parametrize("path", _modules(), ids=_module_name)
def test_no_import_hides_in_a_function(path: Path) -> None:
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            hidden = _imports(function)
            assert not hidden, f"{path.relative_to(ROOT)}:{function.lineno} imports {hidden[0][1]} inside a function"


def test_alembic_is_no_package() -> None:
    assert not (ROOT / "alembic" / "__init__.py").exists(), "it would hide the library of the same name"


def test_every_route_of_a_guarded_router_says_what_it_requires() -> None:
    guarded = [router for router in ROUTERS if any(it.dependency is guard for it in router.dependencies)]
    assert guarded, "no router is guarded, so this test has lost its subject"
    for router in guarded:
        for route in router.routes:
            endpoint = getattr(route, "endpoint", None)
            assert endpoint is not None
            assert requirement_of(endpoint) is not None, (
                f"{endpoint.__name__} needs @requires, @role_required or @signed_in"
            )
