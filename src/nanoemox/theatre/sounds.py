"""Letters to speech sounds: what each spelling asks of the throat, the tongue and the lips.

Rough English spelling rules, enough for syllables in the right places: words are read in Affect Theatre, not
recognised by ear. Vowel formants after Peterson & Barney (1952).
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Sound:
    """One speech sound: formants f1 to f3 in Hz, its shares of voice, breath and hiss, and its length."""

    f1: float
    f2: float
    f3: float
    voice: float
    breath: float = 0.0
    hiss: float = 0.0
    hiss_hz: float = 3000.0  # centre of the hiss
    mouth: float = 0.1  # opening
    weight: float = 0.6  # length, in units of a short vowel or so
    vowel: bool = False


def _vowel(f1: float, f2: float, f3: float, mouth: float, weight: float = 1.2) -> Sound:
    return Sound(f1, f2, f3, 1.0, mouth=mouth, weight=weight, vowel=True)


_A, _AE = _vowel(730, 1150, 2440, 1.0, 1.35), _vowel(660, 1700, 2410, 0.85)
_E, _I, _O = _vowel(530, 1840, 2480, 0.65), _vowel(300, 2250, 3000, 0.35, 1.1), _vowel(540, 900, 2400, 0.7)
_U, _SCHWA = _vowel(330, 920, 2240, 0.3), _vowel(500, 1450, 2500, 0.45, 0.9)
_ER = _vowel(490, 1330, 1700, 0.5)
_SH = Sound(300, 1800, 2600, 0.0, hiss=0.5, hiss_hz=3300, mouth=0.2, weight=0.95)
_TH = Sound(320, 1400, 2600, 0.0, hiss=0.14, hiss_hz=6000, mouth=0.15, weight=0.6)
_NG = Sound(280, 1900, 2600, 0.35, mouth=0.2)
_SHUT = Sound(220, 1200, 2300, 0.0, mouth=0.02, weight=0.42)  # closure of an unvoiced stop
_HUM = Sound(220, 1100, 2300, 0.16, mouth=0.02, weight=0.42)  # closure of a voiced stop: low murmur only


def _burst(hiss_hz: float, f2: float, strength: float = 0.5) -> Sound:
    return Sound(380, f2, 2500, 0.1, breath=0.12, hiss=strength, hiss_hz=hiss_hz, mouth=0.2, weight=0.24)


_SPELLED: dict[str, tuple[Sound, ...]] = {
    "tion": (_SH, _SCHWA, Sound(280, 1500, 2500, 0.35)),
    "igh": (_A, _I), "ere": (_E, _ER), "are": (_E, _ER), "our": (_A, _ER),
    "ee": (_I, _I), "ea": (_I, _I), "ie": (_I,), "oo": (_U, _U), "ou": (_A, _U), "ow": (_O, _U),
    "ai": (_E, _I),
    "ay": (_E, _I), "oi": (_O, _I), "oy": (_O, _I), "au": (_O,), "er": (_ER,), "ir": (_ER,), "ur": (_ER,),
    "ar": (_A, _ER), "or": (_O, _ER), "sh": (_SH,), "th": (_TH,), "ph": (_TH,), "ng": (_NG,),
    "ck": (_SHUT, _burst(2400, 1900)), "ch": (_SHUT, _SH),
    "wh": (Sound(320, 750, 2200, 0.4, mouth=0.15),), "kn": (Sound(280, 1500, 2500, 0.35),),
    "a": (_AE,), "e": (_E,), "i": (_vowel(400, 1990, 2550, 0.45),),
    "o": (_O,), "u": (_vowel(620, 1200, 2500, 0.6),),
    "m": (Sound(260, 1000, 2200, 0.4, mouth=0.0),), "n": (Sound(280, 1500, 2500, 0.35),),
    "l": (Sound(370, 1100, 2650, 0.5, mouth=0.3),), "r": (Sound(330, 1200, 1650, 0.5, mouth=0.3),),
    "w": (Sound(310, 720, 2200, 0.45, mouth=0.1),), "y": (Sound(280, 2200, 2950, 0.45, mouth=0.2),),
    "j": (_HUM, _SH), "s": (Sound(300, 1700, 2600, 0.0, hiss=0.42, hiss_hz=5600, mouth=0.12, weight=0.95),),
    "z": (Sound(280, 1700, 2600, 0.22, hiss=0.2, hiss_hz=5600, mouth=0.12, weight=0.8),),
    "f": (Sound(300, 1100, 2300, 0.0, hiss=0.15, hiss_hz=5000, mouth=0.05, weight=0.8),),
    "v": (Sound(280, 1100, 2300, 0.25, hiss=0.07, hiss_hz=5000, mouth=0.05, weight=0.6),),
    "h": (Sound(520, 1500, 2500, 0.0, breath=0.35, mouth=0.4, weight=0.55),),
    "x": (_SHUT, _burst(2400, 1900), Sound(300, 1700, 2600, 0.0, hiss=0.4, hiss_hz=5600, mouth=0.12)),
    "p": (_SHUT, _burst(1100, 1000)), "t": (_SHUT, _burst(4600, 1750)), "k": (_SHUT, _burst(2400, 1900)),
    "c": (_SHUT, _burst(2400, 1900)), "q": (_SHUT, _burst(2000, 1200)), "b": (_HUM, _burst(900, 1000, 0.25)),
    "d": (_HUM, _burst(4200, 1750, 0.25)), "g": (_HUM, _burst(2200, 1900, 0.25)),
}  # fmt: skip
_LETTERS = re.compile("|".join(sorted(_SPELLED, key=len, reverse=True)))
UNSTRESSED = frozenset(
    ["a", "an", "and", "as", "at", "be", "but", "can", "for", "from", "had", "has", "i", "in", "is",
     "it", "me", "my", "of", "on", "or", "so", "than", "that", "the", "this", "to", "was", "with", "you"]
)  # fmt: skip


def sounds_of(word: str) -> list[Sound]:
    """Letters to sounds, roughly as in English; every word gets at least one vowel, whatever its script."""
    letters = re.sub(r"[^\w]", "", word.lower())
    if len(letters) > 3 and letters.endswith("e") and letters[-2] not in "aeiou":
        letters = letters[:-1]
    letters = re.sub(r"y$", "ee" if len(letters) > 2 else "i", letters)
    letters = re.sub(r"([b-df-hj-np-tv-z])\1", r"\1", letters)
    found = [sound for match in _LETTERS.finditer(letters) for sound in _SPELLED[match.group()]]
    if not any(sound.vowel for sound in found):
        found.append(_SCHWA)
    return found
