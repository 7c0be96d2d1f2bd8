"""Config files, read strictly: by YAML 1.2, in which `no` is a word and 1e-3 a number, and with every key once.

By themselves Snakemake and PyYAML read YAML 1.1, take 1:30 for 90 and 010 for 8, and of a key's values the last.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from relative_stability.core.errors import InputError

Config = dict[str, Any]
LARGEST = 1_000_000  # bytes of a file
DIGITS = 18  # of a whole number
MOST_VALUES = 100_000  # of a config, aliases written out
DEEPEST = 20
LONGEST = 1000  # characters of a text
SHOWN = 80  # characters of a value in a sentence


class _Loader(yaml.SafeLoader):
    """The scalars of YAML 1.2, with whole numbers in base ten alone, and mappings without duplicate keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012, the parent's declaration

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        first: dict[str, Any] = {}
        for key, _ in node.value:
            if (before := first.setdefault(str(key.value), key)) is not key:
                line = before.start_mark.line + 1
                raise _refused(key, f"key {key.value!r} stands here again, after line {line}; keep one of the two")
        return node

    def flatten_mapping(self, node: Any) -> None:
        super().flatten_mapping(node)
        # Of what is merged only what counts, or merges of merges would grow without bound.
        node.value = list({(key.tag, str(key.value)): (key, value) for key, value in node.value}.values())

    def whole_number(self, node: Any) -> int:
        digits = node.value.lstrip("+-")
        if len(digits) > DIGITS:
            raise _refused(node, f"a whole number of {len(digits)} digits is refused; at most {DIGITS} are needed")
        if digits[0] == "0" and digits != "0":
            shown = digits.lstrip("0") or "0"
            raise _refused(node, f"{node.value} is refused, as some read it in base eight; write {shown} for {shown}")
        return int(node.value)


def _refused(node: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


for _tag, _pattern, _first in (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.whole_number)


def parsed(text: str, where: object) -> Any:
    """What a text of YAML says. Raises InputError, naming `where` and the line."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise InputError(f"{where} is nested too deeply, or refers to itself") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{where}{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{where} is no YAML: {' '.join(str(error).split())}") from None


def read_config(path: str | Path) -> Config:
    """A config file as it is written. Raises InputError, naming the file, and the line where one is known."""
    path, shown = Path(path), named([path])
    if not path.is_file():
        raise InputError(
            f"{shown} {'is no file' if path.exists() else 'does not exist'}; give configs like config/*.yaml"
        )
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{shown} has more than {LARGEST} bytes; a config is a few lines")
        config = parsed(path.read_bytes().decode("utf-8-sig"), shown)
    except UnicodeDecodeError as error:
        raise InputError(f"{shown} is no text in UTF-8 (byte {error.start + 1}); save it in that encoding") from None
    except OSError as error:
        raise InputError(f"{shown} cannot be read ({error.strerror})") from None
    if not isinstance(config, Mapping):
        raise InputError(f"{shown}: keys with values are needed, such as `sweeps:`; it has none")
    check_values(config, f"{shown}: ")
    return dict(config)


def check_values(raw: Mapping[str, Any], named: str = "") -> None:
    """Raise InputError for values that no option means and no schema refuses, and for aliases without an end.

    named: what a sentence begins with.
    """
    left: list[tuple[str, Any]] = [("", raw)]
    for count, (where, value) in enumerate(left):
        if count > MOST_VALUES or where.count(".") > DEEPEST:
            key = where.split(".")[0]
            raise InputError(
                f"{named}{key} is refused: its aliases repeat themselves or make over {MOST_VALUES} values"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{named}{where} = {value} is refused: a finite number is needed")
        if isinstance(value, int) and abs(value) >= 10**DIGITS:
            raise InputError(f"{named}{where} is refused: a whole number of at most {DIGITS} digits is needed")
        if isinstance(value, str) and (len(value) > LONGEST or not value.isprintable()):
            needed = f"a text of one line and at most {LONGEST} characters is needed"
            raise InputError(f"{named}{where} = {short(value)} is refused: {needed}")
        if isinstance(value, Mapping):
            left += [(where, key) for key in value]
            left += [(f"{where}.{key}".strip("."), item) for key, item in value.items()]
        elif isinstance(value, list):
            left += [(f"{where}.{number}", item) for number, item in enumerate(value)]


def short(value: Any) -> str:
    """A value as a sentence shows it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def named(files: Iterable[str | Path], settings: Iterable[str] = ()) -> str:
    """Files as a sentence names them, from here where they lie below."""
    here = Path.cwd()
    paths = [Path(path) for path in files]
    shown = [str(path.relative_to(here) if path.is_relative_to(here) else path) for path in paths]
    return " + ".join([*shown, *settings]) or "the config"


def read_layers(files: Iterable[str | Path], settings: Sequence[str] = ()) -> Config:
    """Config files, later ones over earlier ones, and settings KEY=VALUE over them all, as Snakemake lays them."""
    config: Config = {}
    for layer in (*map(read_config, files), *map(_setting, settings)):
        config = _laid(config, layer)
    return config


def _setting(text: str) -> Config:
    key, given, value = text.partition("=")
    if not given:
        raise InputError(f"--config {text!r} is refused: KEY=VALUE is needed, such as partial=true")
    return {key: parsed(value, f"--config {key}")}


def _laid(below: Config, above: Mapping[str, Any]) -> Config:
    return {
        **below,
        **{
            key: _laid(below[key], value) if isinstance(value, Mapping) and isinstance(below.get(key), dict) else value
            for key, value in above.items()
        },
    }


def let_snakemake_read_strictly() -> None:
    """Snakemake reads its config files before the Snakefile can: whatever is wrong with one is the same sentence here.

    Called by profiles/default. Where a later version of Snakemake looks elsewhere, the Snakefile still reads them so.
    """
    from snakemake.exceptions import WorkflowError
    from snakemake.settings import types

    def load(path: str | Path) -> Config:
        try:
            return read_config(path)
        except InputError as error:
            raise WorkflowError(str(error)) from None

    types.load_configfile = load
