"""Settings from one YAML file: the keys of ``POOLS``, or host, port, user and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poolapp.conf import written
from poolapp.conf.faults import Fault
from poolapp.conf.kinds import KINDS, location
from poolapp.conf.reading import Layer
from poolapp.conf.rules import KEYS, RULES
from poolapp.conf.wrong import Wrong, nearest, shown

SECTIONS = ("pools", "databases")


PARTS = (
    "host", "hosts", "port", "user", "password", "database", "bucket", "region", "endpoint",
    "scheme",
)  # fmt: skip
"""What a LOCATION is put together from."""

SAME = {"username": "user", "access_key": "user", "secret_key": "password"}

POOL_KEYS = {
    "timeout": "ACQUIRE_TIMEOUT",
    "minsize": "MIN_SIZE",
    "maxsize": "MAX_SIZE",
    "max_connections": "MAX_SIZE",
    **{key.lower(): key for key in RULES if key not in ("BACKEND", "LOCATION", "OPTIONS")},
}
"""What may stand under ``pool``."""

_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def layer(path: Path, environment: Mapping[str, str], backends: Mapping[str, Any]) -> Layer:
    """What stands in the file. ``backends`` has those of the aliases declared elsewhere."""
    try:
        sections = _load(path)
    except Wrong as wrong:
        return Layer(path.name, {}, (_of_file(path, str(wrong), wrong.hint),))
    faults: list[Fault] = []
    pools: dict[str, dict[str, Any]] = {}
    for name, aliases in sections.items():
        for alias, values in aliases.items():
            if not isinstance(values, Mapping):
                message = f"must be a mapping, not {shown(values)}"
                faults.append(_of_alias(path, str(alias), "", message, "It has a host, or a url."))
            elif alias in pools:
                message = f"stands in {' and in '.join(SECTIONS)} both"
                faults.append(_of_alias(path, str(alias), "", message, f"Keep that of {name!r}."))
            else:
                reader = _Reader(path, str(alias), environment, backends.get(alias))
                pools[alias] = reader.read(values)
                faults += reader.faults
    return Layer(path.name, pools, tuple(faults))


def _load(path: Path) -> dict[str, Mapping[Any, Any]]:
    """The sections of the file; raises Wrong."""
    try:
        import yaml
    except ImportError:
        hint = "Run `pip install 'django-poolapp[yaml]'`."
        raise Wrong("can't be read without PyYAML, which is not installed", hint) from None
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _loader())  # noqa: S506  a SafeLoader
    except OSError as error:
        hint = "Its place is POOLAPP['FILE'], or the environment variable POOLAPP_FILE."
        raise Wrong(f"can't be read: {error.strerror or type(error).__name__}", hint) from None
    except (yaml.YAMLError, ValueError) as error:
        raise Wrong(
            f"is no YAML: {_what(error)}", "Put a text with odd characters in quotes."
        ) from (None)
    if not isinstance(content, Mapping):
        raise Wrong(f"must be a mapping, not {shown(content)}", _OUTLINE)
    found = {name: content[name] for name in SECTIONS if content.get(name) is not None}
    if not found and not any(name in content for name in SECTIONS):
        raise Wrong(f"has neither {' nor '.join(map(repr, SECTIONS))}", _OUTLINE)
    for name, aliases in found.items():
        if not isinstance(aliases, Mapping):
            raise Wrong(f"has under {name!r} no mapping of aliases but {shown(aliases)}", _OUTLINE)
    return found


_OUTLINE = "It has a mapping 'pools' of aliases, each with the keys of POOLS, or host, user, pool."


def _loader() -> type:
    import yaml

    class Loader(yaml.SafeLoader):
        """Takes nothing twice: of two equal keys the first would be lost without a word."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands there twice", key.start_mark
                    )
                if isinstance(key.value, str):
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    return Loader


def _what(error: Exception) -> str:
    """What a parser says, with the line, and without what it quotes of the file."""
    text = str(getattr(error, "problem", None) or "it holds what is no text")
    if not text.startswith("the key "):
        text = re.sub(r"(['\"])(.*?)\1", _hidden, text)
    mark = getattr(error, "problem_mark", None)
    return f"{text}, line {mark.line + 1}" if mark is not None else text


def _hidden(quoted: re.Match[str]) -> str:
    """A character, or a token's name, may be shown; a word may be a password."""
    tells_nothing = len(quoted[2]) < 2 or re.fullmatch(r"<[a-z ]+>", quoted[2])
    return quoted[0] if tells_nothing else "(what stands there)"


class _Reader:
    """From one alias of the file to the keys of ``POOLS``."""

    def __init__(
        self, path: Path, alias: str, environment: Mapping[str, str], backend: Any
    ) -> None:
        self.path = path
        self.alias = alias
        self.environment = environment
        self.backend = backend
        self.faults: list[Fault] = []

    def read(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        parts: dict[str, Any] = {}
        # What says that "database" is a name at the server, and no alias of DATABASES.
        names_server = any(str(name) in ("host", "hosts") for name in values)
        for name, given in values.items():
            value = self._filled_in(str(name), given)
            key = SAME.get(str(name), str(name))
            if key == "type":
                found.update(self._type(value))
            elif key in PARTS and (key != "database" or names_server):
                parts[key] = value
            elif key == "pool":
                self._pool(value, found)
            elif key in ("url", "urls"):
                self._take(found, key, "LOCATION", value)
            elif key.upper() in KEYS:
                self._take(found, key, key.upper(), value)
            else:
                known = [*PARTS, "type", "url", "pool", *(each.lower() for each in KEYS)]
                self._fault(key, "is no key of an alias", nearest(key, known), code="E002")
        if parts:
            self._locate(parts, found)
        return found

    def _take(self, found: dict[str, Any], name: str, key: str, value: Any) -> None:
        if key in found:
            self._fault(name, f"sets {key}, which is set beside it", "Keep one of them.")
        elif isinstance(value, str) and key in RULES:
            try:
                found[key] = RULES[key].written(value)
            except Wrong as wrong:
                self._fault(name, str(wrong), RULES[key].hint)
        else:
            found[key] = written.upper(value) if key == "BREAKER" else value

    def _type(self, value: Any) -> dict[str, str]:
        kind = KINDS.get(value) if isinstance(value, str) else None
        if kind is None:
            known = ", ".join(sorted(KINDS))
            self._fault("type", "is none of the types", f"They are {known}; else give 'backend'.")
            return {}
        return {"BACKEND": kind.backend}

    def _pool(self, value: Any, found: dict[str, Any]) -> None:
        if not isinstance(value, Mapping):
            self._fault("pool", f"must be a mapping, not {shown(value)}", "As in 'max_size: 20'.")
            return
        for name, given in value.items():
            key = POOL_KEYS.get(str(name).lower())
            if key is None:
                hint = f"{nearest(str(name), POOL_KEYS)} The driver's own go under 'options'."
                self._fault(f"pool.{name}", "is no key of a pool", hint, code="E002")
            else:
                self._take(found, f"pool.{name}", key, given)

    def _filled_in(self, name: str, value: Any) -> Any:
        """The value with its ``${NAME}`` and ``${NAME:-default}`` replaced, at any depth."""
        if isinstance(value, Mapping):
            return {key: self._filled_in(f"{name}.{key}", each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled_in(name, each) for each in value]
        if not isinstance(value, str):
            return value

        def replacement(match: re.Match[str]) -> str:
            variable, default = match[1], match[2]
            if variable is None:
                return "${"
            found = self.environment.get(variable) or default
            if found is None:
                message = f"needs the environment variable {variable}, which is not set"
                self._fault(name, message, f"Set it, or write ${{{variable}:-default}}.")
            return found or ""

        return _VARIABLE.sub(replacement, value)

    # -- host, port, user, ... ---------------------------------------------------------------------

    def _locate(self, parts: dict[str, Any], found: dict[str, Any]) -> None:
        if not {"LOCATION", "DATABASE"}.isdisjoint(found):
            self._fault("", f"has {next(iter(parts))!r} beside a whole location", "Keep one.")
            return
        path = found.get("BACKEND") or self.backend
        kind = next((each for each in KINDS.values() if each.backend == path), None)
        if path is None and self.alias in KINDS:
            kind = KINDS[self.alias]
            found["BACKEND"] = kind.backend
        for name, value in parts.items():
            good = isinstance(value, str) or (name in ("port", "database") and type(value) is int)
            several = name == "hosts" and isinstance(value, list) and value
            if not good and not (several and all(isinstance(each, str) for each in value)):
                self._fault(
                    name, f"must be a text, not {type(value).__name__}", "Put it in quotes."
                )
                return
        scheme = parts.get("scheme") or (kind.scheme if kind else "")
        hosts = parts.get("hosts", parts.get("host", parts.get("endpoint", "")))
        hosts = [hosts] if isinstance(hosts, str) else hosts
        if not scheme and not all("://" in host for host in hosts):
            self._fault("host", "does not say how to speak to it", "Give a 'scheme', or a 'type'.")
            return
        found["LOCATION"] = location(kind, scheme, hosts, parts)

    def _fault(self, key: str, message: str, hint: str, *, code: str = "E011") -> None:
        self.faults.append(_of_alias(self.path, self.alias, key, message, hint, code=code))


def _of_file(path: Path, message: str, hint: str) -> Fault:
    return Fault(
        code="E011", alias="", setting="", message=message, hint=hint, place=f"The file {path}"
    )


def _of_alias(
    path: Path, alias: str, key: str, message: str, hint: str, *, code: str = "E011"
) -> Fault:
    place = f"{alias}{'.' if key else ''}{key} in {path.name}"
    return Fault(code=code, alias=alias, setting="", message=message, hint=hint, place=place)
