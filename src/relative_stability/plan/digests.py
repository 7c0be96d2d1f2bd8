"""What stands for the code that makes a result: a number for each stage, and a digest of sources.

A stage's number joins the digest of everything that it makes, and of what is made from that. Raise it, and
`snakemake -n` announces that stage and those after it; leave it, and no refactoring, comment or touched file ever
costs a training. `flow` is `train` for gradient flows, `give` for nets that are given. Figures and claims have none:
they are cheap, and are redrawn whenever their code changes.

The digest of sources is moved by their meaning alone: comments, docstrings, layout and types are left out. Those of a
stage are found by following imports; where they change, a test asks for a new number or for a word that results do not
change (`stage_code`).
"""

import ast
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

PACKAGE = "relative_stability"
FIRST = {
    "prepare": ["datasets", "datasets/prepared"],
    "train": ["training/run"],
    "flow": ["training/gradient_flow/run"],
    "give": ["training/given"],
    "measure": ["jobs/observables"],
    "collect": ["analysis/collect"],
}
# What says how it goes, and who may train, and enters no number.
UNCOUNTED = {"core/errors", "core/logs", "core/provenance", "training/lock", "training/progress"}
STAGES = {"prepare": 1, "train": 3, "flow": 5, "give": 1, "measure": 2, "collect": 4}


@cache
def source_digest(*names: str, suffixes: tuple[str, ...] = (".py",)) -> str:
    """Ten hexadecimal digits for modules or folders of this package, by name; "figures/*" leaves its folders out.

    suffixes: of files that count.
    """
    root = Path(__file__).parents[1]
    patterns = [pattern for suffix in suffixes for pattern in (f"{{}}{suffix}", f"{{}}/**/*{suffix}")]
    found = [(name, pattern) for name in names for pattern in patterns if not (name.endswith("*") and "**" in pattern)]
    files = [file for name, pattern in found for file in sorted(root.glob(pattern.format(name)))]
    text = "\n".join(f"{file.relative_to(root)} {_meaning(file)}" for file in files)
    return sha256(text.encode()).hexdigest()[:10]


@cache
def stage_digest(stage: str) -> str:
    """Ten hexadecimal digits for what a stage of STAGES is made with: its first modules, and all that these import."""
    found, left = set[str](), list(FIRST[stage])
    while left:
        if (name := left.pop()) not in found and name not in UNCOUNTED:
            found.add(name)
            left += _imported(_file(name))
    text = "\n".join(f"{name} {_meaning(_file(name))}" for name in sorted(found))
    return sha256(text.encode()).hexdigest()[:10]


def _file(name: str) -> Path:
    """Of a module of this package, or of a folder."""
    path = Path(__file__).parents[1] / name
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _imported(file: Path) -> list[str]:
    """Modules of this package that a module imports, in functions too; of a registry, which imports by name, all."""
    root, names = Path(__file__).parents[1], []
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
            place = str(node.module).removeprefix(f"{PACKAGE}.").replace(".", "/")
            below = {alias.name: f"{place}/{alias.name}" for alias in node.names}
            names += [found if _file(found).is_file() else place for found in below.values()]
        elif isinstance(node, ast.Name) and node.id == "import_module" and file.name == "__init__.py":
            names += [str(other.relative_to(root).with_suffix("")) for other in file.parent.glob("[!_]*.py")]
    return names


@cache
def _tree(file: Path) -> ast.Module:
    """A module without docstrings, and without what is imported for types alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    return tree


@cache
def _meaning(file: Path) -> str:
    return _written(_tree(file)) if file.suffix == ".py" else file.read_text(encoding="utf-8")


def _written(node: Any) -> str:
    """A tree as text, which `ast.dump` would write otherwise for every version of Python."""
    if isinstance(node, list):
        return f"[{','.join(map(_written, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (f"{name}={_written(value)}" for name, value in ast.iter_fields(node) if value not in (None, []))
    return f"{type(node).__name__}({','.join(fields)})"
