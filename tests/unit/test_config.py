"""The configuration: what is accepted, and how errors are told."""

from typing import Any

import pytest

from agc_pipeline import config
from agc_pipeline.errors import ConfigurationError
from conftest import read_config


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
