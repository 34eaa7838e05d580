"""Clients of `tests.bench.serve`, in a process of their own: it is given an order a line, and prints an answer each."""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from pathlib import Path


class Clients:
    """Some kept connections to a server, each with one request at a time.

    Parameters
    ----------
    port : int
        Of the server, on loopback.
    requests : list of bytes
        As they go over the wire; asked in turns.
    connections : int
        At the same time.
    """

    def __init__(self, port: int, requests: list[bytes], connections: int) -> None:
        """Connect."""
        self._requests, self._n_asked = requests, 0
        self._waiting = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(connections):
            each = socket.create_connection(("127.0.0.1", port))
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[each.fileno()] = each
            self._waiting.register(each, select.EPOLLIN)
        self._parts = dict.fromkeys(self._sockets, b"")
        self.free = list(self._sockets)

    def ask(self, fd: int) -> None:
        """Send the next request."""
        self._n_asked += 1
        self._sockets[fd].sendall(self._requests[self._n_asked % len(self._requests)])

    def answered(self, seconds: float) -> list[int]:
        """Wait for answers so long at most, and return the connections that have a whole one."""
        found = []
        for fd, _ in self._waiting.poll(seconds):
            got = self._parts[fd] + self._sockets[fd].recv(2**20)
            at = got.find(b"\r\n\r\n")
            length = int(got[:at].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) if at >= 0 else 0
            if at < 0 or len(got) < at + 4 + length:
                self._parts[fd] = got
                continue
            assert got.startswith(b"HTTP/1.1 200"), got[:500]
            self._parts[fd] = b""
            found.append(fd)
        return found

    def close(self) -> None:
        """Hang up, when all is answered."""
        for each in self._sockets.values():
            each.close()
        self._waiting.close()


def saturate(clients: Clients, seconds: float) -> dict[str, object]:
    """Ask over each connection again as soon as it is answered; the clock begins with the first answer."""
    for fd in clients.free:
        clients.ask(fd)
    n_open, done = len(clients.free), 0
    first = clients.answered(60)
    began = time.perf_counter()
    for fd in first:
        clients.ask(fd)
    while time.perf_counter() - began < seconds:
        for fd in clients.answered(1):
            clients.ask(fd)
            done += 1
    took = time.perf_counter() - began
    while n_open:
        n_open -= len(clients.answered(10))
    return {"done": done, "seconds": took}


def paced(clients: Clients, seconds: float, rate: float) -> dict[str, object]:
    """Ask so many times a second at random moments; seconds count from the moment each was due."""
    draws = random.Random(1)
    began = time.perf_counter()
    due = began + draws.expovariate(rate)
    asked: dict[int, float] = {}
    free, late, latencies = list(clients.free), [], []
    while True:
        now = time.perf_counter()
        while due <= now and due < began + seconds:
            late.append(due)
            due += draws.expovariate(rate)
        while late and free:
            fd = free.pop()
            asked[fd] = late.pop(0)
            clients.ask(fd)
        if not asked and not late and due >= began + seconds:
            break
        for fd in clients.answered(max(0.0, min(due - time.perf_counter(), 0.1))):
            latencies.append(time.perf_counter() - asked.pop(fd))
            free.append(fd)
    latencies.sort()
    at = [latencies[min(len(latencies) - 1, int(share * len(latencies)))] for share in (0.5, 0.95, 0.99, 1.0)]
    return {"quantiles": at, "done": len(latencies)}


def main() -> None:
    """Follow orders: kind, port, connections, seconds, rate, and the file of the requests in hexadecimal lines."""
    for line in sys.stdin:
        kind, port, connections, seconds, rate, path = line.split()
        requests = [bytes.fromhex(text) for text in Path(path).read_text().split()]
        clients = Clients(int(port), requests, int(connections))
        if kind == "saturate":
            found = saturate(clients, float(seconds))
        else:
            found = paced(clients, float(seconds), float(rate))
        clients.close()
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
