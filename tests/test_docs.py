"""The documentation does what it says."""

import re
import subprocess
import sys

import pytest

NUMBER = re.compile(r"-?\d+\.\d+")


def test_the_worked_example_prints_what_the_page_shows(root, tmp_path):
    """The same words, and numbers that agree as far as training on another machine lets them."""
    page = (root / "docs/measuring.md").read_text()
    example, shown, more = re.search(
        r"```python\n(.*?)```\n```\n(.*?)```.*?```python\n(.*?)```", page, re.DOTALL
    ).groups()
    (tmp_path / "example.py").write_text(f"{example}\n{more}")
    run = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    printed = run.stdout.splitlines()
    for line, expected in zip(printed, shown.splitlines(), strict=False):
        assert NUMBER.sub("", line) == NUMBER.sub("", expected)
        found, wanted = (list(map(float, NUMBER.findall(text))) for text in (line, expected))
        assert found == pytest.approx(wanted, rel=0.3, abs=0.03), line
    layers = "\n".join(printed[len(shown.splitlines()) :])
    assert "<xarray.DataArray 'R' (layer: 12)>" in layers


def test_every_file_that_the_pages_point_to_exists(root):
    for page in [root / "README.md", *root.glob("docs/*.md"), *root.glob("results/README.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_options_on_the_page_are_those_of_the_library(root):
    from relative_stability.measurement import NOISE_MATCHINGS
    from relative_stability.modes import BATCH_NORMS
    from relative_stability.perturbations import FAMILIES
    from relative_stability.perturbations.diffeomorphism import MODES
    from relative_stability.perturbations.interpolation import INTERPOLATIONS

    page = (root / "docs/measuring.md").read_text()
    for word in (*FAMILIES, *BATCH_NORMS, *MODES, *INTERPOLATIONS, *NOISE_MATCHINGS):
        assert f"`{word}`" in page, word
