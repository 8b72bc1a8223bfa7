"""Why a job failed: what AWS says of it, then its exit code, then its log's last lines. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Final

from tutti.jobs import Node
from tutti.why.facts import Facts, Finding
from workload.contract import SAYS, SHARED_SCHEME, ExitCode

NOT_EXECUTABLE: Final = 126  # POSIX, as 127: was not found
NAMED: Final = 4  # nodes that a cause names one by one

# What stands in a reason of AWS's -> (code, cause, remedy). The first that matches wins, so the narrow come first.
# Sources: Amazon ECS Developer Guide, "Stopped tasks error codes"; what users report of EC2 and of Fargate, which word the
# same failure apart: EC2's agent says "Fetching secret data from ...", Fargate's "unable to pull secrets or registry auth".
_PULL: Final = r"CannotPull(ECR)?ContainerError"
_NO_WAY: Final = (
    r"timeout|timed out|deadline exceeded|no route|no such host|connection (refused|reset|issue)|waiting for connection"
    r"|request canceled|send request failed"
)
_AUTH: Final = r"(ecr registry auth|registry auth from Amazon ECR)"
_ASM: Final = r"(Fetching secret data from AWS Secrets Manager|ResourceInitializationError.*(from asm|Secrets Manager))"
_FOR_ANOTHER: Final = (
    "the image is for another processor than the pool's instances",
    "Build it for the pool's architecture (--platform linux/amd64 or linux/arm64), or choose another pool.",
)
_SAID: Final = (
    ((rf"exec format error|{_PULL}.*(matching platform|no matching manifest)"),
     "architecture", *_FOR_ANOTHER),
    # ECR's refusal goes on with Docker's "repository does not exist or may require 'docker login'", which without it
    # is said of a name that is wrong.
    ((rf"({_PULL}|{_AUTH}).*(not authorized|AccessDenied|authorization token|no basic auth|authentication required|\b403\b"
     r"|(?<!resource is )denied(?!: requested access|,? (for \S+ )?repository does not exist| for \S+, repository does not exist))"),
     "image-denied", "the instance may not pull the image",
     "The operator lets the instance role read the repository (for an image of another account: the repository's own policy too)."),
    (rf"{_PULL}.*(toomanyrequests|pull rate limit)", "image-rate-limit", "the image's registry lets nobody pull so often",
     "Try it later; or the operator copies the image into the stack's own repository, which has no such limit."),
    (rf"{_PULL}.*(no space left|disk quota)", "image-too-large", "the image does not fit on the node's disk",
     "The operator raises disk_gib of the pool, or the image gets smaller."),
    (rf"({_PULL}|{_AUTH}).*({_NO_WAY})", "image-unreachable", "the registry did not answer: nodes have no way to it",
     "tutti doctor looks at routes, NAT and endpoints."),
    (rf"{_PULL}.*(not found|manifest unknown|does not exist)", "image-not-found", "the image is not in its repository",
     "Submit the job again: the newest definition names an image that is there; or the operator runs pulumi up."),
    (_PULL, "image-pull", "the image could not be pulled", "It is retried; if it stays so, tutti doctor looks at the network and the repository."),
    (rf"{_ASM}.*(AccessDenied|not authorized)", "secret-denied", "the execution role may not read the gang's secret",
     "The operator runs pulumi up, which gives it that right."),
    (rf"{_ASM}.*(not find|NotFound|can't find|marked for deletion)", "secret-not-found", "the gang's secret is not there",
     "The operator restores it (aws secretsmanager restore-secret), or runs pulumi up, which makes a new one."),
    (_ASM, "secret-unreachable", "the gang's secret could not be read: Secrets Manager was not reached",
     "tutti doctor looks at routes, NAT and endpoints (secretsmanager)."),
    (r"initialize logging driver|validate logger args|Cloudwatch log stream", "log-not-opened", "the container's log could not be opened in CloudWatch Logs",
     "tutti doctor looks at routes, NAT and endpoints (logs); the operator runs pulumi up, which makes log group and rights."),
    (r"EFS utils|VolumeDriver\.Create|mount\.nfs|CannotCreateVolumeError.*mount", "efs-mount", "the shared file system could not be mounted",
     "tutti doctor looks at mount targets, port 2049 and the file system's policy."),
    (r"CannotStartContainerError.*(executable file not found|no such file or directory)", "no-entrypoint",
     "the image lacks the program that the container starts: Tutti's own node program",
     "Choose an image of the stack (--image; tutti cluster show has them), or have the operator add the runtime to this one."),
    (r"(DockerTimeoutError|ContainerRuntimeTimeoutError|Could not transition to \w+; timed out)", "container-slow",
     "the node was too slow to make the container: its disk was busy, most often with the image",
     "Submit it again; if it stays so, the operator gives the pool a larger or faster disk (disk_gib)."),
    (r"OutOfMemory", "out-of-memory", "a node ran out of the memory that the job was given",
     "Submit it with more --memory, on more nodes, or with fewer --ranks-per-node."),
    (r"Job attempt duration exceeded timeout", "timeout", "it reached its timeout",
     "Submit it with a longer --timeout; with --signal-before 5m the program can save first, and tutti resume goes on from there."),
    (r"Canceled by JobStateTimeLimit action.*INSUFFICIENT_INSTANCE_CAPACITY", "no-capacity", "it was cancelled because AWS had no capacity for its instances in time",
     "Submit it to another pool (tutti queues), on fewer nodes, or later."),
    (r"Canceled by JobStateTimeLimit action", "waited-too-long", "it was cancelled because it could not start in time",
     "tutti doctor looks at the queue; tutti cluster show has what a node offers."),
    (r"Dependent Job failed", "dependency-failed", "a job that it was to follow has failed",
     "Ask why that one failed: tutti why ID. Then submit both again."),
    (r"Host EC2|Your Spot Task was interrupted", "host-lost", "its main node's instance went away, and no attempt was left",
     "Submit it again, with more --retries; tutti resume goes on from its last checkpoint."),
)  # fmt: skip

# How AWS begins where it ended a job by itself; some of these may count as requests in DescribeJobs.
_OWN_WORDS: Final = (
    "Canceled by JobStateTimeLimit",
    "Job attempt duration exceeded timeout",
    "Dependent Job failed",
    "Host EC2",
    "Your Spot Task was interrupted",
    "Essential container",
    "Task failed to start",
)

_CODES: Final = {
    ExitCode.SETTINGS: "Mend what the log names and submit it again.",
    ExitCode.REFUSED: "A node of another attempt or another stack knocked: look at the log, and submit it again.",
    ExitCode.STAGING: "WHERE Outputs that could not be uploaded lie on the shared folder, under output/.",
    ExitCode.STOPPED: "Go on from the checkpoint: tutti resume ID.",
    ExitCode.STALLED: "The log has a stack of every rank at the time: most often two ranks wait for each other. A longer --hang-after helps a slow program.",
    ExitCode.MISSING: "Capacity came too late for some nodes. Submit it again, or with a longer --join-timeout.",
    ExitCode.LOST: "All attempts lost a node. Submit it again; tutti resume goes on from its last checkpoint.",
    ExitCode.PREFLIGHT: "The log names node and check. Submit it again; if it stays so, tutti doctor --run.",
    ExitCode.GOING_AWAY: "Nodes were taken away in every attempt. Submit it again; tutti resume goes on from its last checkpoint.",
}  # fmt: skip

# What stands in the last lines of a log -> (code, cause, remedy). A rank that a signal ended (a code above 128) died of
# something else than what it lacks, of which a log may well speak in passing.
# An input or output in the runtime's words: up to what is said of it.
_PLACE: Final = rf"(?:s3://|{SHARED_SCHEME}).+?(?=: |$)"
_RANK_ENDED: Final = re.compile(rf"{SAYS}node \d+: rank \d+")
_LACKS: Final = frozenset({"no-module", "no-library", "no-file", "not-allowed"})
_NO_FILE: Final = ("no-file", "the program did not find {0}", "Stage it in with --input; ranks find it under input/.")
_LOG: Final = (
    (r"exec format error", "architecture", *_FOR_ANOTHER),
    (r"ModuleNotFoundError: No module named '?([\w.]+)", "no-module", "the program imports {0}, which the image lacks",
     "Choose an image that has it (--image), bring it along (--upload DIR), or have the operator build one with it."),
    (r"error while loading shared libraries: (\S+?):", "no-library", "the program needs the library {0}, which the image lacks",
     "Compile it in the dev image (--compile), or have the operator build an image with the library."),
    (r"Illegal instruction|illegal hardware instruction", "illegal-instruction", "the program was compiled for another processor than the pool's",
     "Compile it for the pool's instances (--compile runs in the dev image), without -march=native of another machine."),
    (r"No space left on device", "disk-full", "a disk ran full",
     "Write less to scratch, or have the operator raise disk_gib of the pool; the shared folder has no such limit."),
    (r"(?:MemoryError|Cannot allocate memory|std::bad_alloc|SIGKILL \(137\), out of memory)", "out-of-memory", "the program ran out of memory",
     "Submit it with more --memory, on more nodes, or with fewer --ranks-per-node."),
    (r"(?:can't open file|[Cc]annot open(?: file)?|No such file or directory)[: ]+'?([^'\n:]+)", *_NO_FILE),
    (r"AccessDenied|not authorized to perform: ([\w:]+)", "not-allowed", "the job role may not do what the program asks of AWS",
     "A job sees its group's prefix in the bucket and its own secrets alone: ask the operator for more."),
)  # fmt: skip
# How coreutils and shells say it (`cat: x: No such file or directory`): often in passing, so it counts as a last word alone.
_MISSED: Final = re.compile(r"(?:'(?P<quoted>[^'\n]+)'|(?:^|: )(?P<plain>[^':\n]+)): No such file or directory$")


def said_by_aws(facts: Facts) -> Finding | None:
    """What AWS gives as the reason, of the job or of its last container; a request's own words are nobody's reason."""
    job = facts.job
    if job is None or job.state != "FAILED":
        return None
    for text in (facts.container_reason, job.reason):
        for pattern, code, cause, remedy in _SAID:
            if re.search(pattern, text, re.IGNORECASE | re.DOTALL) and not (text == job.reason and _requested(facts)):
                return Finding(code=code, cause=cause, remedy=remedy, evidence=text)
    return None


def stopped_by_somebody(facts: Facts) -> Finding | None:
    job = facts.job
    if job is None or job.exit_code in set(_CODES) - {ExitCode.GOING_AWAY} or not _requested(facts):
        return None
    return Finding(
        code="cancelled",
        cause="somebody cancelled it",
        remedy="Submit it again: tutti resubmit ID, or tutti resume ID.",
        evidence=job.reason,
    )


def _requested(facts: Facts) -> bool:
    """Whether somebody asked AWS to end it, in words of their own; what AWS ends by itself keeps AWS's words."""
    job = facts.job
    if job is None or job.state != "FAILED" or job.reason.startswith(_OWN_WORDS):
        return False
    return facts.stopped or bool(re.search("cancel|terminat", job.reason, re.IGNORECASE))


def our_code(facts: Facts) -> Finding | None:
    job = facts.job
    if job is None or job.exit_code not in _CODES:
        return None
    code = ExitCode(job.exit_code)
    evidence = _last_of_ours(facts)
    place = re.search(_PLACE, evidence) if code is ExitCode.STAGING else None
    where = f"See whether it is there: tutti data ls {shlex.quote(place[0])}." if place else "The log names the file."
    return Finding(
        code=f"exit-{int(code)}",
        cause=code.meaning + (f": {place[0]}" if place else "") + _of_nodes(facts, code),
        remedy=_CODES[code].replace("ID", job.id).replace("WHERE", where),
        evidence=evidence,
    )


def said_by_program(facts: Facts) -> Finding | None:
    job = facts.job
    if job is None or job.state != "FAILED":
        return None
    for line in reversed(facts.log):
        for pattern, code, cause, remedy in _LOG:
            if (match := re.search(pattern, line)) and not (code in _LACKS and (job.exit_code or 0) > 128):
                words = cause.format(*(match.groups() or ("",)))
                return Finding(code=code, cause=words, remedy=remedy, evidence=line)
    return _missed(facts)


def _missed(facts: Facts) -> Finding | None:
    """A file that the program's last line says is not there. Of a program that is not there its code speaks (126, 127)."""
    own = [line for line in facts.log if not line.startswith(SAYS)]
    match = _MISSED.search(own[-1]) if own else None
    if match is None or facts.job is None or (facts.job.exit_code or 0) >= NOT_EXECUTABLE:
        return None
    code, cause, remedy = _NO_FILE
    return Finding(code=code, cause=cause.format(match["quoted"] or match["plain"]), remedy=remedy, evidence=own[-1])


def its_code(facts: Facts) -> Finding | None:
    """The last word: the program's own code."""
    job = facts.job
    if job is None or job.state != "FAILED":
        return None
    evidence = _last_of_program(facts)
    match job.exit_code:
        case None:
            return Finding(
                code="failed",
                cause=facts.container_reason.partition("\n")[0] or job.reason or "it failed, and AWS does not say why",
                remedy="Look at the log: tutti logs ID.",
                evidence=evidence,
            )
        case code if code == NOT_EXECUTABLE:
            return Finding(
                code="not-executable",
                cause="the program is not executable",
                remedy="chmod +x it before it is uploaded, or run it through its interpreter.",
                evidence=evidence,
            )
        case 127:
            return Finding(
                code="not-found",
                cause="the program was not found on the node",
                remedy="Give its path in the image, bring it along (--upload DIR), or choose an image that has it.",
                evidence=evidence,
            )
        case 137:
            return Finding(
                code="killed",
                cause="a rank was killed (SIGKILL), most often because a node ran out of memory",
                remedy="Submit it with more --memory, on more nodes, or with fewer --ranks-per-node.",
                evidence=evidence,
            )
        case 139:
            return Finding(
                code="segfault",
                cause="a rank died of a segmentation fault",
                remedy="The log names node and rank; run it at your desk (tutti twin) under a debugger. Fortran programs may need a larger OMP_STACKSIZE.",
                evidence=evidence,
            )
        case 134:
            return Finding(
                code="aborted",
                cause="a rank aborted (SIGABRT): an assertion, or the C++ library gave up",
                remedy="The log's last lines say where.",
                evidence=evidence,
            )
        case 143:
            return Finding(
                code="terminated",
                cause="a rank ended by SIGTERM and did not handle it",
                remedy="Handle SIGTERM to save first, or ask who sent it: tutti logs ID.",
                evidence=evidence,
            )
        case code if code > 128:
            return Finding(
                code=f"signal-{code - 128}",
                cause=f"a rank ended by signal {code - 128}",
                remedy="The log names node and rank.",
                evidence=evidence,
            )
        case code:
            return Finding(
                code="program",
                cause=f"the program ended with code {code}",
                remedy="It is the program's own failure: its last lines say more (tutti logs ID).",
                evidence=evidence,
            )


def _of_nodes(facts: Facts, code: ExitCode) -> str:
    """What Batch knows of the nodes that main's last words name: main itself saw no more than that they were away."""
    if code is ExitCode.MISSING:
        found = re.search(r"nodes? ([\d, -]+) of \d+ did not join", _last_of_ours(facts))
    elif code is ExitCode.LOST:
        found = re.search(r"node (\d+) \([^)]*\) is lost", _last_of_ours(facts))
    else:
        return ""
    if not found:
        return ""
    spans = [part.strip().partition("-") for part in found[1].split(",")]
    away = {n for first, _, last in spans for n in range(int(first), int(last or first) + 1)}
    told = [f"node {node.index} {_how_far(node)}" for node in facts.nodes if node.index in away]
    return "".join(f"; {words}" for words in (*told[:NAMED], *([f"{len(told) - NAMED} more"] if told[NAMED:] else [])))


def _how_far(node: Node) -> str:
    reason = (node.attempts[-1].reason if node.attempts else "") or node.reason
    ran = node.attempts[-1].stream if node.attempts else node.stream
    state = f"started and is {node.state}" if ran else f"did not start and is {node.state}"
    return state + (f": {reason}" if reason else "")


def _last_of_program(facts: Facts) -> str:
    """The program's last lines, and how ranks ended; where there are none, the runtime's last word."""
    lines = [line for line in facts.log if not line.startswith(SAYS) or _RANK_ENDED.match(line)]
    # ranks that fail alike say the same
    return "\n".join(list(dict.fromkeys(lines or facts.log[-1:]))[-5:])


def _last_of_ours(facts: Facts) -> str:
    """The runtime's own last word: it names node and reason."""
    return next((line for line in reversed(facts.log) if "tutti: " in line), "\n".join(facts.log[-3:]))


RULES: Final[tuple[Callable[[Facts], Finding | None], ...]] = (
    said_by_aws,
    stopped_by_somebody,
    our_code,
    said_by_program,
    its_code,
)
