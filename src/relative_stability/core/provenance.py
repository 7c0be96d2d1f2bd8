"""What made a result: versions, commit, device. Written into every file."""

import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def commit() -> str:
    """The commit of the checkout that this package runs from ("+" where it was edited since), or "unknown"."""
    try:
        revision = _git("rev-parse", "HEAD")
        edited = _git("status", "--porcelain", "--untracked-files=no", ".")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return revision + ("+" if edited else "")


def _git(*arguments: str) -> str:
    here = Path(__file__).parents[1]
    done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def software() -> dict[str, str]:
    """Version of this package and its commit."""
    return {"package_version": version("relative-stability"), "commit": commit()}


def hardware(device: str) -> dict[str, str]:
    """Versions of torch and CUDA and the name of the device."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
    return {
        "torch_version": str(torch.__version__),
        "cuda_version": str(torch.version.cuda or "none"),
        "device": name,
    }
