"""Which modules a stage depends on."""

import hashlib
from pathlib import Path

import pytest

from agc_pipeline.code import check, module_path, others, sources
from agc_pipeline.errors import ConfigurationError


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


def test_every_module_that_is_not_installed_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the working folder, of Python's path, and of packages that are installed in place."""
    files = {
        "working/followed_first.py": "def f():\n    from followed_second.deep import g\n",
        "path/followed_second/__init__.py": "from .beside import *\n",
        "path/followed_second/beside.py": "import followed_third as third\n",
        "path/followed_second/deep.py": "try:\n    import followed_missing\nfinally: ...\n",
        # Without a file of its own, and imported by a function.
        "path/followed_third.py": "import importlib as i\ni.import_module('followed_bare.last')\n",
        "path/followed_bare/last.py": "import json, numpy, followed_installed\n",
        "path/followed_bare/not_imported.py": "",
        "env/site-packages/followed_installed.py": "import followed_first\n",
        "declared/followed_analysis.py": "import followed_first\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in ("path", "declared", "env/site-packages"):
        monkeypatch.syspath_prepend(tmp_path / folder)
    (tmp_path / "working").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "working")
    followed = {
        Path(path).relative_to(tmp_path).as_posix() for path in sources("followed_analysis")
    }
    assert followed == files.keys() - {
        "path/followed_bare/not_imported.py",
        "env/site-packages/followed_installed.py",
    }


@pytest.mark.parametrize(
    "text",
    [
        "if TYPE_CHECKING:\n    import branch_other\nelse:\n    import branch_taken\n",
        "if not TYPE_CHECKING:\n    import branch_taken\nelse:\n    import branch_other\n",
        "if typing.TYPE_CHECKING:\n    import branch_other\nelif x:\n    import branch_taken\n",
        "import_module(name='branch_taken')\n",
        "import_module(package='', name='branch_taken')\n",
        "__import__(name='branch_taken')\n",
        "from importlib import import_module as load\ndef f():\n    load('branch_taken')\n",
        "import_module('.within', 'branch_package')\n",
        "import_module(name='.within', package='branch_package')\n",
    ],
)
def test_the_branches_that_run_and_all_ways_to_name_a_module_are_followed(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("taken", "other", "package/__init__", "package/within"):
        path = tmp_path / f"branch_{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    # One for each text: what a module imports is looked up once.
    analysis = f"branch_analysis_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    (tmp_path / f"{analysis}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    followed = {path.relative_to(tmp_path).as_posix() for path in map(Path, sources(analysis))}
    package = {"branch_package/__init__.py", "branch_package/within.py"}
    assert followed - {f"{analysis}.py"} == (
        package if "branch_package" in text else {"branch_taken.py"}
    )


def test_modules_of_other_packages_are_those_that_code_imports_anywhere() -> None:
    assert {"cabinetry.fit", "coffea.nanoevents", "uproot", "hepdata_lib"} <= set(others())
    assert not {"typing", "agc_pipeline.files", "ROOT", "pythia8"} & set(others())


def test_another_installation_must_have_the_same_code(tmp_path: Path) -> None:
    """As that in an image, where the files of the workflow are not seen."""
    own = module_path("agc_pipeline.code")
    right = hashlib.sha256(own.read_bytes()).hexdigest()
    elsewhere, wrong = "/image/site-packages/agc_pipeline/code.py", "0" * 64
    digests = tmp_path / "fit.sha256"
    analysis = tmp_path / "agc_pipeline" / "mine.py"
    analysis.parent.mkdir()
    analysis.touch()
    for lines in (
        [(right, elsewhere)],
        # The same installation, edited since, and an analysis that is not part of it.
        [(wrong, own), (wrong, elsewhere)],
        [(wrong, analysis), (wrong, "dimuon/events.py"), (right, elsewhere)],
    ):
        digests.write_text("".join(f"{digest}  {path}\n" for digest, path in lines))
        check(digests)
    for lines in (
        [(wrong, elsewhere)],
        [(right, elsewhere), (right, "/image/agc_pipeline/added.py")],
    ):
        digests.write_text("".join(f"{digest}  {path}\n" for digest, path in lines))
        with pytest.raises(
            ConfigurationError, match=r"other code than that of the workflow: \w+.py"
        ):
            check(digests)
