"""H to ZZ* to four leptons in ATLAS Open Data at 13 TeV, 10 /fb.

Source: task of the IRIS-HEP Analysis Grand Challenge, analyses/atlas-open-data-hzz, on the 4lep
collection of the ATLAS Open Data release 2020 (DOI 10.7483/OPENDATA.ATLAS.2Y1T.TLGL). The tighter
selection is that of ROOT's tutorial df106.
"""

from functools import partial

from agc_pipeline.declaration import (
    Analysis,
    Columns,
    Cut,
    Dataset,
    EventCut,
    Flat,
    Free,
    Process,
    Region,
    Systematic,
    Variation,
)

from .features import FEATURES
from .leptons import (
    channel,
    channel_mass,
    four_lepton_mass,
    four_leptons,
    with_tight_leptons,
)
from .settings import HzzPhysics, Selection
from .systematics import (
    electron_efficiency,
    scale_factors,
    scaled_masses,
    shifted_momenta,
)
from .thresholds import THRESHOLDS
from .weights import WEIGHTS, sum_of_weights, weight

TASK = ("Signal_region",)
CHANNELS = ("4e", "2e2mu", "4mu")
SIMULATED = ("Z_tt", "ZZ", "signal")
# Of the mass, GeV: those of the task, and narrower ones around 125 GeV as in df106.
_TASK_EDGES = tuple(80.0 + 5.0 * number for number in range(35))
_CHANNEL_EDGES = tuple(80.0 + 3.75 * number for number in range(25))
# Where the Higgs boson is, between edges.
_TASK_WINDOW, _CHANNEL_WINDOW = (115.0, 130.0), (117.5, 132.5)
_LABEL = r"$m_{4\ell}$ [GeV]"


def reads(_: Dataset) -> Columns:
    """Collection to the fields that the functions of the regions read."""
    return {
        "": ("lep_n", "trigE", "trigM"),
        "lep": (
            *("pt", "eta", "phi", "E", "charge", "type"),
            *("ptcone30", "etcone20", "z0", "trackd0pvunbiased", "tracksigd0pvunbiased"),
            "pt_syst",
        ),
    }


def requirements(selection: Selection, _: Dataset) -> tuple[EventCut, ...]:  # noqa: ARG001
    """What every event has: four leptons or more, of which four may be tight."""
    return (EventCut("", Cut("lep_n", ">=", 4), label="four leptons or more"),)


ANALYSIS = Analysis(
    name="atlas_hzz",
    settings=HzzPhysics,
    regions=(
        Region(
            name="Signal_region",
            title="Signal region",
            observable="m4l",
            label=_LABEL,
            edges=_TASK_EDGES,
            mask=four_leptons,
            values=four_lepton_mass,
            blinded=_TASK_WINDOW,
            selection="task",
            window=True,
        ),
        *(
            Region(
                name=name,
                title=title,
                observable="m4l",
                label=_LABEL,
                edges=_CHANNEL_EDGES,
                mask=partial(channel, n_electrons),
                values=channel_mass,
                blinded=_CHANNEL_WINDOW,
                selection="tight",
                window=True,
            )
            for name, title, n_electrons in (
                ("4e", "4e", 4),
                ("2e2mu", "2e2mu", 2),
                ("4mu", "4mu", 0),
            )
        ),
    ),
    processes=(
        Process("Z_tt", "Background Z, ttbar"),
        Process("ZZ", "Background ZZ*"),
        Process("signal", "Signal"),
    ),
    # Weights are mcWeight times scale factors: their size is the generator's.
    datasets=(
        Dataset("Zee", ("Z_tt",), cross_section="Zee", unit=1900.0),
        Dataset("Zmumu", ("Z_tt",), cross_section="Zmumu", unit=1900.0),
        Dataset("ttbar_lep", ("Z_tt",), cross_section="ttbar_lep", unit=1.0),
        Dataset("llll", ("ZZ",), cross_section="llll", unit=0.4),
        Dataset("ggH125_ZZ4lep", ("signal",), cross_section="ggH125_ZZ4lep", unit=28.0),
        Dataset("VBFH125_ZZ4lep", ("signal",), cross_section="VBFH125_ZZ4lep", unit=3.8),
        Dataset("WH125_ZZ4lep", ("signal",), cross_section="WH125_ZZ4lep", unit=1.0),
        Dataset("ZH125_ZZ4lep", ("signal",), cross_section="ZH125_ZZ4lep", unit=1.0),
        Dataset("data", kind="data"),
    ),
    systematics=(
        # The three of the task, in its region.
        Systematic(
            "Scalefactor_variation",
            SIMULATED,
            up=Variation("SF_up", weight=partial(scale_factors, 1.0)),
            down=Variation("SF_down", weight=partial(scale_factors, -1.0)),
            regions=TASK,
        ),
        Systematic(
            "m4l_variation",
            SIMULATED,
            up=Variation("m4l_up", records=partial(scaled_masses, 1.0)),
            down=Variation("m4l_down", records=partial(scaled_masses, -1.0)),
            regions=TASK,
        ),
        Systematic("ZZ_norm", effects={"ZZ": 0.10}),
        # What public inputs allow, in the channels of the tight selection.
        Systematic(
            "Electron efficiency",
            SIMULATED,
            up=Variation("electron_efficiency_up", weight=partial(electron_efficiency, 1.0)),
            down=Variation("electron_efficiency_down", weight=partial(electron_efficiency, -1.0)),
            regions=CHANNELS,
        ),
        Systematic(
            "Lepton momentum scale",
            SIMULATED,
            up=Variation("lep_pt_up", records=partial(shifted_momenta, 1.0)),
            down=Variation("lep_pt_down", records=partial(shifted_momenta, -1.0)),
            regions=CHANNELS,
        ),
        Systematic("Luminosity", effects=dict.fromkeys(SIMULATED, 0.021), regions=CHANNELS),
        Systematic("Reducible background", effects={"Z_tt": 0.3}, regions=CHANNELS),
    ),
    free=(Free("Signal_norm", ("signal",), bounds=(0.0, 10.0)),),
    requirements=requirements,
    derived=with_tight_leptons,
    reads=reads,
    weight=weight,
    weight_reads={"": WEIGHTS},
    generated=sum_of_weights,
    thresholds=THRESHOLDS,
    features=FEATURES,
    layout=Flat("mini", identity=("runNumber", "eventNumber")),
)
