"""The workflow as files: plans of the shipped configs, lint, profiles, shims, and what a job imports."""

import ast
import re
import subprocess
import sys

import pytest
import yaml

from tests.workflow.project import ROOT, copy_project

SCRIPTS = sorted((ROOT / "workflow/scripts").glob("*.py"))
RULES = {
    name for file in [ROOT / "Snakefile", *ROOT.glob("workflow/rules/*.smk")]
    for name in re.findall(r"^\s*rule (\w+):", file.read_text(), re.MULTILINE)
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("plans") / "project")


@pytest.mark.workflow
def test_plain_snakemake_plans_the_embedded_default(project):
    jobs = project.jobs(config=None)
    assert jobs == {
        "prepare": 2, "pack": 5, "collect": 7, "figure": 18, "animation": 1, "check_claims": 1,
    }  # fmt: skip
    jobs = project.jobs(None, "--config", "pack_minutes=0")
    assert (jobs["train"], jobs["measure"]) == (16 + 3 + 5, 16 + 4 * 4 + 3 * 4 + 3 * 3 + 5)


@pytest.mark.workflow
def test_the_papers_sweeps_are_planned_as_announced(project):
    """Curves: 3 datasets × 4 nets × 8 P × 4 ranges of seeds; 15 architectures, 4 shared in part; depth."""
    jobs = project.jobs("config/paper.yaml")
    assert jobs.pop("figure") == 15
    runs = 3 * 4 * 8 * 4 + (15 * 2 - 4) + 4 * 3
    assert jobs == {
        "prepare": 3, "train": runs, "measure": 3 * 384 + 26 + 3 * 12, "collect": 8, "check_claims": 1,
    }  # fmt: skip


@pytest.mark.workflow
@pytest.mark.parametrize(("target", "absent"), [("figures", "check_claims"), ("claims", "figure")])
def test_targets(project, target, absent):
    jobs = project.jobs("config/test.yaml", target)
    assert absent not in jobs and jobs["pack"] == 2


@pytest.mark.workflow
def test_lint_finds_nothing_but_the_missing_environments(project):
    said = project.snakemake("--lint")
    complaints = re.findall(r"^\s+\* (.+?):", said.stdout + said.stderr, re.MULTILINE)
    assert set(complaints) <= {"Specify a conda environment or container for each rule."}, complaints


@pytest.mark.workflow
def test_the_page_that_has_everything_is_made_once_and_again_when_something_changes(finished):
    made = finished.snakemake("report")
    assert made.returncode == 0, made.stderr
    explorer = (finished.path / "results/explorer.html").read_text(encoding="utf-8")
    assert '"name": "default"' in explorer and '"name": "linear"' in explorer and "data:image/png;base64" in explorer
    page = (finished.path / "results/report.html").read_text(encoding="utf-8")
    config = yaml.safe_load((finished.path / "config/test.yaml").read_text())
    assert all(f'id="figure-{name}"' in page for name in config["figures"])
    assert page.count("data:image/png;base64") == len(config["figures"]) and "image_size: 12" in page
    assert finished.jobs("config/test.yaml", "report") == {}
    with finished.edited("src/relative_stability/figures/pages/report.html.j2", "max-width: 72rem", "max-width: 60rem"):
        assert finished.jobs("config/test.yaml", "report") == {"report": 1}
    with finished.edited("src/relative_stability/analysis/claims/diffeomorphisms.py", "MIN_NETS = 5", "MIN_NETS = 2"):
        assert finished.jobs("config/test.yaml", "report") == {"check_claims": 1, "report": 1}


@pytest.mark.workflow
def test_the_report_of_snakemake_can_be_built(finished):
    """A missing caption is noticed only here; those of figures say what is shown, and of which runs."""
    result = finished.snakemake("--report", "report.html")
    assert result.returncode == 0, result.stderr
    page = (finished.path / "report.html").read_text(encoding="utf-8")
    assert "every net, P and seed a point. Data: digits; nets: fc, cnn; P from 16 to 64 (2 values); 2 seeds" in page
    assert "is undecided otherwise" in page


def test_every_rule_named_in_a_profile_exists():
    profiles = [yaml.safe_load(path.read_text()) for path in ROOT.glob("*/**/profile.v9+.yaml")]
    profiles += [yaml.safe_load((ROOT / "slurm/profile.v9+.yaml").read_text())]
    assert len(profiles) >= 2
    for profile in profiles:
        for key in ("set-resources", "set-threads", "groups"):
            assert set(profile.get(key, {})) <= RULES, key


def test_profiles_do_not_clash():
    """The default profile wins over the same key of another one, so nothing may stand in both."""
    default, slurm = (
        set(yaml.safe_load((ROOT / path / "profile.v9+.yaml").read_text())) for path in ("profiles/default", "slurm")
    )
    assert not {key for key in default & slurm if not key.startswith("__")}  # which each file has for itself


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_shims_are_short_and_define_nothing(script):
    text = script.read_text()
    assert len(text.splitlines()) <= 30
    assert not [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.ClassDef | ast.Lambda)]


def test_the_snakefile_is_a_table_of_contents():
    assert len((ROOT / "Snakefile").read_text().splitlines()) <= 50


def modules_after(code):
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_is_light():
    assert not {"torch", "numpy", "xarray", "pandas"} & modules_after("import relative_stability")


def test_planning_imports_no_torch():
    assert not {"torch", "xarray", "seaborn"} & modules_after(
        "import relative_stability.plan.grid, yaml\n"
        "from relative_stability.plan.config import Schema\n"
        "s = Schema('workflow/schemas/config.schema.yaml')\n"
        "relative_stability.plan.grid.build_grid(yaml.safe_load(open('config/config.yaml')), s)"
    )


@pytest.mark.parametrize("stage", ["train", "measure"])
def test_training_and_measuring_load_only_what_they_use(tmp_path, stage):
    """Imports are most of a small job: no torchvision, seaborn, scikit-learn or torch compiler."""
    code = f"""
import json
from relative_stability import datasets
from relative_stability.jobs import stages
from relative_stability.datasets.prepared import write_prepared
from relative_stability.plan.runs import digest
made = dict(stage="prepare")
data = dict(dimension=3, train_size=50, test_size=50, seed=0)
write_prepared("{tmp_path}/d.nc", datasets.load("stripe", **data), datasets.facts("stripe", **data), {{"digest": digest(made)}})
training = dict(loss="cross_entropy", optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0, schedule="cosine",
                batch_size=16, steps=5, evaluations=2, alpha=None)
run = dict(stage="train", dataset=made, net=dict(architecture="fc", depth=1, width=8), training=training, P=16, seeds="0-1")
stages.train(run, digest(run), "{tmp_path}/d.nc", "{tmp_path}/c.nc", "{tmp_path}/w.safetensors", "cpu", 1, "{tmp_path}/side", {{}})
if "{stage}" == "measure":
    stability = dict(perturbation="subspace", magnitude=[1], images=20, draws=1, estimator="mean", trained_weights="best",
                     batch_norm="auto", seed=0)
    request = dict(stage="measure", observable="output", stability=stability, run=run)
    stages.measure(request, "m", "{tmp_path}/d.nc", "{tmp_path}/c.nc", "{tmp_path}/w.safetensors", "{tmp_path}/m.nc", "cpu", 1)
"""
    loaded = modules_after(code)
    assert "torch" in loaded and "netCDF4" in loaded
    heavy = {"torchvision", "seaborn", "sklearn", "matplotlib", "snakemake", "torch._dynamo"}
    assert not heavy & loaded
