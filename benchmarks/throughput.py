"""Images per second on a GPU, with one seed and with sixteen; `make bench` says so where there is none."""

import time
from collections.abc import Callable, Iterator

import torch

import relative_stability as rs
from benchmarks.training import OPTIONS
from relative_stability.datasets.prepared import Prepared
from relative_stability.nets import ARCHITECTURES
from relative_stability.training.engine import Training
from relative_stability.training.members import Alone, Members, Together
from relative_stability.training.numerics import numerics
from relative_stability.training.pool import Pool

P, BATCH, SEEDS, SECONDS = 1024, 128, 16, 3.0
FORWARD_FLOP = {"fc4": 0.42e6, "lenet": 1.3e6, "resnet18": 1.11e9}  # an image of 3×32×32; training takes thrice that
PEAK = {"float32": 67e12, "tf32": 495e12, "bf16": 989e12}  # of an H100 SXM or H200, dense, NVIDIA's data sheets


def run(device: str = "cuda") -> Iterator[str]:
    """A line for each net, precision, and way; the ratio of sixteen seeds at once to one after another."""
    if device == "cuda" and not torch.cuda.is_available():
        yield "throughput: no GPU here"
        return
    where = torch.device(device)
    pool = Pool(pictures(), where)
    for name in FORWARD_FLOP:
        batch = 512 if name == "resnet18" else BATCH
        for precision in PEAK:
            for compiled in (False, True):
                one = speed(name, pool, 1, batch, precision, compiled)
                label = f"{name}, batch {batch}, {precision}{', compiled' if compiled else ''}"
                share = 3 * FORWARD_FLOP[name] * one / PEAK[precision]
                yield f"{label}: {one:,.0f} images/s, {share:.1%} of an H100's peak"
                if name != "resnet18":
                    many = speed(name, pool, SEEDS, batch, precision, compiled)
                    yield f"{label}, {SEEDS} seeds: {many:,.0f} images/s, {many / one:.1f} times one seed at a time"


def pictures(count: int = 2 * P) -> Prepared:
    """Random ones, of CIFAR-10's size."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    test = torch.arange(count) >= count - 128
    return Prepared(
        images, torch.arange(count) % 10, test, torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.25), 10, ()
    )


def speed(
    name: str, pool: Pool, seeds: int, batch: int, precision: str, compiled: bool, seconds: float = SECONDS
) -> float:
    """Images per second of all seeds, over some seconds after a warm-up."""
    nets = [rs.build_net(name, 3, 10, 32, seed=seed).to(pool.device) for seed in range(seeds)]
    members: Members = Alone(nets[0], compiled, pool.device)
    if seeds > 1:
        members = Together(nets, ARCHITECTURES[name].stacks, compiled, pool.device)
    options = {**OPTIONS, "optimizer": "sgd", "learning_rate": 1e-3, "batch_size": batch, "precision": precision}
    training = Training(members, pool, P, options, range(seeds))
    with numerics(precision, pool.device):
        training.advance()
        _steps(training, 20)
        _wait(pool.device)
        started, before = time.perf_counter(), training.taken
        while time.perf_counter() - started < seconds:
            _steps(training, 20)
        _wait(pool.device)
    return (training.taken - before) * batch * seeds / (time.perf_counter() - started)


def _steps(training: Training, count: int) -> None:
    until = training.taken + count
    while training.taken < until:
        training.advance()


def _wait(device: torch.device) -> None:
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    wait()
