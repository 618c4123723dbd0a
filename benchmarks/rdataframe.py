"""The textbook's analysis once more, with ROOT's RDataFrame: a program for ROOT's interpreter.

    python rdataframe.py < REQUESTS > ANSWERS

Each line of the requests is a JSON object with ``files``, the ``process`` that their events are
of, and the ``tree``. Each line of the answers has the CPU seconds of the event loop and of making
it, and the contents of the histograms with under- and overflow, by region and variation. One
thread; leptons are looked at first, jets where these pass.
"""

import json
import sys
import time
import warnings

warnings.filterwarnings("ignore")

import correctionlib  # noqa: E402
import ROOT  # noqa: E402

ROOT.gROOT.SetBatch(True)
correctionlib.register_pyroot_binding()

# What the numbers of the resolution depend on, and their distribution.
GENERATOR = {
    "schema_version": 2,
    "corrections": [
        {
            "name": "normal",
            "version": 1,
            "inputs": [
                {"name": name, "type": "int"}
                for name in ("seed", "run", "luminosityBlock", "event", "jet")
            ],
            "output": {"name": "number", "type": "real"},
            "data": {
                "nodetype": "hashprng",
                "inputs": ["seed", "run", "luminosityBlock", "event", "jet"],
                "distribution": "normal",
            },
        }
    ],
}

ROOT.gInterpreter.Declare(
    f"""
#include <cmath>
#include <Math/Vector4D.h>
using Floats = ROOT::RVec<float>;
auto generator = correction::CorrectionSet::from_string(R"json({json.dumps(GENERATOR)})json")
    ->at("normal");

Floats smeared(const Floats &pt, unsigned run, unsigned block, unsigned long long event) {{
    Floats result(pt.size());
    for (int jet = 0; jet < int(pt.size()); ++jet)
        result[jet] = pt[jet] * (1 + 0.05 * generator->evaluate(
            {{1, int(run), int(block), int(event), jet}}));
    return result;
}}

// Mass of the three jets with the largest momentum of those with a tag among them.
double trijet_mass(const Floats &pt, const Floats &eta, const Floats &phi, const Floats &mass,
                   const Floats &tag) {{
    std::vector<ROOT::Math::PxPyPzMVector> jets;
    for (size_t i = 0; i < pt.size(); ++i)
        jets.emplace_back(ROOT::Math::PtEtaPhiMVector(pt[i], eta[i], phi[i], mass[i]));
    double largest = -1, found = -1;
    for (size_t i = 0; i < jets.size(); ++i)
        for (size_t j = i + 1; j < jets.size(); ++j)
            for (size_t k = j + 1; k < jets.size(); ++k) {{
                if (std::max({{tag[i], tag[j], tag[k]}}) <= 0.5) continue;
                const auto sum = jets[i] + jets[j] + jets[k];
                if (sum.Pt() > largest) {{
                    largest = sum.Pt();
                    found = sum.M();
                }}
            }}
    return found;
}}
"""
)
ELECTRON = (
    "Sum(Electron_pt > 30 && abs(Electron_eta) < 2.1 && Electron_cutBased == 4 && "
    "Electron_sip3d < 4)"
)
MUON = (
    "Sum(Muon_pt > 30 && abs(Muon_eta) < 2.1 && Muon_tightId && Muon_sip3d < 4 && "
    "Muon_pfRelIso04_all < 0.15)"
)
PT = {
    "nominal": "Jet_pt",
    "pt_scale_up": "Floats(Jet_pt * 1.03f)",
    "pt_res_up": "smeared(Jet_pt, run, luminosityBlock, event)",
}
BINS = (25, 50.0, 550.0)


def histograms(files, process, tree):
    """Contents of the histograms by region and variation."""
    events = ROOT.RDataFrame(tree, files)
    leptons = events.Filter(f"{ELECTRON} + {MUON} == 1")
    booked = {}
    for variation, pt in PT.items():
        jets = (
            leptons.Define("pt_all", pt)
            .Define("good", "pt_all > 30 && abs(Jet_eta) < 2.4 && Jet_jetId == 6")
            .Filter("Sum(good) >= 4")
            .Define("pt", "Floats(pt_all[good])")
            .Define("tag", "Floats(Jet_btagCSVV2[good])")
            .Define("n_tags", "Sum(tag > 0.5)")
        )
        regions = {
            "4j1b": jets.Filter("n_tags == 1").Define("observable", "double(Sum(pt))"),
            "4j2b": jets.Filter("n_tags >= 2").Define(
                "observable",
                "trijet_mass(pt, Jet_eta[good], Jet_phi[good], Jet_mass[good], tag)",
            ),
        }
        for region, frame in regions.items():
            model = ("", "", *BINS)
            booked[region, variation] = frame.Histo1D(model, "observable")
            if variation != "nominal":
                continue
            weights = {
                f"btag_var_{i}_{way}": f"1 {sign} 0.075 * pt[{i}] / 50"
                for i in range(4)
                for way, sign in (("up", "+"), ("down", "-"))
            }
            if process == "wjets":
                weights |= {"scale_var_up": "1.025", "scale_var_down": "0.975"}
            for name, weight in weights.items():
                weighted = frame.Define("weight", f"double({weight})")
                booked[region, name] = weighted.Histo1D(model, "observable", "weight")
    # All in one loop.
    ROOT.RDF.RunGraphs(list(booked.values()))
    contents = {}
    for (region, variation), histogram in booked.items():
        values = [histogram.GetBinContent(i) for i in range(BINS[0] + 2)]
        contents.setdefault(region, {})[variation] = values
    return contents


def main():
    """Answer requests until there are no more."""
    for line in sys.stdin:
        request = json.loads(line)
        start = time.process_time()
        contents = histograms(request["files"], request["process"], request["tree"])
        answer = {
            "cpu": time.process_time() - start,
            "histograms": contents,
            "version": ROOT.gROOT.GetVersion(),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
