"""What of the ranks' output reaches the log: whole lines, cut, limited, the newest kept, the rest counted."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from workload.contract import MAX_LINE_BYTES
from workload.gang.limiter import CUT_MARK, KEPT_LINES, LINES_A_SECOND, Limiter, Lines


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=8))
def test_lines_do_not_depend_on_how_the_pipe_cuts_them(data: bytes, cuts: list[int]) -> None:
    data = data.replace(b"\r", b"")
    lines = Lines()
    edges = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    got = [line for a, b in itertools.pairwise(edges) for line in lines.feed(data[a:b])] + lines.end()
    whole = data.split(b"\n")
    assert got == (whole if whole[-1] else whole[:-1])


def test_a_long_line_comes_in_marked_pieces_within_the_limit() -> None:
    lines = Lines()
    got = lines.feed(b"x" * 20_000 + b"\ny\n")
    assert all(len(piece) <= MAX_LINE_BYTES - 64 for piece in got)
    assert [piece.endswith(CUT_MARK) for piece in got] == [True, True, False, False]
    assert sum(piece.count(b"x") for piece in got) == 20_000
    assert got[-1] == b"y"


def test_a_line_without_an_end_does_not_grow_for_ever() -> None:
    lines = Lines()
    got = [piece for _ in range(100) for piece in lines.feed(b"z" * 1000)] + lines.end()
    assert sum(piece.count(b"z") for piece in got) == 100_000
    assert len(got) < 20


def test_what_comes_slowly_passes_at_once() -> None:
    limiter = Limiter(rate=10, kept=100)
    for second in range(50):
        for n in range(10):
            limiter.put(0, b"%d" % n)
        assert len(limiter.due(float(second))) == 10
    assert limiter.dropped == 0


def test_a_flood_keeps_the_newest_and_says_how_many_are_left_out() -> None:
    limiter = Limiter()
    for n in range(50_000):
        limiter.put(3, b"%d" % n)
    first = limiter.due(0.0)
    assert first[0] == (None, b"40,000 lines of the ranks' output left out here: more than 2,000 lines a second")
    assert first[1:] == [(3, b"%d" % n) for n in range(40_000, 40_000 + LINES_A_SECOND)]
    rest = limiter.rest()
    assert rest == [(3, b"%d" % n) for n in range(42_000, 50_000)]
    assert limiter.dropped == 50_000 - KEPT_LINES
    assert not limiter.waiting()


@given(batches=st.lists(st.tuples(st.integers(0, 60), st.floats(0, 2)), max_size=40))
def test_nothing_is_lost_unsaid_and_order_is_kept(batches: list[tuple[int, float]]) -> None:
    limiter = Limiter(rate=20, kept=50)
    now, put, got, said = 0.0, 0, [], 0
    for count, pause in batches:
        for _ in range(count):
            limiter.put(0, b"%d" % put)
            put += 1
        now += pause
        taken = limiter.due(now)
        assert len([t for t in taken if t[0] is not None]) <= 20
        got += taken
    got += limiter.rest()
    numbers = [int(line) for rank, line in got if rank is not None]
    said = sum(int(line.split()[0].replace(b",", b"")) for rank, line in got if rank is None)
    assert numbers == sorted(numbers)
    assert len(numbers) + said == put
    assert limiter.dropped == said
