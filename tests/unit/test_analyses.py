"""Analyses that are found by name, and what of them is refused."""

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from agc_pipeline import analyses, config
from agc_pipeline.columnar.processing import Processing
from agc_pipeline.errors import AnalysisError, ConfigurationError
from agc_pipeline.functions import told_by_line
from agc_pipeline.plan import Plan
from agc_pipeline.readers.opening import READ_ERRORS
from agc_pipeline.stages import deliver
from agc_pipeline.stages.command import errors_told
from agc_pipeline.stages.sources import of_stage
from analysis_folder import write
from conftest import ROOT


def loaded(folder: Path, **overrides: Any) -> config.Configuration:
    values = config.read(overrides={"analysis": str(folder), **overrides}, root=ROOT)
    return config.load(values)


def test_a_folder_anywhere_is_an_analysis_with_its_own_configuration(tmp_path: Path) -> None:
    folder = write(tmp_path)
    configuration = loaded(folder)
    analysis = configuration.declaration
    assert (analysis.name, analysis.folder) == (folder.name, folder)
    assert configuration.physics.luminosity("2016") == 100
    assert configuration.physics.luminosity(None) == 150
    assert (configuration.parts, configuration.learned) == (frozenset(), "off")
    shown = configuration.model_dump()
    assert not {"simulation", "validation", "learning", "jet_assignment"} & set(shown)
    assert set(configuration.physics.cross_sections_pb) == {"Zlow", "Zhigh", "other"}
    # Its functions are the same after a detour.
    assert sys.modules[folder.name].ANALYSIS.regions[0] is analysis.regions[0]


def test_a_path_is_relative_to_the_working_folder_or_to_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "lab")
    own = tmp_path / "lab" / "run.yaml"
    own.write_text(f"analysis: ./{folder.name}")
    assert config.load_config([own], root=ROOT).analysis == str(folder)
    monkeypatch.chdir(tmp_path)
    assert config.load_config([own], root=ROOT).analysis == f"lab/{folder.name}"
    monkeypatch.chdir(folder.parent)
    assert analyses.locate(folder.name).name == f"./{folder.name}"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="unknown analysis"):
        analyses.load(folder.name)


def test_an_importable_package_and_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "lab_of_tests")
    name = f"lab_of_tests.{folder.name}"
    (tmp_path / "lab_of_tests" / "__init__.py").touch()
    initial = folder / "__init__.py"
    initial.write_text(initial.read_text().replace(f"from {folder.name}", f"from {name}"))
    information = tmp_path / "lab_of_tests-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-of-tests\nVersion: 1\n")
    (information / "entry_points.txt").write_text(f"[agc_pipeline.analyses]\nmuons = {name}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for analysis in (name, "muons"):
        configuration = loaded(Path(analysis))
        assert configuration.analysis == analysis
        assert configuration.declaration.reference == analysis
        assert configuration.declaration.folder == folder
    with pytest.raises(ConfigurationError, match=r"remedy: did you mean `muons`"):
        analyses.load("muon")


def test_another_process_finds_the_functions_of_a_folder(tmp_path: Path) -> None:
    folder = write(tmp_path)
    configuration = loaded(folder)
    analysis = configuration.declaration
    processing = Processing(analysis, configuration.physics.selection, analysis.dataset("Z_low"))
    pickled = tmp_path / "processing.pickle"
    pickled.write_bytes(cloudpickle.dumps(processing))
    command = (
        "import pickle, sys; p = pickle.load(open(sys.argv[1], 'rb'));"
        "print(p.analysis.regions[0].mask.__module__, p.selection.pt_min)"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, str(pickled)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [f"{folder.name}.regions", "20.0"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "regions.py",
            "\nx = 1 / 0\n",
            r"ZeroDivisionError: division by zero\n.*regions\.py, line 2\n",
        ),
        ("regions.py", "\n\nx = = 1\n", r"SyntaxError: invalid syntax\n.*regions\.py, line 3\n"),
        ("settings.py", "import nothing_here\n", r"nothing_here.*\n.*settings\.py, line 1\n"),
        ("__init__.py", "ANALYSES = 1\n", r"`ANALYSIS` is missing.*\n.*__init__\.py"),
    ],
)
def test_an_error_in_the_code_of_an_analysis_has_its_file_and_line(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    folder = write(tmp_path)
    (folder / file).write_text(text)
    with pytest.raises(AnalysisError, match=message) as error:
        analyses.load(str(folder))
    assert str(folder) in error.value.place
    # Once it is corrected, it loads.
    shutil.copytree(write(tmp_path), folder, dirs_exist_ok=True)


FAILING = """
import awkward as ak
from agc_pipeline.readers.file_header import make_reproducible
def second(events):
    return ak.Array([[1.0], []])[:, 1]
def broken(events):
    raise ValueError("cannot broadcast")
def unreadable(path):
    make_reproducible(path)
"""


def test_a_function_that_raises_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(tmp_path)
    with (folder / "regions.py").open("a") as file:
        file.write(f"#{FAILING}")
    n_lines = len((folder / "regions.py").read_text().splitlines())
    analyses.load(str(folder))
    regions = sys.modules[f"{folder.name}.regions"]
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    with pytest.raises(SystemExit) as ended, errors_told(output=""):
        regions.second(None)
    problem, place, remedy = str(ended.value.code).splitlines()
    assert problem.startswith("error: IndexError: cannot slice ")
    assert "compiled" not in problem
    assert place == f"  where: {folder.name}/regions.py, line {n_lines - 4}, in second"
    assert remedy == "  remedy: correct `second`; the log has the whole traceback"
    assert "Traceback" in caplog.text
    assert "[:, 1]" in caplog.text
    # Only what a reader raises is a fault of the file.
    with (
        pytest.raises(AnalysisError, match="ValueError: cannot broadcast"),
        told_by_line(READ_ERRORS),
    ):
        regions.broken(None)
    with pytest.raises(FileNotFoundError), told_by_line(READ_ERRORS):
        regions.unreadable(tmp_path / "none.root")
    with pytest.raises(KeyError), told_by_line():
        raise KeyError


def test_a_folder_whose_name_another_module_has(tmp_path: Path) -> None:
    (tmp_path / "yaml").mkdir()
    (tmp_path / "yaml" / "__init__.py").touch()
    with pytest.raises(AnalysisError, match=r"another Python module yaml.*\n.*\n.*rename"):
        analyses.load(str(tmp_path / "yaml"))
    (tmp_path / "my-muons").mkdir()
    (tmp_path / "my-muons" / "__init__.py").touch()
    with pytest.raises(AnalysisError, match="cannot be that of a Python package"):
        analyses.load(str(tmp_path / "my-muons"))
    first = write(tmp_path)
    analyses.load(str(first))
    second = tmp_path / "copy" / first.name
    shutil.copytree(first, second)
    with pytest.raises(AnalysisError, match=f"another Python module {first.name}"):
        analyses.load(str(second))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": {"kind": "simulated"}}, "'simulated' is not for .*it has no simulation.py"),
        ({"input": {"kind": "published"}}, "'published' is not for .*it has no folder published"),
        ({"simulation": {"scale": 1}}, "`simulation` is wrong: .*has no simulation: it has no"),
        ({"validation": {"p_value_min": 1}}, "has no validation: it has no folder published"),
        ({"learning": {"models": None}}, "has no learning: it declares no learned observables"),
        ({"jet_assignment": "off"}, "unknown configuration key `jet_assignment`"),
        (
            {"physics": {"cross_sections_pb": {"Zlwo": 1}}},
            r"unknown cross section 'Zlwo' in .* \(did you mean Zlow\?\)",
        ),
        (
            {"physics": {"luminosity_per_pb": {"2018": 1}}},
            r"unknown era '2018' in .* \(did you mean 201[67]\?\)",
        ),
        ({"physics": {"luminosity_per_pb": 5.0}}, "no luminosity for the era 2016, 2017"),
        (
            {"delivery": {"datasets": {"Z_hihg": {"backend": "local"}}}},
            r"unknown dataset 'Z_hihg' in .* \(did you mean Z_high\?\)",
        ),
    ],
)
def test_what_does_not_fit_the_analysis_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = write(tmp_path)
    with pytest.raises(ConfigurationError, match=message) as error:
        loaded(folder, **changes)
    assert len(error.value.problem.splitlines()) == 1


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (
            '(EventCut("MET", Cut("pt", "=>", selection.pt_min)),)',
            ConfigurationError,
            "requirements of the dataset Z_low: `comparison` of the Cut 'pt' is '=>': it must be ",
        ),
        ("selection.pt_mni", AnalysisError, r"no attribute 'pt_mni'\n.*__init__\.py, line \d+"),
    ],
)
def test_requirements_are_checked_with_the_configuration(
    tmp_path: Path, returned: str, error: type[Exception], message: str
) -> None:
    folder = write(tmp_path)
    initial = folder / "__init__.py"
    function = (
        "from agc_pipeline.declaration import Cut, EventCut\n\n\n"
        f"def requirements(selection, dataset):\n    return {returned}\n\n\nANALYSIS"
    )
    text = initial.read_text().replace("ANALYSIS", function, 1)
    initial.write_text(text.replace("    free=", "    requirements=requirements,\n    free="))
    with pytest.raises(error, match=message):
        loaded(folder)


def test_a_missing_cross_section_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path)
    text = (folder / "config" / "all.yaml").read_text()
    (folder / "config" / "all.yaml").write_text(text.replace("Zhigh: 2.0", ""))
    with pytest.raises(ConfigurationError, match="no cross section for Zhigh"):
        loaded(folder)


def test_datasets_are_normalised_by_name_and_era(tmp_path: Path) -> None:
    plan = Plan(loaded(write(tmp_path)))
    assert {
        name: (dataset.xsec_pb, dataset.luminosity_per_pb)
        for name, dataset in plan.datasets.items()
    } == {"Z_low": (3.0, 150.0), "Z_high": (2.0, 100.0), "mu_2016": (None, 100.0)}


def test_no_collision_data_are_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path)
    with pytest.raises(ConfigurationError, match=r"1 of the 2 files .*mu_2016"):
        _ = Plan(loaded(folder, n_files_max_per_sample=1)).datasets
    # All files of the data are taken.
    assert len(Plan(loaded(folder, n_files_max_per_sample=2)).datasets["mu_2016"].files) == 2


def test_partial_results_lack_no_collision_data(tmp_path: Path) -> None:
    folder = write(tmp_path)
    plan = Plan(loaded(folder, allow_partial=True))
    allowed = {name: deliver.configure(plan, name, "0000").allow_partial for name in plan.datasets}
    assert allowed == {"Z_low": True, "Z_high": True, "mu_2016": False}
    # None of the files is there: those of simulated events may be left out.
    data = [file.source for file in plan.datasets["mu_2016"].files]
    with pytest.raises(ConfigurationError) as caught:
        plan.check_files()
    assert caught.value.problem == f"2 of 2 input files cannot be found: {data[0]}, {data[1]}"
    assert "`allow_partial` leaves out no collision data" in caught.value.remedy
    plan.check_files(["Z_low", "Z_high"])
    with pytest.raises(ConfigurationError, match="3 of 3 input files cannot be found"):
        Plan(loaded(folder)).check_files(["Z_low", "Z_high"])


def test_files_of_the_folder_are_reasons_to_run_again(tmp_path: Path) -> None:
    folder = write(tmp_path)
    names = ("muons.json", "config/2016.json", "input/x.txt", "tests/y.yaml", "published/z.json")
    # `config/x.txt` is no configuration, and only the folder itself has tests, or events.
    corrections = {folder / "corrections" / name for name in names} | {folder / "config" / "x.txt"}
    others = [folder / "tests" / "all.json", folder / "input" / "a.json", folder / "unused.py"]
    for path in (*corrections, *others):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    analysis = loaded(folder).declaration

    def files(stage: str, **how: Any) -> set[Path]:
        paths = map(Path, of_stage(f"agc_pipeline.stages.{stage}", analysis, **how))
        return {path for path in paths if path.is_relative_to(folder)}

    modules = {folder / f"{name}.py" for name in ("__init__", "regions", "settings")}
    assert files("histogram") == modules | corrections
    assert files("simulate", physics=False) == set()
    # No stage of the statistics loads the physics.
    assert files("fit") == set()


def test_a_folder_with_a_part_has_its_keys(tmp_path: Path) -> None:
    folder = write(tmp_path, simulation={"n_files": 2}, input={"kind": "simulated"})
    (folder / "simulation.py").write_text(
        "from agc_pipeline.settings import Settings\n"
        "from agc_pipeline.simulation.part import SimulationPart\n\n\n"
        "class Toys(SimulationPart):\n"
        "    n_files: int\n\n"
        "    def parts(self, dataset):\n"
        "        return self.n_files\n\n"
        "    def job(self, dataset, part):\n"
        "        return Settings()\n\n\n"
        "SETTINGS = Toys\n"
    )
    configuration = loaded(folder)
    assert configuration.parts == {"simulation"}
    plan = Plan(configuration)
    assert [file.record for file in plan.datasets["mu_2017"].files] == [
        "results/simulated/mu_2017/0000.json",
        "results/simulated/mu_2017/0001.json",
    ]


def test_a_misspelt_name_has_a_suggestion() -> None:
    message = r"unknown analysis 'cms_tbar'.*'cms_ttbar'.*\n.*\n.*did you mean `cms_ttbar`"
    with pytest.raises(ConfigurationError, match=message):
        analyses.load("cms_tbar")
    with pytest.raises(ConfigurationError, match=re.escape("unknown analysis 'json'")):
        analyses.load("json")
