"""Maximum-entropy diffeomorphisms beside the elastic transforms of torchvision and Kornia, at equal displacement.

Each is scaled so that pixels of 32×32 images move by the same root mean square. Then: how many images a second one
core deforms, each with a field of its own; how much the displacement differs from field to field; how far the border
moves; how much of the displacement lies in waves as long as those of cut 3; and how many fields fold the image over.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from scipy.fft import dctn
from torch import Tensor

import relative_stability as rs
from relative_stability.perturbations.diffeomorphism import folded, rms_displacement

N, FIELDS, CUT = 32, 500, 3
NORMS = (1.0, 2.0)  # root mean square displacements, pixels

Sample = Callable[[Tensor, float], tuple[Tensor, Tensor]]


class Method(NamedTuple):
    """`sample(images, strength)` deforms each image with a field of its own; returns images and fields in pixels.

    setting: what the strength is called there, as a template.
    """

    name: str
    sample: Sample
    setting: Callable[[float], str]


def ours(images: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """strength: root mean square displacement in pixels, which the temperature sets."""
    temperature = (strength / rms_displacement(1, N, CUT)) ** 2
    fields = rs.sample_displacement(N, CUT, temperature, len(images), torch.Generator().manual_seed(0))
    return rs.deform(images, fields), fields


def torchvision(images: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """ElasticTransform at its σ = 5 pixels: one field a call, so that images are taken one by one."""
    from torchvision.transforms import v2

    transform = v2.ElasticTransform(alpha=50 * strength, sigma=5.0)
    fields, deformed = [], []
    for image in images:
        parameters = transform.make_params([image])
        deformed.append(transform.transform(image, parameters))
        # Its grid runs from -1 to 1 over n pixels, and it adds the displacement where we subtract it.
        fields.append(-parameters["displacement"].movedim(-1, 1) * N / 2)
    return torch.stack(deformed), torch.cat(fields)


def kornia(images: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """elastic_transform2d with the same σ = 5 pixels, for all images at once."""
    from kornia.filters import gaussian_blur2d
    from kornia.geometry.transform import elastic_transform2d

    noise = torch.rand(len(images), 2, N, N) * 2 - 1
    options = {"kernel_size": (41, 41), "sigma": (5.0, 5.0)}
    deformed = elastic_transform2d(images, noise, alpha=(strength, strength), **options)
    return deformed, -gaussian_blur2d(noise, **options, border_type="constant") * strength * N / 2


METHODS = (
    Method(
        "maximum entropy, cut 3 (ours)", ours, lambda s: f"T = {(s / rms_displacement(1, N, CUT)) ** 2:.2g}, by formula"
    ),
    Method("torchvision ElasticTransform", torchvision, lambda s: f"alpha = {50 * s:.3g}, by trial"),
    Method("Kornia elastic_transform2d", kornia, lambda s: f"alpha = {s:.2g}, by trial"),
)
HEADER = (
    "| transform | setting for 1 px | images/s | spread of the norm | border / all | power in i²+j² ≤ 9 "
    + "".join(f"| folded at {norm:g} px " for norm in NORMS)
    + "|"
)


def run() -> Iterator[str]:
    """The table, in Markdown."""
    torch.manual_seed(0)  # torchvision's and Kornia's transforms draw from the global generator
    images = torch.randn(FIELDS, 3, N, N)
    yield HEADER
    yield "|---" * (HEADER.count("|") - 1) + "|"
    for method in METHODS:
        unit = _rms(method.sample(images, 1.0)[1])
        strengths = [norm / unit for norm in NORMS]
        deformed, fields = method.sample(images, strengths[0])
        _check(images, deformed, fields)
        rms = fields.square().sum(1).mean((1, 2)).sqrt()
        cells = [
            method.name,
            method.setting(strengths[0]),
            f"{_speed(method, images, strengths[0]):,.0f}",
            f"{float(rms.std() / rms.mean()):.0%}",
            f"{_border(fields):.2f}",
            f"{_low_power(fields):.0%}",
            *(f"{float(folded(method.sample(images, s)[1]).float().mean()):.1%}" for s in strengths),
        ]
        yield "| " + " | ".join(cells) + " |"


def _rms(fields: Tensor) -> float:
    return math.sqrt(float(fields.square().sum(1).mean()))


def _check(images: Tensor, deformed: Tensor, fields: Tensor) -> None:
    """The fields are those that were applied: inside the image, ours of the same fields gives the same pixels."""
    inside = (..., slice(8, -8), slice(8, -8))
    torch.testing.assert_close(deformed[inside], rs.deform(images, fields)[inside], atol=1e-3, rtol=0)


def _speed(method: Method, images: Tensor, strength: float) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        method.sample(images, strength)
        times.append(time.perf_counter() - start)
    return len(images) / sorted(times)[2]


def _border(fields: Tensor) -> float:
    """Root mean square displacement on the border over that of all pixels."""
    edges = torch.cat([fields[..., 0, :], fields[..., -1, :], fields[..., :, 0], fields[..., :, -1]], dim=-1)
    return math.sqrt(float(edges.square().sum(1).mean())) / _rms(fields)


def _low_power(fields: Tensor) -> float:
    """Share of the displacement's power in waves of at most as many half periods as the cut allows.

    By cosines, which no border condition favours; a sine that vanishes on the border is a sum of several of them.
    """
    power = torch.from_numpy(dctn(fields.double().numpy(), axes=(2, 3), norm="ortho")).square().sum((0, 1))
    k = torch.arange(N)
    return float(power[(k[:, None] ** 2 + k**2) <= CUT**2].sum() / power.sum())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in run():
        print(line, flush=True)
