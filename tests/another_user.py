"""What another user of the same machine tries with a cluster that is not theirs; prints a line for each success.

Run by root as ``python -m tests.another_user FOLDER SCHEDULER WORKER PAGE...``: it becomes the user nobody first.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from distributed.comm import connect
from distributed.security import Security

NOBODY = 65534


async def talks(address: str, security: Security) -> str:
    """Return what a process answers to who asks for its identity."""
    comm = await asyncio.wait_for(connect(address, timeout=3, **security.get_connection_args("client")), 8)
    await comm.write({"op": "identity", "reply": True})
    answer = await asyncio.wait_for(comm.read(), 8)
    return str(answer["type"])


def main(folder: Path, processes: list[str], pages: list[str], own: Security) -> None:
    """Try everything."""
    for kind, security in {"tls": own, "tcp": Security(require_encryption=False)}.items():
        with suppress(OSError):  # what is loaded on first use must be there: this user cannot read the interpreter
            asyncio.run(talks(f"{kind}://127.0.0.1:1", security))
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    assert os.listdir(folder)  # the run's folder itself can be seen, so what is refused below is refused by itself
    tried = 0
    for file in ("keys", "keys/key.pem", "keys/cert.pem", "keys/worker.json", "live.json"):
        tried += 1
        try:
            content = os.listdir(folder / file) if file == "keys" else (folder / file).read_text()
            print(f"read {file}: {content}")
        except (PermissionError, FileNotFoundError):
            pass
    for address in processes:
        place = address.partition("://")[2]
        for kind, security in {"tls": own, "tcp": Security(require_encryption=False)}.items():
            tried += 1
            try:
                print(f"talked to {kind}://{place}: {asyncio.run(talks(f'{kind}://{place}', security))}")
            except (OSError, ValueError):
                continue
        host, _, port = place.rpartition(":")
        bare = ssl.create_default_context()
        bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
        tried += 1
        try:
            with socket.create_connection((host, int(port)), 3) as raw, bare.wrap_socket(raw) as door:
                door.sendall(b"x" * 64)
                if door.recv(1):
                    print(f"read from {address} without a certificate")
        except OSError:
            pass
    for page in pages:
        tried += 1
        try:
            print(f"saw {page}: {urllib.request.urlopen(page, timeout=5).status}")
        except urllib.error.HTTPError as error:
            if error.code != 403:
                print(f"{page}: {error.code}")
    print(f"tried {tried}")


if __name__ == "__main__":
    scheduler, worker, *addresses = sys.argv[2:]
    main(Path(sys.argv[1]), [scheduler, worker], addresses, Security.temporary())
