"""The flags of one binary, in a table of their own: several binaries may live in one process, as they do in a script.

A binary gets what is given to it as a mapping: the value of every flag by name, whoever gave it.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import contextvars
import copy
import difflib
import functools
import os
import types
from typing import Any

from absl import flags

from experiments.command import command_line
from experiments.command import failures
from experiments.command import given_objects

PLUGIN = 'plugin'
_VERSION = 'version'
_called: contextvars.ContextVar[str | None] = contextvars.ContextVar('called', default=None)
_OBJECTS = (
  'algorithm', 'client_dropout', 'corpus', 'dataset', 'devices', 'download', 'log_to', 'model', 'objective', 'partition',
  'privacy', 'runtime', 'secure_sum', 'stages', 'trainable', 'upload', 'vocabulary',
)  # Flags that take, from a script, what a spec would build.  # fmt: skip
_LISTS = ('codecs', 'policies')  # Flags that take several of these.
_NOTHING: Mapping[str, Any] = types.MappingProxyType({})


def called_binary() -> str | None:
  """Returns the name of the binary that is running; None in a script that calls none."""
  return _called.get()


class FlagTable:
  """The absl flags of a binary.

  `string`, `integer`, `float`, `bool`, `enum`, `list` and `multi_string` define one as the functions of absl do:
  `FLAGS.string('run', None, 'The --output_dir of a run.')`.
  """

  def __init__(
    self,
    binary: str,
    without: Mapping[str, str] = _NOTHING,
    defaults_for: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda given: {},
  ):
    """Begins with `--plugin` and `--version`.

    Args:
      binary: The name of the module.
      without: Flags that mean nothing to the binary and are not in its `--help`, each with the reason.
      defaults_for: From the flags that are given to the defaults of others that depend on them.
    """
    self.binary = binary
    self._without, self._defaults_for = without, defaults_for
    self._values = flags.FlagValues()
    self.string = functools.partial(flags.DEFINE_string, flag_values=self._values)
    self.integer = functools.partial(flags.DEFINE_integer, flag_values=self._values)
    self.float = functools.partial(flags.DEFINE_float, flag_values=self._values)
    self.bool = functools.partial(flags.DEFINE_bool, flag_values=self._values)
    self.enum = functools.partial(flags.DEFINE_enum, flag_values=self._values)
    self.list = functools.partial(flags.DEFINE_list, flag_values=self._values)
    self.multi_string(
      PLUGIN,
      [],
      'Python file of your own that adds names to the catalogues: of stages, models, policies, data sets, loggers and more; '
      'FILE.py#sha256=... takes it only as it was. Repeatable.',
    )
    self.bool(_VERSION, False, 'Print the version and exit.')

  def multi_string(self, name: str, default: Sequence[str], help_text: str) -> None:
    """Defines a flag that may be given any number of times; its value is a list."""
    flags.DEFINE_multi_string(name, default, help_text, flag_values=self._values)
    self._values[name].help = help_text  # Absl adds to it what ours say already.

  def copy(
    self,
    binary: str,
    without: Mapping[str, str] = _NOTHING,
    defaults_for: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda given: {},
    **specialized: tuple[Any, str | None],
  ) -> 'FlagTable':
    """Returns a table of the same flags for a binary.

    Args:
      binary: As `FlagTable` takes it.
      without: Likewise.
      defaults_for: Likewise.
      **specialized: By name the default, and the help where it is not None, of flags that differ from those here.
    """
    table = FlagTable(binary, without, defaults_for)
    for flag in self._flags():
      if flag.name not in (PLUGIN, _VERSION):
        table._values[flag.name] = copy.deepcopy(flag)
    for name, (default, help_text) in specialized.items():
      table._values.set_default(name, default)
      table._values[name].help = help_text or table._values[name].help
    return table

  def shown(self) -> dict[str, flags.Flag]:
    """Returns the flags that the binary takes, by name."""
    return {flag.name: flag for flag in self._flags() if flag.name not in self._without}

  def check(self, name: str, is_right: Callable[[Any], bool], otherwise: str) -> None:
    """Lets a flag take only values of which `is_right` is true; `otherwise` says what they are."""
    flags.register_validator(name, is_right, otherwise, flag_values=self._values)

  def help_text(self) -> str:
    """Returns what `--help` says of the flags."""
    for flag in self.shown().values():
      self._values.register_key_flag_for_module(self.binary, flag)
    return self._values.module_help(self.binary)

  @contextlib.contextmanager
  def called(self) -> Iterator[None]:
    """Lets what is recorded in the block name this binary."""
    token = _called.set(self.binary)
    try:
      yield
    finally:
      _called.reset(token)

  def parse(self, arguments: Sequence[str]) -> list[str]:
    """Parses a command line, the name of the program and what follows it; returns what is no flag.

    Raises:
      flags.Error: For a flag that does not exist, or a value that it does not take.
    """
    flags.FLAGS.mark_as_parsed()
    self._values.unparse_flags()
    everything = flags.FlagValues()
    for values in (flags.FLAGS, self._values):  # Of absl itself there are some, such as --verbosity.
      everything.append_flag_values(values)
    return everything(arguments)

  def named_plugins(self) -> list[str]:
    """Returns what `--plugin` of a command line names, which is loaded before the other flags are looked at."""
    return self._values[PLUGIN].value

  def parsed(self) -> dict[str, Any]:
    """Returns the value of every flag by name; raises `UsageError` for one that was given and means nothing to the binary."""
    return self._completed({flag.name: flag.value for flag in self._flags() if flag.present})

  def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the value of every flag by name, where a script gives some.

    Args:
      given: Values by name, as text or as what they are; where a flag takes specs, also what a spec would build.

    Raises:
      UsageError: For a name or a value that is none, or means nothing to the binary.
    """
    return self._completed({name: self._value(name, value) for name, value in given.items()})

  def _flags(self) -> list[flags.Flag]:
    return [self._values[name] for name in self._values]

  def _value(self, name: str, value: Any) -> Any:
    known = self.shown() | {name: self._values[name] for name in self._without}
    if name not in known or name == _VERSION:
      near = difflib.get_close_matches(name, set(known) - {_VERSION}, n=1)
      raise failures.UsageError(
        f'{command_line.PACKAGE}.{self.binary} has no flag {name!r}{f" (did you mean {near[0]!r}?)" if near else ""}; it '
        f'has {", ".join(sorted(set(known) - {_VERSION}))}'
      )
    flag = known[name]
    try:
      if isinstance(flag, flags.MultiFlag):
        return [_parsed(flag, each) for each in ([value] if isinstance(value, str | os.PathLike) else value)]
      parsed = _parsed(flag, value)
      for validator in flag.validators:
        if not validator.checker(parsed):
          raise ValueError(validator.message)
      return parsed
    except (ValueError, TypeError) as error:
      raise failures.UsageError(f'{name}={value!r} is not what --{name} takes: {error}') from error

  def _completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {flag.name: copy.copy(flag.default) for flag in self._flags() if flag.name != _VERSION}
    values = defaults | dict(self._defaults_for(given)) | dict(given)
    values.pop(_VERSION, None)
    for name, reason in self._without.items():
      if values[name] != defaults[name]:
        raise failures.UsageError(f'--{name}={values[name]} does not apply: {reason}')
    return values


def _parsed(flag: flags.Flag, value: Any) -> Any:
  """Returns what a flag makes of a value of a script."""
  if value is None and flag.default is None:
    return None
  if isinstance(value, os.PathLike):
    value = os.fspath(value)
  if hasattr(value, 'item'):  # Of NumPy.
    value = value.item()
  if flag.name in _LISTS and (isinstance(value, list | tuple) or given_objects.is_one(value)):
    return list(value) if isinstance(value, list | tuple) else [value]
  if flag.flag_type() == 'string' and flag.name in _OBJECTS:
    if given_objects.is_one(value):
      return value
    if isinstance(value, list) and value and all(isinstance(link, str) for link in value):
      return '|'.join(value)
  return flag.parser.parse(value)
