"""Facts of the input of a fit: files that were left out, published histograms, contents."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from agc_pipeline.columnar.closure import DatasetAccount
from agc_pipeline.formatting import name_list, plural
from agc_pipeline.report.facts.fact import Fact
from agc_pipeline.report.run import Run
from agc_pipeline.validation.compare import Agreement

# Relative difference of luminosities that is rounding.
_SAME = 1e-6


def of_input(run: Run) -> Iterator[Fact]:
    """Facts of the events: those that were left out, and disagreement with published histograms."""
    if run.partial:
        yield _partial(run)
    yield from _unassigned(run)
    yield from _exposed(run)
    yield from _repeated(run)
    yield from _repeated_simulation(run)
    yield from _luminosities(run)
    if run.validation is not None and run.validation.verdict == "disagrees":
        yield _disagreement(run.validation.counts.get(Agreement.DISAGREEMENT, 0))


def _accounts(run: Run) -> Mapping[str, DatasetAccount]:
    """Accounts of the datasets by name; none of a model that was given."""
    return {} if run.closure is None else run.closure.datasets


def _partial(run: Run) -> Fact:
    files = 0 if run.closure is None else len(run.closure.left_out)
    return Fact(
        kind="partial input",
        severity="serious",
        where="",
        statement=f"files of the input that were left out: {files}"
        if files
        else "parts of the input were left out",
        number=files,
        threshold=0.0,
        reason="Yields are normalised to what is left, but which events are missing is not random.",
        remedy="Read the reasons at the top of the page, and run again when the files are there.",
    )


def _unassigned(run: Run) -> Iterator[Fact]:
    for name, account in _accounts(run).items():
        if not account.unassigned:
            continue
        places = [
            f"{number:,} of {account.cutflow[region]:,} selected events in {region}"
            for region, number in account.unassigned.items()
        ]
        yield Fact(
            kind="events of no process",
            severity="note",
            where=name,
            statement=f"no process has {name_list(places)}",
            number=sum(account.unassigned.values()),
            threshold=0.0,
            reason="The masks of the processes that the dataset fills leave these events out, and "
            "the expectation lacks them.",
            remedy="Let the masks of its `Fill`s have all events, unless these are meant to be "
            "left out.",
        )


def _exposed(run: Run) -> Iterator[Fact]:
    accounts = _accounts(run)
    pairs = dict.fromkeys(
        (shown, blinded)
        for account in accounts.values()
        for shown, others in account.exposed.items()
        for blinded in others
    )
    for shown in dict.fromkeys(shown for shown, _ in pairs):
        blinded = [name for other, name in pairs if other == shown]
        yield Fact(
            kind="blinded data in another region",
            severity="warning",
            where=shown,
            statement=f"it shows collision data that are blinded in {name_list(blinded)}",
            number=len(blinded),
            threshold=0.0,
            reason="A window hides data of its own region only: from the numbers of both regions, "
            "those in the window may follow.",
            remedy="Declare a window of this region, too, that has these events, or let its mask "
            "leave them out.",
        )


def _repeated(run: Run) -> Iterator[Fact]:
    if run.closure is None or not run.closure.repeated:
        return
    n, compared = run.closure.repeated, run.closure.compared
    yield Fact(
        kind="events that count twice",
        severity="serious",
        where="",
        statement=f"{n:,} of {compared:,} events of collision data that were compared are in their "
        "region more than once",
        number=n,
        threshold=0.0,
        reason="Files of the input have events in common, such as those of overlapping primary "
        "datasets, and the luminosity is that of each event once.",
        remedy="List each file's events once, or let a mask or requirement leave out the events "
        "of one dataset that another has; of toy events, give each a number of its own.",
    )


def _repeated_simulation(run: Run) -> Iterator[Fact]:
    for name, account in _accounts(run).items():
        if account.kind != "simulation" or not account.repeated:
            continue
        yield Fact(
            kind="events that count twice",
            severity="warning",
            where=name,
            statement=f"{account.repeated:,} of {account.compared:,} selected events that were "
            "compared are in their region more than once",
            number=account.repeated,
            threshold=0.0,
            reason="Files have events in common, such as a merged file beside its parts, and the "
            "statistical uncertainty takes them as independent; or the numbers of events in one "
            "file are those in another.",
            remedy="List each file's events once. Where different events have one number, random "
            "numbers that follow from it are the same, too: number them anew.",
        )


def _luminosities(run: Run) -> Iterator[Fact]:
    """Datasets of one cross section that together have not the luminosity of the run."""
    whole = None if run.closure is None else run.closure.luminosity_per_pb
    if whole is None:
        return
    groups: dict[tuple[Any, ...], dict[str, float]] = {}
    for name, account in _accounts(run).items():
        luminosity = account.luminosity_per_pb
        if account.kind == "simulation" and luminosity is not None:
            key = account.processes, account.variation, account.xsec_pb
            groups.setdefault(key, {})[name] = luminosity
    for (processes, *_), group in groups.items():
        total = sum(group.values())
        if math.isclose(total, whole, rel_tol=_SAME):
            continue
        yield Fact(
            kind="luminosity of a process",
            severity="warning",
            where=", ".join(group),
            statement=f"{name_list(list(group))} ({name_list(list(processes))}) "
            f"{'is' if len(group) == 1 else 'are together'} normalised to {total:.6g} / pb, of "
            f"{whole:.6g} / pb in all",
            number=total,
            threshold=whole,
            reason="Datasets of a process add up: those of one cross section count it once for "
            "each of them, and those of some eras lack the others.",
            remedy="List the files of one sample as one dataset, and have datasets for every era; "
            "nothing is wrong where decays of equal cross sections share its name.",
        )


def _effects_left_out(run: Run) -> Iterator[Fact]:
    effects = [entry for entry in run.fit.left_out if entry.systematic and entry.region]
    if not effects:
        return
    listed = name_list([entry.describe() for entry in effects], 3, separator="; ")
    yield Fact(
        kind="effects left out",
        severity="warning",
        where="",
        statement=f"{len(effects)} {plural('effect', len(effects))} of systematics on a sample "
        f"{'is' if len(effects) == 1 else 'are'} left out: {listed}",
        number=len(effects),
        threshold=0.0,
        reason="The model has a normalisation as a factor on the nominal yield, and cannot "
        "describe these: the uncertainty lacks them.",
        remedy="Use more events, merge regions or bins, or correct the weights of the variations.",
    )


def _disagreement(number: int) -> Fact:
    return Fact(
        kind="disagreement with published histograms",
        severity="serious",
        where="",
        statement=f"{number} {plural('histogram', number)} "
        f"{'disagrees' if number == 1 else 'disagree'} with the published ones",
        number=number,
        threshold=0.0,
        reason="The selection or its input is not the one that was published.",
        remedy="Start with the first histogram in the list of the section Validation.",
    )


def of_checks(run: Run) -> Iterator[Fact]:
    """Facts that the checks of the workspace came across."""
    yield from _without_effect(run)
    yield from _effects_left_out(run)
    yield from _negative_yields(run)
    yield from _negative(run)


def _without_effect(run: Run) -> Iterator[Fact]:
    names = [finding.where for finding in run.checks.findings if finding.kind == "without effect"]
    if not names:
        return
    yield Fact(
        kind="systematics without effect",
        severity="warning",
        where="",
        statement=f"{len(names)} {plural('systematic', len(names))} "
        f"{'changes' if len(names) == 1 else 'change'} no expected yield: {name_list(names)}",
        number=len(names),
        threshold=0.0,
        reason="The uncertainty does not enter the result: a variation may be the nominal one by "
        "mistake.",
        remedy="Check its variations, or leave it out of the declaration.",
    )


def _negative_yields(run: Run) -> Iterator[Fact]:
    for finding in run.checks.findings:
        if finding.kind != "negative yield":
            continue
        yield Fact(
            kind="negative yields",
            severity="warning",
            where=finding.where,
            statement=f"{finding.where}: {finding.message}",
            number=1,
            threshold=0.0,
            reason="It takes events away from the other samples: interference does, and a few "
            "events with weights of either sign do by chance.",
            remedy="If it is no interference, use more events, or leave the sample out of the "
            "region.",
        )


def _negative(run: Run) -> Iterator[Fact]:
    negative = [finding for finding in run.checks.findings if finding.kind == "negative content"]
    if not negative:
        return
    listed = name_list([finding.where for finding in negative], 3, separator="; ")
    yield Fact(
        kind="negative contents",
        severity="note",
        where="",
        statement=f"{len(negative)} {plural('template', len(negative))} "
        f"{'has' if len(negative) == 1 else 'have'} negative contents: {listed}",
        number=len(negative),
        threshold=0.0,
        reason="A negative number of events has no meaning; the sum of all processes must "
        "stay positive.",
        remedy="Use more events, merge bins with `fit.model.edges`, or leave the sample or the "
        "systematic out.",
    )
