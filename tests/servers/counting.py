"""A proxy that counts what a server sends, and makes it a slow one."""

import contextlib
import socket
import threading
import time
from typing import Self


class CountingProxy:
    """Passes connections on to a server.

    Args:
        server_port: of the server.
        delay: seconds by which what a client sends is held back.
        rate: bytes per second that go to all clients together; None is without a limit.

    Attributes:
        port: where it listens.
        sent: bytes that the server sent, with its protocol's own.
    """

    def __init__(self, server_port: int, *, delay: float = 0.0, rate: float | None = None) -> None:
        self._server_port = server_port
        self._delay = delay
        self._rate = rate
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.sent = 0

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *exception: object) -> None:
        for one in (self._listening, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _run(self, target: object, *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                for one in (client, server):
                    # Else small pieces wait for the acknowledgement of those before.
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._run(self._pass_on, client, server, False)
                self._run(self._pass_on, server, client, True)

    def _pass_on(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if counted:
                    with self._lock:
                        self.sent += len(data)
                        # Whoever else wants to send has to wait.
                        time.sleep(0 if self._rate is None else len(data) / self._rate)
                else:
                    time.sleep(self._delay)
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
