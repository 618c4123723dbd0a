"""The configuration: what is accepted, and how errors are told."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import yaml
from snakemake.utils import update_config

import agc_pipeline
from agc_pipeline import config, layers, new
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.facility.settings import FacilitySettings
from agc_pipeline.layers import merged
from agc_pipeline.matrix.settings import MatrixSettings
from agc_pipeline.plan import planned
from agc_pipeline.settings import AtMost, Settings
from agc_pipeline.starter.settings import StarterPhysics
from conftest import ROOT, read_config


@pytest.mark.parametrize("name", [(), ("cms-open-data",), ("published",), ("real-slice",)])
def test_every_configuration_in_the_repository_is_valid(name: tuple[str, ...]) -> None:
    assert config.load(read_config(*name)).analysis == "cms_ttbar"


def test_physics_numbers_are_those_of_the_task() -> None:
    # Source: task of the IRIS-HEP Analysis Grand Challenge, version 2.
    physics = config.load(read_config()).physics
    assert physics.luminosity_per_pb == 3378
    assert physics.cross_sections_pb == pytest.approx(
        {
            "ttbar": 396.87 + 332.97,
            "single_top_s_chan": 2.0268 + 1.2676,
            "single_top_t_chan": (36.993 + 22.175) / 0.252,
            "single_top_tW": 37.936 + 37.906,
            "wjets": 61457 * 0.252,
        },
        rel=1e-12,
    )


# The plugin of HTCondor, which Snakemake loads with its command line, where there is no HTCondor.
@pytest.mark.filterwarnings("ignore:The environment variable CONDOR_CONFIG is unset")
def test_null_on_the_command_line_is_none() -> None:
    from snakemake.cli import parse_config  # noqa: PLC0415 - it warns, see above

    told = [
        'input={"kind": "files", "mirrors": {"disk": "data"}, "mirror_order": [disk], '
        '"xcache": null, "datasets": {"wjets__nominal": {"files": {"a.root": null, "b.root": 7}}}}',
        "selection=null",
        "fit={scan: {points: 11}}",
    ]
    given = layers.of_command_line(parse_config(told))
    assert given["input"]["mirror_order"] == ["disk"]
    loaded = config.load_config(overrides=given, root=ROOT)
    assert loaded.input.xcache is None
    assert loaded.input.datasets["wjets__nominal"].files == {"a.root": None, "b.root": 7}
    assert loaded.selection is None
    # In lists, too; other texts stay as they are.
    assert layers.of_command_line({"a": ["null", "Null", {"null": "~"}]}) == {
        "a": [None, "Null", {"null": "~"}]
    }


def own_file(folder: Path, key: str, value: Any) -> Path:
    """A file with one key, which stands in the line of its depth."""
    *path, last = key.split(".")
    content = {last: value}
    for part in reversed(path):
        content = {part: content}
    file = folder / "own.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize(
    ("key", "value", "problem", "remedy"),
    [
        ("delivery.datasets.zzz", {"backend": "none"}, "unknown dataset 'zzz' in `del", "correct"),
        ("delivery.datasets.tbar__nominal", {}, "did you mean ttbar__nominal?", "correct"),
        ("histograms.dask", {"cluster": "slrum"}, "`cluster` cannot be 'slrum'", "mean `slurm`?"),
        ("histograms.dask", {"cluster": "x"}, "there are gateway, ht", "correct `histograms.dask`"),
        ("fit.model.edges", {"4j1c": [50, 110]}, "unknown region '4j1c' in `fit.model.e", "corr"),
        ("selection", "4j", "unknown selection '4j' in `selection` (there are none)", "correct"),
        ("fit.model.treatments", {"ME": {}}, "unknown systematic 'ME' (", "corr"),
        (
            "fit.scan.pairs",
            [["ttbar_norm", "Lumi"]],
            "unknown parameter 'Lumi' (did you mean Luminosity?)",
            "corr",
        ),
        ("report.keywords.reaction", ["P P"], "cannot be 'reaction'", "mean `reactions`?"),
        ("physics.luminosity_per_pb", True, "`physics.luminosity_per_pb` is wrong: true", "`phys"),
        ("physics.cross_sections_pb.ttbar", True, "true or false stands where", "sections_pb`"),
        ("fit.model.edges", {"4j1b": [True, 110]}, "true or false", "`fit.model.edges`"),
        (
            "fit.toys.count",
            False,
            "true or false stands",
            "`fit.toys.count` to a whole number from",
        ),
        ("results", "my results", "cannot be 'my results': names of folders", "results"),
        ("results", "o $(touch a);touch b;#", "names of folders", "results"),
        ("results", "r{7}", "names of folders", "results"),
        ("results", "out/-rf", "do not begin with -", "results"),
        ("container", "my image.sif; ls", "paths and addresses of images here", "container"),
        ("results", "a\nb", "names of folders", "results"),
        ("results", "/", "root folder", "results"),
        (
            "input",
            {"kind": "files", "mirrors": {}, "mirror_order": ["a"], "datasets": {}},
            "`input.datasets` is wrong: it is empty",
            "input.datasets",
        ),
        (
            "input",
            {
                "kind": "files",
                "mirrors": {"a": "data", "unused": "https://me:hunter2@a.org/"},
                "mirror_order": ["a"],
                "datasets": {"ttbar__nominal": {"files": {"a.root": 1}}},
            },
            "`input.mirrors` is wrong: an address holds credentials: https://***@a.org/",
            "input.mirrors",
        ),
        ("n_files_max_per_smaple", 5, "unknown configuration key", "n_files_max_per_sample"),
        ("physics.selection.jet.pt_mni", 30, "physics.selection.jet.pt_mni", "pt_min"),
        ("delivery.bakend", "local", "delivery.bakend", "backend"),
        ("simulation.scale:5", None, "simulation.scale:5", "behind the colon: `scale: 5`"),
        ("simulation", "scale:0.05", "has keys with values", "behind the colon: `scale: 0.05`"),
        ("physics.cross_sections_nb", {"ttbar": 0.7}, "cross_sections_nb", "cross_sections_pb"),
        ("physics.cross_sections_pb.ttbar", "729.84 fb", "'729.84 fb'", "cross_sections_pb.ttbar"),
        ("physics.cross_sections_pb.ttbar", -1, "cannot be -1", "cross_sections_pb.ttbar"),
        ("physics.cross_sections_pb.ttbar", 0, "cannot be 0", "cross_sections_pb.ttbar"),
        ("physics.luminosity_per_pb", 0, "cannot be 0", "luminosity_per_pb"),
        ("physics.luminosity_per_pb", {}, "it is empty", "luminosity_per_pb"),
        ("delivery.backend", "servixe", "'local', 'servicex' or 'none'", "`servicex`"),
        ("histograms.executor", "spark", "'dask'", "histograms.executor"),
        ("files_per_job", 0, "cannot be 0", "files_per_job"),
        ("n_files_max_per_sample", 0, "0 files", "n_files_max_per_sample"),
        ("simulation.scale", 0, "cannot be 0", "simulation.scale"),
        ("input.kind", "files", "`input.mirrors` is missing", "input.mirrors"),
        ("optimise.bins", 4, "cannot be 4: it should be a list", "write `optimise.bins: [4]`"),
        ("fit.model.edges", {"4j2b": "110, 550"}, "should be a list", "edges.4j2b: [110, 550]`"),
        ("optimise.methods", ["gradent"], "`optimise.methods.0` cannot be", "mean `gradient`?"),
        ("optimise.methods", [], "`optimise.methods` is wrong: it is empty", "optimise.methods"),
        ("optimise.bins", [4, 6, 4], "4 is listed twice", "correct `optimise.bins`"),
        ("optimise.methods", ["gradient"] * 2, "gradient is listed twice", "`optimise.methods`"),
        (
            "optimise.widths",
            [1, 2, 0.5],
            "2 follows 1, and each must be smaller",
            "`optimise.widths`",
        ),
        ("optimise.widths", [1, 1], "1 follows 1, and each must be smaller", "`optimise.widths`"),
        ("optimise.discriminant.widths", [0.1, 0.2], "0.2 follows 0.1", "`optimise.discriminant.w"),
        ("optimise.thresholds", {"jet pt": [35, 40, 35]}, "35 is listed twice", "`optimise.thre"),
        ("optimise.thresholds", {"jet pt": 30}, "should be a list", "thresholds.jet pt: [30]`"),
        ("optimise.reference", {"jets pt": 30}, "(did you mean jet pt?)", "correct"),
        ("analysis", "atlas_hww", "'cms_ttbar'", "analysis"),
    ],
)
def test_a_wrong_value_gives_one_error_with_its_name_and_a_remedy(
    tmp_path: Path, key: str, value: Any, problem: str, remedy: str
) -> None:
    file = own_file(tmp_path, key, value)
    with pytest.raises(ConfigurationError) as caught:
        config.load(config.read([file], root=ROOT))
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert str(file) in caught.value.place
    assert max(map(len, str(caught.value).split("\n"))) < 300


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("delivery.backend", "spark", "`auto` or `local` or `servicex` or `none`"),
        ("delivery.datasets.wjets__nominal.format", "x", "`ttree` or `rntuple` or `parquet` or nu"),
        ("files_per_job", 0, "a whole number from 1 to 1000000 or `auto`"),
        ("files_per_job", "many", "a whole number from 1 to 1000000 or `auto`"),
        ("files_per_job", 1e7, "a whole number from 1 to 1000000 or `auto`"),
        ("fit.toys.count", [1], "a whole number from 0 to 1000000"),
        ("fit.toys.count", 1.5, "a whole number from 0 to 1000000"),
        ("simulation.seed", -1, "a whole number from 0 to 2147483647"),
        ("fit.limit.confidence", 1, "a number above 0 and below 1"),
        ("physics.selection.jet.btag_min", 1, "a number of at least -10 and below 1"),
        ("physics.selection.variations.pt_scale", 3, "a number from 0.5 to 2"),
        ("physics.luminosity_per_pb", 0, "a number above 0 and at most 1000000000"),
        ("physics.cross_sections_pb.wjets", "1 fb", "a number above 0 and at most 1e+12"),
        ("allow_partial", "perhaps", "true or false"),
        ("jet_assignment", "x", "`off` or `xgboost` or `triton`"),
    ],
)
def test_the_remedy_names_the_values_that_a_key_takes(
    tmp_path: Path, key: str, value: Any, allowed: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.load(config.read([own_file(tmp_path, key, value)], root=ROOT))
    assert caught.value.remedy.startswith(f"set `{key}` to {allowed}")


def test_the_remedy_names_no_values_where_there_are_others(tmp_path: Path) -> None:
    # Texts, and what is told by a message of the package.
    for key, value, reason in (
        ("results", "", "it should have at least 1 character"),
        ("n_files_max_per_sample", 0, "0 files are none; give 1 or more, or -1 for all"),
        ("physics.luminosity_per_pb", {}, "it is empty"),
    ):
        with pytest.raises(ConfigurationError, match=reason) as caught:
            config.load(config.read([own_file(tmp_path, key, value)], root=ROOT))
        assert caught.value.remedy == f"correct `{key}`"


@pytest.mark.parametrize("name", ["facility", "matrix"])
def test_another_kind_of_file_is_told_in_one_sentence(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.load(config.read([ROOT / "config" / f"{name}.yaml"], root=ROOT))
    taken = f"`--config {name}=FILE`"
    told = f"this is a {name} file, which {taken} takes, and not a run configuration"
    assert caught.value.problem == told
    assert caught.value.place == f"config/{name}.yaml"
    assert caught.value.remedy.startswith(f"give it to {taken}, or name a copy of config/")


def test_a_file_of_no_kind_is_told_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("\n".join(f"key_{number}: 1" for number in range(6)))
    with pytest.raises(ConfigurationError) as caught:
        config.load(config.read([file], root=ROOT))
    keys = ", ".join(f"`key_{number}`" for number in range(4))
    assert caught.value.problem == (
        f"this is not a run configuration, which has no {keys} and 2 more"
    )
    assert caught.value.place == str(file)


def test_kinds_of_files_are_told_by_keys_of_their_own() -> None:
    models = {
        layers.RUN: config.Configuration,
        layers.MATRIX: MatrixSettings,
        layers.FACILITY: FacilitySettings,
    }
    for kind, model in models.items():
        assert kind.keys <= model.model_fields.keys()
        assert (ROOT / kind.example).is_file()
        others = (other.model_fields for other in models.values() if other is not model)
        assert kind.keys.isdisjoint(key for fields in others for key in fields)


def test_a_wrong_number_is_told_no_other_type(tmp_path: Path) -> None:
    # Of keys that take a number, or a mapping of them.
    for number, value in enumerate((-5, 1e30, {"2016": -5})):
        (tmp_path / str(number)).mkdir()
        file = own_file(tmp_path / str(number), "physics.luminosity_per_pb", value)
        with pytest.raises(ConfigurationError) as caught:
            config.load(config.read([file], root=ROOT))
        assert "keys with values" not in caught.value.problem
        assert "valid number" not in caught.value.problem
        assert re.search("luminosity_per_pb(.2016)?` cannot be (-5|1e.30): ", caught.value.problem)


# Values of parameters and of axes, keywords, and what is xgboost's: any finite number may be meant.
UNBOUNDED = {
    "edges",
    "start",
    "bounds",
    "keywords",
    "hyperparameters",
    "configuration",
    "options",
}


def numbers(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Metadata of each number that an annotation allows, and of those of models in it."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        # Of numbers inside of others, pydantic keeps the bounds of a `Field` in there.
        more = [bound for item in more for bound in getattr(item, "metadata", None) or [item]]
        yield from numbers(inner, (*metadata, *more))
    elif annotation in (int, float):
        yield metadata
    elif isinstance(annotation, type) and issubclass(annotation, Settings):
        yield from ()
    else:
        for part in get_args(annotation):
            yield from numbers(part, metadata)


def models(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from models(part)


def unbounded(model: type[Settings], place: str = "") -> Iterator[str]:
    """Keys with numbers that may be as small or as large as one likes."""
    for name, field in model.model_fields.items():
        for metadata in numbers(field.annotation, tuple(field.metadata)):
            low = any(hasattr(item, "ge") or hasattr(item, "gt") for item in metadata)
            high = any(
                isinstance(item, AtMost) or hasattr(item, "le") or hasattr(item, "lt")
                for item in metadata
            )
            if not (low and high) and name not in UNBOUNDED:
                yield f"{place}{name}"
        for inner in models(field.annotation):
            yield from unbounded(inner, f"{place}{name}.")


def test_every_number_has_bounds() -> None:
    for name in ("cms-open-data", "atlas-hzz-simulated"):
        # -1 is all, and a validator has the rest.
        keys = set(unbounded(type(config.load(read_config(name)))))
        assert keys == {"n_files_max_per_sample"}
    assert not set(unbounded(MatrixSettings))
    assert not set(unbounded(StarterPhysics))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("simulation.scale", 1e9, "1e+09 of them take some 5,787,037 days of a core"),
        ("fit.toys.count", 1e11, "1e+11 of them take some 17,361 days of a core"),
        ("fit.scan.points", 10**9, "1e+09 of them take some 1,157 days of a core"),
        ("physics.selection.jet.btag_min", 7, "must be below 1: btagCSVV2 is at most 1"),
        ("physics.selection.jet.btag_min", 1, "no jet would be tagged"),
        ("physics.selection.electron.pt_min", 1e5, "no particle has as much"),
        ("delivery.network.file_timeout", 1e300, "no job waits longer than a week"),
        ("delivery.network.attempts", 10**6, "must be at most 1000"),
        ("histograms.workers", 10**6, "one scheduler does not serve more"),
        ("histograms.chunk_size", 10**15, "do not fit into memory"),
        ("resources.deliver.mem_mb", 10**12, "no batch system gives as much"),
        ("fit.toys.count", float("nan"), "finite number"),
        ("simulation.scale", float("inf"), "finite number"),
    ],
)
def test_what_a_job_cannot_do_is_refused_with_its_cost(
    tmp_path: Path, key: str, value: Any, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.load(config.read([own_file(tmp_path, key, value)], root=ROOT))
    assert caught.value.problem.startswith(f"`{key}` cannot be ")
    assert problem in caught.value.problem


def test_every_error_names_the_file_or_command_that_the_value_came_from(tmp_path: Path) -> None:
    file, other = tmp_path / "own.yaml", tmp_path / "other.yaml"
    file.write_text("delivery:\n  chunk_size: -1\nfit:\n  toys: {count: many}\n")
    other.write_text("delivery: {chunk_size: 0}")
    overrides = {"files_per_job": 0}
    with pytest.raises(ConfigurationError) as caught:
        agc_pipeline.load_config([file, other], overrides, root=ROOT)
    assert set(caught.value.place.split("; ")) == {
        f"{file}, line 4",
        f"{other}, line 1",
        "--config",
    }
    # What is found when files are listed and jobs are planned.
    file.write_text("input:\n  kind: published\n\nn_files_max_per_sample: 3\n")
    with pytest.raises(ConfigurationError, match="no published histograms") as caught:
        planned(config.read([file], root=ROOT))
    assert caught.value.place == f"`n_files_max_per_sample` in {file}, line 4"
    # Only what a rule writes is written by running it.
    fileset = {"input": {"kind": "fileset", "path": "nowhere.json"}}
    with pytest.raises(InputError) as missing:
        planned(config.read(overrides=fileset, root=ROOT))
    assert missing.value.remedy == "correct `input.path`"
    files = {"kind": "files", "mirrors": {"a": "x"}, "mirror_order": ["b"]}
    files |= {"datasets": {"ttbar__nominal": {"files": {"a.root": 1}}}}
    with pytest.raises(ConfigurationError, match="unknown mirror") as caught:
        planned(config.read(overrides={"input": files}, root=ROOT))
    assert caught.value.place == "`input.mirror_order` in --config"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"results": "a" * 300}, "File name too long"),
        ({"input": {"kind": "workspace", "path": "a" * 300}}, "File name too long"),
        ({"analysis": f"./{'a' * 300}"}, "unknown analysis"),
        ({"analysis": "~nobody-of-this-name/mine"}, "unknown analysis"),
    ],
)
def test_paths_that_cannot_be_looked_at(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        planned(config.read(overrides=values, root=ROOT))


def refused_results(results: Path | str) -> str:
    with pytest.raises(ConfigurationError, match="written among other files") as caught:
        planned(config.read(overrides={"results": str(results)}, root=ROOT), projects=[ROOT])
    assert caught.value.place == "`results` in --config"
    assert "results/NAME" in caught.value.remedy
    return caught.value.problem


def test_results_are_not_written_among_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # All that the project comes with: a folder that is new there is to be added.
    (tmp_path / "copy").symlink_to(ROOT)
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    for path in ROOT.iterdir():
        if path.is_dir() and not any(fnmatch(path.name, pattern) for pattern in ignored):
            assert refused_results(ROOT / path.name / "new").endswith("a folder of sources")
    assert refused_results("copy/docs").endswith("copy/docs is a folder of sources")
    assert refused_results(ROOT / "src/agc_pipeline/analyses/cms_ttbar").endswith("of sources")
    assert refused_results("copy").endswith("copy is the folder of the project")
    # Where the project is among temporary files, it contains the working folder, too.
    assert " contains the " in refused_results(ROOT.parent)
    assert refused_results(".").endswith(". is the working folder")
    monkeypatch.setenv("HOME", str(tmp_path / "users/me"))
    assert refused_results("users").endswith(f"contains your home folder, {tmp_path}/users/me")
    # New folders, also below the project, and one that is there.
    (tmp_path / "old").mkdir()
    for results in ("old", "users/me/new", ROOT / "results/new", ROOT / "new"):
        planned(config.read(overrides={"results": str(results)}, root=ROOT), projects=[ROOT])


def test_results_are_not_written_into_analyses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    new.write("mine", tmp_path)
    results = {"results": "mine/results"}
    # That of the run wherever it is, others in the project.
    for files, projects in ((["mine/run.yaml"], [ROOT]), ([], [tmp_path])):
        values = config.read([*map(Path, files)], results, root=ROOT)
        with pytest.raises(ConfigurationError, match=r"lies in .*mine, a folder of sources"):
            planned(values, projects=projects)


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("a: 1\nb: 2\na: 3", "`a` is defined twice", ", line 3"),
        ("fit:\n  toys: {count: 1, seed: 2, count: 3}", "`count` is defined twice", ", line 2"),
        ("a: [1\nb: 2", "expected ',' or ']'", ", line 2"),
        ("- 1", "not a mapping", ""),
        ("[" * 20_000, "nested too deeply", ""),
        ('input:\n  kind: fileset\n  path: "a\\0b"', "the character zero", ", line 3"),
        ('a: "\\ud800"', "half of a character", ", line 1"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "could not determine a constructor",
            ", line 1",
        ),
    ],
)
def test_files_that_are_no_configuration(
    tmp_path: Path, text: str, problem: str, line: str
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        config.read([file], root=ROOT)
    assert problem in caught.value.problem
    assert caught.value.place == f"{file}{line}"


@pytest.mark.parametrize(
    ("number", "base"), [("040", 8), ("-0_12", 8), ("1:30", 60), ("1:30:00", 60), ("1:30.5", 60)]
)
def test_numbers_that_are_read_as_others_are_refused(
    tmp_path: Path, number: str, base: int
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"files_per_job: 2\nphysics:\n  luminosity_per_pb: {number}\n")
    with pytest.raises(ConfigurationError) as caught:
        config.read([file], root=ROOT)
    assert f"takes {number} for a number of base {base}" in caught.value.problem
    assert caught.value.place == f"{file}, line 3"


@pytest.mark.parametrize(
    ("text", "value"), [("07", 7), ("0", 0), ("-0.50", -0.5), ("0x1f", 31), ("'1:30'", "1:30")]
)
def test_numbers_that_are_what_they_look_like(tmp_path: Path, text: str, value: Any) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"files_per_job: {text}\n")
    assert config.read([file], root=ROOT)["files_per_job"] == value


def test_what_may_hold_a_password_is_shown_nowhere() -> None:
    secret = "hunter2-0123456789"  # noqa: S105 - of nobody
    prologue = f"export TOKEN={secret}"
    for dask in (
        {"cluster": "slurm", "prologue": [prologue], "extra": [secret]},
        {"cluster": "gateway", "options": {"token": {"inner": secret}}},
    ):
        loaded = agc_pipeline.load_config((), {"histograms": {"dask": dask}}, root=ROOT)
        assert secret not in json.dumps(loaded.shown())
        assert "(not shown)" in json.dumps(loaded.shown())
        # Jobs have it.
        assert secret in loaded.histograms.model_dump_json()
    for dask in (
        {"cluster": "slurm", "prologue": prologue},
        {"cluster": "slurm", "prologue": [[prologue]]},
        {"cluster": "slrum", "prologue": [prologue]},
        {"cluster": "gateway", "options": secret},
        {"cluster": "gateway", "opitons": {"token": secret}},
    ):
        with pytest.raises(ConfigurationError) as caught:
            agc_pipeline.load_config((), {"histograms": {"dask": dask}}, root=ROOT)
        assert secret not in str(caught.value)


def test_all_mistakes_are_told_at_once(config_values: dict[str, Any]) -> None:
    config_values["foo"] = 1
    config_values["delivery"]["chunk_size"] = -5
    del config_values["results"]
    with pytest.raises(ConfigurationError) as caught:
        config.load(config_values)
    for part in ("`foo`", "`delivery.chunk_size`", "`results` is missing"):
        assert part in str(caught.value)


def test_a_process_without_cross_section_is_refused(config_values: dict[str, Any]) -> None:
    del config_values["physics"]["cross_sections_pb"]["wjets"]
    with pytest.raises(ConfigurationError, match="no cross section for wjets"):
        config.load(config_values)


def test_the_front_door_reads_what_a_run_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("files_per_job: 3\nphysics: {luminosity_per_pb: 5}")
    overrides = {"allow_partial": True, "simulation": {"scale": 2}}
    monkeypatch.chdir(ROOT / "docs")
    loaded = agc_pipeline.load_config([path], overrides)
    assert (loaded.files_per_job, loaded.allow_partial) == (3, True)
    assert (loaded.physics.luminosity(None), loaded.simulation.seed) == (5, 20150613)
    monkeypatch.chdir(tmp_path)
    assert agc_pipeline.load_config([path], overrides, root=ROOT) == loaded
    assert agc_pipeline.load_config(str(path), overrides, root=ROOT) == loaded
    with pytest.raises(ConfigurationError, match=r"no file config/default\.yaml"):
        agc_pipeline.load_config(root=tmp_path)
    with pytest.raises(ConfigurationError, match="No such file"):
        agc_pipeline.load_config(["none.yaml"], root=ROOT)


def test_importing_the_package_imports_nothing_heavy() -> None:
    command = "import sys, agc_pipeline; print(sorted(set(sys.modules) & set(sys.argv[1:])))"
    heavy = ["numpy", "pydantic", "yaml", "agc_pipeline.config", "snakemake"]
    done = subprocess.run(
        [sys.executable, "-c", command, *heavy], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


def test_layers_are_merged_as_snakemake_merges_them() -> None:
    layers: list[dict[str, Any]] = [
        {"a": {"b": 1, "c": [1]}, "d": 2, "e": {"f": 1}},
        {"a": {"c": [2], "g": {"h": 1}}, "d": {"i": 3}},
        {"e": 4, "a": {"g": {"k": None}}},
    ]
    expected: dict[str, Any] = {}
    result = merged(*layers)
    for layer in layers:
        update_config(expected, layer)
    assert result == expected


def test_another_kind_of_input_replaces_the_default(tmp_path: Path) -> None:
    values = read_config("cms-open-data")
    source = {"kind": "fileset", "path": "mine.json"}
    assert merged(values, {"input": source})["input"] == source
    assert merged(values, {"input": {"kind": "files", "xcache": "x"}})["input"]["mirrors"]


@pytest.mark.parametrize("value", [None, 3, ""])
def test_an_analysis_is_named(config_values: dict[str, Any], value: Any) -> None:
    config_values["analysis"] = value
    with pytest.raises(ConfigurationError, match="`analysis` cannot be"):
        config.load(config_values)


def test_nothing_outside_of_its_folders_names_an_analysis() -> None:
    folders = [ROOT / "src" / "agc_pipeline", ROOT / "workflow"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files += [ROOT / "workflow/Snakefile", *(ROOT / "config").glob("*.yaml")]
    own = ROOT / "src" / "agc_pipeline" / "analyses"
    texts = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.suffix in (".py", ".smk", ".yaml", "") and not path.is_relative_to(own)
        if "cms_ttbar" in path.read_text(encoding="utf-8")
    }
    # The choice of a default, and of what the matrix runs.
    assert texts == {"config/default.yaml", "config/matrix.yaml"}
