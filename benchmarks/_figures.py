"""Figures of the results, as SVG: the same results make the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._rounds import Row

if TYPE_CHECKING:
    from ._report import Results  # which asks here for their names

Plot = Callable[[Any, list[Row], list[Row]], None]
"""What draws one server's rows into axes, whose scales are those of all rows, for the servers share them."""
_BARS = ("attribute", "whole")
"""Modules whose ratios are drawn as bars; whatever has points on a curve is drawn as one."""
_THEIRS, _TARGET, _OURS = "#8a8f98", "#c2410c", ("#1d4ed8", "#0f766e", "#7c3aed", "#be185d", "#b45309")
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
        for each in wanted(results.rows):
            rows, plots = each.rows, each.plots
            servers = [server for server in results.servers if any(row.server == server for row in rows)]
            height = 2.2 * len(plots) + 0.1 * len(rows) / len(servers)
            figure = Figure(figsize=(max(4.2 * len(servers), 7), height + 0.6))
            panels = figure.subplots(len(plots), len(servers), sharex="col", sharey="row", squeeze=False)
            for plot, line in zip(plots, panels, strict=True):
                for server, axes in zip(servers, line, strict=True):
                    plot(axes, [row for row in rows if row.server == server], rows)
            for server, axes in zip(servers, panels[0], strict=True):
                axes.set_title(results.servers[server])
            for axes in panels[-1]:
                axes.set_xlabel(each.axis or "ratio to redis-py: less is faster")
            for axes in panels[:, 1:].flat:
                axes.set_ylabel("")
            for axes in panels.flat:
                axes.minorticks_off()
            handles, labels = panels[0][0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=4 if len(handles) <= 4 else 3)
            path = folder / each.path
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, metadata={"Date": None, "Creator": None})
            drawn.append(path)
    return drawn


class Wanted(NamedTuple):
    """A figure: its rows, and what is drawn of them, one below the other."""

    module: str
    axis: str
    rows: list[Row]
    plots: tuple[Plot, ...]

    @property
    def path(self) -> str:
        """Where it is, in the folder of the page."""
        return f"figures/{self.module}{f'-{self.axis}' if self.axis not in ('', self.module) else ''}.svg"


def wanted(every: list[Row]) -> Iterator[Wanted]:
    """Yield what is to be drawn."""
    for module, of_module in groupby(every, key=lambda row: row.module):
        rows = [row for row in of_module if row.theirs is not None]
        if module in _BARS:
            yield Wanted(module, "", rows, (_bars,))
        for axis in dict.fromkeys(row.axis for row in rows if row.at is not None):
            yield Wanted(module, axis, [row for row in rows if row.axis == axis], (_times, _ratios))


def _times(axes: Any, rows: list[Row], every: list[Row]) -> None:
    """Draw what one operation takes over what `at` counts, and beside it what the baseline takes."""
    for color, label, ours, first in _lines(rows):
        axes.plot([row.at for row in ours], [row.microseconds for row in ours], "o-", color=color, label=label)
        if first:
            axes.plot([row.at for row in ours], [row.theirs for row in ours], "o:", color=color)
    axes.plot([], [], "o:", color=_THEIRS, label="what it is measured against")
    axes.plot([], [], "_", color=_THEIRS, markersize=12, markeredgewidth=2, label="target")
    _scale(axes, [float(time or 0) for row in every for time in (row.microseconds, row.theirs)])
    axes.set_ylabel("µs for each")


def _ratios(axes: Any, rows: list[Row], every: list[Row]) -> None:
    """Draw the ratios, which are of the same seconds and so steadier than the times."""
    axes.axhline(1, color=_THEIRS, linestyle=":")
    for color, _, ours, first in _lines(rows):
        axes.plot([row.at for row in ours], [row.value for row in ours], "o-", color=color)
        if first:
            targets = [row.target for row in ours]
            axes.plot([row.at for row in ours], targets, "_", color=color, markersize=12, markeredgewidth=2)
    points = sorted({row.at for row in rows if row.at is not None})
    if max(points) >= 8 * min(points):
        axes.set_xscale("log")
    axes.set_xticks(points, [f"{point:,}" for point in points])
    _scale(axes, [1.0, *(row.value for row in every), *(row.target for row in every if row.target is not None)])
    axes.set_ylabel("ratio; less is faster")


def _lines(rows: list[Row]) -> Iterator[tuple[str, str, list[Row], bool]]:
    """Yield each line's color, its label and its rows, and whether it is the first of those with its baseline."""
    seen = set[str]()
    for color, (name, contender) in zip(cycle(_OURS), dict.fromkeys((row.name, row.contender) for row in rows)):
        ours = [row for row in rows if (row.name, row.contender) == (name, contender)]
        yield color, f"{name}: {contender}" if contender else name, ours, name not in seen
        seen.add(name)


def _scale(axes: Any, values: list[float]) -> None:
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    if max(values) >= 10 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        axes.set_ylim(0, 1.08 * max(values))


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
    axes.set_xlim(0, 1.25 * max(1.0, *(row.value for row in every)))  # a spread may leave it
