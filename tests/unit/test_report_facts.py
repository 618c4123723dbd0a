"""What to look at in a result: each fact where it is one, and silence where it is none."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from agc_pipeline.columnar.closure import Closure, DatasetAccount
from agc_pipeline.inference.checks import check
from agc_pipeline.inference.derived_records import Pull, ScanRecord, ToyRecord
from agc_pipeline.inference.fit_records import CheckRecord, Parameter
from agc_pipeline.inference.headline import headline, quoted_result
from agc_pipeline.inference.impacts import STATISTICS
from agc_pipeline.inference.profile import Interval
from agc_pipeline.report.facts import Fact, facts
from agc_pipeline.report.facts.fits import of_fit, of_parameters, of_scan
from agc_pipeline.report.facts.templates import of_statistics, of_templates
from agc_pipeline.report.facts.toys import of_toys
from agc_pipeline.report.parameter_titles import titled, titles
from agc_pipeline.report.run import Run
from agc_pipeline.report.summary import headlines
from agc_pipeline.validation.results import ValidationResult
from models import MU, sample, spec
from records import LABELS, fit, ranking

BESIDE: dict[str, Any] = {"workspace_digest": "0" * 64, "provenance": {}}
POI = Parameter(name="ttbar_norm", bestfit=0.95, uncertainty=0.09)
COUNT = 200


def kinds(entries: Iterator[Fact] | Sequence[Fact]) -> dict[str, str]:
    return {entry.kind: entry.severity for entry in entries}


def toys(**changes: Any) -> ToyRecord:
    """Pseudo-experiments as they should be: best fits around the truth, intervals that cover."""
    spread = np.linspace(-1.7, 1.7, COUNT)
    values: dict[str, Any] = {
        "poi": POI,
        "count": COUNT,
        "seed": 1,
        "failures": {},
        "bestfit": (POI.bestfit + POI.uncertainty * spread).tolist(),
        "uncertainty": [POI.uncertainty] * COUNT,
        "at_bounds": 0,
        "pulls": [_pull("ttbar_norm", 0.05, 1.02)],
        "coverage": 0.69,
        "statistic": [1.0] * COUNT,
        "observed": 1.0,
        "goodness_of_fit": 0.5,
    }
    return ToyRecord.model_validate(BESIDE | values | changes)


def _pull(name: str, mean: float, width: float) -> Pull:
    sizes = {"mean": mean, "mean_error": 0.07, "width": width, "width_error": 0.05}
    return Pull(parameter=name, count=COUNT, **sizes)


def contents(
    nominal: Sequence[float],
    *,
    variance: float = 1.0,
    shifts: Sequence[tuple[float, float | None]] = (),
    kind: str = "object",
) -> list[dict[str, Any]]:
    """Templates of one sample, whose shifts are factors up and down."""

    def template(factor: float) -> dict[str, Any]:
        values = [factor * value for value in nominal]
        return {"values": values, "variances": [variance * value for value in values]}

    return [
        {
            "channel": "4j2b SR",
            "sample": "ttbar",
            "nominal": template(1),
            "shifts": [
                {
                    "parameter": f"Shift {number}",
                    "kind": kind,
                    "up": template(up),
                    "down": None if down is None else template(down),
                    "treatment": {},
                }
                for number, (up, down) in enumerate(shifts)
            ],
        }
    ]


def breakdown(simulation: float) -> dict[str, Any]:
    groups = {"Luminosity": 0.03, "Jet energy": 0.04, STATISTICS: simulation}
    return {"total": 0.09, "data": 0.05, "curvature": 0.0, "groups": groups, "sources": []}


def noise(size: float, *, in_total: bool = True) -> dict[str, Any]:
    total = float(np.hypot(0.09, size))
    source = {"parameter": "PS variation", "observed": 0.0, "expected": size}
    return {
        "observed": 0.0,
        "expected": size,
        "scatter": 0.0,
        "size": size,
        "total": total,
        "in_total": in_total,
        "serious": size > 0.03,
        "sources": [source],
    }


def scan(
    down: float | None, up: float | None, bounds: Mapping[str, float] = MappingProxyType({})
) -> ScanRecord:
    """A profile with its bounds on the sides where it reaches them."""
    failures = {side: f"reaches its bound {bound:g} first" for side, bound in bounds.items()}
    values = {"parameter": "ttbar_norm", "bestfit": 0.95, "hesse": 0.09, "down": down, "up": up}
    interval = Interval.model_validate(values | {"failures": failures, "bounds": dict(bounds)})
    return ScanRecord(**BESIDE, poi=POI, values=(), heights=(), intervals=(interval,))


def test_sound_pseudo_experiments_are_no_fact() -> None:
    assert not list(of_toys(toys()))
    assert not list(of_toys(toys(count=0, pulls=[_pull("ttbar_norm", -0.29, 1)])))
    # Random means of many parameters are allowed more.
    assert not list(of_toys(toys(pulls=[_pull("Jet energy scale", -0.25, 2)])))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pulls": [_pull("ttbar_norm", -0.29, 1)]}, {"biased pseudo-experiments": "serious"}),
        # Of more pseudo-experiments: significant, but small.
        (
            {"pulls": [_pull("ttbar_norm", 0.1, 1).model_copy(update={"mean_error": 0.02})]},
            {"biased pseudo-experiments": "warning"},
        ),
        ({"pulls": [_pull("Luminosity", -0.29, 1)]}, {"biased pseudo-experiments": "note"}),
        ({"pulls": [_pull("ttbar_norm", 0, 1.2)]}, {"width of pulls": "serious"}),
        ({"pulls": [_pull("ttbar_norm", 0, 0.8)]}, {"width of pulls": "warning"}),
        ({"coverage": 0.56}, {"coverage": "serious"}),
        ({"coverage": 0.79}, {"coverage": "warning"}),
        ({"count": 210}, {"failed pseudo-experiments": "warning"}),
    ],
)
def test_pseudo_experiments(changes: dict[str, Any], expected: dict[str, str]) -> None:
    told = list(of_toys(toys(**changes)))
    assert kinds(told) == expected
    assert all(abs(fact.number) > (fact.threshold or 0) for fact in told)


def test_bias_tells_whether_the_estimate_or_the_pull_is_biased() -> None:
    pulls = [_pull("ttbar_norm", -0.29, 1)]
    (skewed,) = of_toys(toys(pulls=pulls))
    assert skewed.number == pytest.approx(-0.29 / 0.07)
    assert "4.1 standard deviations" in skewed.statement
    assert "uncertainty follows the best fit" in skewed.reason
    low = [value - 0.03 for value in toys().bestfit]
    (biased,) = of_toys(toys(pulls=pulls, bestfit=low))
    assert "by -0.03 with" in biased.reason
    assert "the estimate itself is biased" in biased.reason


@pytest.mark.parametrize(
    ("pull", "width", "expected"),
    [
        (0.3, 0.5, {}),
        (-2.1, 0.5, {"large pull": "warning"}),
        (0.3, 0.2, {"strong constraint": "warning"}),
        (0.3, 0.0, {}),
    ],
)
def test_pulls_and_constraints(pull: float, width: float, expected: dict[str, str]) -> None:
    row = ranking().rows[0].model_copy(update={"bestfit": pull, "uncertainty": width})
    record = ranking().model_copy(update={"rows": (row,)})
    assert kinds(of_parameters(fit(), record)) == expected
    # Of a statistical factor, of which there are many, only more is worth a look.
    factor = row.model_copy(update={"parameter": LABELS[3]})
    record = record.model_copy(update={"rows": (factor,)})
    assert not list(of_parameters(fit(), record))


@pytest.mark.parametrize(
    ("up", "down", "kind", "expected"),
    [
        (1.1, 0.9, "object", {}),
        (1.1, 1.05, "object", {"one-sided templates": "warning"}),
        (0.9, 0.95, "weight", {"one-sided templates": "warning"}),
        # Less than what matters, or than the statistics of samples of their own.
        (1.1, 1.004, "object", {}),
        (1.1, 1.05, "sample", {}),
        (1.1, None, "object", {"mirrored templates": "note"}),
    ],
)
def test_templates(up: float, down: float | None, kind: str, expected: dict[str, str]) -> None:
    made = contents([100, 200], shifts=[(up, down)], kind=kind)
    assert kinds(of_templates(fit(contents=made))) == expected


def test_bins_and_simulated_events() -> None:
    assert not list(of_statistics(fit(contents=contents([100, 200]))))
    # Weights of 20: 5 and 10 events.
    (few,) = of_statistics(fit(contents=contents([100, 200], variance=20.0)))
    assert (few.kind, few.number) == ("few effective events", 5.0)
    assert "1 of 2 bins (110\u2013150 GeV)" in few.statement
    hole = [*contents([100, 0]), *contents([30, 40])]
    hole[1]["sample"] = "W+jets"
    (empty,) = of_statistics(fit(contents=hole))
    assert (empty.kind, empty.severity) == ("empty bins", "note")
    assert "ttbar has no events in 1 bin of 4j2b SR: 150\u2013190 GeV" in empty.statement
    yields = fit().yields
    bare = yields.prefit["4j2b SR"]
    nothing = bare.model_copy(update={"all": bare.all.model_copy(update={"bins": (40.0, 0.0)})})
    yields = yields.model_copy(update={"prefit": {"4j2b SR": nothing}})
    assert kinds(of_statistics(fit(yields=yields))) == {"empty bins": "warning"}


def test_simulation_that_dominates() -> None:
    assert not list(of_statistics(fit(breakdown=breakdown(0.04))))
    (told,) = of_statistics(fit(breakdown=breakdown(0.06)))
    assert (told.kind, told.number) == ("simulation statistics", pytest.approx(1.2))
    small = fit(breakdown=breakdown(0.04), template_noise=noise(0.02))
    assert not list(of_statistics(small))
    for in_total, severity in ((True, "warning"), (False, "serious")):
        large = fit(breakdown=breakdown(0.04), template_noise=noise(0.05, in_total=in_total))
        assert kinds(of_statistics(large)) == {"varied templates": severity}


def test_minimum() -> None:
    assert not list(of_fit(fit()))
    assert kinds(of_fit(fit(goodness_of_fit=0.003))) == {"bad fit": "serious"}
    assert not list(of_fit(fit(goodness_of_fit=None)))
    for name, severity in (("ttbar_norm", "serious"), ("Luminosity", "warning")):
        diagnostics = fit().diagnostics.model_copy(update={"at_bounds": (name,)})
        told = of_fit(fit(diagnostics=diagnostics.model_dump()))
        assert kinds(told) == {"parameter at its bound": severity}
    correlation = np.eye(5)
    correlation[2, 0] = correlation[0, 2] = -0.93
    (told_of,) = of_fit(fit(correlation=correlation.tolist()))
    assert (told_of.kind, told_of.where) == ("large correlation", "Jet energy scale")
    for ratio, expected in ((0.8, {"other minimiser": "note"}), (1.05, {})):
        other = {"method": "cabinetry", "largest": ("Luminosity", ratio)}
        assert kinds(of_fit(fit(comparison=other))) == expected


def test_asymmetry() -> None:
    assert not list(of_scan(scan(0.08, 0.10)))
    assert not list(of_scan(scan(None, 0.2)))
    (told,) = of_scan(scan(0.09, 0.12))
    assert (told.kind, told.number) == ("asymmetric uncertainty", pytest.approx(1 / 3))


def run(**changes: Any) -> Run:
    checks = CheckRecord(**BESIDE, findings=(), pruned=(), origins=())
    values: dict[str, Any] = {
        "checks": checks,
        "fit": fit(),
        "ranking": ranking().model_copy(update={"rows": ()}),
        "scan": scan(0.09, 0.09),
        "toys": toys(),
        "limit": None,
        "sensitivity": None,
        "runtimes": (),
        "performance": None,
        "findings": (),
    }
    return Run(**values | changes)


def test_input_and_checks() -> None:
    assert facts(run()) == []
    told = facts(run(fit=fit(partial=True)))
    assert kinds(told) == {"partial input": "serious"}
    idle = ("W", "normsys", {"hi": 1.0, "lo": 1.0})
    content = sample("ttbar", [-1.0, 9.0], ("mu", *MU), idle)
    rest = sample("rest", [9.0, 9.0])
    findings = check(spec(("4j2b SR", [8.0, 18.0], content, rest)))
    checks = run().checks.model_copy(update={"findings": findings})
    told = facts(run(checks=checks))
    assert {(fact.severity, fact.statement) for fact in told} == {
        ("warning", "1 systematic changes no expected yield: W"),
        ("note", "1 template has negative contents: 4j2b SR, ttbar"),
    }
    # The most serious stands first.
    both = facts(run(checks=checks, fit=fit(partial=True)))
    assert [fact.severity for fact in both] == ["serious", "warning", "note"]
    mode = {"same_events": False, "n_files": 1, "description": ""}
    values = {"summary": "", "mode": mode, "partial": False, "templates": [], "not_compared": []}
    for verdict, expected in (("agrees", []), ("disagrees", ["serious"])):
        result = ValidationResult.model_validate(
            values | {"verdict": verdict, "counts": {"disagreement": 3}, "provenance": {}}
        )
        assert [fact.severity for fact in facts(run(validation=result))] == expected


def test_events_of_no_process_are_told() -> None:
    values: dict[str, Any] = {
        "processes": ("light", "heavy"),
        "variation": "nominal",
        "xsec_pb": 1.0,
        "weight": 1.0,
        "n_generated": 5000,
        "events_expected": 5000,
        "events_processed": 5000,
        "cutflow": {"all": 5000, "SR": 1200, "CR": 90},
        "files": (),
        "left_out": (),
    }
    accounts = {"W": DatasetAccount(**values), "Z": DatasetAccount(**values, unassigned={"SR": 40})}
    (told,) = facts(run(closure=Closure(partial=False, datasets=accounts, provenance={})))
    assert (told.kind, told.severity, told.where) == ("events of no process", "note", "Z")
    assert told.statement == "no process has 40 of 1,200 selected events in SR"
    assert told.number == 40


def account(**changes: Any) -> DatasetAccount:
    """Of a dataset of simulation whose events are all there."""
    values = {
        "processes": ("ttbar",),
        "variation": "nominal",
        "xsec_pb": 1.0,
        "weight": 1.0,
        "n_generated": 10,
        "events_expected": 10,
        "events_processed": 10,
        "cutflow": {"all": 10},
        "files": (),
        "left_out": (),
    }
    return DatasetAccount.model_validate(values | changes)


def test_blinded_data_in_another_region() -> None:
    values = {"kind": "data", "processes": (), "xsec_pb": None}
    accounts = {
        "A": account(**values, exposed={"VR": ("SR1",)}),
        "B": account(**values, exposed={"VR": ("SR1", "SR2")}),
    }
    (told,) = facts(run(closure=Closure(partial=False, datasets=accounts, provenance={})))
    assert (told.kind, told.severity) == ("blinded data in another region", "warning")
    assert (told.where, told.number) == ("VR", 2)
    assert told.statement == "it shows collision data that are blinded in SR1, SR2"


def test_events_that_count_twice() -> None:
    record = Closure(partial=False, datasets={}, provenance={}, compared=1000, repeated=12)
    (told,) = facts(run(closure=record))
    assert (told.kind, told.severity, told.number) == ("events that count twice", "serious", 12)
    assert told.statement.startswith("12 of 1,000 events of collision data that were compared")
    none = record.model_copy(update={"repeated": 0})
    assert not list(facts(run(closure=none)))


@pytest.mark.parametrize(("kind", "n_told"), [("simulation", 1), ("data", 0)])
def test_simulated_events_that_count_twice(kind: Any, n_told: int) -> None:
    repeated = account(kind=kind, compared=800, repeated=400)
    record = Closure(partial=False, datasets={"ttbar__nominal": repeated}, provenance={})
    told = facts(run(closure=record))
    assert len(told) == n_told
    for fact in told:
        assert (fact.kind, fact.severity) == ("events that count twice", "warning")
        assert (fact.where, fact.number) == ("ttbar__nominal", 400)
        assert fact.statement.startswith("400 of 800 selected events that were compared")


@pytest.mark.parametrize(
    ("luminosities", "told"),
    [
        ({"sig": 100.0, "bkg": 100.0}, []),
        # An extension of a sample, as a dataset of its own.
        ({"sig": 100.0, "sig_ext": 100.0, "bkg": 100.0}, [("sig, sig_ext", 200.0)]),
        # Eras, of which a process lacks one.
        ({"sig_a": 60.0, "sig_b": 40.0, "bkg_a": 60.0, "bkg_b": 40.0}, []),
        ({"sig_a": 60.0, "sig_b": 40.0, "bkg": 100.0}, []),
        ({"sig_a": 60.0, "bkg": 100.0}, [("sig_a", 60.0)]),
        ({"sig_a": 60.0}, [("sig_a", 60.0)]),
        ({"sig_a": 60.0, "bkg_a": 60.0, "bkg_b": 40.0}, [("sig_a", 60.0)]),
    ],
)
def test_datasets_of_a_process_have_the_luminosity_once(
    luminosities: dict[str, float], told: list[tuple[str, float]]
) -> None:
    accounts = {
        name: account(
            processes=(name.partition("_")[0],),
            weight=2.0 * size / 500,
            n_generated=500,
            xsec_pb=2.0,
        )
        for name, size in luminosities.items()
    }
    closure = Closure(partial=False, datasets=accounts, luminosity_per_pb=100.0, provenance={})
    entries = facts(run(closure=closure))
    assert [(fact.where, fact.number) for fact in entries] == [
        (where, pytest.approx(number)) for where, number in told
    ]
    assert all(fact.kind == "luminosity of a process" for fact in entries)


def test_headline() -> None:
    plain = headline(fit(), scan(None, None), quantity="strength")
    assert plain is not None
    assert (plain.text, plain.parts, plain.profile) == ("0.950 +- 0.090", "", ())
    assert plain.origin("the Hessian") == "from the Hessian"
    measured = headline(
        fit(breakdown=breakdown(0.04)), scan(0.08, 0.10), quantity="cross", unit="pb", scale=700.0
    )
    assert measured is not None
    assert measured.text == "665 +70 -56 pb"
    assert measured.parts == "+- 35 (stat) +- 40 (syst) +- 21 (lumi) pb"
    # Of curvature zero, and of groups whose squares are all of the variance.
    assert measured.systematic == pytest.approx(700 * np.hypot(0.04, 0.04))
    with_noise = headline(
        fit(breakdown=breakdown(0.04), template_noise=noise(0.06)), scan(0.08, 0.10), quantity="s"
    )
    assert with_noise is not None
    assert (with_noise.down, with_noise.up) == (pytest.approx(0.1), pytest.approx(0.1166, rel=1e-3))
    assert with_noise.sources["templates"] == 0.06
    apart = headline(
        fit(breakdown=breakdown(0.04), template_noise=noise(0.06, in_total=False)),
        scan(0.08, 0.10),
        quantity="s",
    )
    assert apart is not None
    assert apart.down == 0.08
    assert "templates" not in apart.sources
    assert headline(fit(poi=None), scan(0.08, 0.10), quantity="s") is None
    assert apart.profile == ("down", "up")
    assert apart.origin("the Hessian") == "from the profile likelihood"
    assert apart.remark == ""


@pytest.mark.parametrize(
    ("quantity", "reference_pb", "expected"),
    [
        (
            "Z production cross section",
            700.0,
            [("Z production cross section", "pb"), ("ttbar_norm", "")],
        ),
        # Of several cross sections, a strength is none of them.
        ("Z production cross section", None, [("ttbar_norm", "")]),
        ("signal strength", None, [("signal strength", "")]),
    ],
)
def test_a_headline_names_what_its_number_is(
    quantity: str, reference_pb: float | None, expected: list[tuple[str, str]]
) -> None:
    told = headlines(run(), quantity, reference_pb)
    assert [(entry.quantity, entry.unit) for entry in told] == expected


def test_headline_without_systematics() -> None:
    """What is left of a difference of squares is none, on either side of zero."""
    for rest in (2e-18, -2e-18):
        alone = breakdown(0.0) | {"data": 0.09, "groups": {}, "curvature": rest}
        result = headline(fit(breakdown=alone), scan(0.08, 0.10), quantity="s")
        assert result is not None
        assert result.systematic == 0
        assert result.parts == "+- 0.090 (stat) +- 0.000 (syst)"


def test_headline_says_which_side_is_not_from_the_profile() -> None:
    cut = headline(fit(), scan(0.08, None, {"up": 1.0}), quantity="s")
    assert cut is not None
    assert (cut.down, cut.up, cut.profile) == (0.08, 0.09, ("down",))
    assert cut.text == "0.950 +0.090 -0.080"
    assert cut.remark == "up is from the curvature: reaches its bound 1 first"
    assert cut.origin("the Hessian") == "up from the Hessian, down from the profile likelihood"
    both = headline(fit(), scan(None, None, {"up": 1.0, "down": 0.9}), quantity="s")
    assert both is not None
    assert both.origin("the Hessian") == "from the Hessian"
    assert both.remark == (
        "up is from the curvature: reaches its bound 1 first; "
        "down is from the curvature: reaches its bound 0.9 first"
    )
    held = fit(poi=Parameter(name="ttbar_norm", bestfit=0.0, uncertainty=0.0))
    at_zero = headline(held, scan(None, 0.3, {"down": 0.0}), quantity="s")
    assert at_zero is not None
    assert (at_zero.down, at_zero.up, at_zero.text) == (None, 0.3, "0.00 +0.30")
    assert at_zero.remark == "down is not known: reaches its bound 0 first"
    assert at_zero.origin("the Hessian") == "from the profile likelihood"


def test_profiles_that_reach_a_bound() -> None:
    (told,) = of_scan(scan(0.08, None, {"up": 1.0}))
    assert (told.kind, told.severity) == ("profile that reaches a bound", "serious")
    assert told.statement == (
        "ttbar_norm = 0.95 is 0.56 of its uncertainty from the bound 1, which its profile reaches "
        "(up) before -2 ln L has risen by one"
    )
    assert "bounds=(low, high)" in told.remedy
    # A rate of zero is a bound that means something.
    assert kinds(of_scan(scan(None, 0.1, {"down": 0.0}))) == {
        "profile that reaches a bound": "warning"
    }
    # Any other parameter.
    other = (
        scan(0.08, None, {"up": 1.0}).intervals[0].model_copy(update={"parameter": "Luminosity"})
    )
    record = scan(0.09, 0.09)
    every = record.model_copy(update={"intervals": (*record.intervals, other)})
    assert [(fact.where, fact.severity) for fact in of_scan(every)] == [("Luminosity", "warning")]
    # That a fit ends at a bound is another fact.
    assert not list(of_scan(scan(0.08, None, {"up": 0.95})))


def test_pseudo_experiments_at_a_bound() -> None:
    few = toys(at_bounds=4)
    assert not list(of_toys(few))
    pulls = [_pull("ttbar_norm", -1.1, 1).model_copy(update={"count": 110})]
    sizes = [0.0] * 90 + [POI.uncertainty] * 110
    told = {fact.kind: fact for fact in of_toys(toys(at_bounds=90, pulls=pulls, uncertainty=sizes))}
    assert told.keys() == {"pseudo-experiments at a bound", "biased pseudo-experiments"}
    bounded = told["pseudo-experiments at a bound"]
    assert bounded.statement == (
        "ttbar_norm ends at one of its bounds in 90 of 200 pseudo-experiments"
    )
    assert bounded.number == 0.45
    bias = told["biased pseudo-experiments"]
    assert "in 110 pseudo-experiments" in bias.statement
    assert "90 of 200 pseudo-experiments end at a bound" in bias.reason
    assert bias.remedy == bounded.remedy.removesuffix(
        " Else quote a limit, or an interval from the pseudo-experiments."
    )
    assert "fit.model.treatments" not in bias.remedy
    # Coverage is that of the intervals that there are: 60 % of 110 is not far from 68 %.
    assert "coverage" not in kinds(of_toys(toys(coverage=0.58, at_bounds=90, uncertainty=sizes)))
    assert "coverage" in kinds(of_toys(toys(coverage=0.58)))


@pytest.mark.parametrize(
    ("value", "down", "up", "text"),
    [
        (692.9, 58.1, 61.9, "693 +62 -58 pb"),
        (0.93572, 0.0803, 0.0873, "0.936 +0.087 -0.080 pb"),
        (0.93572, 0.0801, 0.0804, "0.936 +- 0.080 pb"),
        # Nothing below a bound.
        (0.0, None, 0.3214, "0.00 +0.32 pb"),
        (1.0, None, None, "1 pb"),
        (12345.6, 1234.0, 2345.0, "12346 +2345 -1234 pb"),
        (1.0, 0.0996, 0.3, "1.00 +0.30 -0.10 pb"),
    ],
)
def test_result_as_it_is_quoted(
    value: float, down: float | None, up: float | None, text: str
) -> None:
    assert quoted_result(value, down, up, "pb") == text


def test_titles_of_statistical_factors() -> None:
    labels = ("ttbar_norm", *(f"staterror_4j2b-SR[{number}]" for number in range(2)))
    names = titles(fit(labels=labels))
    assert names == {
        "staterror_4j2b-SR[0]": "4j2b SR, 110\u2013150 GeV MC stat",
        "staterror_4j2b-SR[1]": "4j2b SR, 150\u2013190 GeV MC stat",
    }
    # Others keep their names: of another number of bins, or of no channel.
    assert titles(fit(labels=labels[:2])) == {}
    assert titles(fit()) == {}
    message = "the profile of staterror_4j2b-SR[1] reaches its bound, staterror_x[0] does not"
    assert titled(message, names) == (
        "the profile of 4j2b SR, 150\u2013190 GeV MC stat reaches its bound, staterror_x[0] "
        "does not"
    )
    channel = (
        fit().channels["4j2b SR"].model_copy(update={"label": "bin", "edges": (0.5, 1.5, 2.5)})
    )
    external = fit(labels=labels, channels={"4j2b SR": channel.model_dump()})
    assert titles(external)["staterror_4j2b-SR[1]"] == "4j2b SR, bin 2 MC stat"
