"""What Snakemake itself prints when something is wrong: one sentence, before any job starts where that can be."""

import os
import shutil

import pytest

from tests.workflow.project import CONFIG, Project, copy_project

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("bad") / "project")


def test_a_bad_config_is_refused_before_the_first_job_in_one_sentence(project):
    with project.edited(CONFIG, "steps: 60", "stesp: 60"):
        said = project.refused(CONFIG)
    assert (
        "training: key 'stesp' is unknown; did you mean 'steps'? Known: alpha, augmentation, augmentation_cut" in said
    )
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("training: {steps: 60\nsweeps: {}\n", "bad.yaml, line 2: expected ',' or '}'"),
        ("engine: &a {seeds: *a}\n", "bad.yaml: engine is refused: its aliases repeat themselves"),
        (None, "bad.yaml does not exist; give configs like config/*.yaml"),
    ],
)
def test_a_config_that_cannot_be_read_is_one_sentence_too(project, text, sentence):
    if text is not None:
        (project.path / "bad.yaml").write_text(text)
    said = project.refused("bad.yaml")
    (project.path / "bad.yaml").unlink(missing_ok=True)
    assert sentence in said
    assert "Traceback" not in said and "Error:" not in said.replace("WorkflowError:", "")


def test_settings_on_the_command_line_have_the_types_of_the_schema(project):
    settings = ["--config", "engine={compile: true, checkpoint_minutes: 1e-1}", "partial=true"]
    result = project.snakemake("--dry-run", *settings)
    assert "partial: no run of any sweep is there yet" in result.stdout + result.stderr


def test_an_empty_config_says_how_to_lay_one_over_the_default(project):
    (project.path / "mine.yaml").write_text("training: {steps: 10}\n")
    assert "snakemake --configfile config/config.yaml YOURS.yaml" in project.refused("mine.yaml")
    both = project.snakemake("--dry-run", "--configfile", "config/config.yaml", "mine.yaml", config=None)
    assert both.returncode == 0, both.stderr


def test_doubtful_displacements_warn_and_run(project):
    with project.edited(CONFIG, "displacement: [0.5, 1]", "displacement: [0.5, 3]"):
        result = project.snakemake("--dry-run")
    assert result.returncode == 0
    assert "displacement 3 lies outside the useful range of 0.5 to 1.273 pixels" in result.stdout + result.stderr


def test_a_broken_result_is_named_with_the_rule_that_remakes_it(finished):
    (path,) = finished.path.glob("results/stability/output/digits/cnn/P64/*.nc")
    whole, times = path.read_bytes(), path.stat()
    sweep = finished.path / "results/sweeps/default.nc"
    kept, made = sweep.read_bytes(), sweep.stat()
    (mark,) = finished.path.glob("results/.requests/sweeps/default.nc.*")
    said_made = mark.read_text()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        result = finished.snakemake("results/sweeps/default.nc", "--forcerun", "collect")
    finally:
        path.write_bytes(whole)
        os.utime(path, (times.st_atime, times.st_mtime))
        left = sweep.read_bytes()
        os.utime(sweep, ns=(made.st_atime_ns, made.st_mtime_ns))
        wanted = finished.jobs()
        mark.write_text(said_made)
    assert result.returncode != 0
    said = result.stdout + result.stderr
    assert f"{path.relative_to(finished.path)} is not a complete result file" in said
    assert "delete it and run snakemake again: rule measure remakes it" in said
    assert left == kept  # for the next job to go on from
    assert wanted["collect"] == 1, "the former sweep looks like one of the files of now"
    assert finished.jobs() == {}


def test_divergence_shows_in_claims_and_log_and_nowhere_else(project):
    """One net at a rate that cannot work: the run ends well, is marked, and enters no average."""
    import numpy as np

    import relative_stability as rs

    (project.path / "diverge.yaml").write_text(
        """
training: {steps: 20, batch_size: 16}
nets: {lenet: {training: {learning_rate: 1.0e+6}}}
stability: {images: 50}
sweeps: {default: {datasets: [digits], nets: [lenet], P: [16], seeds: 0-1}}
figures: {stability_vs_P: {sweep: default}}
"""
    )
    result = project.snakemake(config="diverge.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "seed 0 diverged: its loss is not finite at epoch" in result.stdout + result.stderr
    sweep = rs.open_sweep(project.path / "results/sweeps/default.nc")
    assert sweep.diverged.all() and np.isnan(sweep.R.sel(state="trained")).all()
    page = (project.path / "results/claims.md").read_text()
    assert "**2 of the 2 trained nets diverged**" in page
    assert "digits, lenet, P = 16, seed 1 (epoch" in page
    (log,) = project.path.glob("results/logs/training/digits/lenet/P16/*.log")
    assert "WARNING seed 0 diverged" in log.read_text()


def test_what_stands_where_a_result_belongs_is_named_before_any_job(finished, tmp_path):
    project = Project(shutil.copytree(finished.path, tmp_path / "project"))
    curves = next(project.path.glob("results/training/digits/fc/P16/*.nc"))
    curves.unlink()
    os.mkfifo(curves)
    said = project.dry_run()
    assert said.returncode != 0
    assert f"{curves.relative_to(project.path)} is no file, and stands where a result belongs: remove it" in said.stdout
    assert "Traceback" not in said.stdout
