"""A submission to HEPData: tables as YAML, with the workspace beside them.

ROOT files are left to the run: for these, the library needs ROOT.

Source: https://hepdata-submission.readthedocs.io
"""

import contextlib
import gzip
import tarfile
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hepdata_lib import Submission, Table, Uncertainty, Variable
from hepdata_validator.full_submission_validator import FullSubmissionValidator
from matplotlib.figure import Figure

from agc_pipeline.errors import PipelineError
from agc_pipeline.formatting import shortened
from agc_pipeline.lettering import draw_as_it_stands

# As good as exact, and short.
_DIGITS = 10
_LONGEST_NAME = 64
# Dots per inch of 5 inches.
_PICTURE, _THUMBNAIL = 150, 32


def variable(
    name: str,
    values: Sequence[Any],
    errors: Mapping[str, Sequence[Any]] | None = None,
    *,
    units: str = "",
) -> Variable:
    """A column of measured numbers.

    Args:
        name: of the column.
        values: numbers; None where there is none.
        errors: label to uncertainties: numbers, or pairs of down (negative) and up.
        units: of the numbers.
    """
    shown = ["-" if value is None else value for value in values]
    column = Variable(
        name,
        is_independent=False,
        is_binned=False,
        units=units,
        values=shown,
        zero_uncertainties_warning=False,
    )
    column.digits = _DIGITS
    for label, sizes in (errors or {}).items():
        symmetric = not any(isinstance(size, tuple) for size in sizes)
        uncertainty = Uncertainty(label, is_symmetric=symmetric)
        uncertainty.values = list(sizes)
        column.add_uncertainty(uncertainty)
    return column


def axis(name: str, values: Sequence[Any], *, units: str = "") -> Variable:
    """The column that the others depend on: names, numbers, or pairs of bin edges."""
    binned = bool(values) and isinstance(values[0], tuple)
    column = Variable(name, is_independent=True, is_binned=binned, units=units, values=list(values))
    column.digits = _DIGITS
    return column


def table(
    name: str,
    description: str,
    columns: Sequence[Variable],
    keywords: Mapping[str, Sequence[Any]],
) -> Table:
    """A table; its name becomes that of a file."""
    plain = "".join(letter if letter.isalnum() or letter in " -" else " " for letter in name)
    content = Table(" ".join(plain.split())[:_LONGEST_NAME])
    content.description = description
    content.location = "Report of the run"
    content.keywords = {key: list(values) for key, values in keywords.items()}
    for column in columns:
        content.add_variable(column)
    return content


def tell_apart(tables: Sequence[Table]) -> None:
    """Number the tables whose names were the same, or make the same name of a file."""
    taken: set[str] = set()
    for content in tables:
        name, number = content.name, 1
        while content.name.lower() in taken:
            number += 1
            suffix = f" {number}"
            content.name = f"{name[: _LONGEST_NAME - len(suffix)]}{suffix}"
        taken.add(content.name.lower())


def write(
    tables: Sequence[Table],
    folder: Path,
    archive: Path,
    *,
    comment: str,
    workspace: Path,
    pictures: Mapping[str, Figure] | None = None,
) -> None:
    """Write a submission, and prove that it is valid.

    Args:
        tables: in their order.
        folder: an empty one, for the files.
        archive: the same as one file, for the upload.
        comment: abstract of the record.
        workspace: that is part of the record.
        pictures: of tables, by their names; each is shown in the list of the record.

    Raises:
        PipelineError: if HEPData would not accept it.
    """
    submission = Submission()
    submission.comment = comment
    submission.add_additional_resource(
        "Statistical model with data as a workspace of pyhf",
        str(workspace.absolute()),
        copy_file=True,
        file_type="HistFactory",
    )
    place = folder.absolute()
    # The library leaves an archive in the working directory, with the time of day in it.
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        for number, content in enumerate(tables):
            if pictures is not None and content.name in pictures:
                _illustrate(content, pictures[content.name], f"table_{number:02d}.png")
            submission.add_table(content)
        submission.create_files(str(place), validate=False)
    validate(folder)
    pack(folder, archive)


def _illustrate(content: Table, picture: Figure, name: str) -> None:
    """Add a picture and its thumbnail, written to the working directory, as HEPData knows them.

    The library makes them of PDF with ImageMagick.
    """
    draw_as_it_stands(picture)
    for description, prefix, dots in (
        ("Image file", "", _PICTURE),
        ("Thumbnail image file", "thumb_", _THUMBNAIL),
    ):
        path = Path(f"{prefix}{name}").absolute()
        picture.savefig(path, dpi=dots, metadata={"Software": None})
        content.add_additional_resource(description, str(path), copy_file=True)


def validate(folder: Path) -> None:
    """Check a submission as HEPData does.

    Raises:
        PipelineError: with everything that is wrong.
    """
    validator = FullSubmissionValidator()
    with warnings.catch_warnings():
        # It leaves files to be closed by the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        valid = validator.validate(directory=str(folder))
    if not valid:
        problems = [
            message.message for messages in validator.messages.values() for message in messages
        ]
        raise PipelineError(
            # Each table has the same ones, and the files are in a folder that is gone.
            "not a valid submission: "
            + shortened("; ".join(dict.fromkeys(problems)).replace(f"{folder}/", "")),
            place=str(folder),
            remedy="report it, with the workspace",
        )


def read(folder: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The tables of a submission: name to columns, name of a column to its values."""
    # The parser of libyaml, which is ten times faster.
    submission = (folder / "submission.yaml").read_text(encoding="utf-8")
    documents = list(yaml.load_all(submission, yaml.CSafeLoader))
    tables = {}
    for document in documents:
        if "data_file" in document:
            text = (folder / document["data_file"]).read_text(encoding="utf-8")
            content = yaml.load(text, yaml.CSafeLoader)
            columns = content["independent_variables"] + content["dependent_variables"]
            tables[document["name"]] = {
                column["header"]["name"]: column["values"] for column in columns
            }
    return tables


def pack(folder: Path, archive: Path) -> None:
    """One file with the same bytes for the same content."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(folder.iterdir()):
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(entry, file)
