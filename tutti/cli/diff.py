"""`tutti diff`: how two runs differ, in what they were and in what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json, paint
from tutti.errors import NotFoundError

if TYPE_CHECKING:
    from tutti.run import Run

app = new_app()


@app.command(help="How two runs differ: program, variables, size, image, inputs, versions; and their ends.")
def diff(
    context: typer.Context,
    *,
    one: Annotated[str, typer.Argument(metavar="ID")],
    other: Annotated[str, typer.Argument(metavar="ID")],
    json: Json = False,
) -> int:
    from tutti import capsule  # noqa: PLC0415  --help must not pay for it
    from tutti.run import Run  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    runs = [Run(w, cluster) if len(w) == 36 else Run.find(cluster, w) for w in (one, other)]
    found = capsule.differences(*(capsule.read(cluster, run.id) for run in runs))
    ends = [_end(run) for run in runs]
    found += [(name, ends[0][name], ends[1][name]) for name in ends[0] if ends[0][name] != ends[1][name]]
    if json:
        print(as_json([{"what": what, "one": first, "other": second} for what, first, second in found]))
    elif not found:
        print("no difference")
    else:
        print(f"- {runs[0].id}\n+ {runs[1].id}")
        for what, first, second in found:
            print(f"\n{what}\n  {paint(f'- {first}', 'red')}\n  {paint(f'+ {second}', 'green')}")
    return 1 if found else 0


def _end(run: Run) -> dict[str, str]:
    """What became of a run; Batch forgets runs, capsules stay."""
    try:
        job = run.details()
    except NotFoundError:
        return {"state": "forgotten", "code": "-", "seconds": "-"}
    ran = f"{job.stopped - job.started:.1f}" if job.started and job.stopped else "-"
    return {"state": job.state, "code": "-" if job.code is None else str(job.code), "seconds": ran}
