"""Refuses and notes each connection to another machine: Python reads this at its start where this folder is on PYTHONPATH.

The file that IRTUNING_GUARD names gets a line for each.
"""

from __future__ import annotations

import os
import socket
from typing import Any

_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")
_connect, _getaddrinfo = socket.socket.connect, socket.getaddrinfo


def _check(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name and not str(name).startswith(_LOCAL) and name != socket.gethostname():
        with open(os.environ["IRTUNING_GUARD"], "a", encoding="utf-8") as file:  # noqa: PTH123 - nothing else is imported yet
            file.write(f"{name}\n")
        raise OSError(f"no way to {name}")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        _check(address[0])
    return _connect(self, address)


def _guarded_getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
    _check(host)
    return _getaddrinfo(host, *more, **named)


socket.socket.connect = _guarded_connect
socket.getaddrinfo = _guarded_getaddrinfo
