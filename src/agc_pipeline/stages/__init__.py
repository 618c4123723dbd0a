"""The stages: one module for each rule, with the one description of its stage."""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agc_pipeline.stages.description import Stage


def describe(name: str) -> "Stage[Any, Any]":
    """The description of the stage in ``agc_pipeline.stages.NAME``."""
    stage: Stage[Any, Any] = import_module(f"{__name__}.{name}").STAGE
    return stage


def descriptions() -> "dict[str, Stage[Any, Any]]":
    """All descriptions by name."""
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    stages = (getattr(module, "STAGE", None) for module in modules)
    return {stage.name: stage for stage in stages if stage is not None}


def of_run(plan: Any) -> tuple[str, ...]:
    """Names of the stages that a run has jobs of."""
    return tuple(name for name, stage in descriptions().items() if stage.when(plan))
