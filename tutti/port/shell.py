"""What of a shell's language a port must understand: blocks, variables, arithmetic, words with their quotes. Pure."""

from __future__ import annotations

import ast
import operator
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Final

REFERENCE: Final = re.compile(r"\$(?:\{(?P<braced>\w+)(?P<rest>[^}]*)\}|(?P<bare>\w+))")
_SEGMENT: Final = re.compile(r"[;&|]+")
_OPENS: Final = frozenset({"if", "for", "while", "until", "case", "select"})
_CLOSES: Final = frozenset({"fi", "done", "esac", "}"})
_CSH_OPENS: Final = frozenset({"foreach", "while", "switch"})
_CSH_CLOSES: Final = frozenset({"end", "endif", "endsw"})


def _quotient(a: int, b: int) -> int:
    """Towards zero, as in C and in every shell; Python's // goes down."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_OPERATORS: Final[Mapping[type, Callable[[int, int], int]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: _quotient, ast.Mod: lambda a, b: a - b * _quotient(a, b),
}  # fmt: skip


def depth_change(text: str, *, csh: bool) -> int:
    """How many blocks (conditions, loops, functions) a line opens, less those that it closes."""
    change = 0
    for segment in _SEGMENT.split(text.split(" #", maxsplit=1)[0]):
        words = segment.split()
        while words and words[0] in {"then", "do", "else"}:
            words = words[1:]
        first = words[0] if words else ""
        if csh:
            opens = first in _CSH_OPENS or (first == "if" and words[-1] == "then")
            change += opens - (first in _CSH_CLOSES)
        else:
            function = first == "function" or bool(re.match(r"\w+\s*\(\)", segment.strip()))
            change += (first in _OPENS or function) - (first in _CLOSES)
    return change


def arithmetic(text: str) -> str | None:
    """`$((4 * 16))` as a number; None where it is none, or more than numbers stand in it."""
    match = re.fullmatch(r"\$\(\((?P<sum>[\d\s()+*/%-]+)\)\)", text.strip())
    if match is None:
        return None
    try:
        return str(_value(ast.parse(match["sum"].replace("/", "//").strip(), mode="eval").body))
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None


def _value(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
    raise ValueError(ast.dump(node))


def raw_words(text: str, words: Sequence[str]) -> list[str]:
    """The words of a line as they stand there, quotes and all; `words` where the two cannot be matched."""
    try:
        raw = shlex.split(text, comments=True, posix=False)
    except ValueError:
        return list(words)
    return raw if len(raw) == len(words) else list(words)


def references(text: str) -> list[str]:
    """The variables that a text asks for, those in arithmetic without a `$` too."""
    found = [match["braced"] or match["bare"] for match in REFERENCE.finditer(text)]
    for inner in re.findall(r"\$\(\((.*?)\)\)", text):
        found += re.findall(r"[A-Za-z_]\w*", inner)
    return found


def needs_shell(raw: str) -> bool:
    """Whether a word means something else to a shell: a variable, a command's answer, a pattern."""
    if raw.startswith("'"):
        return False
    return "$" in raw or "`" in raw or (not raw.startswith('"') and bool(re.search(r"[*?]|^~|\[.*\]", raw)))
