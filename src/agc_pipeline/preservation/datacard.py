"""A workspace as datacard and histograms of Combine.

A card says less than a workspace: what it cannot hold is listed, and a model that would be another
one without it is refused.

Source: https://cms-analysis.github.io/HiggsAnalysis-CombinedLimit, "Preparing the datacard".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from agc_pipeline.errors import ModelError
from agc_pipeline.exchange import datacard
from agc_pipeline.exchange.card_text import DATA
from agc_pipeline.exchange.datacard import INTEREST
from agc_pipeline.formatting import quoted
from agc_pipeline.preservation import exchanged
from agc_pipeline.preservation.root_names import Names, names

Workspace = dict[str, Any]

CARD = "datacard.txt"
SHAPES = "shapes.root"
_PLACE = "Combine datacard"
# What begins a line of a card, or is in each.
_WORDS = frozenset(
    {"imax", "jmax", "kmax", "shapes", "bin", "observation", "Observation", "process", "rate"}
    | {INTEREST, DATA, "nuisance", "nuisances"}
)


def write(workspace: Workspace, folder: Path) -> tuple[Names, list[str]]:
    """Write ``datacard.txt`` and ``shapes.root``.

    Args:
        workspace: with one measurement, that can be read in one way only.
        folder: an empty one, for both files.

    Returns:
        The names in the files, and what they do not hold, from reading them.

    Raises:
        NoPlaceError: if no card is near to this model.
    """
    writer = _Writer(workspace)
    text = writer.write(folder)
    (folder / CARD).write_text(text, encoding="utf-8")
    try:
        model = datacard.read(text, datacard.histograms_of(folder), place=str(folder / CARD))
    except ModelError as error:
        raise NoPlaceError(error.problem, place=_PLACE, remedy=error.remedy) from error
    lost = exchanged.differences(workspace, writer.names, model.workspace, model.variables)
    return writer.names, [*lost, *writer.approximations()]


class NoPlaceError(ModelError):
    """No datacard is near to the model."""


class _Writer:
    """Writes one model.

    Args:
        workspace: with one measurement.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._channels = workspace["channels"]
        self._observed = {entry["name"]: entry["data"] for entry in workspace["observations"]}
        self._interest = workspace["measurements"][0]["config"]["poi"]
        self._settings, self._auxiliary = exchanged.parameters(workspace)
        self.names = _names(workspace, self._interest)
        self._signals = self._signal_samples()
        # Templates that are written, by channel, sample and name.
        self._varied: dict[tuple[str, str, str], tuple[Any, Any]] = {}
        self._factors: dict[tuple[str, str, str], str] = {}
        self._free: list[str] = []
        self._constrained: list[str] = []

    def _uses(self) -> Iterator[tuple[Any, Any, Any]]:
        for channel in self._channels:
            for sample in channel["samples"]:
                for modifier in sample["modifiers"]:
                    yield channel, sample, modifier

    def _signal_samples(self) -> list[str]:
        """Samples that the parameter of interest scales, in all of their channels.

        Raises:
            NoPlaceError: if it is not a normalisation of whole samples.
        """
        kinds = {m["type"] for _, _, m in self._uses() if m["name"] == self._interest}
        scaled = {
            (channel["name"], sample["name"])
            for channel, sample, modifier in self._uses()
            if modifier["name"] == self._interest
        }
        signals = list(dict.fromkeys(name for _, name in sorted(scaled)))
        everywhere = {
            (channel["name"], sample["name"])
            for channel in self._channels
            for sample in channel["samples"]
            if sample["name"] in signals
        }
        if kinds != {"normfactor"} or scaled != everywhere:
            raise NoPlaceError(
                f"the parameter of interest {quoted(self._interest)} does not scale a signal in "
                "all of its channels, as that of Combine does",
                place=_PLACE,
                remedy="choose a normalisation of whole samples with `input.poi`",
            )
        return signals

    def write(self, folder: Path) -> str:
        """Write the histograms, and give the text of the card."""
        with uproot.recreate(folder / SHAPES) as file:
            for channel in self._channels:
                title = self.names.channels[channel["name"]]
                self._save(file, f"{title}/{DATA}", self._observed[channel["name"]])
                for sample in channel["samples"]:
                    self._sample(file, channel, sample)
        return "\n".join(self._lines()) + "\n"

    @staticmethod
    def _save(file: Any, path: str, contents: Any, errors: Any = None) -> None:
        values = np.asarray(contents, dtype=np.float64)
        widths = np.zeros_like(values) if errors is None else np.asarray(errors, dtype=np.float64)
        # uproot takes contents and variances with those of the bins beside the axis.
        file[path] = uproot.writing.identify.to_TH1x(
            fName=path.rpartition("/")[2],
            fTitle="",
            data=np.concatenate([[0.0], values, [0.0]]),
            fEntries=float(values.sum()),
            fTsumw=float(values.sum()),
            fTsumw2=float(np.square(widths).sum()),
            fTsumwx=0.0,
            fTsumwx2=0.0,
            fSumw2=np.concatenate([[0.0], np.square(widths), [0.0]]),
            fXaxis=uproot.writing.identify.to_TAxis(
                fName="xaxis",
                fTitle="",
                fNbins=len(values),
                fXmin=0.0,
                fXmax=float(len(values)),
            ),
        )

    def _sample(self, file: Any, channel: Any, sample: Any) -> None:
        where = self.names.channels[channel["name"]], self.names.samples[sample["name"]]
        path = "/".join(where)
        contents = np.asarray(sample["data"], dtype=np.float64)
        errors = None
        shifts: dict[str, list[Any]] = {}
        for modifier in sample["modifiers"]:
            name, kind, data = modifier["name"], modifier["type"], modifier["data"]
            title = self.names.modifiers.get(name, name)
            match kind:
                case "normfactor" | "lumi":
                    continue
                case "normsys":
                    self._factors[*where, title] = f"{float(data['lo'])!r}/{float(data['hi'])!r}"
                case "histosys":
                    shifts[title] = [np.asarray(data[f"{key}_data"]) for key in ("lo", "hi")]
                case "staterror":
                    errors = data
                case "shapesys":
                    for number, error in enumerate(data):
                        shift = np.zeros_like(contents)
                        shift[number] = error
                        if error > 0:
                            both = [np.maximum(contents - shift, 0.0), contents + shift]
                            shifts[f"{title}_bin{number}"] = both
                case _:
                    raise NoPlaceError(
                        f"the {kind} {quoted(name)} has no place in a datacard",
                        place=_PLACE,
                        remedy="use the model in another format",
                    )
        self._save(file, path, contents, errors)
        for title, (down, up) in shifts.items():
            if min(contents.sum(), down.sum(), up.sum()) <= 0:
                continue
            factors = [float(f) for f in self._factors.pop((*where, title), "1.0/1.0").split("/")]
            self._varied[*where, title] = down, up
            self._save(file, f"{path}_{title}Down", down * factors[0])
            self._save(file, f"{path}_{title}Up", up * factors[1])

    def _lines(self) -> Iterator[str]:
        columns = [(c, s) for c in self._channels for s in c["samples"]]
        titles = [self.names.channels[c["name"]] for c in self._channels]
        processes = list(dict.fromkeys(s["name"] for _, s in columns))
        backgrounds = [name for name in processes if name not in self._signals]
        numbers = {name: 1 + n for n, name in enumerate(backgrounds)} | {
            name: -n for n, name in enumerate(self._signals)
        }
        wheres = [
            (self.names.channels[c["name"]], self.names.samples[s["name"]]) for c, s in columns
        ]
        yield f"imax {len(titles)}"
        yield f"jmax {len(processes) - 1}"
        yield "kmax *"
        yield "-" * 40
        yield f"shapes * * {SHAPES} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC"
        yield "-" * 40
        yield f"bin {' '.join(titles)}"
        yield f"observation {' '.join('-1' for _ in titles)}"
        yield "-" * 40
        yield f"bin {' '.join(channel for channel, _ in wheres)}"
        yield f"process {' '.join(process for _, process in wheres)}"
        yield f"process {' '.join(str(numbers[s['name']]) for _, s in columns)}"
        yield f"rate {' '.join('-1' for _ in wheres)}"
        yield "-" * 40
        for title in dict.fromkeys(key[2] for key in (*self._factors, *self._varied)):
            shaped = any(key[2] == title for key in self._varied)
            entries = [
                self._factors.get((*where, title), "1" if (*where, title) in self._varied else "-")
                for where in wheres
            ]
            # Some processes of it may have a normalisation only.
            mixed = shaped and any(key[2] == title for key in self._factors)
            kind = "shape?" if mixed else "shape" if shaped else "lnN"
            yield f"{title} {kind} {' '.join(entries)}"
        yield from self._free_lines()
        for channel, title in zip(self._channels, titles, strict=True):
            kinds = {m["type"] for s in channel["samples"] for m in s["modifiers"]}
            if "staterror" in kinds:
                yield f"{title} autoMCStats 0 1 1"

    def _free_lines(self) -> Iterator[str]:
        """Normalisations, and the luminosity with its Gaussian term."""
        constrained: dict[str, None] = {}
        for channel, sample, modifier in self._uses():
            name = modifier["name"]
            if modifier["type"] not in ("normfactor", "lumi") or name == self._interest:
                continue
            where = self.names.channels[channel["name"]], self.names.samples[sample["name"]]
            setting = self._settings[name]
            low, high = setting.bounds
            title = self.names.parameters[name]
            yield f"{title} rateParam {' '.join(where)} {setting.start!r} [{low!r},{high!r}]"
            if modifier["type"] == "lumi":
                constrained[name] = None
        for name in constrained:
            term = self._auxiliary[name]
            yield f"{self.names.parameters[name]} param {term.value!r} {term.width!r}"

    def approximations(self) -> Iterator[str]:
        """What Combine computes otherwise from the same numbers."""
        if self._factors or self._varied:
            yield (
                "interpolation of normalisations within one standard deviation, which Combine "
                "has of its own"
            )
        for channel in self._channels:
            shared = [
                sample["name"]
                for sample in channel["samples"]
                if any(m["type"] == "staterror" for m in sample["modifiers"])
            ]
            if len(shared) > 1:
                yield (
                    f"{channel['name']}: statistical uncertainties relative to the sum of the "
                    "samples, each of which Combine scales with its own sample"
                )


def _names(workspace: Workspace, interest: str) -> Names:
    """Names in the card."""
    own = names(workspace, _WORDS)
    parameters = {}
    for name, variable in own.parameters.items():
        base, _, number = name.rstrip("]").rpartition("[")
        if name == interest:
            parameters[name] = INTEREST
        elif variable.startswith("gamma_stat_"):
            title, _, bin_number = variable.removeprefix("gamma_stat_").rpartition("_bin_")
            parameters[name] = f"prop_bin{title}_bin{bin_number}"
        elif variable.startswith("gamma_"):
            parameters[name] = f"{own.modifiers[base]}_bin{number}"
        else:
            parameters[name] = variable.removeprefix("alpha_") if variable != "Lumi" else "lumi"
    return own._replace(parameters=parameters)
