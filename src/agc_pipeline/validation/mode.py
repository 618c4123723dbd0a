"""Which published histograms a run is compared with, and how."""

from agc_pipeline.columnar.closure import Closure
from agc_pipeline.declaration import Analysis
from agc_pipeline.validation import published
from agc_pipeline.validation.results import Mode


def find_mode(analysis: Analysis, closure: Closure) -> Mode:
    """Find out whether the run has the input of some published histograms.

    It has, if every dataset processed as many events as were generated, and these numbers are
    those of the same number of files of the published list.

    Args:
        analysis: the declaration.
        closure: accounts of the run.
    """
    datasets = closure.datasets
    whole = all(entry.events_processed == entry.n_generated for entry in datasets.values())
    for n_files in published.available(analysis):
        listed = published.read(analysis, n_files).n_generated
        same = all(entry.n_generated == listed[name] for name, entry in datasets.items())
        if whole and same:
            taken = {-1: "all files", 1: "the first file"}.get(
                n_files, f"the first {n_files} files"
            )
            return Mode(
                same_events=True,
                n_files=n_files,
                description=f"The input is {taken} of each dataset, the same events as in the "
                "published histograms: every bin is compared entry by entry. Only histograms that "
                "were published with random numbers of their own are compared statistically.",
            )
    words = (
        "The input is not that of any published histograms: shapes and selected fractions are "
        "compared with the published histograms of all files, within tolerances."
    )
    if not whole:
        words += (
            " The number of generated events is not the number of events processed, as in "
            "simulated input, where it is calibrated to the published yields: there, the yield of "
            "each dataset agrees by construction and shows nothing; shapes, the division between "
            "the regions and the effect of variations do."
        )
    return Mode(same_events=False, n_files=-1, description=words)
