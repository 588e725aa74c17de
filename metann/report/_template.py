"""The page's template, style and script; text in a module, so that the code digest of the stage that writes pages counts it."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1d21; --soft: #5b616b; --line: #d9dce1; --shade: #f4f5f7; --accent: #0060a8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15171b; --ink: #e8eaee; --soft: #a2a9b4; --line: #343943; --shade: #1e2127; --accent: #7cc0ff; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 .25rem; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 2.5rem 0 .75rem; padding-top: .5rem; border-top: 1px solid var(--line); font-size: 1.3rem; }
h3 { margin: 1.75rem 0 .5rem; font-size: 1.08rem; }
h4, h5, h6 { margin: 1.25rem 0 .5rem; font-size: 1rem; }
a { color: var(--accent); }
.soft, figcaption { color: var(--soft); font-size: .92rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: .75rem 0; }
.verdict { margin: .75rem 0; padding: .75rem 1rem; background: var(--shade); border-left: 4px solid var(--accent); border-radius: 4px; }
.verdict h3 { margin: 0 0 .25rem; }
.verdict p { margin: .35rem 0; }
.scroll, .paper { overflow-x: auto; max-width: 100%; }
figure { margin: 1.25rem 0; }
.paper { background: #ffffff; border: 1px solid var(--line); border-radius: 4px; padding: .4rem; }
.paper svg { display: block; width: 100%; min-width: 34rem; height: auto; margin: 0 auto; stroke-linejoin: round; stroke-linecap: butt; }
table { border-collapse: collapse; font-size: .88rem; margin: .5rem 0; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child, .text { text-align: left; }
td { white-space: nowrap; }
td.text, td:first-child { white-space: normal; min-width: 5.5rem; }
td.text:not(:first-child) { min-width: 15rem; overflow-wrap: anywhere; }
th { background: var(--shade); vertical-align: bottom; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort="ascending"] button::after { content: " \\2191"; }
th[aria-sort="descending"] button::after { content: " \\2193"; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--shade); padding: 0 .2em; border-radius: 3px; }
pre { overflow-x: auto; max-width: 100%; padding: .75rem; background: var(--shade); border-radius: 4px; font-size: .85rem; }
pre code { padding: 0; background: none; }
details { margin: .75rem 0; }
summary { cursor: pointer; }
@media print {
  :root { --paper: #ffffff; --ink: #000000; --soft: #444444; --line: #bbbbbb; --shade: #f4f5f7; --accent: #000000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .scroll, .paper, pre { overflow: visible; }
  .paper svg { min-width: 0; }
  pre { white-space: pre-wrap; }
  figure, .verdict, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  table { font-size: 7.5pt; }
}
"""

SCRIPT = """
"use strict";
(function () {
  var units = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
  function key(cell) {
    var text = cell.dataset.sort !== undefined ? cell.dataset.sort : cell.textContent.trim();
    var found = /^([+-]?[\\d,]*\\.?\\d+(?:e[+-]?\\d+)?)\\s*([kMGT](?![A-Za-z]))?/.exec(text);
    return found ? Number(found[1].replace(/,/g, "")) * (units[found[2]] || 1) : text;
  }
  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a.localeCompare(b);
  }
  document.querySelectorAll("table").forEach(function (table) {
    if (!table.tHead || !table.tBodies.length) return;
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
      if (!head.textContent.trim()) return;
      var button = document.createElement("button");
      while (head.firstChild) button.appendChild(head.firstChild);
      button.title = "sort by this column";
      head.appendChild(button);
      button.addEventListener("click", function () {
        var up = head.getAttribute("aria-sort") !== "ascending";
        Array.prototype.forEach.call(table.tHead.rows[0].cells, function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        var rows = Array.prototype.slice.call(table.tBodies[0].rows);
        rows.sort(function (a, b) { return (up ? 1 : -1) * compare(key(a.cells[column]), key(b.cells[column])); });
        rows.forEach(function (row) { table.tBodies[0].appendChild(row); });
      });
    });
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (part) { part.open = true; });
  });
})();
"""

PAGE = """{% macro table(part) -%}
<div class="scroll" tabindex="0"><table>
<thead><tr>
{%- for name in part.header %}<th{% if loop.index0 in part.texts %} class="text"{% endif %}>{{ name }}</th>{% endfor -%}
</tr></thead>
<tbody>
{% for row in part.rows %}<tr>
{%- for cell in row %}<td{% if loop.index0 in part.texts %} class="text"{% endif %}
{%- if cell.sort is not none %} data-sort="{{ cell.sort }}"{% endif %}>{{ cell.text }}</td>{% endfor -%}
</tr>
{% endfor %}</tbody></table></div>
{%- endmacro %}
{% macro picture(figure) -%}
<figure id="{{ figure.name }}"><div class="paper" tabindex="0">{{ figure.svg|safe }}</div>
<figcaption>{{ figure.caption|safe }}</figcaption></figure>
{%- endmacro -%}
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="referrer" content="no-referrer">
<title>{{ facts.run }}: what pays, by how much, at what cost</title>
<link rel="icon" href="data:,">
<style>{{ style|safe }}</style>
</head>
<body>
<header>
<h1>{{ facts.run }}</h1>
<p class="soft">{{ facts.about }}</p>
<nav aria-label="parts of the page">
<a href="#verdicts">Verdicts</a>{% if facts.figures %}<a href="#accuracy-against-cost">Accuracy against cost</a>{% endif %}
{%- if facts.latency %}<a href="#milliseconds">Milliseconds</a>{% endif %}
{%- for family in facts.families %}<a href="#{{ family.name }}">{{ family.name }}</a>{% endfor %}
<a href="#all-settings">All settings</a><a href="#skipped">Skipped or assumed</a>
<a href="#made">How it was made</a><a href="#times">Run times</a>
</nav>
</header>
<main>
<section id="verdicts">
<h2>Verdicts</h2>
{% for family in facts.families %}
<div class="verdict"><h3><a href="#{{ family.name }}">{{ family.name }}</a></h3>
{% for sentence in family.verdicts %}<p>{{ sentence|safe }}</p>
{% endfor %}</div>
{% else %}<p>No family ran; the plain networks are below.</p>
{% endfor %}
</section>
<section id="accuracy-against-cost">
<h2>Accuracy against cost</h2>
{% for figure in facts.figures %}{{ picture(figure) }}
{% endfor %}
<h3>Side by side</h3>
{{ table(facts.side_by_side) }}
<p class="soft">{{ facts.intervals }}</p>
{% if facts.budgets.rows %}
<h3>What a budget buys</h3>
{{ table(facts.budgets) }}
<p class="soft">For each cost what validation takes, and how right it is on test images; a setting for each seed where they differ. What one
family alone buys: <code>tables/run_frontier.parquet</code>. The model for a budget: <code>{{ facts.pack }}</code></p>
{% endif %}
</section>
{% if facts.latency %}
<section id="milliseconds">
<h2>Milliseconds</h2>
{% for sentence in facts.latency.sentences %}<p>{{ sentence|safe }}</p>
{% endfor %}
{{ table(facts.latency.table) }}
</section>
{% endif %}
{% for family in facts.families %}
<section id="{{ family.name }}">
<h2>{{ family.name }}</h2>
{{ family.html|safe }}
{% for figure in family.figures %}{{ picture(figure) }}
{% endfor %}
</section>
{% endfor %}
<section id="all-settings">
<h2>All settings</h2>
<details><summary>{{ facts.all_settings.rows|length }} of {{ facts.settings }} settings and networks</summary>
{{ table(facts.all_settings) }}
</details>
<p class="soft">{{ facts.all_note }}</p>
</section>
<section id="skipped">
<h2>What was skipped or assumed</h2>
{% if facts.notices %}<ul>
{% for notice in facts.notices %}<li>{{ notice }}</li>
{% endfor %}</ul>{% else %}<p>Nothing.</p>{% endif %}
</section>
<section id="made">
<h2>How it was made</h2>
{{ table(facts.made) }}
<details><summary>The whole configuration</summary><pre><code>{{ facts.configuration }}</code></pre></details>
</section>
<section id="times">
<h2>Run times</h2>
{% if facts.times.rows %}{{ table(facts.times) }}
<p class="soft">{{ facts.times_note }}</p>{% else %}<p>No job of this run was timed.</p>{% endif %}
</section>
</main>
<script>{{ script|safe }}</script>
</body>
</html>
"""
