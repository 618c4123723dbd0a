"""A pair of models in the layout that a Triton server loads with its FIL backend.

Sources: documentation of Triton's model repository and of the FIL backend's model configuration.
"""

from pathlib import Path

from agc_pipeline.files import write_bytes, write_json, write_text
from agc_pipeline.learning.models import CARD, PARITIES, Models
from agc_pipeline.learning.settings import ServedModel

# Name under which the backend expects a model in xgboost's JSON.
MODEL = "xgboost.json"
CONFIGURATION = "config.pbtxt"
# Parameter of the server's configuration with `Models.digest`.
DIGEST = "agc_models_sha256"

# For the backend, a model with one unchanged score for each row is no classifier; this was also so
# before 25.09, when the parameter was called output_class. A classifier has one or two columns of
# probabilities, depending on the version of the backend.
_TEMPLATE = """\
# Models of agc_pipeline. {versions}
name: "{model}"
backend: "fil"
max_batch_size: {batch_size}
version_policy {{ all {{ }} }}
input [ {{ name: "input__0" data_type: TYPE_FP32 dims: [ {n_features} ] }} ]
output [ {{ name: "output__0" data_type: TYPE_FP32 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_AUTO }} ]
dynamic_batching {{ }}
parameters [
  {{ key: "model_type" value {{ string_value: "xgboost_json" }} }},
  {{ key: "is_classifier" value {{ string_value: "false" }} }},
  {{ key: "output_class" value {{ string_value: "false" }} }},
  {{ key: "predict_proba" value {{ string_value: "false" }} }},
  {{ key: "{digest_name}" value {{ string_value: "{digest}" }} }}
]
"""


def files(folder: Path, settings: ServedModel) -> tuple[Path, ...]:
    """Files that ``write`` writes: the server's configuration, the card, and both models."""
    model = folder / settings.model
    versions = (settings.versions.of(parity) for parity in PARITIES)
    return (
        model / CONFIGURATION,
        model / CARD,
        *(model / version / MODEL for version in versions),
    )


def write(models: Models, folder: Path, settings: ServedModel) -> None:
    """Write the repository of a pair of models; the card goes with them.

    Args:
        models: to be served.
        folder: of the repository.
        settings: names of model and versions, and the maximum number of rows of a request.
    """
    configuration, card, *contents = files(folder, settings)
    for parity, path in zip(PARITIES, contents, strict=True):
        write_bytes(path, models.contents[parity])
    write_json(card, models.card.model_dump(mode="json"))
    # Last, since a server that watches the folder looks for it first.
    text = _TEMPLATE.format(
        model=settings.model,
        versions=", ".join(
            f"{settings.versions.of(parity)}: trained on {parity} events" for parity in PARITIES
        ),
        batch_size=settings.batch_size,
        n_features=len(models.card.features),
        digest_name=DIGEST,
        digest=models.digest,
    )
    write_text(configuration, text)
