"""`relative-stability measure`: nets and images in; a table, a labelled file and a plot out."""

import argparse
import sys
import warnings
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from relative_stability.core.errors import InputError, nearest
from relative_stability.perturbations import DISPLACING, FAMILIES

if TYPE_CHECKING:
    import pandas as pd
    import torch
    import xarray as xr

    from relative_stability.datasets.streamed import StreamedImages

EXAMPLES = """examples:
  relative-stability measure --net torchvision:resnet18 --pretrained --images imagenet/val --out r.nc --plot
  relative-stability measure --net mynets:build(width=2) --weights mine.pth --mean 0.13 --std 0.31 --images mnist_5k
  relative-stability measure --net timm:vit_tiny_patch16_224 --weights vit.pth --images photos.zip --layers blocks
  relative-stability measure --net a.pt2 --net b.pt2 --images test --plot both.png
  relative-stability measure --nets nets.yaml --images test --csv > table.csv

nets.yaml, where each net has what the options would say of it:
  resnet18: {net: torchvision:resnet18, pretrained: true}
  mine: {net: mynets:build, weights: mine.pth, mean: [0.13], std: [0.31], size: 28}
"""


OFFERED = [name for name in FAMILIES if name != "subspace"]  # pictures name no uninformative directions
PASSED_ON = (
    *("perturbation", "cut", "displacement", "magnitude", "estimator", "seed", "interpolation", "modes"),
    *("noise_matching", "batch_norm", "draws", "batch_size"),
)
ENDS = ("low", "high")  # of an interval
# What an entry of --nets may say of its net, and of which kind that is.
OF_A_NET: dict[str, type | tuple[type, ...]] = {
    "net": str, "weights": str, "pretrained": bool, "classes": int, "layers": (str, list), "logits": str, "output": str,
    "transforms": str, "size": int, "crop": int, "mean": list, "std": list, "channels": int, "batch_norm": str,
}  # fmt: skip


def add_parser(verbs: Any) -> None:
    """Add the verb to the command's parser."""
    parser = verbs.add_parser(
        "measure",
        help="relative stability, and test error, of any nets on images",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    net = parser.add_argument_group("net")
    net.add_argument("--net", action="append", default=[], metavar="NET", help="torchvision:NAME, timm:NAME, "
                     "package.module:NAME, or a program in a file (.pt2, TorchScript); or several")  # fmt: skip
    net.add_argument("--nets", type=Path, metavar="FILE.yaml", help="several nets, each with its own options")
    net.add_argument("--weights", action="append", default=[], metavar="FILE", help="of each --net, in their order: "
                     "safetensors, or what torch.save has written; default: at initialisation")  # fmt: skip
    net.add_argument("--pretrained", action="store_true", help="with the weights of torchvision or timm")
    net.add_argument("--classes", type=int, help="number of outputs, where it is not the constructor's own")
    net.add_argument("--layers", nargs="+", metavar="NAME", help="blocks, all, names and patterns; default: the output")
    net.add_argument("--logits", nargs="?", const="", metavar="LAYER", help="measure this layer in place of the "
                     "output; without a name the last one before a softmax")  # fmt: skip
    net.add_argument("--output", metavar="KEY", help="the part of the output that is measured, where it has several")
    net.add_argument("--batch-norm", default="auto", metavar="RULE", help="auto, batch, clean or running")
    net.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    net.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    images = parser.add_argument_group("images")
    images.add_argument("--images", required=True, metavar="WHERE", help="a folder or archive of pictures, an idx "
                        "file, or a dataset by its name; classes are folders")  # fmt: skip
    images.add_argument("--count", type=int, default=500, help="how many are drawn (default 500)")
    images.add_argument("--class-names", type=Path, metavar="FILE", help="the classes in the order of the net's "
                        "outputs, one in a line; default: sorted")  # fmt: skip
    images.add_argument("--transforms", choices=("auto", "none"), default="auto", help="auto: as torchvision and timm "
                        "say of their nets; none: pixels from 0 to 1")  # fmt: skip
    images.add_argument("--size", type=int, help="pixels that the shorter side is brought to")
    images.add_argument("--crop", type=int, help="side of the central square that is cut out; default: --size")
    images.add_argument("--mean", type=float, nargs="+", help="of each channel, taken off pixels from 0 to 1")
    images.add_argument("--std", type=float, nargs="+", help="of each channel, by which they are then divided")
    images.add_argument(
        "--channels", type=int, choices=(1, 3), help="1 for grey; default: what the net's first layer takes"
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
    out.add_argument("--json", action="store_true", help="print JSON in place of the table")
    out.add_argument("--csv", action="store_true", help="print CSV in place of the table")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, and print and write what comes out. Returns 1 where one net of several failed.

    Raises InputError for whatever does not fit, before it starts.
    """
    plot, nets = _check(options), _nets(options)
    from tqdm import tqdm

    results: dict[str, xr.Dataset] = {}
    failed = 0
    with tqdm(unit="pass", disable=None, leave=False) as bar, warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        for k, (name, net) in enumerate(nets.items()):
            warnings.showwarning = lambda message, *_, name=name: _say(name, nets, f"Warning: {message}")
            before = bar.n

            def progress(done: int, total: int, before: int = before, left: int = len(nets) - k) -> None:
                bar.total = before + total * left
                bar.update(before + done - bar.n)

            try:
                results[name] = _measured(net, lambda words, name=name: _say(name, nets, words), progress)
            except Exception as error:  # whatever one net raises, the others are measured
                if len(nets) == 1:
                    raise
                failed += 1
                kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
                _say(name, nets, f"not measured: {kind}{error}")
    if not results:
        raise InputError("none of the nets could be measured")
    result = combined(results) if len(nets) > 1 else next(iter(results.values()))
    shown = rows(result)
    if options.json or options.csv:
        print(shown.to_json(orient="records") if options.json else shown.to_csv(index=False), end="")
    else:
        print(table(result))
    _write(result, options.out, plot)
    return int(failed > 0)


def _say(name: str, nets: dict[str, argparse.Namespace], words: str) -> None:
    print(f"{name}: {words}" if len(nets) > 1 else words, file=sys.stderr)


def _nets(options: argparse.Namespace) -> dict[str, argparse.Namespace]:
    """The options of each net, by its name."""
    from relative_stability.plan.files import parsed

    common = vars(options)
    if options.nets is not None:
        if options.net or options.weights:
            raise InputError("--nets names nets and their weights; leave out --net and --weights")
        if not options.nets.is_file():
            raise InputError(f"--nets {options.nets} does not exist")
        entries = parsed(options.nets.read_text(encoding="utf-8"), options.nets)
        if not isinstance(entries, dict) or not entries:
            raise InputError(f"{options.nets} names no nets; a line for each is needed: NAME: {{net: torchvision:…}}")
        return {str(name): _entry(f"{options.nets}: {name}", entry, common) for name, entry in entries.items()}
    if not options.net:
        raise InputError("a net is missing; name one with --net, or several in --nets FILE.yaml")
    if len(options.weights) not in (0, len(options.net)):
        raise InputError(f"--weights stands {len(options.weights)} times, and --net {len(options.net)} times")
    files: list[Any] = options.weights or [None] * len(options.net)
    found: dict[str, argparse.Namespace] = {}
    for net, file in zip(options.net, files, strict=True):
        name = f"{net} ({Path(file).name})" if file and options.net.count(net) > 1 else net
        if name in found:
            raise InputError(f"--net {name} is given twice; leave one out")
        found[name] = argparse.Namespace(**{**common, "net": net, "weights": file})
    return found


def _entry(where: str, entry: Any, common: dict[str, Any]) -> argparse.Namespace:
    if not isinstance(entry, dict) or "net" not in entry:
        raise InputError(f"{where} has no key 'net'; write {{net: torchvision:resnet18}}, say")
    for key, value in entry.items():
        if key not in OF_A_NET:
            raise InputError(f"{where}: key {key!r} is unknown; {nearest(str(key), OF_A_NET)}")
        if not isinstance(value, OF_A_NET[key]):
            raise InputError(f"{where}: {key} = {value!r} is of another kind than is needed; see --help")
    listed = {"layers": [entry["layers"]]} if isinstance(entry.get("layers"), str) else {}
    net = argparse.Namespace(**{**common, "weights": None, **entry, **listed})
    _check_images(net)
    return net


def _measured(net: argparse.Namespace, say: Any, progress: Any) -> "xr.Dataset":
    """What `measure` finds of one net, with what was measured in its attributes. net: its options."""
    import torch

    from relative_stability.core.provenance import software
    from relative_stability.datasets.streamed import open_images
    from relative_stability.nets.external import Element, Preprocessing, colours, load_net
    from relative_stability.nets.weights import load_weights
    from relative_stability.stability.measure import measure, refuse_images

    if net.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda is asked for and torch sees no GPU; use auto or cpu")
    if net.weights and net.pretrained:
        raise InputError("--pretrained and --weights are two kinds of weights; give one")
    device, dtype = "cuda" if net.device != "cpu" and torch.cuda.is_available() else "cpu", getattr(torch, net.dtype)
    module, own = load_net(net.net, net.classes, net.seed, net.pretrained)
    origin = "weights of the library" if net.pretrained else "at initialisation"
    origin = "weights in the file" if Path(net.net).is_file() else origin
    if net.weights:
        without = load_weights(module, net.weights).without
        origin = f"weights {Path(net.weights).name}" + (f" (without {', '.join(without)})" if without else "")
    own = own if net.transforms == "auto" else Preprocessing()
    preprocessing = own.but(net.size, net.crop, net.mean, net.std)
    channels = net.channels or colours(module)
    module = module.to(device, dtype)
    if net.output is not None:
        module = Element(module, net.output)
    with open_images(net.images, preprocessing.transform, net.count, channels, net.seed, dtype, device) as images:
        mean, std = (", ".join(f"{x:g}" for x in numbers) for numbers in (preprocessing.mean, preprocessing.std))
        say(f"{net.net}, {origin}, on {device}")
        shape = "×".join(map(str, images.shape[1:]))
        how = f"normalised by mean {mean} and deviation {std}" if mean != "0" or std != "1" else "not normalised"
        say(f"{len(images)} images of {shape} pixels, {how}")
        output = refuse_images(module, images, "; see --size and --channels")  # type: ignore[arg-type]
        layers = net.layers if net.logits is None else [_before_softmax(module, net.logits, images)]
        labels = _labels(net, images, output, say)
        settings = {key: getattr(net, key) for key in PASSED_ON}
        start = perf_counter()
        result = measure(module, images, **settings, layers=layers, labels=labels, progress=progress)  # type: ignore[arg-type]
        seconds = perf_counter() - start
    if net.logits is not None:
        result = result.isel(layer=0, drop=True).drop_vars("depth", errors="ignore").assign_attrs(logits=layers[0])
    passes = 1 + result.noise_norm.size * (2 + (net.estimator == "both" and net.noise_matching == "auto"))
    speed = passes * len(images) * net.draws / seconds
    result["images_per_second"] = (), speed, {"long_name": "images through the net in a second", "units": "1/s"}
    result.attrs |= {
        "net": net.net,
        "weights": origin.removeprefix("weights "),
        "weights_sha256": sha256(Path(net.weights).read_bytes()).hexdigest() if net.weights else "",
        "pictures": Path(net.images).name,
        "mean": " ".join(map(str, preprocessing.mean)),
        "std": " ".join(map(str, preprocessing.std)),
        **software(),
    }
    say(f"Batch-norm statistics, if it has any: {result.attrs['batch_norm']}")
    return result


def _before_softmax(module: "torch.nn.Module", layer: str, images: "StreamedImages") -> str:
    """The layer that is measured in place of the output: the one named, or the last that is no softmax."""
    from relative_stability.stability.activations import pick_layers
    from relative_stability.stability.evaluation_mode import evaluation_mode

    with evaluation_mode(module, "running", images.device):
        ran = pick_layers(module, layer or "all", images)  # type: ignore[arg-type]
    modules = {name: part for name, part in module.named_modules() if not list(part.children())}
    ends = [name for name in ran if layer or (name in modules and "Softmax" not in type(modules[name]).__name__)]
    if not ends:
        raise InputError("--logits: the net has no layer before its softmax that can be read; name one")
    return ends[-1]


def _labels(net: argparse.Namespace, images: "StreamedImages", output: Any, say: Any) -> "torch.Tensor | None":
    """The class of each image in the order of the net's outputs, where that is known; else it is said why it is not."""
    from relative_stability.nets.external import renumbered
    from relative_stability.stability.activations import tensors_in

    scores = next((part.shape[1] for part in tensors_in(output) if part.ndim == 2), 0)
    classes = list(images.class_names)
    if images.labels is None:
        if net.class_names is not None:
            raise InputError(f"--class-names names classes, and {net.images} has none: sort its pictures into folders")
        if classes:
            say(f"No test error: all images lie in one folder, {classes[0]!r}; give one folder for each class")
        return None
    if net.class_names is not None:
        return renumbered(images.labels, classes, net.class_names)
    if len(classes) != scores:
        say(
            f"No test error: the images have {len(classes)} classes and the net {scores or 'no'} scores; --class-names "
            "FILE says which of its outputs they are"
        )
        return None
    return images.labels


def _check(options: argparse.Namespace) -> Path | None:
    """Refuse what could only fail later; returns where the plot goes."""
    for name, least in (("count", 2), ("classes", 1), ("batch_size", 1)):
        number = getattr(options, name)
        if number is not None and number < least:
            raise InputError(f"--{name.replace('_', '-')} {number} is refused: {least} or more is needed")
    _check_images(options)
    if options.perturbation not in OFFERED:
        raise InputError(
            f"--perturbation {options.perturbation!r} is unknown; {nearest(options.perturbation, OFFERED)}"
        )
    if options.json and options.csv:
        raise InputError("--json and --csv are two ways to print; give one")
    if options.class_names is not None and not options.class_names.is_file():
        raise InputError(f"--class-names {options.class_names} does not exist")
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


def _check_images(options: argparse.Namespace) -> None:
    """Refuse what the options of a net say of its images, and cannot be done."""
    for name in ("size", "crop"):
        number = getattr(options, name)
        if number is not None and number < 2:
            raise InputError(f"--{name} {number} is refused: 2 or more is needed")
    if options.size and options.crop and options.crop > options.size:
        raise InputError(f"--crop {options.crop} is more than --size {options.size}")
    if (options.mean is None) != (options.std is None):
        raise InputError("--mean and --std go together; give both")
    mean, std = options.mean or [0], options.std or [1]
    if len(mean) != len(std) or len(mean) not in (1, 3) or min(std) <= 0:
        raise InputError(
            f"--mean {mean} --std {std} is refused: as many means as positive deviations, 1 or 3, are needed"
        )


def combined(results: dict[str, "xr.Dataset"]) -> "xr.Dataset":
    """What was measured of several nets, along a dimension `net`; layers by their position, with names beside them."""
    import numpy as np
    import pandas as pd
    import xarray as xr

    parts = []
    for result in results.values():
        part = result.reset_coords([name for name in result.coords if name not in result.dims])
        if "layer" in part.dims:
            names = part["layer"].astype(str)
            part = part.assign_coords(layer=np.arange(len(names))).assign(layer_name=("layer", names.values))
        parts.append(part.assign(weights=part.attrs["weights"]))
    joined = xr.concat(
        parts, pd.Index(list(results), name="net"), data_vars="all", join="outer", combine_attrs="drop_conflicts",
        fill_value={"layer_name": ""},
    )  # fmt: skip
    return joined.drop_vars("depth", errors="ignore").set_coords([n for n in ("layer_name", "weights") if n in joined])


def rows(result: "xr.Dataset") -> "pd.DataFrame":
    """One row for each net, layer and setting: D, G, R and the test error with their intervals."""
    dims = [dim for dim in ("net", "estimator", "layer", "cut", str(result.R.dims[-1])) if dim in result.R.dims]
    kept = [name for name in ("test_error", "R", "D", "G") if name in result]
    frame = result[kept].reset_coords(drop=True).to_dataframe(dim_order=dims)
    besides = {f"{name}_{end}": result[f"{name}_interval"].isel(bound=k) for name in kept for k, end in enumerate(ENDS)}
    if "images_per_second" in result:
        besides["images_per_second"] = result["images_per_second"]
    for name, values in besides.items():
        frame[name] = values.broadcast_like(result.R).transpose(*dims).values.ravel()
    frame = frame.reset_index()
    if "layer_name" in result.coords:
        names = result["layer_name"].to_series()
        frame["layer"] = [names[net, layer] for net, layer in zip(frame["net"], frame["layer"], strict=True)]
        frame = frame[frame["layer"] != ""]  # of nets with fewer layers than others
    return frame


def table(result: "xr.Dataset") -> str:
    """The rows as they are read in a terminal."""
    from tabulate import tabulate

    frame = rows(result)
    shown = frame[[dim for dim in ("net", "estimator", "layer", "cut", str(result.R.dims[-1])) if dim in frame]].copy()
    for name, word in (("test_error", "test error"), ("R", "R"), ("D", "D"), ("G", "G")):
        if name in frame:
            shown[word] = [f"{value:.3g}" for value in frame[name]]
            if name in ("test_error", "R"):
                ends = zip(frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
                shown[f"95 % interval of {word if name == 'R' else 'it'}"] = [f"{a:.3g} to {b:.3g}" for a, b in ends]
    if "images_per_second" in frame:
        shown["images/s"] = [f"{value:.3g}" for value in frame["images_per_second"]]
    return str(tabulate(shown, headers="keys", showindex=False, disable_numparse=True))


def _write(result: "xr.Dataset", out: Path | None, plot: Path | None) -> None:
    from relative_stability.core.store import atomic, write_dataset
    from relative_stability.figures import plot as draw

    if out is not None:
        write_dataset(out, result)
        print(f"Written to {out}", file=sys.stderr)
    if plot is not None:
        with atomic(plot) as temporary:
            draw(result).savefig(temporary, format=plot.suffix[1:], dpi=200)
        print(f"Drawn in {plot}", file=sys.stderr)
