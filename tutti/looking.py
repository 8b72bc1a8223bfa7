"""What changed on the shared folder since a run: the desk cannot see it, so a small job looks.

The job has the run's shared inputs as its own, to be linked and not copied, and says of its start what they hold, as
every run with such inputs does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from tutti import capsule
from tutti.errors import Problem, TuttiError
from tutti.job import Job
from tutti.jobs import ERRAND
from tutti.run import Run
from workload.contract import SHARED_SCHEME
from workload.settings import InputTo

if TYPE_CHECKING:
    from tutti.cluster import Cluster

# Links to the inputs are made for every job with `input_to: shared`, and this one is looked at by nobody.
COMMAND: Final = ("sh", "-c", 'rm -rf "${TUTTI_SHARED:?}/work/${AWS_BATCH_JOB_ID:?}"')


def shared_inputs(kept: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The inputs of a capsule on the shared folder: those of which is known what they held, and the others."""
    uris = [uri for uri in kept["inputs"] if uri.startswith(SHARED_SCHEME)]
    known = [uri for uri in uris if kept["inputs"][uri].get("known")]
    return known, [uri for uri in uris if uri not in known]


def changes(cluster: Cluster, kept: Mapping[str, Any], uris: list[str]) -> list[Problem]:
    """How these inputs differ from what the run found."""
    job = Job(command=COMMAND, name=ERRAND, mpi="none", input=tuple(uris), input_to=InputTo.SHARED)
    try:
        run = Run.submit(job, cluster)  # an InputError where no pool takes it
        code = run.wait_or_end().code
    except TuttiError as error:
        return [Problem(where=", ".join(uris), what=f"could not be looked at: {error}", remedy="Without: --anyway")]
    now = (capsule.started(cluster, run.id) or {}).get("inputs", {})
    found = []
    for uri in uris:
        if uri in now:
            found += capsule.input_changes(uri, kept["inputs"][uri], now[uri])
        else:
            what = f"could not be looked at: job {run.id} ended with code {code}"
            found.append(Problem(where=uri, what=what, remedy=f"tutti logs {run.id}, or without: --anyway"))
    return found
