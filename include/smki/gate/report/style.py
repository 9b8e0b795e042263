"""The report's style sheet: screen and narrow window, light and dark, print."""

STYLE = """\
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #16202b; --soft: #55626f; --line: #d5dce3; --wash: #f3f6f9; --band: #dfe9f1;
  --accent: #0b5c8a; --pass: #1b6b3f; --hold: #8a4b0b; --fail: #a3191f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #11171d; --ink: #e6ebf0; --soft: #9aa8b5; --line: #2c3742; --wash: #19222b; --band: #243545;
    --accent: #7cc0ea; --pass: #86d3a3; --hold: #eab27c; --fail: #ff9a94;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, "Liberation Sans", sans-serif; }
.pass { --verdict: var(--pass); }
.hold { --verdict: var(--hold); }
.fail { --verdict: var(--fail); }
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h1 { max-width: 46rem; margin: .4rem 0 1rem; font-size: 1.4rem; font-weight: 500; text-wrap: pretty; }
.verdict { display: block; color: var(--verdict); font-size: 2.6rem; font-weight: 700; line-height: 1.2;
  letter-spacing: -.015em; }
h2 { font-size: 1.4rem; margin: 2.6rem 0 .9rem; padding-bottom: .35rem; border-bottom: 2px solid var(--ink); }
h3 { font-size: 1.05rem; margin: 0 0 .6rem; }
p { margin: 0 0 .8rem; }
a { color: var(--accent); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
code { font: .92em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
.kicker { margin: 0; color: var(--soft); font-size: .9rem; font-weight: 600; letter-spacing: .02em; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; }
blockquote { max-width: 46rem; margin: 0 0 1rem; padding: .1rem 0 .1rem 1rem;
  border-left: .25rem solid var(--verdict); }
blockquote p { margin: 0; white-space: pre-line; overflow-wrap: anywhere; }
blockquote footer { color: var(--soft); font-size: .88rem; }
.card { margin-bottom: 1rem; padding: .9rem 1.1rem; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--wash); }
.card.fail, .card.hold { border-left: .3rem solid var(--verdict); }
.card:target { box-shadow: 0 0 0 2px var(--accent); }
.tag { display: inline-block; padding: 0 .5em; border: 1px solid currentColor; border-radius: 1em;
  color: var(--verdict); font-size: .76rem; font-weight: 600; line-height: 1.55; vertical-align: .1em; }
dl { margin: 0; font-size: .93rem; }
dl div { display: grid; grid-template-columns: 8.2rem 1fr; gap: .6rem; padding: .18rem 0; }
dt { color: var(--soft); }
dd { min-width: 0; margin: 0; max-width: 50rem; overflow-wrap: anywhere; }
ul { margin: 0; padding: 0; list-style: none; font: .86rem/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas,
  "Liberation Mono", monospace; }
summary { width: max-content; color: var(--accent); font-size: .88rem; cursor: pointer; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 1rem; }
.figure { margin: 0; }
.figure h3 { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; margin: 0; font-weight: 500; }
.figure.hold h3 b { color: var(--verdict); }
.figure p { min-height: 1.5em; margin: 0 0 .4rem; color: var(--soft); font-size: .82rem; }
.figure table { width: auto; font-size: .82rem; }
.figure td { text-align: right; }
svg { display: block; width: 100%; height: auto; overflow: visible; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
svg text { fill: var(--soft); font: 10px/1 system-ui, "Segoe UI", "Helvetica Neue", Arial, "Liberation Sans",
  sans-serif; }
.band { fill: var(--band); }
line.limit { stroke: var(--soft); stroke-width: .75; stroke-dasharray: 2 3; }
.line { fill: none; stroke: var(--soft); stroke-width: 1; }
.line.newest { stroke-dasharray: 3 2; }
.dot { fill: var(--soft); }
.this { fill: var(--accent); stroke: var(--wash); stroke-width: 1.5; paint-order: stroke; }
.hold .this { fill: var(--hold); }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-size: .82rem; border-bottom: 1px solid var(--ink); }
tbody th { font-weight: 500; white-space: nowrap; }
.checks td { overflow-wrap: anywhere; }
@media (max-width: 44rem) {
  main { padding: 1.4rem 1rem 3rem; }
  h1 { font-size: 1.2rem; }
  .verdict { font-size: 2.1rem; }
  dl div { grid-template-columns: 1fr; gap: 0; padding: .3rem 0; }
  dt { font-size: .85rem; }
  .checks, .checks tbody, .checks tr, .checks th, .checks td { display: block; }
  .checks thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  .checks tr { padding: .5rem 0; border-bottom: 1px solid var(--line); }
  .checks th, .checks td { padding: 0; border: 0; }
  .checks td { display: grid; grid-template-columns: 5.5rem 1fr; gap: .6rem; font-size: .88rem; }
  .checks td::before { content: attr(data-label); color: var(--soft); }
}
@media print {
  @page { size: A4; margin: 14mm 12mm; }
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --wash: #fff; --band: #e4ebf1;
    --accent: #000; --pass: #14532f; --hold: #6d3a06; --fail: #8a1218; }
  html { font-size: 8pt; }
  body { font-size: 1rem; }
  main { max-width: none; padding: 0; }
  nav, .figure details { display: none; }
  a { text-decoration: none; }
  details::details-content { content-visibility: visible; display: block; }
  summary { display: none; }
  h2 { margin-top: 7mm; }
  h2, h3, thead { break-after: avoid; }
  .figure, tr, li, blockquote { break-inside: avoid; }
  .figures { grid-template-columns: repeat(3, 1fr); }
  th, td { padding: .6mm 2mm .6mm 0; }
}
"""
