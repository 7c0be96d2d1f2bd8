"""What a config asks for that could only fail later, refused before the first job starts.

Each check raises InputError with one sentence that names the key; some return warnings.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from relative_stability.core.errors import InputError
from relative_stability.core.store import content_digest
from relative_stability.datasets import below
from relative_stability.figures import KINDS
from relative_stability.nets import ARCHITECTURES, FULLY_CONNECTED, PROGRAMS, family, is_given
from relative_stability.nets.weights import check_weights_file, is_file
from relative_stability.perturbations import DISPLACING, GEOMETRIC
from relative_stability.perturbations.ranges import check_magnitudes, useful
from relative_stability.perturbations.temperature import check_displacements
from relative_stability.plan.outputs import Figure, Sweep
from relative_stability.plan.runs import Dataset, Run
from relative_stability.training.gradient_flow.linear_model import SMALL

OF_FLOWS = ("boundary", "neurons", "compression", "linear_error", "linear_stability")
OF_LAYERS = ("depth", "dimension", "alignment", "information")
FEWEST = 50  # images of which an intrinsic dimension is estimated
DEFORMED = 5  # pixels of images that can be deformed to some use


def dynamics_in(observables: Sequence[str]) -> str:
    """The first observable that is measured at snapshots, or nothing."""
    return next((name for name in observables if name.endswith("dynamics")), "")


def check_observables(
    where: str, observables: Sequence[str], training: Mapping[str, Any], net: str, architecture: str, images: int
) -> None:
    """Observables that cannot be measured, or compared with nothing."""
    if "output" not in observables:
        raise InputError(f"{where}.observables: output is missing; it is what the others are compared with, so add it")
    if {"dimension", "dimension_dynamics"} & set(observables) and images < FEWEST:
        raise InputError(f"{where}.stability.images: {images} are too few for dimension, which takes {FEWEST} or more")
    if "information" in observables and family(architecture) != FULLY_CONNECTED:
        raise InputError(
            f"{where}.observables: information is of fully connected nets, and net {net!r} is none: in its layers "
            "every image would have bins of its own"
        )
    if (moving := dynamics_in(observables)) and not training.get("snapshots"):
        raise InputError(
            f"{where}.observables: {moving} needs snapshots of the training; set training.snapshots to 10, say"
        )


def check_flow(
    where: str, data: Dataset, net: str, options: Mapping[str, Any], training: Mapping[str, Any],
    sizes: Sequence[int], observables: Sequence[str], mixed: bool,
) -> list[str]:  # fmt: skip
    """A gradient flow against what it can follow. mixed: whether other nets of the sweep do not follow one. Returns
    warnings.
    """
    where = f"{where}.training"
    if mixed:
        raise InputError(
            f"{where}.optimizer: some nets follow a gradient_flow and some do not; give those sweeps of their own"
        )
    if training["optimizer"] != "gradient_flow":
        if isinstance(training["alpha"], list):
            raise InputError(f"{where}.alpha: a list of them needs optimizer: gradient_flow; give one number or null")
        return []
    if ARCHITECTURES[options["architecture"]].family != FULLY_CONNECTED or options.get("pretrained") is not None:
        raise InputError(
            f"{where}.optimizer: gradient_flow follows fully connected nets from their initialisation (one_hidden, "
            f"fc), and net {net!r} is none"
        )
    if not data.facts.uninformative:
        raise InputError(
            f"{where}.optimizer: gradient_flow needs a linear dataset (stripe, interface, cylinder), and dataset "
            f"{data.name!r} names no uninformative inputs"
        )
    if training["loss"] != "hinge":
        raise InputError(f"{where}.loss: gradient_flow follows the hinge loss, not {training['loss']}; use hinge")
    if training["alpha"] is None:
        raise InputError(f"{where}.alpha: gradient_flow needs the scale of the output; set alpha: [0.001, 1000], say")
    if training["snapshots"] < 2 or training["first_time"] >= training["max_time"]:
        raise InputError(
            f"{where}.snapshots: gradient_flow is recorded at 2 times at least, from first_time to a later max_time; "
            f"they are {training['snapshots']}, {training['first_time']:g} and {training['max_time']:g}"
        )
    if "depth" in observables:
        raise InputError(f"{where}.optimizer: depth is not measured along a gradient_flow; leave it out of observables")
    alphas = training["alpha"] if isinstance(training["alpha"], list) else [training["alpha"]]
    return [
        f"training.alpha: {alpha:g} is not small for P = {max(sizes)}, as αP is {alpha * max(sizes):.2g}; its λ is not "
        f"that of the limit α → 0, which takes {SMALL / max(sizes):.0e} or less"
        for alpha in alphas
        if alpha < 1 and alpha * max(sizes) > SMALL
    ]


def check_net(where: str, data: Dataset, net: str, architecture: str, training: Mapping[str, Any]) -> None:
    """A net against the data and the training options."""
    known, size = ARCHITECTURES[architecture], data.facts.image_size
    if size < known.smallest:
        raise InputError(
            f"{where}: net {net!r} cannot take the images of dataset {data.name!r}, of {size} pixels; "
            f"the smallest it takes is {known.smallest}"
        )
    if known.batch_norm and training["alpha"] is not None:
        raise InputError(
            f"{where}.training.alpha: net {net!r} has batch normalisation, whose outputs depend on "
            "the batch, so that f − f₀ means nothing; use null or another net"
        )
    if known.dropout and training["alpha"] is not None:
        raise InputError(
            f"{where}.training.alpha: net {net!r} has dropout or stochastic depth, so that f − f₀ is not zero at the "
            "start; use null or another net"
        )


def check_kind(where: str, net: str, architecture: str, given: bool) -> None:
    """Nets that are given, in a sweep that trains, and the other way round. given: whether the sweep does not."""
    if is_given(architecture) and not given:
        raise InputError(
            f"{where}.training: net {net!r} is given, as {architecture}, and not trained here; set training: none, "
            "perhaps in a sweep of its own"
        )
    if given and not is_given(architecture):
        raise InputError(
            f"{where}.training: none is for nets that are given, and net {net!r} is to be trained; leave training "
            f"out, or give it as architecture \"relative_stability:build_net('{architecture}')\", with its weights"
        )


def check_given(
    where: str, data: Dataset, net: str, options: Mapping[str, Any], sizes: Sequence[int], seeds: Sequence[range],
    observables: Sequence[str],
) -> dict[str, str]:  # fmt: skip
    """A net that is given, and its sweep. Returns digests of the files that it is made from, by option."""
    named, weights, architecture = f"nets.{net}", options["weights"], options["architecture"]
    if len(sizes) != 1 or not 0 < sizes[0] < 10**9:  # as many as pictures have that nobody has counted
        raise InputError(f"{where}.P: with training: none, one number of samples that the nets have seen is needed")
    if [len(part) for part in seeds] != [1]:
        raise InputError(f"{where}.seeds: one seed is needed with training: none; write 0, or leave seeds out")
    if moving := dynamics_in(observables):
        raise InputError(f"{where}.observables: {moving} follows a training, and there is none; leave it out")
    if data.facts.image_size < DEFORMED:
        raise InputError(f"{where}: net {net!r} takes images, and dataset {data.name!r} has none of {DEFORMED} pixels")
    if (options["mean"] is None) != (options["std"] is None):
        raise InputError(f"{named}: mean and std go together; give both")
    if options["size"] and options["crop"] and options["crop"] > options["size"]:
        raise InputError(f"{named}.crop: {options['crop']} is more than size, {options['size']}")
    library = architecture.partition(":")[0] in ("torchvision", "timm")
    if library and weights is None:
        raise InputError(f"{named}: key 'weights' is missing; DEFAULT takes those of {architecture.partition(':')[0]}")
    files = {}
    if Path(architecture).suffix in PROGRAMS and ":" not in architecture:
        if weights is not None:
            raise InputError(f"{named}.weights: {architecture} is a program, which has its weights; leave them out")
        if deep := next((name for name in OF_LAYERS if name in observables), None):
            raise InputError(
                f"{where}.observables: {deep} needs layers, and net {net!r} is a program, which shows none"
            )
        files["architecture"] = architecture
    if weights is not None and is_file(weights):
        try:
            check_weights_file(Path(weights))
        except InputError as error:
            raise InputError(f"{named}.weights: {error}") from None
        files["weights"] = weights
    elif weights is not None and not library:
        raise InputError(f"{named}.weights: {weights!r} is no file of weights, and {architecture} is of no library")
    if options["class_names"] is not None:
        files["class_names"] = options["class_names"]
    for option, path in files.items():
        if not Path(path).is_file():
            raise InputError(f"{named}.{option}: {path} does not exist, from where snakemake runs")
    return {option: content_digest(path) for option, path in files.items()}


def check_figure(figure: Figure) -> None:
    """A figure that could only fail at the end is refused at the start."""
    where, kind = f"figures.{figure.name}", figure.kind
    if len(figure.shown) > 1 and KINDS[kind] != "sweeps":
        several = ", ".join(name for name, source in KINDS.items() if source == "sweeps")
        raise InputError(f"{where}.sweep: {kind} shows one sweep; name one, or use one of {several}")
    half_done = any(sweep.missing for sweep in figure.shown)
    for axis, values in figure.select.items():
        known = {value for sweep in figure.shown for value in sweep.values.get(axis, [])}
        for value in values:
            if value not in known and not half_done:
                there = ", ".join(map(str, sorted(known))) or f"no {axis} at all"
                raise InputError(f"{where}.select.{axis}: {value} is not in the sweep, which has {there}")
    if not figure.runs:
        raise InputError(f"{where}.select: no run of the sweep has all of these values; leave some out")
    for sweep in figure.shown:
        _check_shown(where, kind, sweep)
    flat = [run.dataset.name for run in figure.runs if run.dataset.facts.image_size < DEFORMED]
    if kind in ("diffeomorphisms", "twins") and flat:
        raise InputError(f"{where}: {kind} needs images of {DEFORMED} pixels or more, and dataset {flat[0]!r} has none")


def _check_shown(where: str, kind: str, sweep: Sweep) -> None:
    flows = sweep.measurements[0].run.training["optimizer"] == "gradient_flow"
    if kind in OF_FLOWS and not flows:
        raise InputError(
            f"{where}: {kind} needs a sweep of gradient flows (training.optimizer: gradient_flow), and sweep "
            f"{sweep.name!r} has none"
        )
    if kind in ("depth", "dynamics") and kind not in {m.observable for m in sweep.measurements}:
        raise InputError(f"{where}: {kind} is not measured in sweep {sweep.name!r}; add it to its observables")
    if sweep.measurements[0].run.training["optimizer"] == "none" and kind == "twins":
        raise InputError(
            f"{where}: twins needs nets that are trained here, and those of sweep {sweep.name!r} are given"
        )
    if flows and kind not in (*OF_FLOWS, "claims"):
        raise InputError(
            f"{where}: {kind} has no place for alpha, which sweep {sweep.name!r} has; use one of {', '.join(OF_FLOWS)}"
        )


def check_seeds(seeds: Any) -> list[str]:
    """A single number, which may have been meant as how many. Returns warnings."""
    if isinstance(seeds, list) or not str(seeds).isdigit() or int(seeds) == 0:
        return []
    count = f"0-{int(seeds) - 1} for {seeds} seeds"
    return [f"seeds: {seeds} is the one seed of number {seeds}; write {count}, or [{seeds}] if it is meant"]


def check_training(where: str, data: Dataset, sizes: Sequence[int], training: Mapping[str, Any]) -> list[str]:
    """Training options against the data. Returns warnings."""
    if max(sizes) > data.facts.train_size:
        raise InputError(
            f"{where}.P: {max(sizes)} is more than the {data.facts.train_size} training samples "
            f"of dataset {data.name!r}"
        )
    if training["augmentation"] and data.facts.image_size < 2:
        raise InputError(f"{where}.training.augmentation: dataset {data.name!r} has no images to move or flip; use []")
    if training["augmentation"] and training["alpha"] is not None:
        raise InputError(
            f"{where}.training.augmentation: with alpha, f₀ is taken on the images as they are; use [] or alpha: null"
        )
    if training["loss"] == "hinge" and data.facts.classes != 2:
        raise InputError(
            f"{where}.training.loss: hinge needs two classes, and dataset {data.name!r} has {data.facts.classes}; "
            "use cross_entropy"
        )
    if training["loss"] == "hinge" and training["label_smoothing"]:
        raise InputError(f"{where}.training.label_smoothing: hinge has no target to smooth; use 0 or cross_entropy")
    if training["label_smoothing"] and training["zero_loss_epochs"]:
        raise InputError(
            f"{where}.training.zero_loss_epochs: with label_smoothing the loss is never zero; use null here, or 0 there"
        )
    if "diffeomorphism" in training["augmentation"]:
        n, cut = data.facts.image_size, training["augmentation_cut"]
        try:
            return check_displacements([training["augmentation_displacement"]], n, cut, used="trained on")
        except InputError as error:
            raise InputError(f"{where}.training.augmentation_cut, dataset {data.name!r}: {error}") from None
    return []


def check_batches(where: str, net: str, architecture: str, sizes: Sequence[int], training: Mapping[str, Any]) -> None:
    """Batches of one sample, in a net with batch normalisation."""
    batch_size = training["batch_size"]
    lonely = next((P for P in sizes if P % min(batch_size, P) == 1 or P == 1 or batch_size == 1), None)
    if ARCHITECTURES[architecture].batch_norm and lonely is not None:
        raise InputError(
            f"{where}.P: {lonely} leaves a batch of one sample at batch_size {batch_size}, in which the batch "
            f"normalisation of net {net!r} finds no variance; take another P or batch_size"
        )


def check_pretrained(runs: Iterable[Run], root: Path) -> None:
    """A file of weights that is missing is refused now, unless all that starts from it has been trained."""
    for run in runs:
        named = run.net_options.get("pretrained")
        if named is not None and not Path(run.weights).is_file():
            try:
                check_weights_file(below(root, named))
            except InputError as error:
                raise InputError(f"nets.{run.net}.pretrained: {error}; paths start from data_root") from None


def check_stability(where: str, data: Dataset, stability: Mapping[str, Any]) -> list[str]:
    """Stability settings against the data. Returns warnings."""
    where = f"{where}.stability"
    if stability["images"] > data.facts.test_size:
        raise InputError(
            f"{where}.images: {stability['images']} is more than the {data.facts.test_size} test samples of "
            f"dataset {data.name!r}"
        )
    if stability["perturbation"] == "subspace" and not data.facts.uninformative:
        raise InputError(
            f"{where}.perturbation: subspace needs uninformative inputs, and dataset {data.name!r} names none"
        )
    family, n = stability["perturbation"], data.facts.image_size
    if family not in GEOMETRIC:
        return []
    try:
        if family == "diffeomorphism":
            cuts, displacements = stability["cut"], stability["displacement"]
            return [sentence for cut in cuts for sentence in check_displacements(displacements, n, cut)]
        magnitudes = stability["displacement" if family in DISPLACING else "magnitude"]
        return check_magnitudes(family, useful(family, n), magnitudes)
    except InputError as error:
        raise InputError(f"{where}, dataset {data.name!r}: {error}") from None


def check_engine(engine: Mapping[str, Any], runs: Iterable[Run]) -> None:
    """Seeds that are made to train together, of a net that cannot."""
    if engine["seeds"] != "together":
        return
    for run in runs:
        if "-" in run.seeds and ARCHITECTURES[run.net_options["architecture"]].dropout:
            raise InputError(
                f"engine.seeds: together is refused: net {run.net!r} has dropout or stochastic depth, which draws "
                "other numbers for a stack of nets than for each; use auto"
            )
