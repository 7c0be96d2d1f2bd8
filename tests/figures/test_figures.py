"""Figures without looking at pixels: data drawn equals data given, axes are labelled, nothing is cut off."""

import re

import matplotlib
import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg

from relative_stability import InputError, datasets
from relative_stability.analysis.claims.diffeomorphisms import check_all
from relative_stability.analysis.claims.verdicts import SIGNS
from relative_stability.analysis.sweep import open_sweep
from relative_stability.core.store import as_json, open_dataset, read_tensors, write_dataset, write_tensors
from relative_stability.datasets.prepared import open_prepared, write_prepared
from relative_stability.figures import KINDS, R_vs_P, draw
from relative_stability.figures.diffeomorphisms import clearest
from relative_stability.figures.style import SIZES
from relative_stability.jobs import stages
from relative_stability.perturbations.temperature import displacement, temperature_range
from relative_stability.training.run import load_net
from tests.sweeps import made_up
from tests.training.gradient_flow.flows import swept
from tests.training.small import CNN, digits, request, train

pytestmark = pytest.mark.slow

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    write_dataset(folder / "sweep.nc", made_up(diverged={("cnn", 128, 2)}))
    write_dataset(folder / "inside.nc", made_up(inside=True))
    moved = made_up().isel(cut=0, drop=True)
    moved.attrs |= {"perturbation": "translation", "sweep": "moved"}
    write_dataset(folder / "moved.nc", moved)
    write_dataset(folder / "linear.nc", made_up(nets=("one_hidden",), linear=True))
    flows, curves = swept()
    write_dataset(folder / "flows.nc", flows)
    write_dataset(folder / "curves.nc", curves)
    write_dataset(folder / "one_seed.nc", made_up(seeds=1))
    write_dataset(folder / "one_P.nc", made_up(sizes=(64,)))
    bad = {("cnn", size, seed) for size in (32, 128, 512) for seed in range(4)}
    write_dataset(folder / "diverged.nc", made_up(nets=("cnn",), diverged=bad))
    facts, samples = datasets.facts("digits", image_size=12), datasets.load("digits", image_size=12)
    write_prepared(folder / "digits.nc", samples, facts, {})
    write_run(folder, digits(), CNN)
    return folder


def write_run(folder, data, net, diverged=False):
    """A run of two seeds as the stage `train` leaves it, beside its dataset; diverged: all seeds have."""
    asked = request(net, P=16, steps=20)
    trained = train(data, net, P=16, seeds=[0, 1], steps=20)
    curves = trained.curves.assign_attrs(request=as_json(asked))
    if diverged:
        curves["diverged_epoch"] = xr.ones_like(curves["diverged_epoch"])
    write_dataset(folder / "run.nc", curves)
    write_tensors(folder / "run.safetensors", trained.weights, {})


def test_twins_show_images_of_different_classes_whatever_their_pixels(tmp_path):
    """In colour, as whole numbers or not, and sorted by class as folders are."""
    images = np.random.default_rng(0).integers(256, size=(40, 3, 12, 12), dtype=np.uint8)
    samples = datasets.Samples(images, np.arange(40) // 10, np.arange(40) % 10 > 5, tuple("abcd"), "made up")
    facts, drawn = datasets.Facts(24, 16, 3, 12, 4), []
    for name, made in (("whole", samples), ("filtered", samples._replace(images=images / np.float32(255)))):
        write_prepared(tmp_path / f"{name}.nc", made, facts, {})
        write_run(tmp_path, open_prepared(tmp_path / f"{name}.nc"), CNN)
        numbers, figure = draw("twins", [str(tmp_path / file) for file in (f"{name}.nc", "run.nc", "run.safetensors")])
        assert numbers["class_name"].values.tolist() == list("abcd")
        assert figure.axes[0].images[0].get_array().shape == (12, 12, 3)
        drawn.append(numbers["pixel"].values)
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-6)


SOURCES = {
    "twins": ["digits.nc", "run.nc", "run.safetensors"], "diffeomorphisms": ["digits.nc"], "depth": ["inside.nc"], "dynamics": ["inside.nc"],
    "neurons": ["curves.nc"], "boundary": ["curves.nc"], "families": ["sweep.nc", "moved.nc"], "explaining": ["sweep.nc", "moved.nc"], "claims": ["inside.nc", "moved.nc"],
    "compression": ["flows.nc"], "linear_error": ["flows.nc"], "linear_stability": ["flows.nc"],
}  # fmt: skip


def paths(kind, sources):
    return [str(sources / name) for name in SOURCES.get(kind, ["sweep.nc"])]


@pytest.fixture(params=KINDS)
def kind(request):  # pytest's own
    return request.param


def overhang(figure):
    """By how many inches anything that is drawn reaches beyond the page."""
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(figure.canvas.get_renderer()), figure.get_size_inches()
    return max(-drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height)


@pytest.mark.parametrize("size", SIZES)
def test_every_figure_has_labelled_axes_with_something_in_them_and_no_text_cut_off(kind, size, sources):
    _, figure = draw(kind, paths(kind, sources), size=size)
    FigureCanvasAgg(figure)
    for axes in figure.axes:
        assert axes.has_data()
        bar = axes.get_label() == "<colorbar>"
        # Panels that share an axis with the one beside or below it leave its name to that.
        left, below = (any(group.joined(axes, other) and other is not axes for other in figure.axes)
                       for group in (axes.get_shared_y_axes(), axes.get_shared_x_axes()))  # fmt: skip
        named = (bar or below or axes.get_xlabel()) and (left or axes.get_ylabel())
        assert kind in ("twins", "diffeomorphisms", "claims") or named
    if kind not in ("twins", "diffeomorphisms", "claims"):
        assert figure.axes[0].get_ylabel() and any(axes.get_xlabel() for axes in figure.axes)
    assert overhang(figure) < 0.01


POOR = {
    "one_seed": {"seeds": 1},
    "one_P": {"sizes": (64,)},
    "diverged": {
        "diverged": {(net, size, seed) for net in ("fc", "cnn") for size in (32, 128, 512) for seed in range(4)}
    },
}


@pytest.mark.parametrize(
    "kind",
    [
        "stability_vs_P",
        "stability_vs_displacement",
        "error_vs_P",
        "error_vs_R",
        "depth",
        "dynamics",
        "families",
        "claims",
    ],
)
@pytest.mark.parametrize("poor", POOR)
def test_poor_sweeps_are_drawn_without_a_traceback_and_say_what_is_missing(kind, poor, tmp_path):
    """Sweeps of one seed, of one P, of nets that all diverged, and in all of them a net with fewer layers."""
    write_dataset(tmp_path / "sweep.nc", made_up(inside=True, **POOR[poor]))
    _, figure = draw(kind, [str(tmp_path / "sweep.nc")])
    FigureCanvasAgg(figure)
    assert overhang(figure) < 0.01
    said = {"one_seed": "one seed, no ba", "one_P": "", "diverged": r"\d+ diverged or collapsed"}[poor]
    assert re.search(said, notes(figure)) or (poor, kind) in (("one_seed", "error_vs_R"), ("one_seed", "claims"))


def named(sweep, names):
    return sweep.assign_coords(net=names)


ODD = {
    "thirty_nets": lambda: made_up(nets=tuple(f"net{k}" for k in range(30)), sizes=(32, 128), seeds=2, inside=True),
    "long_names": lambda: named(made_up(inside=True), ["a_name_of_thirty_characters_no1", "a_name_of_thirty_characters_no2"]),
    "signs_in_names": lambda: named(made_up(inside=True), ["_$1 and $2", "50 % of $\\alpha{$ ^"]),
    "one_net_one_P_one_seed": lambda: made_up(nets=("cnn",), sizes=(64,), seeds=1, inside=True),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_odd_sweeps_are_drawn_with_every_net_named_and_nothing_cut_off(odd, tmp_path):
    sweep = ODD[odd]()
    write_dataset(tmp_path / "sweep.nc", sweep)
    for kind in ("stability_vs_P", "error_vs_R", "depth", "families"):
        _, figure = draw(kind, [str(tmp_path / "sweep.nc")], size="column")
        FigureCanvasAgg(figure)
        assert overhang(figure) < 0.01, kind
        assert all(str(net).replace("$", r"\$") in notes(figure) for net in sweep["net"].values), kind


def test_test_errors_of_zero_are_counted_and_in_no_mean(tmp_path):
    sweep = made_up(nets=("cnn",))
    sweep["test_error"].loc[{"state": "trained", "P": 512}] = [[[0, 0.02, 0, 0]]]
    write_dataset(tmp_path / "sweep.nc", sweep)
    numbers, figure = draw("error_vs_P", [str(tmp_path / "sweep.nc")])
    assert numbers["test_error_runs"].sel(P=512).item() == 1 and "is 0 in 3, which are in no mean" in notes(figure)
    sweep["test_error"][:] = 0
    write_dataset(tmp_path / "sweep.nc", sweep)
    assert "no value above 0" in notes(draw("error_vs_P", [str(tmp_path / "sweep.nc")])[1])


def test_no_letter_of_a_column_is_below_seven_points(sources):
    for kind in ("stability_vs_P", "error_vs_R", "dynamics", "twins", "compression", "claims"):
        _, figure = draw(kind, paths(kind, sources), size="column")
        texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]
        assert min(text.get_fontsize() for text in texts) >= 7, kind
        assert not any("^" in text.get_text() for text in texts), kind  # superscripts are smaller


def test_a_linear_sweep_without_flows_is_drawn(sources):
    for kind in ("stability_vs_P", "stability_vs_displacement", "error_vs_P", "error_vs_R", "claims"):
        _, figure = draw(kind, [str(sources / "linear.nc")])
        FigureCanvasAgg(figure).draw()


@pytest.mark.parametrize("poor", [{"seeds": 1}, {"sizes": (64,)}, {"lost": True}])
def test_poor_flows_are_drawn_too(poor, sources, tmp_path):
    flows, _ = swept()
    flows = flows.isel(seed=[0]) if "seeds" in poor else flows.isel(P=[0]) if "sizes" in poor else flows.copy(deep=True)
    if "lost" in poor:
        flows["diverged"][:] = True
        for name in ("R", "D", "G", "test_error", "compression", "neuron_compression"):
            flows[name].loc[{"state": "trained"}] = np.nan
    write_dataset(tmp_path / "flows.nc", flows)
    for kind in ("compression", "linear_error", "linear_stability", "claims"):
        _, figure = draw(kind, [str(tmp_path / "flows.nc")])
        FigureCanvasAgg(figure).draw()


def notes(figure):
    return " ".join(t.get_text() for t in figure.findobj(matplotlib.text.Text)).replace("\n", " ")


def test_figures_say_how_many_seeds_and_what_is_left_out(sources):
    assert "geometric mean over 4 seeds, band ± 1 standard deviation" in notes(
        draw("stability_vs_P", [str(sources / "sweep.nc")])[1]
    )
    assert "1 diverged or collapsed" in notes(draw("error_vs_P", [str(sources / "sweep.nc")])[1])
    assert "one seed, no band" in notes(draw("error_vs_P", [str(sources / "one_seed.nc")])[1])


def line(axes, name):
    """The line of this label."""
    (found,) = (one for one in axes.get_lines() if one.get_label() == name)
    return found


def test_lines_are_the_means_and_bands_the_spread(sources):
    numbers, figure = draw("stability_vs_P", [str(sources / "sweep.nc")])
    axes = next(a for a in figure.axes if a.get_ylabel().startswith("$R"))
    drawn, part = line(axes, "fc"), numbers.sel(net="fc", state="trained").squeeze()
    np.testing.assert_allclose(drawn.get_xdata(), [32, 128, 512])
    np.testing.assert_allclose(drawn.get_ydata(), part["R_mean"])
    np.testing.assert_allclose(drawn.get_ydata(), np.array([32, 128, 512]) ** -0.5, rtol=0.05)
    assert axes.get_xscale() == axes.get_yscale() == "log"
    edges = axes.collections[0].get_paths()[0].vertices
    for end in (part["R_mean"] / part["R_spread"], part["R_mean"] * part["R_spread"]):
        assert np.isin(np.round(end, 9), np.round(edges[:, 1], 9)).all()
    np.testing.assert_allclose(
        line(axes, "fc, at initialisation").get_ydata(), numbers["R_mean"].sel(net="fc", state="init").squeeze()
    )
    assert int(numbers["R_runs"].sel(net="cnn", P=128, state="trained").item()) == 3


def test_exponents_stand_in_a_table_below(sources):
    numbers, figure = draw("stability_vs_P", [str(sources / "sweep.nc")])
    for axes, quantity in zip(figure.axes, "DGR", strict=True):
        (table,) = axes.tables
        words = [cell.get_text().get_text() for cell in table.get_celld().values()]
        for net in ("fc", "cnn"):
            value, low, high = numbers[f"{quantity}_exponent"].sel(net=net).squeeze().values
            assert f"{value:z.2f} [{low:z.2f}, {high:z.2f}]".replace("-", "\N{MINUS SIGN}") in words
    assert float(numbers["R_exponent"].sel(net="fc", of="value").item()) == pytest.approx(-0.5, abs=0.02)


def test_a_net_looks_the_same_in_every_figure_of_every_config(sources, tmp_path):
    """Alone or among others, in any order, under a config that names its nets differently."""
    write_dataset(tmp_path / "other.nc", made_up(nets=("resnet18_narrow", "cnn"), inside=True))
    found = []
    for kind, file in (
        ("stability_vs_P", "sweep.nc"), ("error_vs_P", "sweep.nc"), ("dynamics", "inside.nc"), ("depth", tmp_path / "other.nc")
    ):  # fmt: skip
        _, figure = draw(kind, [str(sources / file)])
        found.append(
            [line(figure.axes[0], "cnn").__getattribute__(f"get_{what}")() for what in ("color", "marker", "linestyle")]
        )
        dots = figure.axes[0].get_lines()[0]
        assert dots.get_color()
    _, scattered = draw("error_vs_R", [str(sources / "sweep.nc")])
    assert all(look == found[0] for look in found)
    drawn = {matplotlib.colors.to_hex(color) for color in scattered.axes[0].collections[0].get_facecolor()}
    assert matplotlib.colors.to_hex(found[0][0]) in drawn


def test_twins_are_equally_far_from_the_image(sources):
    numbers, _ = draw("twins", paths("twins", sources))
    pixels = numbers["pixel"]
    distance = np.sqrt(((pixels - pixels.isel(twin=0)) ** 2).sum(("channel", "y", "x")))
    np.testing.assert_allclose(distance.isel(twin=1), distance.isel(twin=2), rtol=1e-4)
    np.testing.assert_allclose(distance.isel(twin=3), distance.isel(twin=4), rtol=1e-4)
    assert (distance.isel(twin=3) > distance.isel(twin=1)).all()


def test_outputs_of_twins_are_those_of_the_net_and_their_distances_shares_of_the_typical_one(sources):
    numbers, figure = draw("twins", paths("twins", sources))
    weights, _ = read_tensors(sources / "run.safetensors")
    net = load_net(request(CNN), digits(), weights, "last", 0, torch.device("cpu")).eval()
    twins = torch.from_numpy(numbers["pixel"].values)
    scale, shift = digits().affine()
    others = digits().images[digits().test][:500].float()
    with torch.no_grad():
        found = net((255 * twins * scale + shift).flatten(0, 1)).reshape(*twins.shape[:2], -1)
        far = net(others * scale + shift)
    pairs = (far[:, None] - far).square().sum(-1)
    typical = (pairs.sum() / (len(far) * (len(far) - 1))).sqrt()
    expected = (found - found[0]).norm(dim=-1) / typical
    np.testing.assert_allclose(numbers["moved"].sel(state="trained"), expected, rtol=1e-3, atol=1e-5)
    assert "cnn at P = 16, seed 0" in notes(figure)
    panel = next(axes for axes in figure.axes if axes.get_title() == "how far the output moves")
    full = [line for line in panel.get_lines() if line.get_markerfacecolor() != "white"]
    np.testing.assert_allclose([line.get_xdata()[0] for line in full], expected[1:, 0], rtol=1e-3)


def test_twins_of_a_run_of_which_every_seed_diverged_are_shown_without_a_net(sources, tmp_path):
    write_run(tmp_path, digits(), CNN, diverged=True)
    numbers, figure = draw(
        "twins", [str(sources / "digits.nc"), *(str(tmp_path / f"run.{end}") for end in ("nc", "safetensors"))]
    )
    assert not np.isfinite(numbers["moved"]).any() and "all seeds diverged" in notes(figure)


def test_families_stand_side_by_side_where_they_move_pixels_as_far(sources):
    numbers, figure = draw("families", paths("families", sources))
    assert numbers["family"].values.tolist() == ["diffeomorphism, cut 3, 1 pixel", "translation, 1 pixel"]
    for family, sweep in zip((0, 1), ("sweep.nc", "moved.nc"), strict=True):
        R = open_sweep(sources / sweep).R.isel(P=-1).sel(displacement=1.0).isel(dataset=0)
        R = R.isel(cut=0) if "cut" in R.dims else R
        expected = np.exp(np.log(R).mean("seed"))
        for net in ("fc", "cnn"):
            cell = numbers["mean"].isel(family=family, dataset=0).sel(net=net)
            np.testing.assert_allclose(
                cell.sel(state=["init", "trained"]), expected.sel(net=net, state=["init", "trained"])
            )
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["fc", "cnn"]
    assert "1 diverged or collapsed" in notes(figure) and "at initialisation" in notes(figure)


def test_the_table_of_claims_has_every_verdict_once_with_its_sign(sources):
    numbers, figure = draw("claims", paths("claims", sources))
    rows = check_all([open_sweep(path) for path in paths("claims", sources)])
    rows = [row for row in rows if row.verdict in SIGNS]
    assert sum((numbers["verdict"].values != "").ravel()) == len(
        {(r.claim, r.subject, r.quantity, r.expected) for r in rows}
    )
    for row in rows:
        place = (numbers["statement"] == row.claim) & (numbers["quantity"] == row.quantity)
        cell = numbers.isel(claim=int(np.flatnonzero(place)[0])).sel(subject=row.subject)
        if np.isfinite(row.value):
            assert str(cell["verdict"].values) == row.verdict and float(cell["estimate"][0]) == row.value
    words = notes(figure)
    assert {sign for sign in SIGNS.values() if sign in words} == set(SIGNS.values())
    assert "6. Translations against diffeomorphisms" in words and "1. R is about 1 at initialisation" in words


def test_what_is_selected_is_drawn_alone(sources):
    for select, drawn in (({"net": ["cnn"]}, {"cnn"}), ({"P": [32, 512]}, {"fc", "cnn"})):
        _, figure = draw("error_vs_P", [str(sources / "sweep.nc")], select=select)
        lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
        assert set(lines) == drawn
        assert lines["cnn"].get_xdata().tolist() == select.get("P", [32, 128, 512])
    with pytest.raises(InputError, match=r"select\.net: sweep 'made_up' has none of lenet yet"):
        draw("error_vs_P", [str(sources / "sweep.nc")], select={"net": ["lenet"]})


def test_datasets_stand_in_rows_where_there_are_several_and_are_named_once(sources, tmp_path):
    one = made_up()
    two = xr.concat([one, one.assign_coords(dataset=["other"])], "dataset", data_vars="minimal")
    two.attrs = one.attrs
    write_dataset(tmp_path / "two.nc", two)
    _, figure = draw("stability_vs_displacement", [str(tmp_path / "two.nc")])
    grid = figure.axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == (2, 3)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["(a)  digits", "(b)", "(c)", "(d)  other", "(e)", "(f)"]


def test_an_image_is_deformed_at_every_temperature_and_cut_and_useful_ones_are_marked(sources):
    numbers, figure = draw("diffeomorphisms", [str(sources / "digits.nc")])
    n, images = 12, datasets.load("digits", image_size=12)
    image = images.images[[clearest(open_dataset(sources / "digits.nc", "prepare"))[0]]][0] / 255
    assert numbers["cut"].values.tolist() == [2, 3, 5]
    for cut in numbers["cut"].values:
        low, high = temperature_range(n, int(cut))
        part = numbers.sel(cut=cut)
        assert (part["useful"] == ((part["temperature"] >= low) & (part["temperature"] <= high))).all()
        np.testing.assert_allclose(part["displacement"], [displacement(t, n, int(cut)) for t in part["temperature"]])
        changes = np.abs(part["pixel"] - image).mean(("channel", "y", "x")).values
        assert (np.diff(changes) > 0).all() and changes[0] < 0.06
    marked = [axes.spines["left"].get_linewidth() > 2 for axes in figure.axes if axes.images]
    assert marked == numbers["useful"].values.ravel().tolist() and any(marked) and not all(marked)


def test_points_of_a_single_P_are_as_large_as_those_of_the_largest(sources):
    for file, areas, said in (
        ("one_P.nc", {120}, "P = 64"),
        ("sweep.nc", {20, 70, 120}, "P = 512"),
    ):
        _, figure = draw("error_vs_R", [str(sources / file)])
        drawn = {float(area) for points in figure.axes[0].collections for area in points.get_sizes()}
        assert drawn == areas and said in notes(figure)


def test_depth_and_dynamics_show_every_layer_and_snapshot(sources):
    _, figure = draw("depth", [str(sources / "inside.nc")])
    axes = next(a for a in figure.axes if a.get_ylabel().startswith("$R"))
    assert "P = 512, cut 3, displacement 1 pixel" in notes(figure)
    for net, layers in (("fc", 3), ("cnn", 4)):
        drawn = line(axes, net)
        np.testing.assert_allclose(drawn.get_xdata(), (np.arange(layers) + 1) / layers)
        np.testing.assert_allclose(drawn.get_ydata(), 512 ** (-0.5 * drawn.get_xdata()), rtol=0.05)
    shallow, alone = draw("depth", [str(sources / "inside.nc")], select={"net": ["fc"]})
    assert shallow.sizes["layer"] == 3
    assert [tick.get_text() for tick in alone.axes[0].get_xticklabels()] == ["layer0", "layer1", "layer2"]
    _, figure = draw("dynamics", [str(sources / "inside.nc")])
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert "diffeomorphism" in labels[0] and "noise" in labels[1] and labels[3] == "test error"
    np.testing.assert_allclose(line(figure.axes[2], "cnn").get_xdata(), [1, 10, 100])
    np.testing.assert_allclose(
        line(figure.axes[2], "cnn").get_ydata(), 512 ** (-0.5 * np.array([1, 2, 3]) / 3), rtol=0.05
    )


def test_a_net_that_collapsed_is_in_no_panel_of_the_dynamics(sources, tmp_path):
    write_dataset(tmp_path / "sweep.nc", made_up(inside=True, collapsed={("cnn", 512, 1)}))
    numbers, figure = draw("dynamics", [str(tmp_path / "sweep.nc")])
    for name in ("R_dynamics", "snapshot_test_error"):
        assert (numbers[f"{name}_runs"].sel(net="cnn").isel(snapshot=slice(1, None)) == 3).all()
    assert "1 diverged or collapsed" in notes(figure)


def test_depth_and_dynamics_say_what_a_sweep_lacks(sources):
    for kind in ("depth", "dynamics"):
        with pytest.raises(InputError, match=f"figure {kind} needs sweep 'made_up' to measure it: add {kind} to its"):
            draw(kind, [str(sources / "sweep.nc")])


def test_figures_of_flows_refuse_other_sweeps(sources):
    for kind in ("compression", "linear_error", "linear_stability"):
        with pytest.raises(InputError, match=f"figure {kind} needs a sweep of gradient flows"):
            draw(kind, [str(sources / "sweep.nc")])


def test_learning_curves_of_the_linear_model_stand_beside_the_slopes_of_theory(sources):
    numbers, figure = draw("linear_error", [str(sources / "flows.nc")])
    (axes,) = figure.axes
    assert axes.get_xscale() == axes.get_yscale() == "log"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    for alpha, name, beta in ((0.01, "feature, α = 0.01", 0.7), (100.0, "lazy, α = 100", 0.4)):  # d = 4: 7/10 and 4/10
        measured, part = line(axes, name), numbers.sel(alpha=alpha).squeeze()
        (theory,) = (one for one in axes.get_lines() if one is not measured and one.get_color() == measured.get_color())
        slope = np.polyfit(np.log(theory.get_xdata()), np.log(theory.get_ydata()), 1)[0]
        assert slope == pytest.approx(-beta) and any(
            f"\N{MINUS SIGN}{beta:.2f} for $d$ = 4" in words for words in legend
        )
        np.testing.assert_allclose(measured.get_ydata(), part["test_error_mean"])
        fitted = np.polyfit(np.log(part["P"]), np.log(part["test_error_mean"]), 1)[0]
        assert float(part["exponent"].sel(of="value")) == pytest.approx(fitted)
        assert any(f"\N{MINUS SIGN}{-fitted:.2f} [" in words for words in legend)


def test_compression_is_drawn_against_time_for_every_P_and_against_P(sources):
    numbers, figure = draw("compression", [str(sources / "flows.nc")])
    left, right = figure.axes[:2]
    solid = [line for line in left.get_lines() if line.get_linestyle() == "-"]
    assert len(solid) == 3 and all(line.get_ydata()[-1] > line.get_ydata()[0] >= 1 for line in solid)
    guide = right.get_lines()[-1]
    assert np.polyfit(np.log(guide.get_xdata()), np.log(guide.get_ydata()), 1)[0] == pytest.approx(0.5)
    limit = line(right, "α → 0").get_ydata()
    np.testing.assert_allclose(limit, numbers["limit_mean"].squeeze())
    fitted = line(right, "feature, at t*").get_ydata()
    np.testing.assert_allclose(fitted, numbers["fitted_mean"].sel(alpha=0.01).squeeze())


def test_stability_of_flows_is_drawn_against_P_and_time(sources):
    numbers, figure = draw("linear_stability", [str(sources / "flows.nc")])
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert len(labels) == 6 and sum("time" in label for label in labels) == 3
    drawn = line(figure.axes[2], "feature, α = 0.01")
    np.testing.assert_allclose(drawn.get_ydata(), numbers["R_mean"].sel(alpha=0.01, state="trained").squeeze())


def test_neurons_are_those_of_the_first_seed_from_the_start_to_the_end(sources):
    _, figure = draw("neurons", [str(sources / "curves.nc")])
    _, curves = swept()
    weights = curves.hidden_weight.isel(seed=0)
    points = [axes.collections[0].get_offsets() for axes in figure.axes]
    assert len(points) == 6
    first = weights.isel(alpha=0, time=0)
    np.testing.assert_allclose(points[0][:, 0], first.isel(feature=0))
    np.testing.assert_allclose(points[0][:, 1], np.linalg.norm(first.isel(feature=slice(1, None)), axis=-1), rtol=1e-6)
    last = weights.isel(alpha=0).dropna("time").isel(time=-1)
    np.testing.assert_allclose(points[2][:, 0], last.isel(feature=0))
    assert "λ/λ(0) = 1," in figure.axes[0].get_title(loc="left")


def test_the_film_has_a_frame_for_every_time_with_weights(sources, tmp_path):
    from PIL import Image

    numbers, _ = draw("neurons", [str(sources / "curves.nc")])
    write_dataset(tmp_path / "neurons.nc", numbers)
    stages.animation("neurons", str(tmp_path / "neurons.nc"), str(tmp_path / "neurons.gif"))
    there = np.isfinite(numbers["parallel"].isel(neuron=0)).any("alpha").sum()
    with Image.open(tmp_path / "neurons.gif") as film:
        assert film.n_frames == int(there) > 3
    assert [path.name for path in tmp_path.iterdir()] in (["neurons.nc", "neurons.gif"], ["neurons.gif", "neurons.nc"])


def test_the_boundary_is_drawn_where_labels_change(sources):
    numbers, figure = draw("boundary", [str(sources / "curves.nc")])
    panel = figure.axes[0]
    edges = sorted(line.get_xdata()[0] for line in panel.get_lines() if len(set(line.get_xdata())) == 1)
    assert edges == pytest.approx([-0.3, 1.18549])
    white, dark = (points.get_offsets() for points in panel.collections if len(points.get_offsets()) > 1)
    inside = (white[:, 0] > -0.3) & (white[:, 0] < 1.18549)
    assert inside.all() and len(white) + len(dark) == 96
    # What is learnt at small alpha hardly depends on the uninformative input.
    plane = numbers["output_plane"].sel(alpha=0.01)
    assert float(plane.std("x_perpendicular").mean()) < 0.3 * float(plane.std("x_parallel").mean())


def test_figures_that_compare_two_rules_of_batch_normalisation_say_so(sources):
    sweep = open_dataset(sources / "sweep.nc").assign_attrs(batch_norm="auto")
    assert "cnn" in sweep["architecture"].values and "fc" in sweep["architecture"].values
    words = "batch normalisation by each batch at initialisation, by running statistics after training"
    for rule, nets, said in (("auto", ["fc", "cnn"], True), ("auto", ["fc"], False), ("clean", ["fc", "cnn"], False)):
        shown = sweep.sel(net=nets).assign_attrs(batch_norm=rule)
        assert (words in notes(R_vs_P.draw(R_vs_P.numbers(shown)))) is said
