"""The ``resources:`` part of the configuration: requests of the jobs to a batch system.

None of it changes a result.
"""

from typing import Annotated

from pydantic import NonNegativeInt, PositiveInt

from agc_pipeline.settings import AtMost, Settings

_UNAVAILABLE = "no batch system gives as much, and the job would wait for ever"


class ResourceRequest(Settings):
    """Resources that a job requests at its first attempt; at its n-th, n times as much.

    Attributes:
        mem_mb: memory, including that of Snakemake, which runs the job on its node; MB.
        disk_mb: size of the files that the job writes; MB.
        minutes: run time.
        minutes_per_file: additional run time for each input file of the job.
    """

    mem_mb: Annotated[PositiveInt, AtMost(1e8, _UNAVAILABLE)]
    disk_mb: Annotated[PositiveInt, AtMost(1e10, _UNAVAILABLE)]
    minutes: Annotated[PositiveInt, AtMost(1e6, _UNAVAILABLE)]
    minutes_per_file: Annotated[NonNegativeInt, AtMost(1e5, _UNAVAILABLE)] = 0

    def at(self, attempt: int, *, files: int = 1) -> dict[str, int]:
        """The request at an attempt, with the names of the batch systems' plugins.

        Args:
            attempt: counted from 1.
            files: input files of the job.
        """
        mem_mb, disk_mb = attempt * self.mem_mb, attempt * self.disk_mb
        minutes = attempt * (self.minutes + files * self.minutes_per_file)
        return {
            "mem_mb": mem_mb,
            "disk_mb": disk_mb,
            "runtime": minutes,
            # HTCondor's plugin ignores the three above.
            "htcondor_request_mem_mb": mem_mb,
            "htcondor_request_disk_mb": disk_mb,
            "allowed_execute_duration": 60 * minutes,
            # For CERN's pool, which otherwise ends jobs after 20 minutes.
            "classad_MaxRuntime": 60 * minutes,
        }


class ResourceSettings(Settings):
    """Requests of the rules' jobs.

    Attributes:
        default: of all other rules.
    """

    simulate: ResourceRequest
    simulate_parts: ResourceRequest
    deliver: ResourceRequest
    histogram: ResourceRequest
    train: ResourceRequest
    optimise: ResourceRequest
    report: ResourceRequest
    default: ResourceRequest

    def of(self, rule: str) -> ResourceRequest:
        """The request of a rule's jobs."""
        requests: dict[str, ResourceRequest] = dict(self)
        return requests.get(rule, self.default)
