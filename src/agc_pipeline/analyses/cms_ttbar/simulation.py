"""How each dataset is simulated: Pythia's settings, the number of events, and the calibration.

Everything is leading order with showers tuned to stand in for the samples of the real analysis;
multiple parton interactions and hadronisation are off, which makes Pythia several times faster
and leaves the shapes of the observables unchanged once the jet energy scale is adapted.

The parameters of the showers (damping of hard initial-state emissions, renormalisation scales) are
adapted to the shapes that the task has published for each dataset: the names of the variations say
which sample a dataset stands in for, not how that sample was generated.

The calibration makes the yields of the simulated datasets those of the published histograms.
Leading-order Pythia does not predict these yields: the W+jets sample starts at a recoil of 60 GeV,
hard emissions are tuned, electrons are identified more often than in CMS, a few per cent of the
events fall to the filter before the shower. So the number of events that a file stands for is
corrected until the acceptance of the selection (the fraction of all generated events that is
in one of the two regions) is that of the published histograms, and the efficiency of b-tagging in
the ttbar datasets until their ratio of the two regions agrees, too: Herwig++ and aMC@NLO have other
b jets than Powheg with Pythia. Wherever such yields are shown, they agree by construction.
"""

from pathlib import Path
from typing import Any, ClassVar

from agc_pipeline.simulation.settings import (
    Recipe,
    Recipes,
    SimulationJob,
    SimulationSettings,
    recipe_of,
)

_COMMON = (
    "Beams:eCM = 13000.",
    # Mass used for the samples of the analysis.
    "6:m0 = 172.5",
    "PartonLevel:MPI = off",
    # Decays stay on: they are those of the tau.
    "HadronLevel:Hadronize = off",
    # Emissions below do not change a jet above 30 GeV; without hadronisation nobody needs them.
    "TimeShower:pTmin = 2.0",
    "SpaceShower:pTmin = 1.0",
    # The detector simulation measures the energy of an electron together with its photons.
    "TimeShower:QEDshowerByL = off",
    "Check:event = off",
)


def _damped(fudge: float) -> tuple[str, ...]:
    """Initial-state emissions above the hard scale, damped: the imitation of POWHEG's hdamp."""
    return (
        "SpaceShower:pTmaxMatch = 2",
        "SpaceShower:pTdampMatch = 2",
        f"SpaceShower:pTdampFudge = {fudge}",
    )


def _scale(factor: float) -> tuple[str, ...]:
    """Square of the factor on the renormalisation scale of both showers."""
    return (
        f"TimeShower:renormMultFac = {factor}",
        f"SpaceShower:renormMultFac = {factor}",
    )


_TTBAR = (*_COMMON, "Top:gg2ttbar = on", "Top:qqbar2ttbar = on")

# Pythia has no b g -> t W. Its b g -> t H- with a charged Higgs boson as heavy, as wide and with
# the same decays as a W has the kinematics; the boson is renamed where the record is read.
_TW = (
    "Higgs:useBSM = on",
    "HiggsBSM:bg2H+-t = on",
    "37:m0 = 80.385",
    "37:mWidth = 2.085",
    "37:doForceWidth = on",
    "37:mMin = 60.",
    "37:mMax = 100.",
    # meMode 101: the branching ratio is the one stated. W decays, Review of Particle Physics.
    "37:oneChannel = 1 0.1086 101 -11 12",
    "37:addChannel = 1 0.1086 101 -13 14",
    "37:addChannel = 1 0.1086 101 -15 16",
    "37:addChannel = 1 0.3371 101 2 -1",
    "37:addChannel = 1 0.3371 101 4 -3",
    "6:onMode = off",
    "6:onIfAny = 24",
)

# A chunk takes 2 to 5 s and a file 5 to 15 s of one core, all of it five and a half minutes, shared
# out with a view to the fit: to the templates to whose precision it is most sensitive. These are
# those of the variations, whose noise counts as an effect of the systematic: together they have
# more than twice the events of the nominal sample.
#
# Calibration measured with the default seed, the first two files of each variation and three passes
# of the detector; statistical precision 0.6 % for ttbar, 1 % for its variations, 2 to 5 % for the
# others. A factor of 1.29 in each is the inefficiency of electrons that ``lepton_response`` leaves
# out.
# Published acceptances in % (4j1b, 4j2b): ttbar 0.951, 2.127; ME 1.242, 2.536; PS 1.037, 2.043;
# scaleup 0.962, 2.229; scaledown 0.922, 1.958; s-channel 0.0726, 0.1685; t-channel 0.0704, 0.1266;
# tW 0.697, 0.921; W+jets 0.0114, 0.0038 (all files of the task, entries / nevts).
RECIPES = {
    "ttbar__nominal": Recipe(
        cards=(*_TTBAR, *_damped(1.0)),
        decays="plus",
        parts=4,
        chunks_per_part=8,
        showers=4000,
        n_generated_factor=1.259,
        bottom_exponent=1.22,
    ),
    "ttbar__ME_var": Recipe(
        cards=(*_TTBAR, *_damped(2.5)),
        decays="plus",
        parts=4,
        chunks_per_part=5,
        showers=4000,
        n_generated_factor=1.107,
        bottom_exponent=1.345,
    ),
    "ttbar__PS_var": Recipe(
        cards=(*_TTBAR, *_damped(0.7), "TimeShower:renormMultFac = 0.4"),
        decays="plus",
        parts=4,
        chunks_per_part=5,
        showers=4000,
        n_generated_factor=1.116,
        bottom_exponent=1.40,
    ),
    "ttbar__scaleup": Recipe(
        cards=(*_TTBAR, *_damped(1.0), *_scale(2.0)),
        decays="plus",
        parts=4,
        chunks_per_part=5,
        showers=4000,
        n_generated_factor=1.210,
        bottom_exponent=1.18,
    ),
    "ttbar__scaledown": Recipe(
        cards=(*_TTBAR, *_damped(1.0), *_scale(0.5)),
        decays="plus",
        parts=4,
        chunks_per_part=5,
        showers=4000,
        n_generated_factor=1.340,
        bottom_exponent=1.27,
    ),
    "single_top_s_chan__nominal": Recipe(
        cards=(*_COMMON, "Top:ffbar2tqbar(s:W) = on", *_damped(1.4)),
        decays="any",
        parts=1,
        chunks_per_part=3,
        showers=5000,
        n_generated_factor=1.186,
        bottom_exponent=1.22,
    ),
    "single_top_t_chan__nominal": Recipe(
        cards=(*_COMMON, "Top:qq2tq(t:W) = on", *_damped(1.0)),
        decays="any",
        parts=1,
        chunks_per_part=4,
        showers=4000,
        n_generated_factor=1.046,
        bottom_exponent=1.22,
    ),
    "single_top_tW__nominal": Recipe(
        cards=(*_COMMON, *_TW, *_damped(2.5)),
        decays="open",
        parts=1,
        chunks_per_part=3,
        showers=3000,
        n_generated_factor=1.264,
        bottom_exponent=1.22,
    ),
    "wjets__nominal": Recipe(
        cards=(
            *_COMMON,
            "WeakBosonAndParton:qqbar2Wg = on",
            "WeakBosonAndParton:qg2Wq = on",
            "PhaseSpace:pTHatMin = 60.",
            *_damped(2.0),
        ),
        decays="any",
        min_partons=4,
        parts=3,
        chunks_per_part=5,
        showers=2000,
        n_generated_factor=3.537,
        bottom_exponent=1.22,
    ),
}


class Simulation(SimulationSettings):
    """Size and seed of the simulated input."""

    recipes: ClassVar[Recipes] = RECIPES


SETTINGS = Simulation
JOB = SimulationJob
PACKAGES = ("awkward", "fastjet", "numpy", "pythia8mc", "uproot")


def write(job: SimulationJob, path: Path) -> dict[str, Any]:
    """Simulate the events of a job and write them as NanoAOD, see ``SimulationModule``."""
    # The generator takes long to import, and only its jobs need it.
    from agc_pipeline.simulation import nanoaod, production  # noqa: PLC0415

    simulated = production.simulate(job, recipe_of(RECIPES, job.dataset))
    nanoaod.write(path, simulated.events, n_generated=simulated.n_generated)
    return {
        "n_events": len(simulated.events),
        "n_generated": simulated.n_generated,
        "content_hash": nanoaod.content_hash(simulated.events),
    }
