"""Deforming images as a measurement streams them, over a loop that takes them one by one."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

import relative_stability as rs
from benchmarks.timing import ratio, report
from relative_stability.perturbations.base import probes
from relative_stability.perturbations.diffeomorphism import Diffeomorphism

IMAGES, TEMPERATURES = 500, 30
CUTS = (3, 5, 15)
LOOPED = 2  # temperatures that the loop is timed at: its images are independent, and 30 would take a minute


def run() -> Iterator[str]:
    """500 images at 30 temperatures and three cuts, both sides per image."""
    for channels, n in ((3, 32), (1, 28)):
        images = torch.randn(IMAGES, channels, n, n, generator=torch.Generator().manual_seed(0))
        magnitudes = {c: _displacements(n, c) for c in CUTS}

        def streamed(images=images, magnitudes=magnitudes):
            for cut in CUTS:
                family = Diffeomorphism(cut)
                fields = family.prepare(probes(family, tuple(images.shape[1:]), 0, range(IMAGES)), images)
                for displacement in magnitudes[cut]:
                    family.apply(images, fields, displacement)

        def looped(images=images, magnitudes=magnitudes, n=n):
            generator = torch.Generator().manual_seed(0)
            for cut in CUTS:
                for displacement in magnitudes[cut][:: TEMPERATURES // LOOPED]:
                    temperature = rs.temperature(displacement, n, cut)
                    for image in images:
                        textbook(image, temperature, cut, generator)

        share = TEMPERATURES / LOOPED
        slower = tuple(share * r for r in ratio(looped, streamed, rounds=3))
        yield report(f"deforming {IMAGES} images of {channels}×{n}×{n}: one by one / streamed", slower)


def _displacements(n: int, cut: int) -> list[float]:
    low, high = (rs.displacement(t, n, cut) for t in rs.temperature_range(n, cut))
    return torch.linspace(low, high, TEMPERATURES).tolist()


def textbook(image: Tensor, temperature: float, cut: int, generator: torch.Generator) -> Tensor:
    """One image (C, n, n) deformed as the formulas read: a field from its modes, then four neighbours by hand."""
    n = image.shape[-1]
    k = torch.arange(1, cut + 1)
    i, j = torch.meshgrid(k, k, indexing="ij")
    squares = (i**2 + j**2).float()
    sines = torch.sin(math.pi * k[:, None] * torch.linspace(0, 1, n))
    shifts = []
    for _ in range(2):
        coefficients = torch.randn(cut, cut, generator=generator) * (temperature / squares).sqrt() * (squares <= cut**2)
        shifts.append(n * sines.T @ coefficients @ sines)
    y, x = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    x, y = ((p - shift).clamp(0, n - 1) for p, shift in zip((x, y), shifts, strict=True))
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).clamp(max=n - 1), (top + 1).clamp(max=n - 1)
    a, b = x - left, y - top
    upper = (1 - a) * image[:, top, left] + a * image[:, top, right]
    lower = (1 - a) * image[:, bottom, left] + a * image[:, bottom, right]
    return (1 - b) * upper + b * lower
