"""How jobs and clusters look in a notebook: small HTML tables, everything escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tutti.errors import TuttiError

if TYPE_CHECKING:
    from tutti.jobs import Details, Node
    from workload.contract import Card


class Cell:
    """An output of the notebook that is drawn again in its place.

    Raises
    ------
    TuttiError
        from the constructor: this is no notebook.
    """

    def __init__(self) -> None:
        try:
            self._ipython: Any = import_module("IPython.display")
        except ModuleNotFoundError as error:
            raise TuttiError("no notebook here (IPython is missing): use wait(), result() or follow()") from error
        self._handle = self._ipython.display(self._ipython.HTML(""), display_id=True)
        if self._handle is None:
            raise TuttiError("no notebook here: use wait(), result() or follow()")

    def draw(self, text: str) -> None:
        """Show this in place of what was shown."""
        self._handle.update(self._ipython.HTML(text))


def job(details: Details, nodes: Sequence[Node], progress: Mapping[str, Any] | None = None) -> str:
    """A job with its nodes, and how far it is where it says that."""
    facts = [
        ("id", details.id),
        ("state", details.state),
        ("code", details.code),
        ("meaning", details.meaning),
        ("queue", details.queue),
    ]
    rows = [(n.index, n.state, "" if n.exit_code is None else n.exit_code, n.address) for n in nodes]
    head = f"<b>{html.escape(details.name)}</b>"
    told = table((), [(name, value) for name, value in facts if value not in (None, "")])
    return head + told + _bar(progress) + table(("node", "state", "code", "address"), rows)


def _bar(progress: Mapping[str, Any] | None) -> str:
    if not progress:
        return ""
    step, total = progress.get("step", 0), progress.get("total")
    of = f" of {total}" if total else ""
    gauge = f'<progress value="{float(step)}" max="{float(total)}"></progress> ' if total else ""
    return f"<div>{gauge}step {html.escape(str(step))}{html.escape(of)}</div>"


def cluster(card: Card) -> str:
    """A cluster's queues."""
    rows = [(q.name, q.kind.value, ", ".join(q.instance_types), q.cores, q.max_vcpus // q.vcpus) for q in card.queues]
    return f"<b>{html.escape(card.stack)}</b>" + table(
        ("queue", "kind", "instance types", "cores", "nodes at most"), rows
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """An HTML table."""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{top}</tr>' if top else ''}{body}</table>"
