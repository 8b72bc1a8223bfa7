"""The report as one HTML page: no script, nothing from elsewhere, everything escaped."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from html import escape
from typing import Final

from tutti.batch import name_from
from tutti.core.scaling import fit
from tutti.report import figures
from tutti.report.gather import Story, seconds_by_name
from tutti.values import in_words
from workload.documents import program_of

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-top: 1px solid #d8dde4; padding-top: 1rem; }
h3 { font-size: 1rem; margin-bottom: .2rem; }
table { border-collapse: collapse; margin: .5rem 0; }
td, th { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top; }
th { font-weight: 600; color: #55606e; } code { font-size: .9em; } svg { max-width: 100%; height: auto; }
.SUCCEEDED { color: #2f6b3f; } .FAILED { color: #a3352b; }
footer { color: #55606e; margin-top: 3rem; font-size: .85em; }
"""


def page(stories: Sequence[Story], *, stack: str, now: float) -> str:
    """One page for one run or several."""
    title = stories[0].job.name if len(stories) == 1 else f"{len(stories)} runs"
    parts = [_scaling(stories), *(_run(s) for s in stories)] if len(stories) > 1 else [_run(stories[0])]
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1>{''.join(parts)}"
        f"<footer>Made by tutti report on {made}, cluster {escape(stack)}.</footer></body></html>\n"
    )


def _run(story: Story) -> str:
    job = story.job
    return (
        f"<h2>{escape(job.name)} <code>{escape(job.id)}</code> "
        f'<span class="{escape(job.state)}">{escape(job.state)}</span></h2>'
        + _table([(k, v) for k, v in _facts(story) if v])
        + (f"<h3>Phases</h3>{figures.timeline(story)}{_phases(story)}" if story.spans else "")
        + (f"<h3>Progress</h3>{_progress(story)}" if story.steps else "")
        + (f"<h3>What the ranks take of each node</h3>{_loads(story)}" if story.loads else "")
        + (f"<h3>Lost nodes</h3>{_setbacks(story)}" if story.setbacks else "")
    )


def _progress(story: Story) -> str:
    """A chart, or in words the one report that would be a dot in it."""
    if len(story.steps) > 1:
        return figures.progress(story)
    [step] = story.steps
    total = f" of {step.total:g}" if step.total else ""
    rate = f", {step.rate:.3g} {step.unit}/s" if step.rate else ""
    after = step.at - story.job.created
    return (
        f"<p>{escape(f'{step.unit} {step.step:g}{total}{rate}, told once, {after:.1f} s after it was submitted')}</p>"
    )


def _loads(story: Story) -> str:
    """A chart, or in words what no node told twice."""
    if any(len(told) > 1 for told in story.loads.values()):
        return figures.loads(story)
    found = [load for told in story.loads.values() for load in told]
    cores = _range([load.cores for load in found], ".2f")
    memory = _range([load.memory / figures.MIB for load in found], ".0f")
    nodes = "1 node" if len(found) == 1 else f"each of {len(found)} nodes"
    return f"<p>{cores} cores in use and {memory} MiB on {nodes}, told once</p>"


def _range(values: Sequence[float], form: str) -> str:
    least, most = format(min(values), form), format(max(values), form)
    return least if least == most else f"{least} to {most}"


def _facts(story: Story) -> list[tuple[str, str]]:
    job = story.job
    ran = in_words(job.stopped - job.started) if job.started and job.stopped else ""
    cost = ""
    if story.bill is not None:
        usd = "price unknown" if story.bill.usd is None else f"${story.bill.usd:,.4f}"
        source = f" ({story.price.source}, {story.price.as_of})" if story.price else ""
        cost = f"{usd}{source}: {story.bill.node_hours:.3f} node hours; boot and idle time of instances come on top"
    speed = next((f"{s.rate:.3g} {s.unit}/s" for s in reversed(story.steps) if s.rate), "")
    return [
        ("outcome", f"{job.meaning}{f' (code {job.code})' if job.code else ''}"),
        ("nodes", str(job.nodes or 1)),
        ("queue", job.queue),
        ("attempts", str(max(1, len(job.attempts)))),
        ("ran", ran),
        ("speed", speed),
        ("cost", cost),
        (
            "efficiency",
            f"{story.efficiency:.0%} of the paid node-seconds were computing" if story.efficiency is not None else "",
        ),
        ("command", shlex.join(program_of(job.command))),
        ("image", job.image),
    ]


def _phases(story: Story) -> str:
    attempts = sorted({s.attempt for s in story.spans})
    rows = [
        (f"{name}{f' (attempt {number})' if number > 1 else ''}", f"{seconds:.2f} s")
        for number in attempts
        for name, seconds in seconds_by_name(s for s in story.spans if s.attempt == number).items()
    ]
    return _table(rows)


def _setbacks(story: Story) -> str:
    """What was lost, how long it took to see it and until all ranks ran again, and the work that had to be redone."""
    rows = [
        (
            f"{s.attempt}",
            f"{s.node} {s.address}".strip(),
            f"drill: {s.drill}" if s.drill and not s.reason else s.reason + (f" (drill: {s.drill})" if s.drill else ""),
            "-" if s.detected_s is None else f"{s.detected_s:.2f} s",
            "-" if s.recovered_s is None else f"{s.recovered_s:.2f} s",
            "-" if s.steps_lost is None else f"{s.steps_lost:g}",
        )
        for s in story.setbacks
    ]
    return _table(rows, head=("attempt", "node", "what", "detected after", "running again after", "steps lost"))


def _scaling(stories: Sequence[Story]) -> str:
    """The runs side by side, and how they scale where they have different sizes."""
    rows = [
        (s.job.name, s.job.state, str(s.job.nodes or 1), "-" if s.compute_s is None else f"{s.compute_s:.2f} s")
        for s in stories
    ]
    text = _table(rows, head=("run", "state", "nodes", "computing"))
    points = [(s.job.nodes or 1, s.compute_s) for s in stories if s.compute_s and s.job.state == "SUCCEEDED"]
    model = fit(points)
    if model is None or len({name_from(program_of(s.job.command), "") for s in stories}) > 1:
        return text  # one size, or several programs
    limit = (
        "no limit in what was measured" if model.most is None else f"{model.most:.1f}x at most, on any number of nodes"
    )
    share = model.serial_s / model.seconds(1) if model.seconds(1) else 0.0
    words = (
        f"T(n) = {model.serial_s:.3g} s + {model.parallel_s:.3g} s / n: {share:.1%} of the work is not shared; {limit}."
    )
    return f"{text}<h3>Scaling</h3>{figures.scaling(points, model)}<p>{escape(words)}</p>"


def _table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    first = "th" if not head else "td"
    body = "".join(
        f"<tr><{first}>{escape(row[0])}</{first}>{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{top}</tr>' if top else ''}{body}</table>"
