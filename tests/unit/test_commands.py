"""What a command says went wrong."""

import pytest

from agc_pipeline.measuring.commands import CommandResult


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "08:00:01 failed    deliver\nerror: file not found\n  where: fast.json\n  remedy: none",
            "file not found (fast.json)",
        ),
        ("error: the disk is full\nerror: another\n  where: b", "the disk is full"),
        (
            "usage: snakemake [-h]\n__main__.py: error: unrecognized arguments: --corez",
            "unrecognized arguments: --corez",
        ),
        ("Traceback:\n  ...\nzlib.error: no\nOSError: no disk\nKeyError: 'x'", "OSError: no disk"),
        ("an error: in the middle of a line, and ValueErrors", None),
        ("", None),
    ],
)
def test_error_of_a_command(output: str, expected: str | None) -> None:
    assert CommandResult(code=1, output=output, seconds=1.0).error == expected
