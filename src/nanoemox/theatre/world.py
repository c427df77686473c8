"""The laws of Affect Theatre: which emotions, causes, expressions, voices and intents go together, and how often.

Everything that links a label to what can be seen, heard or read stands in the tables below, so the best score any
observer could reach from any subset of modalities follows by summing over them (`ceilings`). By design no single
modality suffices: one face group or one voice style is shared by several emotions and only the pair settles which,
and one wording family serves two intents which only the emotion tells apart.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple, TypeVar

_K = TypeVar("_K")

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
STRENGTHS = ("mild", "strong")
PLACES = ("kitchen", "office", "street", "living room", "station", "hospital", "classroom", "stage")
LIGHTS = ("bright", "dim")

# Face groups and voice styles with the cues each always shows, then the one it shows half of the time.
FACE_CUES: dict[str, tuple[tuple[str, ...], str | None]] = {
    "smile": (("lip corners pulled up", "cheeks raised"), None),
    "wide": (("raised brows", "wide eyes"), "open mouth"),
    "frown": (("lowered brows", "pressed lips"), "wrinkled nose"),
    "droop": (("inner brows raised", "lip corners pulled down"), "drooping eyelids"),
    "still": (("a still face",), None),
    "hidden": (("face turned away",), None),
}
VOICE_CUES: dict[str, tuple[str, ...]] = {
    "bright": ("wide pitch swings", "a lively pace"),
    "harsh": ("a harsh tone", "hard attacks"),
    "trembling": ("a trembling pitch", "a breathy tone"),
    "flat": ("a flat melody", "an even pace"),
    "slow": ("a falling melody", "a slow pace"),
    "drowned": ("noise over the voice",),
}
HIDDEN_SHARE = 0.05  # of clips whose face cannot be read
DROWNED_SHARE = 0.04  # of clips whose voice cannot be heard through noise
OPTIONAL_SHARE = 0.5  # of clips that show their face group's optional cue
EXTRA_SHARE = 0.25  # of clips with an audible sigh; the same for a rising end; neither tells anything
MENTION_SHARE = 0.6  # of clips whose words name the cause
SUGGESTION_POWER = 0.4  # how much of the causes' suggestions below is kept: 0 none, 1 all

# How each emotion shows itself: (face group, voice style) -> share. A pair belongs to one emotion only.
DISPLAYS: dict[str, dict[tuple[str, str], float]] = {
    "anger": {
        ("frown", "harsh"): 0.50,
        ("still", "harsh"): 0.20,
        ("smile", "harsh"): 0.15,
        ("wide", "harsh"): 0.15,
    },
    "disgust": {("frown", "flat"): 0.40, ("smile", "flat"): 0.30, ("frown", "slow"): 0.30},
    "fear": {("wide", "trembling"): 0.50, ("still", "trembling"): 0.30, ("frown", "trembling"): 0.20},
    "happiness": {("smile", "bright"): 0.55, ("still", "bright"): 0.25, ("smile", "slow"): 0.20},
    "neutral": {("still", "flat"): 0.80, ("droop", "flat"): 0.20},
    "sadness": {
        ("droop", "slow"): 0.40,
        ("droop", "trembling"): 0.20,
        ("smile", "trembling"): 0.25,
        ("still", "slow"): 0.15,
    },
    "surprise": {("wide", "bright"): 0.50, ("wide", "flat"): 0.25, ("frown", "bright"): 0.25},
}

# Where face and voice disagree, the display has a name of its own in the open vocabulary (a group of emotion_wheel).
BLENDS: dict[tuple[str, str], str] = {
    ("smile", "trembling"): "wistful",
    ("smile", "flat"): "contemptuous",
    ("smile", "harsh"): "resentful",
    ("still", "harsh"): "reserved",
    ("still", "trembling"): "reserved",
    ("still", "bright"): "reserved",
}
PRIMARY_GROUPS: dict[tuple[str, str], str] = {
    ("happiness", "strong"): "joyful",
    ("happiness", "mild"): "content",
    ("sadness", "strong"): "heartbroken",
    ("sadness", "mild"): "sad",
    ("anger", "strong"): "furious",
    ("anger", "mild"): "annoyed",
    ("fear", "strong"): "terrified",
    ("fear", "mild"): "anxious",
    ("disgust", "strong"): "revolted",
    ("disgust", "mild"): "displeased",
    ("surprise", "strong"): "astonished",
    ("surprise", "mild"): "surprised",
    ("neutral", "strong"): "calm",
    ("neutral", "mild"): "calm",
}
# What an intent adds to the open vocabulary.
ATTITUDES = {
    "thank": "grateful",
    "apologise": "guilty",
    "flaunt": "proud",
    "care": "caring",
    "comfort": "caring",
    "joke": "playful",
    "oppose": "defiant",
    "ask for help": "hopeful",
}
VALENCE = {
    "anger": -0.80,
    "disgust": -0.70,
    "fear": -0.75,
    "happiness": 0.80,
    "neutral": 0.0,
    "sadness": -0.70,
    "surprise": 0.10,
}
POLARITY = {e: "positive" if v > 0.3 else "negative" if v < -0.3 else "neutral" for e, v in VALENCE.items()}

# Causes: the prop that is seen, the event it belongs to, and how strongly it suggests each emotion (order of EMOTIONS).
_CAUSES: dict[str, tuple[str, tuple[float, ...]]] = {
    "birthday cake": ("a celebration", (0.4, 0.8, 0.4, 4.0, 1.0, 1.0, 2.0)),
    "wrapped gift": ("a celebration", (0.4, 0.8, 0.5, 2.0, 1.0, 0.5, 4.0)),
    "trophy": ("a competition", (1.0, 0.6, 0.4, 3.0, 1.2, 0.6, 2.0)),
    "letter": ("a message", (0.7, 0.4, 2.0, 1.0, 2.0, 2.0, 2.0)),
    "broken vase": ("an accident", (4.0, 0.5, 1.0, 0.3, 0.7, 2.0, 1.0)),
    "spilled drink": ("an accident", (2.5, 2.0, 0.5, 0.6, 1.5, 0.6, 1.0)),
    "packed suitcase": ("a departure", (0.5, 0.3, 1.2, 1.5, 2.0, 3.0, 0.6)),
    "late clock": ("a delay", (3.0, 0.6, 2.0, 0.4, 2.2, 0.6, 0.6)),
    "lightning": ("a danger", (0.4, 0.3, 4.0, 0.4, 1.0, 0.6, 2.0)),
    "spider": ("a danger", (0.4, 3.0, 3.0, 0.3, 0.7, 0.3, 1.2)),
    "wilted plant": ("a loss", (0.6, 1.0, 0.4, 0.3, 2.0, 4.0, 0.5)),
    "spoiled food": ("a mess", (1.2, 5.0, 0.4, 0.3, 1.0, 0.5, 0.8)),
}
PROPS = tuple(_CAUSES)
EVENTS = {prop: event for prop, (event, _) in _CAUSES.items()}

# Wording families: the cue a listener would name, the two intents they serve, and how readily each emotion uses them.
# The first intent is meant by the emotions of the first table, the second by those of the second.
FAMILIES: dict[str, tuple[str, tuple[str, dict[str, float]], tuple[str, dict[str, float]]]] = {
    "praise": (
        "words of praise",
        ("praise", {"happiness": 1.7, "surprise": 1.0, "neutral": 0.9, "fear": 0.3, "sadness": 0.4}),
        ("taunt", {"anger": 1.9, "disgust": 2.4}),
    ),
    "grumble": (
        "words of complaint",
        ("complain", {"anger": 1.2, "disgust": 1.1, "sadness": 0.6, "fear": 0.4, "neutral": 0.4}),
        ("joke", {"happiness": 1.9, "surprise": 1.6}),
    ),
    "sorry": (
        "words of regret",
        ("apologise", {"sadness": 1.6, "fear": 1.1, "neutral": 1.0}),
        ("oppose", {"anger": 1.3, "disgust": 1.1, "surprise": 0.8, "happiness": 0.4}),
    ),
    "thanks": (
        "words of thanks",
        ("thank", {"happiness": 1.4, "surprise": 1.1, "sadness": 0.5, "neutral": 0.7, "fear": 0.2}),
        ("criticize", {"anger": 1.9, "disgust": 2.0}),
    ),
    "wellbeing": (
        "words of concern",
        ("care", {"sadness": 1.4, "fear": 1.5, "disgust": 0.5, "anger": 0.3}),
        ("greet", {"happiness": 1.2, "surprise": 1.2, "neutral": 1.3}),
    ),
    "news": (
        "words of news",
        ("flaunt", {"happiness": 1.8, "surprise": 1.8}),
        ("inform", {"neutral": 1.6, "sadness": 0.7, "fear": 0.5, "anger": 0.4, "disgust": 0.4}),
    ),
    "going": (
        "words of parting",
        ("leave", {"anger": 1.0, "disgust": 1.0, "sadness": 1.0, "fear": 0.7}),
        ("arrange", {"happiness": 1.2, "neutral": 1.5, "surprise": 1.0}),
    ),
    "consent": (
        "words of assent",
        ("agree", {"happiness": 0.9, "neutral": 1.1, "surprise": 0.9, "disgust": 0.2, "anger": 0.3}),
        ("comfort", {"sadness": 1.7, "fear": 1.7}),
    ),
    "caution": (
        "words of caution",
        ("prevent", {"fear": 1.5, "anger": 1.1, "disgust": 1.0}),
        ("advise", {"neutral": 1.3, "happiness": 0.8, "surprise": 0.6, "sadness": 0.9}),
    ),
    "request": (
        "words of request",
        ("ask for help", {"fear": 1.5, "sadness": 1.2, "anger": 0.5, "disgust": 0.3}),
        ("introduce", {"happiness": 1.2, "neutral": 1.4, "surprise": 0.9}),
    ),
}
INTENTS = tuple(sorted(intent for _, first, second in FAMILIES.values() for intent in (first[0], second[0])))
INTENT_OF = {
    (family, emotion): intent
    for family, (_, *sides) in FAMILIES.items()
    for intent, weights in sides
    for emotion in weights
}

# A closing remark colours some lines; it only leans towards the emotion and so misleads at times.
TONES = ("plain", "glad", "sour")
_TONE_SHARES = {
    "positive": (0.80, 0.115, 0.085),
    "neutral": (0.80, 0.10, 0.10),
    "negative": (0.80, 0.085, 0.115),
}


class Plot(NamedTuple):
    """One outcome of the tables: what is the case, and what of it can be seen, heard and read."""

    emotion: str
    prop: str
    face: str
    voice: str
    family: str
    tone: str
    mention: bool

    @property
    def intent(self) -> str:
        return INTENT_OF[self.family, self.emotion]


def _balance(table: dict[tuple[str, str], float], groups: Sequence[Callable[[tuple[str, str]], str]]) -> None:
    """Scale a joint table in place until every grouping of its cells is uniform (iterative proportional fitting)."""
    for _ in range(300):
        for group in groups:
            sums: dict[str, float] = defaultdict(float)
            for cell, weight in table.items():
                sums[group(cell)] += weight
            for cell in table:
                table[cell] /= sums[group(cell)] * len(sums)


def _given_emotion(table: dict[tuple[str, str], float]) -> dict[str, dict[str, float]]:
    """P(first | emotion) from a joint table over (first, emotion) with uniform emotions."""
    rows: dict[str, dict[str, float]] = {emotion: {} for emotion in EMOTIONS}
    for (first, emotion), weight in table.items():
        rows[emotion][first] = weight * len(EMOTIONS)
    return rows


@cache
def cause_table() -> dict[str, dict[str, float]]:
    """P(prop | emotion); over all clips every prop and every emotion is equally frequent."""
    table = {
        (prop, emotion): weight**SUGGESTION_POWER
        for prop, (_, weights) in _CAUSES.items()
        for emotion, weight in zip(EMOTIONS, weights, strict=True)
    }
    _balance(table, [lambda cell: cell[0], lambda cell: cell[1]])
    return _given_emotion(table)


@cache
def family_table() -> dict[str, dict[str, float]]:
    """P(wording family | emotion); over all clips every intent and every emotion is equally frequent."""
    table = {
        (family, emotion): weight
        for family, (_, *sides) in FAMILIES.items()
        for _, weights in sides
        for emotion, weight in weights.items()
    }
    _balance(table, [lambda cell: INTENT_OF[cell], lambda cell: cell[1]])
    return _given_emotion(table)


def tone_shares(emotion: str) -> dict[str, float]:
    return dict(zip(TONES, _TONE_SHARES[POLARITY[emotion]], strict=True))


def sample_plot(rng: random.Random) -> tuple[Plot, tuple[str, str]]:
    """Draw one plot, and the display meant before the face was hidden or the voice drowned."""

    def pick(table: dict[_K, float]) -> _K:
        return rng.choices(list(table), weights=list(table.values()))[0]

    emotion = rng.choice(EMOTIONS)
    meant = pick(DISPLAYS[emotion])
    face = "hidden" if rng.random() < HIDDEN_SHARE else meant[0]
    voice = "drowned" if rng.random() < DROWNED_SHARE else meant[1]
    plot = Plot(
        emotion=emotion,
        prop=pick(cause_table()[emotion]),
        face=face,
        voice=voice,
        family=pick(family_table()[emotion]),
        tone=pick(tone_shares(emotion)),
        mention=rng.random() < MENTION_SHARE,
    )
    return plot, meant


def all_plots() -> Iterator[tuple[Plot, float]]:
    """Every possible plot with its probability."""
    for emotion in EMOTIONS:
        shown = [
            (f, v, p * pf * pv)
            for (face, voice), p in DISPLAYS[emotion].items()
            for f, pf in ((face, 1 - HIDDEN_SHARE), ("hidden", HIDDEN_SHARE))
            for v, pv in ((voice, 1 - DROWNED_SHARE), ("drowned", DROWNED_SHARE))
        ]
        for (prop, p_prop), (family, p_family), (tone, p_tone), mention, (
            face,
            voice,
            p_shown,
        ) in itertools.product(
            cause_table()[emotion].items(),
            family_table()[emotion].items(),
            tone_shares(emotion).items(),
            (True, False),
            shown,
        ):
            p_mention = MENTION_SHARE if mention else 1 - MENTION_SHARE
            yield (
                Plot(emotion, prop, face, voice, family, tone, mention),
                p_prop * p_family * p_tone * p_mention * p_shown / len(EMOTIONS),
            )


SUBSETS: dict[str, tuple[str, ...]] = {
    "words": ("words",),
    "face": ("face",),
    "voice": ("voice",),
    "scene": ("scene",),
    "video": ("face", "scene"),
    "audio": ("voice",),
    "video+audio": ("face", "scene", "voice"),
    "all": ("face", "scene", "voice", "words"),
}


def observed(plot: Plot, senses: Sequence[str]) -> tuple[object, ...]:
    """What the named senses (face, voice, scene, words) tell of a plot."""
    parts: dict[str, object] = {
        "face": plot.face,
        "voice": plot.voice,
        "scene": plot.prop,
        "words": (plot.family, plot.tone, plot.prop if plot.mention else None),
    }
    return tuple(parts[s] for s in senses)


@cache
def ceilings() -> dict[str, dict[str, float]]:
    """Best possible accuracy on emotion, intent and cause from each subset of what can be perceived.

    An observer who perceives every cue without error and knows the tables cannot do better (Bayes decision by full
    enumeration). Returns `{subset: {"emotion": a, "intent": a, "cause": a}}`, fractions of 1.
    """
    result: dict[str, dict[str, float]] = {}
    for subset, senses in SUBSETS.items():
        mass: dict[str, dict[tuple[object, ...], dict[str, float]]] = {
            name: defaultdict(lambda: defaultdict(float)) for name in ("emotion", "intent", "cause")
        }
        for plot, p in all_plots():
            seen = observed(plot, senses)
            for name, value in (("emotion", plot.emotion), ("intent", plot.intent), ("cause", plot.prop)):
                mass[name][seen][value] += p
        result[subset] = {
            name: round(sum(max(row.values()) for row in rows.values()), 9) for name, rows in mass.items()
        }
    return result
