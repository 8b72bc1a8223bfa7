"""The report's figures: matplotlib, as SVG text that stands in the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tutti.report.gather import Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tutti.core.scaling import Scaling

COLOURS: Final = {
    "queued": "#c9ced6",
    "booted": "#a9b4c6",
    "pulled": "#8d9bb5",
    "starting": "#cddcec",
    "assembled": "#8fb8de",
    "preflight": "#6fa8a0",
    "staged": "#d9b26f",
    "launched": "#b58db6",
    "computed": "#3d7d4f",
    "uploaded": "#c97b63",
    "lost": "#a3352b",
}
LEGEND_COLUMNS: Final = 6
LINES_APART: Final = 16  # nodes that are shown as lines of their own; more are a band
MARKED: Final = 60  # points that are dots as well
MIB: Final = 1 << 20


def timeline(story: Story) -> str:
    """Phases of each attempt as bars, seconds since the submission."""
    attempts = sorted({s.attempt for s in story.spans})
    legend_rows = ceil(len({s.name for s in story.spans}) / LEGEND_COLUMNS)
    figure, axes = _new(height=0.6 + 0.2 * legend_rows + 0.5 * max(1, len(attempts)))
    seen = set()
    for span in story.spans:
        label = span.name if span.name not in seen else None
        seen.add(span.name)
        axes.barh(
            span.attempt,
            max(0.0, span.end - span.start),
            left=span.start - story.job.created,
            color=COLOURS.get(span.name, "#888888"),
            label=label,
            height=0.6,
        )
    axes.set_yticks(attempts, [f"attempt {n}" for n in attempts])
    axes.invert_yaxis()
    axes.set_xlabel("seconds since it was submitted")
    axes.legend(ncols=LEGEND_COLUMNS, fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return _svg(figure)


def progress(story: Story) -> str:
    """Steps over time, and their rate."""
    figure, axes = _new(height=2.4)
    times = [s.at - story.job.created for s in story.steps]
    unit = story.steps[-1].unit
    points = _dots(len(times))
    axes.plot(times, [s.step for s in story.steps], color="#3d7d4f", **points)
    axes.set_xlim(left=0)
    _from_zero(axes)
    axes.set_ylabel(unit)
    axes.set_xlabel("seconds since it was submitted")
    if any(s.rate for s in story.steps):
        rates = axes.twinx()
        known = [(at, s.rate) for at, s in zip(times, story.steps, strict=True) if s.rate]
        rates.plot([at for at, _ in known], [rate for _, rate in known], color="#c97b63", linewidth=0.8, **points)
        _from_zero(rates)
        rates.spines["top"].set_visible(False)
        rates.set_ylabel(f"{unit}/s", color="#c97b63")
    return _svg(figure)


def loads(story: Story) -> str:
    """Cores in use and memory of each node; of many nodes the middle and the extremes."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    start = story.job.created
    for axes, unit, pick in ((above, "cores in use", 0), (below, "MiB", 1)):
        series = {
            node: [(load.at - start, load.cores if pick == 0 else load.memory / MIB) for load in told]
            for node, told in story.loads.items()
        }
        _lines(axes, series) if len(series) <= LINES_APART else _band(axes, series)
        axes.set_ylabel(unit)
        axes.set_xlim(left=0)
        _from_zero(axes)
    below.set_xlabel("seconds since it was submitted")
    return _svg(figure)


def scaling(points: Sequence[tuple[int, float]], model: Scaling) -> str:
    """Measured times over nodes, the fitted model, and what perfect would be."""
    figure, axes = _new(height=3.2)
    least, most = min(n for n, _ in points), max(n for n, _ in points)
    nodes = [least + (most * 2 - least) * i / 100 for i in range(101)]
    axes.plot(nodes, [model.seconds(n) for n in nodes], color="#3d7d4f", label="Amdahl's law, fitted")
    axes.plot(nodes, [model.seconds(least) * least / n for n in nodes], "--", color="#a9b4c6", label="perfect")
    axes.plot([n for n, _ in points], [t for _, t in points], "o", color="#1f3d5c", label="measured")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
    axes.yaxis.set_minor_formatter(lambda seconds, _: f"{seconds:g}" if f"{seconds:e}"[0] in "25" else "")
    sizes = sorted({n for n, _ in points})
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.set_xlabel("nodes")
    axes.set_ylabel("seconds of computing")
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def _from_zero(axes: Axes) -> None:
    """With room above the highest line, which would else lie on the edge."""
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])


def _dots(count: int) -> dict[str, Any]:
    """Dots on a line of few points: one alone is no line."""
    return {"marker": "o", "markersize": 3} if count <= MARKED else {}


def _lines(axes: Axes, series: dict[int, list[tuple[float, float]]]) -> None:
    for node, points in series.items():
        dots = _dots(len(points))
        axes.plot([t for t, _ in points], [v for _, v in points], label=f"node {node}", linewidth=1, **dots)
    axes.legend(fontsize=7, frameon=False, ncols=4)


def _band(axes: Axes, series: dict[int, list[tuple[float, float]]]) -> None:
    columns: dict[float, list[float]] = {}
    for points in series.values():
        for at, value in points:
            columns.setdefault(round(at / 10) * 10, []).append(value)  # nodes report every 10 s, each at its own moment
    times = sorted(columns)
    ordered = [sorted(columns[t]) for t in times]
    axes.fill_between(
        times, [v[0] for v in ordered], [v[-1] for v in ordered], color="#8fb8de", alpha=0.5, label="all nodes"
    )
    axes.plot(times, [v[len(v) // 2] for v in ordered], color="#1f3d5c", label="the middle one")
    axes.legend(fontsize=7, frameon=False)


def _new(*, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The figure as an `<svg>` element; no global state of matplotlib's is touched."""
    text = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)  # its print_svg has no types
    canvas.print_svg(text, metadata={"Date": None, "Creator": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]
