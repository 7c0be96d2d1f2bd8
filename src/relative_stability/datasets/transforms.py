"""Changes made to a dataset of pictures once, before anything is trained: options of every such entry in a config.

Pictures first, in this order: grey, low-pass, high-pass, noise; then labels: merged, randomised. Filtered and noisy
pixels are kept as float32 on the scale 0 to 1 and are not clipped.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from relative_stability.core.errors import InputError, nearest
from relative_stability.datasets.base import Facts, Samples

Groups = str | Sequence[Sequence[int | str]]
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow turns colour into grey
CHANGES = (
    "grey",
    "low_pass",
    "high_pass",
    "noise",
    "merge_labels",
    "random_labels",
    "normalization",
    "changes_seed",
)


def changed_facts(facts: Facts, grey: bool = False, merge_labels: Groups | None = None, **others: Any) -> Facts:
    """The sizes of a dataset after its changes."""
    for key in ("low_pass", "high_pass"):
        highest = math.sqrt(2) * (facts.image_size - 1)
        if others.get(key) is not None and others[key] >= highest:
            raise InputError(
                f"{key} = {others[key]} is refused: the highest mode of pictures of {facts.image_size} pixels has "
                f"√(i² + j²) = {highest:.1f}, so less is needed"
            )
    if grey:
        facts = facts._replace(channels=1)
    if merge_labels is not None:
        numbers = [str(number) for number in range(facts.classes)]
        named = not isinstance(merge_labels, str) and any(isinstance(c, str) for g in merge_labels for c in g)
        if not named:  # names are known once the dataset is loaded
            _groups(merge_labels, numbers)
        facts = facts._replace(classes=2 if isinstance(merge_labels, str) else len(merge_labels))
    return facts


def changed(
    samples: Samples,
    grey: bool = False,
    low_pass: int | None = None,
    high_pass: int | None = None,
    noise: float = 0,
    merge_labels: Groups | None = None,
    random_labels: float = 0,
    normalization: str | None = None,
    changes_seed: int = 0,
) -> Samples:
    """The samples after their changes, which `source` then names.

    grey: luminance; low_pass, high_pass: see `filtered`; noise: standard deviation of Gaussian noise, in units of the
    range from black to white; merge_labels: groups of classes by number or name, or `parity` (even and odd) or
    `halves` (first and second half of the classes); random_labels: fraction of the training labels replaced by random
    ones (Zhang et al. 2017, arXiv 1611.03530); normalization: of the pixels that nets see, see `prepared`.
    """
    words = []
    if grey:
        samples, words = samples._replace(images=greyed(samples.images)), ["grey"]
    for key, cut in (("low_pass", low_pass), ("high_pass", high_pass)):
        if cut is not None:
            samples = samples._replace(images=filtered(samples.images, cut, keep_low=key == "low_pass"))
            words.append(f"{key} {cut}")
    if noise:
        generator = np.random.default_rng((changes_seed, 0))
        images = scaled(samples.images)
        for batch in np.array_split(images, max(1, len(images) // 1000)):
            batch += noise * generator.standard_normal(batch.shape, np.float32)
        samples = samples._replace(images=images)
        words.append(f"noise {noise:g}")
    if merge_labels is not None:
        samples = merged(samples, merge_labels)
        words.append("labels merged")
    if random_labels:
        generator = np.random.default_rng((changes_seed, 1))
        labels, train = samples.labels.copy(), np.flatnonzero(~samples.test)
        chosen = generator.permutation(train)[: round(random_labels * len(train))]
        labels[chosen] = generator.integers(len(samples.class_names), size=len(chosen))
        samples = samples._replace(labels=labels)
        words.append(f"{random_labels:g} of the training labels random")
    if normalization is not None:
        samples = samples._replace(normalization=normalization)
    return samples._replace(source=", ".join([samples.source, *words]))


def scaled(images: np.ndarray) -> np.ndarray:
    """Pixels as new float32 numbers from 0 (black) to 1 (white)."""
    return images.astype(np.float32) / np.float32(255) if images.dtype == np.uint8 else images.copy()


def greyed(images: np.ndarray) -> np.ndarray:
    """Luminance 0.299 R + 0.587 G + 0.114 B, (N, 1, n, n) from (N, 3, n, n); one channel stays as it is."""
    if images.shape[1] != 3:
        return images
    grey = np.einsum("ncyx,c->nyx", images, np.array(LUMINANCE, np.float32), dtype=np.float32)[:, None]
    return np.asarray(np.round(grey), np.uint8) if images.dtype == np.uint8 else np.asarray(grey)


def filtered(images: np.ndarray, cut: int, keep_low: bool) -> np.ndarray:
    """Images without their cosine modes cos(iπu) cos(jπv) beyond i² + j² = cut², or without those up to it.

    The same unit as the cut of a displacement field, half waves a side; cosines have no jump at the border as Fourier
    modes do. The mean (i = j = 0) is kept by both. (N, C, n, n) of any kind to float32 on the scale 0 to 1.
    """
    from scipy.fft import dctn, idctn

    n = images.shape[-1]
    i = np.arange(n)
    low = i[:, None] ** 2 + i**2 <= cut**2
    kept = low if keep_low else ~low
    kept[0, 0] = True
    out = scaled(images)
    for batch in np.array_split(out, max(1, len(out) // 1000)):
        batch[...] = idctn(dctn(batch, axes=(-2, -1), norm="ortho") * kept, axes=(-2, -1), norm="ortho")
    return out


def merged(samples: Samples, merge_labels: Groups) -> Samples:
    """Samples whose classes are groups of the former ones."""
    names = samples.class_names
    groups = _groups(merge_labels, names)
    counted = isinstance(merge_labels, str) or any(isinstance(label, int) for group in merge_labels for label in group)
    if counted and all(map(str.isdecimal, names)) and list(names) != sorted(names, key=int):
        raise InputError(
            f"merge_labels counts classes in their order, which is {', '.join(names[:4])}, …; give them by name, in "
            "quotation marks, or pad the names with zeros"
        )
    group_of = np.empty(len(samples.class_names), np.int64)
    for number, group in enumerate(groups):
        group_of[group] = number
    names = tuple("+".join(samples.class_names[c] for c in group) for group in groups)
    return samples._replace(labels=group_of[samples.labels], class_names=names)


def _groups(merge_labels: Groups, names: Sequence[str]) -> list[list[int]]:
    """Groups as class numbers. Raises InputError unless every class stands in exactly one group."""
    count = len(names)
    if merge_labels == "parity":
        return [list(range(0, count, 2)), list(range(1, count, 2))]
    if merge_labels == "halves":
        return [list(range((count + 1) // 2)), list(range((count + 1) // 2, count))]
    numbers: dict[int | str, int] = {name: number for number, name in enumerate(names)}
    numbers.update({number: number for number in range(count)})
    found: list[list[int]] = []
    for group in merge_labels:
        for label in group:
            if label not in numbers:
                raise InputError(f"merge_labels: there is no class {label!r}; {nearest(str(label), names)}")
        found.append([numbers[label] for label in group])
    flat = [c for group in found for c in group]
    twice = next((c for c in flat if flat.count(c) > 1), None)
    if twice is not None:
        raise InputError(f"merge_labels: class {names[twice]!r} stands in two groups; every class may stand once")
    missing = [name for number, name in enumerate(names) if number not in flat]
    if missing:
        raise InputError(f"merge_labels: class {missing[0]!r} stands in no group; every class must stand in one")
    return found
