"""Imports point one way, and the page's way is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "irtuning").rglob("*.py"))
RANK = {
    "errors": 0, "events": 1, "catalogue": 1, "combinations": 1, "config": 2, "hub": 1, "paths": 1,
    "revisions": 3, "tuning": 3,
    "floor": 4, "insight": 4, "classify": 5, "classify_file": 5, "shelf": 5, "runs": 5, "figures": 5,
    "ui": 6, "run_commands": 6, "exits": 6, "__main__": 7, "__init__": 7,
}  # fmt: skip
"""A part may import parts of a lower rank, itself, and what ALSO allows."""
ALSO = {
    ("tuning", "revisions"): {"revisions.encoding", "revisions.corpora"},
    ("revisions", "tuning"): set(),
    ("runs", "classify"): set(),
    ("shelf", "classify"): {"classify"},
    ("shelf", "runs"): {"runs.store"},
}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "irtuning").parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names if node.module.count(".") < 2]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    mine = part_of(path)
    for name in imports(path):
        if not name.startswith("irtuning.") or (path.name == "__init__.py" and mine == "__init__"):
            continue
        theirs = name.split(".")[1]
        if theirs not in RANK or theirs == mine:
            continue
        if (mine, theirs) in ALSO:
            rest = name.removeprefix("irtuning.")
            assert any(rest == ok or rest.startswith(ok + ".") or ok.startswith(rest) for ok in ALSO[mine, theirs]), name
        else:
            assert RANK[theirs] < RANK[mine], f"{mine} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_libraries_stay_in_their_place(path):
    tops = {name.split(".")[0] for name in imports(path)}
    mine = part_of(path)
    assert "gradio" not in tops or mine == "ui"
    assert "plotly" not in tops or mine == "figures"
    if "torch" in tops or "transformers" in tops or "peft" in tops:
        assert mine == "tuning"


def test_the_first_page_loads_without_torch():
    """Everything that app.py imports, and building the pages, loads none of the heavy libraries."""
    code = (
        "import sys; sys.path.insert(0, '.'); import app; app.build_ui(app.build_studio()); "
        "print([m for m in ('torch', 'transformers', 'sklearn', 'datasets', 'peft') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", [*FILES, ROOT / "app.py"], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_the_top_of_the_tree_is_the_table_of_contents():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=30).stdout.split()
    tops = {name.split("/")[0] for name in listed}
    assert tops <= {
        "app.py", "irtuning", "assets", "checkpoints", "tests", "requirements.txt", "README.md",
        "pyproject.toml", "LICENSE", ".gitignore", ".ci",
    }  # fmt: skip
