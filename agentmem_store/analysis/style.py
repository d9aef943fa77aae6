"""How the page of `report` looks: readable on a phone and on paper, light or dark as the reader has it."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root { color-scheme: light dark; --ground: #f7f7f4; --sheet: #fff; --ink: #1d2126; --dim: #68707a; --line: #e2e2dc;
  --blue: #2f6fbd; --red: #c0392b; --amber: #b7791f; --green: #2e7d4f; --wash: #eef3fa; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181c; --sheet: #1d2126; --ink: #e8eaed; --dim: #98a1ac;
  --line: #30363d; --blue: #6ca6ee; --red: #ef7a6d; --amber: #e0b055; --green: #6cc08f; --wash: #22303f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; margin: 0; letter-spacing: -0.02em; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.8rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
header p, .dim, footer { color: var(--dim); font-size: 0.86rem; margin: 0.2rem 0 0; overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 0.8rem; }
code, pre, .node { font-family: ui-monospace, Menlo, Consolas, monospace; }
code { font-size: 0.9em; }
pre { background: var(--wash); padding: 0.7rem 0.9rem; border-radius: 6px; margin: 0.6rem 0; font-size: 0.82rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0.7rem; margin-top: 1.3rem; }
.card, article, details, .wide { background: var(--sheet); border: 1px solid var(--line); border-radius: 8px; }
.card { padding: 0.8rem 1rem; display: flex; flex-direction: column; }
.card b { font-size: 1.5rem; font-weight: 650; line-height: 1.2; }
.card span { font-size: 0.9rem; } .card small { color: var(--dim); }
article { padding: 0.9rem 1rem; margin-bottom: 0.7rem; border-left: 4px solid var(--blue); }
article p { margin: 0.35rem 0 0; }
article.critical { border-left-color: var(--red); } article.warning { border-left-color: var(--amber); }
article i { font-style: normal; font-size: 0.72rem; text-transform: uppercase; letter-spacing: 0.06em;
  color: var(--dim);
  margin-right: 0.6rem; }
.well { background: var(--sheet); border: 1px solid var(--line); border-left: 4px solid var(--green);
  border-radius: 8px;
  padding: 0.9rem 1rem; margin: 0; }
details { margin-bottom: 0.5rem; padding: 0.65rem 1rem; }
summary { cursor: pointer; } summary code { font-weight: 600; margin-right: 0.8rem; }
.bar { display: block; height: 4px; background: var(--line); border-radius: 2px; margin-top: 0.4rem; min-width: 5rem; }
.bar > span { display: block; height: 100%; background: var(--blue); border-radius: 2px; min-width: 2px; }
figure { margin: 0.9rem 0 0.3rem; overflow: auto; max-height: 36rem; }
figcaption { font-size: 0.86rem; color: var(--dim); }
.tree, .tree ul { list-style: none; margin: 0; padding: 0; } .tree ul { padding-left: 0.7rem; margin-left: 0.7rem;
  border-left: 1px solid var(--line); }
.tree li { padding-top: 0.4rem; position: relative; min-width: 13rem; }
.tree ul > li::before { content: ""; position: absolute; left: -0.7rem; top: 1.45rem; width: 0.6rem;
  border-top: 1px solid var(--line); }
.node { font-size: 0.78rem; line-height: 1.45; display: inline-flex; flex-direction: column; max-width: 100%;
  padding: 0.35rem 0.6rem; border: 1px solid var(--line); border-radius: 6px; overflow-wrap: anywhere;
  background: color-mix(in srgb, var(--amber) calc(var(--share) * 16%), var(--sheet)); }
.node small { font-size: inherit; } .node .dim { margin: 0; }
.node em { font-style: normal; color: var(--red); font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: right; padding: 0.5rem 0.9rem; white-space: nowrap; } th { color: var(--dim); font-weight: 500; }
th:first-child, td:first-child { text-align: left; } tbody tr { border-top: 1px solid var(--line); }
.intro { margin-bottom: 0.8rem; } summary > .dim { display: inline-block; }
@media (max-width: 34rem) { table { font-size: 0.8rem; } th, td { padding: 0.45rem; } .bar { min-width: 3rem; }
  th:nth-child(3), td:nth-child(3) { display: none; } th { white-space: normal; }
  .tree ul { padding-left: 0.35rem; margin-left: 0.35rem; } }
@media print { body { background: none; } figure { max-height: none; } article { break-inside: avoid; } }
"""
