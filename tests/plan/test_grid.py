import copy

import pytest

from relative_stability import InputError
from relative_stability.plan import digests
from relative_stability.plan.grid import build_grid
from tests.plan.test_config import BASE, changed


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
        ("training.learning_rate", 0.3, 0, 0),  # fc has a rate of its own
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
        digests.source_digest.cache_clear()
        found.append(digests.source_digest("module"))
    digests.source_digest.cache_clear()
    assert found[0] == found[1] != found[2]
