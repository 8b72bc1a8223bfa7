"""`tutti`: the table of commands. Each command's module loads when it is called, so that `tutti --help` is quick."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from tutti.cli.common import Call, InterruptedByUserError, call_of
from tutti.errors import Exit, TuttiError

# name -> (module with `app`, what it does); the order is the help's.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "submit": ("submit", "run a program on the cluster"),
    "status": ("status", "jobs, or one job with its nodes"),
    "ps": ("status", "the same as status"),
    "logs": ("logs", "what a job wrote, all nodes in time order"),
    "wait": ("wait", "wait until a job runs or has ended"),
    "cancel": ("cancel", "end jobs"),
    "resubmit": ("resubmit", "submit a job again as it was"),
    "rerun": ("rerun", "run a job once more as it was, from its capsule"),
    "diff": ("diff", "how two runs differ"),
    "resume": ("resume", "go on with a job from its last checkpoint"),
    "checkpoints": ("checkpoints", "checkpoints of a job: list, verify, save, stop"),
    "top": ("top", "what a running job's ranks take of their nodes"),
    "hosts": ("hosts", "which nodes run, and what on them"),
    "queues": ("queues", "queues: what waits, runs, is blocked, could still start"),
    "schedule": ("schedule", "submissions to come, of submit --at and --every: list, remove"),
    "sweep": ("sweep", "many MPI jobs from one file: grids, lists, random points"),
    "data": ("data", "the group's files: list, put, get, sync, remove"),
    "report": ("report", "runs as one HTML file: phases, speed, cost, scaling"),
    "cost": ("cost", "what runs have cost, by user, job or day"),
    "why": ("why", "why a job does not start or has failed"),
    "doctor": ("doctor", "what is wrong with a cluster; --run proves that it works"),
    "port": ("port", "turn a Slurm, PBS or awsbsub script into a job file"),
    "schema": ("schema", "JSON schemas of files and answers, for editors and programs"),
    "cluster": ("cluster", "the clusters that are known here"),
    "twin": ("twin", "a local AWS Batch at your desk"),
    "drill": ("drill", "break a running job on purpose, and time its recovery"),
}
CLUSTER_FLAG: Final = "--cluster"
JOBS_GO_ON: Final = "interrupted; jobs that were submitted go on"
# What Ctrl-C leaves behind, where a command has no better words for it.
LEFT: Final = {
    **dict.fromkeys(
        ("submit", "resubmit", "rerun", "resume"),
        "interrupted; what was submitted goes on, tutti status says whether it was",
    ),
    "sweep": "interrupted; points that were submitted go on, and the same command goes on with the rest",
    "data": "interrupted; files that were done stay done, the same command does the rest",
    "cancel": "interrupted; tutti status says which were ended",
}
CANNOT_WRITE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class ReaderGoneError(Exception):
    """Whoever read our output has gone: `tutti status | head`."""


class Table(TyperGroup):
    """The root group: names and help from COMMANDS, modules on demand."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  the group's interface
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  the group's interface
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            module, short = COMMANDS[cmd_name]
            command = typer.main.get_command(import_module(f"tutti.cli.{module}").app)
            command.name, command.short_help = cmd_name, short
            self.commands[cmd_name] = command
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS:
            from tutti.errors import likely  # noqa: PLC0415  only on this way out

            hint = likely(args[0], COMMANDS)
            ctx.fail(f"no command {args[0]!r}{hint} (tutti --help lists them)")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().make_context(*args, **kwargs)
        except KeyboardInterrupt as error:
            raise InterruptedByUserError from error

    def invoke(self, ctx: Any) -> Any:
        # typer would make nameless exit codes of these two: we want words, and a shell's own code for a closed pipe
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptedByUserError from error
        except BrokenPipeError as error:
            raise ReaderGoneError from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  the group's interface
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])


app = typer.Typer(
    cls=Table,
    name="tutti",
    help="MPI on AWS Batch: every node together or none.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
    epilog="Exit codes: 0 done, 2 wrong input, 3 not found, 4 not allowed, 5 no answer, 6 refused by AWS; "
    "wait and submit --wait end with the job's own.",
)


@app.callback()
def root(
    context: typer.Context,
    cluster: Annotated[str, typer.Option(CLUSTER_FLAG, "-c", help="which cluster, by its name", metavar="NAME")] = "",
    version: Annotated[bool, typer.Option("--version", help="the version, and nothing else")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed  # noqa: PLC0415  20 ms that only this flag needs

        typer.echo(f"tutti {installed('tutti')}")
        raise typer.Exit
    call_of(context).cluster = cluster or None


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; every error becomes words on stderr and an exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    warnings.showwarning = lambda message, *_, **__: _tell(str(message))
    code = _run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _quiet_stdout()
        code = Exit.PIPE
    except OSError as error:
        code = _unwritten(error)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    try:
        words, program = _split(arguments)
        result = app(words, prog_name="tutti", standalone_mode=False, obj=Call(program=program))
    except (KeyboardInterrupt, InterruptedByUserError) as error:
        command = next((word for word in arguments if word in COMMANDS), "")
        _tell(str(error) or LEFT.get(command, JOBS_GO_ON))
        return Exit.INTERRUPTED
    except (BrokenPipeError, ReaderGoneError):
        _quiet_stdout()
        return Exit.PIPE
    except TuttiError as error:
        _say(error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001  the last place: words for what is known, a traceback for what is not
        return _unexpected(error)
    return result if isinstance(result, int) else Exit.DONE


def _split(arguments: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """A program behind `--` is nobody's flags: it is taken off before anything reads them."""
    if "--" not in arguments or arguments[:1] == ["--"]:
        return _cluster_first(arguments), ()
    at = arguments.index("--")
    return _cluster_first(arguments[:at]), tuple(arguments[at + 1 :])


def _cluster_first(words: list[str]) -> list[str]:
    """`tutti submit --cluster NAME` as `tutti --cluster NAME submit`: it is every command's."""
    for at, word in enumerate(words):
        if word == CLUSTER_FLAG and at + 1 < len(words):
            return [*words[at : at + 2], *words[:at], *words[at + 2 :]]
        if word.startswith(f"{CLUSTER_FLAG}="):
            return [word, *words[:at], *words[at + 1 :]]
    return words


def _unexpected(error: Exception) -> int:
    from tutti import aws  # noqa: PLC0415  only on this way out

    if aws.is_aws_error(error):
        told = aws.in_words(error)
        _say(told)
        return told.exit_code
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        _tell("interrupted")
        return Exit.INTERRUPTED
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer's usage errors
        context = getattr(error, "ctx", None)
        hint = f" ({context.command_path} --help)" if context is not None else ""
        _tell(f"{error.format_message()}{hint}")
        return int(error.exit_code)
    if isinstance(error, OSError) and error.filename is not None:
        _tell(f"{error.filename}: {error.strerror}")
        return Exit.NOT_FOUND if isinstance(error, FileNotFoundError) else Exit.FAILED
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        return _unwritten(error)
    raise error


def _unwritten(error: OSError) -> int:
    """The answer could not be written: the disk below it is full, or fails. What the command did, it did."""
    _quiet_stdout()
    words = f"the answer cannot be written: {error.strerror}; what was submitted or changed stays so (tutti status)"
    _tell(words)
    return Exit.FAILED


def _say(error: TuttiError) -> None:
    for line in str(error).splitlines():
        _tell(line)


def _tell(words: str) -> None:
    from tutti.cli.screen import fitted  # noqa: PLC0415  only where there is something to say

    print(fitted(f"tutti: {words}", sys.stderr), file=sys.stderr)


def _quiet_stdout() -> None:
    """The reader of our output has gone: write what is left to nowhere, so that Python ends without complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
