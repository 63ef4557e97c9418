"""What sorts and filters the table of a comparison's page: plain JavaScript inside of it, without which it is all shown.

Columns but the first sort by the numbers in `data-value`; cells without one, which were not measured, come last.
"""

from collections.abc import Sequence
import html

STYLE = """
[hidden] { display: none !important; }
#controls { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; align-items: center; margin: 1rem 0; font-size: .9rem; }
#controls input[type=search], #controls select, #controls button { font: inherit; color: inherit; padding: .4rem .6rem;
  background: var(--soft); border: 1px solid var(--line); border-radius: .4rem; }
#controls input[type=search] { width: 16rem; max-width: 100%; } #controls input[type=checkbox] { accent-color: #2a7d55; }
#controls label { display: flex; gap: .4rem; align-items: center; } #shown { opacity: .75; } .narrow { display: none; }
thead button { font: inherit; color: inherit; text-align: inherit; background: none; border: 0; padding: 0;
  cursor: pointer; }
thead button:hover { text-decoration: underline; } [aria-sort] button::after { font-size: .6rem; content: " \\25B2"; }
[aria-sort=descending] button::after { content: " \\25BC"; }
button:focus-visible, input:focus-visible, select:focus-visible { outline: 2px solid #2a7de1; outline-offset: 2px; }
@media (max-width: 56rem) {
  .narrow { display: flex; flex: 0 1 100%; min-width: 0; gap: .5rem; } .narrow label, .narrow select { min-width: 0; flex: 1 1 0; }
  #controls label:first-child, #controls label:first-child input { flex: 1; }
  #controls input[type=checkbox] { width: 1.25rem; height: 1.25rem; }
}
"""

SCRIPT = """
(() => {
  const table = document.querySelector('table'), rows = [...table.tBodies[0].rows];
  const headers = [...table.tHead.rows[0].cells];
  const [controls, filter, front, column, reverse, shown] =
    ['controls', 'filter', 'front', 'column', 'reverse', 'shown'].map(id => document.getElementById(id));
  let sorted = -1, descending = false;
  const value = row => {
    const cell = row.cells[sorted];
    return sorted === 0 ? cell.textContent.trim() : parseFloat(cell.dataset.value);
  };
  const compare = (one, other) => {
    const [x, y] = [value(one), value(other)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    const order = sorted === 0 ? x.localeCompare(y, 'en', {numeric: true}) : x - y;
    return descending ? -order : order;
  };
  const sort = () => {
    table.tBodies[0].append(...(sorted < 0 ? rows : [...rows].sort(compare)));
    headers.forEach((header, index) => {
      if (index === sorted) header.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
      else header.removeAttribute('aria-sort');
    });
    column.value = sorted;
    reverse.textContent = descending ? 'descending' : 'ascending';
    reverse.disabled = sorted < 0;
  };
  const show = () => {
    const words = filter.value.toLowerCase().split(/\\s+/);
    for (const row of rows) {
      const name = row.cells[0].textContent.toLowerCase();
      row.hidden = !words.every(word => name.includes(word)) || (front.checked && !row.classList.contains('front'));
    }
    shown.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} settings shown`;
  };
  const choose = (index, down) => { [sorted, descending] = [index, down]; sort(); };
  headers.forEach((header, index) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...header.childNodes);
    button.title = 'sort: ascending, descending, as it was';
    button.addEventListener('click', () =>
      sorted !== index ? choose(index, false) : descending ? choose(-1, false) : choose(index, true));
    header.append(button);
  });
  column.addEventListener('change', () => choose(Number(column.value), false));
  reverse.addEventListener('click', () => choose(sorted, !descending));
  filter.addEventListener('input', show);
  front.addEventListener('change', show);
  controls.hidden = false;
  sort();
  show();
})();
"""


def controls(columns: Sequence[str]) -> str:
  """Returns the HTML of what a reader sorts and filters by, hidden until the script runs.

  Args:
    columns: The names of all columns of the table.
  """
  options = ''.join(f'<option value="{index}">{html.escape(name)}</option>' for index, name in enumerate(columns))
  return (
    '<div id="controls" hidden><label>Filter <input type="search" id="filter" autocomplete="off"></label>'
    '<label><input type="checkbox" id="front" autocomplete="off">only the Pareto front</label>'
    '<span class="narrow"><label>Sort by <select id="column" autocomplete="off">'
    f'<option value="-1">nothing: as it was</option>{options}</select></label>'
    '<button type="button" id="reverse">ascending</button></span><output id="shown"></output></div>'
  )
