"""The rules of the house: who may import whom, how large a file grows, and what every guarded route declares."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from api import ROUTERS
from jwt_tools.decorators import guard, requirement_of

ROOT = Path(__file__).parent.parent
MAX_LINES = 300
MAX_MODULES = 14

_FLOOR = {"database", "redis_tools", "jwt_tools", "template_message", "models"}
_RULES = {*_FLOOR, "backend.audit", "backend.counters", "backend.derived_keys"}
_ROUTES = {"models", "api.deps", "api.problems", "api.request_context", "api.strict_json", "api.openapi"}

# The nearest entry above a module is its rule; what an entry holds may import each other.
MAY_IMPORT: dict[str, set[str]] = {
    "models.values": set(),
    "models.errors": set(),
    "models.settings": {"models.values"},
    "models.responses": {"models.values"},
    "models.requests": {"models.responses", "models.values"},
    "models.context": {"models.responses"},
    "models.admin": {"models.context", "models.requests", "models.responses", "models.values"},
    "config": {"models"},
    "database": {"models"},
    "redis_tools": {"models"},
    "jwt_tools": set(),  # stands alone, so that another service can take it along
    "template_message": {"models"},
    "backend.audit": _FLOOR,
    "backend.counters": _FLOOR,
    "backend.derived_keys": _FLOOR,
    "backend.passwords": _RULES,
    "backend.protection": _RULES,
    "backend.tokens": _RULES,
    "backend.mail": {*_RULES, "backend.protection"},
    "backend.operations": {*_RULES, "backend.tokens"},
    "backend.sessions": {*_RULES, "backend.mail", "backend.protection", "backend.tokens"},
    "backend.access": {*_RULES, "backend.sessions"},
    "backend.accounts": {
        *_RULES,
        *("backend.access", "backend.mail", "backend.passwords", "backend.protection", "backend.sessions"),
    },
    "backend.admin": {
        *_RULES,
        *("backend.access", "backend.accounts", "backend.mail", "backend.passwords", "backend.sessions"),
    },
    "backend.flows": {
        *_RULES,
        *("backend.accounts", "backend.mail", "backend.passwords", "backend.protection", "backend.sessions"),
        "backend.tokens",
    },
    "wiring": {"backend", "config", *_FLOOR},
    "api.deps": {"backend", "jwt_tools.decorators", "models", "wiring.services"},  # services, by their types
    "api.problems": {"jwt_tools.errors", "models"},
    "api.strict_json": {"models"},
    "api.request_context": {"api.deps", "models"},
    "api.openapi": {"api.problems", "models"},
    "api.middleware": {"api.problems", "models"},
    "api.sessions": {*_ROUTES, "jwt_tools.decorators"},
    "api.flows": _ROUTES,
    "api.me": {*_ROUTES, "jwt_tools.decorators"},
    "api.admin": {*_ROUTES, "jwt_tools.decorators"},
    "api.oauth": _ROUTES,
    "api.operations": _ROUTES,
    "api": {"api.admin", "api.flows", "api.me", "api.oauth", "api.operations", "api.sessions"},
    "application": {"api", "backend", "config", "database", "redis_tools", "wiring"},
    "commands.openapi": {"application", "config"},
    "commands": {"backend", "config", "database", "models", "redis_tools", "wiring"},
    "main": {"commands.cli"},
    "alembic": {"config", "database"},
    "devstack": set(),
    "examples": {"jwt_tools"},  # services of other people
}

# What is imported by its name at run time: by whom, what, and why no import statement does.
DYNAMIC = {
    "main": ({"application"}, "`uvicorn main:app` needs it, and check-config must answer before it is loaded"),
    "commands.cli": ({"commands", "commands.openapi"}, "a command loads in 0.2 s what all commands load in 2 s"),
    "commands.serving.graceful_server": ({"application"}, "wrong settings end a start before the service is loaded"),
    "backend.passwords.imported_hashes": (set(), "libraries that need not be installed"),
}

_ROOMS = {name.partition(".")[0] for name in MAY_IMPORT}
_LOADERS = {"import_module", "import_from_string", "__import__"}


def _modules() -> list[Path]:
    in_folders = [path for room in _ROOMS for path in (ROOT / room).rglob("*.py")]
    return sorted(in_folders + [ROOT / f"{room}.py" for room in _ROOMS if (ROOT / f"{room}.py").exists()])


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _rule(name: str) -> str:
    """Return the entry of `MAY_IMPORT` that a module, or a name inside of one, stands under."""
    while name and name not in MAY_IMPORT:
        name = name.rpartition(".")[0]
    return name


def _covers(target: str, allowed: set[str]) -> bool:
    return any(target == rule or target.startswith(f"{rule}.") for rule in allowed)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _imports(tree: ast.AST) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides where it points; name it in full"
            packages = (ROOT / (node.module or "").replace(".", "/")).is_dir()
            names = [f"{node.module}.{alias.name}" for alias in node.names] if packages else [node.module or ""]
            found += [(node.lineno, name) for name in names]
    return found


def _dynamic_imports(tree: ast.AST) -> list[tuple[int, str]]:
    """Return the calls of a loader, and strings such as "main:app" that a library may import."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in _LOADERS:
                found.append((node.lineno, ""))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = re.fullmatch(r"((\w+)(?:\.\w+)*)(:\w+)?", node.value)
            if match and match[2] in _ROOMS and (match[3] or ("." in match[1] and _exists(match[1]))):
                found.append((node.lineno, match[1]))
    return found


def _exists(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_the_table_of_imports_has_no_circle() -> None:
    entries = {
        name: {_rule(target) or target for target in allowed} | {it for it in MAY_IMPORT if _covers(it, allowed)}
        for name, allowed in MAY_IMPORT.items()
    }
    for name, (targets, _) in DYNAMIC.items():
        entries[_rule(name)] |= {_rule(target) for target in targets}
    list(TopologicalSorter({name: targets - {name} for name, targets in entries.items()}).static_order())


@pytest.mark.parametrize("path", _modules(), ids=_module_name)
def test_imports_point_downstairs(path: Path) -> None:
    name = _module_name(path)
    rule = _rule(name)
    for line, target in _imports(_tree(path)):
        room = target.partition(".")[0]
        if room not in _ROOMS or (room == "alembic" and name.startswith(("alembic", "commands"))):
            continue  # a library; alembic's own name is also that of our folder
        assert _rule(target) == rule or _covers(target, MAY_IMPORT[rule]), (
            f"{path.relative_to(ROOT)}:{line} imports {target}, which the entry {rule!r} of MAY_IMPORT does not name: "
            "move what both need downstairs"
        )


@pytest.mark.parametrize("path", _modules(), ids=_module_name)
def test_no_import_hides(path: Path) -> None:
    for function in ast.walk(_tree(path)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            hidden = _imports(function)
            assert not hidden, f"{path.relative_to(ROOT)}:{hidden[0][0]} imports {hidden[0][1]} inside a function"
    targets, _ = DYNAMIC.get(_module_name(path), (None, ""))
    for line, target in _dynamic_imports(_tree(path)):
        assert targets is not None, (
            f"{path.relative_to(ROOT)}:{line} imports {target or 'a module'} at run time: use an import statement, or "
            "name the module in DYNAMIC with the reason"
        )
        assert not target or _covers(target, targets), (
            f"{path.relative_to(ROOT)}:{line}: DYNAMIC does not name {target}"
        )


def test_every_exception_is_needed() -> None:
    for name in DYNAMIC:
        path = (ROOT / name.replace(".", "/")).with_suffix(".py")
        assert path.exists(), f"{name} is gone: take it out of DYNAMIC"
        assert _dynamic_imports(_tree(path)), f"{name} imports nothing at run time any more: take it out of DYNAMIC"


@pytest.mark.parametrize("wing", [name for name in MAY_IMPORT if re.fullmatch(r"(backend|models)\.\w+", name)])
def test_the_first_line_of_a_wing_says_what_it_imports(wing: str) -> None:
    first = ROOT / wing.replace(".", "/") / "__init__.py"
    if not first.exists():
        return  # a single file
    says = re.search(r"Imports (.+?)\.", ast.get_docstring(_tree(first)) or "", re.DOTALL)
    assert says, f"{first.relative_to(ROOT)}: end the docstring with “Imports …”, as MAY_IMPORT has it"
    named = set(re.findall(r"\w+", says[1])) - {"and", "no", "other", "wing"}
    shared = {"audit", "counters", "derived_keys"}
    room = wing.partition(".")[0]
    allowed = {name.partition(".")[2] for name in MAY_IMPORT[wing] if name.startswith(f"{room}.")} - shared
    assert named == allowed, f"{first.relative_to(ROOT)} names {sorted(named)}, MAY_IMPORT {sorted(allowed)}"


def test_no_file_and_no_folder_grows_too_large() -> None:
    folders: dict[Path, int] = {}
    for path in _modules():
        lines = len(path.read_text().splitlines())
        assert lines <= MAX_LINES, f"{path.relative_to(ROOT)} has {lines} lines: find its second subject"
        if path.name != "__init__.py" and path.parent != ROOT:
            folders[path.parent] = folders.get(path.parent, 0) + 1
    for folder, modules in folders.items():
        assert modules <= MAX_MODULES, f"{folder.relative_to(ROOT)} has {modules} modules: give one subject a folder"


def _texts(*patterns: str) -> list[Path]:
    """Return the project's own text files."""
    found = (path for pattern in patterns for path in ROOT.rglob(pattern) if path.is_file())
    return sorted(path for path in found if not _FOREIGN.intersection(path.relative_to(ROOT).parts))


_FOREIGN = {".git", ".venv", ".data", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "node_modules"}
_THREATS = ROOT / "docs/design/threats.md"


@cache
def _anchors(page: Path) -> frozenset[str]:
    """Return what a link to a page may name after its #: explicit anchors, and headings as GitHub writes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    anchors = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|<[^>]+>", r"\1", heading).strip().lower()
        anchors.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
        if number := re.match(r"(\d+(?:\.\d+)*)\b", plain):
            anchors.add(f"section-{number[1].replace('.', '-')}")
    return frozenset(anchors)


def _page(name: str, cited_in: Path) -> Path | None:
    """Return the page that a name such as `service.md` or `docs/errors.md` stands for."""
    folders = (cited_in.parent, ROOT, ROOT / "docs", ROOT / "docs/design")
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


@pytest.mark.parametrize("kind", ["*.py", "*.lua", "*.md", "*.conf", "*.y*ml", "*.toml", "Makefile", "Dockerfile"])
def test_every_citation_resolves(kind: str) -> None:
    wrong = []
    for path in _texts(kind):
        text = re.sub(r"\b\w+://\S+", "", path.read_text())
        where = path.relative_to(ROOT)
        names = set(re.findall(r"(?<![\w*<>./-])[\w./-]*\w\.md\b", text))
        wrong += [f"{where} cites {name}, which does not exist" for name in names if _page(name, path) is None]
        for name, number in set(re.findall(r"([\w./-]*\w\.md),? (?:sections? )?(\d+(?:\.\d+)*)\b", text)):
            page = _page(name, path)
            if page and f"section-{number.replace('.', '-')}" not in _anchors(page):
                wrong.append(f"{where} cites section {number} of {name}, which has none")
        for noun, number in set(re.findall(r"(?<![a-z])(row|fault)s?[ _](\d+)(?!\d)", text)):
            if f"{noun}-{int(number)}" not in _anchors(_THREATS):
                wrong.append(f"{where} cites {noun} {number}, which docs/design/threats.md has not")
    assert not wrong, "\n".join(wrong)


def _inline(text: str) -> str:
    """Return Markdown without blocks and spans of code."""
    return re.sub(r"`[^`\n]*`", "``", re.sub(r"^( *)```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE))


def test_every_link_resolves() -> None:
    wrong = []
    for page in _texts("*.md"):
        for target in re.findall(r"\]\(<?([^)\s>]+)>?\)", _inline(page.read_text())):
            name, _, anchor = target.partition("#")
            if re.match(r"\w+:", target):
                continue
            linked = (page.parent / name).resolve() if name else page
            if not linked.exists():
                wrong.append(f"{page.relative_to(ROOT)} links to {target}, which does not exist")
            elif anchor and anchor not in _anchors(linked):
                wrong.append(f"{page.relative_to(ROOT)} links to {target}, but {linked.name} has no such anchor")
    assert not wrong, "\n".join(wrong)


def test_every_page_names_files_that_exist() -> None:
    wrong = []
    for page in _texts("*.md"):
        written = page.read_text()
        text = re.sub(r"^( *)```.*?^ *```", "", written, flags=re.DOTALL | re.MULTILINE)
        names = set(re.findall(r"`([\w./-]+(?:/|\.(?:py|md|lua|sql|html|txt|yaml|toml)))`", text))
        names |= set(re.findall(r"\btests/[\w/]+\.py\b", written))  # commands, too
        inside = {name for name in names if "/" in name.strip("/")}
        wrong += [f"{page.name} names {name}" for name in inside if not (ROOT / name).exists()]
    assert not wrong, "write a file that the reader creates as backend/<name>.py:\n" + "\n".join(wrong)


def test_the_benchmarks_need_no_tests() -> None:
    for path in sorted((ROOT / "bench").rglob("*.py")):
        for line, target in _imports(_tree(path)):
            assert not target.startswith("tests"), f"bench/{path.name}:{line} imports {target}: move it to bench/"


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
