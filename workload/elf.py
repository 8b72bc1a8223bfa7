"""Which shared libraries a program names: the dynamic section of an ELF file.

Read from the file, not asked of `ldd`, which would run the program's own loader. Source: the ELF specification (gABI),
chapters "ELF Header", "Program Header" and "Dynamic Section".
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

MAGIC: Final = b"\x7fELF"
PT_LOAD: Final = 1
PT_DYNAMIC: Final = 2
DT_NULL: Final = 0
DT_NEEDED: Final = 1
DT_STRTAB: Final = 5


def needed(path: Path) -> tuple[str, ...]:
    """The sonames that the 64-bit ELF file at `path` needs, in its order.

    Empty for what is no such file, is statically linked, or cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return ()
    if data[:4] != MAGIC or len(data) < 64 or data[4] != 2:
        return ()
    try:
        return _needed(data, "<" if data[5] == 1 else ">")
    except (struct.error, ValueError):
        return ()  # cut short or damaged: the kernel will say so when it is started


def _needed(data: bytes, order: str) -> tuple[str, ...]:
    table, _, _, _, size, count = struct.unpack_from(f"{order}QQIHHH", data, 32)
    loads = []
    dynamic = (0, 0)
    for i in range(count):
        kind, _, offset, address, _, length, _, _ = struct.unpack_from(f"{order}IIQQQQQQ", data, table + i * size)
        if kind == PT_LOAD:
            loads.append((address, offset, length))
        elif kind == PT_DYNAMIC:
            dynamic = (offset, length)
    names = []
    strings = 0
    for at in range(dynamic[0], sum(dynamic), 16):
        tag, value = struct.unpack_from(f"{order}qQ", data, at)
        if tag == DT_NULL:
            break
        if tag == DT_NEEDED:
            names.append(value)
        elif tag == DT_STRTAB:
            strings = next((o + value - a for a, o, n in loads if a <= value < a + n), 0)
    if not strings:
        return ()
    return tuple(data[strings + n : data.index(b"\0", strings + n)].decode() for n in names)
