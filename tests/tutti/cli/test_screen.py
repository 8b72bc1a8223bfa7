"""Messages in a terminal: folded between words; a pipe has one line a message."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutti.cli.live import rendered
from tutti.cli.screen import fitted
from tutti.logs import LogLine

WORDS = "queued 0.5 s, starting 0.1 s, assembled 12.3 s, preflight 0.4 s, staged 0.1 s, launched 0.2 s, computed 4.5 s"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")


def test_a_message_is_folded_in_a_terminal_and_one_line_in_a_pipe() -> None:
    assert fitted(WORDS, io.StringIO()) == WORDS
    assert fitted(WORDS, None) == WORDS
    first, second = fitted(WORDS, Tty()).splitlines()
    assert len(first) <= 80
    assert second.startswith("  ")
    assert f"{first} {second.strip()}" == WORDS
    assert fitted("short\nand  short", Tty()) == "short\nand  short"


@given(st.lists(st.text("abc-/.", min_size=1, max_size=90), min_size=1, max_size=40), st.integers(0, 8))
def test_folding_loses_no_word_and_cuts_none(words: list[str], indent: int) -> None:
    folded = fitted(" ".join(words), Tty(), indent=indent)
    assert folded.split() == words
    assert all(len(line) <= 80 or len(line.split()) == 1 for line in folded.splitlines())


def test_of_a_log_the_runtime_s_lines_are_folded_and_a_program_s_are_its_own() -> None:
    first = f"tutti: node 0 of 4 (main) at 10.0.0.1 on eth0, 2 cores, 3500 MiB, job {'a' * 36} attempt 1; mpich 4.3.2"

    def shown(raw: str, out: io.StringIO) -> str:
        return rendered(LogLine(at_ms=0, node=0, attempt=1, raw=raw), events=False, out=out) or ""

    head, *more = shown(f"[0] {first}", Tty()).splitlines()
    assert head.startswith("[0] tutti: node 0 of 4")
    assert more
    assert all(re.match(r" {4}\S", line) for line in more)
    assert max(map(len, [head, *more])) <= 80
    assert shown(f"[0] {first}", io.StringIO()) == f"[0] {first}"
    assert shown(f"[0:3] {'x ' * 90}y", Tty()) == f"[0:3] {'x ' * 90}y"
