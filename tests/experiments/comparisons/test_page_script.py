"""The table of a comparison's page in a browser: sorted by numbers, filtered, and as it was again. Needs Chromium."""

import json
import re
import shutil
import subprocess

import pytest

from experiments.comparisons import page as comparison_page
from experiments.comparisons import runs as run_comparison
from tests.experiments.comparisons import test_comparison_page

_BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
# Perplexity in the order of uploads, the largest first; as text 1,000.0 would come before 20.0.
_RUNS = {'identity': 20.0, 'float16': 1000.0, 'sign': float('inf'), 'uniform(bits=8)': 9.0}

pytestmark = pytest.mark.skipif(_BROWSER is None, reason='there is no Chromium')


def _page(tmp_path):
  (tmp_path / 'a.png').write_bytes(b'')
  runs = [
    test_comparison_page._run(upload, [2000.0, perplexity], sent=10**6 * (9 - index), upload=upload)
    for index, (upload, perplexity) in enumerate(_RUNS.items())
  ]
  return comparison_page.render(run_comparison.groups(runs), {'A picture': tmp_path / 'a.png'})


def _after(tmp_path, script):
  """Returns what a browser shows once a script of a test has run: the settings in order, what is sorted, what is said."""
  told = """
    const seen = [...document.querySelectorAll('tbody tr')].filter(row => !row.hidden);
    const sorted = document.querySelector('[aria-sort]');
    document.title = JSON.stringify({
      settings: seen.map(row => row.querySelector('code').textContent),
      sorted: sorted && [sorted.textContent, sorted.getAttribute('aria-sort')],
      shown: document.getElementById('shown').textContent,
      column: document.getElementById('column').value,
    });
  """
  helpers = """
    const click = name => [...document.querySelectorAll('thead button')].find(each => each.textContent === name).click();
    const set = (id, value) => {
      const field = document.getElementById(id);
      if (typeof value === 'boolean') field.checked = value; else field.value = value;
      field.dispatchEvent(new Event(field.tagName === 'SELECT' || typeof value === 'boolean' ? 'change' : 'input'));
    };
  """
  path = tmp_path / 'page.html'
  path.write_text(_page(tmp_path).replace('</body>', f'<script>{helpers}{script}{told}</script></body>'))
  arguments = ['--headless', '--no-sandbox', '--disable-gpu', f'--user-data-dir={tmp_path}/browser', '--dump-dom']
  done = subprocess.run([_BROWSER, *arguments, path.as_uri()], capture_output=True, text=True, check=True, timeout=120)
  return json.loads(re.search('<title>(.*)</title>', done.stdout)[1])


def test_headers_sort_by_number_up_and_down_and_as_it_was(tmp_path):
  up = _after(tmp_path, "click('perplexity')")
  assert up['settings'] == ['uniform(bits=8)', 'identity', 'float16', 'sign']  # What diverged comes last.
  assert up['sorted'] == ['perplexity', 'ascending']
  down = _after(tmp_path, "click('perplexity'); click('perplexity')")
  assert down['settings'] == ['float16', 'identity', 'uniform(bits=8)', 'sign']
  assert down['sorted'] == ['perplexity', 'descending']
  again = _after(tmp_path, "click('setting'); click('perplexity'); click('perplexity'); click('perplexity')")
  assert again['settings'] == list(_RUNS) and again['sorted'] is None


def test_a_list_of_columns_sorts_where_there_are_no_headers(tmp_path):
  chosen = _after(tmp_path, "set('column', 0); document.getElementById('reverse').click()")
  # By name, with the numbers in it: float16, sign, 8 bits and 32 bits.
  assert chosen['settings'] == ['sign', 'float16', 'identity', 'uniform(bits=8)']
  assert chosen['sorted'] == ['setting', 'descending'] and chosen['column'] == '0'


def test_words_and_the_front_filter_and_the_number_shown_is_said(tmp_path):
  assert _after(tmp_path, '')['shown'] == '4 of 4 settings shown'
  words = _after(tmp_path, "set('filter', 'UNIFORM bits')")
  assert (words['settings'], words['shown']) == (['uniform(bits=8)'], '1 of 4 settings shown')
  # 8 bits are better than all others for less.
  assert _after(tmp_path, "set('front', true)")['settings'] == ['uniform(bits=8)']
  assert _after(tmp_path, "set('front', true); set('filter', 'sign')")['shown'] == '0 of 4 settings shown'
