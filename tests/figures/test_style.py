"""One look: a net's is its own, apart from others without colour, and dark enough; sizes set fonts and panels."""

from itertools import combinations, pairwise

import matplotlib as mpl
import numpy as np
import pytest
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from relative_stability.figures.style import (
    HUES,
    PALE,
    SIZES,
    apply_style,
    finish,
    label_ends,
    legend_line,
    look,
    new_figure,
    plain,
)
from relative_stability.nets import net_names

TWELVE = [
    ["fc4", "lenet", "alexnet", "vgg11", "vgg11_bn", "resnet18", "resnet34", "resnet50", "efficientnet_b0", "mobilenet_v2", "densenet121", "vit_small"],
    ["fc2", "fc4", "lenet", "cnn", "alexnet_narrow", "vgg11_narrow", "vgg11_bn_narrow", "vgg16_bn_narrow", "resnet18_narrow", "resnet34_narrow", "efficientnet_b0_narrow", "convnext_tiny"],
    sorted(net_names())[:12], sorted(net_names())[-12:],
]  # fmt: skip


@pytest.fixture(autouse=True)
def as_before():
    with mpl.rc_context():
        yield


def luminance(color):
    """Relative, as WCAG 2 defines it."""
    rgb = np.array(mpl.colors.to_rgb(color))
    return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("nets", TWELVE)
def test_no_two_of_twelve_nets_are_twins_in_greyscale(nets):
    for a, b in combinations(map(look, nets), 2):
        contrast = (luminance(a["color"]) + 0.05) / (luminance(b["color"]) + 0.05)
        assert a["marker"] != b["marker"] or max(contrast, 1 / contrast) > 1.2


def test_nothing_is_paler_than_three_to_one_against_white():
    colors = [look(net)["color"] for net in [*net_names(), *HUES, *(f"net{k}" for k in range(200))]]
    assert min(1.05 / (luminance(color) + 0.05) for color in [*colors, PALE]) >= 3


def test_families_share_a_hue_and_a_name_of_ones_own_takes_that_of_its_architecture():
    def hue(*net):
        return mpl.colors.rgb_to_hsv(look(*net)["color"])[0]

    assert hue("resnet18") == pytest.approx(hue("resnet50"), abs=0.04)
    assert hue("mine", "resnet18") == pytest.approx(hue("resnet18"), abs=0.04)
    assert abs(hue("resnet18") - hue("vgg11")) > 0.1


@pytest.mark.parametrize("size", SIZES)
def test_the_theme_is_seaborns_in_the_context_of_the_size(size):
    apply_style(size)
    context, scale, *panel = SIZES[size]
    expected = sns.plotting_context(context, scale)
    assert mpl.rcParams["xtick.labelsize"] == pytest.approx(expected["xtick.labelsize"])
    assert mpl.rcParams["xtick.labelsize"] > 7
    assert mpl.rcParams["lines.linewidth"] == expected["lines.linewidth"]
    assert mpl.rcParams["figure.figsize"] == panel and mpl.rcParams["pdf.fonttype"] == 42  # fonts embedded as they are


def test_a_slide_after_a_column_is_a_slide_again():
    apply_style("slide")
    slide = dict(mpl.rcParams)
    apply_style("column")
    assert mpl.rcParams["font.size"] < slide["font.size"]
    apply_style("slide")
    assert str(dict(mpl.rcParams)) == str(slide)


@pytest.mark.parametrize("label", ["net", "resnet18_narrow, at initialisation", "x" * 60])
def test_a_legend_has_as_many_columns_as_the_figure_is_wide_enough_for(label):
    apply_style()
    figure, _ = new_figure(1, 2, 1, 1)
    finish(figure, "what it means", {f"{label}{k}": line for k in range(6) for line in legend_line(label).values()})
    (legend,) = figure.legends
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    drawn = legend.get_window_extent(renderer)
    assert drawn.x0 >= 0 and drawn.x1 <= figure.bbox.width and drawn.y1 <= figure.bbox.height


def test_names_at_the_ends_of_lines_do_not_touch_and_keep_their_order():
    apply_style()
    figure, panels = new_figure(1, 1, 1, 1)
    for k, end in enumerate([1, 1.01, 1.02, 5]):
        panels[0, 0].plot([1, 2], [3, end], label=f"net{k}")
    label_ends(panels[0, 0], [f"net{k}" for k in range(4)])
    finish(figure, "")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text, renderer) for text in panels[0, 0].texts]
    assert [text.get_text() for text in panels[0, 0].texts] == [f"net{k}" for k in range(4)]
    assert all(high.y0 >= low.y1 - 1 for low, high in pairwise(boxes))


def test_a_dollar_in_a_name_is_a_dollar():
    apply_style()
    figure, panels = new_figure(1, 1, 1, 1)
    panels[0, 0].set_title(plain("a_$1 and $2_b % {"))
    FigureCanvasAgg(figure).draw()
