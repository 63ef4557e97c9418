"""Runs a server in a network namespace of its own, where one process or user can reach it: through a Unix socket.

    python -I -S isolation.py CLIENT_PID LISTENER_FD REPORT_FD PORT COMMAND [ARGUMENT ...]

The command replaces this process; a child, the *pipe*, forwards what process CLIENT_PID (0: any process of the same user)
sends to the Unix socket LISTENER_FD to the command's TCP port. One line goes to REPORT_FD: `isolated`, or why the system does
not allow it, whereupon the command does not start. The pipe keeps REPORT_FD open; when the command ends, in whatever way, the
pipe removes the socket, for one process also its directory, and ends too. Standard library only: this file starts in
milliseconds, by its path.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import pathlib
import select
import socket
import struct
import sys
import threading

SUCCESS = 'isolated'
ANY_OF_THIS_USER = 0  # Stands for the id of a process.

_CLONE_NEWUSER = 0x10000000  # From <linux/sched.h>.
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914  # From <linux/sockios.h>.
_IFF_UP = 1  # From <linux/if.h>.
_BUFFER_BYTES = 2**20


def enter_network_namespace() -> None:
  """Moves this process, which must have one thread only, into a new network namespace with nothing but a loopback.

  A process that may do so stays in its user namespace, and so keeps its rights to files. Any other enters a new one,
  under its own user and group ids, where it has its rights as the owner of a file, but no capabilities after an exec.

  Raises:
    OSError: If the system does not allow it; the process may have changed its user namespace and should end.
  """
  user, group = os.geteuid(), os.getegid()
  try:
    _unshare(_CLONE_NEWNET)
  except OSError as error:
    if error.errno != errno.EPERM:
      raise
    _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    # Without the first line the kernel lets no unprivileged process write the last.
    pathlib.Path('/proc/self/setgroups').write_text('deny')
    pathlib.Path('/proc/self/uid_map').write_text(f'{user} {user} 1')
    pathlib.Path('/proc/self/gid_map').write_text(f'{group} {group} 1')
  with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack('16sH22x', b'lo', _IFF_UP))


def _unshare(flags: int) -> None:
  if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code), 'unshare')


def forward(listener: socket.socket, port: int, client_pid: int, command_end: int) -> None:
  """Connects clients to a TCP port of this network namespace until the other end of the pipe `command_end` is closed.

  Args:
    listener: The Unix socket that clients connect to.
    port: The port. While nobody listens there, clients are accepted and at once hung up on.
    client_pid: The one process that is served, or `ANY_OF_THIS_USER`; the connections of all others are closed.
    command_end: A file descriptor whose end of file says that the server is gone.
  """
  while True:
    ready, _, _ = select.select([listener, command_end], [], [])
    if command_end in ready:
      return
    client, _ = listener.accept()
    threading.Thread(target=_serve, args=(client, port, client_pid), daemon=True).start()


def _serve(client: socket.socket, port: int, client_pid: int) -> None:
  with client, contextlib.suppress(ConnectionError):
    if not _is_served(client, client_pid):
      return
    with socket.create_connection(('127.0.0.1', port)) as server:
      server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
      answers = threading.Thread(target=_copy, args=(server, client), daemon=True)
      answers.start()
      _copy(client, server)
      answers.join()


def _is_served(client: socket.socket, client_pid: int) -> bool:
  credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i'))
  pid, user, _ = struct.unpack('3i', credentials)
  return user == os.geteuid() if client_pid == ANY_OF_THIS_USER else pid == client_pid


def _copy(source: socket.socket, target: socket.socket) -> None:
  """Copies until either side hangs up, which then ends the copying in the other direction as well."""
  buffer = memoryview(bytearray(_BUFFER_BYTES))
  with contextlib.suppress(ConnectionError):
    while count := source.recv_into(buffer):
      target.sendall(buffer[:count])
  for side in (source, target):
    with contextlib.suppress(OSError):  # It may be closed on the far side already.
      side.shutdown(socket.SHUT_RDWR)


def _remove(socket_path: str, with_directory: bool) -> None:
  """Removes the socket, and the directory if asked to, unless another has done so."""
  with contextlib.suppress(OSError):
    os.unlink(socket_path)
    if with_directory:
      os.rmdir(os.path.dirname(socket_path))


def main(arguments: list[str]) -> None:
  """Isolates this process, starts the pipe and becomes the command."""
  client_pid, listener_fd, report_fd, port, *command = arguments
  listener = socket.socket(fileno=int(listener_fd))
  listener.set_inheritable(False)
  report = int(report_fd)
  os.set_inheritable(report, False)
  try:
    enter_network_namespace()
  except OSError as error:
    os.write(report, f'{error.filename or "ioctl"}: {error.strerror}\n'.encode())
    sys.exit(1)
  command_end, lifeline = os.pipe()
  if os.fork() == 0:
    os.close(lifeline)
    forward(listener, int(port), int(client_pid), command_end)
    _remove(listener.getsockname(), with_directory=int(client_pid) != ANY_OF_THIS_USER)
    os._exit(0)  # Threads may still wait for a client.
  os.write(report, f'{SUCCESS}\n'.encode())
  os.set_inheritable(lifeline, True)
  os.execv(command[0], command)


if __name__ == '__main__':
  main(sys.argv[1:])
