"""What a run found, as one HTML file that needs nothing else: no script, no font, no address."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from bench import compare, figures
from bench.plots import plots
from bench.tables import between, duration, outcome, quantity, times

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.report import Answer, Case, Contender, Report, Verdict

__all__ = ["render"]

_STYLE: Final = """
:root { color-scheme: light dark; --ground: #fff; --text: #1c1917; --faint: #6b6560; --line: #e0dcd7;
        --good: #15803d; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #151413; --text: #e9e5e0; --faint: #a09a93; --line: #3a3633; --good: #4ade80; --bad: #f87171; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 44rem; background: var(--ground); color: var(--text);
       font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.2; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .25rem; }
p { margin: .25rem 0 .75rem; } .faint { color: var(--faint); } .good { color: var(--good); } .bad { color: var(--bad); }
figure { margin: 0; } svg { width: 100%; max-width: 34rem; height: auto; display: block; }
svg text { font-family: inherit !important; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; margin: .5rem 0 1rem; }
caption { text-align: left; padding: .25rem 0; } th { text-align: left; font-weight: 600; }
td, th { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th + th { text-align: right; } td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""
_READING: Final = (
    "Contenders ran in turn, round by round, in one process. A figure is the median of its rounds; beside it, between "
    "what it lies with a confidence of 95 %. Ratios are to the first contender."
)


def render(report: Report, old: Report | None = None) -> str:
    """Return the page.

    Args:
        report: what was found.
        old: an earlier run, to show what moved since.
    """
    taken = report.taken_at.strftime("%Y-%m-%d %H:%M UTC")
    parts = [
        "<h1>agentmem_store: the bench</h1>",
        f'<p class="faint">{taken}, size {_text(report.size)}, commit {_text(report.environment.get("commit"))}</p>',
        f"<p>{_READING}</p>",
        *_verdicts(report.verdicts),
        *(_moves(old, report) if old else ()),
        *(part for answer in report.answers for part in _answer(answer)),
        "<h2>Environment</h2>",
        _table("", ("", ""), [(_text(name), _text(value)) for name, value in report.environment.items()]),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>agentmem_store: the bench</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _verdicts(verdicts: Sequence[Verdict]) -> Iterable[str]:
    if not verdicts:
        return
    yield "<h2>Targets</h2>"
    rows = [
        (
            f'{_text(verdict.target)}<br><span class="faint">{_text(verdict.measured)}</span>',
            _number("" if verdict.value is None else quantity(verdict.value, verdict.unit)),
            f'<span class="{_class(verdict)}">{_text(outcome(verdict))}</span>',
        )
        for verdict in verdicts
    ]
    yield _table("", ("target", "measured", " "), rows)


def _class(verdict: Verdict) -> str:
    return {True: "good", False: "bad", None: "faint"}[verdict.met]


def _moves(old: Report, new: Report) -> Iterable[str]:
    taken = old.taken_at.strftime("%Y-%m-%d %H:%M UTC")
    yield f"<h2>Moved beyond the noise since {taken}</h2>"
    for difference in compare.differences(old, new):
        yield f'<p class="bad">not the same as then: {_text(difference)}</p>'
    moved = compare.moves(old, new)
    rows = [
        (
            _text(compare.described(move)),
            _number(f"{duration(move.before)} → {duration(move.after)}"),
            _number(times(move.change.value)),
        )
        for move in moved
    ]
    yield _table("", ("", "before → after", "change"), rows) if rows else "<p>Nothing.</p>"


def _answer(answer: Answer) -> Iterable[str]:
    yield f'<h2 id="{_text(answer.question)}">{_text(answer.question)}</h2>'
    yield f"<p>{_text(answer.asks)}</p>"
    yield from (f"<figure>{drawn}</figure>" for drawn in plots(answer))
    for case in answer.cases:
        yield _case(case)
    if answer.skipped:
        yield f'<p class="faint">Skipped: {_text(answer.skipped)}</p>'
    if answer.failed:
        yield f'<p class="bad">Failed: {_text(answer.failed)}</p>'


def _case(case: Case) -> str:
    tails = [name for name in ("p50", "p99") if any(name in each.rounds for each in case.contenders)]
    headings = ("", "each", "95 %", "ratio", "95 %", *tails)
    return _table(case.name, headings, [_row(case, contender, tails) for contender in case.contenders])


def _row(case: Case, contender: Contender, tails: Iterable[str]) -> Sequence[str]:
    rounds, first = contender.rounds.get("time"), case.rounds(0, "time")
    if not rounds or not first:
        (counts,) = contender.rounds.values()
        return _text(contender.name), _number(quantity(figures.median(counts).value, "")), *[""] * 3
    own, ratio = figures.median(rounds), figures.ratio(rounds, first)
    return (
        _text(contender.name),
        _number(duration(own.value)),
        _number(between(own.low, own.high, own.value)),
        _number(times(ratio.value)),
        _number(between(ratio.low, ratio.high, 1.0)),
        *(_tail(contender, tail) for tail in tails),
    )


def _tail(contender: Contender, tail: str) -> str:
    rounds = contender.rounds.get(tail)
    return _number(duration(figures.median(rounds).value)) if rounds else ""


def _table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already."""
    named = f"<caption>{_text(caption)}</caption>" if caption else ""
    head = "".join(f"<th>{_text(heading)}</th>" for heading in headings)
    lines = ("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    head = f"<tr>{head}</tr>" if any(headings) else ""
    return f'<div class="wide"><table>{named}{head}' + "\n".join(lines) + "</table></div>"


def _number(text: str) -> str:
    return f'<td class="n">{_text(text)}</td>'


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"


def _text(text: str | None) -> str:
    return escape(text or "")
