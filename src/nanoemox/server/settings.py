"""What a server allows: where it listens, how large and how many requests may be, how long anything may take."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from nanoemox.files.errors import ArgumentError

MAX_TEXT_CHARACTERS = 20_000  # of all words of one request; no model has room for more
MAX_FIELDS = 20  # of one form
MAX_MESSAGES = 64  # of one chat, and parts of one message
MAX_DRAINED_BYTES = 16_000_000  # of a body that is refused: read on, so that the client hears why


@dataclass(frozen=True)
class Settings:
    """The limits of one server.

    Attributes:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        key: What clients have to send as `Authorization: Bearer …`; None lets everyone in who reaches the address.
        hosts: From which hosts clips may be fetched whose address a request names; none by default.
        max_body_bytes: Of one request.
        max_clip_s: The length of one clip.
        max_new_tokens: The most that a request may ask for.
        queue: How many requests may wait beside those that are answered; whoever comes then gets status 429.
        batch: How many clips the model answers at once.
        readers: How many processes read media files.
        read_s: How long a process may take to read one file.
        idle_s: How long a client may keep silent in the middle of a request, or leave an answer unread.
        body_s: How long a whole body may take to arrive.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = None
    hosts: tuple[str, ...] = ()
    max_body_bytes: int = 64_000_000
    max_clip_s: float = 600.0
    max_new_tokens: int = 1024
    queue: int = 32
    batch: int = 8
    readers: int = 2
    read_s: float = 60.0
    idle_s: float = 60.0
    body_s: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what would let strangers in, and limits that allow nothing."""
        if not self.loopback and not self.key:
            raise ArgumentError(
                f"host {self.host}: expected a loopback address such as 127.0.0.1 as long as there is no key, since "
                "others could send clips and read answers; set NANOEMOX_SERVE_KEY to a secret that clients send"
            )
        for name in ("max_body_bytes", "max_new_tokens", "batch", "readers"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name}: expected a whole number above 0, got {getattr(self, name)}")

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def places(self) -> int:
        """How many requests may be in the house at once."""
        return self.queue + self.batch
