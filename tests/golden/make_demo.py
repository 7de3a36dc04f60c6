"""float64 goldens of the demo model, from the committed files of examples/ alone.

    make_demo.py        writes demo-expected.json, demo-scores.jsonl and demo-tokenizer.jsonl beside itself
"""
import base64
import json
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "../../examples")
sys.path.insert(0, os.path.join(HERE, "../../tools/train"))
from rwkv7_ref import RWKV7, fla_to_blink, golden_prompt, load_tensors, log_softmax
from vocab import Tokenizer

def records(name):
    return [json.loads(line) for line in open(os.path.join(EXAMPLES, name), encoding="utf-8")]

def write_lines(name, rows):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=True) + "\n")

def expected(tensors, model, tok):
    stories = [[0] + tok.encode(r["text"]) for r in records("stories.jsonl")]
    long = sum(stories, [])                                   # several documents, token 0 between them
    out = {"note": "made by make_demo.py in float64 from examples/model; every prompt starts with token 0",
           "checksum_weights": "dot = sum_i x_i*(((7919*i) mod 1009)/1009 - 0.5), i = row-major index inside one layer; "
                               "S[layer][head][value channel][key channel]",
           "prompts": {}, "scoring": [], "greedy": []}
    for T in (1, 2, 17, 64, 65, 200):
        out["prompts"]["t%d" % T] = golden_prompt(tensors, long[:T])[0]
    for r in records("cloze.jsonl")[:6] + [
            {"id": r["id"], "context": r["context"], "target": r["choices"][r["gold"]]} for r in records("choices.jsonl")[:4]]:
        c, t = [0] + tok.encode(r["context"]), tok.encode(r["target"])
        lp, greedy = model.score(c, t)
        out["scoring"].append({"context_text": r["context"], "continuation_text": r["target"], "context": c, "continuation": t,
                               "sum_logprob": lp, "is_greedy": greedy})
    for r in records("prompts.jsonl"):
        prompt = [0] + tok.encode(r["prompt"])
        ids, margin = model.greedy(prompt, r["max_tokens"])
        text = tok.decode(ids)
        out["greedy"].append({"prompt_text": r["prompt"], "prompt": prompt, "ids": ids, "text": text,
                              "text_before_blank_line": text.split("\n\n")[0], "min_top1_margin": margin})
    with open(os.path.join(HERE, "demo-expected.json"), "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")

def scores(model, tok):
    """What a run over the example files must give, token 0 always in front."""
    rows = []
    for r in records("choices.jsonl"):
        z, state = model.forward([0] + tok.encode(r["context"]))
        logprobs, greedy = [], []
        for c in r["choices"]:
            ids = tok.encode(c)
            lp = log_softmax(np.vstack([z[-1:], model.forward(ids[:-1], state)[0]]))
            logprobs.append(float(sum(lp[i, t] for i, t in enumerate(ids))))
            greedy.append(bool(all(lp[i].argmax() == t for i, t in enumerate(ids))))
        rows.append({"id": r["id"], "logprobs": logprobs, "greedy": greedy, "best": int(np.argmax(logprobs)), "gold": r["gold"]})
    for r in records("cloze.jsonl"):
        lp, greedy = model.score([0] + tok.encode(r["context"]), tok.encode(r["target"]))
        rows.append({"id": r["id"], "logprob": lp, "greedy": greedy})
    for name in ("sentences.jsonl", "stories.jsonl"):
        for r in records(name):
            lps = model.token_logprobs([0] + tok.encode(r["text"]))
            rows.append({"id": r["id"], "logprob": float(sum(lps)), "tokens": len(lps)})
    write_lines("demo-scores.jsonl", rows)

TEXTS = ["", " ", "\n", "\n\n", "\n\n\n", "\t", "\r\n", "  ", "   ", " \n ", "a", "A", " a", "the", " the", "The", " The", "theatre",
         " unfortunately", "Mara", " Mara", "mara", "Mara's best friend", "\"Hello,\" said Tom.", "\"No,\" said Anna, \"but I will help you.\"",
         "User: What is 3 + 4?\n\nAssistant: 3 + 4 = 7.", "Question: Where is the key?\nAnswer: in the kitchen.", "1", " 1", "12", " 12", "2026",
         "3.14", "1,000,000", "7+8=15", "x*y-z/(a%b)", "snake_case camelCase", "e-mail@example.org", "https://example.org/?q=1&r=2",
         "...", "?!", " - ", "--", "\u2014", " \u2014 ", "\u2019", "it\u2019s", "\u201cquoted\u201d", "\u2026", "\u2010", "\u20ac 5", "\u00e9", "caf\u00e9",
         "na\u00efve \u00fcber Stra\u00dfe", "\u0416\u0443\u043a", "\u65e5\u672c\u8a9e", "\U0001f986 goose", "\u0000", "\u007f", "\ufeffbom",
         "tab\tand\nnewline", "righteousness", "Nebuchadnezzar", "qqqq zzzz", "AAAAaaaa", "inheritanceinheritance",
         "The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday."]
BYTES = [b"\xff\xfe", b"\xe2\x80", b"caf\xc3", b"\x80\x81 the \xc0", bytes(range(256))]

def tokenizer(tok):
    rows = [{"text": t, "ids": tok.encode_bytes(t.encode("utf-8"))} for t in TEXTS]
    rows += [{"base64": base64.b64encode(b).decode(), "ids": tok.encode_bytes(b)} for b in BYTES]
    for r, b in zip(rows, [t.encode("utf-8") for t in TEXTS] + BYTES):
        assert b"".join(tok.bytes_of[i] for i in r["ids"]) == b
    write_lines("demo-tokenizer.jsonl", rows)

if __name__ == "__main__":
    tensors = fla_to_blink(load_tensors(os.path.join(EXAMPLES, "model")))
    model, tok = RWKV7(tensors), Tokenizer(os.path.join(EXAMPLES, "model/rwkv_vocab_demo.txt"))
    tokenizer(tok)
    expected(tensors, model, tok)
    scores(model, tok)
