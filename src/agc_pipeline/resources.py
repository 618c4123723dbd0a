"""The ``resources:`` part of the configuration: what the jobs of each rule ask a batch system for.

None of it changes a result.
"""

from pydantic import NonNegativeInt, PositiveInt

from agc_pipeline.settings import Settings


class Need(Settings):
    """What a job asks for at its first attempt; at its n-th it asks for n times as much.

    Attributes:
        mem_mb: memory, with what Snakemake takes that runs the job on its node; MB.
        disk_mb: what the job writes; MB.
        minutes: run time.
        minutes_per_file: run time for each input file of the job, on top.
    """

    mem_mb: PositiveInt
    disk_mb: PositiveInt
    minutes: PositiveInt
    minutes_per_file: NonNegativeInt = 0

    def at(self, attempt: int, *, files: int = 1) -> dict[str, int]:
        """What to ask for at an attempt, under the names that the batch systems' plugins know.

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
            # HTCondor's plugin does not look at the three above.
            "htcondor_request_mem_mb": mem_mb,
            "htcondor_request_disk_mb": disk_mb,
            "allowed_execute_duration": 60 * minutes,
            # What CERN's pool reads, where jobs end after 20 minutes otherwise.
            "classad_MaxRuntime": 60 * minutes,
        }


class ResourceSettings(Settings):
    """Needs of the rules' jobs.

    Attributes:
        default: of the rules that are not named.
    """

    simulate: Need
    deliver: Need
    histogram: Need
    train: Need
    report: Need
    default: Need

    def of(self, rule: str) -> Need:
        """The need of a rule's jobs."""
        named: dict[str, Need] = dict(self)
        return named.get(rule, self.default)
