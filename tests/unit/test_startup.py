"""What jobs import: a package that is not needed costs each job as much as a small file."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agc_pipeline.compiling import kernel

# What takes long to import, and has no part in most jobs.
HEAVY = {
    *("aiohttp", "cabinetry", "coffea", "dask", "distributed", "fastjet", "jax", "loky"),
    *("matplotlib", "pyhf", "pythia8mc", "rich", "servicex", "vector", "xgboost"),
}
EVENTS = {"awkward", "numba", "pyarrow", "scipy", "uproot"}
# What numba imports to compile, and other packages have for that.
COMPILING = {"numba.np.arraymath", "numba.typed.typeddict", "scipy.linalg", "vector"}

LOAD = """
import json, sys
from agc_pipeline import code
code.load(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""
CALL = """
import json, sys
import numpy as np
from agc_pipeline.readers.columns import sums
value = sums(np.array([0, 2, 3]), np.array([1.0, 2.0, 4.0])).tolist()
print(json.dumps([value, sorted(sys.modules)]))
"""


def told(script: str, *arguments: str) -> Any:
    """What a script prints as JSON, in a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize(
    ("stage", "others"),
    [
        ("histogram", set()),
        ("deliver", set()),
        ("merge", set()),
        ("merge_dataset", set()),
        ("fit", set()),
        ("report", {"matplotlib"}),
    ],
)
def test_packages_that_a_stage_loads(stage: str, others: set[str]) -> None:
    modules = told(LOAD, f"agc_pipeline.stages.{stage}")
    assert {name.partition(".")[0] for name in modules} & HEAVY == others


def test_adding_histograms_needs_neither_events_nor_kernels() -> None:
    modules = told(LOAD, "agc_pipeline.stages.merge_dataset")
    assert not {name.partition(".")[0] for name in modules} & (EVENTS | HEAVY)


@pytest.mark.parametrize("analysis", ["cms_ttbar", "atlas_hzz"])
def test_declarations_and_simulations_need_no_kernels(analysis: str) -> None:
    modules = told(
        "import json, sys\nfrom agc_pipeline import analyses\n"
        "from agc_pipeline.simulation import part\n"
        "part.module(analyses.load(sys.argv[1]))\nprint(json.dumps(sorted(sys.modules)))",
        analysis,
    )
    assert "numba" not in modules


def test_the_plan_needs_no_arrays() -> None:
    # It is made in the process of Snakemake, on a batch system once more in each job.
    plans = "agc_pipeline.plan, agc_pipeline.matrix.plan, agc_pipeline.facility.plan"
    modules = told(f"import {plans}, json, sys; print(json.dumps(sorted(sys.modules)))")
    assert not {name.partition(".")[0] for name in modules} & (EVENTS | HEAVY | {"hist", "numpy"})


def test_source_files_are_found_without_importing_them() -> None:
    """The process of Snakemake looks for those of the stages that it has jobs of."""
    script = (
        "import json, sys\nfrom agc_pipeline.code import sources\n"
        "paths = sources('agc_pipeline.stages.report')\nprint(json.dumps([paths, [*sys.modules]]))"
    )
    paths, modules = told(script)
    assert "report/figures/cutflow.py" in " ".join(paths)
    assert not {name.partition(".")[0] for name in modules} & (EVENTS | HEAVY | {"hist", "numpy"})


def test_machine_code_is_found_without_what_compiles() -> None:
    # The first process compiles, if nobody did before.
    told(CALL)
    value, modules = told(CALL)
    assert value == [3.0, 4.0]
    assert not COMPILING & set(modules)


def test_kernels_compile_behind_those_that_were_found(tmp_path: Path) -> None:
    for name, function in (("inner", "return 2 * x"), ("outer", "return inner(x) + np.sum(x)")):
        (tmp_path / f"{name}.py").write_text(
            "import numpy as np\nfrom agc_pipeline.compiling import kernel\n"
            + ("from inner import inner\n" if name == "outer" else "")
            + f"@kernel\ndef {name}(x):\n    {function}\n"
        )
    call = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import numpy as np; x = np.arange(3.0);"
        "from inner import inner; values = [inner(x).tolist()];"
        "{}print(json.dumps(values))"
    )
    assert told(call.format(""), str(tmp_path)) == [[0.0, 2.0, 4.0]]
    both = call.format("from outer import outer; values += [outer(x).tolist()];")
    for _ in range(2):
        assert told(both, str(tmp_path)) == [[0.0, 2.0, 4.0], [3.0, 5.0, 7.0]]


def test_processes_that_start_together_compile_a_kernel_once(tmp_path: Path) -> None:
    (tmp_path / "double.py").write_text(
        "from agc_pipeline.compiling import kernel\n@kernel\ndef double(x):\n    return 2 * x\n"
    )
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from double import double; "
        "print('ready', flush=True); sys.stdin.readline(); "
        "print(double(3.0), sum(double.compiled.stats.cache_misses.values()))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    # Both wait for their input at this moment.
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    printed = sorted(process.communicate()[0] for process in processes)
    assert printed == ["6.0 0\n", "6.0 1\n"]


def test_a_kernel_gives_what_its_function_gives() -> None:
    def half(x: float) -> float:
        return x / 2

    assert kernel(half)(3.0) == half(3.0)
