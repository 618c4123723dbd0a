// The analysis with ROOT's RDataFrame, for `rdataframe.py`: selection, observables and variations as
// the package has them. The random numbers of the resolution are those of correctionlib's "hashprng",
// whose code ROOT's interpreter does not load: XXH64 of the identity seeds a PCG32, which draws by
// the polar method.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ROOT/RDataFrame.hxx>
#include <ROOT/RVec.hxx>

namespace agc {

using Floats = ROOT::RVec<float>;
using Integers = ROOT::RVec<int>;
using Booleans = ROOT::RVec<bool>;
using Words = std::array<std::uint64_t, 5>;

constexpr std::uint64_t kSeed = 2015;
constexpr double kLargest = 6.0;
constexpr int kBtagged = 4;

inline std::uint64_t rotated(std::uint64_t value, int bits) {
  return value << bits | value >> (64 - bits);
}

// XXH64 (Y. Collet) of 40 bytes with the seed 0.
inline std::uint64_t hashed(const Words &words) {
  constexpr std::uint64_t p1 = 11400714785074694791ULL, p2 = 14029467366897019727ULL,
                          p3 = 1609587929392839161ULL, p4 = 9650029242287828579ULL;
  auto round = [](std::uint64_t sum, std::uint64_t word) {
    return rotated(sum + word * p2, 31) * p1;
  };
  const std::array<std::uint64_t, 4> lanes{round(p1 + p2, words[0]), round(p2, words[1]),
                                           round(0, words[2]), round(0 - p1, words[3])};
  std::uint64_t hash =
      rotated(lanes[0], 1) + rotated(lanes[1], 7) + rotated(lanes[2], 12) + rotated(lanes[3], 18);
  for (auto lane : lanes)
    hash = (hash ^ round(0, lane)) * p1 + p4;
  hash += sizeof(Words);
  hash = rotated(hash ^ round(0, words[4]), 27) * p1 + p4;
  hash = (hash ^ hash >> 33) * p2;
  hash = (hash ^ hash >> 29) * p3;
  return hash ^ hash >> 32;
}

// PCG32 with its default stream (M. O'Neill, HMC-CS-2014-0905).
class Random {
public:
  explicit Random(std::uint64_t seed) : state_((seed + kIncrement) * kFactor + kIncrement) {}

  double symmetric() {
    const std::uint64_t old = state_;
    state_ = old * kFactor + kIncrement;
    const auto mixed = static_cast<std::uint32_t>((old >> 18 ^ old) >> 27);
    const auto turn = static_cast<std::uint32_t>(old >> 59);
    return std::ldexp(mixed >> turn | mixed << (-turn & 31), -31) - 1;
  }

private:
  static constexpr std::uint64_t kFactor = 6364136223846793005ULL;
  static constexpr std::uint64_t kIncrement = 1442695040888963407ULL;
  std::uint64_t state_;
};

inline double normal(const Words &identity) {
  Random random(hashed(identity));
  while (true) {
    const double u = random.symmetric(), v = random.symmetric();
    const double s = u * u + v * v;
    if (s < 1.0 && s != 0.0)
      return std::clamp(u * std::sqrt(-2.0 * std::log(s) / s), -kLargest, kLargest);
  }
}

// Whether an event has one good lepton.
inline bool one_lepton(const Floats &electron_pt, const Floats &electron_eta,
                       const Integers &cut_based, const Floats &electron_sip3d,
                       const Floats &muon_pt, const Floats &muon_eta, const Booleans &tight,
                       const Floats &muon_sip3d, const Floats &isolation) {
  int leptons = 0;
  for (std::size_t i = 0; i < electron_pt.size(); ++i)
    leptons += cut_based[i] == 4 && electron_pt[i] > 30 && std::abs(double(electron_eta[i])) < 2.1 &&
               electron_sip3d[i] < 4;
  for (std::size_t i = 0; i < muon_pt.size(); ++i)
    leptons += tight[i] && muon_pt[i] > 30 && std::abs(double(muon_eta[i])) < 2.1 &&
               muon_sip3d[i] < 4 && double(isolation[i]) < 0.15;
  return leptons == 1;
}

// An event with the jets of a variation: in region 1 (4j1b), 2 (4j2b) or none, 0.
struct Event {
  int region = 0;
  double observable = 0;
  std::array<double, kBtagged> leading{};
};

inline double trijet_mass(const std::vector<std::size_t> &good, const std::vector<double> &pt,
                          const Floats &eta, const Floats &phi, const Floats &mass,
                          const Floats &tag) {
  const std::size_t n = good.size();
  std::vector<double> x(n), y(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = pt[good[i]] * std::cos(double(phi[good[i]]));
    y[i] = pt[good[i]] * std::sin(double(phi[good[i]]));
  }
  double largest = -1;
  std::array<std::size_t, 3> best{};
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j)
      for (std::size_t k = j + 1; k < n; ++k) {
        if (!(tag[good[i]] > 0.5f || tag[good[j]] > 0.5f || tag[good[k]] > 0.5f))
          continue;
        const double px = x[i] + x[j] + x[k], py = y[i] + y[j] + y[k];
        if (px * px + py * py > largest) {
          largest = px * px + py * py;
          best = {i, j, k};
        }
      }
  double px = 0, py = 0, pz = 0, energy = 0;
  for (auto i : best) {
    const std::size_t jet = good[i];
    const double momentum = pt[jet] * std::cosh(double(eta[jet])), m = mass[jet];
    px += x[i];
    py += y[i];
    pz += pt[jet] * std::sinh(double(eta[jet]));
    energy += std::sqrt(momentum * momentum + m * m);
  }
  return std::sqrt(std::max(energy * energy - px * px - py * py - pz * pz, 0.0));
}

inline Event selected(const std::vector<double> &pt, const Floats &eta, const Floats &phi,
                      const Floats &mass, const Integers &id, const Floats &tag) {
  Event event;
  std::vector<std::size_t> good;
  int tagged = 0;
  for (std::size_t i = 0; i < pt.size(); ++i)
    if (pt[i] > 30 && std::abs(double(eta[i])) < 2.4 && id[i] == 6) {
      good.push_back(i);
      tagged += tag[i] > 0.5f;
    }
  if (good.size() < kBtagged || tagged == 0)
    return event;
  event.region = tagged == 1 ? 1 : 2;
  for (int i = 0; i < kBtagged; ++i)
    event.leading[i] = pt[good[i]];
  if (event.region == 2)
    event.observable = trijet_mass(good, pt, eta, phi, mass, tag);
  else
    for (auto i : good)
      event.observable += pt[i];
  return event;
}

// Contents of the histograms of files, with underflow and overflow, by "region variation".
inline std::map<std::string, std::vector<double>>
histograms(const std::string &tree, const std::vector<std::string> &files, bool wjets) {
  const std::vector<std::string> jet{"Jet_pt",   "Jet_eta",   "Jet_phi",
                                     "Jet_mass", "Jet_jetId", "Jet_btagCSVV2"};
  auto identified = jet;
  identified.insert(identified.end(), {"run", "luminosityBlock", "event"});
  ROOT::RDataFrame frame(tree, files);
  auto events =
      frame
          .Filter(one_lepton,
                  {"Electron_pt", "Electron_eta", "Electron_cutBased", "Electron_sip3d", "Muon_pt",
                   "Muon_eta", "Muon_tightId", "Muon_sip3d", "Muon_pfRelIso04_all"})
          .Define("nominal",
                  [](const Floats &pt, const Floats &eta, const Floats &phi, const Floats &mass,
                     const Integers &id, const Floats &tag) {
                    return selected({pt.begin(), pt.end()}, eta, phi, mass, id, tag);
                  },
                  jet)
          .Define("pt_scale_up",
                  [](const Floats &pt, const Floats &eta, const Floats &phi, const Floats &mass,
                     const Integers &id, const Floats &tag) {
                    std::vector<double> scaled(pt.begin(), pt.end());
                    for (auto &value : scaled)
                      value *= 1.03;
                    return selected(scaled, eta, phi, mass, id, tag);
                  },
                  jet)
          .Define("pt_res_up",
                  [](const Floats &pt, const Floats &eta, const Floats &phi, const Floats &mass,
                     const Integers &id, const Floats &tag, unsigned int run, unsigned int block,
                     ULong64_t number) {
                    std::vector<double> smeared(pt.begin(), pt.end());
                    for (std::size_t i = 0; i < smeared.size(); ++i)
                      smeared[i] *= 1.0 + 0.05 * normal({kSeed, run, block, number, i});
                    return selected(smeared, eta, phi, mass, id, tag);
                  },
                  identified);
  std::map<std::string, ROOT::RDF::RResultPtr<TH1D>> booked;
  for (int region : {1, 2}) {
    const std::string name = region == 1 ? "4j1b " : "4j2b ";
    const ROOT::RDF::TH1DModel model("", "", 25, 50, 550);
    for (const std::string variation : {"nominal", "pt_scale_up", "pt_res_up"}) {
      auto here =
          events.Filter([region](const Event &event) { return event.region == region; }, {variation})
              .Define("observable", [](const Event &event) { return event.observable; }, {variation});
      booked[name + variation] = here.Histo1D<double>(model, "observable");
      if (variation != "nominal")
        continue;
      for (double sign : {1.0, -1.0}) {
        const std::string side = sign > 0 ? "_up" : "_down";
        for (int i = 0; i < kBtagged; ++i) {
          auto weighted = here.Define(
              "weight",
              [i, sign](const Event &event) {
                return 1.0 + sign * (0.075 * event.leading[i] / 50);
              },
              {"nominal"});
          booked[name + "btag_var_" + std::to_string(i) + side] =
              weighted.Histo1D<double, double>(model, "observable", "weight");
        }
        if (wjets)
          booked[name + "scale_var" + side] =
              here.Define("weight", [sign] { return 1.0 + sign * 0.025; })
                  .Histo1D<double, double>(model, "observable", "weight");
      }
    }
  }
  std::map<std::string, std::vector<double>> contents;
  for (auto &[name, histogram] : booked)
    for (int bin = 0; bin <= histogram->GetNbinsX() + 1; ++bin)
      contents[name].push_back(histogram->GetBinContent(bin));
  return contents;
}

} // namespace agc
