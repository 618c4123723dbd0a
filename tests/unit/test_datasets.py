"""Lists of inputs: from the configuration, from a fileset, and their split over jobs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agc_pipeline import analyses, config, datasets, filesets, inputs
from agc_pipeline.datasets import DatasetFiles, InputFile
from agc_pipeline.declaration import Dataset, Fill, Flat, Physics
from agc_pipeline.errors import ConfigurationError, InputError
from agc_pipeline.plan import Plan
from agc_pipeline.settings import Settings
from agc_pipeline.stages import fileset
from conftest import read_config

ANALYSIS = analyses.load("cms_ttbar")
PHYSICS = Physics(
    luminosity_per_pb=10.0,
    cross_sections_pb={process.name: 1.5 for process in ANALYSIS.processes},
    selection=Settings(),
)


def ttbar(*files: InputFile) -> DatasetFiles:
    return DatasetFiles(name="ttbar__nominal", xsec_pb=1, luminosity_per_pb=1, files=files)


def _open_data(**changes: Any) -> tuple[DatasetFiles, ...]:
    loaded = config.load(read_config("cms-open-data"))
    assert isinstance(loaded.input, inputs.FilesInput)
    source = loaded.input.model_copy(update=changes)
    return inputs.listed(source, ANALYSIS, loaded.physics)


def test_open_data_has_the_files_and_events_of_the_task() -> None:
    # Files and events of each dataset: table of the task, version 2.
    expected = {
        "ttbar__nominal": (243, 276_079_127),
        "ttbar__ME_var": (16, 19_098_219),
        "ttbar__PS_var": (15, 19_337_064),
        "ttbar__scaleup": (33, 38_424_467),
        "ttbar__scaledown": (32, 39_329_663),
        "single_top_s_chan__nominal": (6, 2_867_199),
        "single_top_t_chan__nominal": (90, 109_305_936),
        "single_top_tW__nominal": (3, 1_999_400),
        "wjets__nominal": (349, 433_719_099),
    }
    found = {
        dataset.name: (len(dataset.files), sum(file.n_events or 0 for file in dataset.files))
        for dataset in _open_data()
    }
    assert found == expected


def test_open_data_equals_the_reference_list() -> None:
    reference = Path(__file__).parents[3] / "shared" / "reference" / "nanoaod_inputs.json"
    if not reference.exists():
        pytest.skip("the reference file list is not at hand (../shared/reference)")
    listed = json.loads(reference.read_text())
    for dataset in _open_data():
        process, variation = dataset.name.split("__")
        files = listed[process][variation]["files"]
        assert [(f.source, f.n_events) for f in dataset.files] == [
            (f["path"], f["nevts"]) for f in files
        ]


def test_mirrors_are_tried_in_the_given_order_behind_the_cache() -> None:
    first = _open_data(
        mirror_order=("cern", "local", "unl"), xcache="root://cache.example.org:1094//"
    )[0].files[0]
    folder = "TT_TuneCUETP8M1_13TeV-powheg-pythia8"
    name = (
        "cmsopendata2015_ttbar_19980_PU25nsData2015v1_76X_mcRun2_asymptotic_v12_ext3-v1"
        "_00000_0000.root"
    )
    assert first.urls == (
        "root://cache.example.org:1094//root://eospublic.cern.ch//eos/opendata/cms/upload/agc/"
        f"1.0.0/{folder}/{name}",
        f"nanoAOD/{folder}/{name}",
        "root://cache.example.org:1094//https://xrootd-local.unl.edu:1094//store/user/AGC/nanoAOD/"
        f"{folder}/{name}",
    )


def test_unknown_mirror() -> None:
    with pytest.raises(ConfigurationError, match=r"'desy' \(.*cern, local, unl\)\n.*mirror_order"):
        _open_data(mirror_order=("desy",))


def _files(content: dict[str, Any]) -> tuple[DatasetFiles, ...]:
    source = inputs.FilesInput.model_validate(
        {
            "kind": "files",
            "mirrors": {"disk": "data"},
            "mirror_order": ["disk"],
            "datasets": content,
        }
    )
    return inputs.listed(source, ANALYSIS, PHYSICS)


def test_unknown_dataset() -> None:
    with pytest.raises(ConfigurationError, match=r"'ttbar__nominl' \(did you mean ttbar__n"):
        _files({"ttbar__nominl": {"files": {"a.root": 1}}})


@pytest.mark.parametrize("secret", ["https://me:word@a.example/", "https://a.example/?authz=abc"])
def test_an_address_with_credentials_is_refused_and_not_told(secret: str) -> None:
    dataset = ttbar(InputFile(urls=(secret,)))
    with pytest.raises(ConfigurationError, match="holds credentials") as error:
        datasets.checked([dataset], place="input.datasets")
    assert secret not in str(error.value)


def test_duplicate_files() -> None:
    with pytest.raises(ConfigurationError, match=r"more than once: data/a\.root"):
        _files(
            {
                "ttbar__nominal": {"files": {"a.root": 1, "b.root": 2}},
                "wjets__nominal": {"files": {"a.root": 1}},
            }
        )


class TestFileset:
    def write(self, folder: Path, content: Any) -> Path:
        path = folder / "fileset.json"
        path.write_text(json.dumps(content))
        return path

    def test_coffea_shapes(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            {
                "ttbar__nominal": {
                    "files": {
                        "a.root": "Events",
                        "/data/b.root": {
                            "object_path": "Events",
                            "num_entries": 7,
                            "steps": [[0, 7]],
                            "uuid": "x",
                        },
                        "root://door//c.root": {"object_path": "Events"},
                    }
                },
                "anything": {
                    "files": {"w.root": "Events"},
                    "metadata": {"process": "wjets", "xsec_pb": 3, "n_events": 9},
                },
            },
        )
        ttbar, wjets = filesets.read(path, ANALYSIS, PHYSICS)
        assert [(file.source, file.n_events) for file in ttbar.files] == [
            (str(tmp_path / "a.root"), None),
            ("/data/b.root", 7),
            ("root://door//c.root", None),
        ]
        assert (wjets.name, wjets.xsec_pb, ttbar.xsec_pb) == ("wjets__nominal", 3, 1.5)
        assert wjets.files[0].n_events == 9

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"ttbar__nominal": {"fiels": {}}}, "fiels"),
            ({"ttbar__nominal": {"files": {}}}, "files"),
            ({"ttbar__nominal": {"files": {"a.root": "Runs"}}}, "Events"),
            ({"zjets__nominal": {"files": {"a.root": "Events"}}}, "zjets__nominal"),
            (
                {
                    "ttbar__nominal": {
                        "files": {"a.root": "Events"},
                        "metadata": {"xsec_pb": -729.84},
                    }
                },
                "-729.84",
            ),
            (
                {
                    "ttbar__nominal": {
                        "files": {"a.root": "Events"},
                        "metadata": {"xsec_nb": 0.7},
                    }
                },
                "did you mean `xsec_pb`",
            ),
            (
                {
                    "ttbar__nominal": {
                        "files": {"a.root": {"num_entries": 3}},
                        "metadata": {"n_events": 4},
                    }
                },
                "add up to 3",
            ),
            (
                {
                    "ttbar__nominal": {"files": {"a.root": "Events", "b.root": "Events"}},
                    "ttbar__ME_var": {
                        "files": {"c.root": "Events"},
                        "metadata": {"subset_of": "ttbar__nominal"},
                    },
                },
                "ttbar__ME_var cannot be a part of ttbar__nominal",
            ),
            (
                {
                    "ttbar__ME_var": {
                        "files": {"c.root": "Events"},
                        "metadata": {"subset_of": "ttbar__nominal"},
                    },
                },
                "cannot be a part of ttbar__nominal",
            ),
            ({}, "no datasets are listed"),
            ({"ttbar__nominal": {}}, "`ttbar__nominal.files` is missing"),
            ({"ttbar__nominal": {"files": {}}}, "it is empty"),
            ([], "valid dictionary"),
            (
                {"ttbar__nominal": {"files": {"a.root": {"num_entries": 10**30}}}},
                "`ttbar__nominal.files.a.root.num_entries` cannot be 1000",
            ),
            (
                {
                    "ttbar__nominal": {
                        "files": {"https://a.org/a.root": {"record": "https://a.org/a.json"}}
                    }
                },
                "the record of https://a.org/a.root is on a server",
            ),
        ],
    )
    def test_mistakes(self, tmp_path: Path, content: Any, message: str) -> None:
        path = self.write(tmp_path, content)
        with pytest.raises(ConfigurationError) as caught:
            filesets.read(path, ANALYSIS, PHYSICS)
        assert message in str(caught.value)
        assert caught.value.place == str(path)

    def test_a_remote_file_has_its_record_here(self, tmp_path: Path) -> None:
        url = "https://a.org/a.root"
        content = {"ttbar__nominal": {"files": {url: {"record": "a.json"}}}}
        path = self.write(tmp_path, content)
        with pytest.raises(InputError, match=r"file not found(.|\n)*where: .*a\.json"):
            filesets.read(path, ANALYSIS, PHYSICS)
        (tmp_path / "a.json").write_text("{}")
        (dataset,) = filesets.read(path, ANALYSIS, PHYSICS)
        # What is on a server is nothing that Snakemake waits for.
        assert datasets.watched(dataset.files) == [str(tmp_path / "a.json")]

    def test_missing_or_broken_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="not found"):
            filesets.read(tmp_path / "none.json", ANALYSIS, PHYSICS)
        (tmp_path / "broken.json").write_text("{")
        with pytest.raises(InputError, match="not valid JSON"):
            filesets.read(tmp_path / "broken.json", ANALYSIS, PHYSICS)

    def test_what_is_written_can_be_read(self, tmp_path: Path) -> None:
        taken = datasets.take(_open_data(), 2)
        path = self.write(tmp_path, filesets.as_json(taken, ANALYSIS, folder=tmp_path))
        luminosity = PHYSICS.model_copy(update={"luminosity_per_pb": 3378.0})
        again = filesets.read(path, ANALYSIS, luminosity)
        assert [d.model_dump() for d in again] == [d.model_dump() for d in taken]


def test_the_fileset_of_a_run_is_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = read_config()
    first = Plan(config.load(values))
    for path in first.records:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps({"n_events": 7, "n_generated": 90}))
        Path(path).with_suffix(".root").touch()
    output = Path("results/fileset.json")
    fileset.run(fileset.configure(first), fileset.FilesetOptions(output=output))
    entry = json.loads(output.read_text())["ttbar__ME_var"]
    assert entry["metadata"] == {
        "process": "ttbar",
        "variation": "ME_var",
        "xsec_pb": 729.84,
        "subset_of": "ttbar__nominal",
    }
    assert entry["files"]["simulated/ttbar__ME_var/0001.root"] == {
        "object_path": "Events",
        "record": "simulated/ttbar__ME_var/0001.json",
        "num_entries": 7,
    }
    values["input"] = {"kind": "fileset", "path": str(output)}
    again = Plan(config.load(values))
    assert list(again.datasets) == list(first.datasets)
    for name, dataset in again.datasets.items():
        expected = first.datasets[name]
        assert (dataset.xsec_pb, dataset.luminosity_per_pb) == (expected.xsec_pb, 3378)
        assert dataset.subset_of == expected.subset_of
        assert [(file.urls, file.record) for file in dataset.files] == [
            (file.urls, file.record) for file in expected.files
        ]
        assert {file.n_events for file in dataset.files} == {7}


class TestDeclaredDatasets:
    """An analysis with data, with several datasets of a process and one of several processes."""

    def read(self, tmp_path: Path, content: Any) -> tuple[DatasetFiles, ...]:
        datasets = (
            Dataset("Z_low", ("Z",)),
            Dataset("Z_high", ("Z",)),
            Dataset("mixed", (Fill("Z", weight=len), Fill("W", weight=len)), cross_section="all"),
            Dataset("mu_2016", kind="data"),
        )
        analysis = replace(ANALYSIS, datasets=datasets, layout=Flat("mini", identity=("event",)))
        physics = PHYSICS.model_copy(update={"cross_sections_pb": {"Z": 2.0, "all": 3.0}})
        path = tmp_path / "fileset.json"
        path.write_text(json.dumps(content))
        found = filesets.read(path, analysis, physics)
        again = filesets.as_json(found, analysis, folder=tmp_path)
        path.write_text(json.dumps(again))
        assert filesets.read(path, analysis, physics) == found
        return found

    def test_they_are_told_apart_by_name(self, tmp_path: Path) -> None:
        content = {
            "Z_low": {"files": {"a.root": "mini"}},
            "mixed": {"files": {"b.root": "mini"}, "metadata": {"process": ["Z", "W"]}},
            "mu_2016": {"files": {"c.root": "mini"}},
        }
        assert [(d.name, d.xsec_pb) for d in self.read(tmp_path, content)] == [
            ("Z_low", 2.0),
            ("mixed", 3.0),
            ("mu_2016", None),
        ]

    @pytest.mark.parametrize(
        ("name", "tree", "metadata", "message"),
        [
            ("x", "mini", {"process": "Z"}, "x could be Z_low or Z_high"),
            ("x", "mini", {"process": "top"}, "unknown dataset 'x'"),
            ("mu_2016", "mini", {"xsec_pb": 3}, "the collision data mu_2016 have a cross section"),
            ("Z_low", "mini", {"process": "W"}, "name another dataset: W, nominal"),
            ("Z_low", "mini", {"variation": "up"}, "name another dataset: Z, up"),
            ("mu_2016", "mini", {"variation": "up"}, "name another dataset: up"),
            ("Z_low", "Events", {}, "in 'Events', not in 'mini'"),
            ("Z_lwo", "mini", {}, "did you mean Z_low"),
            ("Z_low", "mini", {"xsec_pb": True}, "xsec_pb` is wrong: true or false"),
        ],
    )
    def test_mistakes(
        self, tmp_path: Path, name: str, tree: str, metadata: Any, message: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=message):
            self.read(tmp_path, {name: {"files": {"a.root": tree}, "metadata": metadata}})


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 10))
def test_batches_hold_every_file_once_and_keep_it_when_files_are_added(
    n_files: int, files_per_job: int, added: int
) -> None:
    def dataset(n: int) -> DatasetFiles:
        files = tuple(InputFile(urls=(f"{i}.root",)) for i in range(n))
        return ttbar(*files)

    before = datasets.batches(dataset(n_files), files_per_job)
    after = datasets.batches(dataset(n_files + added), files_per_job)
    assert [file for batch in before.values() for file in batch] == list(dataset(n_files).files)
    assert all(1 <= len(batch) <= files_per_job for batch in before.values())
    changed = {number for number in after if after[number] != before.get(number)}
    assert len(changed) <= (added + files_per_job - 1) // files_per_job + 1
    assert list(before)[:-1] == [number for number in list(before)[:-1] if number not in changed]


def test_take_limits_each_dataset() -> None:
    everything = _open_data()
    assert datasets.take(everything, -1) == everything
    assert [len(dataset.files) for dataset in datasets.take(everything, 5)] == [
        min(5, len(dataset.files)) for dataset in everything
    ]


@pytest.mark.parametrize(
    ("n_files", "n_events", "expected"),
    [
        (787, 1_195_000, 1),
        # Small files: about a million events for each job.
        (100, 30_000, 32),
        (2000, None, 1),
        # Many files: about 2000 jobs at most.
        (2001, None, 2),
        (20_000, 1_200_000, 16),
        (10, 0, 1),
    ],
)
def test_files_for_each_job_suit_the_list(
    n_files: int, n_events: int | None, expected: int
) -> None:
    files = tuple(InputFile(urls=(f"{i}.root",), n_events=n_events) for i in range(n_files))
    made = ttbar(*files)
    assert datasets.files_per_job([made]) == expected
