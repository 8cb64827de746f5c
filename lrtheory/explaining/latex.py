"""LaTeX of formulas as plain text for a terminal: Unicode where there is a sign, words and brackets where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAMED = """
alpha α beta β gamma γ delta δ epsilon ε varepsilon ε zeta ζ eta η theta θ kappa κ lambda λ mu μ nu ν xi ξ pi π rho ρ sigma σ
tau τ phi φ varphi φ chi χ psi ψ omega ω Delta Δ Sigma Σ ell ℓ Gamma Γ Theta Θ Lambda Λ Phi Φ Psi Ψ Omega Ω nabla ∇ partial ∂
cdot · times × odot ⊙ otimes ⊗ pm ± circ ∘ le ≤ leq ≤ ge ≥ geq ≥ ne ≠ neq ≠ approx ≈ sim ~ equiv ≡ propto ∝ in ∈ ll ≪ gg ≫
to → mapsto ↦ rightarrow → leftarrow ← Rightarrow ⇒ Leftrightarrow ⇔ iff ⇔ sum Σ prod Π int ∫ infty ∞ dots … ldots … cdots …
langle ⟨ rangle ⟩ lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉ lVert ‖ rVert ‖ Vert ‖ | ‖ mid | perp ⊥ top ᵀ angle ∠ cup ∪ cap ∩ prime ′
forall ∀ exists ∃ setminus ∖ { { } } % % # # _ _
"""
_WIDE = "\u2003"  # between formulas; other spaces are one, however many LaTeX has
SIGNS = dict(re.findall(r"(\S+)\s(\S+)", _NAMED))
SIGNS |= {",": " ", ";": " ", ":": " ", " ": " ", "quad": _WIDE, "qquad": _WIDE, "\\": "\n"}
SIGNS |= dict.fromkeys(("!", "left", "right", "big", "Big", "bigl", "bigr", "displaystyle", "textstyle", "&"), "")
ACCENTS = {
    "hat": "\u0302",
    "widehat": "\u0302",
    "tilde": "\u0303",
    "bar": "\u0304",
    "overline": "\u0304",
    "dot": "\u0307",
}
PLAIN = frozenset((
    "text", "mathrm", "mathbf", "mathit", "operatorname", "textbf", "textit", "texttt", "mathtt", "mathbb", "mathcal",
    "boldsymbol",
))  # fmt: skip
_UP = dict(zip("0123456789+-−=()niTtkxjm", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱᵀᵗᵏˣʲᵐ", strict=True))
_DOWN = dict(zip("0123456789+-−=()aeijkmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑᵢⱼₖₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
_TOKEN = re.compile(r"\\[A-Za-z]+\s?|\\.|[\^_{}]|\s+|[A-Za-z]+|[0-9.]+|.", re.DOTALL)


def readable(latex: str) -> str:
    """The formula as one or a few lines of plain text."""
    text = _sequence(_Tokens(latex), until=None)
    lines = (re.sub(f" *{_WIDE}[ {_WIDE}]*", "   ", re.sub(" +", " ", line)).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


class _Tokens:
    """The tokens that are left."""

    def __init__(self, latex: str) -> None:
        self.left = [match.group() for match in _TOKEN.finditer(latex)]
        self.left.reverse()

    def __iter__(self) -> Iterator[str]:
        while self.left:
            yield self.left.pop()

    def skip_space(self) -> None:
        while self.left and self.left[-1].isspace():
            self.left.pop()


def _sequence(tokens: _Tokens, until: str | None) -> str:
    parts: list[str] = []
    for token in tokens:
        if token == until:
            break
        if token in "^_":
            script = _argument(tokens)
            parts.append(_script(script, token) + " " * script.endswith(" "))
        else:
            parts.append(_one(token, tokens))
    return "".join(parts)


def _argument(tokens: _Tokens) -> str:
    """What a command applies to: a group in braces, or one token."""
    tokens.skip_space()
    if not tokens.left:
        return ""
    token = tokens.left.pop()
    if token.isalnum() and len(token) > 1 and not token.startswith("\\"):  # x^2y is x squared times y
        tokens.left.append(token[1:])
        token = token[0]
    return _one(token, tokens)


def _one(token: str, tokens: _Tokens) -> str:
    if token == "{":
        return _sequence(tokens, "}")
    if token == "&":  # where lines are aligned
        return ""
    if not token.startswith("\\") or len(token) == 1:
        return " " if token.isspace() else token
    name = token[1:].rstrip() or " "
    spaced = token[-1].isspace() and name.isalpha()
    if name in ("frac", "tfrac", "dfrac"):
        above, below = _argument(tokens), _argument(tokens)
        return f"{_grouped(above)}/{_grouped(below)}"
    if name == "sqrt":
        return f"√{_grouped(_argument(tokens))}"
    if name in ACCENTS:
        under = _argument(tokens)
        return under[:1] + ACCENTS[name] + under[1:]
    if name in PLAIN:
        return _argument(tokens)
    if name in ("begin", "end"):
        _argument(tokens)
        return "\n" if name == "begin" else ""
    if name in SIGNS:
        sign = SIGNS[name]
        # A blank after a relation or a letter of a product is meant to be read.
        return sign + " " if spaced and sign and sign not in ("√", "‖", "⟨", "Σ", "∇") else sign
    return name + (" " if spaced else "")


def _grouped(text: str) -> str:
    """In brackets unless it is one name, number or bracket already."""
    text = text.strip()
    if re.fullmatch(r"-?[\w.∞\u0300-\u030f⁰-₟ᵀᵗⁱⁿ²³¹]+|\|[^|]*\||‖[^‖]*‖[²⁴]?", text) or _is_one_bracket(
        text.removeprefix("√")
    ):
        return text
    return f"({text})"


def _is_one_bracket(text: str) -> bool:
    if not (text.startswith("(") and text.endswith(")")):
        return False
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and position < len(text) - 1:
            return False
    return True


def _script(text: str, kind: str) -> str:
    table = _UP if kind == "^" else _DOWN
    text = text.strip()
    if text == "*":
        return text
    if text and all(character in table or character in table.values() for character in text):
        return "".join(table.get(character, character) for character in text)
    return kind + _grouped(text)
