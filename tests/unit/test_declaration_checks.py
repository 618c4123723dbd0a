"""What is refused when an analysis is loaded, each with its value and place."""

import math
from dataclasses import replace
from typing import Any

import pytest

from agc_pipeline.declaration import (
    Analysis,
    Change,
    Count,
    Cut,
    Dataset,
    EventCut,
    Feature,
    Fill,
    Free,
    Learned,
    Objects,
    Physics,
    Process,
    Region,
    Systematic,
    Threshold,
    Variation,
)
from agc_pipeline.declaration.checks import check, requirement_problems
from agc_pipeline.errors import AnalysisError


def first(*_: Any) -> float:
    return 1.0


def second(*_: Any) -> float:
    return 2.0


def third(*_: Any) -> float:
    return 3.0


def region(name: str, mask: Any, **changes: Any) -> Region:
    declared = Region(name, name, "m", "m", (0.0, 1.0, 2.0, 3.0), mask=mask, values=first)
    return replace(declared, **changes)


SR, CR = region("SR", first), region("CR", second)
JES = Systematic("JES", ("sig",), up=Variation("jes_up", records=first))
OTHER = Systematic("generator", ("sig",), up=Variation("alt"))
SIGNAL, BACKGROUND = Dataset("signal", ("sig",)), Dataset("background", ("bkg",))
ALTERNATIVE = Dataset("other", ("sig",), variation="alt")
DATA = Dataset("observed", kind="data")


def analysis(**changes: Any) -> Analysis:
    """Two regions, two processes with a dataset each, a variation of each kind, and data."""
    declared = Analysis(
        name="toy",
        settings=Physics,
        regions=(SR, CR),
        processes=(Process("sig", "signal"), Process("bkg", "background")),
        datasets=(SIGNAL, BACKGROUND, ALTERNATIVE, DATA),
        systematics=(JES, OTHER),
        free=(Free("mu", ("sig",)),),
    )
    return replace(declared, **changes)


def problem(**changes: Any) -> str:
    with pytest.raises(AnalysisError) as error:
        check(analysis(**changes))
    assert error.value.place == "declaration of the analysis toy"
    assert error.value.remedy
    return error.value.problem


def test_what_fits_is_the_same() -> None:
    assert check(analysis()) == analysis()


def with_process(name: str) -> dict[str, Any]:
    return {
        "processes": (*analysis().processes, Process(name, "another")),
        "datasets": (*analysis().datasets, Dataset("more", (name,))),
    }


@pytest.mark.parametrize(
    ("changes", "name", "meanings"),
    [
        (
            with_process("data"),
            "SR_data",
            ("the process data in the region SR", "the collision data in the region SR"),
        ),
        (
            with_process("pseudodata"),
            "SR_pseudodata",
            ("the process pseudodata in the region SR", "the pseudodata in the region SR"),
        ),
        (
            with_process("sig_alt"),
            "SR_sig_alt",
            (
                "the variation alt of the process sig in the region SR",
                "the process sig_alt in the region SR",
            ),
        ),
        (
            with_process("sig_jes_up_migration"),
            "SR_sig_jes_up_migration",
            (
                "what jes_up moves of the process sig in the region SR",
                "the process sig_jes_up_migration in the region SR",
            ),
        ),
        (
            with_process("jes_up") | {"regions": (SR, region("SR_sig", third, fitted=False))},
            "SR_sig_jes_up",
            (
                "the variation jes_up of the process sig in the region SR",
                "the process jes_up in the region SR_sig",
            ),
        ),
        (
            {"regions": (SR, region("SR_sig", third, fitted=False))}
            | {"systematics": (replace(JES, up=Variation("data", records=first)), OTHER)},
            "SR_sig_data",
            (
                "the variation data of the process sig in the region SR",
                "the collision data in the region SR_sig",
            ),
        ),
    ],
)
def test_histograms_of_one_name_are_refused(
    changes: Any, name: str, meanings: tuple[str, str]
) -> None:
    told = problem(**changes)
    assert f"the histogram {name} would be that of" in told
    assert all(f"that of {meaning}" in told for meaning in meanings)


def test_names_of_learned_regions_count() -> None:
    more = Learned("ml", "ML", (region("SR_sig", first),), "signal", {}, first, "training")
    told = problem(**with_process("jes_up"), learned=more)
    assert "the histogram SR_sig_jes_up would be that of" in told


@pytest.mark.parametrize("name", ["S/R", "", " SR", "SR\n"])
def test_names_that_no_histogram_can_have_are_refused(name: str) -> None:
    assert f"the region {name!r} cannot have this name" in problem(regions=(region(name, first),))
    assert f"the process {name!r} cannot have this name" in problem(**with_process(name))
    varied = replace(JES, up=Variation(name, records=first))
    assert f"the variation {name!r} cannot" in problem(systematics=(varied, OTHER))
    assert f"the dataset {name!r} cannot" in problem(
        datasets=(*analysis().datasets, Dataset(name, ("bkg",)))
    )


def test_a_region_is_no_entry_of_the_cutflow() -> None:
    assert "a region cannot be called all" in problem(regions=(region("all", first),))


def test_two_datasets_for_one_variation_are_refused() -> None:
    twice = replace(ALTERNATIVE, name="other2")
    told = problem(datasets=(*analysis().datasets, twice))
    assert "the datasets other and other2 are both the variation alt of signal" in told
    # Of another nominal dataset it is another template's part.
    split = (Dataset("signal2", ("sig",)), replace(twice, replaces="signal2"))
    named = replace(ALTERNATIVE, replaces="signal")
    check(analysis(datasets=(SIGNAL, BACKGROUND, named, DATA, *split)))


@pytest.mark.parametrize(
    ("replaces", "told"),
    [
        ("background", "the dataset other replaces background, which does not fill sig"),
        ("observed", "the dataset other replaces observed, which has collision data"),
        ("other", "the dataset other replaces other, which is itself the variation alt"),
        ("backgroud", "unknown dataset 'backgroud' (did you mean background?)"),
    ],
)
def test_a_dataset_replaces_a_nominal_one_of_its_process(replaces: str, told: str) -> None:
    other = replace(ALTERNATIVE, replaces=replaces)
    assert told in problem(datasets=(SIGNAL, BACKGROUND, other, DATA))


def test_a_nominal_dataset_replaces_none() -> None:
    nominal = replace(BACKGROUND, replaces="signal")
    told = problem(datasets=(SIGNAL, nominal, ALTERNATIVE, DATA))
    assert "the dataset background replaces signal, and has no variation" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"blinded": (2.0, 1.0)}, "the window 2 to 1 that is blinded in the region SR hides"),
        ({"blinded": (1.0, 1.0)}, "the window 1 to 1 that is blinded in the region SR hides"),
        ({"blinded": (5.0, 6.0)}, "the window 5 to 6 that is blinded in the region SR is outside"),
        ({"blinded": (-2.0, 0.0)}, "blinded in the region SR is outside its edges, 0 to 3"),
        ({"blinded": (math.nan, 1.0)}, "entry 1 in `blinded` of the Region 'SR' is NaN"),
        ({"edges": (0.0, 2.0, 1.0)}, "the edges of the region SR do not rise"),
        ({"edges": (0.0, math.nan)}, "entry 2 in `edges` of the Region 'SR' is NaN"),
        ({"edges": (0.0, math.inf)}, "the edges of the region SR are infinite"),
        ({"fit_edges": (3.0, 1.0)}, "the fit edges of the region SR are not two or more that rise"),
        ({"fit_edges": (3.0,)}, "the fit edges of the region SR are not two or more that rise"),
        ({"fit_edges": (0.0, 1.5)}, "the fit edges of the region SR are not among its edges"),
    ],
)
def test_bounds_of_an_observable_are_in_order(changes: Any, told: str) -> None:
    assert told in problem(regions=(replace(SR, **changes), CR))
    scored = replace(SR, name="ML", title="ML", **changes)
    learned = Learned("ml", "ML", (scored,), "signal", {}, first, "training")
    assert told.replace("SR", "ML") in problem(learned=learned)


@pytest.mark.parametrize("window", [(1.0, 2.0), (-5.0, 9.0), (3.0, math.inf), (-math.inf, 1.0)])
def test_windows_that_hide_something(window: tuple[float, float]) -> None:
    check(analysis(regions=(replace(SR, blinded=window), CR)))


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ((0.0, math.inf), "the bounds of mu are not finite numbers"),
        ((-math.inf, 3.0), "the bounds of mu are not finite numbers"),
        ((3.0, 0.0), "the nominal value of mu is not between its bounds"),
        ((0.0, math.nan), "entry 2 in `bounds` of the Free 'mu' is NaN"),
    ],
)
def test_bounds_of_parameters_are_numbers_in_order(bounds: tuple[float, float], told: str) -> None:
    assert told in problem(free=(Free("mu", ("sig",), bounds=bounds),))


def test_pseudodata_are_finite_sums_of_simulated_events() -> None:
    assert "and observed has collision data" in problem(pseudodata={"observed": 1.0})
    assert "the entry signal in `pseudodata` of the Analysis 'toy' is NaN" in problem(
        pseudodata={"signal": math.nan}
    )
    assert "the weight inf of signal in the pseudodata" in problem(pseudodata={"signal": math.inf})
    check(analysis(pseudodata={"signal": 1.5, "other": -0.5, "background": 1}))


def filling(*fills: Any) -> dict[str, Any]:
    return {"datasets": (SIGNAL, Dataset("background", fills), ALTERNATIVE, DATA)}


def test_an_event_is_of_one_process() -> None:
    more = {"processes": (*analysis().processes, Process("fake", "fakes"))}
    same = filling(Fill("bkg", mask=first), Fill("fake", mask=first))
    assert "the dataset background fills bkg and fake with the same events" in problem(
        **more, **same
    )
    assert "fills the process bkg twice" in problem(
        **filling(Fill("bkg", mask=first), Fill("bkg", mask=second))
    )
    check(analysis(**more, **filling(Fill("bkg", mask=first), Fill("fake", mask=second))))
    # Weights may split an event.
    check(analysis(**more, **filling(Fill("bkg", first, second), Fill("fake", first, third))))
    filled = replace(DATA, fills=("bkg",))
    told = problem(datasets=(SIGNAL, BACKGROUND, ALTERNATIVE, filled))
    assert "the data observed are the observation, and fill no process" in told


def test_what_acts_on_nothing_is_refused() -> None:
    told = problem(systematics=(replace(JES, regions=()), OTHER))
    assert "the systematic JES acts on no region" in told
    assert "the systematic JES acts on no process" in problem(
        systematics=(replace(JES, processes=()), OTHER)
    )
    threshold = Threshold("cut", "cut", ">", (1.0, 2.0), observed=first, regions=())
    assert "the threshold cut selects no region" in problem(thresholds=(threshold,))
    feature = Feature("mass", first, regions=())
    assert "the feature mass exists in no region" in problem(features=(feature,))


def test_what_would_be_ignored_is_refused() -> None:
    change = Change(("Jet", "pt"), first, first)
    twice = replace(JES, up=Variation("jes_up", changes=(change, replace(change, values=second))))
    assert "the variation jes_up changes Jet.pt 2 times" in problem(systematics=(twice, OTHER))
    both = Systematic("Lumi", ("bkg",), effects={"sig": 0.1})
    assert "Lumi has both processes and effects" in problem(systematics=(JES, OTHER, both))
    varied = Variation("jes_up", weight=first, records=second)
    assert "the variation jes_up has both `weight` and `records`" in problem(
        systematics=(replace(JES, up=varied), OTHER)
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"systematics": (replace(JES, correlated="process"), OTHER)},
            "`correlated` of the Systematic 'JES' is 'process': it must be 'all' or 'regions' or "
            "'processes' (did you mean processes?)",
        ),
        (
            {"datasets": (SIGNAL, BACKGROUND, replace(DATA, kind="Data"))},
            "`kind` of the Dataset 'observed' is 'Data': it must be 'simulation' or 'data'",
        ),
        ({"events": "column"}, "`events` of the Analysis 'toy' is 'column': it must be 'columns'"),
        (
            {"free": (Free("mu", ("sig", "sig")),)},
            "`processes` of the Free 'mu' has 'sig' twice",
        ),
        (
            {"systematics": (replace(JES, processes=("sig", "sig")), OTHER)},
            "`processes` of the Systematic 'JES' has 'sig' twice",
        ),
        (
            {"free": (Free("mu", "sig"),)},
            "`processes` of the Free 'mu' is 'sig': it must be a tuple, in round brackets, and one "
            "entry has a comma behind it",
        ),
        (
            {"regions": (replace(SR, edges=[0.0, 1.0]), CR)},
            "`edges` of the Region 'SR' is [0.0, 1.0]: it must be a tuple, in round brackets",
        ),
        (
            {"regions": (replace(SR, edges=(0.0, "1")), CR)},
            "entry 2 in `edges` of the Region 'SR' is '1': it must be a number",
        ),
        (
            {"regions": (replace(SR, blinded=(1.0, 2.0, 3.0)), CR)},
            "`blinded` of the Region 'SR' is (1.0, 2.0, 3.0): it must be a tuple of 2",
        ),
        (
            {"regions": (replace(SR, mask="SR"), CR)},
            "`mask` of the Region 'SR' is 'SR': it must be a function or None",
        ),
        (
            {"regions": (replace(SR, fitted="no"), CR)},
            "`fitted` of the Region 'SR' is 'no': it must be True or False",
        ),
        ({"regions": ("SR",)}, "entry 1 in `regions` of the Analysis 'toy' is 'SR': it must be"),
        ({"settings": dict}, "`settings` of the Analysis 'toy' is <class 'dict'>"),
        ({"weight_reads": {"": "w"}}, "the entry  in `weight_reads` of the Analysis 'toy' is 'w'"),
        (
            {
                "systematics": (
                    replace(JES, up=Variation("jes_up", changes=(Change("pt", first, first),))),
                    OTHER,
                )
            },
            "`column` of the Change 'pt' is 'pt': it must be a tuple of 2",
        ),
    ],
)
def test_fields_have_values_of_their_types(changes: Any, told: str) -> None:
    assert told in problem(**changes)


JETS = Objects("jets", "Jet", (Cut("pt", ">", 30.0),))


@pytest.mark.parametrize(
    ("requirements", "told"),
    [
        (
            (EventCut("MET", Cut("pt", "=>", 30.0)),),
            "`comparison` of the Cut 'pt' is '=>': it must be '>' or '>=' or '<'",
        ),
        ((EventCut("MET", Cut("pt", ">", math.nan)),), "`bound` of the Cut 'pt' is NaN"),
        ((Count((JETS,), ">=", 2.5),), "`number` of the Count None is 2.5: it must be a whole"),
        ((Count(JETS, ">=", 2),), "`objects` of the Count None is Objects("),
        (Count((JETS,), ">=", 2), "what is returned is Count("),
        (
            (Count((JETS,), ">=", 1, "jets"), Count((JETS,), "<=", 4, "jets")),
            "two have the label 'jets', and the cutflow one entry",
        ),
        ((Count((JETS,), ">=", 1, "SR"),), "the label 'SR' is that of another entry"),
        ((Count((JETS,), ">=", 1, "all"),), "the label 'all' is that of another entry"),
        (
            (Count((JETS,), ">=", 1), Count((replace(JETS, cuts=()),), "<=", 4)),
            "there are two declarations of the objects 'jets'",
        ),
        (
            (Count((JETS.among("btag", Cut("btag", ">", 0.6)),), ">=", 1),),
            "the objects 'btag' have the name of the column btag of Jet",
        ),
        (
            (Count((JETS,), ">=", 1), EventCut("", Cut("jets", ">", 2.0))),
            "the objects 'jets' have the name of a column of the event",
        ),
        (
            (Count((replace(JETS, name="MET"),), ">=", 1),),
            "the objects 'MET' have the name of a column of the event",
        ),
        (
            (Count((Objects("muons", "Muon", (Cut("pt", ">", 5.0),), base=JETS),), ">=", 1),),
            "the objects 'muons' of Muon are among those of Jet",
        ),
        (
            (Count((replace(JETS, columns={"pt": first}),), ">=", 1),),
            "the computed column 'pt' of 'jets' has the name of one that is read",
        ),
        (
            (Count((replace(JETS.among("a", *JETS.cuts), columns={"x": first}),), ">=", 1),),
            "the objects 'a' are among others: declare their computed columns for 'jets'",
        ),
        (
            (EventCut("MET", Cut("pt", ">", 1.0)), EventCut("", Cut("MET_pt", ">", 1.0))),
            "the column MET_pt is called ('MET', 'pt') and ('', 'MET_pt'): use one of them",
        ),
    ],
)
def test_requirements_are_what_they_seem(requirements: Any, told: str) -> None:
    declared = analysis(requirements=lambda *_: requirements, events="columns")
    (problem_told,) = requirement_problems(declared, None)
    assert problem_told.startswith("requirements of the dataset signal: ")
    assert told in problem_told


def test_requirements_that_fit() -> None:
    tagged = JETS.among("tagged", Cut("btag", ">", 0.6))
    flag = EventCut("HLT", Cut("IsoMu24", "==", bound=True), "trigger")
    cuts = [Count((JETS,), ">=", 2, "two jets"), Count((tagged, JETS), ">=", 1), flag]
    assert not list(requirement_problems(analysis(requirements=lambda *_: cuts), None))


EFFECTS = {"sig": 0.1, "bkg": 0.2}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {
                "systematics": (
                    Systematic("XS", effects=EFFECTS, correlated="regions"),
                    Systematic("XS SR", effects=EFFECTS),
                )
            },
            "the parameter XS SR would be that of the systematic XS and of the systematic XS SR",
        ),
        (
            {
                "systematics": (
                    Systematic("XS", effects=EFFECTS, correlated="processes"),
                    Systematic("XS sig", effects=EFFECTS, regions=("CR",)),
                )
            },
            "the parameter XS sig would be that of the systematic XS and of the systematic XS sig",
        ),
        (
            {"free": (Free("JES", ("sig",)),)},
            "the parameter JES would be that of the free normalisation JES and of the systematic",
        ),
        (
            {"free": (Free("staterror_SR", ("sig",)),)},
            "of the free normalisation staterror_SR and of the statistical factors of SR",
        ),
        (
            {"regions": (replace(SR, title="S R"), replace(CR, title="S-R"))},
            "would be that of the statistical factors of S R and of the statistical factors of S-R",
        ),
        ({"systematics": (JES, JES, OTHER)}, "the systematic JES is defined twice"),
        (
            {"free": (Free("mu", ("sig",)), Free("mu", ("bkg",)))},
            "the free normalisation mu is defined twice",
        ),
    ],
)
def test_parameters_of_one_name_are_refused(changes: Any, told: str) -> None:
    assert told in problem(**changes)


def test_regions_of_which_no_systematic_names_one() -> None:
    # What it does not act on has no parameter.
    split = Systematic("XS", effects=EFFECTS, correlated="regions", regions=("CR",))
    check(analysis(systematics=(JES, OTHER, split, Systematic("XS SR", effects=EFFECTS))))
