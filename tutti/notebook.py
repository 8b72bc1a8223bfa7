"""How jobs and clusters look in a notebook: small HTML tables, everything escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tutti.jobs import Details, Node
    from workload.contract import Card


def job(details: Details, nodes: Sequence[Node]) -> str:
    """A job with its nodes."""
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
    return head + told + table(("node", "state", "code", "address"), rows)


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
