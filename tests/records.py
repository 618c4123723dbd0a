"""Records of a small fit, for tests of what is made of them."""

from typing import Any

import numpy as np
from cabinetry.fit import FitResults

from agc_pipeline.inference.derived_records import RankingRecord
from agc_pipeline.inference.fit_records import Channel, FitRecord, Parameter
from agc_pipeline.inference.ranking import Rank
from agc_pipeline.inference.yields import ChannelYields, Yield, Yields

LABELS = ("Jet energy scale", "Luminosity", "ttbar_norm", "staterror[0]", "staterror[1]")


def results() -> FitResults:
    correlation = np.eye(5)
    correlation[0, 3] = correlation[3, 0] = 0.5
    correlation[0, 4] = correlation[4, 0] = -0.3
    return FitResults(
        bestfit=np.array([0.3, -0.1, 0.95, 1.01, 0.99]),
        uncertainty=np.array([0.2, 0.98, 0.09, 0.02, 0.0]),
        labels=list(LABELS),
        corr_mat=correlation,
        best_twice_nll=10.0,
        goodness_of_fit=0.5,
    )


def channel_yields(scale: float) -> dict[str, ChannelYields]:
    def row(*events: float) -> Yield:
        total = scale * sum(events)
        return Yield(
            bins=tuple(scale * value for value in events),
            uncertainty=tuple(0.1 * scale * value for value in events),
            total=total,
            total_uncertainty=0.1 * total,
        )

    samples = {"ttbar": row(30, 20), "W+jets": row(10, 0)}
    return {"4j2b SR": ChannelYields(samples=samples, all=row(40, 20))}


def fit(**changes: Any) -> FitRecord:
    fitted = results()
    values: dict[str, Any] = {
        "workspace_digest": "0" * 64,
        "analysis": "cms_ttbar",
        "data": "pseudodata",
        "partial": False,
        "left_out": (),
        "groups": {"Jet energy scale": "Jet energy", "Luminosity": "Luminosity"},
        "channels": {
            "4j2b SR": Channel(
                region="4j2b", label="$m$ [GeV]", edges=(110, 150, 190), observed=(44, 18)
            )
        },
        "provenance": {},
        "labels": LABELS,
        "bestfit": fitted.bestfit.tolist(),
        "uncertainty": fitted.uncertainty.tolist(),
        "correlation": fitted.corr_mat.tolist(),
        "best_twice_nll": 10.0,
        "goodness_of_fit": 0.5,
        "poi": Parameter(name="ttbar_norm", bestfit=0.95, uncertainty=0.09),
        "diagnostics": {
            "gradient_norm": 0.0,
            "distance": 0.0,
            "smallest_eigenvalue": 1.0,
            "condition_number": 1.0,
            "iterations": 3,
            "starts": 1,
            "minima": 1,
            "at_bounds": [],
        },
        "findings": (),
        "method": "exact",
        "breakdown": None,
        "comparison": None,
        "yields": Yields(prefit=channel_yields(1.0), postfit=channel_yields(1.05)),
    }
    return FitRecord.model_validate(values | changes)


def ranking() -> RankingRecord:
    """Ranking with the pulls of two systematics."""
    return RankingRecord(
        workspace_digest="0" * 64,
        provenance={},
        poi="ttbar_norm",
        rows=tuple(
            Rank(
                parameter=name,
                group=name,
                bestfit=value,
                uncertainty=width,
                centre=0.0,
                width=1.0,
                prefit_up=0.1,
                prefit_down=-0.1,
                postfit_up=0.1,
                postfit_down=-0.1,
                failures={},
            )
            for name, value, width in (("Jet energy scale", 0.3, 0.2), ("Luminosity", -0.1, 0.98))
        ),
        n_fits=8,
        n_failed=0,
    )
