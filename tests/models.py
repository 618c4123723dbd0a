"""Workspaces of other models than that of the analysis: small ones, and published ones."""

from typing import Any

from agc_pipeline.inference.settings import ToyTestSettings

MU = ("normfactor", None)
NO_TOYS = ToyTestSettings(count=0, seed=0)


def spec(
    *channels: Any,
    parameters: tuple[Any, ...] = (),
    bounds: tuple[float, float] = (0, 10),
    poi: str = "mu",
) -> Any:
    """A workspace of channels, each a name, its data and its samples."""
    return {
        "version": "1.0.0",
        "channels": [{"name": name, "samples": list(samples)} for name, _, *samples in channels],
        "observations": [{"name": name, "data": data} for name, data, *_ in channels],
        "measurements": [
            {
                "name": "measurement",
                "config": {
                    "poi": poi,
                    "parameters": [{"name": poi, "bounds": [list(bounds)]}, *parameters],
                },
            }
        ],
    }


def sample(name: str, data: list[float], *modifiers: tuple[str, str, Any]) -> Any:
    """A sample with modifiers, each a name, its kind and its data."""
    return {
        "name": name,
        "data": data,
        "modifiers": [{"name": n, "type": t, "data": d} for n, t, d in modifiers],
    }


def uncorrelated(
    signal: list[float], background: list[float], uncertainty: list[float], data: list[float]
) -> Any:
    """Signal, and a background with a Poisson uncertainty in each bin."""
    return spec(
        (
            "singlechannel",
            data,
            sample("signal", signal, ("mu", *MU)),
            sample("background", background, ("uncorr_bkguncrt", "shapesys", uncertainty)),
        )
    )


# The validation cases of pyhf, as its own tests and docs/examples/json specify them.
# Source: https://github.com/scikit-hep/pyhf, tests/test_validation.py and
# docs/examples/json/2-bin_1-channel.json, 2-bin_2-channel.json.
ONE_BIN = uncorrelated([30.0], [100.0], [7.0], [120.0])
TWO_BINS = uncorrelated([30.0, 95.0], [100.0, 150.0], [10.0, 10.0], [120.0, 180.0])

TWO_BINS_HISTOSYS = spec(
    (
        "singlechannel",
        [120.0, 180.0],
        sample("signal", [30.0, 95.0], ("mu", *MU)),
        sample(
            "background",
            [100.0, 150.0],
            ("bkg_norm", "histosys", {"lo_data": [80.0, 135.0], "hi_data": [130.0, 180.0]}),
        ),
    )
)

TWO_CHANNELS = spec(
    (
        "signal",
        [110.0, 155.0],
        sample("signal", [30.0, 20.0], ("mu", *MU)),
        sample("bkg1", [100.0, 90.0], ("coupled_normsys", "normsys", {"lo": 0.9, "hi": 1.1})),
        sample("bkg2", [50.0, 70.0], ("coupled_normsys", "normsys", {"lo": 0.5, "hi": 1.5})),
    ),
    (
        "control",
        [205.0, 345.0],
        sample(
            "background", [100.0, 150.0], ("coupled_normsys", "normsys", {"lo": 0.9, "hi": 1.1})
        ),
    ),
)

# A data-driven background: its shape is taken from a control region.
COUPLED_SHAPEFACTOR = spec(
    (
        "signal",
        [220.0, 230.0],
        sample("signal", [20.0, 10.0], ("mu", *MU)),
        sample("bkg1", [100.0, 100.0], ("coupled_shapefactor", "shapefactor", None)),
    ),
    (
        "control",
        [200.0, 300.0],
        sample("background", [100.0, 100.0], ("coupled_shapefactor", "shapefactor", None)),
    ),
)

LUMINOSITY = spec(
    (
        "channel",
        [122.0, 112.0],
        sample("signal", [20.0, 10.0], ("mu", *MU), ("lumi", "lumi", None)),
        sample(
            "background1",
            [100.0, 0.0],
            ("staterror_channel", "staterror", [5.0, 0.0]),
            ("lumi", "lumi", None),
        ),
        sample(
            "background2",
            [0.0, 100.0],
            ("staterror_channel", "staterror", [0.0, 10.0]),
            ("lumi", "lumi", None),
        ),
    ),
    parameters=(
        {
            "name": "lumi",
            "auxdata": [1.0],
            "sigmas": [0.1],
            "bounds": [[0.5, 1.5]],
            "inits": [1.0],
            "fixed": False,
        },
    ),
)

# The example workspace of cabinetry, with one channel and one bin, and all systematics on both.
# Source: https://github.com/scikit-hep/cabinetry, tests/conftest.py.
CABINETRY = spec(
    (
        "Signal Region",
        [475.0],
        sample(
            "Signal",
            [51.839756],
            ("staterror_Signal-Region", "staterror", [2.5695188]),
            ("Signal strength", *MU),
        ),
        sample(
            "Background",
            [300.0],
            ("staterror_Signal-Region", "staterror", [15.0]),
            ("Luminosity", "normsys", {"hi": 1.05, "lo": 0.95}),
            ("Modeling", "histosys", {"hi_data": [340.0], "lo_data": [260.0]}),
        ),
    ),
    poi="Signal strength",
)

EVERYTHING = spec(
    (
        "a",
        [105.0, 160.0, 75.0],
        sample(
            "signal",
            [20.0, 30.0, 10.0],
            ("mu", *MU),
            ("lumi", "lumi", None),
            ("scale", "normsys", {"lo": 0.8, "hi": 1.3}),
        ),
        sample(
            "fake",
            [60.0, 80.0, 40.0],
            ("shape", "histosys", {"lo_data": [50.0, 85.0, 41.0], "hi_data": [75.0, 79.0, 37.0]}),
            ("shape", "normsys", {"lo": 0.95, "hi": 1.02}),
            ("poisson", "shapesys", [6.0, 9.0, 5.0]),
        ),
        sample("free", [20.0, 40.0, 25.0], ("free_shape", "shapefactor", None)),
        sample("small", [5.0, 6.0, 3.0], ("mc", "staterror", [1.0, 0.8, 0.0])),
    ),
    (
        "b",
        [210.0, 390.0, 260.0],
        sample("free", [200.0, 400.0, 250.0], ("free_shape", "shapefactor", None)),
        sample(
            "small",
            [15.0, 8.0, 3.0],
            ("scale", "normsys", {"lo": 1.1, "hi": 0.9}),
            ("other_mc", "staterror", [2.0, 1.0, 0.5]),
        ),
    ),
    parameters=(
        {
            "name": "lumi",
            "auxdata": [1.0],
            "sigmas": [0.03],
            "bounds": [[0.7, 1.3]],
            "inits": [1.0],
        },
    ),
)

MODELS = {
    "one bin": ONE_BIN,
    "two bins": TWO_BINS,
    "two bins, histosys": TWO_BINS_HISTOSYS,
    "two channels": TWO_CHANNELS,
    "coupled shapefactor": COUPLED_SHAPEFACTOR,
    "luminosity": LUMINOSITY,
    "cabinetry": CABINETRY,
    "everything": EVERYTHING,
}
