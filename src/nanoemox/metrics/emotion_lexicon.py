"""A small lexicon of emotion words: which words mean nearly the same, and whether they are pleasant.

Open-vocabulary answers are compared by meaning: "delighted" names what "joyful" names. The official scorer
uses five emotion wheels read from spreadsheets; this lexicon is our own and ships with the package. One group
per line; the first word names the group. A word belongs to one group only, so that a mapping never depends on
order. Four wheels divide the groups more coarsely: the seven basic labels, and after Plutchik, Parrott and
Willcox, where each basic emotion that a wheel lacks (neutral, disgust, surprise) has a sector of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from nanoemox.metrics.denials import denies
from nanoemox.metrics.label_names import bare, family


class Group(NamedTuple):
    """Words of nearly the same meaning: `name` is the first of `words`."""

    words: tuple[str, ...]
    basic: str  # one of the seven basic labels
    polarity: str  # positive, neutral or negative
    sectors: tuple[str, ...]  # one a wheel, in the order of WHEELS

    @property
    def name(self) -> str:
        return self.words[0]


WHEELS = ("basic", "plutchik", "parrott", "willcox")
# Sectors of the last three wheels that a basic emotion stands in.
_SECTORS = {
    "happiness": "joy joy joyful",
    "sadness": "sadness sadness sad",
    "anger": "anger anger mad",
    "fear": "fear fear scared",
    "disgust": "disgust disgust disgusted",
    "surprise": "surprise surprise surprised",
    "neutral": "neutral neutral peaceful",
}

# basic emotion | polarity | words | sectors, where they are not those of the basic emotion.
# Where an attitude has no basic emotion of its own, the nearest one stands.
_LEXICON = """
happiness | positive | joyful delighted elated ecstatic overjoyed thrilled jubilant
happiness | positive | content pleased glad satisfied | joy joy peaceful
happiness | positive | happy cheerful merry
happiness | positive | excited enthusiastic eager energetic passionate | anticipation joy joyful
happiness | positive | proud triumphant | joy joy powerful
happiness | positive | grateful thankful appreciative | trust love powerful
happiness | positive | caring tender sympathetic compassionate affectionate loving | trust love peaceful
happiness | positive | playful amused teasing
happiness | positive | relieved reassured | joy joy peaceful
happiness | positive | confident self-assured | trust joy powerful
happiness | positive | admiring impressed | trust love powerful
happiness | positive | hopeful pleading optimistic | anticipation joy joyful
sadness | negative | heartbroken miserable sorrowful devastated grieving
sadness | negative | sad gloomy downcast unhappy
sadness | negative | depressed despairing hopeless desperate
sadness | negative | disappointed let-down disheartened
sadness | negative | lonely abandoned isolated
sadness | negative | hurt wounded | sadness sadness mad
sadness | negative | tired exhausted weary
sadness | negative | wistful longing brave nostalgic
sadness | negative | guilty remorseful sorry regretful
sadness | negative | ashamed embarrassed humiliated
anger | negative | furious enraged livid outraged irate
anger | negative | annoyed irritated cross
anger | negative | angry mad aggressive
anger | negative | frustrated exasperated
anger | negative | resentful bitter
anger | negative | defiant stubborn
anger | negative | jealous envious
anger | negative | impatient restless
fear | negative | terrified panicked frightened horrified
fear | negative | anxious uneasy nervous worried concerned apprehensive uncomfortable hesitant insecure
fear | negative | afraid fearful scared
fear | negative | helpless powerless vulnerable weak
fear | negative | stressed overwhelmed tense
fear | negative | shy timid
disgust | negative | revolted appalled sickened repulsed
disgust | negative | displeased averse disapproving | disgust disgust mad
disgust | negative | disgusted grossed-out
disgust | negative | contemptuous scornful mocking disdainful dismissive | disgust disgust mad
surprise | neutral | astonished amazed stunned astounded
surprise | neutral | surprised puzzled startled
surprise | negative | shocked
surprise | neutral | confused bewildered perplexed | surprise surprise scared
surprise | neutral | curious interested intrigued | anticipation surprise surprised
surprise | negative | doubtful sceptical suspicious | surprise fear mad
neutral | neutral | calm composed neutral relaxed peaceful serene
neutral | neutral | reserved guarded
neutral | neutral | serious attentive | anticipation neutral peaceful
neutral | neutral | bored indifferent apathetic distant numb | disgust neutral sad
neutral | neutral | thoughtful pensive reflective focused
happiness | positive | trusting accepting | trust love peaceful
surprise | neutral | expectant anticipating | anticipation surprise surprised
"""

# Irregular forms, nouns and plain labels -> a word of the lexicon. Regular endings are taken off by rule.
_FORMS = """
joyful: joy joyous joyfully delight delightful elation ecstasy thrill rapture bliss blissful
content: contentment contented pleasure gladness satisfaction contentedly
happy: happiness happily happier happiest cheer cheerfulness merriment enjoyment
excited: excitement enthusiasm eagerness exciting
proud: pride triumph proudly
grateful: gratitude thankfulness appreciation thanks
caring: care tenderness sympathy compassion affection love
playful: playfulness amusement humorous joking amusing
relieved: relief reassurance
confident: confidence assurance
admiring: admiration
hopeful: hope optimism hopefully plea
heartbroken: heartbreak misery sorrow grief mournful agony
sad: sadness gloom unhappiness saddened sadder saddest melancholy
depressed: depression despair desperation depressing hopelessness
disappointed: disappointment disappointing
lonely: loneliness isolation
hurt: pain
tired: tiredness exhaustion fatigue
wistful: wistfulness nostalgia longingly bravery bravely
guilty: guilt remorse regret sorrys apologetic
ashamed: shame embarrassment humiliation embarrassing
furious: fury rage outrage wrath wrathful
annoyed: annoyance irritation irritable annoying crossly
angry: anger aggression aggressively angrily angrier angriest hostile hostility
frustrated: frustration frustrating exasperation
resentful: resentment bitterness
defiant: defiance stubbornness
jealous: jealousy envy
impatient: impatience restlessness
terrified: terror panic fright horror panicky frightening terrifying
anxious: anxiety discomfort hesitation unease uneasiness nervousness worry worrying worrisome concern apprehension
afraid: fear scary scare fearfulness
helpless: helplessness vulnerability
stressed: stress tension
shy: shyness timidity
revolted: revulsion repulsion sickening revolting
displeased: displeasure aversion disapproval dislike
disgusted: disgust disgusting
contemptuous: contempt scorn mockery disdain sarcastic sarcasm
astonished: astonishment amazement astonishing amazing
surprised: surprise puzzlement surprising
shocked: shock shocking
confused: confusion bewilderment perplexity confusing
curious: curiosity interest
doubtful: doubt scepticism suspicion skeptical
calm: calmness composure neutrality serenity relaxation peace
reserved: reserve guardedness
serious: seriousness attention
bored: boredom indifference apathy
thoughtful: thoughtfulness reflection
trusting: trust acceptance
expectant: anticipation expectation
"""

_BASIC_NAMES = {"anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"}


def _read_lexicon() -> tuple[Group, ...]:
    groups = []
    for line in _LEXICON.strip().splitlines():
        basic, polarity, words, *own = (part.strip() for part in line.split("|"))
        sectors = own[0] if own else _SECTORS[basic]
        groups.append(Group(tuple(words.split()), basic, polarity, (basic, *sectors.split())))
    return tuple(groups)


GROUPS: tuple[Group, ...] = _read_lexicon()
BY_NAME: dict[str, Group] = {group.name: group for group in GROUPS}


@cache
def _index() -> dict[str, Group]:
    index = {word: group for group in GROUPS for word in group.words}
    for line in _FORMS.strip().splitlines():
        name, forms = line.split(":")
        index |= dict.fromkeys(forms.split(), BY_NAME[name])
    return index


def _stems(word: str) -> list[str]:
    """The word itself, then without regular adverb and noun endings (gloomily -> gloomy)."""
    stems = [word]
    for ending, instead in (
        ("ily", "y"),
        ("iness", "y"),
        ("ly", ""),
        ("ness", ""),
        ("ly", "le"),
        ("ingly", "ing"),
    ):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stems.append(word[: -len(ending)] + instead)
    return stems


@lru_cache(maxsize=100_000)
def _lookup(word: str) -> Group | None:
    words = bare(word).split() or [""]
    if any(map(denies, words[:-1])):  # "not angry" is not angry
        return None
    index = _index()
    joined = "-".join(words)
    for candidate in (joined, words[-1]):  # "let down" is one entry; of "very happy" the last word counts
        for stem in _stems(candidate):
            if stem in index:
                return index[stem]
    return index.get(family(word) or "")  # 生气, ANG


def group(word: str) -> str | None:
    """Name of the group a word or short phrase belongs to; None when the lexicon lacks it."""
    found = _lookup(word)
    return found.name if found else None


def basic_emotion(word: str) -> str | None:
    """The one of the seven basic labels that is nearest to a word; None when the lexicon lacks it."""
    found = sectors(word)
    return found[0] if found else None


def sectors(word: str) -> tuple[str, ...] | None:
    """Where a word stands on each of WHEELS; None when the lexicon lacks it."""
    plain = word.casefold().strip()
    if plain in _BASIC_NAMES:
        return (plain, *_SECTORS[plain].split())
    found = _lookup(word)
    return found.sectors if found else None


def polarity(word: str) -> str | None:
    """positive, neutral or negative; None when the lexicon lacks the word."""
    found = _lookup(word)
    return found.polarity if found else None


def polarity_of_labels(labels: Sequence[str]) -> str | None:
    """Polarity of a list of emotion words, most prominent first; None if no word is known.

    The first word counts fully and each later one 0.4; a sum beyond 0.5 is charged. So one attitude beside a
    neutral state ("surprised, grateful") leaves it neutral, and two change it ("surprised, happy, excited").
    """
    known = [p for p in map(polarity, labels) if p]
    if not known:
        return None
    signs = [{"positive": 1.0, "neutral": 0.0, "negative": -1.0}[p] for p in known]
    total = signs[0] + 0.4 * sum(signs[1:])
    return "positive" if total > 0.5 else "negative" if total < -0.5 else "neutral"
