"""The limit on clients that run at a time, against arithmetic by hand, and the memory it is taken from."""

import pathlib

import pytest

from experiments.workers import concurrency

_MODEL = 250_000  # Parameters: 1 MB.


@pytest.mark.parametrize(
  ('processors', 'clients', 'megabytes', 'expected'),
  [
    (2, 10, 100_000, 2),  # As many as there are processors.
    (64, 10, 100_000, 10),  # No more than the round has.
    (64, 10, 60, 5),  # 80 % of 60 = 48; - 15 - 10 x 2.2 = 11 for running clients of 2 each.
    (64, 10, 58, 4),  # 46.4 - 37 = 9.4
    (64, 15, 65, 2),  # 52 - 15 - 15 x 2.2 = 4
    (64, 10, 45, 1),  # 36 - 37 < 0: the round does not fit.
    (64, 10, 0, 1),
  ],
)
def test_limit(processors: int, clients: int, megabytes: int, expected: int):
  fitting = concurrency.max_clients_at_once(concurrency.IN_WORKER, _MODEL, clients, processors, megabytes * 10**6)
  assert fitting == expected


@pytest.mark.parametrize(
  ('processors', 'clients', 'megabytes', 'expected'),
  [
    (64, 10, 100_000, 10),
    (64, 10, 60, 5),  # 80 % of 60 = 48; - 11 = 37 for running clients of 6.5 each.
    (64, 1000, 60, 5),  # What clients send is added up and let go.
    (64, 10, 30, 2),  # 24 - 11 = 13
    (64, 10, 20, 1),
  ],
)
def test_limit_in_this_process(processors: int, clients: int, megabytes: int, expected: int):
  fitting = concurrency.max_clients_at_once(concurrency.IN_PROCESS, _MODEL, clients, processors, megabytes * 10**6)
  assert fitting == expected


def test_a_round_takes_what_was_measured():
  # 8 clients of 31.2 MB, one at a time: 15 + 8 x 2.2 + 2 = 34.6 copies; measured: 32.4.
  assert concurrency.round_bytes(concurrency.IN_WORKER, 7_800_000, clients_per_round=8, at_once=1) == pytest.approx(
    1_079_520_000
  )
  # Two clients of 37.2 MB: 11 + 2 x 6.5 = 24 copies; measured: 23.7.
  assert concurrency.round_bytes(concurrency.IN_PROCESS, 9_300_000, clients_per_round=8, at_once=2) == pytest.approx(
    892_800_000
  )


def test_a_round_that_does_not_fit_this_machine_is_announced(capsys):
  assert concurrency.of_this_machine(concurrency.IN_WORKER, num_parameters=10**12, clients_per_round=3) == 1
  said = capsys.readouterr().err
  assert 'rounds of 3 clients of 1,000,000,000,000 parameters take about 94400.0 GB' in said
  assert said.endswith('are available: lower clients_per_round or the model\n')
  assert concurrency.of_this_machine(concurrency.IN_PROCESS, num_parameters=10**12, clients_per_round=3) == 1
  said = capsys.readouterr().err  # 11 + 6.5 copies.
  assert 'take about 70000.0 GB' in said and said.endswith('are available: lower the model\n')
  assert concurrency.of_this_machine(concurrency.IN_PROCESS, num_parameters=1, clients_per_round=1) == 1
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize(
  ('processors', 'clients', 'expected'), [(2, 10, 1), (2, 1, 2), (64, 10, 6), (1, 1, 1), (64, 0, 1)]
)
def test_threads_of_a_client_share_the_processors(monkeypatch, processors: int, clients: int, expected: int):
  monkeypatch.setattr(concurrency.os, 'sched_getaffinity', lambda _: set(range(processors)))
  assert concurrency.threads_per_client(clients) == expected


def _write(root: pathlib.Path, files: dict[str, str]) -> None:
  for name, text in files.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


_MEMORY = 'MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:  5000 kB\nHugePages_Total:  0\n'


def test_without_a_limit_memory_is_what_the_kernel_calls_available(tmp_path: pathlib.Path):
  _write(
    tmp_path, {'proc/meminfo': _MEMORY, 'proc/self/cgroup': '0::/user\n', 'sys/fs/cgroup/user/memory.max': 'max\n'}
  )
  assert concurrency.available_bytes(tmp_path) == 5_120_000  # 5000 x 1024


def test_a_limit_of_any_group_above_counts_less_what_cannot_be_given_back(tmp_path: pathlib.Path):
  groups = {
    'a/memory.max': '4000000',
    'a/memory.current': '3000000',
    'a/memory.stat': 'anon 1\ninactive_file 600000\n',
    'a/b/memory.max': 'max',
  }
  _write(tmp_path, {'proc/meminfo': _MEMORY, 'proc/self/cgroup': '0::/a/b\n'})
  _write(tmp_path / 'sys/fs/cgroup', groups)
  assert concurrency.available_bytes(tmp_path) == 1_600_000  # 4,000,000 - 3,000,000 + 600,000
  _write(tmp_path / 'sys/fs/cgroup', {'a/memory.max': '2000000'})
  assert concurrency.available_bytes(tmp_path) == 0


def test_a_limit_of_version_1_counts_in_a_container_that_sees_its_own_group_only(tmp_path: pathlib.Path):
  groups = {
    'memory.limit_in_bytes': '2000000',
    'memory.usage_in_bytes': '500000',
    'memory.stat': 'cache 7\ntotal_inactive_file 100000\n',
  }
  _write(tmp_path, {'proc/meminfo': _MEMORY, 'proc/self/cgroup': '4:cpu,memory:/outside/of/it\n3:pids:/\n'})
  _write(tmp_path / 'sys/fs/cgroup/memory', groups)
  assert concurrency.available_bytes(tmp_path) == 1_600_000  # 2,000,000 - 500,000 + 100,000
