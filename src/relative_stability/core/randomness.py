"""Independent random streams from (seed, purpose): generators are passed, the global state stays as it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch


def stream_seed(seed: int, *stream: int | str) -> int:
    """A 63-bit seed that depends on all of (seed, *stream), the same on every machine.

    >>> stream_seed(0, "order") == stream_seed(0, "order") != stream_seed(1, "order")
    True
    """
    text = "/".join(map(str, (seed, *stream)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *stream: int | str) -> torch.Generator:
    """A CPU generator for one purpose: what one purpose draws never shifts what another draws.

    Drawing on the CPU and moving the few numbers makes them the same on every device.
    """
    return torch.Generator().manual_seed(stream_seed(seed, *stream))


@contextmanager
def seeded_globally(seed: int, *stream: int | str, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generator of the CPU, and of `device`, inside the block, and put their states back after it.

    Only for what takes no generator of its own: the constructors of modules, dropout, stochastic depth.
    """
    cuda = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        seed_globally(seed, *stream, device=device)
        yield


def seed_globally(seed: int, *stream: int | str, device: torch.device | None = None) -> None:
    """Seed torch's global generators again, inside a block of `seeded_globally`."""
    torch.default_generator.manual_seed(stream_seed(seed, *stream))
    if device is not None and device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(stream_seed(seed, *stream))
