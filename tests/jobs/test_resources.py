"""What jobs are estimated to need covers what they needed."""

import csv
from pathlib import Path

import pytest

from relative_stability.cli.main import main
from relative_stability.core.store import read_attributes
from relative_stability.datasets import Facts
from relative_stability.jobs import resources
from relative_stability.nets import ARCHITECTURES
from relative_stability.plan.grid import read_grid
from relative_stability.plan.runs import Dataset, Run

pytestmark = pytest.mark.slow

MEASURED = Path(__file__).with_name("measured_runs.csv")


def measured_runs():
    with MEASURED.open(newline="") as file:
        return list(csv.DictReader(file))


def run(architecture="lenet", P=1024, seeds="0-3", channels=1, image_size=28, width=None, **training):
    options = {"steps": 1000, "batch_size": 128, "evaluations": 20, **training}
    data = Dataset("data", {}, Facts(60_000, 10_000, channels, image_size, 10))
    default = 64 if architecture.startswith("fc") else 1000 if architecture == "one_hidden" else 1
    net = {"architecture": architecture, "width": default if width is None else width, "depth": 3}
    if architecture != "fc":
        net.pop("depth")
    return Run(data, architecture, net, options, P, seeds)


def test_every_architecture_has_a_cost():
    assert set(resources.costs()) == set(ARCHITECTURES)
    for name, cost in resources.costs().items():
        assert cost.image > 0 and cost.evaluation > 0 and cost.parameters > 0, name


@pytest.mark.parametrize("row", measured_runs(), ids=lambda row: f"{row['architecture']}-{row['P']}-{row['seeds']}")
def test_the_estimate_covers_the_measured_run(row):
    """Really run, on one core; and it is not so large that it says nothing."""
    numbers = {key: int(row[key]) for key in ("P", "channels", "image_size", "steps", "batch_size", "evaluations")}
    found = resources.training(
        run(row["architecture"], seeds=row["seeds"], width=float(row["width"]), **numbers), "cpu"
    )
    seconds, megabytes = float(row["seconds"]), float(row["megabytes"])
    assert seconds <= 60 * found.runtime() and megabytes <= found.mem_mb()
    assert seconds <= resources.SAFETY * found.seconds <= 10 * seconds + 2 * 60
    assert found.mem_mb() <= 6 * megabytes + 1000


@pytest.mark.workflow
def test_the_estimates_cover_the_golden_run(finished, schema):
    grid = read_grid([finished.path / "config/test.yaml"], schema)
    measurements = [m for sweep in grid.sweeps for m in sweep.measurements]
    jobs = [(m.run.curves, resources.training(m.run, "cpu")) for m in measurements]
    jobs += [(m.path, resources.measuring(m, "cpu")) for m in measurements]
    for path, found in jobs:
        made = read_attributes(finished.path / path)
        assert made["wall_time_s"] <= 60 * found.runtime()
        assert made.get("peak_memory_mb", 0) <= found.mem_mb()


def test_more_work_takes_longer_and_more_seeds_more_memory():
    base = resources.training(run(), "cpu")
    for more in ({"steps": 10_000}, {"seeds": "0-7"}, {"evaluations": 200}, {"width": 4}, {"image_size": 32}):
        assert resources.training(run(**more), "cpu").seconds > base.seconds, more
    assert resources.training(run(seeds="0-15", width=8), "cpu").megabytes > base.megabytes
    big = run("resnet18", P=50_000, channels=3, image_size=32, steps=100_000)
    assert resources.training(big, "cuda").seconds < resources.training(big, "cpu").seconds / 5


def test_it_grows_with_the_attempt_and_asks_for_ten_minutes_at_least():
    small = resources.JobCost(30, 420)
    assert [small.runtime(k) for k in (1, 2, 3)] == [10, 20, 30]
    assert [small.mem_mb(k) for k in (1, 2, 3)] == [700, 1000, 1300]
    assert resources.JobCost(3600, 1).runtime() == 120


def test_the_command_says_what_a_config_costs(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert main(["estimate", "config/test.yaml", "config/paper.yaml"]) == 0
    test, paper = capsys.readouterr().out.split("config/paper.yaml\n")
    assert "config/test.yaml" in test and "| digits    | fc " in test and "GPU h" in paper
    sums = [line for line in paper.splitlines() if line.startswith("| all")]
    assert len(sums) == 1 and float(sums[0].split("|")[5]) > 10
    assert main(["estimate", "nowhere.yaml"]) == 2
    assert "nowhere.yaml does not exist" in capsys.readouterr().err


@pytest.mark.workflow
def test_the_command_compares_with_what_is_there(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.path)
    assert main(["estimate", "config/test.yaml"]) == 0
    total = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| all"))
    runs, there = (float(total.split("|")[k]) for k in (3, 9))
    assert runs == there == 6
