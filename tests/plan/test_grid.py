import copy
from pathlib import Path

import pytest

from relative_stability import InputError
from relative_stability.plan import digests
from relative_stability.plan.grid import build_grid
from relative_stability.plan.seeds import parse_seeds
from tests.plan.test_config import BASE, changed
from tests.plan.test_stage_code import forget


@pytest.fixture
def grid(schema):
    return build_grid(BASE, schema)


def runs(grid):
    return {m.run.curves for sweep in grid.sweeps for m in sweep.measurements}


def measurements(grid):
    return {m.path for sweep in grid.sweeps for m in sweep.measurements}


def test_the_grid_is_the_product_and_its_paths_are_unique(schema):
    config = changed("sweeps.default.nets", ["fc", "cnn"])
    config["sweeps"]["default"]["seeds"] = ["0-1", "2-3"]
    grid = build_grid(config, schema)
    assert len(runs(grid)) == len(measurements(grid)) == 2 * 2 * 2
    assert len(grid.by_digest) == 8 + 8 + 1


def test_paths_follow_the_grammar(grid):
    run = grid.sweeps[0].measurements[0].run
    assert run.curves == f"results/training/digits/fc/P16/seeds0-1.{run.digest}.nc"
    assert run.weights == f"results/training/digits/fc/P16/seeds0-1.{run.digest}.safetensors"
    measurement = grid.sweeps[0].measurements[0]
    assert measurement.path == f"results/stability/output/digits/fc/P16/seeds0-1.{measurement.digest}.nc"
    assert grid.find(run.digest) is run


@pytest.mark.parametrize(
    ("path", "value", "new_runs", "new_measurements"),
    [
        ("sweeps.default.P", [16, 32, 64], 1, 1),
        ("sweeps.default.seeds", ["0-1", "2-3"], 2, 2),
        ("sweeps.default.nets", ["fc", "cnn"], 2, 2),
        ("training.learning_rate", 0.3, 2, 2),
        ("training.learning_rate", 0.1, 0, 0),  # what fc has by itself
        ("sweeps.default.training", {"schedule": "cosine"}, 2, 2),
        ("training.momentum", 0.8, 2, 2),
        ("nets.fc.training", {"learning_rate": 0.01}, 2, 2),
        ("nets.fc.width", 32, 2, 2),
        ("stability.displacement", [0.5, 1.5], 0, 2),
        ("stability.magnitude", [3], 0, 0),  # bears on other families only
        ("datasets.digits", {"image_size": 12}, 2, 2),
        ("device", "cpu", 0, 0),
    ],
)
def test_what_reruns_when(grid, schema, path, value, new_runs, new_measurements):
    other = build_grid(changed(path, value), schema)
    assert len(runs(other) - runs(grid)) == new_runs
    assert len(measurements(other) - measurements(grid)) == new_measurements
    moved = new_runs or new_measurements
    assert (other.sweeps[0].mark != grid.sweeps[0].mark) == bool(moved)


def test_two_options_that_swap_values_make_other_runs_and_back_the_same(schema):
    a, b, c = copy.deepcopy(BASE), copy.deepcopy(BASE), copy.deepcopy(BASE)
    for config, (momentum, decay) in zip((a, b, c), ((0.1, 0.2), (0.2, 0.1), (0.1, 0.2)), strict=True):
        config["nets"]["fc"]["training"] = {"momentum": momentum, "weight_decay": decay}
    a, b, c = (build_grid(config, schema) for config in (a, b, c))
    assert not runs(a) & runs(b)
    assert runs(a) == runs(c)
    assert a.sweeps[0].mark == c.sweeps[0].mark


@pytest.mark.parametrize(("stage", "stages"), [("prepare", 3), ("train", 2), ("measure", 1), ("collect", 0)])
def test_a_stage_version_moves_that_stage_and_those_after_it(grid, schema, monkeypatch, stage, stages):
    kinds, mark = (
        [{grid.sweeps[0].measurements[0].run.dataset.path}, runs(grid), measurements(grid)],
        grid.sweeps[0].mark,
    )
    monkeypatch.setitem(digests.STAGES, stage, 99)
    other = build_grid(BASE, schema)
    others = [{other.sweeps[0].measurements[0].run.dataset.path}, runs(other), measurements(other)]
    assert sum(not a & b for a, b in zip(kinds, others, strict=True)) == stages
    assert other.sweeps[0].mark != mark


def test_a_run_of_two_sweeps_is_one(schema):
    config = copy.deepcopy(BASE)
    config["sweeps"]["again"] = {**config["sweeps"]["default"], "P": [64]}
    grid = build_grid(config, schema)
    assert len(runs(grid)) == 2
    first, second = grid.sweeps
    assert second.measurements[0].run is first.measurements[1].run


def test_an_option_that_joins_later_leaves_old_names_alone(grid, schema):
    later = copy.deepcopy(schema)
    later.root["$defs"]["training"]["properties"]["novelty"] = {"type": "number", "default": 1, "since": 1}
    assert runs(build_grid(BASE, later)) == runs(grid)
    assert not runs(build_grid(changed("training.novelty", 2), later)) & runs(grid)


def test_unknown_digests_and_names_are_sentences(grid):
    with pytest.raises(InputError, match="it was made by another config"):
        grid.find("0123456789")
    with pytest.raises(InputError, match=r"figure 'error_vs_p' is not in this config; did you mean"):
        grid.figure("error_vs_p")


def test_source_digest_sees_meaning_and_not_comments(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "__file__", str(tmp_path / "plan/digests.py"))
    found = []
    for text in (
        '"""Doc."""\ndef f(x):\n    """Doc."""\n    return x + 1\n',
        '"""Other."""\n# comment\n\ndef f(x):\n    return (x + 1)  # comment\n',
        "def f(x):\n    return x + 2\n",
    ):
        (tmp_path / "module.py").write_text(text)
        forget()
        found.append(digests.source_digest("module"))
    forget()
    assert found[0] == found[1] != found[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder without results; `make` touches the files of some runs of a grid."""
    monkeypatch.chdir(tmp_path)

    def make(grid, seeds):
        made = {m.run.curves for sweep in grid.sweeps for m in sweep.measurements if m.run.seeds in seeds}
        for curves in made:
            Path(curves).parent.mkdir(parents=True, exist_ok=True)
            Path(curves).touch()
        return made

    return make


def with_seeds(seeds, schema, command=(), **others):
    return build_grid({**changed("sweeps.default.seeds", seeds), **others}, schema, command)


def ranges(grid):
    return list(dict.fromkeys(m.run.seeds for m in grid.sweeps[0].measurements))


def test_seeds_that_grow_add_jobs_and_change_none(schema, here):
    few, more = (with_seeds(seeds, schema) for seeds in ("0-3", "0-9"))
    assert (ranges(few), ranges(more)) == (["0-3"], ["0-3", "4-7", "8-9"])
    assert runs(few) < runs(more) and measurements(few) < measurements(more)
    assert ranges(with_seeds("0-9", schema, seeds_per_job=5)) == ["0-4", "5-9"]
    assert ranges(with_seeds(["0-1", "2-9"], schema)) == ["0-1", "2-3", "4-7", "8-9"]


def test_what_other_ranges_have_made_is_used(schema, here):
    """A range of eight made by one job, and one of two that ends in the middle of a block."""
    made = here(with_seeds("0-7", schema, seeds_per_job=8), ["0-7"]) | here(with_seeds("8-9", schema), ["8-9"])
    grid = with_seeds("0-12", schema)
    assert ranges(grid) == ["0-7", "8-9", "10-11", "12"]
    assert made < runs(grid)
    # A range beyond what is asked, and one of other options, are of no use.
    assert ranges(with_seeds("0-5", schema)) == ["0-3", "4-5"]
    assert ranges(with_seeds("0-12", schema, training={"momentum": 0.5})) == ["0-3", "4-7", "8-11", "12"]


def test_what_is_asked_for_goes_before_longer_ranges(schema, here):
    here(with_seeds("0-7", schema, seeds_per_job=8), ["0-7"])
    here(with_seeds("0-3", schema), ["0-3"])
    assert ranges(with_seeds("0-7", schema)) == ["0-7"]
    assert ranges(with_seeds(["0-3", "4-7"], schema)) == ["0-3", "4-7"]


@pytest.mark.parametrize("seeds", [["0-7", "8-9", "1-4"], ["2-2"], ["5-10"], ["0-1", "7-12"]])
def test_a_plan_stays_while_its_results_are_made(schema, here, seeds):
    """Jobs of a cluster plan again, each beside other files."""
    for one in seeds:
        here(with_seeds(one, schema, seeds_per_job=50), [str(parse_seeds(one).start), one])
    planned = ranges(with_seeds("0-12", schema))
    for block in planned[::2] + planned[1::2]:
        grid = with_seeds("0-12", schema)
        assert ranges(grid) == planned
        here(grid, [block])


def test_a_job_finds_its_run_while_the_files_are_deleted(schema, here):
    made = here(with_seeds("0-7", schema, seeds_per_job=8), ["0-7"])
    for curves in made:
        Path(curves).unlink()
    (job,) = ("train:P=16,dataset=digits,digest=0123456789,net=fc,seeds=0-7",)
    grid = with_seeds("0-7", schema, ["snakemake", "--target-jobs", job, "--cores", "all"])
    assert {m.run.seeds: m.run.P for m in grid.sweeps[0].measurements} == {"0-7": 16, "0-3": 64, "4-7": 64}


@pytest.mark.parametrize(("seeds", "warned"), [(4, True), ("4", True), (0, False), ("0-4", False), ([4], False)])
def test_a_single_number_is_said_to_be_one_seed(schema, seeds, warned):
    sentences = with_seeds(seeds, schema).warnings
    said = "sweeps.default: seeds: 4 is the one seed of number 4; write 0-3 for 4 seeds, or [4] if it is meant"
    assert list(sentences) == [said] * warned
