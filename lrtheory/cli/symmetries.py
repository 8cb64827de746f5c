"""``lrtheory symmetries``: which tensors of a network may be scaled by what, what fixes the others, and whether it is so."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from lrtheory.dims.model import Symmetries, Verification, symmetries
from lrtheory.dims.target import quiet
from lrtheory.spec import SpecError, parse, resolve, short

from ._terminal import print_json
from .dims import place
from .errors import input_errors


def command(target: str, seed: int, json: bool) -> int:
    """Run the command; 1 if a symmetry does not hold."""
    with input_errors(SpecError, TypeError, ValueError):
        spec = parse(target)
        if spec.module is None:
            raise SpecError(
                f"{short(target)} is no network: give module:factory, a function that returns (loss, params, *data) "
                "or (loss, torch module, *data)"
            )
        with quiet(spec):
            given = resolve(spec)(*spec.args, **spec.kwargs)
            if not isinstance(given, tuple) or len(given) < 2:
                raise SpecError(f"{short(target)} returned {type(given).__name__}, not a tuple (loss, params, *data)")
            found = symmetries(*given)
            tried, why = None, "shapes alone cannot be run"
            if found.runner is not None:
                try:
                    tried = found.verify(seed)
                except ValueError as error:
                    why = str(error)
    if json:
        verified = tried.as_json() if tried is not None else None
        print_json("symmetries/1", {"target": target, **found.as_json(), "verified": verified})
    else:
        _tell(Console(highlight=False), found, tried, why)
    return 1 if tried is not None and tried.wrong else 0


def _tell(console: Console, found: Symmetries, tried: Verification | None, why: str) -> None:
    number = {guard: at for at, guard in enumerate(found.guards, 1)}

    def section(title: str, lines: Iterable[str]) -> None:
        for at, line in enumerate(lines):
            if at == 0:
                console.print(Text(title, "bold"))
            console.print(Text(f"  {line}"), soft_wrap=True)

    section(
        f"{len(found.generators)} scale symmetries",
        (
            f"{g}" + (f"   up to {', '.join(f'[{number[each]}]' for each in g.guards)}" if g.guards else "")
            for g in found.generators
        ),
    )
    if not found.generators:
        console.print("no scale symmetry", style="bold")
    if found.exact != found.generators:
        section("exact, whatever the eps", map(str, found.exact))
    section("guards", (f"[{at}] {guard} ({place(guard.location)})" for guard, at in number.items()))
    section("scale-invariant, each alone", [", ".join(found.invariant)] if found.invariant else ())
    section("never read by the loss", [", ".join(found.unread)] if found.unread else ())
    section("operations without a rule: symmetries may be missing", map(str, found.unknown))
    lines: dict[str, list[str]] = {}
    for name, fixed in found.fixed.items():
        lines.setdefault(f"{fixed.statement} ({place(fixed.location)})", []).append(name)
    section("fixed", (f"{', '.join(names)}: {line}" for line, names in lines.items()))
    section("notes", found.notes)
    if tried is None:
        console.print(Text(f"not verified: {why}", "yellow"))
        return
    good = len(tried.trials) - len(tried.wrong) - len(tried.untried)
    console.print(
        Text(f"verified in numbers: {good} of {len(tried.trials)} symmetries hold", "red" if tried.wrong else "green")
    )
    section("they change the loss; this is a fault of lrtheory", map(str, tried.wrong))
    section("not seen to hold: no scaling puts their guards out of reach", map(str, tried.untried))
    section("the gradient is not the slope of the loss along", map(str, tried.not_slopes))
    section("called fixed, but the loss does not change with", [", ".join(tried.missed)] if tried.missed else ())
