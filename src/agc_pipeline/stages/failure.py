"""What is said of a job that failed: where its log is, and which signal ended it, if one did.

python -m agc_pipeline.stages.failure STATUS LOG RECORD
"""

import signal
import sys
from pathlib import Path

# Of what a run has for itself in the folder of the results.
FOLDER = ".settings"
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
    """Tell of a failed job, add it to the record of its run, and end with its status."""
    number, log, record = sys.argv[1:]
    status, end = int(number), "failed"
    if status > _SIGNALLED:
        name = _name(status - _SIGNALLED)
        end = f"was killed by {name}"
        remedy = _REMEDIES.get(name, _REMEDY)
        _append(Path(log), f"error: the job {end}\n  where: {log}\n  remedy: {remedy}")
    results = Path(record).parents[1]
    job = " ".join(Path(log).relative_to(results / "logs").with_suffix("").parts)
    _append(Path(record), f"{job} {end}, see {log}", tell=False)
    # Where the job did well, its log could not be written.
    sys.exit(status or 1)


def record_of(results: str) -> str:
    """Path of the record of a run, which is no result."""
    return f"{results}/{FOLDER}/failed"


def read(record: Path) -> str:
    """What to say at the end of a run of the jobs that failed; empty if there is no record."""
    if not record.exists():
        return ""
    lines = dict.fromkeys(record.read_text(encoding="utf-8", errors="replace").splitlines())
    return "\n".join(("Failures of jobs:", *(f"  {line}" for line in lines)))


def _append(path: Path, text: str, *, tell: bool = True) -> None:
    if tell:
        print(text)
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        # The disk may be what the job failed of.
        print(f"error: {error.strerror}\n  where: {path}\n  remedy: free some space", flush=True)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


if __name__ == "__main__":
    main()
