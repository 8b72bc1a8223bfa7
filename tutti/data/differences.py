"""What of one side differs from the other: what to send, what to remove, what cannot be. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from tutti.upload import ignored

SECOND: Final = 1_000_000_000
LONGEST_KEY: Final = 1024  # bytes of UTF-8: S3's limit


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file on one side. `name`: below the folder, with slashes. `mark`: an ETag or MD5 where the side has one."""

    name: str
    size: int
    modified_ns: int
    executable: bool = False
    mark: str = ""


class Times(StrEnum):
    """What the time of a copy tells. Times are compared in whole seconds: S3 keeps no finer ones."""

    KEPT = "kept"  # it is its source's own: any other is a difference
    OF_THE_COPY = "of the copy"  # it is when the copy was made (S3): one that is not later than its source's may be old


class Why(StrEnum):
    NEW = "new"
    SIZE = "size"
    TIME = "time"
    CONTENT = "content"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A file that is to be sent, and why."""

    item: Item
    why: Why


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What makes the target like the source. `blocked`: what cannot be sent, and why."""

    send: tuple[Change, ...]
    remove: tuple[str, ...]
    same: int
    blocked: tuple[tuple[str, str], ...] = ()

    @property
    def bytes(self) -> int:
        return sum(change.item.size for change in self.send)


def compare(
    source: Iterable[Item],
    target: Iterable[Item],
    *,
    times: Times,
    same_content: Callable[[Item, Item], bool],
    by_content: bool = False,
    delete: bool = False,
) -> Difference:
    """What differs: another size; or another time, unless the content is the same (`same_content`, asked last).

    `by_content`: times say nothing, every content is compared. `delete`: what the source has not is to go.
    """
    there = {item.name: item for item in target}
    send, same, here = [], 0, set()
    for item in source:
        here.add(item.name)
        if why := _why(item, there.get(item.name), times, same_content, by_content=by_content):
            send.append(Change(item=item, why=why))
        else:
            same += 1
    remove = tuple(sorted(there.keys() - here)) if delete else ()
    return Difference(send=tuple(send), remove=remove, same=same)


def _why(
    item: Item,
    copy: Item | None,
    times: Times,
    same_content: Callable[[Item, Item], bool],
    *,
    by_content: bool,
) -> Why | None:
    if copy is None:
        return Why.NEW
    if item.size != copy.size:
        return Why.SIZE
    if not by_content and same_time(item, copy, times):
        return None
    if same_content(item, copy):
        return None
    return Why.CONTENT if by_content else Why.TIME


def same_time(source: Item, copy: Item, times: Times) -> bool:
    """Whether the times speak for a copy."""
    own, its = source.modified_ns // SECOND, copy.modified_ns // SECOND
    return own == its if times is Times.KEPT else own < its


def blocked(difference: Difference, there: Iterable[str], *, folders: bool) -> Difference:
    """The same, less what the target cannot take: names that are no paths, and files where folders must be.

    `there`: the names that the target has. `folders`: it is a folder, where a name is a file's or a folder's; a bucket
    takes both, but no name that is not UTF-8 or too long.
    """
    stay = {name for name in there if name not in difference.remove}
    sent = {change.item.name for change in difference.send}
    reasons = {name: why for name in sent if (why := _no_name(name, folders=folders))}
    if folders:
        needed = {folder: name for name in sorted((stay | sent) - reasons.keys()) for folder in parents(name)}
        reasons |= {
            name: f"it would need the name of a folder, that of {needed[name]}"
            for name in sent - reasons.keys()
            if name in needed
        }
        files = (stay | sent) - reasons.keys() | stay
        for name in sent - reasons.keys():
            if over := next((folder for folder in parents(name) if folder in files), None):
                reasons[name] = f"{over} is a file there: a folder cannot have its name"
    send = tuple(change for change in difference.send if change.item.name not in reasons)
    return Difference(send=send, remove=difference.remove, same=difference.same, blocked=tuple(sorted(reasons.items())))


def parents(name: str) -> Sequence[str]:
    """The folders that a name lies in: of `a/b/c`, `a/b` and `a`."""
    return [str(path) for path in PurePosixPath(name).parents if str(path) != "."]


def _no_name(name: str, *, folders: bool) -> str:
    """Why the target cannot have a file of this name; empty where it can."""
    if folders:
        parts = name.split("/")
        bad = any(part in {"", ".", ".."} for part in parts) or "\0" in name
        return "no file can have this name: empty, '.', '..' and NUL are not allowed in it" if bad else ""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is no UTF-8, and the bucket takes no other: rename it"
    return ""


def left_out(rules: Sequence[str]) -> Callable[[str, bool], bool]:
    """Whether `--exclude` rules leave out a file, or a folder with all in it; as .tuttiignore has them."""
    return lambda name, is_folder: ignored(name, is_folder, rules)


def kept(items: Iterable[Item], rules: Sequence[str]) -> list[Item]:
    """Those that no rule leaves out, by their own names or their folders'."""
    known: dict[str, bool] = {}

    def out(folder: str) -> bool:
        if folder not in known:
            known[folder] = ignored(folder, True, rules)
        return known[folder]

    return [i for i in items if not (ignored(i.name, False, rules) or any(out(f) for f in parents(i.name)))]
