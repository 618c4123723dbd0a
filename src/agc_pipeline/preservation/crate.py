"""A run as RO-Crate: its folder with a description of every file, and of what made it.

Source: RO-Crate 1.1 (https://w3id.org/ro/crate/1.1), and the profiles Workflow RO-Crate 1.0,
Process Run Crate 0.5 and Workflow Run Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5).
"""

import json
import mimetypes
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agc_pipeline.provenance import file_digest

METADATA = "ro-crate-metadata.json"
WORKFLOW = "workflow/Snakefile"

_CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"},
]
_ROCRATE = "https://w3id.org/ro/crate/1.1"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_PACKAGE = "#agc-pipeline"
_RUN = "#run"
_LARGEST = 2_000_000
# Of no use without the machine of the run.
_APART = ("logs", "code")

Entity = dict[str, Any]


def metadata(
    folder: Path,
    *,
    name: str,
    description: str,
    license_name: str,
    versions: Mapping[str, str],
    configuration: str,
) -> dict[str, Any]:
    """The description of a finished run.

    Args:
        folder: of its results, with the workflow in ``WORKFLOW``.
        name: of the run, for people.
        description: what it is.
        license_name: of the results, an identifier of SPDX.
        versions: of packages, ``agc-pipeline`` and ``snakemake`` among them.
        configuration: all values of the run, as JSON.
    """
    files = list(_files(folder))
    records = {path: _provenance(folder / path) for path in files}
    made = {path: record for path, record in records.items() if record}
    outputs = [path for path in files if path not in (METADATA, WORKFLOW)]
    inputs = list(
        dict.fromkeys(
            source
            for record in made.values()
            for source in record["inputs"]
            if not (folder / Path(source).name).exists() and not _within(Path(source), folder)
        )
    )
    license_id = f"https://spdx.org/licenses/{license_name}"
    times = [(folder / path).stat().st_mtime for path in outputs]
    end = _time(max(times)) if times else _time(0)
    graph: list[Entity] = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": [{"@id": _ROCRATE}, {"@id": _WORKFLOW_CRATE}],
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": name,
            "description": description,
            "datePublished": end,
            "license": {"@id": license_id},
            "conformsTo": [{"@id": profile} for profile in _PROFILES],
            "hasPart": [{"@id": path} for path in files],
            "mainEntity": {"@id": WORKFLOW},
            "mentions": [{"@id": _RUN}, *({"@id": _action(path)} for path in made)],
        },
        {"@id": license_id, "@type": "CreativeWork", "name": license_name, "url": license_id},
        *(
            {"@id": profile, "@type": "CreativeWork", "name": title, "version": version}
            for profile, (title, version) in _PROFILES.items()
        ),
        {
            "@id": _LANGUAGE,
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "identifier": {"@id": "https://snakemake.readthedocs.io"},
            "url": {"@id": "https://snakemake.readthedocs.io"},
            "version": versions["snakemake"],
        },
        {
            "@id": _PACKAGE,
            "@type": "SoftwareApplication",
            "name": "agc-pipeline",
            "version": versions["agc-pipeline"],
            "softwareVersion": versions["agc-pipeline"],
            "url": {"@id": "https://agc.readthedocs.io"},
            "softwareRequirements": [f"{k}=={v}" for k, v in sorted(versions.items())],
        },
        {
            "@id": "#configuration",
            "@type": "PropertyValue",
            "name": "configuration",
            "value": configuration,
            "exampleOfWork": {"@id": "#configuration-parameter"},
        },
        {
            "@id": "#configuration-parameter",
            "@type": "FormalParameter",
            "conformsTo": {
                "@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE",
            },
            "name": "configuration",
            "additionalType": "Text",
            "workExample": {"@id": "#configuration"},
        },
        {
            "@id": _RUN,
            "@type": "CreateAction",
            "name": f"Run of {name}",
            "instrument": {"@id": WORKFLOW},
            "endTime": end,
            "actionStatus": "http://schema.org/CompletedActionStatus",
            "object": [{"@id": "#configuration"}, *({"@id": _external(s)} for s in inputs)],
            "result": [{"@id": path} for path in outputs],
        },
        *(_file(folder, path) for path in files),
        *({"@id": _external(source), "@type": "CreativeWork", "name": source} for source in inputs),
    ]
    for path, record in made.items():
        graph.append(_made(folder, path, record))
    return {"@context": _CONTEXT, "@graph": graph}


def _files(folder: Path) -> Iterator[str]:
    """Files of the run, relative to its folder; logs and what is hidden are left out."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        top = relative.parts[0]
        hidden = any(part.startswith(".") for part in relative.parts)
        if (
            path.is_file()
            and not hidden
            and top not in ("logs", "code")
            and relative.name != METADATA
        ):
            yield relative.as_posix()


def _file(folder: Path, path: str) -> Entity:
    kind, _ = mimetypes.guess_type(path)
    found: Entity = {
        "@id": path,
        "@type": "File",
        "name": path,
        "contentSize": str((folder / path).stat().st_size),
        "sha256": file_digest(folder / path),
        "encodingFormat": kind or "application/octet-stream",
    }
    if path == WORKFLOW:
        found |= {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "programmingLanguage": {"@id": _LANGUAGE},
            "input": [{"@id": "#configuration-parameter"}],
            "softwareRequirements": {"@id": _PACKAGE},
            "encodingFormat": "text/plain",
        }
    return found


def _made(folder: Path, path: str, record: Mapping[str, Any]) -> Entity:
    """The job that wrote a file, from its provenance."""
    objects = [
        Path(source).name
        if (folder / Path(source).name).exists()
        else str(Path(source).relative_to(folder))
        if _within(Path(source), folder)
        else _external(source)
        for source in record["inputs"]
    ]
    return {
        "@id": _action(path),
        "@type": "CreateAction",
        "name": f"{record['stage']}: {path}",
        "instrument": {"@id": _PACKAGE},
        "endTime": _time((folder / path).stat().st_mtime),
        "object": [{"@id": identifier} for identifier in objects],
        "result": {"@id": path},
        "description": f"settings sha256 {record['settings']}; "
        + ", ".join(f"{k} {v}" for k, v in record["software"].items()),
    }


def _provenance(path: Path) -> dict[str, Any]:
    """The provenance that a record states; empty for other files."""
    if path.suffix != ".json" or path.stat().st_size > _LARGEST:
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    found = content.get("provenance") if isinstance(content, dict) else None
    keys = {"stage", "settings", "software", "inputs"}
    return found if isinstance(found, dict) and keys <= found.keys() else {}


def _within(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) and path.exists()


def _action(path: str) -> str:
    return f"#job-{path.replace('/', '-')}"


def _external(source: str) -> str:
    return f"#input-{source.strip('/').replace('/', '-').replace(' ', '-')}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), tz=UTC).isoformat()
