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
def seeded_globally(seed: int, *stream: int | str) -> Iterator[None]:
    """Seed torch's global CPU generator inside the block, and put its state back after it.

    Only for constructors of modules: torch.nn initialises from the global generator and takes no other.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(seed, *stream))
        yield
