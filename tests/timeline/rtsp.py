"""A stand-in for a camera on the network: a file of MPEG-TS, served over RTSP on this machine at its own speed.

It knows the four requests of RTSP that FFmpeg makes, and sends the packets of the file as RTP (payload 33, MPEG-TS)
inside the same connection, as cameras do over TCP. After the last packet it hangs up without a word.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKETS = 7  # of 188 bytes, in one of RTP
_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track0\r\n"


@contextmanager
def camera(path: Path, seconds: float, stops_at: float = 1.0) -> Iterator[str]:
    """Serve a file of this length to one client, and give the address; it hangs up at this share of the file."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    thread = threading.Thread(
        target=_serve, args=(listener, path.read_bytes(), seconds, stops_at), daemon=True
    )
    thread.start()
    try:
        yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
    finally:
        listener.close()
        thread.join(10)


def _serve(listener: socket.socket, data: bytes, seconds: float, stops_at: float) -> None:
    try:
        client, _ = listener.accept()
    except OSError:
        return
    with client:
        client.settimeout(10)
        waiting = b""
        try:
            while True:
                while b"\r\n\r\n" not in waiting:
                    if not (more := client.recv(4096)):
                        return
                    waiting += more
                head, _, waiting = waiting.partition(b"\r\n\r\n")
                method, lines = head.split(b" ", 1)[0], head.decode().split("\r\n")
                count = next(line for line in lines if line.lower().startswith("cseq"))
                own, body = "", ""
                if method == b"OPTIONS":
                    own = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                elif method == b"DESCRIBE":
                    own, body = f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}\r\n", _SDP
                elif method == b"SETUP":
                    own = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
                elif method == b"PLAY":
                    own = "Session: 1\r\nRange: npt=0.000-\r\n"
                client.sendall(f"RTSP/1.0 200 OK\r\n{count}\r\n{own}\r\n{body}".encode())
                if method == b"PLAY":
                    _play(client, data, seconds, stops_at)
                if method in (b"PLAY", b"TEARDOWN"):
                    return
        except OSError:  # the client has left
            return


def _play(client: socket.socket, data: bytes, seconds: float, stops_at: float) -> None:
    size, began = 188 * _PACKETS, time.monotonic()
    for number, first in enumerate(range(0, int(len(data) * stops_at) // 188 * 188, size)):
        at_s = seconds * first / len(data)
        time.sleep(max(0.0, began + at_s - time.monotonic()))
        packet = (
            struct.pack("!BBHII", 0x80, 33, number & 0xFFFF, round(at_s * 90_000), 1)
            + data[first : first + size]
        )
        client.sendall(struct.pack("!BBH", 0x24, 0, len(packet)) + packet)
