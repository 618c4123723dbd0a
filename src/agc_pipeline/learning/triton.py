"""Scores from a Triton server that select the same rows as the models in this process.

A server may add the leaves of the trees in another order, so that its scores, of single precision,
differ in their last bits. Two things follow. Where the best score of an event is so close to the
next that rounding may decide between them, the event is scored again in this process: no bin
depends on the server. And a server whose scores differ by more than rounding has other models than
those of this run, and is refused.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from agc_pipeline.errors import PipelineError
from agc_pipeline.learning import forest, rounding
from agc_pipeline.learning.forest import Forest
from agc_pipeline.learning.kserve import Server, Signature
from agc_pipeline.learning.models import Models, Parity
from agc_pipeline.learning.repository import DIGEST
from agc_pipeline.learning.rounding import Rounding
from agc_pipeline.learning.scoring import SCORED_BY, ForestScorer, by_parity
from agc_pipeline.learning.settings import TritonSettings
from agc_pipeline.learning.trees import Array, first_highest
from agc_pipeline.readers.columns import taken

log = logging.getLogger(__name__)
# Rows by which models of the server are compared with those of this process: at the start, and in
# each response, since the models of a server may change at any time.
_PROBES = 512
_PROBES_OF_RESPONSE = 16


@dataclass(frozen=True)
class _Model:
    """A model in this process and on the server.

    Attributes:
        forest: the model.
        rounding: of its scores.
        version: of the served one.
    """

    forest: Forest
    rounding: Rounding
    version: str


@dataclass(frozen=True)
class _Connection:
    server: Server
    signatures: dict[Parity, Signature]


class TritonScorer:
    """A ``Scorer`` whose scores come from a server.

    It can be sent to other processes, but not be used in processes that are forked from one that
    used it: gRPC does not work in them.

    Args:
        models: of this run.
        local: scores with the same models in this process.
        settings: of the server, which has the same models.
    """

    def __init__(self, models: Models, local: ForestScorer, settings: TritonSettings) -> None:
        self._settings = settings
        self._digest = models.digest
        self._local = local
        self._models = {
            parity: _Model(
                forest=trees,
                rounding=rounding.of_forest(trees),
                version=settings.versions.of(parity),
            )
            for parity, trees in local.forests.items()
        }
        self._connection: _Connection | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_connection": None}

    def check(self) -> None:
        """Check that the server answers and has the models of this run, ready.

        Raises:
            ServiceError: if the server does not answer, or does not have the models.
            PipelineError: if it has other models under their names.
        """
        self._open_connection()

    def close(self) -> None:
        """End the connection; it is opened again on demand."""
        if self._connection is not None:
            self._connection.server.close()
            self._connection = None

    def best(self, features: Array, offsets: Array, event_numbers: Array) -> Array:
        """See ``Scorer``.

        Raises:
            ServiceError: if the server does not answer in time, in all attempts.
            PipelineError: if it does not have the models of this run.
        """
        connection = self._open_connection()
        best = np.empty(len(event_numbers), np.int64)

        def select(parity: Parity, events: Array) -> None:
            if not len(events):
                return
            model = SCORED_BY[parity]
            positions, packed = taken(offsets, events)
            rows = features[positions]
            scores = self._scores(connection, model, rows)
            highest = first_highest(scores, offsets, events)
            close = rounding.undecided(scores, packed, self._models[model].rounding)
            highest[close] = self._best_locally(features, offsets, event_numbers, events[close])
            best[events] = highest

        # One stream of requests for each model.
        streams = by_parity(event_numbers)
        with ThreadPoolExecutor(len(streams)) as pool:
            list(pool.map(select, streams.keys(), streams.values()))
        return best

    def _best_locally(
        self, features: Array, offsets: Array, event_numbers: Array, events: Array
    ) -> Array:
        """The best rows of some events, by the models in this process."""
        positions, packed = taken(offsets, events)
        rows = features[positions]
        best = self._local.best(rows, packed, event_numbers[events])
        return best - packed[:-1] + offsets[events]

    def _open_connection(self) -> _Connection:
        """The connection of this process, opened and checked if there is none."""
        if self._connection is None:
            server = Server(self._settings)
            try:
                description = server.describe()
                signatures = {
                    parity: server.signature(model.version, model.forest.n_features)
                    for parity, model in self._models.items()
                }
                connection = _Connection(server, signatures)
                for parity, model in self._models.items():
                    rows = rounding.probe_rows(model.forest, _PROBES)
                    self._scores(connection, parity, rows, probes=len(rows))
            except PipelineError:
                server.close()
                raise
            log.info("scores from %s at %s", description, self._settings.url)
            self._connection = connection
        return self._connection

    def _scores(
        self,
        connection: _Connection,
        parity: Parity,
        rows: Array,
        *,
        probes: int = _PROBES_OF_RESPONSE,
    ) -> Array:
        """Scores of rows by the model of one parity, some of them compared."""
        signature = connection.signatures[parity]
        size = min(self._settings.batch_size, signature.rows_max or len(rows))
        batches = []
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            scores = connection.server.score(self._models[parity].version, signature, batch)
            self._compare(connection, parity, batch[:probes], scores[:probes])
            batches.append(scores)
        return np.concatenate(batches)

    def _compare(self, connection: _Connection, parity: Parity, rows: Array, scores: Array) -> None:
        model = self._models[parity]
        different = model.rounding.differ(forest.scores(model.forest, rows), scores)
        if not different.any():
            return
        problem = f"the server has another model: {different.sum()} of {len(rows)} scores differ"
        served = connection.signatures[parity].parameters.get(DIGEST)
        if served is not None and served != self._digest:
            problem += (
                f"; it was exported with models {served:.12}, this run has {self._digest:.12}"
            )
        other = self._models[SCORED_BY[parity]]
        if not other.rounding.differ(forest.scores(other.forest, rows), scores).any():
            problem += "; it is the model of the other parity"
        raise PipelineError(
            problem,
            place=connection.server.place(model.version),
            remedy="have the server load the models of this run from {results}/models/triton, set "
            "`learning.models` to the models of the server, or correct "
            "`learning.triton.versions`",
        )
