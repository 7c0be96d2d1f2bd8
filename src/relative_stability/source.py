"""A digest of source code that only its meaning moves: comments, docstrings and layout are left out."""

import ast
from functools import cache
from hashlib import sha256
from pathlib import Path


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


@cache
def source_digest(*names: str, suffixes: tuple[str, ...] = (".py",)) -> str:
    """Ten hexadecimal digits for modules or folders of this package, by name. suffixes: of files that count."""
    root = Path(__file__).parent
    patterns = [pattern for suffix in suffixes for pattern in (f"{{}}{suffix}", f"{{}}/**/*{suffix}")]
    files = [file for name in names for file in sorted(f for p in patterns for f in root.glob(p.format(name)))]
    text = "\n".join(f"{file.relative_to(root)} {_meaning(file)}" for file in files)
    return sha256(text.encode()).hexdigest()[:10]


def _meaning(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    return ast.dump(_without_docstrings(ast.parse(text))) if file.suffix == ".py" else text
