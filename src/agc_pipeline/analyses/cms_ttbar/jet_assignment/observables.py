"""The observables of the assigned jets: the features of the assignment that scores highest.

Light, as everything of the declaration. Source: task of the IRIS-HEP Analysis Grand Challenge,
version 2, machine learning.
"""

from agc_pipeline.declaration import Region

from ..regions import two_tags

# Where jets are assigned, and what it is called there.
SIGNAL_REGION = "4j2b"
_TITLE = "4j2b SR"

_N_BINS = 25
_DELTA_R = (0.0, 6.0)
_PAIR_MASS = (50.0, 300.0)
_TRIPLET = (50.0, 550.0)
_JET_PT = (25.0, 300.0)
_BTAG = (0.0, 1.0)
_QGL = (-1.0, 1.0)

_B_HADRONIC = r"b_{\mathrm{had}}"
_B_LEPTONIC = r"b_{\mathrm{lep}}"

# Name, label and range of each, in the order of the models' columns.
_OBSERVABLES = (
    ("deltar_leptonbtoplep", rf"$\Delta R(\ell, {_B_LEPTONIC})$", _DELTA_R),
    ("deltar_w1w2", r"$\Delta R(q_1, q_2)$", _DELTA_R),
    ("deltar_w1btophad", rf"$\Delta R(q_1, {_B_HADRONIC})$", _DELTA_R),
    ("deltar_w2btophad", rf"$\Delta R(q_2, {_B_HADRONIC})$", _DELTA_R),
    ("mass_leptonbtoplep", rf"$m(\ell, {_B_LEPTONIC})$ [GeV]", _PAIR_MASS),
    ("mass_w1w2", r"$m(q_1, q_2)$ [GeV]", _PAIR_MASS),
    ("mass_w1w2btophad", rf"$m(q_1, q_2, {_B_HADRONIC})$ [GeV]", _TRIPLET),
    ("pt_w1w2btophad", rf"$p_T(q_1, q_2, {_B_HADRONIC})$ [GeV]", _TRIPLET),
    ("pt_w1", r"$p_T(q_1)$ [GeV]", _JET_PT),
    ("pt_w2", r"$p_T(q_2)$ [GeV]", _JET_PT),
    ("pt_btophad", rf"$p_T({_B_HADRONIC})$ [GeV]", _JET_PT),
    ("pt_btoplep", rf"$p_T({_B_LEPTONIC})$ [GeV]", _JET_PT),
    ("btag_w1", r"CSVv2 of $q_1$", _BTAG),
    ("btag_w2", r"CSVv2 of $q_2$", _BTAG),
    ("btag_btophad", rf"CSVv2 of ${_B_HADRONIC}$", _BTAG),
    ("btag_btoplep", rf"CSVv2 of ${_B_LEPTONIC}$", _BTAG),
    ("qgl_w1", r"quark-gluon likelihood of $q_1$", _QGL),
    ("qgl_w2", r"quark-gluon likelihood of $q_2$", _QGL),
    ("qgl_btophad", rf"quark-gluon likelihood of ${_B_HADRONIC}$", _QGL),
    ("qgl_btoplep", rf"quark-gluon likelihood of ${_B_LEPTONIC}$", _QGL),
)


def _edges(low: float, high: float) -> tuple[float, ...]:
    # Rounded once each, so that edges such as 0.2 are the numbers that people write.
    return tuple((low * (_N_BINS - i) + high * i) / _N_BINS for i in range(_N_BINS + 1))


ASSIGNED_REGIONS = tuple(
    Region(
        name,
        f"{_TITLE}, {name}",
        name,
        label,
        _edges(*span),
        mask=two_tags,
        fitted=False,
        # Its own observable is the mass of the trijet.
        rival=SIGNAL_REGION if name == "mass_w1w2btophad" else None,
    )
    for name, label, span in _OBSERVABLES
)
"""A region for each feature: the signal region, and the feature of the assignment there."""

CONVENTION = "w1 is the later of the two jets of the W boson in the file, w2 the earlier"
"""The task tells the two jets apart in this way, which the names of the features do not say."""

FEATURES = tuple(region.observable for region in ASSIGNED_REGIONS)
"""Names of the features, in the order of the models' columns."""
