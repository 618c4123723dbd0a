"""Discriminants as observables of the fit: training, templates of scores, and the best bins."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import hist

from agc_pipeline.columnar.features import Rows
from agc_pipeline.declaration import Analysis
from agc_pipeline.declaration.features import columns_of_model
from agc_pipeline.files import write_bytes, write_json
from agc_pipeline.inference import discriminant as training
from agc_pipeline.inference.closed_form import ClosedForm, closed_form
from agc_pipeline.inference.discriminant import Trained, Training
from agc_pipeline.inference.optimisation import Result, candidate, optimise
from agc_pipeline.inference.optimisation_record import Candidate
from agc_pipeline.inference.settings import ModelSettings, OptimisationSettings
from agc_pipeline.inference.threshold_templates import Scanned, without_thresholds
from agc_pipeline.learning import models
from agc_pipeline.learning.discriminant import Discriminant, convention
from agc_pipeline.learning.models import PARITIES

Name = Literal["cross entropy", "discriminant"]


class Scored(NamedTuple):
    """A discriminant, and what the run has with it.

    Attributes:
        pair: of models.
        discriminant: that they make.
        histograms: of the scores, by name.
        model: closed form of these.
        result: the best bins.
        seconds: of CPU, with the features of events.
    """

    pair: Trained
    discriminant: Discriminant
    histograms: Mapping[str, hist.Hist]
    model: ClosedForm
    result: Result
    seconds: float


class Discriminants:
    """The discriminants of a run, each trained when it is asked for.

    Args:
        analysis: the declaration, with any observables.
        settings: of the optimisation.
        model: settings of the model.
        features: names.
        rows: of each dataset, with what they cost in seconds of CPU.
        weights: of the datasets' events.
        subsets: datasets of which all events are in another one, which is named.
    """

    def __init__(
        self,
        analysis: Analysis,
        settings: OptimisationSettings,
        model: ModelSettings,
        *,
        features: Sequence[str],
        rows: Mapping[str, tuple[Rows, float]],
        weights: Mapping[str, float],
        subsets: Mapping[str, str],
    ) -> None:
        fitted = tuple(region for region in analysis.regions if region.fitted)
        self.regions = tuple(region.name for region in fitted)
        self.analysis = replace(analysis, regions=fitted, learned=None).with_discriminant(
            self.regions
        )
        self._features, self._settings, self._model = tuple(features), settings, model
        self._rows = {name: part for name, (part, _) in rows.items()}
        self._seconds = sum(seconds for _, seconds in rows.values())
        self._weights, self._subsets = weights, subsets
        self._scored: dict[Name, Scored] = {}

    def __getitem__(self, name: Name) -> Scored:
        """The discriminant of a method."""
        if name not in self._scored:
            start, seconds = time.process_time(), self._seconds
            if name == "cross entropy":
                pair = self._training.by_cross_entropy()
            else:
                first = self["cross entropy"]
                seconds, start = first.seconds, time.process_time()
                pair = self._training.by_uncertainty(first.pair, first.result.edges)
            score = pair.discriminant(self.regions, self._features)
            histograms, form = self.of_scores(score)
            result = optimise(without_thresholds(form), "evolution", self._settings)
            seconds += time.process_time() - start
            self._scored[name] = Scored(pair, score, histograms, form, result, seconds)
        return self._scored[name]

    def of_scores(self, score: Discriminant | None) -> tuple[Mapping[str, hist.Hist], ClosedForm]:
        """Histograms of scores, and the closed form with them.

        Args:
            score: gives them; None is the same for all events.
        """
        scans = {name: training.scans(rows, score) for name, rows in self._rows.items()}
        histograms = Scanned(self.analysis, (), scans, self._weights).histograms(())
        return histograms, closed_form(self.analysis, histograms, self._model, self._subsets)

    @cached_property
    def _training(self) -> Training:
        # With any score, the model has the structure of all.
        _, form = self.of_scores(None)
        return Training(
            training.sample(self.analysis, form, self._rows, self._weights),
            self._features,
            self.analysis.free[0].processes,
            self._settings.discriminant,
            seed=self._settings.seed,
            noise=self._settings.noise,
        )

    def candidate(self, name: Name, thresholds: Mapping[str, Any]) -> Candidate:
        """What a discriminant promises, in the best bins of its score.

        Args:
            name: of the method.
            thresholds: see ``optimisation.candidate``.
        """
        of = self[name]
        entry = candidate(
            of.model,
            name,
            of.result.edges,
            result=of.result._replace(losses=()),
            seconds=of.seconds,
            **thresholds,
        )
        known = {feature.name for feature in self.analysis.features if feature.parameters}
        unknown = (feature for feature in self._features if feature not in known)
        names = columns_of_model(self._features, self.regions)
        shares = [model.importance(names) for model in of.pair.models.values()]
        curves = {}
        for parity, model in of.pair.models.items():
            curves[f"{parity} events, training"] = model.training
            curves[f"{parity} events, the others"] = model.validation
        power = 0.5 if name == "discriminant" else 1.0
        return entry.model_copy(
            update={
                "unknown": (*entry.unknown, *unknown),
                "features": {n: sum(share[n] for share in shares) / len(shares) for n in names},
                "training": {
                    key: tuple(value**power for value in values) for key, values in curves.items()
                },
            }
        )

    def scoring(self, name: Name) -> Analysis:
        """The declaration with functions that compute a discriminant, in this process."""
        score = self[name].discriminant
        return replace(
            self.analysis,
            regions=tuple(
                replace(region, values=score.of(self.analysis, region.name))
                for region in self.analysis.regions
            ),
        )

    def write(self, name: Name, folder: Path, configuration: Any, provenance: Any) -> None:
        """Write the models of a discriminant and their card.

        Args:
            name: of the method.
            folder: for the files.
            configuration: of the training, for the card.
            provenance: likewise.
        """
        of = self[name]
        cards = {}
        for parity in PARITIES:
            model = of.pair.models[parity]
            content = model.content(parity)
            write_bytes(models.path(folder, parity), content)
            key = "uncertainty" if name == "discriminant" else "cross entropy"
            power = 0.5 if name == "discriminant" else 1.0
            cards[parity] = models.TrainedModel(
                trained_on=parity,
                sha256=models.sha256(content),
                n_trees=model.n_trees,
                best_iteration=model.n_trees - 1,
                n_events=of.pair.n_events[parity],
                n_events_validation=sum(of.pair.n_events.values()) - of.pair.n_events[parity],
                metrics={key: model.validation[model.best] ** power},
            )
        card = models.ModelCard(
            features=columns_of_model(self._features, self.regions),
            convention=convention(self.regions),
            even=cards["even"],
            odd=cards["odd"],
            configuration=configuration,
            data=(),
            provenance=provenance,
        )
        write_json(folder / models.CARD, card.model_dump())
