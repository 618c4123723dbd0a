"""The probes that a configuration requires."""

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agc_pipeline import extras
from agc_pipeline.delivery.servicex import configuration as servicex_configuration
from agc_pipeline.doctor import machine, services, tools
from agc_pipeline.doctor.findings import Finding, Probe, State, run_probes
from agc_pipeline.errors import ConfigurationError
from agc_pipeline.inputs import FileList
from agc_pipeline.learning.settings import TritonSettings
from agc_pipeline.readers.addresses import is_remote
from agc_pipeline.settings import explain

_SERVICEX_REMEDY = (
    "download servicex.yaml from the web page of your ServiceX into this folder or your home folder"
)


def examine(
    configuration: Mapping[str, Any], *, learned: str | None, include_unused: bool, timeout: float
) -> list[Finding]:
    """Probe a machine.

    Args:
        configuration: of a run; keys may be missing.
        learned: key that says what scores the models of the analysis; None if it has none.
        include_unused: also probe services that the configuration does not use.
        timeout: seconds for all probes together.
    """
    probes = [
        Probe("cores", machine.cores, ""),
        Probe("memory", machine.memory, ""),
        Probe("disk", partial(machine.disk, Path(configuration.get("results", "results"))), ""),
        Probe("packages", machine.packages, "check whether the disk responds"),
    ]
    # Each has less time than all together, so that its own message arrives.
    share = 0.8 * timeout
    probes += _servicex(configuration, share, include_unused=include_unused)
    probes += _dask(configuration, share, include_unused=include_unused)
    probes += _mirrors(configuration, share)
    probes += _triton(configuration, learned, share, include_unused=include_unused)
    if include_unused:
        probes += _tools(share)
    return run_probes(probes, timeout=timeout)


def _tools(timeout: float) -> Iterator[Probe]:
    for system in tools.BATCH_SYSTEMS.values():
        yield Probe(system[0], partial(tools.batch, *system, timeout=timeout), "see its log")
    yield Probe("uv", partial(tools.uv, timeout=timeout), extras.remedy("matrix"))


def _servicex(
    configuration: Mapping[str, Any], timeout: float, *, include_unused: bool
) -> Iterator[Probe]:
    delivery = configuration.get("delivery", {})
    used = any(
        settings.get("backend") == "servicex"
        for settings in (delivery, *delivery.get("datasets", {}).values())
    )
    if not used and not include_unused:
        return
    try:
        endpoints = servicex_configuration.endpoints()
    except ConfigurationError as error:
        unusable = Finding("ServiceX", "failed", f"{error.place}: {error.problem}", error.remedy)
        yield Probe("ServiceX", lambda: unusable, "")
        return
    if not endpoints:
        # Missing is a failure only where a run needs it.
        state: State = "failed" if used else "missing"
        missing = Finding("ServiceX", state, "no servicex.yaml", _SERVICEX_REMEDY)
        yield Probe("ServiceX", lambda: missing, "")
        return
    for endpoint in endpoints:
        probe = partial(services.servicex, endpoint.name, endpoint.url, timeout=timeout)
        yield Probe(
            f"ServiceX {endpoint.name}", probe, "check that the server and the network are up"
        )


def _dask(
    configuration: Mapping[str, Any], timeout: float, *, include_unused: bool
) -> Iterator[Probe]:
    histograms = configuration.get("histograms", {})
    configured = histograms.get("dask", {}).get("address")
    address = configured if histograms.get("executor") == "dask" else None
    if address is None and include_unused:
        address = configured or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if address is not None:
        probe = partial(services.dask, address, timeout=timeout)
        yield Probe("Dask", probe, "check that the scheduler or gateway and the network are up")
    elif include_unused:
        unused = Finding(
            "Dask", "unused", "no `histograms.dask.address`: clusters are started when needed"
        )
        yield Probe("Dask", lambda: unused, "")


def _mirrors(configuration: Mapping[str, Any], timeout: float) -> Iterator[Probe]:
    """Servers of the mirrors, with an XCache in front of them if there is one."""
    source = configuration.get("input", {})
    if source.get("kind") != "files":
        return
    cache = source.get("xcache") or ""
    for name in source["mirror_order"]:
        prefix = source["mirrors"][name]
        url = cache + prefix if is_remote(prefix) else prefix
        if url.startswith(("root://", "roots://", "xroot://")):
            yield Probe(
                f"mirror {name}",
                partial(services.xrootd, url, timeout=timeout),
                "try another mirror first (`input.mirror_order`)",
            )
        elif url.startswith(("http://", "https://")):
            file = f"{prefix.rstrip('/')}/{_first_file(source['datasets'])}"
            yield Probe(
                f"mirror {name}",
                partial(services.web, file, timeout=timeout),
                "try another mirror first (`input.mirror_order`)",
            )


def _first_file(datasets: Mapping[str, Any]) -> str:
    """Path of one file below a mirror's prefix."""
    return FileList.model_validate(next(iter(datasets.values()))).entries()[0][0]


def _triton(
    configuration: Mapping[str, Any], learned: str | None, timeout: float, *, include_unused: bool
) -> Iterator[Probe]:
    """The inference server that scores, or one that the environment names."""
    if learned is None:
        return
    values = configuration.get("learning", {}).get("triton", {})
    used = configuration.get(learned) == "triton"
    url = os.environ.get("TRITON_URL") if include_unused and values else None
    if not used and url is None:
        if include_unused:
            unused = Finding("Triton", "unused", f"only for `{learned}: triton`")
            yield Probe("Triton", lambda: unused, "")
        return
    try:
        settings = TritonSettings.model_validate(values if used else {**values, "url": url})
    except ValidationError as error:
        explained = explain(error, TritonSettings, place="learning.triton")
        unusable = Finding(
            "Triton", "failed", f"{explained.place}: {explained.problem}", explained.remedy
        )
        yield Probe("Triton", lambda: unusable, "")
        return
    probe = partial(services.triton, settings, timeout=timeout, models=used)
    yield Probe("Triton", probe, "check that the server and the network are up")
