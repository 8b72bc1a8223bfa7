"""`tutti doctor`: what is wrong with a cluster; with --run, small jobs prove that it works."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tutti.cli.common import Json, cluster_of, interrupted, new_app
from tutti.cli.screen import WIDTH, as_json, line, width
from tutti.errors import Exit

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.doctor import Result

app = new_app()
HEAD: Final = ("CHECK", "RESULT", "SECONDS", "FOUND")
LEAST_FOUND: Final = 20


@app.command(
    help="Look at every queue, its network and file system; with --run prove them with small jobs. "
    "Ends with 0 where all is well, with 1 where something is wrong."
)
def doctor(
    context: typer.Context,
    *,
    run: Annotated[bool, typer.Option("--run", help="run small jobs on 2 and 4 nodes (a few node-minutes)")] = False,
    json: Json = False,
) -> int:
    cluster = cluster_of(context)
    results: list[Result] = []
    widths = _widths(cluster, run)
    if not json:
        print(line(HEAD, widths), flush=True)
    with interrupted("interrupted; no job of the doctor's is left running"):
        for result in _results(cluster, run):
            results.append(result)
            if not json:
                print(line(_cells(result), widths, colour=1), flush=True)
    wrong = sum(not result.good for result in results)
    if json:
        print(as_json([asdict(result) for result in results]))
    else:
        print("\n".join([*_told(results, widths), f"{len(results)} checks, {wrong or 'nothing'} wrong"]))
    return Exit.FAILED if wrong else Exit.DONE


def _results(cluster: Cluster, run: bool) -> Iterator[Result]:
    from tutti.doctor import look, prove  # noqa: PLC0415  --help must not pay for it

    yield from look(cluster)
    if run:
        yield from prove(cluster)


def _widths(cluster: Cluster, run: bool) -> list[int]:
    """Columns that hold every check to come: a line is printed when its check is done."""
    from tutti.doctor import PROOFS  # noqa: PLC0415  --help must not pay for it

    names = [HEAD[0], *(queue.name for queue in cluster.card.queues), *(PROOFS if run else ())]
    taken = len(HEAD[1]) + len(HEAD[2]) + 2 * (len(HEAD) - 1)
    first = min(max(map(len, names)), max(WIDTH, width()) - taken - LEAST_FOUND)
    return [first, len(HEAD[1]), len(HEAD[2]), max(WIDTH, width()) - taken - first]


def _cells(result: Result) -> tuple[str, str, str, str]:
    took = f"{result.seconds:.1f}".rjust(len(HEAD[2])) if result.seconds else "-".rjust(len(HEAD[2]))
    verdict = "good" if result.good else "wrong"
    return (result.check, verdict, took, result.words if result.good else result.code)


def _told(results: Sequence[Result], widths: Sequence[int]) -> Iterator[str]:
    """What the table has no room for: causes with their remedies, and longer words."""
    for result in results:
        if result.good and len(result.words) <= widths[-1] and len(result.check) <= widths[0]:
            continue
        yield ""
        yield from textwrap.wrap(f"{result.check}: {result.words}", max(WIDTH, width()), break_long_words=False)
        remedy = textwrap.wrap(result.remedy, max(WIDTH, width()) - 2, break_long_words=False, break_on_hyphens=False)
        yield from (f"  {text}" for text in remedy)
    if any(not result.good for result in results):
        yield ""
