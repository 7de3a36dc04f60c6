"""Which combinations are never in the training text.

About one pair in 36 of (object, place), (object, name) and (object, colour) is held out: no sentence of the
training text names both, and no question about the object is answered with the other. The multiple-choice items ask for
held-out pairs only. (With one pair in twelve held out the model learns the gaps themselves and trusts a passage less
that fills one.) The choice is a hash, so that the generator, the corpus filter and the proof agree without a list.
"""
import re
import zlib

from world import COLOURS, NAMES, OBJECTS, PLACES

def held(thing, other):
    return zlib.crc32(("%s|%s" % (thing, other)).encode()) % 36 == 0

_OBJECT = re.compile(r"\b(%s)\b" % "|".join(OBJECTS))
_OTHER = re.compile(r"\b(%s)\b" % "|".join(sorted(PLACES + NAMES + COLOURS, key=len, reverse=True)))
# a question about an object, and its answer: on the next line, or after "Assistant:"
_ASKED = re.compile(r"(?:Where|Who|What colour)\b[^.?\n]*\b(%s)\?\s+(?:Answer:|Assistant:|A:)([^\n]*)" % "|".join(OBJECTS))

def sentences(text):
    return [s for s in re.split(r"(?<=[.!?])[\"']?\s+|\n+", text) if s]

def combinations(text):
    """Every (object, other) pair that a sentence of text, or a question with its answer, names together."""
    for s in sentences(text):
        for o in set(_OBJECT.findall(s)):
            for x in set(_OTHER.findall(s)):
                yield o, x
    for o, answer in _ASKED.findall(text):
        for x in set(_OTHER.findall(answer)):
            yield o, x

def clean(text):
    """True if text holds no held-out combination."""
    return not any(held(o, x) for o, x in combinations(text))
