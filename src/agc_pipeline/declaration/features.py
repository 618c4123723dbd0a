"""Functions of events that a discriminant may be made of, and the regions that have one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agc_pipeline.settings import unknown

# Bin edges of the histograms of a discriminant, which is between 0 and 1.
_BINS = 50
EDGES = tuple(number / _BINS for number in range(_BINS + 1))
OBSERVABLE = "discriminant"
LABEL = "Discriminant"
# Of a model, behind the features, where it is one for several regions: which of them it is.
REGION = "region"


@dataclass(frozen=True)
class Feature:
    """A function of events that a discriminant may be made of.

    Attributes:
        name: for people, and in ``optimise.discriminant.features``.
        values: function of the events of a region and of ``physics.selection``: one number for each
            event. It may read what observables of the same regions read.
        parameters: names of systematics that know of it: whose variations change it, or which have
            samples of their own where it is another. What the others leave unknown is told with
            every gain, and they are used only where they are named.
        regions: names of those where it is there; None is all.
    """

    name: str
    values: Callable[[Any, Any], Any]
    parameters: tuple[str, ...] = ()
    regions: tuple[str, ...] | None = None

    def exists(self, regions: Iterable[str]) -> bool:
        """Whether all of some regions have it."""
        return self.regions is None or set(regions) <= set(self.regions)


def of_regions(
    features: Iterable[Feature], regions: Sequence[str], names: Sequence[str] | None
) -> tuple[Feature, ...]:
    """Features of a discriminant.

    Args:
        features: that the analysis declares.
        regions: names of those that the discriminant is for.
        names: of the features that are wished; None is all that some systematic knows of.
    """
    there = [feature for feature in features if feature.exists(regions)]
    if names is None:
        return tuple(feature for feature in there if feature.parameters)
    by_name = {feature.name: feature for feature in there}
    return tuple(by_name[name] for name in names)


def columns_of_model(features: Sequence[str], regions: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of a model: features, and which region it is, if there are several."""
    return (*features, *((REGION,) if len(regions) > 1 else ()))


def feature_problems(
    features: Iterable[Feature], regions: Sequence[str], names: Sequence[str] | None, place: str
) -> Iterator[str]:
    """What is wrong with the features that are wished.

    Args:
        features: that the analysis declares.
        regions: names of those that the discriminant is for.
        names: of the features.
        place: key of the configuration that has them.
    """
    there = {feature.name: feature for feature in features if feature.exists(regions)}
    if problem := unknown("feature", names or (), there, place):
        yield problem
    if names is not None and len(set(names)) < len(names):
        yield f"`{place}` names a feature twice"
    if names == () or (names is None and not of_regions(there.values(), regions, None)):
        yield (
            f"`{place}` has no feature for {', '.join(regions)}: the analysis declares "
            f"{', '.join(there) or 'none'}"
        )


def declaration_problems(
    features: Iterable[Feature], systematics: Iterable[str], regions: Iterable[str]
) -> Iterator[str]:
    """What is wrong with declared features.

    Args:
        features: that the analysis declares.
        systematics: names of its systematics.
        regions: names of its regions.
    """
    names, places = set(systematics), set(regions)
    for feature in features:
        if problem := unknown("systematic", feature.parameters, names):
            yield f"the feature {feature.name} names an {problem}"
        if problem := unknown("region", feature.regions or (), places):
            yield f"the feature {feature.name} names an {problem}"
        if feature.regions == ():
            yield f"the feature {feature.name} exists in no region: leave `regions` out for all"
        if feature.name == REGION:
            yield f"a feature cannot be called {REGION}, which every model has"
