"""UCI handwritten digits as shipped inside scikit-learn: 1,797 real images of 8×8, ink 0 to 16, ten classes.

Ink is brought to 0 … 255 and the image enlarged with Pillow's bilinear filter. The test split of 697 is one fixed
random subset; the 1,100 other images are the training split.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np

from relative_stability.core.errors import InputError
from relative_stability.datasets.base import Samples

TEST_SIZE = 697
TOTAL = 1797
CHECKSUM = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def load(source: str, root: Path, image_size: int = 8) -> Samples:
    """The digits at `image_size` pixels. Raises InputError if scikit-learn ships other images than expected."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = digits.images.astype(np.uint8)
    labels = digits.target.astype(np.int64)
    checksum = sha256(small.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    if checksum != CHECKSUM:
        raise InputError(f"digits: scikit-learn's images have sha256 {checksum}, expected {CHECKSUM}; reinstall it")
    ink = np.round(small * (255 / 16)).astype(np.uint8)
    size = (image_size, image_size)
    large = np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in ink])
    test = np.zeros(TOTAL, bool)
    test[np.random.default_rng(0).permutation(TOTAL)[:TEST_SIZE]] = True
    return Samples(
        large[:, None],
        labels,
        test,
        tuple(str(name) for name in digits.target_names),
        f"UCI handwritten digits, scikit-learn's copy, 8x8 enlarged to {image_size}x{image_size} (bilinear, Pillow)",
    )
