"""The result as it is quoted: asymmetric where the profile is known, and its parts."""

import math
import re
from collections.abc import Mapping

from agc_pipeline.inference.derived_records import ScanRecord
from agc_pipeline.inference.fit_records import FitRecord
from agc_pipeline.inference.profile import Interval, Side
from agc_pipeline.settings import Settings

# The group of the luminosity: as analyses name it, and as pyhf names the parameter.
_LUMINOSITY = re.compile(r"lumi(nosity)?", re.IGNORECASE)
# Of the smallest uncertainty that is quoted.
_DIGITS = 2
# Share of the variance that is the rounding of a difference.
_ROUNDING = 1e-12


class Headline(Settings):
    """A measured quantity with its uncertainties.

    Attributes:
        quantity: its name.
        unit: of all numbers; empty without one.
        value: the best fit.
        down: size of the uncertainty downwards; None where a bound cuts it off.
        up: likewise, upwards.
        symmetric: from the curvature at the best fit, with everything that counts.
        profile: which of ``down`` and ``up`` are from the profile likelihood; the others are from
            the curvature, or there is nothing.
        remark: why a side is not from the profile; empty if both are, or nothing was profiled.
        statistical: part of the statistical uncertainty of the data, as all parts symmetric; None
            where the fit has no parts.
        systematic: part of everything else in the fit: systematics and simulated events.
        luminosity: part of the luminosity; None where it is no group of its own.
        templates: part of the statistics of varied templates; None where it is not in the total.
        text: the quantity with its uncertainties, in plain characters: "693 +62 -58 pb".
        parts: the uncertainties again, by source, likewise: "+- 25 (stat) +- 45 (syst) pb".
    """

    quantity: str
    unit: str
    value: float
    down: float | None
    up: float | None
    symmetric: float
    profile: tuple[Side, ...]
    remark: str
    statistical: float | None
    systematic: float | None
    luminosity: float | None
    templates: float | None
    text: str
    parts: str

    def origin(self, curvature: str) -> str:
        """Where the uncertainties come from, in words.

        Args:
            curvature: words for that of the likelihood at the best fit.
        """
        sizes: dict[Side, float | None] = {"up": self.up, "down": self.down}
        sides: dict[str, list[Side]] = {}
        for side, size in sizes.items():
            if size is not None:
                words = "the profile likelihood" if side in self.profile else curvature
                sides.setdefault(words, []).append(side)
        if len(sides) > 1:
            return ", ".join(f"{side} from {words}" for words, (side,) in sides.items())
        return "".join(f"from {words}" for words in sides) or "not known"

    @property
    def sources(self) -> dict[str, float]:
        """The parts that there are, by their short names."""
        sizes = {
            "stat": self.statistical,
            "syst": self.systematic,
            "lumi": self.luminosity,
            "templates": self.templates,
        }
        return {name: size for name, size in sizes.items() if size is not None}


def headline(
    fit: FitRecord, scan: ScanRecord, *, quantity: str, unit: str = "", scale: float = 1.0
) -> Headline | None:
    """The parameter of interest, or what is proportional to it; None without one.

    The parts are independent, and their squares add up to that of the symmetric uncertainty. The
    systematic one has the statistics of the simulation and the curvature of the model.

    Args:
        fit: the fit.
        scan: with its asymmetric uncertainties.
        quantity: name of what is measured.
        unit: of ``scale``; empty without one.
        scale: value of the quantity at a parameter of 1.
    """
    poi, total = fit.poi, fit.uncertainty_of_poi
    if poi is None or total is None:
        return None
    noise = fit.template_noise
    templates = noise.size if noise is not None and noise.in_total else None
    interval = scan.of_interest
    down, up = (
        None if side is None else scale * math.hypot(side, templates or 0.0)
        for side in _sides(interval, poi.uncertainty)
    )
    value, symmetric = scale * poi.bestfit, scale * total
    parts = _parts(fit) | ({} if templates is None else {"templates": templates})
    sizes = {name: scale * size for name, size in parts.items()}
    return Headline(
        quantity=quantity,
        unit=unit,
        value=value,
        down=down,
        up=up,
        symmetric=symmetric,
        profile=_profiled(interval),
        remark=_remark(interval, {"up": up, "down": down}),
        statistical=sizes.get("stat"),
        systematic=sizes.get("syst"),
        luminosity=sizes.get("lumi"),
        templates=sizes.get("templates"),
        text=quoted_result(value, down, up, unit),
        parts=_quoted_parts(sizes, (down, up), unit),
    )


def quoted_result(value: float, down: float | None, up: float | None, unit: str = "") -> str:
    """A value with its uncertainties, as many decimals as two digits of the smaller one need.

    Uncertainties that are equal when they are rounded stand once, behind "+-".
    """
    sides = [side for side in (down, up) if side]
    if not sides:
        text = f"{value:.4g}"
    else:
        decimals = decimals_of(min(sides))
        lower, upper = (None if side is None else f"{side:.{decimals}f}" for side in (down, up))
        if lower == upper:
            errors = f"+- {upper}"
        else:
            errors = " ".join(
                f"{sign}{size}" for sign, size in (("+", upper), ("-", lower)) if size is not None
            )
        text = f"{value:.{decimals}f} {errors}"
    return f"{text} {unit}".rstrip()


def decimals_of(uncertainty: float) -> int:
    """Decimals of a number with this uncertainty."""
    exponent = int(f"{abs(uncertainty):.{_DIGITS - 1}e}".partition("e")[2])
    return max(0, _DIGITS - 1 - exponent)


def _sides(interval: Interval | None, uncertainty: float) -> tuple[float | None, float | None]:
    """Down and up.

    Where the profile does not give a side, a parameter inside of its bounds has the curvature for
    it, and one that is held at a bound has nothing there.
    """
    curvature = uncertainty or None
    if interval is None:
        return curvature, curvature
    return (
        curvature if interval.down is None else interval.down,
        curvature if interval.up is None else interval.up,
    )


def _profiled(interval: Interval | None) -> tuple[Side, ...]:
    """The sides that are from the profile."""
    if interval is None:
        return ()
    sides: dict[Side, float | None] = {"down": interval.down, "up": interval.up}
    return tuple(side for side, size in sides.items() if size is not None)


def _remark(interval: Interval | None, sizes: Mapping[Side, float | None]) -> str:
    """Why sides are not from the profile."""
    failures = {} if interval is None else interval.failures
    return "; ".join(
        f"{side} is {'not known' if size is None else 'from the curvature'}: {failures[side]}"
        for side, size in sizes.items()
        if side in failures
    )


def _parts(fit: FitRecord) -> dict[str, float]:
    """Parts of the uncertainty of the parameter of interest by the fit; none if there are none."""
    if fit.breakdown is None:
        return {}
    groups = fit.breakdown.groups
    luminosity = {name: size for name, size in groups.items() if _LUMINOSITY.fullmatch(name)}
    others = sum(size**2 for name, size in groups.items() if name not in luminosity)
    systematic = others + fit.breakdown.curvature
    if systematic < _ROUNDING * fit.breakdown.total**2:
        # A difference of squares: it may be below zero as well.
        systematic = 0.0
    parts = {"stat": fit.breakdown.data, "syst": math.sqrt(systematic)}
    if luminosity:
        parts["lumi"] = math.hypot(*luminosity.values())
    return parts


def _quoted_parts(
    sizes: dict[str, float], sides: tuple[float | None, float | None], unit: str
) -> str:
    quoted = [side for side in sides if side]
    positive = [size for size in sizes.values() if size > 0]
    if not positive or not quoted:
        return ""
    # In the decimals of the result, unless a part would be lost.
    decimals = decimals_of(min(quoted))
    if round(min(positive), decimals) == 0:
        decimals = decimals_of(min(positive))
    text = " ".join(f"+- {size:.{decimals}f} ({name})" for name, size in sizes.items())
    return f"{text} {unit}".rstrip()
