"""Configs whose nets are given rather than trained: what of them is refused, and what a zoo costs."""

import copy

import pytest
import yaml

from relative_stability import InputError
from relative_stability.cli.main import main
from relative_stability.datasets import DATA
from relative_stability.plan.grid import build_grid

ZOO = {
    "datasets": {"digits": {"image_size": 16}, "stripe": {}},
    "nets": {
        "mine": {"architecture": "mynets:build", "weights": "mine.pth"},
        "theirs": {"architecture": "torchvision:resnet18", "weights": "DEFAULT"},
        "program": {"architecture": "mine.pt2"},
        "cnn": {},
    },
    "sweeps": {"zoo": {"datasets": ["digits"], "nets": ["mine", "theirs", "program"], "training": "none"}},
}


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.pth", "mine.pt2", "mine.txt"):
        (tmp_path / name).write_text(name)


def changed(*path_and_value):
    config, (*path, last, value) = copy.deepcopy(ZOO), path_and_value
    node = config
    for key in path:
        node = node[key]
    node[last] = value
    return config


def test_a_given_net_is_a_run_of_one_seed_at_what_it_has_seen(schema):
    grid = build_grid(ZOO, schema)
    runs = {m.run.net: m.run for m in grid.measurements}
    assert [(run.P, run.seeds) for run in runs.values()] == [(1100, "0")] * 3
    assert not grid.warnings
    assert runs["theirs"].net_options == {"architecture": "torchvision:resnet18", "weights": "DEFAULT"}
    labelled = build_grid(changed("sweeps", "zoo", "P", [50_000]), schema)
    assert {m.run.P for m in labelled.measurements} == {50_000}


def test_what_is_measured_follows_the_content_of_files(schema, tmp_path, monkeypatch):
    before = {m.run.net: m.digest for m in build_grid(ZOO, schema).measurements}
    (tmp_path / "copied.pth").write_text("mine.pth")
    (tmp_path / "other.pth").write_text("other")
    moved = {m.run.net: m.run.net_options["contents"] for m in
             build_grid(changed("nets", "mine", "weights", "copied.pth"), schema).measurements
             if m.run.net == "mine"}  # fmt: skip
    other = {m.run.net: m.digest for m in
             build_grid(changed("nets", "mine", "weights", "other.pth"), schema).measurements}  # fmt: skip
    assert moved["mine"] == {m.run.net: m.run.net_options.get("contents") for m in
                             build_grid(ZOO, schema).measurements}["mine"]  # fmt: skip
    assert other["mine"] != before["mine"] and other["theirs"] == before["theirs"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("sweeps", "zoo", "training", {}), "sweeps.zoo: key 'P' is missing; it says: Training-set sizes"),
        (("sweeps", "zoo", "training", "nothing"), "sweeps.zoo.training = 'nothing' is refused: it says: Training opt"),
        (("sweeps", "zoo", "nets", ["cnn"]), "none is for nets that are given, and net 'cnn' is to be trained"),
        (("sweeps", "zoo", "seeds", "0-3"), "sweeps.zoo.seeds: one seed is needed with training: none"),
        (("sweeps", "zoo", "P", [10, 20]), "sweeps.zoo.P: with training: none, one number"),
        (("sweeps", "zoo", "datasets", ["stripe"]), "net 'mine' takes images, and dataset 'stripe' has none"),
        (("sweeps", "zoo", "observables", ["output", "dynamics"]), "dynamics follows a training, and there is none"),
        (("sweeps", "zoo", "observables", ["output", "depth"]), "net 'program' is a program, which shows none"),
        (("sweeps", "zoo", "observables", ["depth"]), "sweeps.zoo.observables: output is missing"),
        (("nets", "theirs", "weights", None), "nets.theirs: key 'weights' is missing; DEFAULT takes those of torchvision"),
        (("nets", "theirs", "weights", "r18.pth"), "nets.theirs.weights: weights r18.pth do not exist"),
        (("nets", "mine", "weights", "DEFAULT"), "'DEFAULT' is no file of weights, and mynets:build is of no library"),
        (("nets", "mine", "weights", "folder/mine"), "weights folder/mine are no weights file"),
        (("nets", "mine", "weight", "mine.pth"), "nets.mine: key 'weight' is unknown; did you mean 'weights'?"),
        (("nets", "mine", "mean", [0.5]), "nets.mine: mean and std go together"),
        (("nets", "mine", "class_names", "classes.txt"), "nets.mine.class_names: classes.txt does not exist"),
        (("nets", "program", "weights", "mine.pth"), "mine.pt2 is a program, which has its weights"),
        (("nets", "program", "architecture", "lost.pt2"), "nets.program.architecture: lost.pt2 does not exist"),
        (("figures", {"twins": {"sweep": "zoo"}}), "figures.twins: twins needs nets that are trained here"),
        (("figures", {"dynamics": {"sweep": "zoo"}}), "figures.dynamics: dynamics is not measured in sweep 'zoo'"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused_before_the_first_job(schema, change, said):
    with pytest.raises(InputError) as refused:
        build_grid(changed(*change), schema)
    assert said in str(refused.value)


def test_a_given_net_needs_a_sweep_without_training(schema):
    config = changed("sweeps", "zoo", {"datasets": ["digits"], "nets": ["mine"], "P": [16], "seeds": "0-1"})
    with pytest.raises(InputError, match="net 'mine' is given, as mynets:build, and not trained here; set training: n"):
        build_grid(config, schema)


def test_the_zoo_is_planned_without_its_weights_and_pictures_are_counted_by_their_names(
    root, schema, tmp_path, monkeypatch, capsys
):
    for number in range(1000):
        folder = tmp_path / f"imagenet/val/n{number:08d}"
        folder.mkdir(parents=True)
        for picture in range(12):
            (folder / f"{picture}.JPEG").touch()
    monkeypatch.setenv(DATA, str(tmp_path))
    config = root / "config/zoo.yaml"
    grid = build_grid(yaml.safe_load(config.read_text()), schema)
    assert grid.sweeps[0].measurements[0].run.dataset.facts[:2] == (0, 10_000)
    assert main(["estimate", str(config), "--schema", str(root / "workflow/schemas/config.schema.yaml")]) == 0
    assert "| vit_b_16" in " ".join(capsys.readouterr().out.split())
    absent = build_grid(yaml.safe_load(config.read_text()), schema, absent=True)
    assert set(absent.by_digest) == set(grid.by_digest)
