"""What several commands share: the cluster of the call, the options that are everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tutti.errors import likely

if TYPE_CHECKING:
    from tutti.cluster import Cluster
    from workload.contract import Card

Json = Annotated[bool, typer.Option("--json", help="answer in JSON")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="the job: its id, the start of it, or its name")]


@dataclass
class Call:
    """What stands around a command: `--cluster`, and the program behind `--`."""

    program: tuple[str, ...] = ()
    cluster: str | None = None


class InterruptedByUserError(Exception):
    """Ctrl-C in a command; its words say what is left."""


@contextmanager
def interrupted(words: str) -> Iterator[None]:
    """What Ctrl-C means here, in words."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedByUserError(words) from error


class _Group(TyperGroup):
    """A command with commands of its own: by itself it says which, as `tutti` by itself does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


def new_app(help_text: str = "") -> typer.Typer:
    """A command module's `app`, plain: no colours in help, no completion options, no pretty tracebacks."""
    return typer.Typer(
        cls=_Group,
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def call_of(context: typer.Context) -> Call:
    """The call that a command belongs to."""
    return context.find_object(Call) or Call()


def cluster_of(context: typer.Context) -> Cluster:
    """The cluster that `--cluster`, TUTTI_CLUSTER or the home folder says."""
    from tutti.cluster import Cluster  # noqa: PLC0415  commands that need no cluster must not pay for it

    return Cluster.current(os.environ, name=call_of(context).cluster)


def checked_queues(card: Card, names: Sequence[str], hint: str) -> None:
    """Refuse a queue that the cluster has not.

    Raises
    ------
    typer.BadParameter
        There is one.
    """
    known = [q.name for q in card.queues]
    for name in names:
        if name not in known:
            raise typer.BadParameter(
                f"no queue {name!r}{likely(name, known)}; allowed: {', '.join(known)}", param_hint=hint
            )
