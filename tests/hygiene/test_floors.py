"""The floors of docs and design, read off the source: who imports whom, and how long things are."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "toeplitz_theory"
# A lower floor never imports a higher one; two parts of the same floor may import each other.
FLOORS = {
    "operators": 1,
    "tmm": 2,
    "checkpoints": 3,
    "training": 4,
    "retention": 4,
    "plots": 5,
    "reports": 5,
    "commands": 6,
    "cli": 6,
    "__main__": 6,
}
FORBIDDEN = {
    "operators": {"torch", "transformers", "pandas", "matplotlib"},
    "checkpoints": {"transformers", "pandas", "matplotlib"},
    "plots": {"torch", "transformers"},
    "reports": {"torch", "transformers"},
    "tmm": {"toeplitz_theory.operators", "pandas", "matplotlib"},
}
MAX_CODE_LINES = 300  # without docstrings, comments and blank lines
MAX_FUNCTION_LINES = 80

modules = sorted(PACKAGE.rglob("*.py"))
measured = sorted(
    path
    for folder in ("toeplitz_theory", "tests", "benchmarks", "paper_figures", "notebooks")
    for path in (ROOT / folder).rglob("*.py")
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part_of(path: Path) -> str:
    """The part of the package a file belongs to: a folder, or a module at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Absolute names of all imports of a module, those inside functions too, by line."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_the_floors_are_not_empty():
    assert any(part_of(path) == "operators" for path in modules)


@pytest.mark.parametrize("path", modules, ids=name_of)
def test_no_import_goes_upward(path):
    part = part_of(path)
    if part == "__init__":
        pytest.skip("hands names on lazily; its cost is measured in test_import_cost")
    alone = path.parent == PACKAGE and part not in FLOORS
    assert alone or part in FLOORS, f"{part}/ has no floor: place it in FLOORS of {Path(__file__).name}"
    floor = 0 if alone else FLOORS[part]  # a module at the top of the package is the ground for all
    upward = [
        f"line {line}: {name}"
        for line, name in imports(path)
        if within(name, "toeplitz_theory") and FLOORS.get([*name.split("."), ""][1], 0) > floor
    ]
    assert not upward, f"{name_of(path)} imports a higher floor at {upward}"


@pytest.mark.parametrize("path", [p for p in modules if part_of(p) in FORBIDDEN], ids=name_of)
def test_floors_without_heavy_libraries(path):
    forbidden = FORBIDDEN[part_of(path)]
    found = [
        f"line {line}: {name}"
        for line, name in top_level_imports(path)
        if any(within(name, f) for f in forbidden)
    ]
    assert not found, f"{name_of(path)} must not know {sorted(forbidden)}: {found}"


def top_level_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Imports that run when the module is imported; for operators and tmm, those inside functions too."""
    everywhere = part_of(path) in ("operators", "tmm")
    lazy = set() if everywhere else set(lines_not_run_on_import(tree_of(path)))
    return ((line, name) for line, name in imports(path) if line not in lazy)


def lines_not_run_on_import(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        guarded = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        if guarded or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


@pytest.mark.parametrize("path", measured, ids=name_of)
def test_files_and_functions_can_be_seen_whole(path):
    text = path.read_text(encoding="utf-8")
    assert code_lines(text) <= MAX_CODE_LINES
    long = {
        node.name: lines
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := body_lines(node)) > MAX_FUNCTION_LINES
    }
    assert not long, f"functions longer than {MAX_FUNCTION_LINES} lines, docstring not counted: {long}"


def code_lines(text: str) -> int:
    """Lines that hold code: no blank ones, comments or docstrings."""
    tree = ast.parse(text)
    documents = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in documents
        for number, line in enumerate(text.splitlines(), 1)
    )


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


@pytest.mark.parametrize("path", [p for p in modules if p.name == "__init__.py"], ids=name_of)
def test_package_files_hand_names_on_and_define_nothing(path):
    defined = [
        node.name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    assert not defined, f"{name_of(path)} defines {defined}"
