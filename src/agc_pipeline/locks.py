"""Lock files in `requirements/`: exact versions and hashes of packages."""

from pathlib import Path

_FOLDER = Path("requirements")
RUN = _FOLDER / "run.txt"
DEVELOPMENT = _FOLDER / "development.txt"


def pins(text: str) -> list[str]:
    """Requirements of a lock file, a line each, without the hashes."""
    lines = text.replace("\\\n", " ").splitlines()
    requirements = (line.split(" --hash=")[0].strip() for line in lines)
    return [line for line in requirements if line and not line.startswith("#")]
