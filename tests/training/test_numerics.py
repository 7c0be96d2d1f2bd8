import pytest
import torch

from relative_stability import InputError
from relative_stability.training.numerics import autocast, check_compiler, numerics, out_of_memory
from relative_stability.training.run import Execution, train_run
from tests.training.small import CPU, digits, request

CUDA = torch.device("cuda")


def flags():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark


def test_reference_numbers_are_in_full_precision_and_the_state_comes_back():
    """torch itself rounds the factors of convolutions on a GPU."""
    before = flags()
    with numerics("float32", CUDA):
        assert flags() == (False, False, True, False)
        with numerics("tf32", CUDA):
            assert flags() == (True, True, True, False)
        assert flags() == (False, False, True, False)
    assert flags() == before


def test_bf16_is_an_autocast():
    with autocast("bf16", torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with autocast("float32", torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_without_a_compiler_nothing_is_compiled(monkeypatch, tmp_path):
    check_compiler()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"^engine\.compile: true needs a C\+\+ compiler, and there is none"):
        train_run(request(), digits(), range(1), CPU, execution=Execution(compile=True))


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
    ids=str,
)
def test_what_says_that_memory_is_short(error, short):
    assert out_of_memory(error) == short
