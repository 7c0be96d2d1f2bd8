"""A dataset of one's own through the whole workflow: a folder of pictures, and weights to start from."""

import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

import relative_stability as rs
from tests.workflow.project import copy_project

pytestmark = pytest.mark.workflow

CONFIG = """
data_root: raw
datasets: {mine: {source: imagefolder, folder: pictures, image_size: 12, channels: 1}}
training: {steps: 10, batch_size: 8, evaluations: 2}
nets: {lenet: {width: 0.5, pretrained: start.safetensors}}
stability: {images: 10, displacement: [0.6]}
sweeps: {default: {datasets: [mine], nets: [lenet], P: [16], seeds: 0-1}}
figures: {error_vs_P: {sweep: default}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Pictures of two classes, light above and light below, of sizes that vary."""
    project = copy_project(tmp_path_factory.mktemp("folder") / "project")
    generator = np.random.default_rng(0)
    for number in range(60):
        side = 12 + number % 5
        pixels = generator.integers(100, size=(side, side + 3), dtype=np.uint8)
        pixels[: side // 2 : (-1) ** (number % 2)] += 100
        path = project.path / "raw/pictures" / ("above", "below")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    net = rs.build_net("lenet", 1, 7, 12, seed=5, width=0.5)  # of another number of classes
    save_file(net.state_dict(), project.path / "raw/start.safetensors")
    (project.path / "mine.yaml").write_text(CONFIG)
    return project


def test_a_broken_picture_is_named_and_nothing_is_left(project):
    for made in project.path.glob("results/datasets/*.nc"):  # by another test
        made.unlink()
    victim = project.path / "raw/pictures/above/4.png"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:40])
    result = project.snakemake(config="mine.yaml")
    victim.write_bytes(whole)
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert "pictures/above/4.png cannot be read" in said and "remove or replace it" in said
    assert not list(project.path.glob("results/datasets/*.nc"))


def test_what_is_missing_is_refused_before_any_job(project):
    for old, new, sentence in (
        ("folder: pictures", "folder: picturs", "datasets.mine: folder raw/picturs does not exist"),
        ("start.safetensors", "strat.safetensors", "nets.lenet.pretrained: weights raw/strat.safetensors do not exist"),
        ("start.safetensors", "start.h5", "nets.lenet.pretrained: weights raw/start.h5 are no weights file"),
        ("P: [16]", "P: [1000]", "sweeps.default.P: 1000 is more than the 48 training samples of dataset 'mine'"),
    ):
        with project.edited("mine.yaml", old, new):
            assert sentence in project.refused("mine.yaml")


def test_weights_that_do_not_fit_are_named_with_the_first_mismatch(project):
    with project.edited("mine.yaml", "width: 0.5", "width: 1"):
        result = project.snakemake("--until", "train", config="mine.yaml")
    said = result.stdout + result.stderr
    assert result.returncode != 0
    assert "raw/start.safetensors do not fit the net: '0.weight' is (3, 1, 5, 5) there and (6, 1, 5, 5)" in said


def test_it_runs_and_once_it_has_run_the_raw_files_may_go(project):
    result = project.snakemake(config="mine.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    sweep = rs.open_sweep(project.path / "results/sweeps/default.nc")
    # Both seeds start from the same weights, all but the last layer.
    first, second = sweep.R.sel(state="init").squeeze().values
    assert first > 0 and abs(np.log(first / second)) < 0.7
    (log,) = project.path.glob("results/logs/datasets/mine.*.log")
    assert "of 5 sizes from 15x12 to 19x16, each cropped to the central square" in log.read_text()
    shutil.move(project.path / "raw", project.path / "elsewhere")
    try:
        assert project.jobs("mine.yaml") == {}
        # Another place for the same data makes nothing anew.
        with project.edited("mine.yaml", "data_root: raw", "data_root: elsewhere"):
            assert project.jobs("mine.yaml") == {}
    finally:
        shutil.move(project.path / "elsewhere", project.path / "raw")
