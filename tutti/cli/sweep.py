"""`tutti sweep`: many MPI jobs from one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tutti.cli.common import Json, cluster_of, new_app
from tutti.cli.screen import as_json, say, table, trouble

app = new_app()


@app.command(
    help="Run a job at many points: a grid, a list or random draws. Start it again, here or elsewhere, and it goes on."
)
def sweep(
    context: typer.Context,
    *,
    source: Annotated[str, typer.Argument(metavar="SWEEP.yaml|ID", help="a sweep file, or a sweep by its id")],
    max_running: Annotated[
        int | None, typer.Option("--max-running", min=1, help="at most so many jobs at once", show_default=False)
    ] = None,
    rerun_failed: Annotated[bool, typer.Option("--rerun-failed", help="submit failed points again")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="stay until every point has ended")] = False,
    status: Annotated[bool, typer.Option("--status", help="submit nothing, only look")] = False,
    json: Json = False,
) -> int:
    from tutti.sweep import Sweeper  # noqa: PLC0415  --help must not pay for it
    from tutti.sweepfile import Sweep, read_sweep  # noqa: PLC0415  the same
    from tutti.sweepstore import SweepStore, stored  # noqa: PLC0415  the same

    if source.endswith((".yaml", ".yml")):
        wanted = read_sweep(Path(source))
        cluster = cluster_of(context)
    else:
        cluster = cluster_of(context)
        wanted = Sweep.from_json(stored(cluster, source))
    sweeper = Sweeper(wanted, cluster, tell=lambda counts: _progress(counts, len(wanted.points)), trouble=trouble)
    if status:
        store = SweepStore(cluster, wanted.id)
        sweeper.look(store, (store.read("sweep.json") or {}).get("created", 0.0))
    else:
        sweeper.run(max_running=max_running, rerun_failed=rerun_failed, wait=wait)
        if sys.stderr.isatty():
            print(file=sys.stderr)
    points = [
        {"point": n, "values": values, **(sweeper.known[n].to_json() if n in sweeper.known else {"state": "waiting"})}
        for n, values in enumerate(wanted.points)
    ]
    if json:
        print(as_json({"id": wanted.id, "points": points}))
    else:
        print(_shown(wanted.id, points))
    return 1 if any(p["state"] == "FAILED" for p in points) else 0


def _progress(counts: Any, points: int) -> None:
    text = f"{points} points: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif counts.get("waiting", 0) == 0:
        say(text)


def _shown(sweep_id: str, points: list[dict[str, Any]]) -> str:
    """A sweep folded: its id, the counts, and the points that failed."""
    found: dict[str, int] = {}
    for p in points:
        found[p["state"]] = found.get(p["state"], 0) + 1
    text = f"sweep {sweep_id}: {len(points)} points, " + ", ".join(f"{n} {state}" for state, n in found.items())
    failed = [p for p in points if p["state"] == "FAILED"]
    if not failed:
        return text
    rows = [
        (str(p["point"]), "-" if p["code"] is None else str(p["code"]), p["id"][:13], _values(p["values"]))
        for p in failed[:20]
    ]
    more = f"\n{len(failed) - 20} more failed" if len(failed) > 20 else ""
    shown = table(("POINT", "CODE", "ID", "VALUES"), rows, give=3)
    return f"{text}\n\n{shown}{more}\n\nagain: tutti sweep {sweep_id} --rerun-failed"


def _values(values: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v}" for k, v in values.items())
