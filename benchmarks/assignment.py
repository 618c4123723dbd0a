"""Models that assign jets, and a plain processor that scores with them, for the benchmark.

The models are trained on random events with a rule for the truth: what counts is their size, which
is that of models trained on some ten thousand events.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
import vector
import xgboost

from agc_pipeline.analyses.cms_ttbar.jet_assignment.features import (
    CONVENTION,
    FEATURES,
    Jets,
    Leptons,
    features,
)
from agc_pipeline.analyses.cms_ttbar.jet_assignment.observables import (
    ASSIGNED_REGIONS,
    SIGNAL_REGION,
)
from agc_pipeline.analyses.cms_ttbar.jet_assignment.permutations import permutations
from agc_pipeline.files import write_bytes, write_json
from agc_pipeline.learning import models
from agc_pipeline.readers.columns import offsets_of
from textbook import Selected, TextbookProcessor

N_TREES = 200
N_EVENTS = 3000
JETS_MAX = 6


def write_models(folder: Path) -> None:
    """Train a pair of models and write it with its card; an earlier one is taken again."""
    if (folder / models.CARD).exists():
        return
    cards = {}
    for seed, parity in enumerate(models.PARITIES):
        rows, offsets = _random_rows(seed)
        right = _by_a_rule(rows, offsets, seed)
        parameters = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.1, "nthread": 1}
        data = xgboost.DMatrix(rows, label=right, feature_names=list(FEATURES))
        booster = xgboost.train(parameters, data, N_TREES)
        booster.set_attr(**{models.TRAINED_ON: parity})
        content = bytes(booster.save_raw("json"))
        write_bytes(models.path(folder, parity), content)
        cards[parity] = models.TrainedModel(
            trained_on=parity,
            sha256=models.sha256(content),
            n_trees=N_TREES,
            best_iteration=N_TREES - 1,
            n_events=N_EVENTS,
            n_events_validation=0,
            metrics={},
        )
    card = models.ModelCard(
        features=FEATURES,
        convention=CONVENTION,
        **cards,
        configuration={},
        data=(),
        provenance={"stage": "benchmark"},
    )
    write_json(folder / models.CARD, card.model_dump())


def _random_rows(seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    offsets = offsets_of(rng.integers(4, JETS_MAX + 1, N_EVENTS))
    total = offsets[-1]
    jets = Jets(
        offsets,
        pt=30 + rng.exponential(45, total),
        eta=rng.normal(0, 1.1, total),
        phi=rng.uniform(-np.pi, np.pi, total),
        mass=rng.uniform(2, 20, total),
        btag=rng.beta(0.5, 0.5, total),
        qgl=rng.beta(0.8, 0.6, total),
    )
    pt, eta, phi = rng.exponential(40, N_EVENTS), rng.normal(0, 1, N_EVENTS), rng.random(N_EVENTS)
    return features(jets, Leptons(pt, eta, phi, np.zeros(N_EVENTS)), wrapped=True)


def _by_a_rule(rows: Any, offsets: Any, seed: int) -> Any:
    """The row of each event that is most like a pair of top quarks, mostly."""
    column = {name: rows[:, number] for number, name in enumerate(FEATURES)}
    likeness = (
        3 * column["btag_btophad"]
        + 3 * column["btag_btoplep"]
        - np.abs(column["mass_w1w2"] - 80) / 20
        - np.abs(column["mass_w1w2btophad"] - 172) / 30
        - column["deltar_leptonbtoplep"] / 2
        + np.random.default_rng(seed).gumbel(0, 0.5, len(rows))
    )
    right = np.zeros(len(rows))
    for start, stop in pairwise(offsets):
        right[start + np.argmax(likeness[start:stop])] = 1
    return right


class AssigningTextbookProcessor(TextbookProcessor):
    """The plain processor with the assigned jets, scored anew for every variation.

    Args:
        process: name of the physics process.
        boosters: by the parity of the events that they were trained on.
    """

    def __init__(self, process: str, boosters: dict[str, Any]) -> None:
        super().__init__(process)
        self.boosters = boosters

    def empty(self) -> dict[str, hist.Hist]:
        """Histograms of all regions."""
        return super().empty() | {
            region.name: hist.Hist.new.StrCat([], name="variation", growth=True)
            .Var(region.edges, name="observable")
            .Weight()
            for region in ASSIGNED_REGIONS
        }

    def observables(self, region: str, event: Selected) -> dict[str, Any]:
        """Values by the histogram that they fill."""
        values = super().observables(region, event)
        if region == SIGNAL_REGION:
            names = (assigned.name for assigned in ASSIGNED_REGIONS)
            values |= zip(names, self._assign(event).T, strict=True)
        return values

    def weighted(self, region: str, event: Selected, values: dict[str, Any]) -> dict[str, Any]:
        """The same for a variation of the weights: scored anew."""
        return values | self.observables(region, event) if region == SIGNAL_REGION else values

    def _assign(self, event: Selected) -> Any:
        """Features of the permutation with the highest score."""
        jets = _momenta(event.jets, "btagCSVV2", "qgl")[:, :JETS_MAX]
        leptons = ak.flatten(
            ak.concatenate([_momenta(event.electrons), _momenta(event.muons)], axis=1)
        )
        numbers = ak.to_numpy(event.numbers)
        if len(numbers) == 0:
            return np.empty((0, len(FEATURES)))
        tables = ak.Array([permutations(n) for n in range(JETS_MAX + 1)])
        assignments = tables[ak.num(jets)]
        w1, w2, b_had, b_lep = (jets[assignments[..., column]] for column in range(4))
        w, top = w1 + w2, w1 + w2 + b_had
        columns = [
            leptons.deltaR(b_lep),
            w1.deltaR(w2),
            w1.deltaR(b_had),
            w2.deltaR(b_had),
            (leptons + b_lep).mass,
            w.mass,
            top.mass,
            top.pt,
            *(jet.pt for jet in (w1, w2, b_had, b_lep)),
            *(jet.btagCSVV2 for jet in (w1, w2, b_had, b_lep)),
            *(jet.qgl for jet in (w1, w2, b_had, b_lep)),
        ]
        counts = ak.num(w1)
        rows = np.stack([ak.to_numpy(ak.flatten(column)) for column in columns], axis=1)
        even = np.repeat(numbers % 2 == 0, counts)
        scores = np.empty(len(rows), np.float32)
        for parity, mask in (("odd", even), ("even", ~even)):
            data = xgboost.DMatrix(rows[mask], feature_names=list(FEATURES), nthread=1)
            scores[mask] = self.boosters[parity].predict(data)
        best = ak.argmax(ak.unflatten(scores, counts), axis=1)
        return rows[ak.to_numpy(best) + offsets_of(ak.to_numpy(counts))[:-1]]


def _momenta(objects: Any, *more: str) -> Any:
    """Four-momenta of the library vector, in double precision."""
    names = ("pt", "eta", "phi", "mass", *more)
    return vector.zip({name: ak.values_astype(objects[name], np.float64) for name in names})


def boosters(folder: Path) -> dict[str, Any]:
    """The models as xgboost has them, with one thread."""
    return {
        parity: xgboost.Booster({"nthread": 1}, model_file=models.path(folder, parity))
        for parity in models.PARITIES
    }
