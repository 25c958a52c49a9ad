"""The floors of docs and design, read off the source: who imports whom, and how long things are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "toeplitz_theory"
# The table of the floors that contributors read, row by row: folder and what it may import.
TABLE = re.findall(r"^\| `(\w+)/` \|.*\| *([^|]*)\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
MAY_IMPORT = {folder: set(re.findall(r"`(\w+)`", names)) for folder, names in TABLE}
GROUND = {"errors", "names", "display", "files", "cache", "threads", "interrupts", "__version__"}
TOP = {"cli": {"commands"}, "__main__": {"cli"}}
FORBIDDEN = {
    "operators": {"torch", "transformers", "pandas", "matplotlib"},
    "checkpoints": {"transformers", "pandas", "matplotlib"},
    "plots": {"torch", "transformers"},
    "reports": {"torch", "transformers"},
    "tmm": {"toeplitz_theory.operators", "pandas", "matplotlib"},
}
# Results that draw themselves, and what draws them: the first import the second inside functions alone.
MUTUAL = [{"plots", "reports"}, {"plots", "retention"}]
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


def test_the_table_has_a_row_for_every_folder():
    assert set(MAY_IMPORT) == {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    for names in MAY_IMPORT.values():
        assert names <= set(MAY_IMPORT), "the table names a folder that is not there"


@pytest.mark.parametrize("path", modules, ids=name_of)
def test_imports_keep_to_the_table(path):
    part = part_of(path)
    if part == "__init__":
        pytest.skip("hands names on lazily; its cost is measured in test_import_cost")
    allowed = GROUND | MAY_IMPORT.get(part, TOP.get(part, set())) | {part, ""}
    assert part in MAY_IMPORT or part in TOP or part in GROUND, f"{part} has no row in CONTRIBUTING.md"
    elsewhere = [
        f"line {line}: {name}"
        for line, name in imports(path)
        if within(name, "toeplitz_theory") and [*name.split("."), ""][1] not in allowed
    ]
    assert not elsewhere, (
        f"{name_of(path)} imports what its row in CONTRIBUTING.md does not name: {elsewhere}"
    )


def test_floors_import_each_other_one_way():
    """Except results that draw themselves, which import what draws them inside functions."""
    for folder, names in MAY_IMPORT.items():
        for name in names:
            assert folder not in MAY_IMPORT[name] or {folder, name} in MUTUAL, (folder, name)


@pytest.mark.parametrize("path", [p for p in modules if part_of(p) in ("reports", "retention")], ids=name_of)
def test_results_load_what_draws_them_only_when_they_are_drawn(path):
    inside = set(lines_not_run_on_import(tree_of(path)))
    early = [
        line for line, name in imports(path) if within(name, "toeplitz_theory.plots") and line not in inside
    ]
    assert not early, f"{name_of(path)} imports plots when it is imported: lines {early}"


def test_there_is_no_circle_among_operators():
    """Also not through imports inside functions; those for types alone never run."""
    known = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in modules}
    edges = {
        module: {
            target
            for line, name in imports(path)
            if line not in set(lines_for_types_alone(tree_of(path)))
            for target in (name, name.rpartition(".")[0])
            if target in known and target != module
        }
        for module, path in known.items()
        if module.startswith("toeplitz_theory.operators") and path.name != "__init__.py"
    }
    while free := [module for module, targets in edges.items() if not targets & set(edges)]:
        for module in free:
            del edges[module]
    assert not edges, f"a circle among {sorted(edges)}"


def lines_for_types_alone(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


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
