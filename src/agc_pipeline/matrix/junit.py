"""The matrix as JUnit XML, for continuous integration systems."""

from collections.abc import Sequence
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from agc_pipeline.files import atomic_path
from agc_pipeline.matrix.records import CellVerdict
from agc_pipeline.matrix.settings import Verdict
from agc_pipeline.matrix.verdicts import is_unexpected


def write(path: Path, verdicts: Sequence[CellVerdict], fail_on: Sequence[Verdict]) -> None:
    """Write one test case for each cell, atomically.

    A broken cell is an error, another unexpected verdict a failure. Untested cells and those with
    an expected verdict are skipped.
    """
    suite = TestSuite("matrix")
    for item in verdicts:
        case = TestCase(item.cell.name, classname="matrix", time=item.cell.seconds)
        case.result = _result(item, fail_on)
        failed = item.cell.failed
        case.system_out = item.reason if failed is None else f"{item.reason}\n\n{failed.tail}"
        suite.add_testcase(case)
    xml = JUnitXml()
    xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call] # of junitparser
    with atomic_path(path) as temporary:
        xml.write(str(temporary), pretty=True)


def _result(item: CellVerdict, fail_on: Sequence[Verdict]) -> list[FinalResult]:
    if is_unexpected(item, fail_on):
        kind = Error if item.verdict is Verdict.BROKEN else Failure
        return [kind(item.reason, item.verdict.value)]
    if item.verdict is Verdict.UNTESTED:
        return [Skipped(item.reason)]
    if item.verdict is not Verdict.WORKS:
        return [Skipped(f"{item.verdict.value}, as expected: {item.reason}")]
    return []
