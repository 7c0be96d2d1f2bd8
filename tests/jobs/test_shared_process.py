import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from relative_stability import InputError
from relative_stability.jobs import resources
from relative_stability.jobs.shared_process import MOST, Packs, forced, own_jobs, packed
from relative_stability.plan.grid import build_grid
from relative_stability.plan.runs import benchmark
from tests.conftest import ROOT

CONFIG = """
device: cpu
pack_minutes: {minutes}
training: {{steps: 60, batch_size: 16}}
nets: {{fc: {{depth: 2, width: 32}}, lenet: {{}}, resnet18: {{}}}}
datasets: {{digits: {{image_size: 12}}}}
sweeps:
  default: {{datasets: [digits], nets: [{nets}], P: {P}, seeds: {seeds}}}
figures: {{twins: {{sweep: default}}}}
"""


@pytest.fixture
def grid_of(schema, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda minutes=60, nets="fc", P="[64, 16, 32]", seeds="0-1": build_grid(
        yaml.safe_load(CONFIG.format(minutes=minutes, nets=nets, P=P, seeds=seeds)), schema
    )


def members(grid):
    return [[(m.run.net, m.run.P, m.run.seeds) for m in pack] for pack in packed(grid, "cpu")]


def packs_of(grid, none=False):
    return Packs(grid, none=lambda: none, device=lambda: "cpu")


def touch(*files):
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()


def test_without_minutes_nothing_is_packed(grid_of):
    assert packed(grid_of(minutes=0), "cpu") == []


def test_neighbours_in_net_and_P_share_a_pack(grid_of):
    (found,) = members(grid_of(nets="lenet, fc", seeds="[0-1, 2]"))
    assert found == [(net, P, seeds) for net in ("fc", "lenet") for P in (16, 32, 64) for seeds in ("0-1", "2")]


def test_a_long_run_has_jobs_of_its_own(grid_of):
    assert members(grid_of(minutes=1, nets="fc, resnet18", P="[16, 32]")) == [[("fc", 16, "0-1"), ("fc", 32, "0-1")]]


def test_a_pack_is_no_longer_than_asked(grid_of):
    grid = grid_of(minutes=0.5, P=str([16 + k for k in range(40)]))
    found = packed(grid, "cpu")
    assert len(found) > 1 and sum(map(len, found)) == 40
    for pack in found:
        seconds = sum(member.estimate("cpu").seconds - resources.START for member in pack)
        assert seconds + resources.START <= 30


def test_a_pack_has_its_largest_number_of_runs(grid_of):
    sizes = [len(found) for found in members(grid_of(minutes=600, P=str([16 + k for k in range(40)])))]
    assert sizes == [MOST, 40 - MOST]


def test_a_pack_makes_what_is_missing_alone_and_its_mark_stands_for_that(grid_of):
    grid = grid_of()
    first, second, third = grid.measurements
    touch(first.path, *first.run.files, *second.run.files)
    packs = packs_of(grid)
    files = [file for m in grid.measurements for file in (m.path, m.run.curves)]
    mark, *rest = packs.makers([second.path, third.path, third.run.curves])
    assert rest == [] and packs.makers([first.path, second.run.curves]) == [first.path, second.run.curves]
    assert packs.makers(files) == [first.path, first.run.curves, mark, second.run.curves]
    pack = packs.find(Path(mark).name)
    assert [[one["out"] for one in task["measure"]] for task in pack.tasks] == [[second.path], [third.path]]
    assert pack.datasets == [first.run.dataset.path]
    alone = resources.measuring(second, "cpu").seconds, resources.measuring(third, "cpu").seconds
    assert pack.seconds == pytest.approx(
        sum(alone) + resources.training(third.run, "cpu").seconds - 2 * resources.START
    )


def test_weights_that_a_figure_is_drawn_from_are_made_again(grid_of):
    grid = grid_of()
    m = max(grid.measurements, key=lambda m: m.run.P)
    for one in grid.measurements:
        touch(one.path, *one.run.files)
    Path(m.run.weights).unlink()
    packs = packs_of(grid)
    (mark,) = packs.makers([m.run.weights])
    (task,) = packs.find(Path(mark).name).tasks
    assert task["train"]["weights"] == m.run.weights and task["measure"] == []


def test_a_mark_is_of_one_start_alone(grid_of):
    grid = grid_of()
    path = grid.measurements[0].path
    one, other = packs_of(grid), packs_of(grid)
    assert one.makers([path]) == one.makers([path]) != other.makers([path])
    with pytest.raises(InputError, match="there is no pack 0123456789: snakemake has been started anew since"):
        one.find("0123456789")


def test_where_jobs_of_their_own_are_asked_for_nothing_is_packed(grid_of):
    grid = grid_of()
    assert packs_of(grid, none=True).makers([grid.measurements[0].path]) == [grid.measurements[0].path]


@pytest.mark.parametrize(
    ("named", "own", "anew"),
    [
        ({}, False, False),
        ({"forcerun": {"figure"}}, False, False),
        ({"forcerun": {"train"}}, True, True),
        ({"until": {"measure"}}, True, False),
        ({"omit_from": {"train"}}, True, False),
        ({"forcetargets": True}, False, True),
        ({"forceall": True}, True, True),
    ],
)
def test_the_command_line_may_ask_for_jobs_of_their_own_and_for_what_is_there(named, own, anew):
    plain = {"forcerun": set(), "until": set(), "omit_from": set(), "forcetargets": False, "forceall": False}
    settings = SimpleNamespace(**{**plain, **named})
    assert (own_jobs(settings), forced(settings)) == (own, anew)


def test_packing_changes_no_digest(grid_of):
    assert {m.digest for m in grid_of().measurements} == {m.digest for m in grid_of(0).measurements}


def test_the_rules_of_the_workflow_and_the_package_agree_on_logs_and_benchmarks(grid_of):
    measurement = grid_of().measurements[0]
    text = (ROOT / "workflow/rules/runs.smk").read_text()
    names = {"dataset": "digits", "net": "fc", "P": 16, "seeds": "0-1", "observable": "output"}
    for rule, made in (("train", measurement.run), ("measure", measurement)):
        of_rule = text[text.index(f"rule {rule}:") :]
        log, table = (re.search(rf'"(results/{folder}/.*)"', of_rule)[1] for folder in ("logs", "benchmarks"))
        names["digest"] = made.digest
        assert made.log == log.format(**names) and benchmark(made.log) == table.format(**names)
