"""Picture files: which there are, one of them as pixels, and several as a tensor."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relative_stability.core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its ending; hidden files, such as those that some systems leave, are not."""
    return name.lower().endswith(SUFFIXES) and not Path(name).name.startswith(".")


def read_picture(path: Path, channels: int = 3, called: str = "") -> "Image":
    """A picture in colour (3 channels) or grey (1), turned upright as its EXIF data say, transparency left out.

    Raises InputError, naming it (as `called`, if that is given), if it cannot be read.
    """
    from PIL import Image, ImageOps

    name = called or str(path)
    try:
        with Image.open(path) as opened:
            mode = opened.mode
            picture = ImageOps.exif_transpose(opened) if mode[0] not in "IF" else opened
            picture = picture.convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"images: {name} cannot be read ({error}); remove or replace it") from None
    if mode[0] in "IF":
        raise InputError(f"images: {name} has pixels of more than 8 bits ({mode}); convert it to 8")
    return picture


def central_square(picture: "Image", size: int | None = None) -> "Image":
    """The central square of a picture, resized to `size` pixels (bilinear, antialiased), or as it is without one."""
    from PIL import Image

    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    return picture if size in (None, side) else picture.resize((size, size), Image.Resampling.BILINEAR)


def find_images(folder: Path) -> list[Path]:
    """All pictures under a folder, sorted by path. Raises InputError where there are fewer than two."""
    if not folder.is_dir():
        raise InputError(f"images: folder {folder} does not exist")
    found = sorted(path for path in folder.rglob("*") if is_picture(path.name))
    if len(found) < 2:
        raise InputError(
            f"images: {folder} holds {len(found)} pictures ({', '.join(SUFFIXES)}); at least two are needed"
        )
    return found


def load_images(
    paths: Sequence[Path],
    count: int,
    size: int | None = None,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    channels: int = 3,
    seed: int = 0,
) -> "Tensor":
    """`count` of the pictures (all, if there are fewer), drawn at random: (N, C, n, n), float32.

    Each is cropped to its central square, resized to n = `size` pixels (bilinear, antialiased) and normalised to
    (pixel/255 − mean)/std; without a size, all must have the same. channels: 3, or 1 for grey. Raises InputError for a
    picture that cannot be read.
    """
    import numpy as np
    import torch

    from relative_stability.core.randomness import generator

    chosen = torch.randperm(len(paths), generator=generator(seed, "pictures"))[:count].sort().values
    pixels: list[np.ndarray] = []
    for path in (paths[i] for i in chosen.tolist()):
        picture = central_square(read_picture(path, channels), size)
        pixels.append(np.asarray(picture).reshape(picture.height, picture.width, -1))
        if pixels[-1].shape != pixels[0].shape:
            raise InputError(
                f"images: {path} is {picture.width} pixels wide, the first one {pixels[0].shape[0]}; give one --size"
            )
    images = torch.from_numpy(np.stack(pixels)).movedim(-1, 1).float() / 255
    centre, scale = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (mean, std))
    if len(centre) not in (1, channels):
        centre, scale = centre.mean().view(1, 1, 1), scale.mean().view(1, 1, 1)  # colours' values, for grey images
    return ((images - centre) / scale).contiguous()
