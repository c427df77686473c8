"""The twelve props, the causes of Affect Theatre as things: each drawn in a unit square, one shape, many
colours.

Coordinates run from -0.5 to 0.5, y down. The outline and the parts of a prop are fixed, its colours and
details vary: whoever knows only the colour of a thing does not know the thing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from nanoemox.theatre.painter import INK, WHITE, Painter
from nanoemox.theatre.people import RGB, hsv, mix

_OVERSAMPLING = 3


def _vivid(rng: np.random.Generator) -> RGB:
    return hsv(rng.random(), rng.uniform(0.45, 0.85), rng.uniform(0.6, 0.95))


def _birthday_cake(p: Painter, rng: np.random.Generator) -> None:
    sponge, icing = mix(_vivid(rng), (150, 90, 50), 0.4), mix(_vivid(rng), WHITE, 0.55)
    p.disc(0, 0.43, 0.48, 0.06, (222, 222, 230))
    p.rect(-0.4, 0.06, 0.4, 0.42, sponge)
    p.rect(-0.4, 0.06, 0.4, 0.2, icing)
    for k in range(5):
        p.disc(-0.32 + 0.16 * k, 0.2, 0.08, 0.07, icing)
    p.rect(-0.4, 0.3, 0.4, 0.33, icing)
    n = int(rng.integers(3, 6))
    for k in range(n):
        x = -0.28 + 0.56 * k / (n - 1)
        p.rect(x - 0.03, -0.2, x + 0.03, 0.07, _vivid(rng))
        p.disc(x, -0.29, 0.055, 0.1, (255, 170, 40))
        p.disc(x, -0.27, 0.028, 0.06, (255, 240, 150))


def _wrapped_gift(p: Painter, rng: np.random.Generator) -> None:
    paper = _vivid(rng)
    ribbon = mix(_vivid(rng), WHITE, 0.35) if rng.random() < 0.6 else (250, 214, 90)
    p.rect(-0.4, -0.08, 0.4, 0.46, paper)
    p.rect(-0.45, -0.2, 0.45, -0.02, mix(paper, INK, 0.18))
    if rng.random() < 0.5:
        for x in (-0.27, 0.27):
            for y in (0.1, 0.32):
                p.disc(x, y, 0.045, None, mix(paper, WHITE, 0.5))
    p.rect(-0.08, -0.2, 0.08, 0.46, ribbon)
    for s in (-1, 1):
        p.shape([(0, -0.2), (s * 0.3, -0.46), (s * 0.36, -0.24)], ribbon)
        p.shape([(s * 0.1, -0.25), (s * 0.26, -0.38), (s * 0.29, -0.27)], mix(ribbon, INK, 0.35))
    p.disc(0, -0.22, 0.08, 0.07, mix(ribbon, INK, 0.2))


def _trophy(p: Painter, rng: np.random.Generator) -> None:
    gold = ((240, 190, 50), (205, 210, 220), (205, 135, 75))[int(rng.integers(3))]
    gold = mix(gold, _vivid(rng), 0.12)
    shade = mix(gold, INK, 0.3)
    for s in (-1, 1):
        p.arc(s * 0.27, -0.22, 0.17, 0.19, 0, 360, 0.06, shade)
    p.shape([(-0.3, -0.46), (0.3, -0.46), (0.26, -0.12), (0.12, 0.08), (-0.12, 0.08), (-0.26, -0.12)], gold)
    p.shape([(0.08, -0.46), (0.3, -0.46), (0.26, -0.12), (0.12, 0.08), (0.04, 0.08)], shade)
    p.disc(0, -0.46, 0.3, 0.05, mix(gold, WHITE, 0.5))
    p.rect(-0.05, 0.06, 0.05, 0.24, shade)
    p.rect(-0.2, 0.22, 0.2, 0.29, gold)
    base = mix(_vivid(rng), INK, 0.6)
    p.rect(-0.3, 0.28, 0.3, 0.47, base)
    p.rect(-0.14, 0.33, 0.14, 0.42, mix(gold, WHITE, 0.3))


def _letter(p: Painter, rng: np.random.Generator) -> None:
    paper = mix(_vivid(rng), WHITE, rng.uniform(0.72, 0.92))
    fold, seal = mix(paper, INK, 0.28), _vivid(rng)
    p.rect(-0.48, -0.26, 0.48, 0.36, paper, edge=mix(paper, INK, 0.5), width=0.025)
    p.line([(-0.47, 0.35), (-0.1, 0.02)], 0.025, fold)
    p.line([(0.47, 0.35), (0.1, 0.02)], 0.025, fold)
    p.shape([(-0.48, -0.26), (0.48, -0.26), (0, 0.14)], mix(paper, INK, 0.12))
    p.line([(-0.47, -0.25), (0, 0.14), (0.47, -0.25)], 0.03, mix(paper, INK, 0.5))
    p.disc(0, 0.1, 0.095, None, seal)
    p.disc(0, 0.1, 0.05, None, mix(seal, WHITE, 0.3))


def _broken_vase(p: Painter, rng: np.random.Generator) -> None:
    clay, band = _vivid(rng), mix(_vivid(rng), WHITE, 0.5)
    inside = mix(clay, INK, 0.6)
    crack = [
        (-0.36, 0.1),
        (-0.24, -0.06),
        (-0.14, 0.1),
        (-0.02, -0.1),
        (0.09, 0.09),
        (0.19, -0.03),
        (0.36, 0.14),
    ]
    p.shape([*crack, (0.3, 0.34), (0.17, 0.47), (-0.17, 0.47), (-0.3, 0.34)], clay)
    p.shape([*crack, (0.24, 0.17), (0.12, 0.21), (-0.02, 0.06), (-0.15, 0.21), (-0.25, 0.12)], inside)
    p.shape([(-0.33, 0.24), (0.33, 0.24), (0.3, 0.34), (-0.3, 0.34)], band)
    lean = rng.uniform(0.02, 0.1)  # the neck has come off and tips over
    neck = [
        (-0.34, -0.06),
        (-0.22, -0.22),
        (-0.12, -0.06),
        (0.0, -0.25),
        (0.1, -0.08),
        (0.2, -0.18),
        (0.3, -0.04),
        (0.14, -0.3),
        (0.11, -0.38),
        (0.22, -0.47),
        (-0.22, -0.47),
        (-0.11, -0.38),
        (-0.14, -0.3),
    ]
    p.shape([(x + lean - 0.55 * y - 0.12, y + 0.35 * x) for x, y in neck], clay)
    p.disc(0.26 + lean - 0.12, -0.47, 0.2, 0.045, inside)
    for x, y, t in ((-0.44, 0.36, 0.3), (0.43, 0.4, 1.0), (-0.4, -0.2, 2.2)):
        t, r = t + rng.uniform(-0.4, 0.4), rng.uniform(0.08, 0.1)
        piece = [(x + r * np.cos(t + a), y + r * 0.8 * np.sin(t + a)) for a in (0, 1.9, 4.0)]
        p.shape(piece, clay if rng.random() < 0.6 else band)


def _spilled_drink(p: Painter, rng: np.random.Generator) -> None:
    drink = mix(_vivid(rng), (120, 60, 20), rng.uniform(0, 0.5))
    glass, rim = (226, 238, 246), (96, 116, 132)
    p.disc(0.06, 0.38, 0.43, 0.1, drink)
    p.disc(-0.3, 0.43, 0.15, 0.055, drink)
    p.disc(0.2, 0.35, 0.16, 0.028, mix(drink, WHITE, 0.45))
    body = [(-0.46, -0.36), (-0.3, -0.43), (0.24, -0.2), (0.08, 0.26), (-0.46, -0.04)]
    p.shape(body, glass)
    p.shape([(-0.3, 0.05), (0.16, 0.04), (0.08, 0.26)], drink)
    p.line([*body, body[0]], 0.035, rim)
    p.shape([(0.12, 0.06), (0.2, -0.04), (0.33, 0.12), (0.38, 0.36), (0.1, 0.38), (0.08, 0.24)], drink)
    p.line([(0.24, -0.2), (0.08, 0.26)], 0.06, rim)
    p.line([(-0.34, -0.3), (0.02, -0.16)], 0.035, WHITE)
    for x, y in ((0.44, 0.06), (0.38, -0.1), (0.47, 0.22)):
        p.disc(x, y, 0.03, 0.045, drink)


def _packed_suitcase(p: Painter, rng: np.random.Generator) -> None:
    hide = mix(_vivid(rng), (130, 80, 50), 0.45)
    strap, metal = mix(hide, INK, 0.5), (224, 200, 130)
    p.arc(0, -0.2, 0.14, 0.16, 180, 360, 0.06, strap)
    p.round(-0.48, -0.2, 0.48, 0.42, 0.07, hide)
    p.rect(-0.48, 0.07, 0.48, 0.1, strap)
    for s in (-1, 1):
        p.rect(s * 0.2, -0.2, s * 0.31, 0.42, strap)
        p.rect(s * 0.19, 0.03, s * 0.32, 0.14, metal)
        p.shape([(s * 0.48, -0.2), (s * 0.36, -0.2), (s * 0.48, -0.08)], metal)
        p.shape([(s * 0.48, 0.42), (s * 0.36, 0.42), (s * 0.48, 0.3)], metal)
        p.disc(s * 0.34, 0.44, 0.05, 0.04, INK)
    p.rect(-0.1, -0.13, 0.1, 0.02, mix(_vivid(rng), WHITE, 0.5))


def _late_clock(p: Painter, rng: np.random.Generator) -> None:
    rim, face = mix(_vivid(rng), INK, rng.uniform(0.1, 0.6)), mix(_vivid(rng), WHITE, rng.uniform(0.82, 0.95))
    p.disc(0, 0, 0.47, None, rim)
    p.disc(0, 0, 0.39, None, face)
    late = rng.uniform(0.15, 0.5)  # the hour has passed: a red sector
    p.sector(0, 0, 0.39, -90, -90 + 360 * late, (236, 120, 104))
    for k in range(12):
        c, s = np.sin(k * np.pi / 6), -np.cos(k * np.pi / 6)
        p.line([(0.31 * c, 0.31 * s), (0.37 * c, 0.37 * s)], 0.035, INK)
    m, h = 2 * np.pi * late, rng.random() * 2 * np.pi
    p.line([(0, 0), (0.3 * np.sin(m), -0.3 * np.cos(m))], 0.04, INK)
    p.line([(0, 0), (0.19 * np.sin(h), -0.19 * np.cos(h))], 0.06, INK)
    p.disc(0, 0, 0.045, None, (200, 40, 40))


def _lightning(p: Painter, rng: np.random.Generator) -> None:
    sky, cloud = mix((36, 40, 78), _vivid(rng), 0.14), mix((120, 122, 140), _vivid(rng), 0.12)
    frame = mix(_vivid(rng), WHITE, rng.uniform(0.2, 0.9))
    p.rect(-0.46, -0.48, 0.46, 0.48, sky, edge=frame, width=0.055)
    for x, y, r in (
        (-0.22, -0.2, 0.15),
        (0.0, -0.27, 0.18),
        (0.22, -0.2, 0.15),
        (-0.08, -0.14, 0.15),
        (0.12, -0.14, 0.13),
    ):
        p.disc(x, y, r, 0.8 * r, cloud)
    s = float(rng.choice((-1, 1)))
    bolt = (
        (0.08, -0.14),
        (-0.16, 0.14),
        (-0.02, 0.14),
        (-0.14, 0.42),
        (0.2, 0.05),
        (0.05, 0.05),
        (0.2, -0.14),
    )
    p.shape([(s * x, y) for x, y in bolt], (255, 232, 90))
    p.shape([(s * (0.7 * x), 0.8 * y) for x, y in bolt], (255, 250, 200))
    for k in range(4):
        x = -0.34 + 0.22 * k + rng.uniform(-0.03, 0.03)
        p.line([(x, 0.1 + 0.1 * (k % 2)), (x - 0.03, 0.24 + 0.1 * (k % 2))], 0.02, (150, 170, 210))


def _spider(p: Painter, rng: np.random.Generator) -> None:
    black = mix(INK, _vivid(rng), rng.uniform(0.0, 0.25))
    p.line([(0, -0.5), (0, 0.05)], 0.022, (236, 236, 240))
    for s in (-1, 1):
        for k, (ky, ty) in enumerate(((-0.34, -0.1), (-0.2, 0.06), (0.0, 0.3), (0.12, 0.46))):
            wobble = rng.uniform(-0.03, 0.03)
            p.line(
                [(0, -0.02 + 0.05 * k), (s * 0.28, ky + wobble), (s * (0.47 - 0.05 * (k == 3)), ty + wobble)],
                0.045,
                black,
            )
    p.disc(0, 0.17, 0.2, 0.23, black)
    p.disc(0, -0.1, 0.13, 0.12, black)
    mark = _vivid(rng)
    p.shape([(-0.07, 0.08), (0.07, 0.08), (-0.07, 0.28), (0.07, 0.28)], mark)
    for s in (-1, 1):
        p.disc(s * 0.055, -0.12, 0.035, None, WHITE)
        p.disc(s * 0.055, -0.11, 0.015, None, (200, 30, 30))


def _wilted_plant(p: Painter, rng: np.random.Generator) -> None:
    pot, stem = mix(_vivid(rng), (180, 96, 60), 0.5), mix((132, 120, 50), (100, 84, 40), rng.random())
    petal, leaf = mix(_vivid(rng), (140, 105, 75), 0.35), mix(stem, (196, 160, 60), rng.uniform(0.3, 0.7))
    for s, top in ((-1, -0.46), (1, -0.36)):
        p.line(
            [
                (0, 0.2),
                (s * 0.02, -0.1),
                (s * 0.08, top + 0.1),
                (s * 0.18, top),
                (s * 0.3, top + 0.04),
                (s * 0.36, top + 0.18),
            ],
            0.045,
            stem,
        )
        for k, y in enumerate((-0.12, 0.06)):  # leaves that hang
            x = s * (0.05 - 0.02 * k)
            p.shape(
                [
                    (x, y),
                    (x + s * 0.12, y - 0.04),
                    (x + s * 0.2, y + 0.05),
                    (x + s * 0.2, y + 0.19),
                    (x + s * 0.1, y + 0.08),
                ],
                leaf,
            )
        x, y = s * 0.36, top + 0.2
        for a in (-0.1, 0.0, 0.1):  # a flower head down
            p.disc(x + a, y + 0.1, 0.055, 0.12, petal)
        p.disc(x, y, 0.1, 0.06, mix(stem, INK, 0.25))
    p.shape([(-0.2, 0.2), (0.2, 0.2), (0.14, 0.48), (-0.14, 0.48)], pot)
    p.rect(-0.23, 0.17, 0.23, 0.26, mix(pot, INK, 0.22))
    for x in (-0.36, 0.28, 0.4):
        p.disc(x + rng.uniform(-0.04, 0.04), 0.46, 0.06, 0.03, petal)


def _spoiled_food(p: Painter, rng: np.random.Generator) -> None:
    plate, loaf = mix(_vivid(rng), WHITE, 0.75), mix((196, 150, 86), _vivid(rng), 0.15)
    p.disc(0, 0.32, 0.49, 0.15, mix(plate, INK, 0.25))
    p.disc(0, 0.29, 0.47, 0.13, plate)
    p.round(-0.32, -0.14, 0.32, 0.32, 0.08, mix(loaf, INK, 0.35))
    p.disc(0, -0.12, 0.37, 0.16, mix(loaf, INK, 0.35))
    p.round(-0.27, -0.12, 0.27, 0.28, 0.06, loaf)
    p.disc(0, -0.1, 0.31, 0.11, loaf)
    mould = mix((92, 150, 84), (70, 130, 140), rng.random())
    for x, y, r in ((-0.13, -0.04, 0.1), (0.1, 0.12, 0.11), (0.17, -0.1, 0.065), (-0.12, 0.19, 0.06)):
        x, y = x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03)
        p.disc(x, y, r, None, mould)
        p.disc(x, y, 0.55 * r, None, mix(mould, WHITE, 0.45))
    for x in (-0.24, 0.02, 0.26):  # the smell
        points = [(x + 0.035 * np.sin(k * 1.6), -0.27 - 0.045 * k) for k in range(6)]
        p.line(points, 0.032, (150, 180, 70))
    for x, y in ((-0.4, -0.16), (0.4, -0.02), (0.38, -0.34)):  # flies
        p.disc(x, y, 0.03, None, INK)
        p.disc(x - 0.025, y - 0.03, 0.03, 0.016, (200, 210, 220))
        p.disc(x + 0.025, y - 0.03, 0.03, 0.016, (200, 210, 220))


DRAWINGS: dict[str, Callable[[Painter, np.random.Generator], None]] = {
    "birthday cake": _birthday_cake,
    "wrapped gift": _wrapped_gift,
    "trophy": _trophy,
    "letter": _letter,
    "broken vase": _broken_vase,
    "spilled drink": _spilled_drink,
    "packed suitcase": _packed_suitcase,
    "late clock": _late_clock,
    "lightning": _lightning,
    "spider": _spider,
    "wilted plant": _wilted_plant,
    "spoiled food": _spoiled_food,
}


def draw_prop(prop: str, size: int, rng: np.random.Generator) -> Image.Image:
    """A prop as an RGBA picture of `size` x `size`, in colours, details and a tilt of its own."""
    if prop not in DRAWINGS:
        raise ValueError(f"expected a prop of {sorted(DRAWINGS)}, got {prop!r}")
    side = size * _OVERSAMPLING
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    DRAWINGS[prop](Painter(image, side / 2, side / 2, 0.92 * side), rng)
    if prop not in ("wilted plant", "spilled drink") and rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(float(rng.uniform(-10, 10)), Image.Resampling.BICUBIC).reduce(_OVERSAMPLING)
    glow = (
        image.getchannel("A")
        .filter(ImageFilter.BoxBlur(0.02 * size))
        .point([min(255, 3 * v) for v in range(256)])
    )
    halo = Image.new(
        "RGBA", image.size, (*mix(WHITE, INK, 0.04), 0)
    )  # a pale rim sets the thing off from any wall
    halo.putalpha(glow)
    return Image.alpha_composite(halo, image)
