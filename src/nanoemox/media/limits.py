"""How much of a file is read: bytes, time and, through them, memory. What is beyond the limits counts as its end.

FFmpeg collects a picture or a packet until it has found its end, and looks for the next one however far away it
is. A file of gigabytes of zeros behind a picture would fill the memory and take minutes. Here FFmpeg sees such a file
end after what no sound file holds: 32 MB without a packet, or 32 MB of zeros. `Meter.stopped` says so.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from nanoemox.media.untrusted import open_file, refuse

TIME_S = 15.0  # for one file, of wall time and of the computer's work, whichever is less
TOTAL_BYTES = 8_000_000_000  # for one file, all passes over it together
STALL_BYTES = 32_000_000  # without a packet, where FFmpeg itself looks for the ends of packets; or of zeros
PNG_NOTES_BYTES = 16_000_000  # text and colour profiles in a PNG, unpacked
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PACKED = {b"zTXt", b"iTXt", b"iCCP"}
_PNG_CHUNKS = 100_000
_PIECE = 1 << 16


class Meter:
    """What reading one file has cost so far, over all passes."""

    def __init__(self) -> None:
        self.wall_s, self.work_s = time.monotonic(), time.process_time()
        self.bytes = self.zeros = self.since_packet = 0
        self.stall_bytes = self.zero_bytes = STALL_BYTES
        self.time_s, self.total_bytes = TIME_S, float(TOTAL_BYTES)
        self.end: float = math.inf  # where the file ends for us, in bytes
        self.stopped = ""  # why reading was stopped; empty while it was not

    def progress(self) -> None:
        """A packet was found, or reading goes on elsewhere."""
        self.zeros = self.since_packet = 0

    def spent(self) -> bool:
        """Whether the time for this file is over."""
        taken_s = min(time.monotonic() - self.wall_s, time.process_time() - self.work_s)
        if taken_s > self.time_s:
            self.stopped = f"reading it took more than {self.time_s:g} s"
        return taken_s > self.time_s

    def allows(self, at: int) -> bool:
        """Whether more may be read from `at` on."""
        if at >= self.end or self.spent():
            return False
        if self.bytes > self.total_bytes:
            self.stopped = f"more than {self.total_bytes / 1e6:.0f} MB were read"
        elif self.zeros > self.zero_bytes:
            self.stopped = f"{self.zero_bytes // 1_000_000} MB of zeros were found"
        elif self.since_packet > self.stall_bytes:
            self.stopped = f"{self.stall_bytes // 1_000_000} MB were read without finding anything"
        else:
            return True
        self.end = at - self.zeros  # later passes need not find that out again
        self.progress()
        return False

    def count(self, data: bytes) -> None:
        """Add what was read."""
        self.bytes += len(data)
        self.since_packet += len(data)
        self.zeros = self.zeros + len(data) if data.count(0) == len(data) else 0


class MeteredFile:
    """What FFmpeg sees of a file: bytes within the limits, and no name to guess or follow anything by."""

    def __init__(self, path: Path, file: IO[bytes], meter: Meter) -> None:
        """Read a file within limits.

        Args:
            path: What the file is called in errors.
            file: The open file.
            meter: Counts what reading it costs.
        """
        self.path, self.file, self.meter = path, file, meter
        self.seek, self.tell = file.seek, file.tell
        self.tail = b""

    def read(self, size: int) -> bytes:
        at = self.file.tell()
        if not self.meter.allows(at):
            return b""
        data = self.file.read(size)
        self.meter.count(data)
        found = (self.tail + data).find(_PNG)
        if found >= 0:
            check_png_notes(self.path, at - len(self.tail) + found)
        self.tail = data[1 - len(_PNG) :]
        return data


class MeteredContainer:
    """A container whose packets count as progress, and end where the time is over."""

    def __init__(self, container: Any, meter: Meter) -> None:
        self._container, self._meter = container, meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, *streams: Any) -> Iterator[Any]:
        """As in PyAV."""
        for packet in self._container.demux(*streams):
            self._meter.progress()
            yield packet
            if self._meter.spent():
                return

    def seek(self, *where: Any, **how: Any) -> None:
        """As in PyAV."""
        self._meter.progress()
        self._container.seek(*where, **how)


def check_png_notes(path: Path, at: int) -> None:
    """Refuse a PNG whose packed notes FFmpeg would unpack into gigabytes.

    Args:
        path: the file that holds it.
        at: where the PNG begins in it.

    Raises:
        MediaError: if they are too large.
    """
    left, at = PNG_NOTES_BYTES, at + len(_PNG)
    with open_file(path) as file:
        for _ in range(_PNG_CHUNKS):
            file.seek(at)
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IEND" or not head[4:].isalpha():
                return
            size = int.from_bytes(head[:4], "big")
            if head[4:] in _PNG_PACKED:
                left -= _unpacked(file, size, left)
                if left < 0:
                    wrong = f"holds notes that unpack to more than {PNG_NOTES_BYTES // 1_000_000} MB"
                    refuse(path, wrong, "export it again without them")
            at += 12 + size


def _unpacked(file: IO[bytes], size: int, limit: int) -> int:
    """How many bytes the packed part of a chunk unpacks to, counted up to a little more than `limit`."""
    start = file.tell()
    begin = file.read(min(size, 400))
    # A name that ends with a zero, one or two bytes, and in iTXt two more names; then a zlib stream.
    offsets = [
        i for i in range(len(begin) - 1) if begin[i] & 15 == 8 and (begin[i] << 8 | begin[i + 1]) % 31 == 0
    ]
    most = 0
    for offset in offsets[:20]:
        file.seek(start + offset)
        unpacker, total, left = zlib.decompressobj(), 0, size - offset
        try:
            while left > 0 and total <= limit and not unpacker.eof:
                piece = file.read(min(left, _PIECE))
                left -= len(piece)
                while piece and total <= limit:
                    total += len(unpacker.decompress(piece, _PIECE))
                    piece = unpacker.unconsumed_tail
                if not piece and left > 0 and file.tell() >= start + size:
                    break
        except zlib.error:
            pass
        most = max(most, total)
    return most
