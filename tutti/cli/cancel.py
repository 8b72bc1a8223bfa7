"""`tutti cancel`: end jobs, whatever state they are in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tutti.cli.common import Json, cluster_of, interrupted, new_app
from tutti.cli.question import confirmed
from tutti.cli.screen import as_json
from tutti.errors import InputError, Problem

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from tutti.run import Run

app = new_app()


@app.command(help="End jobs: SIGTERM to their ranks, SIGKILL after the grace period. A cancelled job is never retried.")
def cancel(
    context: typer.Context,
    *,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="jobs: ids, starts of ids, or names", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="all unfinished jobs of this name")] = "",
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="all unfinished jobs so labelled")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="all unfinished jobs of mine")] = False,
    reason: Annotated[str, typer.Option("--reason", "-r", help="kept with the job")] = "cancelled by its user",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    json: Json = False,
) -> None:
    from tutti.run import Run  # noqa: PLC0415  --help must not pay for it

    if not (jobs or name or label or everything):
        raise InputError([Problem(where="", what="which jobs?", remedy="Give IDs, --name, --label K=V or --all")])
    if wrong := [item for item in label or [] if "=" not in item]:
        raise InputError([Problem(where="--label", what=f"got {wrong[0]!r}; allowed: NAME=VALUE")])
    cluster = cluster_of(context)
    runs = [Run.find(cluster, word) for word in jobs or []]  # all are known before the first is ended
    if name or label or everything:
        labels = dict(item.split("=", 1) for item in label or [])
        runs += chosen(cluster, name=name, labels=labels, mine=everything)
        if runs and not yes and sys.stdin.isatty():
            with interrupted("interrupted; nothing was ended"):
                sure = confirmed(f"end {len(runs)} job{'s' if len(runs) > 1 else ''}?")
            if not sure:
                print("nothing was ended")
                return
    ended = {run.id: run.cancel(reason) for run in dict.fromkeys(runs)}
    if json:
        print(as_json([{"id": job_id, "cancelled": was_alive} for job_id, was_alive in ended.items()]))
        return
    for job_id, was_alive in ended.items():
        print(f"{job_id} {'is being ended' if was_alive else 'had ended before'}")
    if not ended:
        print("no such job is unfinished")


def chosen(cluster: Cluster, *, name: str, labels: dict[str, str], mine: bool) -> list[Run]:
    """Unfinished jobs by name, labels and owner; all conditions that are given hold."""
    from tutti.jobs import ENDED, STATES, details  # noqa: PLC0415  --help must not pay for it
    from tutti.listing import describe, list_jobs  # noqa: PLC0415  the same
    from tutti.run import Run  # noqa: PLC0415  the same
    from workload.contract import Tag  # noqa: PLC0415  the same

    going_on = [s for s in STATES if s not in ENDED]
    ids = [j.id for j in list_jobs(cluster, states=going_on) if not name or j.name == name]
    wanted = {**labels, **({Tag.USER.value: cluster.user} if mine else {})}
    if wanted:
        known = map(details, describe(cluster, ids))
        ids = [j.id for j in known if all(j.tags.get(k) == v for k, v in wanted.items())]
    return [Run(job_id, cluster) for job_id in ids]
