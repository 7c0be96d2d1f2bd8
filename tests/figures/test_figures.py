"""Figures without looking at pixels: data drawn equals data given, axes are labelled, nothing is cut off."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from relative_stability import datasets
from relative_stability.datasets.prepared import write_prepared
from relative_stability.figures import KINDS, draw
from relative_stability.store import write_dataset
from tests.sweeps import made_up

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    write_dataset(folder / "sweep.nc", made_up(diverged={("cnn", 128, 2)}))
    write_dataset(folder / "linear.nc", made_up(nets=("one_hidden",), linear=True))
    write_dataset(folder / "one_seed.nc", made_up(seeds=1))
    write_dataset(folder / "one_P.nc", made_up(sizes=(64,)))
    bad = {("cnn", size, seed) for size in (32, 128, 512) for seed in range(4)}
    write_dataset(folder / "diverged.nc", made_up(nets=("cnn",), diverged=bad))
    facts, samples = datasets.facts("digits", image_size=12), datasets.load("digits", image_size=12)
    write_prepared(folder / "digits.nc", samples, facts, {})
    return folder


def test_twins_show_images_of_different_classes_whatever_their_pixels(tmp_path):
    """In colour, as whole numbers or not, and sorted by class as folders are."""
    images = np.random.default_rng(0).integers(256, size=(40, 3, 12, 12), dtype=np.uint8)
    samples = datasets.Samples(images, np.arange(40) // 10, np.arange(40) % 10 > 5, tuple("abcd"), "made up")
    facts, drawn = datasets.Facts(24, 16, 3, 12, 4), []
    for name, made in (("whole", samples), ("filtered", samples._replace(images=images / np.float32(255)))):
        write_prepared(tmp_path / f"{name}.nc", made, facts, {})
        numbers, figure = draw("twins", [str(tmp_path / f"{name}.nc")])
        assert numbers["class_name"].values.tolist() == list("abcd")
        assert figure.axes[0].images[0].get_array().shape == (12, 12, 3)
        drawn.append(numbers["pixel"].values)
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-6)


SOURCES = {"twins": "digits.nc", "neurons": "linear.nc"}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def overhang(figure):
    """By how many inches anything that is drawn reaches beyond the page."""
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(figure.canvas.get_renderer()), figure.get_size_inches()
    return max(-drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height)


def test_every_figure_has_labelled_axes_with_something_in_them_and_no_text_cut_off(kind, sources):
    _, figure = draw(kind, [str(sources / SOURCES.get(kind, "sweep.nc"))])
    FigureCanvasAgg(figure)
    for axes in figure.axes:
        assert axes.has_data()
        assert kind == "twins" or (axes.get_xlabel() and axes.get_ylabel())
    assert overhang(figure) < 0.01


@pytest.mark.parametrize("sweep", ["one_seed.nc", "one_P.nc", "diverged.nc", "linear.nc"])
def test_poor_sweeps_are_drawn_without_a_traceback(sweep, sources):
    for kind in ("stability_vs_P", "stability_vs_displacement", "error_vs_P", "error_vs_R"):
        _, figure = draw(kind, [str(sources / sweep)])
        FigureCanvasAgg(figure)
        figure.canvas.draw()


def notes(figure):
    return " ".join(t.get_text() for t in figure.findobj(matplotlib.text.Text)).replace("\n", " ")


def test_figures_say_how_many_seeds_and_what_is_left_out(sources):
    assert "geometric mean over 4 seeds, band ± 1 standard deviation" in notes(
        draw("stability_vs_P", [str(sources / "sweep.nc")])[1]
    )
    assert "1 diverged or collapsed" in notes(draw("error_vs_P", [str(sources / "sweep.nc")])[1])
    assert "one seed, no band" in notes(draw("error_vs_P", [str(sources / "one_seed.nc")])[1])


def test_lines_are_the_means_and_bands_the_spread(sources):
    numbers, figure = draw("stability_vs_P", [str(sources / "sweep.nc")])
    axes = next(a for a in figure.axes if a.get_ylabel().startswith("$R"))
    lines = {line.get_label(): line for line in axes.get_lines()}
    drawn = lines["fc, after training"]
    np.testing.assert_allclose(drawn.get_xdata(), [32, 128, 512])
    np.testing.assert_allclose(drawn.get_ydata(), numbers["R_mean"].sel(net="fc", state="trained").squeeze())
    np.testing.assert_allclose(drawn.get_ydata(), np.array([32, 128, 512]) ** -0.5, rtol=0.05)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert int(numbers["R_runs"].sel(net="cnn", P=128, state="trained").item()) == 3


def test_a_net_looks_the_same_in_every_figure(sources):
    colours = []
    for kind in ("stability_vs_P", "error_vs_P"):
        _, figure = draw(kind, [str(sources / "sweep.nc")])
        handles = {line.get_label().split(",")[0]: line for line in figure.axes[0].get_lines()}
        colours.append((handles["cnn"].get_color(), handles["fc"].get_color()))
    assert colours[0] == colours[1]


def test_twins_are_equally_far_from_the_image(sources):
    numbers, _ = draw("twins", [str(sources / "digits.nc")])
    pixels = numbers["pixel"]
    distance = np.sqrt(((pixels - pixels.isel(twin=0)) ** 2).sum(("channel", "y", "x")))
    np.testing.assert_allclose(distance.isel(twin=1), distance.isel(twin=2), rtol=1e-4)
    np.testing.assert_allclose(distance.isel(twin=3), distance.isel(twin=4), rtol=1e-4)
    assert (distance.isel(twin=3) > distance.isel(twin=1)).all()


def test_neurons_of_a_sweep_without_a_hidden_layer_are_refused(sources):
    from relative_stability import InputError

    with pytest.raises(InputError, match="needs a sweep of nets with one hidden layer"):
        draw("neurons", [str(sources / "sweep.nc")])
