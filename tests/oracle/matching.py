"""Which jet comes from which quark, by section 7 of the specification, with plain loops."""

import math
from typing import NamedTuple

LAST_COPY = 1 << 13


class Particle(NamedTuple):
    """A generator particle; ``mother`` is its position in the event, negative if there is none."""

    pdg_id: int
    eta: float
    phi: float
    flags: int
    mother: int


def parent(particles: list[Particle], position: int) -> int | None:
    """Position of the nearest ancestor that is not a copy of the particle itself."""
    seen = position
    for _ in particles:
        seen = particles[seen].mother
        if not 0 <= seen < len(particles):
            return None
        if particles[seen].pdg_id != particles[position].pdg_id:
            return seen
    return None


def origins(particles: list[Particle]) -> dict[int, str]:
    """What the quarks of the decays come from, by position: "W", "hadronic" or "leptonic"."""
    kinds = {}
    for position in range(len(particles)):
        above = parent(particles, position)
        kinds[position] = 0 if above is None else particles[above].pdg_id
    leptonic = set()
    for position, particle in enumerate(particles):
        if abs(particle.pdg_id) in (11, 12, 13, 14, 15, 16) and abs(kinds[position]) == 24:
            leptonic.add(1 if kinds[position] > 0 else -1)
    if len(leptonic) != 1:
        return {}
    found = {}
    for position, particle in enumerate(particles):
        if abs(particle.pdg_id) not in (1, 2, 3, 4, 5) or not particle.flags & LAST_COPY:
            continue
        if abs(kinds[position]) == 24:
            found[position] = "W"
        elif abs(kinds[position]) == 6:
            sign = 1 if kinds[position] > 0 else -1
            found[position] = "leptonic" if sign in leptonic else "hadronic"
    return found


def right_assignment(
    particles: list[Particle], jets: list[tuple[float, float]], delta_r_max: float
) -> list[int] | None:
    """Positions of the W jets (the later one first), the hadronic and the leptonic b, if known.

    Args:
        particles: of the event.
        jets: eta and phi of its good jets.
        delta_r_max: of a jet and its quark, exclusive.
    """
    if len(jets) < 4:
        return None
    found = origins(particles)
    labels = []
    for eta, phi in jets[:4]:
        best, label = delta_r_max, ""
        for position, origin in found.items():
            azimuth = math.remainder(phi - particles[position].phi, 2 * math.pi)
            distance = math.hypot(eta - particles[position].eta, azimuth)
            if distance < best:
                best, label = distance, origin
        labels.append(label)
    if sorted(labels) != ["W", "W", "hadronic", "leptonic"]:
        return None
    earlier = labels.index("W")
    later = labels.index("W", earlier + 1)
    return [later, earlier, labels.index("hadronic"), labels.index("leptonic")]
