"""What the decoder itself says of damage: packets marked as corrupt, packets it cannot decode, frames it had to mend.

Not all of that is damage. After a seek, and in a recording that begins in the middle, a decoder lacks what the first
frames refer to. So nothing counts that lies before the first key frame, or is shown before it; for audio, nothing
counts while the decoder settles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nanoemox.media.clip import CodedWarning
from nanoemox.media.untrusted import open_file

CHECKED_CODECS = {"flac", "ac3", "eac3"}  # they carry checksums, which the decoder compares if it is asked to
CHECKED = {"err_detect": "crccheck+explode"}
_JPEG_BYTES = 64_000_000  # looked through for their end
_JOINT_PACKETS = 4
_BACK_S = 0.5  # stamps that fall back by more than this begin anew
_SETTLING = 4  # frames of audio without a fault, after a seek
_BORROWING = {
    "mp1",
    "mp2",
    "mp3",
    "mp1float",
    "mp2float",
    "mp3float",
}  # the first packet may need one before it


class Watch:
    """The faults of one pass over a track."""

    def __init__(self, kind: str) -> None:
        self.kind, self.faults = kind, 0
        self.doubtful = False  # whether what is decoded now may be wrong
        self.begin(sought=False)

    def begin(self, sought: bool) -> None:
        """Decoding begins at the beginning, or where a seek led to."""
        self.settling = _SETTLING if sought else 0
        self.good = 0  # frames in a row without a fault
        self.armed = self.doubtful = False
        self.first: int | None = None  # when the first key frame is shown
        self.last_fault: int | None = None
        self.latest: int | None = None  # time of the packet before
        self.following: int | None = None  # when the next packet of FLAC has to begin
        self.unsure = 0  # packets until marks count that only the end of a recording may have caused
        self.marks = 0

    def packet(self, packet: Any) -> None:
        """Look at a packet before it is decoded."""
        self._joint(packet)
        if not self.armed and self.kind == "video":
            if not packet.is_keyframe:
                return
            self.armed, self.first = True, packet.pts
        elif not self.armed:
            if self.settling == 0 and packet.stream.codec_context.name in _BORROWING:
                self.settling = 1
            self.armed = self.good >= self.settling
        if packet.is_corrupt:
            before = self.faults
            self.fault(packet.pts)
            self.marks, self.unsure = self.marks + self.faults - before, _JOINT_PACKETS
        self._gap(packet)

    def _gap(self, packet: Any) -> None:
        """FLAC counts its samples in every packet, so what is missing between two of them was lost."""
        if self.kind != "audio" or packet.pts is None or packet.stream.container.format.name != "flac":
            return
        if self.following is not None and packet.pts != self.following:
            self.fault(packet.pts)
        self.following = packet.pts + (packet.duration or 0)

    def _joint(self, packet: Any) -> None:
        """Where a second recording follows in the same file, the mark on the last packets before it is no damage."""
        self.unsure = max(self.unsure - 1, 0)
        self.marks = self.marks if self.unsure else 0
        if packet.pts is None:
            return
        if packet.is_keyframe and self.latest is not None and packet.time_base is not None:
            back_s = float((self.latest - packet.pts) * packet.time_base)
            if back_s > _BACK_S:
                self.faults -= self.marks
                self.marks, self.doubtful = 0, False
                self.first, self.last_fault = packet.pts, None
        self.latest = packet.pts

    def frame(self, frame: Any) -> None:
        """Look at a frame that was decoded."""
        self.good += 1
        if self.kind == "video" and frame.key_frame and not frame.is_corrupt:
            later = None in (frame.pts, self.last_fault) or frame.pts > self.last_fault
            self.doubtful = self.doubtful and not later
        if frame.is_corrupt:
            self.fault(frame.pts)

    def fault(self, pts: int | None) -> None:
        """Something at this time is damaged."""
        self.good = 0
        early = self.kind == "video" and None not in (pts, self.first) and pts < self.first  # type: ignore[operator]
        if self.armed and not early:
            self.faults += 1
            self.doubtful, self.last_fault = True, pts


def video_damaged(count: int, stated: int, doubtful: int, number: int, faults: int) -> list[CodedWarning]:
    """What is to be said about the frames of a video.

    Args:
        count: how many frames could be decoded.
        stated: how many there should be.
        doubtful: how many of the frames taken may be wrong.
        number: how many frames were taken.
        faults: how often the decoder found damage.

    Returns:
        One warning, or none.
    """
    found = []
    if stated - count > max(2, 0.02 * stated):
        found.append(f"{count} of {stated} frames could be decoded")
    if faults:
        found.append(f"{doubtful} of the {number} frames taken may be wrong")
    if not found:
        return []
    return [CodedWarning("video_damaged", f"the video is damaged or cut off: {'; '.join(found)}")]


def picture_ends_early(path: Path) -> bool:
    """Whether a JPEG lacks its end, or a WebP is shorter than it says."""
    with open_file(path) as file:
        head = file.read(12)
        size = file.seek(0, 2)
        if head[:4] == b"RIFF" and head[8:] == b"WEBP":
            return int.from_bytes(head[4:8], "little") + 8 > size
        if not head.startswith(b"\xff\xd8\xff") or size > _JPEG_BYTES:
            return False
        file.seek(0)
        content = file.read(size)
    scan = content.rfind(b"\xff\xda")
    return scan > 0 and content.find(b"\xff\xd9", scan) < 0
