"""`tutti why ID`: one cause and one remedy for a job that does not start or has failed."""

from __future__ import annotations

from dataclasses import asdict

import typer

from tutti.cli.common import JobId, Json, cluster_of, new_app
from tutti.cli.screen import as_json, paint

app = new_app()


@app.command(help="Why a job does not start or has failed: one cause and one remedy.")
def why(context: typer.Context, job: JobId, *, json: Json = False) -> None:
    from tutti.listing import resolve  # noqa: PLC0415  --help must not pay for it
    from tutti.why.diagnose import diagnose  # noqa: PLC0415  the same
    from tutti.why.gather import facts_of_job  # noqa: PLC0415  the same

    cluster = cluster_of(context)
    facts = facts_of_job(cluster, resolve(cluster, job))
    found = diagnose(facts)
    if facts.job is None:
        raise AssertionError("facts of a job hold the job")
    if json:
        print(
            as_json(
                {
                    "id": facts.job.id,
                    "state": facts.job.state,
                    "finding": asdict(found) if found else None,
                    "unasked": facts.unasked,
                }
            )
        )
        return
    print(f"{facts.job.id}  {facts.job.name}  {paint(facts.job.state, 'bold')}")
    if found is None:
        print("nothing is wrong with it")
        return
    print(f"cause    {found.cause}\nremedy   {found.remedy.replace(' ID', f' {facts.job.id}')}")
    for line in found.evidence.splitlines():
        print(f"evidence {line}")
    for part in facts.unasked:
        print(f"unasked  {part}")
