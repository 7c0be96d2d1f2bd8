import copy
import math
import time
from contextlib import suppress
from itertools import combinations

import pytest
import yaml

from relative_stability import InputError
from relative_stability.datasets import DATA, SOURCES
from relative_stability.datasets.transforms import CHANGES
from relative_stability.figures import KINDS
from relative_stability.jobs.observables import OBSERVABLES
from relative_stability.jobs.resources import estimated
from relative_stability.nets import ARCHITECTURES
from relative_stability.perturbations import FAMILIES
from relative_stability.perturbations.diffeomorphism import MODES
from relative_stability.perturbations.interpolation import INTERPOLATIONS
from relative_stability.plan.config import check_config
from relative_stability.plan.grid import FLOW, build_grid
from relative_stability.plan.seeds import parse_seeds, seed_ranges
from relative_stability.stability.estimators import ESTIMATORS
from relative_stability.stability.evaluation_mode import BATCH_NORMS
from relative_stability.stability.measure import NOISE_MATCHINGS
from relative_stability.training.augmentation import AUGMENTATIONS
from relative_stability.training.numerics import PRECISIONS
from relative_stability.training.optimizer import OPTIMIZERS
from relative_stability.training.run import Execution

BASE = {
    "nets": {"fc": {"depth": 2}},
    "sweeps": {"default": {"datasets": ["digits"], "nets": ["fc"], "P": [16, 64], "seeds": "0-1"}},
    "figures": {"error_vs_P": {"sweep": "default"}},
}


def changed(path, value):
    config = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    node = config
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("sweps", {}, r"key 'sweps' is unknown; did you mean 'sweeps'\?"),
        ("training.learning_rat", 1, r"training: key 'learning_rat' is unknown; did you mean 'learning_rate'\?"),
        ("nets.fc.widht", 1, r"nets\.fc: key 'widht' is unknown; did you mean 'width'\?"),
        ("nets.fc.training", {"lr": 1}, r"nets\.fc\.training: key 'lr' is unknown; known: .*learning_rate"),
        ("stability.cuts", [3], r"stability: key 'cuts' is unknown; did you mean 'cut'\?"),
        ("sweeps.default.seed", 1, r"sweeps\.default: key 'seed' is unknown; did you mean 'seeds'\?"),
        ("sweeps.default.nets", ["lenett"], r"net 'lenett' is not defined; did you mean 'lenet'\? Known: .*cnn"),
        ("sweeps.default.datasets", ["mnst"], r"dataset 'mnst' is not defined; did you mean 'mnist'\? Known: cifar10"),
        ("stability.perturbation", "shear", r"'shear' is unknown; known: diffeomorphism, noise, rotation"),
        ("nets.mine", {"architecture": "cn"}, r"nets\.mine: architecture 'cn' is unknown; did you mean 'cnn'\?"),
        ("sweeps.default.P", [2000], r"sweeps\.default\.P: 2000 is more than the 1100 training samples of dataset 'digits'"),
        ("sweeps.default.P", [0], r"sweeps\.default\.P\.0 = 0 is refused: 1 or more is needed"),
        ("sweeps.default.P", [-5], r"sweeps\.default\.P\.0 = -5 is refused: 1 or more is needed"),
        ("sweeps.default.P", [32, 64, 32], r"sweeps\.default\.P: 32 is listed twice"),
        ("sweeps.default.P", [], r"sweeps\.default\.P is empty"),
        ("sweeps.default.nets", [], r"sweeps\.default\.nets is empty"),
        ("sweeps.default.seeds", "3-1", r"seeds '3-1' runs backwards; write 1-3"),
        ("sweeps.default.seeds", "a-b", r"seeds 'a-b' is no range; write first-last"),
        ("sweeps.default.seeds", ["0-3", "2-5"], r"seeds 0-3 and 2-5 overlap"),
        ("stability.displacement", [0], r"stability\.displacement\.0 = 0 is refused: more than 0 is needed"),
        ("stability.cut", [1], r"stability\.cut\.0 = 1 is refused: 2 or more is needed"),
        ("stability.cut", [12], r"dataset 'digits': cut = 12 is too high for images of 16 pixels"),
        ("stability.images", 5000, r"images: 5000 is more than the 697 test samples of dataset 'digits'"),
        ("stability.perturbation", "subspace", r"subspace needs uninformative inputs, and dataset 'digits' names none"),
        ("training.loss", "hinge", r"hinge needs two classes, and dataset 'digits' has 10"),
        ("training.learning_rate", -1, r"training\.learning_rate = -1 is refused: more than 0 is needed"),
        ("training.optimizer", "sdg", r"training\.optimizer: 'sdg' is unknown; did you mean 'sgd'\?"),
        ("sweeps.default.P", 32, r"sweeps\.default\.P = 32 is refused: a list is needed"),
        ("sweeps.default.seeds", 1.5, r"seeds = 1\.5 is refused: it says: A range such as 0-7"),
        ("nets", {"fc": 3}, r"nets\.fc = 3 is refused: a mapping of keys to values is needed"),
        ("nets", {"a b": {}}, r"nets = 'a b' is refused: a name of letters"),
        ("nets.fc.architecture", ["x"], r"nets\.fc: architecture \['x'\] is unknown; known: alexnet"),
        ("stability.displacement", [math.nan], r"stability\.displacement\.0 = nan is refused: a finite number"),
        ("training.learning_rate", math.inf, r"training\.learning_rate = inf is refused: a finite number"),
        ("datasets", {"digits": {"image_size": 8}, "x": {"source": {}}}, r"datasets\.x: source \{\} is unknown; known: cifar10"),
        ("sweeps.default.seeds", "0-99999999999999", r"seeds below 2147483648 are needed"),
        ("sweeps.default.seeds", "0-2000000000", r"seeds '0-2000000000' is refused: a range of at most 100000 seeds"),
        ("seeds_per_job", 0, r"seeds_per_job = 0 is refused: 1 or more is needed"),
        ("figures.neurons", {"sweep": "default"}, r"figures\.neurons: neurons needs a sweep of gradient flows"),
        ("figures.depth", {"sweep": "default"}, r"figures\.depth: depth is not measured in sweep 'default'; add it to its"),
        ("datasets", {"digits": {"greyscale": True}}, r"datasets\.digits: key 'greyscale' is unknown; did you mean 'grey'\?"),
        ("datasets", {"digits": {"noise": -1}}, r"datasets\.digits\.noise = -1 is refused: 0 or more is needed"),
        ("datasets", {"digits": {"random_labels": 2}}, r"datasets\.digits\.random_labels = 2 is refused: 1 or less"),
        ("datasets", {"digits": {"low_pass": 40}}, r"datasets\.digits: low_pass = 40 is refused: the highest mode of pictures of 16 pixels"),
        ("datasets", {"digits": {"merge_labels": [[0, 1], [2]]}}, r"datasets\.digits: merge_labels: class '3' stands in no group"),
        ("datasets", {"digits": {"merge_labels": "evens"}}, r"merge_labels = 'evens' is refused: it says: Groups of classes"),
        ("datasets", {"digits": {"source": "imagefolder"}}, r"datasets\.digits: key 'folder' is missing; it says: Path of the folder"),
        ("datasets", {"digits": {"source": "imagefolder", "folder": "nowhere"}}, r"datasets\.digits: folder data/nowhere does not exist"),
        ("nets", {"fc": {"architecture": "googlenet", "width": 0.3}}, r"nets\.fc\.width = 0\.3 is refused: 0\.3 is not a multiple of 0\.125"),
        ("nets", {"fc": {"pretrained": "w.h5"}}, r"nets\.fc\.pretrained: weights data/w\.h5 are no weights file"),
        ("nets", {"fc": {"pretrained": "w.safetensors"}}, r"nets\.fc\.pretrained: weights data/w\.safetensors do not exist"),
        ("nets", {"fc": {"architecture": "cnn", "training": {"batch_size": 21}}}, r"sweeps\.default\.P: 64 leaves a batch of one sample at batch_size 21"),
        ("training.augmentation", ["crop", "turn"], r"training\.augmentation\.1: 'turn' is unknown; known: crop, diffeomorphism, flip"),
        ("training", {"augmentation": ["crop"], "alpha": 1}, r"augmentation: with alpha, f₀ is taken on the images as they are"),
        ("nets", {"fc": {"architecture": "alexnet", "training": {"alpha": 1}}}, r"training\.alpha: net 'fc' has dropout or stochastic depth"),
        ("training", {"augmentation": ["diffeomorphism"], "augmentation_cut": 40}, r"sweeps\.default\.training\.augmentation_cut, dataset 'digits': cut = 40 is too high"),
        ("training", {"label_smoothing": 0.1, "zero_loss_epochs": 2}, r"training\.zero_loss_epochs: with label_smoothing the loss is never zero"),
        ("training.label_smoothing", 1, r"training\.label_smoothing = 1 is refused: less than 1 is needed"),
        ("training.schedule", "cosin", r"training\.schedule: 'cosin' is unknown; did you mean 'cosine'\?"),
        ("training.precision", "fp16", r"training\.precision: 'fp16' is unknown; did you mean 'bf16'\?"),
        ("training.epochs", 0, r"training\.epochs = 0 is refused"),
        ("training.zero_loss_epochs", 0, r"training\.zero_loss_epochs = 0 is refused"),
        ("engine", {"seeds": "apart"}, r"engine\.seeds: 'apart' is unknown; known: alone, auto, together"),
        ("engine", {"checkpoint_minutes": -1}, r"engine\.checkpoint_minutes = -1 is refused: 0 or more is needed"),
        ("engine", {"checkpoints": 5}, r"engine: key 'checkpoints' is unknown; did you mean 'checkpoint_minutes'\?"),
        ("training.max_epochs", 0, r"training\.max_epochs = 0 is refused"),
        ("sweeps", {}, r"sweeps is missing or empty in the config"),
        ("figures.error_vs_P.sweep", "defualt", r"figures\.error_vs_P\.sweep: 'defualt' is not defined; did you mean 'default'\?"),
        ("figures.error_vs_P", {"sweep": "default", "select": {"net": ["fc", "cnn"]}}, r"figures\.error_vs_P\.select\.net: cnn is not in the sweep, which has fc"),
        ("figures.error_vs_P", {"sweep": "default", "select": {"cut": 5}}, r"figures\.error_vs_P\.select\.cut: 5 is not in the sweep, which has 3"),
        ("figures.error_vs_P", {"sweep": "default", "select": {"magnitude": 1}}, r"select\.magnitude: 1 is not in the sweep, which has no magnitude at all"),
        ("figures.error_vs_P", {"sweep": "default", "select": {"nets": "fc"}}, r"figures\.error_vs_P\.select: key 'nets' is unknown; did you mean 'net'\?"),
        ("figures.error_vs_P", {"sweep": ["default", "default2"]}, r"figures\.error_vs_P\.sweep: 'default2' is not defined"),
        ("figures.error_vs_P", {"sweep": "default", "size": "poster"}, r"figures\.error_vs_P\.size: 'poster' is unknown; known: column, slide"),
        ("figures.eror_vs_P", {"sweep": "default"}, r"figures\.eror_vs_P: kind 'eror_vs_P' is unknown; did you mean 'error_vs_P'\?"),
    ],
)  # fmt: skip
def test_bad_config_is_one_sentence_that_names_the_key(schema, path, value, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        build_grid(changed(path, value), schema)
    assert "\n" not in str(caught.value)


@pytest.fixture(autouse=True)
def no_data_root(monkeypatch):
    monkeypatch.delenv(DATA, raising=False)


def whole_numbers(node, path=()):
    """Paths of the options that are whole numbers."""
    for key, option in node["properties"].items():
        if option.get("type") == "integer":
            yield (*path, key)
        elif "properties" in option:
            yield from whole_numbers(option, (*path, key))


def test_no_number_is_too_large_to_say_so(schema):
    """A plan is there, or refused, at once: nothing is counted out."""
    root = schema.root
    found = list(whole_numbers(root)) + [
        (section, *path) for section in ("training", "stability") for path in whole_numbers(root["$defs"][section])
    ]
    found += [("nets", "fc", "depth"), ("nets", "fc", "width"), ("datasets", "stripe", "train_size")]
    assert len(found) >= 12
    for path in found:
        started = time.process_time()
        with suppress(InputError):
            build_grid(changed(".".join(path), 10**17), schema)
        assert time.process_time() - started < 2, path


def test_displacements_beyond_the_temperature_range_warn_with_the_bound(schema):
    grid = build_grid(changed("stability.displacement", [1, 2.5]), schema)
    assert any("displacement 2.5 lies outside the useful range of 0.5 to 1.698 pixels" in w for w in grid.warnings)
    assert not build_grid(changed("stability.displacement", [1]), schema).warnings


def test_deformations_to_train_on_beyond_the_temperature_range_warn(schema):
    training = {"augmentation": ["diffeomorphism"], "augmentation_displacement": 3}
    (sentence,) = build_grid(changed("training", training), schema).warnings
    assert "sweeps.default: displacement 3 lies outside" in sentence and "it is trained on all the same" in sentence


def test_seeds_that_cannot_train_together_are_refused(schema):
    raw = changed("nets", {"fc": {"architecture": "alexnet"}})
    build_grid({**raw, "engine": {"seeds": "auto"}}, schema)
    with pytest.raises(
        InputError, match=r"^engine\.seeds: together is refused: net 'fc' has dropout or stochastic depth"
    ):
        build_grid({**raw, "engine": {"seeds": "together"}}, schema)


def test_how_it_is_trained_is_no_part_of_a_digest(schema):
    raw = changed("nets.fc.width", 64)
    engine = {"seeds": "alone", "compile": True, "checkpoint_minutes": 1}
    assert set(build_grid(raw, schema).by_digest) == set(build_grid({**raw, "engine": engine}, schema).by_digest)
    assert Execution(**build_grid({**raw, "engine": engine}, schema).engine) == Execution(**engine)


def test_smoothing_a_hinge_is_refused(schema):
    linear = {
        "datasets": ["stripe"],
        "nets": ["one_hidden"],
        "P": [16],
        "seeds": 0,
        "training": {"loss": "hinge", "label_smoothing": 0.1},
    }
    stability = {"stability": {"perturbation": "subspace"}}
    with pytest.raises(InputError, match=r"^sweeps\.linear\.training\.label_smoothing: hinge has no target to smooth"):
        build_grid({"sweeps": {"linear": {**linear, **stability}}}, schema)


def test_defaults_are_filled_in_and_overrides_keep_the_rest(schema):
    config = changed("nets.fc.training", {"learning_rate": 0.2})
    assert check_config(config, schema)["nets"]["fc"]["width"] == 64
    training = build_grid(config, schema).sweeps[0].measurements[0].run.training
    assert training["momentum"] == 0.9
    # The architecture's own training stays where it is not overridden.
    architecture = {"optimizer": "adam", "learning_rate": 0.2, "weight_decay": 0, "schedule": "constant"}
    assert architecture.items() <= training.items()


# From the farthest to the nearest, and what each says of the weight decay of a fully connected net.
LAYERS = {
    "schema": 5e-4,
    "architecture": 0,
    "training": 1e-2,
    "sweeps.default.training": 2e-2,
    "nets.mine.training": 3e-2,
}


@pytest.mark.parametrize(("far", "near"), list(combinations(LAYERS, 2)))
def test_of_two_that_say_a_training_option_the_nearer_wins(schema, far, near):
    config = changed("sweeps.default.nets", ["mine"])
    # Of these, cnn has no weight decay of its own.
    config["nets"]["mine"] = {"architecture": "fc" if "architecture" in (far, near) else "cnn"}
    for layer in {far, near} - {"schema", "architecture"}:
        *parents, last = layer.split(".")
        node = config
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = {"weight_decay": LAYERS[layer]}
    run = build_grid(config, schema).sweeps[0].measurements[0].run
    assert run.training["weight_decay"] == LAYERS[near]


def test_every_shipped_config_is_valid(schema, root):
    files = sorted((root / "config").glob("*.yaml"))
    assert files
    for file in files:
        grid = build_grid(yaml.safe_load(file.read_text()), schema, absent=True)
        assert grid.sweeps, file
        assert not grid.warnings, file


FLOW_BASE = {
    "device": "cpu",
    "datasets": {"stripe": {"dimension": 5}, "digits": {"image_size": 16}},
    "nets": {
        "one_hidden": {"width": 20},
        "deep": {"architecture": "fc"},
        "alone": {"architecture": "fc", "training": {"optimizer": "adam"}},
    },
    "sweeps": {
        "linear": {
            "datasets": ["stripe"], "nets": ["one_hidden"], "P": [16, 64], "seeds": "0-1",
            "training": {"optimizer": "gradient_flow", "loss": "hinge", "alpha": [1000, 0.01], "snapshots": 5},
            "stability": {"perturbation": "subspace"},
        }
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("section", "changes", "sentence"),
    [
        (
            "training",
            {"loss": "cross_entropy"},
            r"loss: gradient_flow follows the hinge loss, not cross_entropy; use hinge",
        ),
        ("training", {"alpha": None}, r"alpha: gradient_flow needs the scale of the output; set alpha"),
        ("training", {"alpha": []}, r"alpha is empty; at least one entry is needed"),
        ("training", {"alpha": [1, -1]}, r"alpha\.1 = -1 is refused: 1e-15 or more is needed"),
        ("training", {"optimizer": "sgd"}, r"alpha: a list of them needs optimizer: gradient_flow"),
        ("training", {"snapshots": 1}, r"snapshots: gradient_flow is recorded at 2 times at least"),
        ("training", {"first_time": 10, "max_time": 5}, r"to a later max_time; they are 5, 10 and 5"),
        ("training", {"tolerance": 2}, r"tolerance = 2 is refused: 0.5 or less is needed"),
        (
            None,
            {"nets": ["cnn"]},
            r"follows fully connected nets from their initialisation \(one_hidden, fc\), and net 'cnn' is none",
        ),
        (None, {"datasets": ["digits"]}, r"needs a linear dataset .*'digits' names no uninformative inputs"),
        (
            None,
            {"nets": ["one_hidden", "alone"]},
            r"some nets follow a gradient_flow and some do not",
        ),
        (None, {"observables": ["output", "depth"]}, r"depth is not measured along a gradient_flow"),
    ],
)
def test_what_no_flow_can_follow_is_refused(schema, section, changes, sentence):
    config = copy.deepcopy(FLOW_BASE)
    node = config["sweeps"]["linear"]
    (node if section is None else node[section]).update(changes)
    with pytest.raises(InputError, match=sentence):
        build_grid(config, schema)


def test_figures_without_a_place_for_alpha_are_refused_of_flows(schema):
    config = {**copy.deepcopy(FLOW_BASE), "figures": {"error_vs_P": {"sweep": "linear"}}}
    with pytest.raises(
        InputError, match=r"error_vs_P has no place for alpha, which sweep 'linear' has; use one of boundary"
    ):
        build_grid(config, schema)


def test_a_flow_does_not_depend_on_what_it_does_not_heed(schema):
    """Nor on the order of alphas; and nothing else on the options of flows."""
    first = build_grid(FLOW_BASE, schema).sweeps[0].measurements[0]
    assert first.run.training == {
        "optimizer": "gradient_flow", "loss": "hinge", "snapshots": 5, "alpha": [0.01, 1000], "tolerance": 0.05,
        "first_time": 1, "max_time": 1e9, "flow_end": "met",
    }  # fmt: skip
    config = copy.deepcopy(FLOW_BASE)
    config["training"] = {"learning_rate": 3, "batch_size": 7, "steps": 10, "evaluations": 1}
    config["sweeps"]["linear"]["training"]["alpha"] = [0.01, 1000]
    assert build_grid(config, schema).sweeps[0].measurements[0].digest == first.digest
    config["sweeps"]["linear"]["training"]["tolerance"] = 0.02
    assert build_grid(config, schema).sweeps[0].measurements[0].run.digest != first.run.digest
    plain = build_grid(BASE, schema).sweeps[0].measurements[0].run
    timed = build_grid({**BASE, "training": {"max_time": 5, "tolerance": 0.1}}, schema).sweeps[0].measurements[0].run
    assert plain.digest == timed.digest


@pytest.mark.parametrize(("alpha", "warned"), [([1e-6, 1000], False), ([0.5, 1000], True), (1000, False)])
def test_an_alpha_that_is_not_small_for_the_largest_P_is_warned_of(schema, alpha, warned):
    config = copy.deepcopy(FLOW_BASE)
    config["sweeps"]["linear"]["training"]["alpha"] = alpha
    largest = max(config["sweeps"]["linear"]["P"])
    said = [sentence for sentence in build_grid(config, schema).warnings if "is not small for P" in sentence]
    assert len(said) == warned
    if warned:
        assert f"training.alpha: 0.5 is not small for P = {largest}, as αP is {0.5 * largest:.2g}" in said[0]


def test_a_deep_net_follows_a_flow_by_the_options_of_its_sweep(schema):
    config = copy.deepcopy(FLOW_BASE)
    config["sweeps"]["linear"]["nets"] = ["one_hidden", "deep"]
    grid = build_grid(config, schema)
    assert {m.run.training["optimizer"] for m in grid.sweeps[0].measurements} == {"gradient_flow"}
    costs = [estimated(m.run, "cpu") for m in grid.sweeps[0].measurements]
    assert all(cost.runtime() >= 10 and cost.mem_mb() >= 700 for cost in costs)


def test_schema_and_code_name_the_same_things(schema):
    stability = schema.part("stability")["properties"]
    assert set(schema.part("datasets")) == set(SOURCES)
    assert set(schema.part("nets")) == set(ARCHITECTURES)
    assert set(stability["perturbation"]["enum"]) == set(FAMILIES)
    assert set(stability["estimator"]["enum"]) == set(ESTIMATORS)
    assert set(stability["interpolation"]["enum"]) == set(INTERPOLATIONS)
    assert set(stability["modes"]["enum"]) == set(MODES)
    assert set(stability["noise_matching"]["enum"]) == set(NOISE_MATCHINGS)
    assert set(stability["batch_norm"]["enum"]) == set(BATCH_NORMS)
    sweep = schema.root["properties"]["sweeps"]["additionalProperties"]["properties"]
    assert set(sweep["observables"]["items"]["enum"]) == set(OBSERVABLES)
    assert set(schema.part("training")["properties"]["optimizer"]["enum"]) == {*OPTIMIZERS, FLOW}
    assert set(schema.part("training")["properties"]["augmentation"]["items"]["enum"]) == set(AUGMENTATIONS)
    assert schema.part("training")["properties"]["precision"]["enum"] == list(PRECISIONS)
    engine = {key: option["default"] for key, option in schema.root["properties"]["engine"]["properties"].items()}
    assert Execution(**engine) == Execution()
    assert set(schema.part("changes")) == set(CHANGES)
    figures = schema.root["properties"]["figures"]["additionalProperties"]["properties"]
    assert set(figures["kind"]["enum"]) == set(KINDS)


def objects(node, path=""):
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            yield path, node
        for key, item in node.items():
            yield from objects(item, f"{path}/{key}")


def test_schema_is_strict_and_every_option_is_described(schema):
    found = list(objects(schema.root))
    assert len(found) > 6
    for path, node in found:
        assert node.get("additionalProperties") is False, path
        for key, option in node["properties"].items():
            assert "$ref" in option or option.get("description"), f"{path}/{key}"


def test_seed_ranges():
    assert list(parse_seeds("2-4")) == [2, 3, 4]
    assert seed_ranges(["4-7", "0-3", 9]) == [range(4), range(4, 8), range(9, 10)]
    assert seed_ranges(5) == [range(5, 6)]


def test_a_net_that_cannot_take_the_images_is_refused_at_once(schema):
    config = changed("sweeps.default.nets", ["lenet"])
    config["datasets"] = {"digits": {"image_size": 8}}
    with pytest.raises(
        InputError, match=r"net 'lenet' cannot take the images of dataset 'digits', of 8 pixels.* is 12"
    ):
        build_grid(config, schema)


def test_alpha_with_batch_normalisation_is_refused(schema):
    config = changed("sweeps.default.nets", ["cnn"])
    config["training"] = {"alpha": 0.1}
    with pytest.raises(InputError, match="net 'cnn' has batch normalisation"):
        build_grid(config, schema)


def test_numbers_are_one_however_they_are_written(schema):
    """Else a point would train a net anew."""
    first, second = (build_grid(changed("nets.fc.training", {"learning_rate": rate}), schema) for rate in (1, 1.0))
    assert first.sweeps[0].mark == second.sweeps[0].mark
    assert first.sweeps[0].mark != build_grid(BASE, schema).sweeps[0].mark


def test_whole_numbers_written_with_a_point_are_whole_numbers(schema):
    grid = build_grid(changed("sweeps.default.P", [16.0, 64]), schema)
    assert [m.run.P for m in grid.sweeps[0].measurements] == [16, 64]
    assert grid.sweeps[0].mark == build_grid(BASE, schema).sweeps[0].mark
