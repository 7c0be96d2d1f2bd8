import pytest
import yaml

from relative_stability.jobs import resources
from relative_stability.jobs.shared_process import MOST
from relative_stability.plan.grid import TAKING, build_grid
from tests.conftest import ROOT

CONFIG = """
device: cpu
pack_minutes: {minutes}
training: {{steps: 60, batch_size: 16}}
nets: {{fc: {{depth: 2, width: 32}}, resnet18: {{}}}}
datasets: {{digits: {{image_size: 12}}}}
sweeps:
  default: {{datasets: [digits], nets: [{nets}], P: {P}, seeds: {seeds}}}
"""


@pytest.fixture
def grid_of(schema, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda minutes=60, nets="fc", P="[64, 16, 32]", seeds="0-1": build_grid(
        yaml.safe_load(CONFIG.format(minutes=minutes, nets=nets, P=P, seeds=seeds)), schema
    )


def members(grid):
    return {pack.digest: [(m.run.net, m.run.P, m.run.seeds) for m in pack.members] for pack in grid.packs.values()}


def test_nothing_is_packed_unless_asked(grid_of):
    assert grid_of(minutes=0).packs == {}


def test_neighbours_in_P_share_a_pack(grid_of):
    (found,) = members(grid_of(seeds="[0-1, 2]")).values()
    assert found == [("fc", P, seeds) for P in (16, 32, 64) for seeds in ("0-1", "2")]


def test_a_net_has_packs_of_its_own_and_a_long_run_a_job_of_its_own(grid_of):
    grid = grid_of(minutes=1, nets="fc, resnet18", P="[16, 32]")
    assert list(members(grid).values()) == [[("fc", 16, "0-1"), ("fc", 32, "0-1")]]


def test_a_pack_is_no_larger_than_asked(grid_of):
    grid = grid_of(minutes=0.5, P=str([16 + k for k in range(40)]))
    assert len(members(grid)) > 1
    for pack in grid.packs.values():
        assert pack.estimate("cpu").seconds <= 30


def test_a_pack_has_its_largest_number_of_runs(grid_of):
    sizes = sorted(len(found) for found in members(grid_of(minutes=600, P=str([16 + k for k in range(40)]))).values())
    assert sizes == [40 - MOST, MOST]


def test_a_pack_asks_for_what_is_missing_and_its_runs_for_nothing(grid_of, tmp_path):
    grid = grid_of()
    run = grid.sweeps[0].measurements[0].run
    pack = grid.packs[run.digest]
    whole = pack.estimate("cpu").seconds
    assert whole < sum(m.estimate("cpu").seconds for m in pack.members)  # one start instead of three
    assert grid.needs(run.digest) == grid.needs(grid.sweeps[0].measurements[0].digest) == TAKING
    assert grid.needs(pack.digest).runtime == resources.Estimate(whole, 0).runtime()
    for m in pack.members[:1]:
        for file in [*m.run.files, *(x.path for x in m.measurements)]:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
    assert pack.estimate("cpu").seconds == pytest.approx(
        whole - pack.members[0].estimate("cpu").seconds + resources.START
    )


def test_what_is_there_waits_for_no_pack(grid_of, tmp_path):
    grid = grid_of()
    measurement = grid.sweeps[0].measurements[0]
    run = measurement.run
    assert grid.pack_marks(run.digest) == grid.pack_marks(measurement.digest) == [grid.packs[run.digest].mark]
    for file in run.files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert grid.pack_marks(run.digest) == [] and grid.pack_marks(measurement.digest) != []
    assert grid.needs(run.digest).runtime > 0


def test_packing_changes_no_digest(grid_of):
    assert {m.digest for m in grid_of().sweeps[0].measurements} == {m.digest for m in grid_of(0).sweeps[0].measurements}


def test_the_rules_of_the_workflow_and_the_package_agree_on_logs(grid_of):
    measurement = grid_of().sweeps[0].measurements[0]
    for rule, made in (("train", measurement.run), ("measure", measurement)):
        text = (ROOT / f"workflow/rules/{rule}.smk").read_text()
        pattern = text[text.index('"results/logs/') + 1 : text.index('.log"')]
        names = {
            "dataset": "digits",
            "net": "fc",
            "P": 16,
            "seeds": "0-1",
            "digest": made.digest,
            "observable": "output",
        }
        assert made.log == pattern.format(**names) + ".log"
