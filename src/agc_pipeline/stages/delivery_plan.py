"""Tell what would be delivered: how, from where, and how many bytes. Nothing is delivered.

The first file that is missing of each dataset is opened to see how large the needed columns are.
"""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agc_pipeline import analyses
from agc_pipeline.datasets import InputFile
from agc_pipeline.delivery.choice import DeliveryJob
from agc_pipeline.errors import InputError
from agc_pipeline.readers.settings import NetworkSettings, ReadingSettings
from agc_pipeline.secrets import without_secrets
from agc_pipeline.settings import Settings
from agc_pipeline.stages.description import Options, Stage, always, never, uses

if TYPE_CHECKING:
    from agc_pipeline.delivery.preselected import SkimContent
    from agc_pipeline.delivery.store import Store
    from agc_pipeline.plan import Plan


_HEADERS = ("dataset", "backend", "from", "files", "there", "events to go", "bytes to read")


class PlannedDataset(Settings):
    """A dataset with how it would be delivered, and why so."""

    dataset: str
    files: tuple[InputFile, ...]
    delivery: DeliveryJob
    reason: str


class DeliveryPlanStage(Settings):
    """All datasets of a run."""

    analysis: str
    selection: dict[str, object]
    learned: bool
    reading: ReadingSettings
    datasets: tuple[PlannedDataset, ...]


class DeliveryPlanOptions(Options):
    """What the stage is told beside its settings."""

    skims: Path = uses("skims", "folder of all skims")


def configure(plan: "Plan") -> DeliveryPlanStage:
    """All datasets, with how they would be delivered, and why so."""
    return DeliveryPlanStage(
        analysis=plan.config.analysis,
        selection=plan.physics["selection"],
        learned=plan.assigns,
        reading=plan.config.delivery.reading,
        datasets=tuple(
            PlannedDataset(
                dataset=name,
                files=dataset.files,
                delivery=plan.deliveries[name][0],
                reason=plan.deliveries[name][1],
            )
            for name, dataset in plan.datasets.items()
        ),
    )


def run(settings: DeliveryPlanStage, options: DeliveryPlanOptions) -> None:
    """Print a table, and below it what could not be found out."""
    from tabulate import tabulate

    from agc_pipeline.columnar.processing import skim_content
    from agc_pipeline.delivery.store import store_of

    rows = []
    unknown: dict[str, list[str]] = {}
    analysis = analyses.load(settings.analysis)
    selection = analysis.selection(settings.selection)
    for dataset in settings.datasets:
        name = dataset.dataset
        content = skim_content(
            analysis, selection, analysis.dataset(name), learned=settings.learned
        )
        store = store_of(options.skims / name, content, dataset.delivery)
        missing = [file for file in dataset.files if not _is_there(file, store)]
        try:
            size = _bytes(missing, content, settings.reading.network)
        except InputError as error:
            size = "unknown"
            unknown.setdefault(error.problem, []).append(name)
        rows.append(
            (
                name,
                f"{dataset.delivery.backend} ({dataset.reason})",
                _origin(dataset),
                len(dataset.files),
                len(dataset.files) - len(missing),
                _events(missing),
                size,
            )
        )
    print(tabulate(rows, headers=_HEADERS, disable_numparse=True))
    for problem, names in unknown.items():
        print(f"\nbytes unknown for {', '.join(names)}: {without_secrets(problem)}")


def _origin(dataset: PlannedDataset) -> str:
    """Servers or folders of the files, in the order in which they are tried."""
    places = dict.fromkeys(
        _place(file.urls[mirror])
        for mirror in range(max(len(file.urls) for file in dataset.files))
        for file in dataset.files
        if mirror < len(file.urls)
    )
    service = dataset.delivery.servicex
    through = f"{service.endpoint} at {service.url} from " if service else ""
    return through + ", ".join(places)


def _place(url: str) -> str:

    if "://" not in url:
        return str(Path(url).parent)
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _is_there(file: InputFile, store: "Store | None") -> bool:

    return store is not None and not _to_be_made(file) and store.find(file) is not None


def _to_be_made(file: InputFile) -> bool:

    return file.record is not None and not Path(file.record).exists()


def _events(files: list[InputFile]) -> str:
    from agc_pipeline.delivery.outcome import promised

    counts = [None if _to_be_made(file) else promised(file)[0] for file in files]
    total = sum(count for count in counts if count is not None)
    if None not in counts:
        return f"{total:,}"
    return f"{total:,} or more" if total else "unknown"


def _bytes(files: list[InputFile], content: "SkimContent", network: NetworkSettings) -> str:
    """Compressed bytes of the needed columns of all files, from those of the first.

    Raises:
        InputError: if it cannot be read.
    """
    from agc_pipeline.delivery.outcome import promised
    from agc_pipeline.formatting import byte_size
    from agc_pipeline.readers.opening import count_events, needed_bytes, open_tree

    if not files:
        return byte_size(0)
    if any(_to_be_made(file) for file in files):
        return "known when the files are simulated"
    with open_tree(files[0].source, content.columns, content.layout, network) as tree:
        size, entries = needed_bytes(tree, content.columns, content.layout), count_events(tree)
    if size is None:
        return "unknown for RNTuple"
    counts = [promised(file)[0] or entries for file in files]
    return f"about {byte_size(size * sum(counts) / max(entries, 1))}"


STAGE = Stage(
    name="delivery_plan",
    settings=DeliveryPlanStage,
    options=DeliveryPlanOptions,
    configure=configure,
    run=run,
    when=never,
    local=always,
)
main = STAGE.main

if __name__ == "__main__":
    main()
