"""What the log of a job says last if a signal ended it.

python -m agc_pipeline.stages.failure STATUS LOG
"""

import signal
import sys

# Added by a shell to the number of the signal that ended a process.
_SIGNALLED = 128
_REMEDIES = {
    "SIGKILL": "systems kill jobs that take too much memory or time: ask for more in `resources`, "
    "or make `histograms.chunk_size` and `delivery.chunk_size` smaller",
    "SIGXCPU": "ask for more time in `resources`",
    "SIGXFSZ": "raise the limit on the size of files (`ulimit -f`)",
    "SIGBUS": "check that the disk is not full, and its health",
}
_REMEDY = "run again: finished jobs are kept"


def main() -> None:
    """Tell of a failed job on standard output, which is its log, and end with its status."""
    status, log = int(sys.argv[1]), sys.argv[2]
    if status > _SIGNALLED:
        name = _name(status - _SIGNALLED)
        remedy = _REMEDIES.get(name, _REMEDY)
        print(f"error: the job was killed by {name}\n  where: {log}\n  remedy: {remedy}")
    sys.exit(status)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


if __name__ == "__main__":
    main()
