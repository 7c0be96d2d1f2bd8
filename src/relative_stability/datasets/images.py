"""Picture files: which there are, and one of them as pixels."""

from pathlib import Path
from typing import TYPE_CHECKING

from relative_stability.core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

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
