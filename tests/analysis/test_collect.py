"""The stage `collect` on files of runs: what it takes from the former sweep equals what it would read."""

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from relative_stability import InputError
from relative_stability.core.store import open_dataset, read_attributes, write_dataset
from relative_stability.jobs import stages
from relative_stability.plan.grid import build_grid
from tests.runs import make_runs

pytestmark = pytest.mark.slow

BASE = {
    "datasets": {"digits": {"image_size": 12}, "large": {"source": "digits"}, "stripe": {"dimension": 3}, "wide": {"source": "stripe", "dimension": 5}},
    "nets": {"few": {"architecture": "one_hidden", "width": 4}, "many": {"architecture": "one_hidden", "width": 7}},
    "training": {"steps": 40, "batch_size": 16, "evaluations": 12},
}  # fmt: skip
INSIDE = {
    "datasets": ["digits"], "nets": ["fc", "lenet"], "P": [64, 300], "seeds": ["0-1", "4-5"],
    "observables": ["output", "depth", "dynamics"], "training": {"snapshots": 9},
    "stability": {"cut": [5, 3], "displacement": [1.2, 0.6]},
}  # fmt: skip
LINEAR = {
    "datasets": ["stripe"], "nets": ["few"], "P": [16, 64], "seeds": ["0-1"], "training": {"loss": "hinge"},
    "stability": {"perturbation": "subspace", "magnitude": [0.3, 1]},
}  # fmt: skip
OUT = "results/sweeps/s.nc"


def fails(run, seed):
    return {(16, 1): "diverged", (64, 0): "diverged", (64, 4): "collapsed"}.get((run.P, seed), "")


@pytest.fixture
def swept(schema, tmp_path, monkeypatch):
    """A function from a sweep of a config, and changes of the config, to the sweep with all its files made."""
    monkeypatch.chdir(tmp_path)

    def made(entry, torch_version="2.8", **config):
        raw = {**copy.deepcopy(BASE), **config, "sweeps": {"s": entry}}
        sweep = build_grid(raw, schema).sweeps[0]
        missing = [m for m in sweep.measurements if not Path(m.path).exists()]
        make_runs(missing, fails, torch_version)
        for path in (path for m in missing for path in (m.path, m.run.curves)):
            os.utime(path, (1, 1))  # long before any sweep
        return sweep

    return made


def collect(sweep, anew=False):
    """The sweep file, as bytes. anew: without the one of last time."""
    if anew:
        Path(OUT).unlink(missing_ok=True)
    stages.collect(json.loads(sweep.json), json.loads(sweep.runs_json), sweep.mark, OUT)
    return Path(OUT).read_bytes()


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that are read from now on."""
    names, real = [], xr.open_dataset

    def spied(path, **options):
        names.append(str(path))
        return real(path, **options)

    monkeypatch.setattr(xr, "open_dataset", spied)
    return names


def files(measurements):
    return {path for m in measurements for path in (m.path, m.run.curves)}


@pytest.mark.parametrize(
    ("entry", "changes"),
    [
        (INSIDE, {"P": [16, 64, 300]}),  # with more records, and a seed that diverged
        (INSIDE, {"P": [300]}),  # with fewer
        (INSIDE, {"seeds": ["0-1", "2", "4-5"]}),
        (INSIDE, {"nets": ["cnn", "fc", "lenet"]}),
        (INSIDE, {"nets": ["lenet", "fc"]}),
        (INSIDE, {"nets": ["fc"]}),  # with fewer layers
        (INSIDE, {"datasets": ["large", "digits"]}),
        (INSIDE, {"observables": ["output"]}),
        (INSIDE, {"stability": {"cut": [5, 3], "displacement": [1.2]}}),
        (INSIDE, {"training": {"snapshots": 3}}),
        (LINEAR, {"datasets": ["stripe", "wide"], "nets": ["many", "few"]}),  # with more features and neurons
        (LINEAR, {"nets": ["fc", "few"]}),  # some with hidden weights
    ],
    ids=["P", "fewer P", "seeds", "net", "order", "fewer nets", "dataset", "observables", "settings", "snapshots", "linear", "some"],
)  # fmt: skip
def test_what_is_added_removed_or_changed_gives_what_reading_everything_gives(swept, entry, changes):
    """There and back."""
    one, other = swept(entry), swept({**entry, **changes}, torch_version="2.9")
    scratch = [collect(sweep, anew=True) for sweep in (one, other)]
    assert scratch[0] != scratch[1]
    for sweep, expected in zip((one, other, one), scratch * 2, strict=False):
        assert collect(sweep) == expected


def test_an_attribute_stands_where_it_is_true_of_all_runs_and_what_made_them_is_named_in_full(swept):
    one, other = swept(LINEAR), swept({**LINEAR, "P": [16, 32, 64]}, torch_version="2.9")
    for sweep, expected in ((one, "2.8"), (other, "2.8, 2.9"), (one, "2.8")):
        collect(sweep)
        made = read_attributes(OUT)
        assert (made["torch_version"], made["device"], made["training_device"]) == (expected, "cpu", "cpu")
        assert "wall_time_s" not in made and made["images"]


def test_replaced_runs_are_read_and_all_others_taken(swept, opened):
    one, other = swept(INSIDE), swept(INSIDE, nets={**BASE["nets"], "fc": {"training": {"learning_rate": 0.02}}})
    scratch = collect(other, anew=True)
    collect(one, anew=True)
    opened.clear()
    assert collect(other) == scratch
    assert set(opened) == {OUT} | files(m for m in other.measurements if m.run.net == "fc")


def test_a_run_that_is_added_is_the_only_one_that_is_read(swept, opened):
    collect(swept(INSIDE))
    opened.clear()
    sweep = swept({**INSIDE, "nets": ["fc", "lenet", "cnn"], "seeds": ["0-1", "4-5"]})
    collect(sweep)
    new = files(m for m in sweep.measurements if m.run.net == "cnn")
    assert sorted(opened) == sorted({OUT} | new)
    opened.clear()
    collect(sweep)
    assert opened == [OUT]


def test_a_run_that_was_made_again_is_read_again(swept, opened):
    """Its digest is the same, and its numbers need not be: another device rounds otherwise."""
    sweep = swept(INSIDE)
    collect(sweep)
    path = sweep.measurements[0].path
    found = open_dataset(path)
    write_dataset(path, found.assign(D=found["D"] * (1 + 1e-12)))
    opened.clear()
    after = collect(sweep)
    run = files(m for m in sweep.measurements if m.run == sweep.measurements[0].run)
    assert set(opened) == {OUT} | run
    assert after == collect(sweep, anew=True)


def spoilt(kind):
    """The former sweep, made useless."""
    sweep = open_dataset(OUT)
    request, parts = json.loads(sweep.attrs["request"]), json.loads(sweep.attrs["parts"])
    if kind in ("cut", "empty", "other"):
        whole = Path(OUT).read_bytes()
        content = {"cut": whole[: len(whole) // 2], "empty": b"", "other": b"not a result\n" * 20}[kind]
        Path(OUT).write_bytes(content)
        return
    if kind == "version":
        request["version"] -= 1
    elif kind == "code":
        parts["code"] = "0"
    elif kind == "runs":
        parts["of"] = {}
    elif kind == "labels":
        sweep = sweep.isel(seed=slice(1, None))
    elif kind == "variables":
        sweep = sweep.drop_vars("R")
    if kind in ("version", "code"):
        sweep["D"] = sweep["D"] * 2  # to be seen if it were taken
    sweep.attrs |= {"request": json.dumps(request), "parts": "{" if kind == "words" else json.dumps(parts)}
    if kind == "plain":
        del sweep.attrs["parts"]
    write_dataset(OUT, sweep)


@pytest.mark.parametrize(
    "kind", ["cut", "empty", "other", "version", "code", "runs", "labels", "variables", "plain", "words"]
)
def test_a_former_sweep_that_is_of_no_use_is_ignored(swept, opened, kind):
    sweep = swept(INSIDE)
    scratch = collect(sweep)
    spoilt(kind)
    opened.clear()
    assert collect(sweep) == scratch
    assert set(opened) == {OUT} | files(sweep.measurements)


@pytest.mark.parametrize(("which", "rule"), [("curves", "train"), ("stability", "measure")])
def test_a_broken_file_of_a_new_run_is_named_with_the_rule_that_remakes_it(swept, which, rule):
    before = collect(swept(LINEAR))
    sweep = swept({**LINEAR, "P": [16, 32, 64]})
    new = next(m for m in sweep.measurements if m.run.P == 32)
    path = {"curves": new.run.curves, "stability": new.path}[which]
    write_dataset(path, open_dataset(path).assign_attrs(digest="0"))
    with pytest.raises(InputError, match=f"{path} is not .*its digest is 0.*rule {rule} remakes it"):
        collect(sweep)
    Path(path).unlink()
    with pytest.raises(InputError, match=f"{path} is not there; rule {rule} makes it"):
        collect(sweep)
    assert Path(OUT).read_bytes() == before


@pytest.mark.parametrize("factor", [1 + 1e-15, 1.1])
def test_what_runs_share_may_differ_by_rounding_alone(swept, factor):
    sweep = swept(INSIDE)
    found = open_dataset(path := sweep.measurements[0].path)
    moved = found["rms_displacement"]
    write_dataset(path, found.assign(rms_displacement=moved * factor))
    if factor > 1.01:
        with pytest.raises(InputError, match=r"rms_displacement is .* their files do not belong together"):
            collect(sweep)
        return
    scratch = collect(sweep)
    np.testing.assert_allclose(open_dataset(OUT)["rms_displacement"].values[0], moved.values, rtol=1e-14)
    assert collect(sweep) == scratch


def test_a_net_may_lack_an_observable_that_others_have(swept):
    """As where a sweep is drawn half done."""
    sweep = swept(INSIDE)
    runs = json.loads(sweep.runs_json)
    for run in runs:
        if run["net"] == "lenet":
            del run["stability"]["depth"]
    stages.collect(json.loads(sweep.json), runs, sweep.mark, OUT)
    found = open_dataset(OUT)
    assert found["layer_name"].values.tolist() == [["block0", "block1", "block2"], ["", "", ""]]
    assert found["R_depth"].sel(net="fc").notnull().any() and found["R_depth"].sel(net="lenet").isnull().all()
    assert found["R"].sel(net="lenet", state="init").notnull().any()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"displacement": [1.2, 0.7]}, r"displacement is \[1.2, 0.6\] in one run .* \[1.2, 0.7\] in another"),
        ({"displacement": [1.2]}, r"rms_displacement is \[.*\] in one run .* \[.*nan.*\] in another"),
    ],
)
def test_runs_measured_at_other_settings_are_refused(swept, other, said):
    sweep = swept({**INSIDE, "observables": ["output"]})
    found = open_dataset(path := sweep.measurements[-1].path)
    found = found.isel(displacement=slice(len(other["displacement"]))).assign_coords(other)
    write_dataset(path, found)
    with pytest.raises(InputError, match=f"{said}: their files do not belong together"):
        collect(sweep)
