"""The page of the atlas, drawn from atlas.json while the site is built: nothing but the standard library."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

JSON = Path(__file__).parents[2] / "docs" / "atlas" / "atlas.json"
#: Statuses in the order of the page, with what each means.
STATUSES = {
    "proven": "the law follows from the code",
    "guarded": "a law, unless a guard against zeros acts",
    "broken": "no change of the hyperparameters gives the same run",
    "numerical": "a law was found in runs, and not proven: code that cannot be read",
    "unknown": "nothing can be said",
    "refused": "not run here",
}
#: Why nothing is said of what took longer than its limit.
LATE = "no answer within"
#: Why nothing is said, by a part of the reason.
CAUSES = {
    "numbers do not obey": "numbers do not obey the units that were read",
    "may never act": "a line breaks the law, and numbers obey it",
    "'numpy'": "hands gradients to NumPy, where they are not followed",
    "no units rule": "an operation without a rule of units",
    "did not move": "parameters that do not move on the small problem",
    LATE: "no answer within the time limit",
    "could not be run": "cannot be run with the law's hyperparameters",
    "with other arguments": "calls a function of torch as another version has it",
    "CUDA": "wants a GPU",
    "missing": "wants arguments that only its user knows",
    "has no attribute": "wraps a model, or another optimizer",
    "": "cannot be run on the small problem",
}


def cause(entry: Mapping[str, Any]) -> str:
    """Why nothing is said of it, in a few words that many share."""
    return next(words for part, words in CAUSES.items() if part in entry.get("reason", ""))


def html() -> str:
    """Counts and the list."""
    data = json.loads(JSON.read_text(encoding="utf-8"))
    entries = sorted(data["optimizers"], key=lambda e: (e["name"].rpartition(".")[2].lower(), e["name"].lower()))
    parts = [e for e in entries if e.get("part")]
    whole = [e for e in entries if not e.get("part")]
    counts = Counter(e["status"] for e in whole)
    rows = "".join(
        f"<tr><td>{status}</td><td>{counts[status]}</td><td>{words}</td></tr>" for status, words in STATUSES.items()
    )
    causes = Counter(cause(e) for e in whole if e["status"] in ("unknown", "refused"))
    without = "".join(f"<li>{escape(words)}: {count}</li>" for words, count in causes.most_common())
    failing = Counter(check for e in whole for check in _failed(e))
    checked = [e for e in whole if "passed" in e.get("conformance", {})]
    without_fault = sum(not _failed(e) for e in checked)
    fails = "".join(f"<tr><td>{escape(check)}</td><td>{count}</td></tr>" for check, count in failing.most_common())
    unlisted = "".join(f"<li><code>{escape(n)}</code>: {escape(why)}</li>" for n, why in data["not_listed"].items())
    choices = "".join(f'<option value="{s}">{s} ({counts[s]})</option>' for s in STATUSES if counts[s])
    return (
        f"<p><strong>{len(whole)} optimizers</strong> of {len({e['distribution'] for e in whole})} packages.</p>"
        f'<table class="table"><thead><tr><th>verdict</th><th>count</th><th>meaning</th></tr></thead>{rows}</table>'
        f"<details><summary>Why nothing is said of {counts['unknown'] + counts['refused']}</summary><ul>{without}</ul></details>"
        f"<details><summary>Conformance: {without_fault} of {len(checked)} that were checked fail no check; what the others fail</summary>"
        f'<table class="table"><thead><tr><th>check</th><th>optimizers that fail it</th></tr></thead>{fails}</table></details>'
        f"<p>Read as well and not counted: {len(parts)} of optax and optax.contrib, {escape(data['parts'])}.</p>"
        f'<details class="atlas-unlisted"><summary>Not listed</summary><ul>{unlisted}</ul></details>'
        '<form class="atlas-form" role="search"><input type="search" id="atlas-find" placeholder="name, package, line …" '
        f'aria-label="Search the atlas"><select id="atlas-status" aria-label="Verdict"><option value="">all verdicts</option>{choices}'
        f'</select><select id="atlas-kind" aria-label="Kind"><option value="optimizer">optimizers ({len(whole)})</option>'
        f'<option value="part">parts of optimizers ({len(parts)})</option><option value="">both</option>'
        '</select><select id="atlas-order" aria-label="Order"><option value="name">by name</option><option value="package">by package'
        '</option><option value="status">by verdict</option><option value="lr">by units of lr</option><option value="checks">by failed checks</option></select>'
        '<select id="atlas-checks" aria-label="Conformance"><option value="">any conformance</option><option value="pass">fails no check'
        '</option><option value="fail">fails checks</option><option value="none">not checked</option></select>'
        '<output id="atlas-shown"></output></form>'
        f'<div id="atlas">{"".join(map(_row, entries))}</div>'
    )


def _row(entry: Mapping[str, Any]) -> str:
    package, _, name = entry["name"].partition(".")
    units = entry.get("units", {})
    lr = next((units[n] for n in ("lr", "learning_rate", "max_lr", "config.lr") if n in units), "")
    lr = lr if entry["status"] in ("proven", "guarded", "numerical") else ""
    words = "lr has no units" if lr == "1" else f"lr in {escape(lr)}" if lr else ""
    conformance = entry.get("conformance", {})
    failed = len(_failed(entry))
    checks = (
        f"fails {failed} check{'s' * (failed != 1)}"
        if failed
        else f"{conformance['passed']} checks pass"
        if "passed" in conformance
        else ""
    )
    return (
        f'<details id="{escape(entry["name"])}" data-name="{escape(name.rpartition(".")[2].lower())}" '
        f'data-kind="{"part" if entry.get("part") else "optimizer"}" data-package="{escape(package.lower())}" data-status="{entry["status"]}" data-lr="{escape(lr)}" '
        f'data-checks="{failed if checks else ""}">'
        f"<summary><b>{escape(name.rpartition('.')[2])}</b><span>{escape(entry['name'])}</span>"
        f'<span class="atlas-{entry["status"]}">{entry["status"]}</span>'
        f"<span>{words}</span><span>{checks}</span></summary>{''.join(_details(entry))}</details>"
    )


def _details(entry: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>{escape(entry['distribution'])} {escape(entry['version'])}</p>"
    why = entry.get("why", {})
    if why:
        yield (
            f"<p>{escape(why['why'])}"
            + (f" <strong>Mend:</strong> {escape(why['mend'])}" if "mend" in why else "")
            + "</p>"
        )
    if entry["status"] in ("unknown", "refused"):
        yield f"<p>Why nothing is said: {escape(cause(entry))}.</p>"
    if entry.get("reason"):
        yield f"<p>{escape(entry['reason'])}</p>"
    for word, found in (("breaks at", entry.get("breaks", [])), ("guard at", entry.get("guards", []))):
        for one in found:
            yield f"<p>{word} <code>{escape(one['at'])}</code>: {escape(one['says'])}</p>"
            if one["source"]:
                yield f"<pre>{escape(one['source'])}</pre>"
    if entry["status"] == "broken":
        yield f"<p>Still obeyed: {escape(entry['survives'] or 'nothing')}</p>"
    law = entry.get("law", {}) if entry["status"] in ("proven", "guarded") else {}
    if law:
        cells = "".join(
            f"<tr><td>{escape(n)}</td><td>{escape(entry['units'][n])}</td><td>{_power(loss)}</td><td>{_power(param)}</td></tr>"
            for n, (loss, param) in law.items()
        )
        yield (
            '<table class="table"><thead><tr><th>hyperparameter</th><th>units</th><th>loss ×k</th><th>parameters ×k</th></tr></thead>'
            f"{cells}</table>"
        )
    numbers = entry.get("numbers")
    if numbers:
        apart = (
            "" if numbers.get("apart") is None else f", {numbers['apart']:g} of the distance travelled apart at worst"
        )
        where = f" ({numbers['where']})" if numbers.get("where") else ""
        yield f"<p>In numbers: {escape(numbers['says'])}{apart}{escape(where)}, {numbers.get('steps', 0)} steps.</p>"
    unread = [f"with these options nothing in the step reads {', '.join(entry['unread'])}"] if "unread" in entry else []
    for words in (*unread, *entry.get("odd", [])):
        yield f"<p><strong>Odd:</strong> {escape(words)}</p>"
    yield from _conformance(entry.get("conformance", {}))
    if entry.get("notes"):
        yield f"<p><small>{escape('; '.join(entry['notes']))}</small></p>"


def _failed(entry: Mapping[str, Any]) -> dict[str, str]:
    """Checks that it fails, those among them that are known to."""
    found = entry.get("conformance", {})
    return {**found.get("failed", {}), **found.get("expected_failure", {})}


def _conformance(found: Mapping[str, Any]) -> Iterator[str]:
    if "cannot" in found:
        yield f"<p>Conformance: could not be checked: {escape(found['cannot'])}</p>"
    if "passed" not in found:
        return
    yield f'<p><a href="../conformance.html#the-checks">Conformance</a>: {found["passed"]} checks pass.</p>'
    for field, words in (("failed", "fails"), ("expected_failure", "fails, as is known")):
        for check, cause in found.get(field, {}).items():
            yield f"<p>{words} <code>{escape(check)}</code>: {escape(cause)}</p>"
    for note in found.get("notes", ()):
        yield f"<p><small>{escape(note)}</small></p>"
    if "not_run" in found:
        yield f"<p><small>not run: {escape(', '.join(f'{check} ({why})' for check, why in found['not_run'].items()))}</small></p>"


def _power(power: str) -> str:
    return "same" if power == "0" else "×k" if power == "1" else f"×k<sup>{escape(power.replace('-', '−'))}</sup>"
