"""Sections of the statistical inference: parameters, ranking, scan, pseudo-experiments, limit."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from agc_pipeline.declaration import Analysis
from agc_pipeline.inference.derived_records import (
    LimitRecord,
    RankingRecord,
    ScanRecord,
    SensitivityRecord,
    ToyRecord,
)
from agc_pipeline.inference.fit_records import FitRecord, Parameter
from agc_pipeline.inference.headline import quoted_result
from agc_pipeline.inference.ranking import Rank
from agc_pipeline.inference.template_noise import TITLE as TEMPLATES
from agc_pipeline.report import figures, page
from agc_pipeline.report.figures.inference import PULL_EDGES, largest, toy_pulls
from agc_pipeline.report.figures.parameters import PRINTED, correlated, matrix, pull_values
from agc_pipeline.report.figures.sensitivity import CHANGE, gradient_rows
from agc_pipeline.report.parameter_titles import Titles, title_of
from agc_pipeline.report.style import Gallery, Picture


@dataclass(frozen=True)
class BreakdownRow:
    """A group of sources of uncertainty; ``share`` is its part of the variance of the fit.

    Both are negative for a part that makes the variance smaller. A ``total`` is the sum of the rows
    above.
    """

    title: str
    uncertainty: float
    share: float
    total: bool = False


def breakdown_rows(fit: FitRecord) -> list[BreakdownRow]:
    """Contributions to the uncertainty, the largest first, and the total; none if it has none."""
    if fit.breakdown is None:
        return []
    total = fit.breakdown.total
    parts = fit.breakdown.groups | {"Data statistics": fit.breakdown.data}
    variances = sorted(((title, size**2) for title, size in parts.items()), key=lambda i: -i[1])
    curvature = ("Curvature of the model", fit.breakdown.curvature)
    rows = [
        BreakdownRow(title, math.copysign(math.sqrt(abs(part)), part), part / total**2)
        for title, part in [*variances, curvature]
    ]
    rows.append(BreakdownRow("Total", total, 1.0, total=True))
    noise = fit.template_noise
    if noise is not None:
        rows += [
            BreakdownRow(TEMPLATES, noise.size, (noise.size / total) ** 2),
            BreakdownRow(
                f"Total with {TEMPLATES[0].lower()}{TEMPLATES[1:]}",
                noise.total,
                (noise.total / total) ** 2,
                total=True,
            ),
        ]
    return rows


@dataclass(frozen=True)
class FreeNormalisation:
    """A free normalisation after the fit, and the titles of the processes that it scales."""

    parameter: Parameter
    processes: tuple[str, ...]


def free_normalisations(analysis: Analysis, fit: FitRecord) -> list[FreeNormalisation]:
    """Those of the analysis that the fit has, that of interest first."""
    titles = {process.name: process.title for process in analysis.processes}
    values = zip(fit.labels, fit.bestfit, fit.uncertainty, strict=True)
    parameters = {
        name: Parameter(name=name, bestfit=bestfit, uncertainty=uncertainty)
        for name, bestfit, uncertainty in values
    }
    return [
        FreeNormalisation(parameters[free.name], tuple(titles[name] for name in free.processes))
        for free in analysis.free
        if free.name in parameters
    ]


def pulls(gallery: Gallery, fit: FitRecord, record: RankingRecord) -> Picture | None:
    """Nuisance parameters; None if the model has none of the systematics."""
    values = pull_values(fit, record)
    if not values:
        return None
    listed = ", ".join(
        f"{name} {value:+.2f} \u00b1 {width:.2f}" for name, (value, width) in values.items()
    )
    return gallery.picture(
        "pulls",
        lambda: figures.pulls(fit, record),
        caption="Nuisance parameters after the fit, in units of their pre-fit uncertainty. The "
        "bands show one and two of these units. A bar shorter than the inner band indicates that "
        "the data constrain the parameter.",
        labelled=True,
        alternative=f"Fitted nuisance parameters: {listed}.",
        numbers={
            name: {"pull": value, "uncertainty": width} for name, (value, width) in values.items()
        },
    )


def correlations(
    gallery: Gallery, fit: FitRecord, smallest: float, titles: Titles
) -> Picture | None:
    """Correlation matrix of the parameters, see ``figures.parameters.correlated``.

    None without parameters to show.
    """
    names = correlated(fit, smallest)
    if not names:
        return None
    values = matrix(fit, names)
    row, column = divmod(int(np.argmax(np.abs(np.triu(values, k=1)))), len(names))
    return gallery.picture(
        "correlations",
        lambda: figures.correlation(fit, names, titles=titles),
        caption=f"Correlations of {len(names)} of the {len(fit.labels)} fitted parameters. "
        f"Values below {PRINTED:g} are not printed.",
        labelled=True,
        alternative=f"Correlation matrix of {len(names)} parameters; the largest is "
        f"{values[row, column]:.2f} between {title_of(names[row], titles)} and "
        f"{title_of(names[column], titles)}.",
        numbers={
            "parameters": names,
            "titles": [title_of(name, titles) for name in names],
            "correlations": values,
        },
    )


def ranking(gallery: Gallery, record: RankingRecord, number: int, titles: Titles) -> Picture | None:
    """The parameters with the largest impacts; None without nuisance parameters or impacts."""
    rows = largest(record, number)
    if not rows or record.poi is None:
        return None
    return gallery.picture(
        "ranking",
        lambda: figures.ranking(record, number, titles),
        caption=f"Impacts on {record.poi} of the {len(rows)} parameters with the largest impacts: "
        "the change of its best fit (upper axis) when a parameter is fixed at a value shifted by "
        "its pre-fit (open bars) or post-fit uncertainty (filled bars). Points show the best fit "
        "of each parameter in units of its pre-fit uncertainty (lower axis).",
        alternative="Ranking of parameters; the first is "
        f"{title_of(rows[0].parameter, titles)} with "
        f"{rows[0].size:.3g}.",
        numbers=[{"title": title_of(row.parameter, titles)} | row.model_dump() for row in rows],
    )


def ranked_rows(record: RankingRecord, number: int) -> list[Rank]:
    """The parameters of the table of impacts, the largest first; none without impacts."""
    return [] if record.poi is None else largest(record, number)


def scan(gallery: Gallery, record: ScanRecord) -> Picture | None:
    """Profile likelihood; None without a scan."""
    poi, interval = record.poi, record.of_interest
    if poi is None or interval is None or record.reason is not None:
        return None
    quoted = page.quoted(quoted_result(interval.bestfit, interval.down, interval.up))
    return gallery.picture(
        "scan",
        lambda: figures.scan(record),
        caption=f"Profile likelihood of {poi.name}"
        + (", and the parabola with the curvature at the minimum" if poi.uncertainty > 0 else "")
        + f". {poi.name} = {quoted} from an increase of one unit.",
        labelled=True,
        alternative=f"-2 Delta ln L against {poi.name}, with its minimum at {poi.bestfit:.4g}.",
        numbers={
            "values": record.values,
            "heights": record.heights,
            "interval": interval.model_dump(),
        },
    )


def planes(gallery: Gallery, record: ScanRecord, titles: Titles) -> list[Picture]:
    """Contours of pairs of parameters."""
    pictures = []
    for number, entry in enumerate(record.planes):
        named = entry.model_copy(
            update={"parameters": tuple(title_of(name, titles) for name in entry.parameters)}
        )
        first, second = named.parameters
        pictures.append(
            gallery.picture(
                f"plane_{number}",
                partial(figures.plane, named),
                caption=f"Profile likelihood of {first} and {second} together: contours of 68.3 % "
                "and 95.4 %, where -2 ln L has risen by 2.30 and 6.18, and the best fit.",
                alternative=f"Contours of {first} and {second} about {entry.bestfit[0]:.4g} and "
                f"{entry.bestfit[1]:.4g}.",
                numbers=entry.model_dump(),
            )
        )
    return pictures


def toys(gallery: Gallery, record: ToyRecord) -> Picture | None:
    """Pseudo-experiments; None if they give no pulls of the parameter of interest."""
    poi = record.poi
    if poi is None or not any(pull.parameter == poi.name for pull in record.pulls):
        return None
    values = toy_pulls(record)
    return gallery.picture(
        "toys",
        lambda: figures.toys(record),
        caption=f"{record.converged} pseudo-experiments generated from the fitted model: "
        f"pulls of {poi.name}, with mean {np.mean(values):.2f} and width "
        f"{np.std(values):.2f}, and the goodness-of-fit statistic.",
        labelled=True,
        alternative=f"Histogram of {len(values)} pulls beside a unit Gaussian, and of the "
        f"goodness-of-fit statistic with that of the data, {record.observed:.3g}.",
        numbers={
            "edges": PULL_EDGES,
            "counts": np.histogram(values, PULL_EDGES)[0],
            "pulls": values,
            "statistic": record.statistic,
            "observed": record.observed,
        },
    )


def limit(gallery: Gallery, record: LimitRecord) -> Picture | None:
    """CLs against the signal strength; None if there is no limit."""
    if record.limit is None:
        return None
    observed, expected = (
        "?" if value is None else f"{value:.4g}"
        for value in (record.limit.observed, record.limit.expected[2])
    )
    return gallery.picture(
        "limit",
        lambda: figures.limit(record),
        caption=f"CLs as a function of {record.poi}, observed and expected without signal: "
        f"{record.poi} < {observed} at {record.confidence:.0%} confidence level "
        f"({expected} expected).",
        labelled=True,
        alternative=f"CLs falls below {1 - record.confidence:.2g} at {record.poi} = {observed}.",
        numbers={
            "strengths": record.strengths,
            "observed": [entry.observed for entry in record.cls],
            "expected": np.array([entry.expected for entry in record.cls], dtype=np.float64).T,
        }
        | ({} if record.toys is None else {"toys": record.toys.model_dump()["scan"]}),
    )


def gradients(
    gallery: Gallery, fit: FitRecord, record: SensitivityRecord, number: int, titles: Titles
) -> Picture | None:
    """Derivatives of the expected uncertainty by templates; None if it has none."""
    rows = gradient_rows(record, number, titles)
    if not rows:
        return None
    bins = {name: len(channel.observed) for name, channel in fit.channels.items()}
    channel, (size, number_of_bin) = max(
        (
            (name, (float(values[b]), b))
            for name, values in rows[0].effects.items()
            for b in range(len(values))
        ),
        key=lambda entry: abs(entry[1][0]),
    )
    return gallery.picture(
        "gradients",
        lambda: figures.gradients(rows, bins),
        caption=f"Change of the expected uncertainty of {record.poi}, "
        f"{record.values['uncertainty']:.3g}, for {CHANGE:.0%} more content in a bin of a "
        f"template: the {len(rows)} templates with the largest effects, in all bins of all "
        "channels.",
        alternative=f"Map of derivatives; the largest effect is {size:+.2%} by {rows[0].title} in "
        f"bin {number_of_bin} (counted from 0) of {channel}.",
        numbers={
            row.title: {name: values.tolist() for name, values in row.effects.items()}
            for row in rows
        },
    )
