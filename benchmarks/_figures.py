"""Figures of the results, as SVG: the same results make the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from ._report import Results
from ._rounds import Row

_BARS = ("attribute",)
"""Modules whose ratios are drawn as bars; whatever has points on a curve is drawn as one."""
_THEIRS, _TARGET, _OURS = "#8a8f98", "#c2410c", ("#1d4ed8", "#0f766e", "#7c3aed", "#b45309")
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "distobjects",  # else the ids in it are random
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#5b616b",
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "legend.frameon": False,
    "figure.facecolor": "#ffffff",  # opaque: dark pages too show dark text on white
    "figure.constrained_layout.use": True,
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw all figures into `folder / "figures"` and return their paths.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure  # no pyplot: it asks for a display, and keeps figures

    drawn: list[Path] = []
    with mpl.rc_context({**mpl.rcParamsDefault, **_STYLE}):
        for name, rows, plot in _wanted(results):
            servers = [server for server in results.servers if any(row.server == server for row in rows)]
            figure = Figure(figsize=(4.2 * len(servers), 3.2))
            for server, axes in zip(
                servers, figure.subplots(1, len(servers), sharey=True, squeeze=False)[0], strict=True
            ):
                plot(axes, [row for row in rows if row.server == server])
                axes.set_title(results.servers[server])
            handles, labels = axes.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=4)
            path = folder / "figures" / f"{name}.svg"
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, metadata={"Date": None, "Creator": None})
            drawn.append(path)
    return drawn


def _wanted(results: Results) -> Iterator[tuple[str, list[Row], Any]]:
    for module, of_module in groupby(sorted(results.rows, key=lambda row: row.module), key=lambda row: row.module):
        rows = list(of_module)
        if module in _BARS:
            yield module, [row for row in rows if row.unit == "x" and row.at is None], _bars
        for name in dict.fromkeys(row.name for row in rows if row.at is not None and row.theirs is not None):
            yield (
                f"{module}-{_slug(name)}",
                [row for row in rows if row.name == name and row.theirs is not None],
                _curve,
            )


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name.lower()).strip("-")


def _curve(axes: Any, rows: list[Row]) -> None:
    """Draw the time of one operation over what `at` counts."""
    first = [row for row in rows if row.contender == rows[0].contender]
    points = [row.at for row in first]
    axes.plot(points, [row.theirs for row in first], "o-", color=_THEIRS, label=first[0].baseline)
    for color, contender in zip(_OURS, dict.fromkeys(row.contender for row in rows), strict=False):
        ours = [row for row in rows if row.contender == contender]
        label = f"distobjects, {contender}" if contender else "distobjects"
        axes.plot([row.at for row in ours], [row.microseconds for row in ours], "o-", color=color, label=label)
    if floors := [row for row in first if row.floor is not None]:
        axes.plot([r.at for r in floors], [r.floor * r.theirs for r in floors], ":", color=_THEIRS, label="bare socket")
    if wanted := [row for row in first if row.target is not None]:
        targets = [row.target * row.theirs for row in wanted]
        axes.plot([row.at for row in wanted], targets, "_", color=_TARGET, markersize=14, label="target")
    if max(points) >= 20 * min(points):
        axes.set_xscale("log")
    axes.set_xticks(points, [f"{point:,}" for point in points])
    axes.minorticks_off()
    times = [time for row in rows for time in (row.microseconds, row.theirs)]
    if max(times) >= 10 * min(times):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(first[0].axis)
    axes.set_ylabel("µs for each operation")


def _bars(axes: Any, rows: list[Row]) -> None:
    """Draw each ratio as a bar; redis-py is 1."""
    places = range(len(rows))
    axes.barh(
        places, [row.value for row in rows], xerr=[row.spread for row in rows], color=_OURS[0], label="distobjects"
    )
    axes.axvline(1, color=_THEIRS, label="redis-py")
    if any(row.floor is not None for row in rows):
        floors = [row.floor for row in rows]
        axes.plot(floors, places, "|", color="#111827", markersize=10, label="bare socket")
    axes.plot([row.target for row in rows], places, "|", color=_TARGET, markersize=10, label="target")
    axes.set_yticks(places, [row.title for row in rows])
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("ratio of the times; less is faster")
