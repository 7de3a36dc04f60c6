"""Proves what README.md claims of the demo model, in float64, from the committed files.

    verify.py MODEL_DIR EXAMPLES_DIR [DIR]      DIR: also search DIR/train.txt for what must not be in it
"""
import json
import math
import sys

import numpy as np

from corpus import documents
from heldout import combinations, held, sentences
from rwkv7_ref import load_model, log_softmax
from vocab import Tokenizer

def records(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]

def rolling(model, ids):
    """log p of every token of ids after token 0."""
    return model.token_logprobs([0] + ids)

def shuffle_claim(model, tok, pairs):
    better = sum(sum(rolling(model, tok.encode(a["text"]))) > sum(rolling(model, tok.encode(b["text"])))
                 for a, b in zip(pairs[::2], pairs[1::2]))
    print("sentence better than its shuffle: %d of %d = %.1f %%" % (better, len(pairs) // 2, 200.0 * better / len(pairs)))
    return better >= 0.95 * len(pairs) / 2

def choice_claim(model, tok, items):
    right, margins, by_kind = 0, [], {}
    for r in items:
        z, state = model.forward([0] + tok.encode(r["context"]))
        scores = []
        for c in r["choices"]:
            ids = tok.encode(c)
            lp = log_softmax(np.vstack([z[-1:], model.forward(ids[:-1], state)[0]]))
            scores.append(sum(lp[i, t] for i, t in enumerate(ids)))
        order = np.argsort(scores)
        ok = int(order[-1]) == r["gold"]
        margins.append(scores[order[-1]] - scores[order[-2]])
        kind = r["context"].split("Question: ")[1].split()[0]
        by_kind.setdefault(kind, []).append(ok)
        right += ok
    print("multiple choice: %d of %d right = %.1f %%  (%s; smallest gap between first and second %.4f)" % (
        right, len(items), 100.0 * right / len(items),
        ", ".join("%s %d of %d" % (k, sum(v), len(v)) for k, v in by_kind.items()), min(margins)))
    print("gold positions:", [sum(r["gold"] == i for r in items) for i in range(4)])
    return right >= 0.9 * len(items) and len(items) >= 200

def cloze_result(model, tok, items):
    results = [model.score([0] + tok.encode(r["context"]), tok.encode(r["target"])) for r in items]
    print("cloze: accuracy %.1f %%, perplexity %.3f a word, %d records" % (
        100.0 * sum(g for _, g in results) / len(items), math.exp(-np.mean([lp for lp, _ in results])), len(items)))

def bos_claim(model, tok, texts, what):
    """Perplexity of the same 16 tokens, the second to the seventeenth, with and without token 0 in front.
    (Without it the first token has no probability at all.) Shorter texts count as far as they go."""
    with_bos, without = [], []
    for text in texts:
        ids = tok.encode(text)[:17]
        with_bos += rolling(model, ids)[1:]
        without += model.token_logprobs(ids)
    a, b = math.exp(-np.mean(with_bos)), math.exp(-np.mean(without))
    print("first 16 tokens of %d %s: perplexity %.2f with token 0, %.2f without: %.2f times" % (len(texts), what, a, b, b / a))
    return b >= 1.3 * a

def absence_proof(docs, pairs, items, stories):
    """No held-out combination, and no sentence under test, is in the training text."""
    known, seen = set(), 0
    assert not set(docs) & {r["text"] for r in stories}
    for d in docs:
        known.update(sentences(d))
        for o, x in combinations(d):
            assert not held(o, x), (o, x)
            seen += 1
    for r in pairs[::2]:
        assert r["text"] not in known, r["text"]
    asked = set()
    for r in items:
        thing = r["context"].rsplit("?", 1)[0].rsplit(" ", 1)[1]
        answer = r["choices"][r["gold"]].strip()
        assert held(thing, answer), r["id"]
        asked.add((thing, answer))
    print("training text: %d documents, %d sentences, %d combinations of a thing with a place, name or colour in one sentence or "
          "question; none of the %d combinations asked for is among them" % (len(docs), len(known), seen, len(asked)))

def readable(model, tok, items):
    for r in items:
        ids, margin = model.greedy([0] + tok.encode(r["prompt"]), r["max_tokens"])
        print("[%s, greedy] %s|%s   (smallest margin %.4f)" % (r["id"], r["prompt"], tok.decode(ids), margin))

def main(folder, examples, train=None):
    model, tok = load_model(folder), Tokenizer(folder + "/rwkv_vocab_demo.txt")
    items, pairs = records(examples + "/choices.jsonl"), records(examples + "/shuffle_pairs.jsonl")
    if train:
        absence_proof(documents(train), pairs, items, records(examples + "/stories.jsonl"))
    else:
        print("training text not given: absence not proved")
    ok = [shuffle_claim(model, tok, pairs), choice_claim(model, tok, items)]
    cloze = records(examples + "/cloze.jsonl")
    cloze_result(model, tok, cloze)
    ok.append(bos_claim(model, tok, [r["text"] for r in records(examples + "/stories.jsonl")], "whole stories"))
    bos_claim(model, tok, [r["text"] for r in records(examples + "/sentences.jsonl")], "single sentences, most from the middle of a story")
    readable(model, tok, records(examples + "/prompts.jsonl"))
    print("claims:", "all hold" if all(ok) else "NOT all hold")
    return 0 if all(ok) else 1

if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
