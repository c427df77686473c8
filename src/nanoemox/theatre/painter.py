"""A pen with its own unit of length, for scenery and props."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from nanoemox.theatre.people import RGB

INK: RGB = (44, 34, 42)
WHITE: RGB = (252, 250, 244)


class Painter:
    """Draws on an image in its own unit: (x0, y0) is the origin, `unit` the pixels per 1."""

    def __init__(self, image: Image.Image, x0: float, y0: float, unit: float) -> None:
        self.pen, self.x0, self.y0, self.unit = ImageDraw.Draw(image), x0, y0, unit

    def _at(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(self.x0 + x * self.unit, self.y0 + y * self.unit) for x, y in points]

    def _box(self, x1: float, y1: float, x2: float, y2: float) -> list[tuple[float, float]]:
        return self._at([(min(x1, x2), min(y1, y2)), (max(x1, x2), max(y1, y2))])

    def _px(self, width: float) -> int:
        return max(1, round(width * self.unit))

    def sector(self, x: float, y: float, r: float, start: float, end: float, fill: RGB) -> None:
        """A slice of a disc, degrees clockwise from three o'clock."""
        self.pen.pieslice(self._box(x - r, y - r, x + r, y + r), start, end, fill=fill)

    def shape(self, points: Sequence[tuple[float, float]], fill: RGB) -> None:
        self.pen.polygon(self._at(points), fill=fill)

    def rect(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        fill: RGB,
        edge: RGB | None = None,
        width: float = 0.02,
    ) -> None:
        self.pen.rectangle(
            self._box(x1, y1, x2, y2), fill=fill, outline=edge, width=self._px(width) if edge else 0
        )

    def round(self, x1: float, y1: float, x2: float, y2: float, r: float, fill: RGB) -> None:
        self.pen.rounded_rectangle(self._box(x1, y1, x2, y2), radius=r * self.unit, fill=fill)

    def disc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float | None = None,
        fill: RGB | None = None,
        edge: RGB | None = None,
        width: float = 0.02,
    ) -> None:
        ry = rx if ry is None else ry
        box = self._box(x - rx, y - ry, x + rx, y + ry)
        self.pen.ellipse(box, fill=fill, outline=edge, width=self._px(width) if edge else 0)

    def line(self, points: Sequence[tuple[float, float]], width: float, fill: RGB) -> None:
        self.pen.line(self._at(points), fill=fill, width=self._px(width), joint="curve")

    def arc(
        self, x: float, y: float, rx: float, ry: float, start: float, end: float, width: float, fill: RGB
    ) -> None:
        self.pen.arc(self._box(x - rx, y - ry, x + rx, y + ry), start, end, fill=fill, width=self._px(width))
