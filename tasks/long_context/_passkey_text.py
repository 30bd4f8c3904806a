"""What a passkey prompt looks like: the rule, the filler, the key at its depth, the question."""

from __future__ import annotations

import numpy as np

OPENING = (
    "Somewhere in the notes below, between many remarks that do not matter, one pass key is written down. "
    "Read the notes and keep the pass key in mind. A question about it follows at the end."
)
KEY = "The pass key is {key}. Keep it in mind: {key} is the pass key."
QUESTION = "That is the end of the notes. What was the pass key? The pass key is"

# no digits anywhere, so that the key is the only number
FILLER = (
    "The river is wide here and the water moves slowly.",
    "A cat sleeps on the warm stones beside the gate.",
    "In the morning the bread is fresh and the streets are quiet.",
    "The hills are green after the rain.",
    "Some of the boats are painted blue and some are white.",
    "The clock on the station has stopped again.",
    "Leaves gather in the corner of the yard.",
    "It is a short walk from the mill to the bridge.",
    "The children play near the fountain until it gets dark.",
    "A cold wind comes down from the north.",
    "The baker opens early and the tailor opens late.",
    "Apples grow well in this valley.",
    "The road turns left at the old chapel.",
    "There is always a queue at the post office.",
    "The moon is bright tonight and the fields are silver.",
    "Nobody knows who planted the chestnut tree.",
    "The train was late and the passengers complained.",
    "Sheep graze on both sides of the wall.",
    "The window looks out on a row of small gardens.",
    "Snow fell in the night and was gone by noon.",
    "The market sells cheese, honey and candles.",
    "A dog barks at the milk van every day.",
    "The stairs are steep and the banister is loose.",
    "In spring the meadow is full of yellow flowers.",
    "The kettle takes a long time to boil.",
    "Most of the letters were never answered.",
    "The harbour freezes only in the hardest winters.",
    "She hums a tune that everyone has heard before.",
    "The roof leaks a little above the kitchen.",
    "Two roads lead to the village and both are muddy.",
    "The library closes before the shops do.",
    "Birds gather on the wire when the weather changes.",
    "The soup tastes better on the second day.",
    "An empty bench stands under the lamp.",
    "The well is deep and its water is clear.",
    "The neighbours keep bees behind the shed.",
)


def words(text: str) -> int:
    """White-space separated words."""
    return len(text.split())


def prompt(key: str, length: int, depth: int, rng: np.random.Generator) -> str:
    """A prompt of at most `length` words with the key `depth` per cent of the way through its filler sentences.

    The prompt falls short of `length` by less than one filler sentence; a length that leaves no room for filler
    is a ValueError.
    """
    room = length - words(OPENING) - words(KEY.format(key=key)) - words(QUESTION)
    filler: list[str] = []
    order: list[int] = []
    while True:
        # a new order of all sentences each time round, so that no two prompts share their filler
        order = order or [int(index) for index in rng.permutation(len(FILLER))]
        sentence = FILLER[order.pop()]
        if words(sentence) > room:
            break
        filler.append(sentence)
        room -= words(sentence)
    if not filler:
        raise ValueError(
            f"a passkey prompt of {length} words leaves no room for filler; ask for {minimum_length()} or more."
        )
    place = round(len(filler) * depth / 100)
    notes = [*filler[:place], KEY.format(key=key), *filler[place:]]
    return f"{OPENING}\n\n{' '.join(notes)}\n\n{QUESTION}"


def minimum_length() -> int:
    """Words of the shortest prompt that surely has a filler sentence."""
    return words(OPENING) + words(KEY) + words(QUESTION) + max(words(sentence) for sentence in FILLER)
