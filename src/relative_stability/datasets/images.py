"""Picture files: which there are, and one of them as pixels."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from relative_stability.core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

TRANSPARENT = "transparent"
# What turns a picture upright, by its orientation in EXIF; other fields, some of them odd, do not matter here.
UPRIGHT = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90",
}  # fmt: skip
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its ending; hidden files, such as those that some systems leave, are not."""
    return name.lower().endswith(SUFFIXES) and not Path(name).name.startswith(".")


def read_picture(path: Path, channels: int = 3, called: str = "") -> "Image":
    """A picture in colour (3 channels) or grey (1), turned upright as its EXIF data say.

    Transparency is left out; a picture that has some says so in its `info`, under TRANSPARENT. Raises InputError,
    naming it (as `called`, if that is given), if it cannot be read.
    """
    from PIL import ExifTags, Image

    name = called or str(path)
    if path.exists() and not path.is_file():
        raise InputError(f"images: {name} is no file; remove or replace it")
    try:
        with Image.open(path) as opened:
            mode = opened.mode
            picture = opened.convert("L" if channels == 1 else "RGB")
            if opened.has_transparency_data and opened.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                picture.info[TRANSPARENT] = True
            turn = UPRIGHT.get(opened.getexif().get(ExifTags.Base.Orientation, 1)) if mode[0] not in "IF" else None
            picture = picture if turn is None else picture.transpose(Image.Transpose[turn])
    except (OSError, SyntaxError, ValueError, TypeError, struct.error, Image.DecompressionBombError) as error:
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
