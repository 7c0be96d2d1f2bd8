"""How numbers are computed on the device: precision, determinism, and running out of memory."""

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from relative_stability.core.errors import InputError

PRECISIONS = ("float32", "tf32", "bf16")


@contextmanager
def numerics(precision: str, device: torch.device) -> Iterator[None]:
    """Inside the block, matrix products of this precision, and kernels that give the same numbers every time.

    float32: products in full, which is not what torch does by itself on a GPU (convolutions in TF32). tf32: factors
    rounded to 10 bits on a GPU that can; bf16: see `autocast`. What is set is torch's global state, put back after.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic with this alone
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark
    cudnn.allow_tf32 = matmul.allow_tf32 = precision != "float32"
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark = before


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """With bf16, the forward pass of a training step in bfloat16, weights and their updates staying in float32."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def check_compiler() -> None:
    """Raise InputError where torch.compile would find no C++ compiler, long after the start and in many lines."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++") if name):
        raise InputError(
            "engine.compile: true needs a C++ compiler, and there is none; install g++, or set it to false"
        )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not there, on a GPU or on a CPU."""
    words = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDA out of memory", "unable to mmap")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )
