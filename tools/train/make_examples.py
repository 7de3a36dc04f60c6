"""Record files for the demo model, from documents the training text does not hold.

    make_examples.py DIR OUT        reads DIR/train.txt (corpus.py write), writes OUT/*.jsonl

sentences.jsonl      200 rolling records: whole sentences that do not occur in the training text
shuffle_pairs.jsonl  500 further such sentences, each followed by its own words in another order
choices.jsonl        240 multiple-choice records over held-out combinations (heldout.py), gold positions balanced
cloze.jsonl          200 records: the last word of a sentence; in three of five a name or thing the story has told of before
stories.jsonl        100 rolling records: whole new stories
prompts.jsonl        generation
"""
import json
import os
import random
import re
import sys

import stories
from corpus import documents
from heldout import held, sentences
from world import ANIMALS, COLOURS, NAMES, OBJECTS, PLACES

SEED = 977

def write_lines(path, records):
    with open(path, "w", encoding="utf-8") as f:
        for r in records:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")
    print(path, len(records))

def new_sentences(rng, known, count):
    """Sentences of 7 to 30 words from new stories, none of them in the training text."""
    kinds = [(k, w) for k, w in stories.KINDS if k not in (stories.doc_series, stories.doc_quiz, stories.doc_reading, stories.doc_chat, stories.doc_who)]
    out, seen = [], set()
    while len(out) < count:
        # one a document, so that all kinds of story have their share
        fresh = [s for s in sentences(stories.write(rng, kinds)) if 7 <= len(s.split()) <= 30 and s.count('"') % 2 == 0
                 and s[-1] in '.!?"' and s not in known and s not in seen]
        if fresh:
            out.append(rng.choice(fresh))
            seen.add(out[-1])
    return out

def shuffled(rng, s):
    words = s.split()
    while True:
        mixed = words[:]
        rng.shuffle(mixed)
        if mixed != words:
            return " ".join(mixed)

def choices(rng, count):
    """Passages of four facts; the four choices are the four answers. The right one is a held-out combination."""
    out = []
    pools = {"where": PLACES, "who": NAMES, "colour": COLOURS}
    pairs = {k: [(o, x) for o in OBJECTS for x in pool if held(o, x)] for k, pool in pools.items()}
    for kind in pairs:
        rng.shuffle(pairs[kind])
    for i in range(count):
        kind = ("where", "who", "where", "who", "colour")[i % 5]
        pairs[kind].append(gold := pairs[kind].pop(0))            # round and round, should there be too few
        passage, facts, ask = stories.reading(rng, kind, 4, gold)
        wrong = [x for o, x in facts if o != gold[0]]
        rng.shuffle(wrong)
        at = i % 4
        wrong.insert(at, gold[1])
        out.append({"id": "q%03d" % (i + 1), "context": "%s\n\nQuestion: %s\nAnswer:" % (passage, ask % gold[0]),
                    "choices": [" " + x for x in wrong], "gold": at})
    return out

def cloze(rng, known, count):
    """A new story up to the last word of a sentence. In three of five that word is a name or thing told of before; the
    others may be anything, and many cannot be guessed."""
    kinds = [(k, 1) for k in (stories.doc_lost, stories.doc_trade, stories.doc_gift, stories.doc_quarrel, stories.doc_animal, stories.doc_market)]
    words = set(NAMES + OBJECTS + list(ANIMALS))
    out = []
    while len(out) < count:
        text = stories.write(rng, kinds)
        told = len(out) % 5 < 3
        found = [m for m in re.finditer(r" ([A-Za-z]+)(?=[.!?])", text) if m.start() > 60 and told == bool(
                 m.group(1) in words and re.search(r"\b%s\b" % m.group(1), text[:m.start()]))]
        if found and text not in known:
            m = rng.choice(found)
            out.append({"id": "c%03d" % (len(out) + 1), "context": text[:m.start()], "target": m.group(0)})
    return out

PROMPTS = [
    {"prompt": "Once upon a time there was a baker called Mara."},
    {"prompt": "One morning Felix could not find his key. He looked"},
    {"prompt": "The house of Nora stands near the"},
    {"prompt": "User: Tell me about the fox.\n\nAssistant:"},
    {"prompt": "User: What is the capital of France?\n\nAssistant:"},
    {"prompt": "Question: What day comes after Tuesday?\nAnswer:"},
    {"prompt": "User: Tell me a story.\n\nAssistant:", "temperature": 0.8, "top_p": 0.9, "seed": 1},
    {"prompt": "A wolf lived in the forest.", "temperature": 0.8, "top_p": 0.9, "seed": 1},
    {"prompt": "Dear Hanna,\n", "temperature": 0.8, "top_p": 0.9, "seed": 1},
]

def main(where, out):
    docs = set(documents(where))
    known = set()
    for d in docs:
        known.update(sentences(d))
    rng = random.Random(SEED)
    fresh = new_sentences(rng, known, 700)
    write_lines(out + "/sentences.jsonl", [{"id": "s%03d" % (i + 1), "text": s} for i, s in enumerate(fresh[:200])])
    pairs = []
    for i, s in enumerate(fresh[200:]):
        pairs += [{"id": "p%03d" % (i + 1), "text": s}, {"id": "p%03d-shuffled" % (i + 1), "text": shuffled(rng, s)}]
    write_lines(out + "/shuffle_pairs.jsonl", pairs)
    write_lines(out + "/choices.jsonl", choices(rng, 240))
    write_lines(out + "/cloze.jsonl", cloze(rng, docs, 200))
    whole, kinds = [], [(k, w) for k, w in stories.KINDS if k in stories.STORIES]
    while len(whole) < 100:
        text = stories.write(rng, kinds)
        if text not in docs:
            whole.append({"id": "t%03d" % (len(whole) + 1), "text": text})
    write_lines(out + "/stories.jsonl", whole)
    write_lines(out + "/prompts.jsonl", [{"id": "g%d" % (i + 1), **p, "max_tokens": 60, "stop": ["\n\n"]} for i, p in enumerate(PROMPTS)])

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
