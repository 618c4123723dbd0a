"""Settings of jobs in files that only their owner can read.

Arguments of processes are seen by every user of a machine, and stand in Snakemake's log and
metadata. There only the path of a file stands, whose name is the digest of its content: changed
settings are another parameter, and a job never reads those of a changed configuration.
"""

import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from agc_pipeline.errors import ConfigurationError
from agc_pipeline.files import write_text
from agc_pipeline.settings import Settings

# Of what a run has for itself in the folder of the results.
FOLDER = ".settings"


class SettingsFiles:
    """Files of settings, each in the folder of its job.

    Args:
        results: folder of the results.
        writes: whether files are written now: a dry run writes none, nor does a job, which reads
            those of the process that started it.
    """

    def __init__(self, results: Path, writes: Callable[[], bool]) -> None:
        # Jobs on other machines see it, too.
        self._folder = results / FOLDER
        self._writes = writes
        self._used: set[Path] = set()
        self._lock: IO[str] | None = None

    def path(self, job: str, settings: Settings) -> str:
        """Path of the file with these settings, written if it is not there.

        Args:
            job: relative path of the folder, different for each job.
            settings: as the job reads them.
        """
        text = settings.model_dump_json()
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        path = self._folder / job / f"{digest}.json"
        if self._writes():
            self._used.add(path)
            if not _is(path, text):
                self._create_folder()
                write_text(path, text, private=True)
        return str(path)

    def start(self) -> None:
        """Have the results for this run, and remove settings of earlier ones.

        Snakemake's own lock is that of a working folder.

        Raises:
            ConfigurationError: if another process runs with the same results.
        """
        self._create_folder()
        lock = (self._folder / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ConfigurationError(
                "another run writes to this folder",
                place=str(self._folder.parent),
                remedy="wait for it, end it, or choose another folder with `results:`",
            ) from None
        except OSError:
            # Not every file system of a cluster has locks.
            lock.close()
        else:
            self._lock = lock
        # Neither old settings nor old tokens pile up.
        for path in self._folder.rglob("*.json"):
            if path not in self._used:
                path.unlink(missing_ok=True)

    def _create_folder(self) -> None:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)


def read(path: Path) -> str:
    """Settings of a job, as JSON.

    Raises:
        ConfigurationError: if the file is not there.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        raise ConfigurationError(
            "the settings of this job are missing: the configuration was changed during the run, "
            "or the file was deleted",
            place=str(path),
            remedy="run again: finished jobs are kept",
        ) from None


def _is(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (FileNotFoundError, UnicodeDecodeError):
        return False
