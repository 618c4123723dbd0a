"""Write what the pages about rules and sums have from the code: ``python docs/generate.py``.

A test holds the table of rules up to date.
"""

import importlib
import inspect
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from agc_pipeline import stages
from agc_pipeline.config import load_config
from agc_pipeline.plan import Plan
from agc_pipeline.report.figures.workflow import stage_graph
from agc_pipeline.stages import graph
from agc_pipeline.stages.description import Stage

FOLDER = Path(__file__).parent
PAGE = FOLDER / "rules.md"
_MARK = "<!-- made by docs/generate.py -->\n"


def rules() -> str:
    """A table of the stages: what each does, and what it writes."""
    lines = ["| rule | does | writes |", "| --- | --- | --- |"]
    for name, stage in stages.descriptions().items():
        module = importlib.import_module(stage.module)
        text = " ".join((inspect.getdoc(module) or "").partition("\n\n")[0].split())
        lines.append(f"| `{name}` | {text} | {', '.join(_outputs(stage)) or '-'} |")
    return "\n".join(lines) + "\n"


def _outputs(stage: Stage) -> list[str]:
    options = stage.options.described().values()
    return [
        f"`{option.source}`"
        if isinstance(option.source, str)
        else option.help.partition(" to write")[0]
        for option in options
        if option.role in ("output", "folder")
    ]


def page(text: str) -> str:
    """The page with the table as it should be."""
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


def main() -> None:
    """Write all."""
    mpl.rcParams["svg.hashsalt"] = "agc_pipeline"
    metadata = {"Date": None}
    PAGE.write_text(page(PAGE.read_text()))
    picture = stage_graph(graph.edges(Plan(load_config())), {})
    for name, figure in (("rules", picture), ("sums", sums())):
        figure.savefig(FOLDER / "figures" / f"{name}.svg", metadata=metadata)
        path = FOLDER / "figures" / f"{name}.svg"
        path.write_text(re.sub(r" +$", "", path.read_text(), flags=re.MULTILINE))


if __name__ == "__main__":
    main()
