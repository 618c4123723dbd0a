"""Which probes a configuration asks for."""

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agc_pipeline.doctor import machine, services, tools
from agc_pipeline.doctor.findings import Finding, Probe, State, ask
from agc_pipeline.inputs import FileList
from agc_pipeline.learning.settings import TritonSettings
from agc_pipeline.settings import explain

_SERVICEX_REMEDY = (
    "get a servicex.yaml from the web page of your ServiceX, and put it into this folder or your "
    "home folder"
)


def examine(configuration: Mapping[str, Any], *, everything: bool, timeout: float) -> list[Finding]:
    """Probe a machine.

    Args:
        configuration: of a run, as far as it is known.
        everything: also what the configuration does not use.
        timeout: seconds for all probes together.
    """
    probes = [
        Probe("cores", machine.cores, ""),
        Probe("memory", machine.memory, ""),
        Probe("disk", partial(machine.disk, Path(configuration.get("results", "results"))), ""),
        Probe("packages", machine.packages, "see whether the disk answers"),
    ]
    # Each has less time than all together, so that its own words arrive.
    each = 0.8 * timeout
    probes += _servicex(configuration, each, everything=everything)
    probes += _dask(configuration, each, everything=everything)
    probes += _mirrors(configuration, each)
    probes += _triton(configuration, each, everything=everything)
    if everything:
        probes += _tools(each)
    return ask(probes, timeout=timeout)


def _tools(timeout: float) -> Iterator[Probe]:
    htcondor = ("HTCondor", "condor_version", "snakemake_executor_plugin_htcondor")
    slurm = ("Slurm", "sinfo", "snakemake_executor_plugin_slurm")
    for names in (htcondor, slurm):
        yield Probe(names[0], partial(tools.batch, *names, timeout=timeout), "see its log")
    yield Probe("uv", partial(tools.uv, timeout=timeout), "install the extra `matrix`")


def _servicex(
    configuration: Mapping[str, Any], timeout: float, *, everything: bool
) -> Iterator[Probe]:
    delivery = configuration.get("delivery", {})
    used = any(
        chosen.get("backend") == "servicex"
        for chosen in (delivery, *delivery.get("datasets", {}).values())
    )
    if not used and not everything:
        return
    path = services.servicex_file(Path())
    if path is None:
        # What a run needs and cannot have is a failure.
        state: State = "failed" if used else "missing"
        missing = Finding("ServiceX", state, "no servicex.yaml", _SERVICEX_REMEDY)
        yield Probe("ServiceX", lambda: missing, "")
        return
    try:
        endpoints = services.servicex_endpoints(path)
    except (OSError, ValueError) as error:
        bad = Finding("ServiceX", "failed", f"cannot read {path}: {error}", _SERVICEX_REMEDY)
        yield Probe("ServiceX", lambda: bad, "")
        return
    for name, url in endpoints.items():
        question = partial(services.servicex, name, url, timeout=timeout)
        yield Probe(f"ServiceX {name}", question, "see that the server and the network are up")


def _dask(configuration: Mapping[str, Any], timeout: float, *, everything: bool) -> Iterator[Probe]:
    histograms = configuration.get("histograms", {})
    configured = histograms.get("dask", {}).get("address")
    address = configured if histograms.get("executor") == "dask" else None
    if address is None and everything:
        address = configured or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if address is not None:
        question = partial(services.dask, address, timeout=timeout)
        yield Probe("Dask", question, "see that the scheduler and the network are up")
    elif everything:
        nothing = Finding(
            "Dask", "unused", "no `histograms.dask.address`: clusters are started when needed"
        )
        yield Probe("Dask", lambda: nothing, "")


def _mirrors(configuration: Mapping[str, Any], timeout: float) -> Iterator[Probe]:
    """Doors and servers of the mirrors, with an XCache in front of them if there is one."""
    source = configuration.get("input", {})
    if source.get("kind") != "files":
        return
    cache = source.get("xcache") or ""
    for name in source["mirror_order"]:
        prefix = source["mirrors"][name]
        url = cache + prefix if "://" in prefix else prefix
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
    configuration: Mapping[str, Any], timeout: float, *, everything: bool
) -> Iterator[Probe]:
    """The inference server that scores, or one that the environment names."""
    values = configuration.get("learning", {}).get("triton", {})
    used = configuration.get("jet_assignment") == "triton"
    elsewhere = os.environ.get("TRITON_URL") if everything and values else None
    if not used and elsewhere is None:
        if everything:
            nothing = Finding("Triton", "unused", "only for `jet_assignment: triton`")
            yield Probe("Triton", lambda: nothing, "")
        return
    try:
        settings = TritonSettings.model_validate(values if used else {**values, "url": elsewhere})
    except ValidationError as error:
        told = explain(error, TritonSettings, place="learning.triton")
        bad = Finding("Triton", "failed", f"{told.place}: {told.problem}", told.remedy)
        yield Probe("Triton", lambda: bad, "")
        return
    question = partial(services.triton, settings, timeout=timeout, models=used)
    yield Probe("Triton", question, "see that the server and the network are up")
