"""Section of the run itself: its jobs in time, and its stages."""

from collections.abc import Sequence

from agc_pipeline.report import figures
from agc_pipeline.report.figures.workflow import Edges, columns, pauses, runtime_text
from agc_pipeline.report.runtimes import Job, Runtime
from agc_pipeline.report.style import Gallery, Picture


def timeline(gallery: Gallery, jobs: Sequence[Job]) -> Picture | None:
    """When the jobs ran; None if it is not known."""
    if not jobs:
        return None
    first, rules = jobs[0].start, list(dict.fromkeys(job.rule for job in jobs))
    cut = " Times without any job are cut (grey)." if pauses(jobs) else ""
    return gallery.picture(
        "timeline",
        lambda: figures.timeline(jobs),
        caption=f"When the {len(jobs)} jobs before this page ran. Jobs of one stage at the same "
        f"time stand below each other.{cut}",
        alternative=f"Bars of the jobs of {', '.join(rules)} in the order of their start.",
        numbers=[
            {"rule": job.rule, "start": job.start - first, "end": job.end - first} for job in jobs
        ],
    )


def stage_graph(gallery: Gallery, edges: Edges, runtimes: Sequence[Runtime]) -> Picture | None:
    """The stages of the run; None if they are not known."""
    if not edges:
        return None
    listed = "; ".join(f"{writer} to {reader}" for writer, reader in edges)
    return gallery.picture(
        "stages",
        lambda: figures.stage_graph(edges, {each.rule: runtime_text(each) for each in runtimes}),
        caption="Stages of the run, with the number of their jobs and the sum of their wall "
        "times. Arrows are files.",
        alternative=f"Graph of the stages: {listed}.",
        numbers={"columns": columns(edges), "edges": [list(pair) for pair in edges]},
    )
