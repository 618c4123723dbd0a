"""The configuration: what is accepted, and how errors are told."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from snakemake.utils import update_config

import agc_pipeline
from agc_pipeline import config
from agc_pipeline.errors import ConfigurationError
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


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        values = values[part]
    values[last] = value


@pytest.mark.parametrize(
    ("key", "value", "problem", "remedy"),
    [
        ("n_files_max_per_smaple", 5, "unknown configuration key", "n_files_max_per_sample"),
        ("physics.selection.jet.pt_mni", 30, "physics.selection.jet.pt_mni", "pt_min"),
        ("delivery.bakend", "local", "delivery.bakend", "backend"),
        ("physics.cross_sections_nb", {"ttbar": 0.7}, "cross_sections_nb", "cross_sections_pb"),
        ("physics.cross_sections_pb.ttbar", "729.84 fb", "'729.84 fb'", "cross_sections_pb.ttbar"),
        ("physics.cross_sections_pb.ttbar", -1, "cannot be -1", "cross_sections_pb.ttbar"),
        ("physics.cross_sections_pb.ttbar", 0, "cannot be 0", "cross_sections_pb.ttbar"),
        ("physics.luminosity_per_pb", 0, "cannot be 0", "luminosity_per_pb"),
        ("delivery.backend", "servixe", "'local', 'servicex' or 'none'", "delivery.backend"),
        ("histograms.executor", "spark", "'dask'", "histograms.executor"),
        ("files_per_job", 0, "cannot be 0", "files_per_job"),
        ("n_files_max_per_sample", 0, "0 files", "n_files_max_per_sample"),
        ("simulation.scale", 0, "cannot be 0", "simulation.scale"),
        ("input.kind", "files", "input.files", "input"),
        ("analysis", "atlas_hzz", "'cms_ttbar'", "analysis"),
    ],
)
def test_a_wrong_value_gives_one_error_with_its_name_and_a_remedy(
    config_values: dict[str, Any], key: str, value: Any, problem: str, remedy: str
) -> None:
    _set(config_values, key, value)
    with pytest.raises(ConfigurationError) as caught:
        config.load(config_values)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert caught.value.place == "configuration files and --config"


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
    with pytest.raises(ConfigurationError, match=r"no file config/default\.yaml"):
        agc_pipeline.load_config(root=tmp_path)
    with pytest.raises(ConfigurationError, match="FileNotFoundError"):
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
    result = config.merged(*layers)
    for layer in layers:
        update_config(expected, layer)
    assert result == expected


def test_another_kind_of_input_replaces_the_default(tmp_path: Path) -> None:
    values = read_config("cms-open-data")
    source = {"kind": "fileset", "path": "mine.json"}
    assert config.merged(values, {"input": source})["input"] == source
    assert config.merged(values, {"input": {"kind": "files", "xcache": "x"}})["input"]["mirrors"]


@pytest.mark.parametrize("value", [None, 3, ""])
def test_an_analysis_is_named(config_values: dict[str, Any], value: Any) -> None:
    config_values["analysis"] = value
    with pytest.raises(ConfigurationError, match="`analysis` cannot be"):
        config.load(config_values)


def test_nothing_outside_of_its_folders_names_an_analysis() -> None:
    folders = [ROOT / "src" / "agc_pipeline", ROOT / "workflow"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files += [ROOT / "Snakefile", *(ROOT / "config").glob("*.yaml")]
    own = ROOT / "src" / "agc_pipeline" / "analyses"
    texts = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.suffix in (".py", ".smk", ".yaml", "") and not path.is_relative_to(own)
        if "cms_ttbar" in path.read_text(encoding="utf-8")
    }
    # The choice of a default.
    assert texts == {"config/default.yaml"}
