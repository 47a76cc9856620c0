"""Rules of the package as a whole: what importing it costs, which way its imports point, how its files are laid out."""

import ast
import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "graphkeras"
FILES = sorted(PACKAGE.rglob("*.py"))

# Lowest first. A module may import from its own stage and from those before it; the front end is every other module.
STAGES = ("ir", "trace", "ops", "autodiff", "passes", "schedule", "lowering", "runtime")
# Imports nothing of ours and may be imported by all.
BASE = {"graphkeras.debug.flags"}
# (importing module, imported module) -> why a lower stage looks up, at call time only. A new line here needs a good reason.
LAZY_UPWARD = {
    ("graphkeras.ops.derivatives", "graphkeras.autodiff"): "keras.ops has jvp among its functions; derivatives are made a stage above",
    ("graphkeras.ops.control_samples", "graphkeras.autodiff.checkpoint"): "a sample of the op that checkpoints make",
    ("graphkeras.ops.image.elastic", "graphkeras.random"): "keras.ops.image has one function that draws random distances",
}

HEAVY = ("numba", "llvmlite", "networkx", "h5py", "tensorboard", "matplotlib", "graphviz", "rich", "IPython")
LONGEST_FILE = 700
TOP_LEVEL = {"pyproject.toml", "README.md", "graphkeras", "tests", "examples", "docs", ".ci", ".gitignore", "LICENSE"}


def module_name(path):
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rank(module):
    """Position of a module in the order of the stages; the front end stands behind all of them."""
    stage = module.split(".")[1] if "." in module else ""
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def imports(path):
    """(imported module, line, whether it stands inside a function) for every import of ours in a file."""
    tree = ast.parse(path.read_text("utf-8"))
    lazy = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.walk(node)
    }
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [existing_module(f"{base}.{alias.name}") or base for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "graphkeras":
                yield name, node.lineno, id(node) in lazy


def existing_module(name):
    path = ROOT.joinpath(*name.split("."))
    return name if path.with_suffix(".py").exists() or (path / "__init__.py").exists() else None


def is_allowed(importer, imported):
    return imported in BASE or rank(imported) <= rank(importer)


def test_import_is_silent_and_light():
    code = f"import graphkeras, sys; print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr.strip() == "[]"


def test_imports_point_one_way():
    upward, used = [], set()
    for path in FILES:
        importer = module_name(path)
        for imported, line, lazy in imports(path):
            if is_allowed(importer, imported):
                continue
            if lazy and (importer, imported) in LAZY_UPWARD:
                used.add((importer, imported))
            else:
                upward.append(f"{path.relative_to(ROOT)}:{line} imports {imported}")
    assert upward == []
    assert used == set(LAZY_UPWARD), "LAZY_UPWARD lists imports that are no longer there"


def test_the_base_imports_nothing_of_ours():
    for name in BASE:
        path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
        assert [imported for imported, _, _ in imports(path)] == []


@pytest.mark.parametrize(
    "importer, imported, allowed",
    [
        ("graphkeras.ops.math", "graphkeras.ir.graph", True),
        ("graphkeras.ir.graph", "graphkeras.ops.math", False),
        ("graphkeras.ir.graph", "graphkeras.debug.flags", True),
        ("graphkeras.runtime.cache", "graphkeras.layers", False),
        ("graphkeras.training.trainer", "graphkeras.runtime", True),
        ("graphkeras.lowering.cpu", "graphkeras.runtime.function", False),
        ("graphkeras.layers", "graphkeras.training", True),
        ("graphkeras.trace", "graphkeras", False),
    ],
)
def test_the_order_of_the_stages(importer, imported, allowed):
    assert is_allowed(importer, imported) is allowed


def test_the_import_reader_sees_every_form(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    folder = tmp_path / "graphkeras" / "ir"
    folder.mkdir(parents=True)
    for path in (tmp_path / "graphkeras", folder, tmp_path / "graphkeras" / "layers"):
        path.mkdir(exist_ok=True)
        (path / "__init__.py").write_text("")
    (folder / "a.py").write_text(
        "import os, graphkeras.layers\nfrom graphkeras import layers\nfrom . import b\nfrom ..layers import Dense\n"
        "def f():\n    from graphkeras.layers import Dense\n    import graphkeras.layers as l\n"
        "class C:\n    from graphkeras.layers import Dense\n"
    )
    assert sorted(imports(folder / "a.py"), key=lambda row: row[1]) == [
        ("graphkeras.layers", 1, False),
        ("graphkeras.layers", 2, False),
        ("graphkeras.ir", 3, False),
        ("graphkeras.layers", 4, False),
        ("graphkeras.layers", 6, True),
        ("graphkeras.layers", 7, True),
        ("graphkeras.layers", 9, False),
    ]


def test_every_folder_is_a_package():
    folders = {parent for path in FILES for parent in path.parents if PACKAGE in (parent, *parent.parents)}
    assert sorted(str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").exists()) == []


def test_files_can_be_read_in_one_sitting():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def test_every_module_says_what_it_is_for():
    assert [str(path.relative_to(ROOT)) for path in FILES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))] == []


def test_readme_has_the_commands():
    readme = (ROOT / "README.md").read_text("utf-8")
    for command in ("pip install . && python examples/quickstart.py", "pip install '.[test]' && pytest"):
        assert command in readme


def test_ci_runs_the_commands_of_the_readme():
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert "pip install --quiet '.[test]'" in lines and "pytest" in lines and "set -euo pipefail" in lines


def test_top_level_holds_only_what_was_agreed():
    """Apart from what `.gitignore` names: caches, environments, builds."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines() if line and line[0] != "#"]
    names = {path.name for path in ROOT.iterdir()}
    kept = {name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)}
    assert kept - TOP_LEVEL - {".git"} == set()


def test_version_and_licence_are_stated_once_and_agree():
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    assert project["name"] == "graphkeras" and project["license"] == "Apache-2.0"
    licence = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence
    code = "import graphkeras; print(graphkeras.__version__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == project["version"]


def test_shipped_files_are_declared():
    """What is not Python and lies inside the package reaches users only if pyproject.toml says so."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        declared = tomllib.load(file)["tool"]["setuptools"]["package-data"]
    others = [p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    missing = [
        str(path.relative_to(ROOT))
        for path in others
        if not any(fnmatch.fnmatch(path.name, pattern) for pattern in declared.get(module_name(path.parent / "x.py")[:-2], ()))
    ]
    assert others and missing == []


def test_no_unfinished_work_is_left():
    marks = re.compile(r"TODO|FIXME|XXX|NotImplementedError\(\)|fastmath *= *True")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if marks.search(line)
    ]
    assert found == []
