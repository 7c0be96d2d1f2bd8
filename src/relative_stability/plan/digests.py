"""What stands for the code that makes a result: a number for each stage, and a digest of sources.

A stage's number joins the digest of everything that it makes, and of what is made from that. Raise it, and
`snakemake -n` announces that stage and those after it; leave it, and no refactoring, comment or touched file ever
costs a training. `flow` is `train` for gradient flows. Figures and claims have none: they are cheap, and are redrawn
whenever their code changes.

The digest of sources is moved by their meaning alone: comments, docstrings and layout are left out.
"""

import ast
from functools import cache
from hashlib import sha256
from pathlib import Path

STAGES = {"prepare": 1, "train": 3, "flow": 4, "measure": 2, "collect": 4}


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


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


def _meaning(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    return ast.dump(_without_docstrings(ast.parse(text))) if file.suffix == ".py" else text
