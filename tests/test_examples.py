"""The examples in docstrings print what they say, and every public name has one."""

import doctest
from importlib import import_module

import pytest

import relative_stability as rs
from tests.conftest import ROOT

SOURCE = ROOT / "src"
WITH_EXAMPLES = sorted(path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


def module_name(path):
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_name)
def test_examples_print_what_they_say(monkeypatch, path):
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(
        import_module(module_name(path)), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    assert found.attempted and not found.failed


@pytest.mark.parametrize("name", [name for name in rs.__all__ if name != "__version__"])
def test_every_public_name_has_an_example(name):
    assert ">>> " in getattr(rs, name).__doc__
