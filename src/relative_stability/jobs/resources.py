"""How much time and memory a job will need, before it starts: what is asked of a cluster for it.

The rule, for S seeds, B samples a batch, on one core:

    seconds = START + S · (steps · (o + B·t·s) + evaluated samples · e·s)

o, t and e are in the table for every architecture, measured at 3×32×32 pixels and width 1 (`python -m benchmarks.costs`
measures them anew). s carries t and e to other images and widths: s = (n/32)² · w with w = width² for wide nets and
width for narrow ones, whose time does not fall as their arithmetic does. Fully connected nets: s is the ratio of their
numbers of parameters. What is asked for is SAFETY times as much, and at least LEAST; `attempt` times that when a job
is tried again, and half as much memory more each time. Memory is that of the imports, of the data as they are read and
kept, of the weights in all the copies that training keeps (values, gradient, moments, init, best, last, snapshots),
and of a batch.

A gradient flow takes another rule: FLOW_LEAST seconds on one core for a net, and FLOW more with one hidden layer of
1,000 neurons at P = 1,024, growing as h·P², as tangent kernels of what is near the margin are most of it at large P;
and room for one of all P. Measured (mean of the two regimes, d = 10): 0.5 s at P = 64, 6 s at 2,048, 21 s at 4,096.

No GPU has been measured: a step is taken to be GPU times faster there than on one core (10 TFLOP/s, half of what an
A100 can in float32, against the 0.11 TFLOP/s of ResNet18 on the core of the table), and to last LAUNCH times one more
than its number of layers at least.
"""

import csv
import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

from relative_stability.nets import ARCHITECTURES, FULLY_CONNECTED, family
from relative_stability.plan.runs import Measurement, Run, trained_by
from relative_stability.plan.seeds import parse_seeds
from relative_stability.training.schedule import Schedule

TABLE = Path(__file__).with_name("costs.csv")
COLUMNS = ("architecture", "step_ms", "image_ms", "evaluation_ms", "parameters_million", "image_mb", "layers")
START = 20.0  # seconds until the first step: imports, data
SAFETY, LEAST = 2.0, 10  # minutes
MEMORY_SAFETY, IMPORTS = 1.5, 700.0  # MB
GPU, LAUNCH, CUDA = 90.0, 1e-4, 3000.0  # times, seconds, MB of a process that uses one
GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # torch is not asked, as that takes seconds
HELD = 2**27  # numbers of a Jacobian that is held as a whole, see `representations.tangent_kernel`
COPIES = 8  # of the weights: values, gradient, two moments, init, best, last, and one on the way to disk
FLOW, FLOW_LEAST = 1.5, 0.7  # seconds
# Time of a measurement over that of its forward passes.
FORWARD = {
    "output": 1.0, "dynamics": 1.0, "depth": 3.5, "dimension": 2.0, "alignment": 2.0, "information": 2.0,
    "dimension_dynamics": 1.5, "alignment_dynamics": 1.5,
}  # fmt: skip


class Cost(NamedTuple):
    """Of one architecture: see COLUMNS."""

    step: float
    image: float
    evaluation: float
    parameters: float
    memory: float
    layers: float


class JobCost(NamedTuple):
    """What a job is expected to take, without any safety."""

    seconds: float
    megabytes: float

    def runtime(self, attempt: int = 1) -> int:
        """Minutes to ask for."""
        return attempt * max(LEAST, math.ceil(SAFETY * self.seconds / 60))

    def mem_mb(self, attempt: int = 1) -> int:
        """Memory to ask for, in hundreds of megabytes; half as much again with each attempt."""
        return 100 * math.ceil((1 + attempt) / 2 * MEMORY_SAFETY * self.megabytes / 100)


@cache
def costs() -> dict[str, Cost]:
    """The table, by architecture; seconds, millions and megabytes."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scales = (1e-3, 1e-3, 1e-3, 1, 1, 1)
    return {
        row["architecture"]: Cost(*(s * float(row[c]) for c, s in zip(COLUMNS[1:], scales, strict=True)))
        for row in rows
    }


def scaled(run: Run) -> Cost:
    """The cost of a run's net on its images."""
    options, facts = run.net_options, run.dataset.facts
    if options["architecture"] not in ARCHITECTURES:
        # As ResNet50 is published: its first layers leave a sixteenth, and without gradients most memory is not taken.
        larger, cost = (facts.image_size / 32) ** 2 / 16, costs()["resnet50"]
        return cost._replace(evaluation=cost.evaluation * larger, memory=cost.memory * larger / 8)
    cost, known = costs()[options["architecture"]], ARCHITECTURES[options["architecture"]]
    if known.family == FULLY_CONNECTED:
        inputs = facts.channels * facts.image_size**2
        width, depth = options["width"], options.get("depth", known.fixed.get("depth", 1))
        parameters = (inputs * width + (depth - 1) * width**2 + width * facts.classes) / 1e6
        larger = wider = max(parameters / cost.parameters, 0.05)
    else:
        width = options.get("width", 1)
        wider = width**2
        larger = (facts.image_size / 32) ** 2 * (wider if width > 1 else width)
    return cost._replace(
        image=cost.image * larger,
        evaluation=cost.evaluation * larger,
        parameters=cost.parameters * wider,
        memory=cost.memory * larger,
    )


def likely_device(asked: str, here: bool) -> str:
    """What jobs will run on. here: on this machine, where `auto` takes a GPU if there is one; a cluster has one."""
    found = any(Path(device).exists() for device in GPU_DEVICES)
    return "cpu" if asked == "cpu" or (asked == "auto" and here and not found) else "cuda"


def estimated(job: Run | Measurement, device: str) -> JobCost:
    """Of a job, by what it makes."""
    return training(job, device) if isinstance(job, Run) else measuring(job, device)


def training(run: Run, device: str) -> JobCost:
    """Of a run. device: cpu, or anything else for a GPU."""
    by = trained_by(run.training)
    if by == "flow":
        return _following(run, device)
    if by == "give":
        cost, images = scaled(run), run.dataset.facts.test_size
        seconds = START + images * cost.evaluation / (1 if device == "cpu" else GPU)
        return JobCost(seconds, _process(device) + 3 * _data(run) + 16 * cost.parameters + 100 * cost.memory)
    cost, facts, schedule = scaled(run), run.dataset.facts, Schedule(run.training, run.P)
    seeds = len(parse_seeds(run.seeds))
    moments = len(schedule.epochs) + len(schedule.snapshots) + 2
    step, evaluation = cost.step + schedule.batch_size * cost.image, cost.evaluation
    if device != "cpu":
        step, evaluation = max(step / GPU, LAUNCH * (1 + cost.layers)), evaluation / GPU
    seconds = START + seeds * (schedule.steps * step + moments * (run.P + facts.test_size) * evaluation)
    # Half precision for snapshots; what is kept of all seeds comes together at the end.
    weights = 4 * cost.parameters * seeds * (COPIES + 3 + len(schedule.snapshots))
    batch = cost.memory * max(schedule.batch_size, 128) * (1 if device != "cpu" else _together(run, seeds))
    return JobCost(seconds, _process(device) + 3 * _data(run) + weights + batch)


def _following(run: Run, device: str) -> JobCost:
    """Of a run by gradient flow."""
    width = run.net_options["width"] * run.net_options.get("depth", 1)
    nets = len(parse_seeds(run.seeds)) * len(run.training["alpha"])
    each = (FLOW_LEAST + FLOW * width / 1000 * (run.P / 1024) ** 2) / (1 if device == "cpu" else GPU)
    kernel = 40 * run.P**2 / 1e6  # bytes a number: in single precision, in double, signed, factorised, and with room
    activations = 16 * run.P * width / 1e6
    return JobCost(START + nets * each, _process(device) + 3 * _data(run) + 3 * disk_mb(run) + kernel + activations)


def _states(run: Run) -> tuple[int, float]:
    """Nets of each seed that are measured as they have been kept, and how many there are in all on the disk."""
    if trained_by(run.training) == "give":
        return 1, 1
    if run.training.get("optimizer") == "gradient_flow":
        return len(run.training["alpha"]), len(run.training["alpha"]) * (1 + run.training["snapshots"])
    return 1, 3 + run.training.get("snapshots", 0) / 2


def measuring(measurement: Measurement, device: str) -> JobCost:
    """Of a measurement: for each net one clean pass, and three for every cut, magnitude and draw."""
    run, settings = measurement.run, measurement.stability
    cost, seeds = scaled(run), len(parse_seeds(run.seeds))
    alphas, kept = _states(run)
    moving = measurement.observable.endswith("dynamics")
    nets = 1 + run.training.get("snapshots", 0) if moving else 2
    sizes = settings.get("displacement") or settings.get("magnitude") or []
    passes = 1 + 3 * len(settings.get("cut", [3])) * len(sizes) * settings.get("draws", 1)
    time = FORWARD[measurement.observable] * cost.evaluation / (1 if device == "cpu" else GPU)
    images = settings["images"]
    # With a gradient for each image and class, followed where they are many.
    if measurement.observable.startswith("alignment"):
        few, numbers = settings.get("kernel_images", 100), cost.parameters * 1e6
        gradients = few * run.dataset.facts.classes
        passes += 3 * gradients * (1 if gradients * numbers < HELD else few) / images
    nets *= alphas
    weights = 4 * cost.parameters * (2 * seeds * kept + 4)
    activations = cost.memory * (128 if moving or measurement.observable == "output" else 512)
    return JobCost(
        START + seeds * nets * images * passes * time, _process(device) + 3 * _data(run) + weights + activations
    )


def disk_mb(run: Run) -> float:
    """Of a run's files: the weights of all seeds, initial, best, last and half as large for snapshots, and curves."""
    return 4 * scaled(run).parameters * len(parse_seeds(run.seeds)) * _states(run)[1] + 0.1


def _together(run: Run, seeds: int) -> int:
    """Seeds that may have their batch in memory at once."""
    return seeds if family(run.net_options["architecture"]) == FULLY_CONNECTED else 1


def _process(device: str) -> float:
    return IMPORTS if device == "cpu" else CUDA


def _data(run: Run) -> float:
    facts = run.dataset.facts
    number = 4 if facts.image_size < 3 else 1  # bytes: pictures are stored as such
    return (facts.train_size + facts.test_size) * facts.channels * facts.image_size**2 * number / 1e6
