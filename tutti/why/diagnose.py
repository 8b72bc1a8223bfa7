"""One cause and one remedy: the first rule that applies, in the order of certainty. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tutti.why import ended, network, waiting
from tutti.why.facts import Facts, Finding
from tutti.why.waiting import Rule

# A job that has not started. What AWS itself gives as the reason comes before what we infer; what is wrong with the
# cluster before what is only busy; and what would keep nodes from coming up last, however long the job has waited: a
# start that cannot succeed need not be waited for.
NOT_STARTED: Final[tuple[Rule, ...]] = (
    waiting.dependencies,
    *waiting.CLUSTER,
    *waiting.FIT,
    *waiting.SAID,
    *waiting.WAIT,
    *network.RULES,
    waiting.waits_in_disabled_queue,
    waiting.instances_starting,
)
STARTING: Final[tuple[Rule, ...]] = (*network.RULES, waiting.containers_starting)


def diagnose(facts: Facts) -> Finding | None:
    """Why the job does not run or has failed; None where nothing is wrong (it runs, or has succeeded)."""
    job = facts.job
    if job is None or job.state in {"RUNNING", "SUCCEEDED"} or job.array_states.get("RUNNING"):
        return None  # an array is PENDING while its elements run
    if job.state == "FAILED":
        return _first(ended.RULES, facts)
    return _first(STARTING if job.state == "STARTING" else NOT_STARTED, facts)


def check_up(facts: Facts) -> list[Finding]:
    """Everything that is wrong with a cluster, without a job."""
    rules = (waiting.queue_disabled, *waiting.CLUSTER, waiting.quota_below_pool, *network.RULES)
    return [found for rule in rules if (found := rule(facts))]


def _first(rules: Iterable[Rule], facts: Facts) -> Finding | None:
    return next((found for rule in rules if (found := rule(facts))), None)
