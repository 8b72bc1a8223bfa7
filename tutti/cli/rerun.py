"""`tutti rerun`: a run once more, as it was, from its capsule."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated

import typer

from tutti.cli.common import JobId, Json, cluster_of, new_app
from tutti.cli.screen import as_json, say
from tutti.errors import InputError

app = new_app()


@app.command(
    help="Run a job once more as it was, from its capsule: image, program, variables, inputs. Says what is gone."
)
def rerun(
    context: typer.Context,
    *,
    job: JobId,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="also where an input or the image has changed; shared: is not looked at")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="stay until it ends, show phases and output")] = False,
    json: Json = False,
) -> int:
    from tutti import batch, capsule  # noqa: PLC0415  --help must not pay for it
    from tutti.looking import changes, shared_inputs  # noqa: PLC0415  the same
    from tutti.run import Run  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    old = Run.find(cluster, job) if len(job) != 36 else Run(job, cluster)  # Batch may have forgotten a whole id
    kept = capsule.read(cluster, old.id)
    problems = capsule.gone(cluster, kept)
    known, unknown = shared_inputs(kept)
    for uri in unknown:
        say(f"tutti: {uri}: what it held when {old.id} ran is not known, so a change goes unseen", "yellow")
    if kept.get("schedule"):
        what = "its image and its nodes" if kept["inputs_of_start"] else "its image, its nodes and its inputs"
        say(f"{old.id} was submitted by {kept['schedule']}: {what} are known as of {_day(kept['submitted'])}")
    if known and not problems and not anyway:
        say(f"a small job looks at {', '.join(known)} ...")
        problems = changes(cluster, kept, known)
    if problems and not anyway:
        raise InputError([p if p.remedy else replace(p, remedy="As it is now: --anyway") for p in problems])
    for problem in problems:
        say(f"tutti: {problem}", "yellow")
    document = batch.signed(capsule.again(kept), cluster.user)
    new = Run(batch.send(cluster.submitter, document), cluster)
    capsule.keep(cluster, new.id, document)
    if wait:
        from tutti.cli.live import show  # noqa: PLC0415  only where somebody watches

        return show(new, as_json=json)
    print(as_json({"id": new.id, "of": old.id}) if json else new.id)
    return 0


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
