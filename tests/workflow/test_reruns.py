"""What reruns when: the table of the design, by dry runs on a finished run."""

import os
import shutil

import pytest

from tests.workflow.project import CONFIG, Project, copy_project

pytestmark = pytest.mark.workflow

DRAWN = {"collect": 1, "figure": 2, "check_claims": 1}  # figures of one sweep: stability_vs_P and error_vs_R
FLOWS = {"pack": 1, "collect": 1, "figure": 3, "animation": 1, "check_claims": 1}


def test_a_second_run_does_nothing(finished):
    assert finished.jobs() == {}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("P: [16, 64]", "P: [16, 32, 64]", {"pack": 1, **DRAWN}),
        ("seeds: 0-1", "seeds: [0-1, 2-3]", {"pack": 1, **DRAWN}),
        ("nets: [fc, cnn]", "nets: [fc, cnn, lenet]", {"pack": 1, **DRAWN}),
        (
            "cnn: {width: 0.5}",
            "cnn: {width: 0.5, training: {learning_rate: 0.05}}",
            {"pack": 1, **DRAWN},
        ),
        ("displacement: [0.5, 1]", "displacement: [0.5, 1.2]", {"pack": 1, **DRAWN}),
        (
            "image_size: 12",
            "image_size: 14",
            {"prepare": 1, "pack": 1, **DRAWN, "figure": 3},
        ),  # and `twins`
        ("alpha: [0.0005, 100]", "alpha: [0.0005, 1, 100]", FLOWS),
        ("twins: {sweep: default}", "again: {kind: twins, sweep: default}", {"figure": 1}),
        ("# The golden run", "# A comment", {}),
    ],
    ids=["P", "seeds", "net", "learning rate", "displacements", "dataset", "alpha", "figure", "comment"],
)
def test_an_edit_of_the_config_reruns_what_it_concerns(finished, old, new, expected):
    with finished.edited(CONFIG, old, new):
        assert finished.jobs() == expected


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("src/relative_stability/figures/series.py", '"alpha": 0.15', '"alpha": 0.2', {"figure": 6, "animation": 1}),
        ("src/relative_stability/figures/style.py", "# Degrees of hue", "# Hues in degrees", {}),
        ("src/relative_stability/analysis/claims/diffeomorphisms.py", "MIN_NETS = 5", "MIN_NETS = 2", {"check_claims": 1}),
        ("src/relative_stability/training/engine.py", "# the same for every seed", "# one for all", {}),
        ("src/relative_stability/training/engine.py", "Where the training is.", "Where it is.", {}),
        ("src/relative_stability/plan/digests.py", '"train": 3', '"train": 4', {"pack": 1, **DRAWN, "figure": 3}),
        ("src/relative_stability/plan/digests.py", '"flow": 5', '"flow": 6', FLOWS),
        ("src/relative_stability/plan/digests.py", '"measure": 2', '"measure": 3', {"pack": 2, "collect": 2, "figure": 3, "check_claims": 1}),
        ("src/relative_stability/plan/digests.py", '"collect": 4', '"collect": 5', {"collect": 2, "figure": 3, "check_claims": 1}),
    ],
    ids=["figure style", "figure comment", "claim", "comment", "docstring", "train version", "flow version", "measure version", "collect version"],
)  # fmt: skip
def test_an_edit_of_the_code_reruns_what_it_means(finished, file, old, new, expected):
    with finished.edited(file, old, new):
        assert finished.jobs() == expected


def test_results_of_other_code_of_the_same_version_are_kept_and_spoken_of(finished):
    said = "results of train were made by other code of its version"
    assert said not in finished.dry_run().stdout
    with finished.edited("src/relative_stability/training/optimizer.py", "beta2=0.999", "beta2=0.99"):
        ran = finished.dry_run()
    assert "Nothing to be done" in ran.stdout and ran.stdout.count(said) == 1


def test_touched_files_rerun_nothing(finished):
    for pattern in (
        "workflow/scripts/*.py",
        "workflow/rules/*.smk",
        "src/**/*.py",
        "Snakefile",
        "config/*.yaml",
    ):
        for path in finished.path.glob(pattern):
            path.touch()
    assert finished.jobs() == {}


def test_two_options_that_swap_values_are_noticed_and_back_again_cost_nothing(finished):
    old = "fc: {depth: 2, width: 32}"
    new = "fc: {depth: 2, width: 32, training: {learning_rate: 0.02, weight_decay: 0.01}}"
    swapped = "fc: {depth: 2, width: 32, training: {learning_rate: 0.01, weight_decay: 0.02}}"
    with finished.edited(CONFIG, old, new):
        first = finished.jobs()
    with finished.edited(CONFIG, old, swapped):
        second = finished.jobs()
    assert first == second == {"pack": 1, **DRAWN, "figure": 3}  # `twins` shows that net
    assert finished.jobs() == {}


def test_snakemakes_own_records_may_be_lost(finished):
    shutil.move(finished.path / ".snakemake", finished.path / "records")
    try:
        assert finished.jobs() == {}
        with finished.edited(CONFIG, "displacement: [0.5, 1]", "displacement: [0.5, 1.2]"):
            assert finished.jobs() == {"pack": 1, **DRAWN}
    finally:
        shutil.rmtree(finished.path / ".snakemake", ignore_errors=True)
        shutil.move(finished.path / "records", finished.path / ".snakemake")


@pytest.fixture
def elsewhere(finished, tmp_path) -> Project:
    """Another clone, with the results copied there and their times kept."""
    project = copy_project(tmp_path / "elsewhere")
    shutil.copytree(finished.path / "results", project.path / "results", dirs_exist_ok=True)
    return project


def test_results_copied_to_another_clone_are_simply_there(elsewhere):
    assert elsewhere.jobs() == {}


def test_a_run_added_and_taken_back_for_real(elsewhere):
    """Going back to an earlier config redraws from what is there, even with Snakemake's records lost."""
    changes = (CONFIG, "displacement: [0.5, 1]", "displacement: [0.5, 1.2]")
    targets = ("claims", "results/figures/stability_vs_P.pdf")
    drawn = {**DRAWN, "figure": 1}
    with elsewhere.edited(*changes):
        result = elsewhere.snakemake(*targets)
        assert result.returncode == 0, result.stdout + result.stderr
        assert elsewhere.jobs(CONFIG, *targets) == {}
    shutil.rmtree(elsewhere.path / ".snakemake")
    assert elsewhere.jobs(CONFIG, *targets) == drawn
    result = elsewhere.snakemake(*targets)
    assert result.returncode == 0, result.stdout + result.stderr
    assert elsewhere.jobs(CONFIG, *targets) == {}
    with elsewhere.edited(*changes):
        assert elsewhere.jobs(CONFIG, *targets) == drawn


def test_a_sweep_that_is_half_done_is_drawn_without_training(elsewhere):
    """The next whole run makes it whole, and going back to an earlier config makes that anew."""
    with elsewhere.edited(CONFIG, "P: [16, 64]", "P: [16, 32, 64]"):
        result = elsewhere.snakemake("figures", "claims", "--config", "partial=True")
        said = result.stdout + result.stderr
        assert result.returncode == 0, said
        assert "sweeps.default: 4 of 12 nets are not there yet" in said and "train " not in said
        assert "**4 of 12 nets are not there yet**" in (elsewhere.path / "results/claims.md").read_text(
            encoding="utf-8"
        )
        assert elsewhere.jobs() == {"pack": 1, **DRAWN}
    assert elsewhere.jobs() == DRAWN


def test_what_a_sweep_was_collected_from_is_remade_only_when_it_is_needed(elsewhere):
    """Weights and measurements may be deleted once collected; figures are drawn all the same, but those of one net."""
    for folder in ("training", "stability"):
        for path in elsewhere.path.glob(f"results/{folder}/**/*P16/*.*"):
            path.unlink()
    assert elsewhere.jobs() == {}
    with elsewhere.edited("src/relative_stability/figures/series.py", '"alpha": 0.15', '"alpha": 0.2'):
        assert elsewhere.jobs() == {"figure": 6, "animation": 1}
    (elsewhere.path / "results/sweeps/default.nc").unlink()
    assert elsewhere.jobs() == {"pack": 1, **DRAWN, "figure": 2}


@pytest.mark.parametrize(("target", "drawn"), [("claims", {"check_claims": 1}), ("figures", {"figure": 2})])
def test_targets_notice_an_edit_without_snakemakes_records(elsewhere, target, drawn):
    assert elsewhere.jobs(CONFIG, target) == {}
    with elsewhere.edited(CONFIG, "displacement: [0.5, 1]", "displacement: [0.5, 1.2]"):
        assert elsewhere.jobs(CONFIG, target) == {"pack": 1, "collect": 1, **drawn}


def test_a_single_figure_by_its_name_is_as_fresh(elsewhere):
    name = "results/figures/stability_vs_P.pdf"
    assert elsewhere.jobs(CONFIG, name) == {}
    assert elsewhere.snakemake(name, "--forcerun", "figure").returncode == 0  # Snakemake now has records of it
    with elsewhere.edited(CONFIG, "displacement: [0.5, 1]", "displacement: [0.5, 1.2]"):
        assert elsewhere.jobs(CONFIG, name) == {"pack": 1, "collect": 1, "figure": 1}


def test_a_finished_run_has_no_warning(elsewhere):
    said = elsewhere.dry_run().stdout
    assert "Nothing to be done" in said
    assert "Warning" not in said and "provenance" not in said and "metadata" not in said


def test_a_look_at_another_config_makes_nothing_stale(elsewhere):
    with elsewhere.edited(CONFIG, "displacement: [0.5, 1]", "displacement: [0.5, 1.2]"):
        assert elsewhere.jobs() != {}
    assert elsewhere.jobs() == {}


def test_times_of_files_with_digests_mean_nothing(elsewhere):
    """As where results were copied without their times."""
    for folder in ("stability", "training", "datasets"):
        for path in elsewhere.path.glob(f"results/{folder}/**/*.*"):
            os.utime(path)
    assert elsewhere.jobs() == {}


def test_clocks_that_differ_hide_no_change_and_make_none(elsewhere):
    """All results come from a machine that is a day ahead."""
    for path in (elsewhere.path / "results").rglob("*"):
        found = path.stat()
        os.utime(path, (found.st_atime + 86_400, found.st_mtime + 86_400))
    assert elsewhere.jobs() == {}
    with elsewhere.edited(CONFIG, "stability_vs_P: {sweep: default}", "stability_vs_P: {sweep: default, size: column}"):
        assert elsewhere.jobs() == {"figure": 1}
    with elsewhere.edited(CONFIG, "nets: [fc, cnn]", "nets: [fc]"):
        assert elsewhere.jobs() == DRAWN
        result = elsewhere.snakemake()
        assert result.returncode == 0, result.stdout + result.stderr
        assert elsewhere.jobs() == {}


def test_a_dry_run_writes_nothing_into_the_results(elsewhere):
    def state():
        return {path: path.stat().st_mtime_ns for path in (elsewhere.path / "results").rglob("*")}

    before = state()
    with elsewhere.edited(CONFIG, "displacement: [0.5, 1]", "displacement: [0.5, 1.2]"):
        assert elsewhere.jobs() != {}
    assert elsewhere.jobs() == {} and state() == before
