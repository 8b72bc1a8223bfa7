"""Configuration values read into data classes, with every problem told at once. Pure."""

from __future__ import annotations

import json
import re
import shlex
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_ABSENT: Final = object()
_WORDS: Final[Mapping[object, str]] = {str: "a string", int: "an integer", bool: "true or false", IPv4Network: "a CIDR"}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One value that cannot be used: where, what was got, what is allowed, and the command that mends it."""

    key: str
    got: object
    allowed: str
    fix: str

    def __str__(self) -> str:
        got = self.got if isinstance(self.got, str) and " " in self.got else repr(self.got)
        return f"{self.key}: got {got}; allowed: {self.allowed}; mend with: {self.fix}"


class ConfigError(Exception):
    """The stack's configuration cannot be used. Nothing was registered."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{len(problems)} problem(s) in the stack's configuration:\n{lines}")
        self.problems = tuple(problems)


class Problems(list[Problem]):
    """Collects problems as they are found."""

    def refuse(self, key: str, got: object, allowed: str, *, example: object) -> None:
        """Note that `key` cannot be `got`; `example` is a value that would do."""
        self.append(Problem(key=key, got=got, allowed=allowed, fix=setting(key, example)))

    def unknown(self, key: str, got: object, known: Sequence[str]) -> None:
        self.append(Problem(key=key, got=got, allowed=f"one of the keys {', '.join(known)}", fix=setting(key, None)))

    def finish(self, unread: frozenset[str] = frozenset(), *, readable: int = 0) -> None:
        """Raise ConfigError where there are problems; those after the first `readable` are not told of unread keys."""
        told = [p for i, p in enumerate(self) if i < readable or re.split(r"[.\[]", p.key)[0] not in unread]
        if told:
            raise ConfigError(told)


def setting(key: str, value: object) -> str:
    """The command that gives `key`, perhaps a path such as `pools[0].zone`, a value; where it is empty, the default's.

    `pulumi config set KEY VALUE` makes a string of whatever it is given, and a string is no list or object: these are
    set leaf by leaf, and what was there before is removed first.
    """
    path = ["--path"] if any(c in key for c in "[.") else []
    if isinstance(value, str | bool | int):
        return shlex.join(["pulumi", "config", "set", *path, key, _text(value)])
    remove = shlex.join(["pulumi", "config", "rm", *path, key])
    if not (leaves := _leaves(key, value)):
        return remove
    words = [word for at, leaf in leaves for word in ("--plaintext", f"{at}={leaf}")]
    return f"{remove} && {shlex.join(['pulumi', 'config', 'set-all', '--path', *words])}"


def _leaves(at: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [leaf for name, inner in value.items() for leaf in _leaves(f"{at}.{name}", inner)]
    if isinstance(value, list | tuple):
        return [leaf for i, inner in enumerate(value) for leaf in _leaves(f"{at}[{i}]", inner)]
    return [] if value is None else [(at, _text(value))]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def read_stack(cls: type[T], texts: Mapping[str, str], problems: Problems) -> tuple[T, frozenset[str]]:
    """A data class from the engine's strings: keys are its fields in camel case, structured values are JSON.

    Returns it with the keys that could not be read: those hold a neutral value, so that the others can still be
    checked, and what is then found of them says nothing.
    """
    unread: set[str] = set()
    hints = get_type_hints(cls)
    known = {camel(f.name): f for f in _fields(cls)}
    for key in sorted(set(texts) - set(known)):
        problems.unknown(key, texts[key], sorted(known))
    values: dict[str, Any] = {}
    for key, f in known.items():
        if key not in texts:
            problems.refuse(key, "no value", _said(hints[f.name]), example="...")
            values[f.name] = _neutral(hints[f.name])
            unread.add(key)
            continue
        hint, raw = hints[f.name], texts[key]
        if hint is str or _is_enum(hint) or hint is IPv4Network:
            parsed: object = raw
        else:
            try:
                parsed = json.loads(raw)
            except ValueError:
                parsed = raw
        value = _value(hint, parsed, key, problems)
        if value is _ABSENT:
            value = _neutral(hint)
            unread.add(key)
        values[f.name] = value
    return cls(**values), frozenset(unread)


def _neutral(hint: Any) -> Any:
    if _is_enum(hint):
        return next(iter(hint))
    if hint is IPv4Network:
        return IPv4Network("10.0.0.0/16")
    if (origin := get_origin(hint)) is None:
        return hint()
    return () if origin is tuple else {}


def _object(cls: type[T], raw: object, at: str, problems: Problems) -> T | object:
    if not isinstance(raw, Mapping):
        problems.refuse(at, raw, "an object", example={})
        return _ABSENT
    hints = get_type_hints(cls)
    known = {f.name: f for f in _fields(cls)}
    for key in sorted(set(raw) - set(known)):
        problems.unknown(f"{at}.{key}", raw[key], sorted(known))
    values: dict[str, Any] = {}
    whole = True
    for name, f in known.items():
        if name in raw:
            value = _value(hints[name], raw[name], f"{at}.{name}", problems)
            whole = whole and value is not _ABSENT
            values[name] = value
        elif f.default is MISSING and f.default_factory is MISSING:
            problems.refuse(f"{at}.{name}", "no value", _said(hints[name]), example="...")
            whole = False
    return cls(**values) if whole else _ABSENT


def _value(hint: Any, raw: object, at: str, problems: Problems) -> Any:
    """`raw` as the type that `hint` says, or _ABSENT with a problem noted."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if raw is None else _value(inner[0], raw, at, problems)
    if is_dataclass(hint):
        return _object(hint, raw, at, problems)  # type: ignore[arg-type]  # is_dataclass does not narrow to a type
    if origin is tuple:
        if not isinstance(raw, list):
            problems.refuse(at, raw, "a list", example=[])
            return _ABSENT
        items = [_value(inner[0], item, f"{at}[{i}]", problems) for i, item in enumerate(raw)]
        return _ABSENT if _ABSENT in items else tuple(items)
    if origin is not None:  # a mapping of strings
        if not isinstance(raw, Mapping) or not all(isinstance(v, str) for v in raw.values()):
            problems.refuse(at, raw, "an object of strings", example={})
            return _ABSENT
        return dict(raw)
    return _plain(hint, raw, at, problems)


def _plain(hint: Any, raw: object, at: str, problems: Problems) -> Any:
    if _is_enum(hint):
        if raw in list(hint):
            return hint(raw)
        problems.refuse(at, raw, " or ".join(hint), example=str(next(iter(hint))))
        return _ABSENT
    if hint is IPv4Network:
        try:
            return IPv4Network(str(raw))
        except ValueError:
            problems.refuse(at, raw, "a CIDR whose host bits are 0", example="10.0.0.0/16")
            return _ABSENT
    if type(raw) is not hint:  # bool is an int, but not here
        problems.refuse(at, raw, _WORDS[hint], example={str: "...", int: 1, bool: True}[hint])
        return _ABSENT
    return raw


def _is_enum(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, StrEnum)


def _said(hint: object) -> str:
    return _WORDS.get(hint, "a value")


def _fields(cls: type) -> tuple[Field[Any], ...]:
    return fields(cls)
