"""What came out of a run, read from its files: result, validation, closure, and pages."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agc_pipeline.errors import PipelineError
from agc_pipeline.files import read_json
from agc_pipeline.formatting import decimals, plural

# Pages by the rule that writes them, the most complete first; paths in the folder of the results.
_PAGES = {
    "report": "report.html",
    "matrix_page": "matrix/index.html",
    "facility_page": "facility/index.html",
    "validate": "validation.html",
}
# What is made to be read or used beside the page, in the order of the text.
_OPTIMISED = ("optimise/optimise.html", "optimise/optimised.yaml")


@dataclass(frozen=True)
class Fact:
    """A line of the summary.

    Attributes:
        label: what it is about.
        text: of it.
        good: whether it is as it should be; None where that cannot be said.
        path: file that the text names; None if it names none.
    """

    label: str
    text: str
    good: bool | None = None
    path: Path | None = None


def facts(results: Path, current: Callable[[str], bool]) -> list[Fact]:
    """What the results say.

    Args:
        results: folder of the results.
        current: whether the files of a rule belong to this run: those of others are not read.
    """
    found: list[Fact] = []
    for rule, (name, read) in _RECORDS.items():
        path = results / name
        # Rules beyond the target of the run have no files.
        if not (current(rule) and path.is_file()):
            continue
        # The summary beside the page has the result of the fit in more detail.
        if rule == "fit" and current("report") and (results / _RECORDS["report"][0]).is_file():
            continue
        try:
            found += read(read_json(path))
        except (PipelineError, KeyError, TypeError, ValueError) as error:
            # The run is over: what cannot be told must not hide the rest.
            problem = error.problem if isinstance(error, PipelineError) else "unknown content"
            found.append(Fact(rule, f"{path}: {problem}", good=False, path=path))
    if current("optimise"):
        paths = [results / name for name in _OPTIMISED if (results / name).is_file()]
        found += [Fact("optimised", str(path), path=path) for path in paths]
    for rule, name in _PAGES.items():
        if current(rule) and (results / name).is_file():
            found.append(Fact("page", str(results / name), path=results / name))
            break
        if rule == "report" and (results / name).is_file() and current("fit"):
            text = f"{results / name} is that of an earlier run"
            found.append(Fact("page", text, good=False))
    return found


def number(value: float, uncertainty: float) -> str:
    """A value and its uncertainty, with two significant digits of the latter."""
    places = decimals([uncertainty])
    return f"{value:.{places}f} +- {uncertainty:.{places}f}"


def _fit(record: dict[str, Any]) -> list[Fact]:
    poi, noise = record["poi"], record.get("template_noise")
    told = []
    if poi is None:
        told.append(Fact("result", f"-2 ln L = {record['best_twice_nll']:.4f}"))
    elif poi["uncertainty"]:
        counted = noise if noise is not None and noise["in_total"] else None
        uncertainty = poi["uncertainty"] if counted is None else counted["total"]
        told.append(Fact("result", f"{poi['name']} = {number(poi['bestfit'], uncertainty)}"))
    else:
        text = f"{poi['name']} = {poi['bestfit']:.6g}, without an uncertainty"
        told.append(Fact("result", text, good=False))
    return [*told, *_data(record["data"])]


def _short(record: dict[str, Any]) -> list[Fact]:
    told = [
        Fact("result", text)
        for entry in record["headlines"]
        for text in (f"{entry['quantity']} = {entry['text']}", entry["parts"])
        if text
    ]
    # The same for all of them.
    remarks = dict.fromkeys(entry["remark"] for entry in record["headlines"] if entry["remark"])
    told += [Fact("result", remark, good=False) for remark in remarks]
    told += _data(record["data"])
    serious = [fact["statement"] for fact in record["facts"] if fact["severity"] == "serious"]
    told += [Fact("serious", statement, good=False) for statement in serious]
    # As the page has them, where facts that differ only in their numbers stand together.
    groups = {
        tuple(fact[key] for key in ("severity", "kind", "reason", "remedy"))
        for fact in record["facts"]
    }
    counts = Counter(severity for severity, *_ in groups)
    others = [
        f"{counts[severity]} {plural(severity, counts[severity])}"
        for severity in ("warning", "note")
        if counts[severity]
    ]
    if others:
        told.append(Fact("look at", f"{' and '.join(others)} on the page"))
    missing = [f"{entry['part']}: {entry['reason']}" for entry in record["missing"]]
    return told + [Fact("missing", text, good=False) for text in missing]


def _data(kind: str) -> list[Fact]:
    if kind != "asimov":
        return []
    return [Fact("data", "Asimov data: the expectation before the fit")]


def _validation(record: dict[str, Any]) -> list[Fact]:
    good = {"agrees": True, "disagrees": False}.get(record["verdict"])
    return [Fact("validation", record["summary"], good)]


def _optimise(record: dict[str, Any]) -> list[Fact]:
    from agc_pipeline.inference import optimisation_record  # noqa: PLC0415 - of few runs

    candidates = [
        optimisation_record.Candidate.model_validate(entry) for entry in record["candidates"]
    ]
    return [Fact("optimised", optimisation_record.verdict(candidates, record["best"]))]


def _closure(record: dict[str, Any]) -> list[Fact]:
    accounts = record["datasets"].values()
    expected, processed = (
        sum(account[f"events_{name}"] for account in accounts) for name in ("expected", "processed")
    )
    left_out = sum(len(account["left_out"]) for account in accounts)
    if left_out or record["partial"]:
        files = f"{left_out} {plural('file', left_out)} left out"
        text = f"PARTIAL: {files}, {processed:,} of {expected:,} events"
        return [Fact("closure", text, good=False)]
    n_files = sum(len(account["files"]) for account in accounts)
    text = f"complete: all {processed:,} events of {n_files:,} files"
    return [Fact("closure", text, processed == expected)]


_RECORDS: dict[str, tuple[str, Callable[[dict[str, Any]], list[Fact]]]] = {
    "report": ("summary.json", _short),
    "fit": ("fit.json", _fit),
    "validate": ("validation.json", _validation),
    "merge": ("closure.json", _closure),
    "optimise": ("optimise/optimise.json", _optimise),
}
