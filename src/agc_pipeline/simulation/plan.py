"""How many events of each dataset are simulated, and in which pieces."""

from typing import NamedTuple

from agc_pipeline.errors import ConfigurationError


class Plan(NamedTuple):
    """Amount of one dataset.

    Attributes:
        parts: files at scale 1.
        chunks_per_part: chunks in a file. A chunk has a seed of its own: it is what stays the
            same however the work is divided.
        showers: events that pass the filter before the shower, in each chunk.
    """

    parts: int
    chunks_per_part: int
    showers: int


# A chunk takes 3 to 5 s and a file 8 to 25 s of one core, all of it six and a half minutes, shared
# out with a view to the fit: to the templates whose precision it feels.
_PLANS = {
    "ttbar__nominal": Plan(parts=4, chunks_per_part=8, showers=4000),
    "ttbar__ME_var": Plan(parts=2, chunks_per_part=5, showers=4000),
    "ttbar__PS_var": Plan(parts=2, chunks_per_part=5, showers=4000),
    "ttbar__scaleup": Plan(parts=2, chunks_per_part=5, showers=4000),
    "ttbar__scaledown": Plan(parts=2, chunks_per_part=5, showers=4000),
    "single_top_s_chan__nominal": Plan(parts=1, chunks_per_part=3, showers=5000),
    "single_top_t_chan__nominal": Plan(parts=1, chunks_per_part=4, showers=4000),
    "single_top_tW__nominal": Plan(parts=1, chunks_per_part=3, showers=3000),
    "wjets__nominal": Plan(parts=3, chunks_per_part=5, showers=2000),
}

DATASETS = tuple(_PLANS)

# Event numbers of a chunk start at its number times this.
MAX_SHOWERS = 1_000_000


def plan(dataset: str) -> Plan:
    """The plan of a dataset.

    Raises:
        ConfigurationError: for a dataset that the simulation does not know.
    """
    if dataset not in _PLANS:
        raise ConfigurationError(
            f"the simulation does not know the dataset {dataset!r}",
            place="simulation",
            remedy=f"it makes {', '.join(_PLANS)}",
        )
    return _PLANS[dataset]
