"""Plain records for what every node imports: fields by name, fixed once made, compared by value.

To who uses them they are what `dataclass(frozen=True, kw_only=True)` makes, and mypy checks them as such. A dataclass
compiles its methods when its module is imported, and `dataclasses` loads `inspect`: together a quarter of what a node's
imports cost (docs/adr/0060).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, dataclass_transform


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """The annotated names of a subclass are its fields, what is assigned to them there are defaults.

    Defaults are shared by all records of a class: none may be a list or a dict.
    """

    FIELDS: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.FIELDS = (*cls.FIELDS, *cls.__annotations__)

    def __init__(self, **values: Any) -> None:
        given = vars(self)
        for name in self.FIELDS:
            if name in values:
                given[name] = values[name]
            elif hasattr(type(self), name):
                given[name] = getattr(type(self), name)
        if given.keys() != {*self.FIELDS, *values}:
            wrong = ", ".join(sorted(given.keys() ^ {*self.FIELDS, *values}))
            raise TypeError(
                f"{type(self).__name__}: missing or unknown: {wrong}; its fields are {', '.join(self.FIELDS)}"
            )

    def but(self, **changes: Any) -> Self:
        """A copy with other values for these fields."""
        return type(self)(**{**vars(self), **changes})

    def plain(self) -> dict[str, Any]:
        """The fields by name, records in them as such dictionaries too: what JSON can hold."""
        return {name: _plain(value) for name, value in vars(self).items()}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name}: a record is fixed; take a copy with but({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name}: a record is fixed")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def _plain(value: object) -> object:
    match value:
        case Record():
            return value.plain()
        case tuple() | list():
            return [_plain(one) for one in value]
        case Mapping():
            return dict(value)
        case _:
            return value
