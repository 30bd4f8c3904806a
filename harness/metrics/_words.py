"""What are the words of a text in any script? Runs of letters, marks and digits, or single letters without spaces.

For ASCII these are rouge-score's tokens, to the letter. Accents and vowel signs belong to their word. Chinese,
Japanese, Thai, Lao, Khmer and Burmese put no space between words: there each letter with its marks is a word of its
own, since a better segmentation needs a dictionary.
"""

from __future__ import annotations

import re
import unicodedata

# Thai and Lao; Burmese; Khmer; kana; ideographs and their iteration marks; wide and rare ideographs
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


def words(text: str) -> list[str]:
    """Lower-case words in Unicode's composed form; signs and spaces end a word, invisible joiners do not."""
    if text.isascii():
        return re.findall("[a-z0-9]+", text.lower())
    spaced: list[str] = []
    alone = False  # the word so far is one letter of a script without spaces
    for letter in unicodedata.normalize("NFC", text).lower():
        category = unicodedata.category(letter)
        if category == "Cf":
            # joiners, soft hyphens and marks of direction are no part of a spelling
            continue
        unspaced = category[0] == "L" and UNSPACED.match(letter) is not None
        if unspaced or (alone and category[0] != "M"):
            spaced.append(" ")
        spaced.append(letter if category[0] in "LMN" else " ")
        alone = unspaced or (alone and category[0] == "M")
    return "".join(spaced).split()
