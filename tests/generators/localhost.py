"""Browsers resolve *.localhost to this machine. Python asks the system, which may not."""

import socket
from typing import Any

_of_the_system = socket.getaddrinfo


def _getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else str(host)
    local = name == "localhost" or name.endswith(".localhost")
    return _of_the_system("127.0.0.1" if local else host, *rest, **more)


socket.getaddrinfo = _getaddrinfo
