"""The style sheets are seaborn's, and every size has one."""

import ast

import matplotlib as mpl
import pytest
import seaborn as sns

from relative_stability.figures.style import _PALETTE, SIZES, apply_style, scaled

THEMES = {"slide": {"context": "notebook", "font_scale": 1.05}, "column": {"context": "paper", "font_scale": 0.78}}
OWN = (
    "pdf.fonttype",
    "axes.spines.top",
    "axes.spines.right",
    "legend.frameon",
    "figure.figsize",
    "image.cmap",
    "backend",
)


@pytest.fixture(autouse=True)
def as_before():
    with mpl.rc_context():
        yield


def plain():
    """All settings but our own; numbers as far as a style sheet writes them."""
    settings = {key: value for key, value in mpl.rcParams.items() if key not in OWN}
    settings["axes.prop_cycle"] = [
        mpl.colors.to_hex(colour) for colour in settings["axes.prop_cycle"].by_key()["color"]
    ]
    return {key: f"{value:.6g}" if isinstance(value, float) else str(value) for key, value in settings.items()}


@pytest.mark.parametrize("size", SIZES)
def test_a_style_sheet_is_what_seaborn_sets(size):
    mpl.style.use("default")
    sns.set_theme(style="ticks", palette="colorblind", **THEMES[size])
    theme = plain()
    apply_style(size)
    assert plain() == theme
    assert mpl.rcParams["pdf.fonttype"] == 42  # fonts embedded as they are


def test_colours_are_those_that_seaborn_calls_safe_for_the_colour_blind():
    assert list(_PALETTE) == [mpl.colors.to_hex(colour) for colour in sns.color_palette("colorblind")]


def test_a_column_has_smaller_panels_and_print_and_a_slide_after_it_is_a_slide_again():
    apply_style("slide")
    slide = dict(mpl.rcParams)
    assert scaled(1) == 1
    apply_style("column")
    assert scaled(1) == pytest.approx(2.25 / 4) and 6.5 < mpl.rcParams["font.size"] < 8
    apply_style("slide")
    assert str(dict(mpl.rcParams)) == str(slide)


def test_figures_import_no_seaborn(root):
    for module in (root / "src/relative_stability").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [getattr(node, "module", "") or ""]
            )
            assert not any(name.startswith("seaborn") for name in names), module
