"""What is published in docs/reproduction is whole, of one config, and says of its claims what its sweeps say."""

import csv
import re

import pytest
import yaml

import relative_stability as rs
from relative_stability.analysis.claims.diffeomorphisms import check_all
from relative_stability.cli.publish import MAX_PICTURE
from relative_stability.plan.config import check_config
from relative_stability.plan.seeds import parse_seeds

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(root):
    return root / "docs/reproduction"


@pytest.fixture(scope="module")
def config(folder, schema):
    """Checked as a config, and not planned: that would need the pictures, which are not part of the project."""
    return check_config(yaml.safe_load((folder / "config.yaml").read_text()), schema)


@pytest.fixture(scope="module")
def sweeps(folder, config):
    return [rs.open_sweep(folder / f"sweeps/{name}.nc") for name in config["sweeps"]]


def test_sweeps_are_those_of_the_config_and_whole(folder, config, sweeps):
    assert {file.stem for file in (folder / "sweeps").iterdir()} == set(config["sweeps"])
    for sweep, planned in zip(sweeps, config["sweeps"].values(), strict=True):
        for axis, key in (("dataset", "datasets"), ("net", "nets"), ("P", "P")):
            assert sorted(sweep[axis].values.tolist()) == sorted(planned[key]), (sweep.attrs["sweep"], axis)
        assert sweep["seed"].values.tolist() == list(parse_seeds(planned["seeds"]))
        assert "missing" not in sweep.attrs
        assert sweep.attrs["device"] and sweep.attrs["training_device"]
        failed = (sweep.diverged | sweep.collapsed).values
        assert sweep.R.isel(state=0).notnull().all() and failed.mean() < 0.5


def test_pictures_are_those_of_the_config_and_small(folder, config):
    pictures = {picture.stem: picture.stat().st_size for picture in (folder / "figures").iterdir()}
    assert set(pictures) == set(config["figures"])
    assert max(pictures.values()) <= MAX_PICTURE


def test_claims_are_what_the_sweeps_say(folder, sweeps):
    with (folder / "claims.csv").open(encoding="utf-8", newline="") as file:
        published = list(csv.DictReader(file))
    found = check_all(sweeps)
    assert len(published) == len(found) > 10
    for row, again in zip(published, found, strict=True):
        assert (row["claim"], row["subject"], row["verdict"]) == (again.claim, again.subject, again.verdict)
        for name in ("value", "low", "high"):
            assert float(row[name]) == pytest.approx(getattr(again, name), rel=0.01, nan_ok=True), row
    page = (folder / "claims.md").read_text()
    assert all(row["quantity"] in page for row in published)


def test_tables_of_the_page_are_those_of_the_claims(folder):
    """Rows of nets have numbers of the sweep `curves`; rows of sweeps have R after training of the nets above them."""
    with (folder / "claims.csv").open(encoding="utf-8", newline="") as file:
        claims = list(csv.DictReader(file))
    seen = 0
    for first, heads, rows in tables((folder / "README.md").read_text()):
        for name, *cells in rows:
            for head, cell in zip(heads, cells, strict=True):
                place = ("curves", name, head) if first == "net" else (name.strip("`"), head, "R after training")
                found = [row for row in claims if (row["sweep"], row["subject"]) == place[:2]]
                (row,) = [row for row in found if re.match(rf"{place[2]}(,| at P| over|$)", row["quantity"])]
                said = [float(number) for number in re.findall(r"-?\d+\.?\d*", cell.replace("−", "-"))]
                meant = [float(f"{float(row[of]):.2g}") for of in ("value", "low", "high")]
                assert said in (meant, meant[:1]), (place, cell, meant)
                seen += 1
    assert seen > 50


def tables(page):
    """First cell, other heads and rows of the tables of a page that stand by nets or by sweeps."""
    for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        (first, *heads), _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()]
        if first in ("net", "sweep"):
            yield first, heads, rows


def test_pages_show_every_figure_and_no_machine_is_named(folder, config):
    page = (folder / "README.md").read_text()
    shown = set(re.findall(r"\]\(figures/(\w+)\.png\)", page))
    assert shown == set(config["figures"])
    for file in folder.rglob("*"):
        if file.is_file():
            assert not re.search(rb"/(tmp|home|root|work)/", file.read_bytes()), file
