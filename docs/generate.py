"""Write what the pages about rules and sums have from the code: ``python docs/generate.py``.

A test holds the tables of rules up to date.
"""

import importlib
import inspect
import re
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from agc_pipeline import stages
from agc_pipeline.config import load_config
from agc_pipeline.plan import Plan
from agc_pipeline.report.figures.workflow import columns, stage_graph
from agc_pipeline.stages import graph
from agc_pipeline.stages.description import Stage

FOLDER = Path(__file__).parent
PAGE = FOLDER / "rules.md"
_MARK = "<!-- made by docs/generate.py -->\n"


def rules() -> str:
    """Tables of the stages, those of the default run first in their order."""
    descriptions = stages.descriptions()
    run = [name for column in columns(edges()) for name in column]
    others = [name for name in descriptions if name not in run]
    parts = [
        ("The default run", run),
        ("Other inputs, and what is made when it is asked for", others),
    ]
    return "\n".join(
        f"## {title}\n\n{_table([descriptions[name] for name in names])}" for title, names in parts
    )


@cache
def edges() -> graph.Edges:
    """Which stages of the default run hand files to which."""
    return graph.edges(Plan(load_config()))


def _table(listed: list[Stage]) -> str:
    """What each stage does, reads and writes."""
    lines = ["| rule | does | reads | writes |", "| --- | --- | --- | --- |"]
    for stage in listed:
        module = importlib.import_module(stage.module)
        text = " ".join((inspect.getdoc(module) or "").partition("\n\n")[0].split())
        read, written = _files(stage, "input"), _files(stage, "output", "folder")
        lines.append(f"| `{stage.name}` | {text} | {read} | {written} |")
    return "\n".join(lines) + "\n"


def _files(stage: Stage, *roles: str) -> str:
    """Files of a stage, or what they are."""
    files = [
        f"`{option.source}`"
        if isinstance(option.source, str)
        else re.split(r",| to write", option.help)[0]
        for option in stage.options.described().values()
        if option.role in roles
    ]
    if "input" in roles:
        # Those that the job finds by its settings.
        watched = {**stage.watched, **stage.events}
        watched.pop("templates", None)
        files += [
            f"`{source}`" if isinstance(source, str) else name for name, source in watched.items()
        ]
    return ", ".join(files) or "-"


def _first_output(stage: Stage) -> str | None:
    """Name of the file that a stage is for, with a star for what differs between its jobs."""
    for option in stage.options.described().values():
        if option.role == "output" and isinstance(option.source, str):
            return re.sub(r"\{\w+\}", "*", option.source)
    return None


def page(text: str) -> str:
    """The page with the tables as they should be."""
    before, _, rest = text.partition(_MARK)
    after = rest.partition(_MARK)[2]
    return before + _MARK + "\n" + rules() + "\n" + _MARK + after


def sums() -> Figure:
    """One bin, summed in many orders: plain weights, and weights on the grid."""
    random = np.random.default_rng(1)
    weights = random.normal(1.0, 0.1, 20_000)
    exact = np.round(weights * 2.0**24) / 2.0**24
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, values, title in (
        (axes[0], weights, "weights as they are"),
        (axes[1], exact, "weights on the grid of $2^{-24}$"),
    ):
        # A running sum, as a job has it: numpy's own sum is pairwise.
        results = np.array([np.cumsum(random.permutation(values))[-1] for _ in range(200)])
        deviations = (results - results[0]) / np.spacing(results[0])
        axis.hist(deviations, bins=np.arange(-60.5, 61.5, 4), color="#4477aa")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("difference of the sum [last bits]")
    axes[0].set_ylabel("orders of 20,000 events")
    return figure


def closure() -> Figure:
    """Accounts of three files, of which one has lost events in its last job."""
    accounts = {
        "a.root": (10_000, 10_000, 2_600, 2_600),
        "b.root": (8_000, 8_000, 2_100, 2_100),
        "c.root": (10_000, 10_000, 2_500, 1_400),
    }
    steps = ("promised", "read", "kept", "processed")
    pairs = (("promised", "read"), ("kept", "processed"))
    figure = Figure(figsize=(6.4, 2.2), layout="constrained")
    axes = figure.subplots(1, len(accounts), sharey=True)
    for axis, (name, counts) in zip(axes, accounts.items(), strict=True):
        numbers = dict(zip(steps, counts, strict=True))
        agrees = all(numbers[first] == numbers[second] for first, second in pairs)
        colours = ["#4477aa"] * 3 + ["#4477aa" if agrees else "#cc3311"]
        axis.barh(steps, counts, color=colours)
        axis.bar_label(axis.containers[0], [f"{count:,}" for count in counts], size=7, padding=2)
        axis.set_title(f"{name}: {'closes' if agrees else 'refused'}", fontsize=9)
        axis.set_xlim(0, 14_500)
        axis.tick_params(labelsize=8)
    axes[0].invert_yaxis()
    axes[1].set_xlabel("events", fontsize=8)
    return figure


def main() -> None:
    """Write all."""
    mpl.rcParams["svg.hashsalt"] = "agc_pipeline"
    metadata = {"Date": None}
    PAGE.write_text(page(PAGE.read_text()))
    files = {name: _first_output(stage) for name, stage in stages.descriptions().items()}
    picture = stage_graph(edges(), {name: file for name, file in files.items() if file})
    for name, figure in (("rules", picture), ("sums", sums()), ("closure", closure())):
        figure.savefig(FOLDER / "figures" / f"{name}.svg", metadata=metadata)
        path = FOLDER / "figures" / f"{name}.svg"
        path.write_text(re.sub(r" +$", "", path.read_text(), flags=re.MULTILINE))


if __name__ == "__main__":
    main()
