#!/usr/bin/env python3
"""float64 log-probabilities of 500 lambada lines under the `tiny` model, as
tests/e2e/invariance.sh compares them:

    tests/e2e/lambada_ref.py ../shared/rwkv7/data > tests/e2e/lambada_tiny.jsonl

A line's last word, with the space before it, is the target; tokens are bytes.
Only numbers are written, none of the text. Takes minutes (python3-numpy).
"""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../tools/train"))
import rwkv7_ref as ref

N_LINES = 500


def main():
    data = sys.argv[1]
    model = ref.load_model(data + "/tiny/tiny-blink.safetensors")
    with open(data + "/external/lambada_test.jsonl", encoding="utf-8") as f:
        texts = [json.loads(line)["text"] for line, _ in zip(f, range(N_LINES))]
    for i, text in enumerate(texts):
        ids = list(text.encode())
        n = len(text[:text.rindex(" ")].encode())
        logits, _ = model.forward(ids[:-1])
        rows = ref.log_softmax(logits)
        at = np.arange(n - 1, len(ids) - 1)
        want = np.asarray(ids[n:])
        print(json.dumps({
            "id": "l%03d" % (i + 1),
            "logprob": float(rows[at, want].sum()),
            "greedy": bool((rows[at].argmax(-1) == want).all()),
            "tokens": len(want),
        }), flush=True)


main()
