"""A script of Affect Theatre: everything that is decided about one clip before anything is drawn or voiced."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from nanoemox.metrics.emotion_lexicon import BY_NAME
from nanoemox.theatre import words, world
from nanoemox.theatre.dials import DEFAULT, Dials

SPLITS = ("train", "val", "test")
PEOPLE = {"train": 1200, "val": 150, "test": 300}  # people and, separately, voices of each split
STRENGTH_RANGE = {"mild": (0.55, 0.68), "strong": (0.9, 1.0)}


@dataclass(frozen=True)
class Script:
    """One clip as planned. Names follow `world.py`; `strength` is 0.55 to 1, `lead_s` is how long the face's apex
    comes before (+) or after (-) the first word."""

    id: str
    seed: int
    split: str
    plot: world.Plot
    meant: tuple[str, str]
    person_id: str
    voice_id: str
    place: str
    light: str
    strength_name: str
    strength: float
    face_optional: bool
    sigh: bool
    rising_end: bool
    lead_s: float
    text: str
    dialogue: tuple[tuple[str, str], ...]
    open_vocabulary: tuple[str, ...]
    valence: float
    # With the dials at their defaults these say nothing, and the stamp of a clip stays what it was.
    dials: Dials = field(default=DEFAULT, repr=False)
    timing: world.Timing | None = field(default=None, repr=False)  # of the face's flare and the voice's cry
    timed: bool = field(default=False, repr=False)  # whether the intent hangs on it

    @property
    def intent(self) -> str:
        together = self.timing.together if self.timed and self.timing else None
        return world.Outcome(self.plot, together).intent

    @property
    def spoken(self) -> str:
        """What the voice says: the text, or syllables for a script whose letters it does not know."""
        return words.syllables(self.text) if self.dials.language == "zh" else self.text

    @property
    def prop(self) -> str:
        return self.plot.prop

    @property
    def face(self) -> str:
        return self.plot.face

    @property
    def voice(self) -> str:
        return self.plot.voice

    def cues(self) -> dict[str, list[str]]:
        """The cues that are really there, per modality, in a fixed order."""
        always, optional = world.FACE_CUES[self.face]
        face = [*always, *([optional] if optional and self.face_optional else [])]
        voice = list(world.VOICE_CUES[self.voice])
        if self.voice != "drowned":
            voice += ["an audible sigh"] * self.sigh + ["a rising end"] * self.rising_end
        said = [world.FAMILIES[self.plot.family][0]]
        if self.plot.mention:
            said.append(f"mention of the {self.prop}")
        return {"face": face, "voice": voice, "scene": [self.prop, self.place], "words": said}

    def record(self) -> dict[str, Any]:
        """The manifest line of the clip, without its path (`video` is added by whoever renders it)."""
        plot, cues = self.plot, self.cues()
        emotion = plot.emotion
        return {
            # What everyone may see: the clip, what is said in it, and where it comes from.
            "id": self.id,
            "text": self.text,
            "language": self.dials.language,
            "speaker": self.person_id,
            "dialogue": [{"role": role, "text": text} for role, text in self.dialogue],
            "split": self.split,
            "source": "affect_theatre",
            "licence": "generated; free of rights",
            # What the tasks ask for.
            "labels": {
                "sentiment": {
                    "polarity": world.POLARITY[emotion],
                    "valence": round(self.valence, 3),
                    "range": [-1.0, 1.0],
                },
                "emotion": {"label": emotion},
                "open_vocabulary": {"labels": list(self.open_vocabulary)},
                "intent": {"label": self.intent.capitalize()},
                "reasoning": {"text": reasoning_text(cues, emotion), "cues": cues},
                "empathy": {
                    "event": words.event(self.prop, self.place),
                    "emotion": emotion,
                    "cause": f"the {self.prop}",
                    "goal": words.GOALS[emotion],
                    "reply": words.reply(emotion, self.strength_name, self.prop, plot.family),
                    "cause_in_words": plot.mention,
                },
            },
            # How the clip was made. No prompt holds it; the small encoders of phase 0 learn from it.
            "factors": {
                "seed": self.seed,
                "person": self.person_id,
                "voice_id": self.voice_id,
                "place": self.place,
                "light": self.light,
                "prop": self.prop,
                "face": self.face,
                "face_optional": self.face_optional,
                "face_meant": self.meant[0],
                "voice": self.voice,
                "voice_meant": self.meant[1],
                "sigh": self.sigh,
                "rising_end": self.rising_end,
                "strength": self.strength_name,
                "strength_value": round(self.strength, 3),
                "lead_s": round(self.lead_s, 3),
                "family": plot.family,
                "tone": plot.tone,
                "mention": plot.mention,
                "conflict": self.meant in world.BLENDS,
                **self._more_factors(),
            },
        }

    def _more_factors(self) -> dict[str, Any]:
        """What dials add to the factors: the dials themselves, and the moments of face and voice."""
        more: dict[str, Any] = {"dials": self.dials.changed()} if self.dials != DEFAULT else {}
        if self.timing is not None:
            more |= {"timed": self.timed, "timing": {**self.timing._asdict(), "leads": self.timing.leads}}
        return more

    def describe(self, rng: random.Random) -> dict[str, str]:
        """The clip told in words, per modality, cues in any order: what a language model reads before it can see."""
        cues = self.cues()
        told = {}
        for name in ("face", "voice", "scene"):
            listed = list(cues[name])
            if name == "face" and self.face not in ("still", "hidden"):
                listed.append(self.strength_name)
            if name == "voice" and self.voice != "drowned":
                listed.append(self.strength_name)
            rng.shuffle(listed)
            told[name] = ", ".join(listed)
        return told


def reasoning_text(cues: dict[str, list[str]], emotion: str) -> str:
    told = " ".join(f"{name.capitalize()}: {', '.join(listed)}." for name, listed in cues.items())
    return f"{told} Together this points to {emotion}."


def pair_split(prop: str, place: str) -> str:
    """Which split shows this prop in this place: a quarter of the pairs is for testing, an eighth for validation."""
    shift = (world.PLACES.index(place) - 3 * world.PROPS.index(prop)) % len(world.PLACES)
    return "test" if shift < 2 else "val" if shift == 2 else "train"


def stage_script(index: int, seed: int, split: str, dials: Dials = DEFAULT) -> Script:
    """Write the script number `index` of a split. Deterministic; scripts do not depend on each other.

    Args:
        index: The number.
        seed: The same seed always writes the same scripts.
        split: "train", "val" or "test".
        dials: How hard the world is to read; they change what they name and leave the rest of the script as it is.

    Returns:
        The script.

    Raises:
        ValueError: For an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    digest = blake2b(f"{seed}/{split}/{index}".encode(), digest_size=8).digest()
    clip_seed = int.from_bytes(digest, "big") >> 1
    rng = random.Random(clip_seed)
    plot, meant = world.sample_plot(rng, dials)
    plot, timing, timed = _timed(plot, dials, clip_seed)
    intent = world.Outcome(plot, timing.together if timed and timing else None).intent
    strength_name = rng.choice(world.STRENGTHS)
    strength = rng.uniform(*STRENGTH_RANGE[strength_name]) * dials.intensity
    groups = [world.PRIMARY_GROUPS[plot.emotion, strength_name]]
    if meant in world.BLENDS:
        groups.append(world.BLENDS[meant])
    if intent in world.ATTITUDES:
        groups.append(world.ATTITUDES[intent])
    person = rng.randrange(PEOPLE[split])
    voice = rng.randrange(PEOPLE[split])
    valence = world.VALENCE[plot.emotion] * (0.4 + 0.6 * strength) + rng.gauss(0.0, 0.03)
    return Script(
        id=f"{split}{dials.mark}-{seed}-{index:06d}",
        seed=clip_seed,
        split=split,
        plot=plot,
        meant=meant,
        person_id=f"{split}-person-{person:04d}",
        voice_id=f"{split}-voice-{voice:04d}",
        place=rng.choice([p for p in world.PLACES if pair_split(plot.prop, p) == split]),
        light=rng.choice(world.LIGHTS),
        strength_name=strength_name,
        strength=strength,
        face_optional=rng.random() < world.OPTIONAL_SHARE,
        sigh=rng.random() < world.EXTRA_SHARE,
        rising_end=rng.random() < world.EXTRA_SHARE,
        lead_s=rng.uniform(-0.5, 0.5),
        text=words.spoken_line(plot, split, rng, dials),
        dialogue=tuple((turn["role"], turn["text"]) for turn in words.dialogue(rng)),
        open_vocabulary=tuple(rng.choice(BY_NAME[group].words[:3]) for group in groups),
        valence=max(-1.0, min(1.0, valence)),
        dials=dials,
        timing=timing,
        timed=timed,
    )


def _timed(plot: world.Plot, dials: Dials, clip_seed: int) -> tuple[world.Plot, world.Timing | None, bool]:
    """The plot, when face and voice have their moments, and whether the intent hangs on these.

    Where it does, the wording family goes with nothing else. The draws are apart from those of the script.
    """
    if not dials.timing:
        return plot, None, False
    rng = random.Random(f"{clip_seed}/timing")
    timing = rng.choices(list(world.TIMINGS), weights=list(world.TIMINGS.values()))[0]
    family = rng.choice(list(world.FAMILIES))
    timed = rng.random() < dials.timing and world.can_be_timed(plot.face, plot.voice)
    return (plot._replace(family=family) if timed else plot), timing, timed
