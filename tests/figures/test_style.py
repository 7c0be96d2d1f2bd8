"""The style sheets are seaborn's, and every size has one."""

import ast

import matplotlib as mpl
import pytest
import seaborn as sns

from relative_stability.figures.style import _PALETTE, SIZES, apply_style, legend_below, new_figure, scaled

THEMES = {"slide": {"context": "notebook", "font_scale": 1.05}, "column": {"context": "paper", "font_scale": 0.78}}
OWN = (
    "pdf.fonttype",
    "axes.spines.top",
    "axes.spines.right",
    "legend.frameon",
    "figure.figsize",
    "image.cmap",
    "backend",
    "backend_fallback",
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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("label", "lines"), [("net", 2), ("resnet18_narrow, at initialisation", 3), ("x" * 70, 6)])
def test_a_legend_has_as_many_columns_as_the_figure_is_wide_enough_for(size, label, lines):
    apply_style(size)
    figure, panels = new_figure(1, 2)
    for k in range(6):
        panels[0, 0].plot([0, 1], [k, k], label=label)
    before = figure.get_figheight()
    legend_below(figure, panels[0, 0], "what it means", columns=3)
    (legend,) = figure.legends
    figure.canvas.draw()
    drawn = legend.get_window_extent(figure.canvas.get_renderer())
    assert (drawn.x0 >= 0 and drawn.x1 <= figure.bbox.width) or lines == 6
    assert figure.get_figheight() == pytest.approx(before + scaled(0.26) * (lines - 1))
