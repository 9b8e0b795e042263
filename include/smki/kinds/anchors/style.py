"""The document's style sheet: screen and narrow window, light and dark, print."""

STYLE = """\
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #16202b; --soft: #55626f; --line: #d5dce3; --wash: #f3f6f9;
  --accent: #0b5c8a; --north: #0b5c8a; --south: #8a4b0b; --focus: #0b5c8a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #11171d; --ink: #e6ebf0; --soft: #9aa8b5; --line: #2c3742; --wash: #19222b;
    --accent: #7cc0ea; --north: #7cc0ea; --south: #eab27c; --focus: #7cc0ea;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, "Liberation Sans", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1, h2, h3 { line-height: 1.2; text-wrap: balance; }
h1 { font-size: 2.2rem; margin: .2rem 0 .8rem; letter-spacing: -.015em; }
h2 { font-size: 1.4rem; margin: 3rem 0 .8rem; padding-bottom: .35rem; border-bottom: 2px solid var(--ink); }
h3 { font-size: 1.05rem; font-weight: 500; margin: 1.8rem 0 .5rem; }
h3 b { margin-right: .35em; }
abbr { text-decoration: none; }
.eui64 { white-space: nowrap; }
p { max-width: 46rem; margin: 0 0 .8rem; }
a { color: var(--accent); text-underline-offset: .15em; }
a:focus-visible, .scroll:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
code { font: .86em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
.kicker { margin: 0; color: var(--soft); font-size: .9rem; font-weight: 600; letter-spacing: .02em; }
.revision { color: var(--soft); font-size: .9rem; max-width: none; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin-top: 1.2rem; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { padding: .45rem .7rem; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-size: .82rem; font-weight: 600; vertical-align: bottom;
  border-bottom: 1px solid var(--ink); }
tbody th { font-weight: 600; }
.usage { display: inline-block; padding: 0 .35em; border: 1px solid var(--line); border-radius: .25em;
  color: var(--soft); font-size: .75em; font-weight: 600; vertical-align: .08em; }
.tag { display: inline-block; padding: 0 .45em; border: 1px solid currentColor; border-radius: 1em;
  color: var(--soft); font-size: .76rem; line-height: 1.5; white-space: nowrap; }
.tag.north { color: var(--north); }
.tag.central_south { color: var(--south); }
.scroll { overflow-x: auto; }
.matrix th[scope=row], .matrix thead th:first-child { position: sticky; left: 0; background: var(--paper);
  white-space: nowrap; }
.matrix thead th:not(:first-child) { text-align: center; font-weight: 600; color: var(--ink); font-size: .88rem; }
.matrix td { text-align: center; }
.matrix tbody tr:hover > * { background: var(--wash); }
.none { color: var(--soft); }
.dot { display: inline-block; width: .8em; height: .8em; border-radius: 50%; background: var(--ink);
  vertical-align: -.06em; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.dot.split { border: .13em solid var(--ink); background: linear-gradient(90deg, var(--ink) 50%, transparent 50%); }
.legend { color: var(--soft); font-size: .88rem; }
.legend > span { display: inline-block; margin-right: 1.2rem; }
.places th[scope=rowgroup] { width: 1%; padding-right: 1.6rem; vertical-align: top; white-space: nowrap; }
.places td:nth-last-child(1) code { overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(27rem, 100%), 1fr)); gap: 1rem; }
.card { padding: .9rem 1.1rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--wash); }
.card:target { border-color: var(--accent); box-shadow: 0 0 0 2px var(--accent); }
.card h3 { margin: 0 0 .6rem; }
dl { margin: 0; font-size: .88rem; }
dl div { display: grid; grid-template-columns: 8.2rem 1fr; gap: .6rem; padding: .16rem 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 44rem) {
  main { padding: 1.4rem 1rem 3rem; }
  h1 { font-size: 1.75rem; }
  .places, .places tbody, .places tr, .places th, .places td { display: block; width: auto !important; }
  .places thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  .places th, .places td { border: 0; padding: .1rem 0; white-space: normal !important; }
  .matrix thead th { white-space: nowrap; }
  .matrix th[scope=row], .matrix thead th:first-child { white-space: normal; width: 8.6rem; min-width: 8.6rem; }
  .matrix th, .matrix td { padding: .4rem .5rem .4rem 0; }
  .matrix { font-size: .86rem; }
  .places tbody th { margin-top: .9rem; padding-top: .7rem; border-top: 1px solid var(--line); }
  .places tr { padding-bottom: .45rem; }
  .places td { display: grid; grid-template-columns: 7.4rem 1fr; gap: .6rem; }
  .places td::before { content: attr(data-label); color: var(--soft); font-size: .85rem; }
  .places td:first-of-type { display: block; }
  .places td:first-of-type::before { content: none; }
  .cards { grid-template-columns: 1fr; }
  dl div { grid-template-columns: 7rem 1fr; }
}
@media print {
  @page { size: A4; margin: 14mm 12mm; }
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --wash: #fff;
    --accent: #000; --north: #0b5c8a; --south: #8a4b0b; }
  html { font-size: 8pt; }
  body { font-size: 1rem; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  a { text-decoration: none; }
  h2 { margin-top: 8mm; }
  h3 { margin-top: 5mm; }
  h2, h3, thead { break-after: avoid; }
  section#certificates { break-before: page; }
  article, tr { break-inside: avoid; }
  th, td { padding: .9mm 1.2mm; }
  .places th[scope=rowgroup] { padding-right: 2mm; }
  .tag { padding: 0 .3em; font-size: .85em; }
  p { max-width: none; break-inside: avoid; }
  section > p { break-after: avoid; }
  .scroll { overflow: visible; }
  .matrix th[scope=row], .matrix thead th:first-child { position: static; }
  .cards { display: block; columns: 2; column-gap: 4mm; }
  .card { margin-bottom: 4mm; }
  .card { border-radius: 1mm; padding: 3mm; }
  dl div { grid-template-columns: 24mm 1fr; }
}
"""
