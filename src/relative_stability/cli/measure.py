"""`relative-stability measure`: a net and a folder of pictures in; a table, a labelled file and a plot out."""

import argparse
import sys
import warnings
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relative_stability.core.errors import InputError, nearest
from relative_stability.perturbations import DISPLACING, FAMILIES

if TYPE_CHECKING:
    import xarray as xr

    from relative_stability.nets.external import Preprocessing

EXAMPLES = """examples:
  relative-stability measure --net torchvision:resnet18 --weights resnet18.safetensors --images photos --out r.nc --plot
  relative-stability measure --net timm:vit_tiny_patch16_224 --images photos --layers blocks --displacement 1
  relative-stability measure --net mypackage.nets:build --weights mine.safetensors --images test --size 32
"""


OFFERED = [name for name in FAMILIES if name != "subspace"]  # pictures name no uninformative directions
PASSED_ON = (
    *("perturbation", "cut", "displacement", "magnitude", "estimator", "layers", "seed", "interpolation", "modes"),
    *("noise_matching", "batch_norm", "draws", "batch_size"),
)


def add_parser(verbs: Any) -> None:
    """Add the verb to the command's parser."""
    parser = verbs.add_parser(
        "measure",
        help="relative stability of any net on a folder of pictures",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    net = parser.add_argument_group("net")
    net.add_argument("--net", required=True, help="torchvision:NAME, timm:NAME, or package.module:function")
    net.add_argument("--weights", type=Path, metavar="FILE", help="safetensors; default: the net at initialisation")
    net.add_argument("--classes", type=int, help="number of outputs, where it is not the constructor's own")
    net.add_argument("--layers", nargs="+", metavar="NAME", help="blocks, all, names and patterns; default: the output")
    net.add_argument("--batch-norm", default="auto", metavar="RULE", help="auto, batch, clean or running")
    net.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    net.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    images = parser.add_argument_group("images")
    images.add_argument("--images", required=True, type=Path, metavar="FOLDER", help="pictures, in subfolders too")
    images.add_argument("--count", type=int, default=500, help="how many are drawn (default 500)")
    images.add_argument("--size", type=int, help="side in pixels; default: what the net was trained on, or as they are")
    images.add_argument("--channels", type=int, choices=(1, 3), default=3, help="1 for grey")
    images.add_argument(
        "--normalize", metavar="MEAN/STD", help="imagenet, none, or numbers such as 0.5/0.25 or 0.5,0.4,0.4/0.2,0.2,0.2"
    )
    what = parser.add_argument_group("measurement")
    what.add_argument("--perturbation", default="diffeomorphism", metavar="FAMILY", help=f"one of {', '.join(OFFERED)}")
    what.add_argument("--cut", type=int, nargs="+", default=[3])
    what.add_argument("--displacement", type=float, nargs="+", default=[0.5, 1, 2], metavar="PIXELS")
    what.add_argument("--magnitude", type=float, nargs="+", help="degrees, log of the factor, norm, or pixels")
    what.add_argument("--estimator", default="mean", help="mean, median or both")
    what.add_argument("--noise-matching", default="auto", metavar="RULE", help="auto, mean or image")
    what.add_argument("--interpolation", default="bilinear", help="bilinear or gaussian")
    what.add_argument("--modes", default="disc", help="disc or rounded (the code of Petrini et al. 2021)")
    what.add_argument("--draws", type=int, default=1, help="perturbations for each image")
    what.add_argument("--batch-size", type=int, default=100)
    what.add_argument("--seed", type=int, default=0)
    out = parser.add_argument_group("results")
    out.add_argument("--out", type=Path, metavar="FILE.nc", help="the labelled result, netCDF")
    out.add_argument("--plot", nargs="?", const="", metavar="FILE.png", help="draw it, beside --out unless named")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Measure, and print and write what comes out. Raises InputError for whatever does not fit, before it starts."""
    plot = _check(options)
    import torch
    from tqdm import tqdm

    from relative_stability.core.provenance import software
    from relative_stability.core.store import write_dataset
    from relative_stability.datasets.images import find_images, load_images
    from relative_stability.nets.external import load_net
    from relative_stability.nets.weights import load_weights
    from relative_stability.stability.measure import measure, refuse_images

    paths = find_images(options.images)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda is asked for and torch sees no GPU; use auto or cpu")
    device = "cuda" if options.device != "cpu" and torch.cuda.is_available() else "cpu"
    net, own = load_net(options.net, options.classes, options.seed)
    if options.weights is not None:
        load_weights(net, options.weights)
    preprocessing = _preprocessing(own, options)
    images = load_images(paths, options.count, *preprocessing, options.channels, options.seed)
    dtype = getattr(torch, options.dtype)
    net, images = net.to(device, dtype), images.to(device, dtype)
    _say(options, images.shape, preprocessing, device)
    refuse_images(net, images, "; see --size and --channels")
    settings = {key: getattr(options, key) for key in PASSED_ON}
    with tqdm(unit="pass", disable=None, leave=False) as bar, warnings.catch_warnings():

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"Warning: {message}", file=sys.stderr)
        result = measure(net, images, **settings, progress=progress)
    result.attrs |= {
        "net": options.net,
        "weights": "at initialisation" if options.weights is None else options.weights.name,
        "weights_sha256": "" if options.weights is None else sha256(options.weights.read_bytes()).hexdigest(),
        "pictures": options.images.name,
        "mean": " ".join(map(str, preprocessing.mean)),
        "std": " ".join(map(str, preprocessing.std)),
        **software(),
    }
    print(table(result))
    print(f"Batch-norm statistics, if it has any: {result.attrs['batch_norm']}", file=sys.stderr)
    if options.out is not None:
        write_dataset(options.out, result)
        print(f"Written to {options.out}", file=sys.stderr)
    if plot is not None:
        _draw(result, plot)


def _check(options: argparse.Namespace) -> Path | None:
    """Refuse what could only fail later; returns where the plot goes."""
    for name, least in (("count", 2), ("size", 2), ("classes", 1), ("batch_size", 1)):
        number = getattr(options, name)
        if number is not None and number < least:
            raise InputError(f"--{name.replace('_', '-')} {number} is refused: {least} or more is needed")
    if options.perturbation not in OFFERED:
        raise InputError(
            f"--perturbation {options.perturbation!r} is unknown; {nearest(options.perturbation, OFFERED)}"
        )
    if options.out is not None and options.out.suffix != ".nc":
        raise InputError(f"--out {options.out} is no netCDF file; give it the ending .nc")
    if options.magnitude is None and options.perturbation not in DISPLACING:
        raise InputError(f"--perturbation {options.perturbation} needs --magnitude, and no displacement")
    plot = None
    if options.plot is not None:
        if not options.plot and options.out is None:
            raise InputError("--plot has no file to go to; add --out FILE.nc, or write --plot FILE.png")
        plot = Path(options.plot) if options.plot else options.out.with_suffix(".png")
        if plot.suffix not in (".png", ".pdf"):
            raise InputError(f"--plot {plot} is no picture file; give it the ending .png or .pdf")
    for path in (options.out, plot):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"folder {path.parent} does not exist; make it before {path.name} can go there")
    return plot


def _preprocessing(own: "Preprocessing", options: argparse.Namespace) -> "Preprocessing":
    """What the options say of the images, over what the net says itself."""
    from relative_stability.nets.external import IMAGENET

    given = own if options.size is None else own._replace(size=options.size)
    if options.normalize is None:
        return given
    if options.normalize == "imagenet":
        return given._replace(mean=IMAGENET[0], std=IMAGENET[1])
    if options.normalize == "none":
        return given._replace(mean=(0.0,), std=(1.0,))
    try:
        mean, std = (tuple(map(float, part.split(","))) for part in options.normalize.split("/"))
    except ValueError:
        raise InputError(
            f"--normalize {options.normalize!r} is refused: imagenet, none, or MEAN/STD such as 0.5/0.25 is needed"
        ) from None
    if len(mean) != len(std) or len(mean) not in (1, options.channels) or min(std) <= 0:
        raise InputError(
            f"--normalize {options.normalize!r} is refused: as many means as positive deviations are needed, one each "
            f"or {options.channels}"
        )
    return given._replace(mean=mean, std=std)


def _say(options: argparse.Namespace, shape: tuple[int, ...], preprocessing: "Preprocessing", device: str) -> None:
    weights = "at initialisation" if options.weights is None else f"weights {options.weights.name}"
    mean, std = (", ".join(f"{x:g}" for x in numbers) for numbers in (preprocessing.mean, preprocessing.std))
    count, channels, height, width = shape
    print(f"{options.net}, {weights}, on {device}", file=sys.stderr)
    print(
        f"{count} images of {channels}×{height}×{width} pixels, normalised by mean {mean} and deviation {std}",
        file=sys.stderr,
    )


def table(result: "xr.Dataset") -> str:
    """One line for each layer and setting: D, G, R, and the interval of R over images."""
    from tabulate import tabulate

    dims = [dim for dim in ("estimator", "layer", "cut", *result.R.dims[-1:]) if dim in result.R.dims]
    frame = result[["D", "G", "R"]].to_dataframe(dim_order=dims).reset_index()
    ends = result.R_interval.transpose("bound", *dims).values.reshape(2, -1)
    frame["95 % interval of R"] = [f"{low:.3g} to {high:.3g}" for low, high in ends.T]
    kept = [*dims, "D", "G", "R", "95 % interval of R"]
    return str(tabulate(frame[kept], headers="keys", floatfmt=".3g", showindex=False))


def _draw(result: "xr.Dataset", path: Path) -> None:
    from relative_stability.core.store import atomic
    from relative_stability.figures.single_net import draw
    from relative_stability.figures.style import apply_style

    apply_style()
    with atomic(path) as temporary:
        draw(result).savefig(temporary, format=path.suffix[1:], dpi=200)
    print(f"Drawn in {path}", file=sys.stderr)
