"""Units of a quantity: its exponents over the base units [loss] and [param]."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any, NamedTuple

_SUPERSCRIPTS = str.maketrans("-/0123456789", "⁻ᐟ⁰¹²³⁴⁵⁶⁷⁸⁹")
_FACTOR = re.compile(r"\[(loss|param)\](?:\^(-?\d+(?:/\d+)?))?")


class Units(NamedTuple):
    """Exponents of a quantity over [loss] and [param].

    A gradient is ``Units(1, -1)``, an update ``Units(0, 1)``, a pure number ``Units(0, 0)``.
    """

    loss: Fraction
    param: Fraction

    @classmethod
    def parse(cls, text: str) -> Units:
        """Read ``"[loss]/[param]^2"``, ``"1/[param]"`` or ``"1"``."""
        exponents = {"loss": Fraction(0), "param": Fraction(0)}
        for position, side in enumerate(text.replace(" ", "").split("/[")):
            side = side if position == 0 else "[" + side
            rest = _FACTOR.sub("", side)
            if rest.replace("*", "") not in ("", "1"):
                raise ValueError(
                    f"cannot read units {text!r}: write them as products of [loss] and [param] "
                    "with ^ for powers and / before a divisor, such as '[loss]/[param]^2'"
                )
            # Each "/[" opens one divisor; factors joined by * after it divide too.
            sign = 1 if position == 0 else -1
            for base, power in _FACTOR.findall(side):
                exponents[base] += sign * Fraction(power or 1)
        return cls(exponents["loss"], exponents["param"])

    def times(self, other: Units) -> Units:
        """Units of a product."""
        return Units(self.loss + other.loss, self.param + other.param)

    def power(self, exponent: Fraction | int) -> Units:
        """Units of a power with a rational exponent."""
        return Units(self.loss * exponent, self.param * exponent)

    def factor(self, loss: float, param: float) -> float:
        """What the quantity is multiplied by when the loss grows ``loss`` times and the parameters ``param`` times."""
        return _power(loss, self.loss) * _power(param, self.param)

    def rescaled(self, value: Any, loss: float, param: float) -> Any:
        """``value`` for a loss and parameters so many times as large: divided where a power is negative, so that 0.1 for a
        tenfold loss is 0.01 and not 0.1 times a rounded tenth.
        """
        for scale, exponent in ((loss, self.loss), (param, self.param)):
            power = _power(scale, abs(exponent))
            value = value * power if exponent >= 0 else value / power
        return value

    @property
    def is_pure(self) -> bool:
        """Whether the quantity is a pure number."""
        return self.loss == 0 and self.param == 0

    def __str__(self) -> str:
        def side(sign: int) -> str:
            factors = []
            for base, exponent in (("[loss]", self.loss), ("[param]", self.param)):
                if exponent * sign > 0:
                    power = exponent * sign
                    factors.append(base if power == 1 else base + str(power).translate(_SUPERSCRIPTS))
            return "·".join(factors)

        above, below = side(1), side(-1)
        if not below:
            return above or "1"
        return f"{above or '1'}/{below if '·' not in below else f'({below})'}"


def _power(scale: float, exponent: Fraction) -> float:
    try:
        power = float(scale) ** float(exponent)
    except (OverflowError, ZeroDivisionError):
        power = math.inf
    if not 0 < power < math.inf:
        raise ValueError(f"{scale:g} to the power {exponent} is beyond floating-point numbers: give a scale nearer 1")
    return power


PURE = Units(Fraction(0), Fraction(0))
PARAM = Units(Fraction(0), Fraction(1))
LOSS = Units(Fraction(1), Fraction(0))
GRADIENT = Units(Fraction(1), Fraction(-1))
