"""`tutti doctor`: what is wrong with a cluster; with --run, small jobs prove that it works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json, paint
from tutti.errors import Exit

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.doctor import Result

app = new_app()


@app.command(help="Look at every queue, its network and file system; with --run prove them with small jobs.")
def doctor(
    context: typer.Context,
    *,
    run: Annotated[bool, typer.Option("--run", help="run small jobs on 2 and 4 nodes (a few node-minutes)")] = False,
    json: Json = False,
) -> int:
    results = []
    for result in _results(cluster_of(context), run):
        results.append(result)
        if not json:
            _say(result)
    if json:
        print(as_json([asdict(result) for result in results]))
    wrong = sum(not result.good for result in results)
    if not json:
        print(f"{len(results)} checks, {wrong or 'nothing'} wrong")
    return Exit.FAILED if wrong else Exit.DONE


def _results(cluster: Cluster, run: bool) -> Iterator[Result]:
    from tutti.doctor import look, prove  # noqa: PLC0415  --help must not pay for it

    yield from look(cluster)
    if run:
        yield from prove(cluster)


def _say(result: Result) -> None:
    verdict = paint("good ", "green") if result.good else paint("wrong", "red")
    took = f" ({result.seconds:.1f} s)" if result.seconds else ""
    print(f"{verdict}  {result.check}: {result.words}{took}", flush=True)
    if result.remedy:
        print(f"       {result.remedy}", flush=True)
