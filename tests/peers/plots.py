"""The figures as pictures: small SVG files, the same from the same figures."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from peers import cases
from peers.figures import Samples
from peers.kinds import ALL, CROWDED
from peers.report import DEATHS, PLOTS

OURS, THEIRS, FLOOR = "#1b6ca8", "#b0643c", "#777777"

plt.rcParams.update(
    {"svg.fonttype": "none", "svg.hashsalt": "primacy", "font.size": 9, "axes.axisbelow": True}
)


def draw(samples: Samples, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for (file, _), one in zip(PLOTS, (_planned, _by_standbys, _deaths), strict=True):
        figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
        one(samples, axes)
        # No date in it: figures that are the same make the same file.
        figure.savefig(folder / file, metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _bars(axes: Axes, rows: list[tuple[str, str, tuple[str, str, int, str]]], samples: Samples) -> None:
    found = [(label, colour, figure) for label, colour, key in rows if (figure := samples.figure(key))]
    for at, (_, colour, figure) in enumerate(reversed(found)):
        error = [[figure.median - figure.low], [figure.high - figure.median]]
        axes.barh(at, figure.median, xerr=error, color=colour, height=0.6, ecolor="black", capsize=2)
    axes.set_yticks(range(len(found)), [label for label, _, _ in reversed(found)])
    axes.set_xscale("log")
    axes.set_xlabel("ms (median, 95 % range)")
    axes.grid(axis="x", alpha=0.3)


def _planned(samples: Samples, axes: Axes) -> None:
    rows = [("etcd: put to event", FLOOR, ("floors", "put to event", 1, "whole"))]
    rows += [
        (kind.name, OURS if kind.ours else THEIRS, (cases.HANDOVER, kind.name, 1, "gap")) for kind in ALL
    ]
    _bars(axes, rows, samples)
    axes.set_title("A planned handover, one standby: nobody is primary for")


def _by_standbys(samples: Samples, axes: Axes) -> None:
    for kind, marker in zip(CROWDED, "os^vD", strict=True):
        points = []
        for standbys in cases.STANDBYS:
            if figure := samples.figure((cases.HANDOVER, kind.name, standbys, "gap")):
                points.append((standbys, figure))
        axes.errorbar(
            [standbys for standbys, _ in points],
            [figure.median for _, figure in points],
            yerr=[
                [figure.median - figure.low for _, figure in points],
                [figure.high - figure.median for _, figure in points],
            ],
            color=OURS if kind.ours else THEIRS,
            marker=marker,
            capsize=2,
            label=kind.name,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(cases.STANDBYS, [str(standbys) for standbys in cases.STANDBYS])
    axes.minorticks_off()
    axes.set_xlabel("standbys")
    axes.set_ylabel("ms (median, 95 % range)")
    axes.set_title("A planned handover: nobody is primary for")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _deaths(samples: Samples, axes: Axes) -> None:
    rows = [
        (f"{case}: {kind.name}", OURS if kind.ours else THEIRS, (case, kind.name, 1, "whole"))
        for case in DEATHS
        for kind in ALL
    ]
    axes.figure.set_size_inches(7.2, 5.6)  # type: ignore[union-attr]
    axes.tick_params(axis="y", labelsize=6)
    _bars(axes, rows, samples)
    axes.set_title("The primary dies: until the next one is there")
