"""The golden run, opened and checked: dimensions, coordinates, values, and what every file says of itself."""

import json
import re

import numpy as np
import pytest
import xarray as xr

import relative_stability as rs
from relative_stability.core.store import read_tensors

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def results(finished):
    return finished.path / "results"


@pytest.fixture(scope="module")
def default(results):
    return rs.open_sweep(results / "sweeps/default.nc")


def test_every_promised_file_is_there(results):
    for figure in ("twins", "stability_vs_P", "error_vs_R", "neurons", "boundary", "compression"):
        for suffix in ("pdf", "png", "nc"):
            assert (results / f"figures/{figure}.{suffix}").stat().st_size > 1000
    assert (results / "claims.md").read_text().startswith("# Claims")
    assert (results / "claims.csv").read_text().startswith("claim,sweep,")
    assert len(list(results.glob("training/digits/*/P*/seeds0-1.*.safetensors"))) == 4
    assert not list(results.rglob("*.tmp"))


def test_the_sweep_has_the_layout_of_the_design(default):
    assert dict(default.R.sizes) == {
        "dataset": 1,
        "net": 2,
        "P": 2,
        "seed": 2,
        "state": 2,
        "cut": 1,
        "displacement": 2,
    }
    assert default.net.values.tolist() == ["fc", "cnn"]
    assert default.P.values.tolist() == [16, 64]
    assert default.state.values.tolist() == ["init", "trained"]
    one = default.R.sel(dataset="digits", net="cnn", state="trained", cut=3).mean("seed")
    assert one.sizes == {"P": 2, "displacement": 2}
    for name in ("D", "G", "R", "R_interval", "test_error", "train_loss"):
        assert default[name].attrs["long_name"] and default[name].attrs["units"], name


def test_the_numbers_make_sense(default):
    assert np.isfinite(default.R).all() and (default.R > 0).all()
    np.testing.assert_allclose(default.R, default.D / default.G)
    low, high = default.R_interval.sel(bound="lower"), default.R_interval.sel(bound="upper")
    assert (low <= default.R).all() and (high >= default.R).all()
    # A seed starts from the same weights at every P, and is measured on the same images.
    initial = default.R.sel(state="init")
    np.testing.assert_allclose(initial.isel(P=0), initial.isel(P=1))
    assert (
        float(default.test_error.sel(state="trained").isel(P=-1).mean())
        < 0.7
        < float(default.test_error.sel(state="init").mean())
    )
    assert not default.diverged.any()


def test_the_linear_sweep_has_alpha_and_time(results):
    linear = rs.open_sweep(results / "sweeps/linear.nc")
    assert linear.R.dims == ("dataset", "net", "P", "seed", "alpha", "state", "magnitude")
    assert linear.R_dynamics.dims == ("dataset", "net", "P", "seed", "alpha", "time", "magnitude")
    feature, lazy = (linear["compression"].sel(state="trained", alpha=alpha) for alpha in (0.0005, 100))
    assert (linear["compression"].sel(state="init") == 1).all()
    assert (feature > 1.5).all() and (abs(np.log(lazy)) < 0.4).all()
    assert linear.met.all()
    (curves,) = results.glob("training/stripe/one_hidden/P128/*.nc")
    weights = xr.open_dataset(curves).hidden_weight
    assert weights.dims[-3:] == ("time", "neuron", "feature") and weights.sizes["neuron"] == 50
    assert (results / "figures/neurons.gif").stat().st_size > 10_000


def test_every_result_says_what_made_it(results):
    files = [p for folder in ("training", "stability", "datasets") for p in results.glob(f"{folder}/**/*.nc")]
    assert len(files) == 6 + 8 + 2
    for path in files:
        with xr.open_dataset(path) as found:
            assert found.attrs["digest"] in path.name
            assert json.loads(found.attrs["request"])["stage"] == found.attrs["stage"]
            assert found.attrs["package_version"] == rs.__version__
            if found.attrs["stage"] in ("train", "measure"):
                assert found.attrs["device"] == "cpu" and found.attrs["torch_version"]
                assert found.attrs["wall_time_s"] > 0


def test_weights_can_be_loaded_into_the_net(results):
    (path,) = results.glob("training/digits/cnn/P64/*.safetensors")
    tensors, attributes = read_tensors(path)
    request = json.loads(attributes["request"])
    assert request["P"] == 64
    net = rs.build_net("cnn", 1, 10, 12, seed=0, width=request["net"]["width"])
    net.load_state_dict({k.removeprefix("best/"): t[1] for k, t in tensors.items() if k.startswith("best/")})
    assert {key.split("/")[0] for key in tensors} == {"init", "best", "last"}


def test_logs_say_who_ran_and_how_it_went(results):
    (log,) = results.glob("logs/training/digits/cnn/P64/*.log")
    first, *rest = log.read_text().splitlines()
    assert f"relative-stability {rs.__version__}, commit" in first
    assert any("test error" in line for line in rest)


def test_training_again_gives_the_same_bits(finished, results):
    """Same config, same numbers: one run removed and made again."""
    (curves,) = results.glob("training/digits/fc/P64/*.nc")
    (weights,) = results.glob("training/digits/fc/P64/*.safetensors")
    before = read_tensors(weights)[0]
    with xr.open_dataset(curves) as found:
        errors = found.test_error.values
    kept = {path: path.read_bytes() for path in (curves, weights)}
    times = {path: path.stat() for path in kept}
    curves.unlink()
    weights.unlink()
    result = finished.snakemake(str(curves.relative_to(finished.path)))
    assert result.returncode == 0, result.stderr
    assert all(tensor.equal(before[name]) for name, tensor in read_tensors(weights)[0].items())
    with xr.open_dataset(curves) as found:
        np.testing.assert_array_equal(found.test_error.values, errors)
    import os

    for path, content in kept.items():
        path.write_bytes(content)
        os.utime(path, (times[path].st_atime, times[path].st_mtime))


def test_what_was_found_is_published_in_a_small_folder(finished, tmp_path):
    """Sweeps as they are, figures in fewer bytes, claims, the config, and a page that says what each stage took."""
    published = tmp_path / "published"
    ran = finished.command_line("publish", "config/test.yaml", str(published))
    assert ran.returncode == 0, ran.stderr
    results = finished.path / "results"
    for name in ("default", "linear"):
        xr.testing.assert_identical(
            rs.open_sweep(published / f"sweeps/{name}.nc"), rs.open_sweep(results / f"sweeps/{name}.nc")
        )
    for name in ("claims.md", "claims.csv"):
        assert (published / name).read_bytes() == (results / name).read_bytes()
    assert (published / "config.yaml").read_bytes() == (finished.path / "config/test.yaml").read_bytes()
    pictures = {picture.name: picture.stat().st_size for picture in (published / "figures").glob("*.png")}
    assert set(pictures) == {picture.name for picture in (results / "figures").glob("*.png")}
    assert all(size < (results / "figures" / name).stat().st_size for name, size in pictures.items())
    page = (published / "made.md").read_text()
    for stage in ("prepare", "train", "measure", "collect", "figure", "check_claims"):
        row = re.search(rf"\| {stage} +\| (\d+) +\| (\d+) +\| \d+ s +\| \d+ s +\|", page)
        assert row and int(row[2]) >= int(row[1]) > 0, (stage, page)
    made = rs.open_sweep(results / "sweeps/default.nc").attrs
    assert made["commit"] in page and made["torch_version"] in page and made["device"] in page


def test_what_is_not_of_the_config_is_not_published(finished, tmp_path):
    with finished.edited("config/test.yaml", "P: [16, 64]", "P: [16, 32]"):
        ran = finished.command_line("publish", "config/test.yaml", str(tmp_path / "published"))
    assert ran.returncode == 2
    assert re.search(r"results/sweeps/default.nc is not what config/test.yaml asks for: run snakemake", ran.stderr)
    assert not (tmp_path / "published").exists()


def test_a_trained_net_is_handed_out_with_its_images(results, default):
    (curves,) = results.glob("training/digits/cnn/P64/*.nc")
    run = rs.load_run(curves, seed=1)
    wrong = (run.net(run.images).argmax(1) != run.labels).double().mean().item()
    cell = default.sel(dataset="digits", net="cnn", P=64, seed=1)
    assert wrong == pytest.approx(cell.test_error.sel(state="trained").item(), abs=1e-6)
    R = rs.RelativeStability(run.images, displacement=1)
    assert R(run.net).item() == pytest.approx(cell.R.sel(state="trained", displacement=1).item(), rel=0.5)
    initial, last = rs.load_run(curves, 1, "init"), rs.load_run(curves, 1, "last")
    assert R(initial.net) != R(run.net) and not initial.net.training
    assert R(last.net).isfinite()
    (flow,) = results.glob("training/stripe/one_hidden/P32/*.nc")
    for path, options, sentence in (
        (results / "nothing.nc", {}, "nothing.nc does not exist; runs lie in results/training"),
        (results / "sweeps/default.nc", {}, "is no trained run"),
        (flow, {}, "is a gradient flow"),
        (curves, {"seed": 7}, "seed 7 is not in .* which holds seeds 0, 1"),
        (curves, {"state": "end"}, "state 'end' is unknown"),
    ):
        with pytest.raises(rs.InputError, match=sentence):
            rs.load_run(path, **options)
