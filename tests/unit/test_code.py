"""Which modules a stage depends on."""

from pathlib import Path

from agc_pipeline.code import sources


def names(*modules: str) -> set[str]:
    paths = (Path(path) for path in sources(*modules))
    return {path.as_posix().split("agc_pipeline/", maxsplit=1)[1] for path in paths}


ANALYSIS = "agc_pipeline.analyses.cms_ttbar"


def test_imports_are_followed() -> None:
    found = names("agc_pipeline.stages.histogram", ANALYSIS)
    assert {
        "__init__.py",
        "stages/histogram.py",
        "columnar/runner.py",
        "columnar/filling.py",
        "readers/opening.py",
        "analyses/cms_ttbar/regions.py",
        "analyses/cms_ttbar/systematics.py",
    } <= found


def test_a_stage_does_not_depend_on_what_it_does_not_use() -> None:
    delivery = names("agc_pipeline.stages.deliver", ANALYSIS)
    assert "analyses/cms_ttbar/objects.py" in delivery
    assert not {"columnar/runner.py", "analyses/cms_ttbar/simulation.py"} & delivery
    assert not any(name.startswith(("report/", "inference/")) for name in delivery)
    merging = names("agc_pipeline.stages.merge", ANALYSIS)
    assert not {"columnar/runner.py", "delivery/skim.py"} & merging
    report_only = {name for name in names("agc_pipeline.stages.report") if "report" in name}
    fitting = names("agc_pipeline.stages.fit", ANALYSIS)
    assert report_only
    assert not report_only & fitting


def test_imports_in_functions_count_and_those_for_types_do_not() -> None:
    fitting = names("agc_pipeline.stages.fit")
    # `fit` imports it where it runs, and the plan for its type only.
    assert "inference/problem.py" in fitting
    assert not {"plan.py", "config.py"} & fitting
