"""What commands print: tables that fit the terminal, JSON, colours only where a terminal can show them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import Any, Final, TextIO

WIDTH: Final = 80  # where no terminal says otherwise
HEIGHT: Final = 24
HOME: Final = "\x1b[H"
COLOUR_OR_CHARACTER: Final = re.compile(r"(\x1b\[[0-9;]*m)|(.)")
TO_LINE_END: Final = "\x1b[K"
TO_SCREEN_END: Final = "\x1b[J"
COLOURS: Final = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "dim": 2, "bold": 1}
OF_STATE: Final = {
    "SUCCEEDED": "green", "FAILED": "red", "RUNNING": "cyan", "STARTING": "cyan", "RUNNABLE": "yellow",
    "good": "green", "wrong": "red",
}  # fmt: skip
OF_NODE: Final = ("cyan", "green", "yellow", "magenta", "blue")


def movable(stream: TextIO) -> bool:
    """Whether the stream is a terminal that knows more than plain text: one of a name, and not `dumb`."""
    return stream.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


def coloured(stream: TextIO) -> bool:
    """Whether colours may be used: where the terminal has them, and no NO_COLOR is set (no-color.org)."""
    return movable(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str, *, stream: TextIO | None = None) -> str:
    """The text in a colour, where the stream shows colours."""
    if not colour or not coloured(stream or sys.stdout):
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def width() -> int:
    """Columns of the terminal; a pipe has no limit but 80 is what fits everywhere."""
    return shutil.get_terminal_size((WIDTH, HEIGHT)).columns


def height() -> int:
    """Lines of the terminal."""
    return shutil.get_terminal_size((WIDTH, HEIGHT)).lines


def fitted(text: str, stream: TextIO | None, *, indent: int = 2) -> str:
    """Words folded between words where a terminal is too narrow; in a pipe or a file a message stays one line.

    `indent`: of the lines that go on.
    """
    if stream is None or not stream.isatty():
        return text
    room, pad = max(WIDTH // 2, width()), " " * indent
    return "\n".join(line if len(line) <= room else _folded(line, room, pad) for line in text.splitlines())


def _folded(line: str, room: int, pad: str) -> str:
    return textwrap.fill(line, room, subsequent_indent=pad, break_long_words=False, break_on_hyphens=False)


def redraw(text: str) -> None:
    """Show a frame where the last one was, cut to the terminal's size; below it where that cannot be.

    No mode of the terminal is changed, so that it is whole whenever we end.
    """
    if not movable(sys.stdout):
        print(text, flush=True)
        return
    lines, room = text.splitlines(), height() - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], f"... {len(lines) - room + 1} more lines"]
    shown = "".join(f"{cut(text, width())}{TO_LINE_END}\n" for text in lines)
    sys.stdout.write(HOME + shown + TO_SCREEN_END)
    sys.stdout.flush()


def cut(text: str, room: int) -> str:
    """The first `room` characters of a line, colours not counted."""
    kept = ""
    for colour, character in COLOUR_OR_CHARACTER.findall(text):
        kept += colour or (character if room > 0 else "")
        room -= not colour
    return kept


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, give: int | None, colour: int | None = None) -> str:
    """A table; column `give` is cut where the terminal is too narrow; None: what is there to be copied stays whole.

    `colour`: the column that holds states.
    """
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    over = sum(widths) + 2 * (len(widths) - 1) - width()
    if over > 0 and give is not None:
        widths[give] = max(len(head[give]), 8, widths[give] - over)
    return "\n".join([line(head, widths), *(line(row, widths, colour) for row in rows)])


def line(cells: Sequence[str], widths: Sequence[int], colour: int | None = None) -> str:
    """A line of a table; what is wider than its column is cut."""
    shown = []
    for i, (cell, room) in enumerate(zip(cells, widths, strict=True)):
        text = cell if len(cell) <= room else f"{cell[: room - 1]}~"
        padded = text.ljust(room) if i < len(widths) - 1 else text
        shown.append(paint(padded, OF_STATE.get(cell, "")) if i == colour else padded)
    return "  ".join(shown).rstrip()


def as_json(value: Any) -> str:
    """JSON for machines: one document, keys as they are."""
    return json.dumps(value, indent=2, default=str)


def ago(then: float | None, now: float | None = None) -> str:
    """How long ago, in one unit: `5m`."""
    if not then:
        return "-"
    passed = max(0.0, (time.time() if now is None else now) - then)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if passed >= size:
            return f"{passed / size:.0f}{unit}"
    return f"{passed:.0f}s"


def bar(share: float, cells: int = 20) -> str:
    """A progress bar in plain characters: `[########............]  40 %`."""
    done = round(max(0.0, min(1.0, share)) * cells)
    return f"[{'#' * done}{'.' * (cells - done)}] {share:4.0%}"


def say(text: str, colour: str = "dim") -> None:
    """A word of the tool's own: on stderr, so that stdout holds results alone."""
    print(paint(fitted(text, sys.stderr), colour, stream=sys.stderr), file=sys.stderr, flush=True)


def trouble(words: str) -> None:
    """What a long wait has met, and goes on in spite of."""
    say(f"tutti: {words}. Still waiting ...", "yellow")
