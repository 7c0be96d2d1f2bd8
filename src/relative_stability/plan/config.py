"""A config, checked against the strict schema, with every default filled in.

Whatever is wrong is one sentence that names the key, what was expected and the nearest right word. Nothing here
imports torch: a config is refused before the first job starts, and at once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from relative_stability.core.errors import InputError, nearest
from relative_stability.nets import is_given
from relative_stability.plan.files import Config, check_values, short

GIVEN = "none"  # the training of sweeps whose nets are given


class Schema:
    """The config's schema: checks a part of a config and fills in its defaults."""

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise InputError(f"{path} is not here; run this in the project's folder, or name the schema with --schema")
        self.root = cast(Config, yaml.safe_load(Path(path).read_text(encoding="utf-8")))
        self.registry = Registry().with_resource("", DRAFT202012.create_resource(self.root))

    def part(self, *keys: str) -> Config:
        """The definition at `$defs/key/…`, references followed."""
        node = self.root["$defs"]
        for key in keys:
            node = node[key]
        return self._resolved(node)

    def _resolved(self, node: Config) -> Config:
        while "$ref" in node:
            target: Any = self.root
            for key in node["$ref"].removeprefix("#/").split("/"):
                target = target[key]
            node = target
        return node

    def check(self, value: Any, definition: Config, where: str) -> Config:
        """`value` with defaults filled in. Raises InputError, naming the key below `where`."""
        validator = Draft202012Validator(definition, registry=self.registry)
        error = best_match(validator.iter_errors(value))
        if error is not None:
            raise InputError(self._sentence(error, where))
        return cast(Config, self._filled(value, definition))

    def _filled(self, value: Any, definition: Config) -> Any:
        definition = self._resolved(definition)
        if isinstance(value, list):
            return [self._filled(item, definition.get("items", {})) for item in value]
        if isinstance(value, float) and definition.get("type") in ("integer", "number") and value.is_integer():
            return int(value)  # JSON Schema counts 16.0 as whole, a path and a digest do not
        if not isinstance(value, Mapping):
            return value
        properties = definition.get("properties", {})
        defaults = {
            key: d["default"] for key, d in ((k, self._resolved(p)) for k, p in properties.items()) if "default" in d
        }
        others = definition.get("additionalProperties", False)
        return {
            key: self._filled(item, properties.get(key, others or {})) for key, item in {**defaults, **value}.items()
        }

    def digested(self, options: Mapping[str, Any], definition: Config) -> Config:
        """The options that enter a digest: those with `since` only where they differ from it."""
        properties = definition["properties"]
        return {
            key: value
            for key, value in options.items()
            if "since" not in self._resolved(properties[key]) or value != self._resolved(properties[key])["since"]
        }

    def _sentence(self, error: ValidationError, where: str) -> str:
        path = ".".join([where, *map(str, error.absolute_path)]).strip(".") or "config"
        schema = cast(Config, error.schema)
        if error.validator == "additionalProperties":
            known = schema.get("properties", {})
            unknown = next(key for key in cast(Config, error.instance) if key not in known)
            return f"{path}: key {unknown!r} is unknown; {nearest(str(unknown), known)}"
        if error.validator == "required":
            missing = next(
                key for key in cast(list[str], error.validator_value) if key not in cast(Config, error.instance)
            )
            return self.missing(path, missing, schema)
        if error.validator == "enum":
            choices = [str(choice) for choice in cast(list[Any], error.validator_value)]
            return f"{path}: {error.instance!r} is unknown; {nearest(str(error.instance), choices)}"
        if error.validator in {"minItems", "minProperties", "minLength"}:
            return f"{path} is empty; at least one entry is needed"
        if error.validator == "uniqueItems":
            items = cast(list[Any], error.instance)
            twice = next(item for i, item in enumerate(items) if item in items[:i])
            return f"{path}: {twice!r} is listed twice; remove one"
        return f"{path} = {short(error.instance)} is refused: {_expected(error)}"

    def missing(self, path: str, key: str, definition: Config) -> str:
        """The sentence for a key that is not there."""
        option = self._resolved(definition.get("properties", {}).get(key, {}))
        return f"{path}: key {key!r} is missing; it says: {option.get('description', 'see the schema')}"


_TYPES = {
    "object": "a mapping of keys to values",
    "array": "a list",
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "null": "null",
    "boolean": "true or false",
}


def _expected(error: ValidationError) -> str:
    value = error.validator_value
    words = {
        "minimum": f"{value} or more is needed",
        "maximum": f"{value} or less is needed",
        "maxLength": f"at most {value} characters are needed",
        "exclusiveMinimum": f"more than {value} is needed",
        "exclusiveMaximum": f"less than {value} is needed",
        "type": f"{_TYPES.get(str(value), value)} is needed",
        "anyOf": f"it says: {cast(Config, error.schema).get('description', 'see the schema')}",
        "pattern": "a name of letters, digits and underscores, starting with a letter, is needed",
    }
    return words.get(str(error.validator), error.message)


def merged(*layers: Mapping[str, Any]) -> Config:
    """Flat options, later layers over earlier ones.

    >>> merged({"a": 1, "b": 1}, {"b": 2})
    {'a': 1, 'b': 2}
    """
    return {key: value for layer in layers for key, value in layer.items()}


def check_config(raw: Mapping[str, Any], schema: Schema) -> Config:
    """The config with defaults, and with the entries of datasets and nets that sweeps name without defining them.

    Raises InputError for an unknown key, a value out of range, an unknown source, architecture or figure, and for a
    figure of a sweep that is not defined.
    """
    if not isinstance(raw, Mapping) or not raw.get("sweeps"):
        raise InputError(
            "sweeps is missing or empty in the config; define at least one sweep, or lay your file over the default "
            "with: snakemake --configfile config/config.yaml YOURS.yaml"
        )
    check_values(raw)
    # `training` stays as it is written: its defaults go below those of an architecture.
    config = {**schema.check(raw, schema.root, ""), "training": raw.get("training", {})}
    sweeps = config["sweeps"].values()
    for name, sweep in raw["sweeps"].items():
        given = sweep.get("training") == GIVEN
        config["sweeps"][name] |= {"P": sweep.get("P"), "seeds": sweep.get("seeds", 0)} if given else {}
        missing = None if given else next((key for key in ("P", "seeds") if key not in sweep), None)
        if missing:
            definition = schema.root["properties"]["sweeps"]["additionalProperties"]
            raise InputError(schema.missing(f"sweeps.{name}", missing, definition))
    for section, kind, label in (("datasets", "source", "dataset"), ("nets", "architecture", "net")):
        known = schema.part(section)
        wanted = list(dict.fromkeys(name for sweep in sweeps for name in sweep[section]))
        defined = {**{name: {} for name in wanted if name in known}, **config[section]}
        for name in wanted:
            if name not in defined:
                raise InputError(f"sweeps: {label} {name!r} is not defined; {nearest(name, {*known, *defined})}")
        config[section] = {name: _entry(schema, section, kind, name, entry) for name, entry in defined.items()}
    for name, figure in config["figures"].items():
        kinds = schema.root["properties"]["figures"]["additionalProperties"]["properties"]["kind"]["enum"]
        figure.setdefault("kind", name)
        if figure["kind"] not in kinds:
            raise InputError(f"figures.{name}: kind {figure['kind']!r} is unknown; {nearest(figure['kind'], kinds)}")
        figure["sweep"] = _listed(figure["sweep"])
        figure["select"] = {axis: _listed(values) for axis, values in figure["select"].items()}
        for shown in figure["sweep"]:
            if shown not in config["sweeps"]:
                raise InputError(f"figures.{name}.sweep: {shown!r} is not defined; {nearest(shown, config['sweeps'])}")
    return config


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _entry(schema: Schema, section: str, kind: str, name: str, entry: Mapping[str, Any]) -> Config:
    where = f"{section}.{name}"
    value = entry.get(kind, name)
    known = schema.part(section)
    given = section == "nets" and isinstance(value, str) and is_given(value)
    if not given and (not isinstance(value, str) or value not in known):
        raise InputError(f"{where}: {kind} {value!r} is unknown; {nearest(str(value), known)}")
    definition = schema.part("given") if given else schema.part(section, value)
    options = {key: item for key, item in entry.items() if key != kind}
    filled = schema.check(options, definition, where)
    if "training" in definition["properties"]:
        filled["training"] = options.get("training", {})
        schema.check(filled["training"], schema.part("training"), f"{where}.training")
    return {kind: value, **filled}
