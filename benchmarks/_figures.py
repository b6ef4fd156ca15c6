"""Figures of the results, as SVG: the same results make the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

from ._report import Results
from ._rounds import Row

Plot = Callable[[Any, list[Row], list[Row]], None]
"""What draws one server's rows into axes, whose scales are those of all rows, for the servers share them."""
_BARS = ("attribute",)
"""Modules whose ratios are drawn as bars; whatever has points on a curve is drawn as one."""
_THEIRS, _TARGET, _OURS = "#8a8f98", "#c2410c", ("#1d4ed8", "#0f766e", "#7c3aed", "#be185d")
_STYLE: Any = {
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
        for name, rows, plots in _wanted(results):
            servers = [server for server in results.servers if any(row.server == server for row in rows)]
            height = 2.2 * len(plots) + 0.1 * len(rows) / len(servers)
            figure = Figure(figsize=(4.2 * len(servers), height + 0.6))
            panels = figure.subplots(len(plots), len(servers), sharex="col", sharey="row", squeeze=False)
            for plot, line in zip(plots, panels, strict=True):
                for server, axes in zip(servers, line, strict=True):
                    plot(axes, [row for row in rows if row.server == server], rows)
            for server, axes in zip(servers, panels[0], strict=True):
                axes.set_title(results.servers[server])
            for axes in panels[-1]:
                axes.set_xlabel(rows[0].axis or "ratio to redis-py: less is faster")
            for axes in panels[:, 1:].flat:
                axes.set_ylabel("")
            handles, labels = panels[0][0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=4)
            path = folder / "figures" / f"{name}.svg"
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, metadata={"Date": None, "Creator": None})
            drawn.append(path)
    return drawn


def _wanted(results: Results) -> Iterator[tuple[str, list[Row], tuple[Plot, ...]]]:
    """Yield each figure's name, its rows, and what is drawn of them, one below the other."""
    for module, of_module in groupby(results.rows, key=lambda row: row.module):
        rows = [row for row in of_module if row.theirs is not None]
        if module in _BARS:
            yield module, rows, (_bars,)
        points = [row for row in rows if row.at is not None]
        for name in dict.fromkeys(row.name for row in points):
            yield f"{module}-{_slug(name)}", [row for row in points if row.name == name], (_times, _ratios)


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name.lower()).strip("-")


def _times(axes: Any, rows: list[Row], every: list[Row]) -> None:
    """Draw what one operation takes, theirs and ours, over what `at` counts."""
    first = _lines(axes, rows, lambda row: row.microseconds)
    axes.plot([row.at for row in first], [row.theirs for row in first], "o-", color=_THEIRS, label=first[0].baseline)
    _scale(axes, [float(time or 0) for row in every for time in (row.microseconds, row.theirs)])
    axes.set_ylabel("µs for each")


def _ratios(axes: Any, rows: list[Row], every: list[Row]) -> None:
    """Draw the ratios, which are of the same seconds and so steadier than the times."""
    first = _lines(axes, rows, lambda row: row.value)
    axes.axhline(1, color=_THEIRS)
    _scale(axes, [1.0, *(row.value for row in every)])
    for wanted in (row for row in first if row.target is not None):
        axes.plot(wanted.at, wanted.target, "_", color=_TARGET, markersize=12)
    axes.set_ylabel("ratio")


def _scale(axes: Any, values: list[float]) -> None:
    if max(values) >= 10 * min(values):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.08 * max(values))


def _lines(axes: Any, rows: list[Row], value: Callable[[Row], float | None]) -> list[Row]:
    """Draw a line for each of ours; return the first one's rows, which say what all of them share."""
    contenders = list(dict.fromkeys(row.contender for row in rows))
    for color, contender in zip(cycle(_OURS), contenders, strict=False):
        ours = [row for row in rows if row.contender == contender]
        label = f"distobjects, {contender}" if contender else "distobjects"
        axes.plot([row.at for row in ours], [value(row) for row in ours], "o-", color=color, label=label)
    first = [row for row in rows if row.contender == contenders[0]]
    points = [row.at or 0 for row in first]
    axes.plot([], [], "_", color=_TARGET, markersize=12, label="target")
    if max(points) >= 8 * min(points):
        axes.set_xscale("log")
    axes.set_xticks(points, [f"{point:,}" for point in points])
    axes.minorticks_off()
    return first


def _bars(axes: Any, rows: list[Row], every: list[Row]) -> None:
    """Draw each ratio as a bar; redis-py is 1."""
    places = range(len(rows))
    values, spreads = [row.value for row in rows], [row.spread for row in rows]
    axes.barh(places, values, xerr=spreads, color="#9db7f5", ecolor="#5b616b", label="distobjects")
    axes.axvline(1, color=_THEIRS, label="redis-py")
    axes.plot(
        [row.target for row in rows], places, "|", color=_TARGET, markersize=12, markeredgewidth=2, label="target"
    )
    if any(row.floor is not None for row in rows):
        axes.plot(
            [row.floor for row in rows],
            places,
            "|",
            color=_OURS[0],
            markersize=12,
            markeredgewidth=2,
            label="bare socket",
        )
    axes.set_yticks(places, [row.title for row in rows])
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1.08 * max(1.0, *(row.value + (row.spread or 0) for row in every)))
