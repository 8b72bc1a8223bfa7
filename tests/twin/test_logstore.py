"""A stream's file, read from any byte and any time on."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutti.twin import logstore
from tutti.twin.nodes.logfile import MAX_LINE, LogWriter

LINES = st.lists(
    st.tuples(st.integers(0, 40), st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=9)),
    max_size=40,
)


@settings(deadline=None)
@given(LINES, st.integers(-5, 900), st.integers(1, 7))
def test_any_stream_reads_the_same_forward_backward_and_from_any_time(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]], moment: int, page: int
) -> None:
    path = tmp_path_factory.mktemp("logs") / "stream"
    now, written = 0, []
    for step, text in steps:
        now += step
        written.append((now, text))
    path.write_bytes(b"".join(f"{t}\t{x}\n".encode() for t, x in written))
    forward, at, more = [], 0, True
    while more:
        events, more = logstore.read_forward(path, at, lines=page, limit=1 << 20)
        forward += events
        at = events[-1].end if events else at
    assert [(e.timestamp, e.message) for e in forward] == written
    backward: list[logstore.LogEvent] = []
    at = path.stat().st_size
    while events := logstore.read_backward(path, at, lines=page, limit=1 << 20):
        backward = events + backward
        at = events[0].offset
    assert backward == forward
    start = logstore.offset_at(path, moment)
    assert [e for e in forward if e.offset >= start] == [e for e in forward if e.timestamp >= moment]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_whatever_pieces_a_program_writes_its_lines_come_out_whole(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("logs") / "stream"
    writer = LogWriter(path, 1 << 20)
    for piece in pieces:
        writer.feed(piece)
    writer.close()
    said = b"".join(pieces)
    expected = said.split(b"\n") if not said.endswith(b"\n") else said.split(b"\n")[:-1]
    got = [line.partition(b"\t")[2] for line in path.read_bytes().split(b"\n")[:-1]]
    assert got == (expected if said else [])


def test_a_long_line_becomes_several_and_none_is_lost(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "s", 1 << 30)
    line = bytes(range(32, 127)) * 1000
    for start in range(0, len(line), 7001):
        writer.feed(line[start : start + 7001])
    writer.close()
    rows = [row.partition(b"\t")[2] for row in (tmp_path / "s").read_bytes().split(b"\n")[:-1]]
    assert b"".join(rows) == line
    assert max(map(len, rows)) <= MAX_LINE + 7001
