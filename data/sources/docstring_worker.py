"""Extracts docstring sentences in a process of its own: JSON paths on standard input, JSON sentences on the output.

A separate program rather than a forked or spawned copy of the caller, which may hold TensorFlow's threads or be a
script without a main guard. Imports the standard library only.
"""

import ast
import json
import sys
import warnings

from data.sources import prose

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def read_sentences(path: str) -> list[str]:
  """Returns the docstring sentences of one Python file in order of appearance; none if it does not parse."""
  with open(path, 'rb') as file:
    content = file.read()
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # invalid escapes in other people's code
      tree = ast.parse(content)
  except (SyntaxError, ValueError):
    return []
  documented = [node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED)]
  documented.sort(key=lambda node: getattr(node, 'lineno', 0))
  docstrings = (ast.get_docstring(node) for node in documented)
  return [sentence for docstring in docstrings if docstring for sentence in prose.extract_sentences(docstring)]


if __name__ == '__main__':
  json.dump([read_sentences(path) for path in json.load(sys.stdin)], sys.stdout)
