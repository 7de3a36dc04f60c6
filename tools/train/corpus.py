"""The training text: our own stories (stories.py) and public-domain English from Debian packages.

    corpus.py fetch DIR         download and unpack the packages into DIR (apt-get download, dpkg -x; nothing is installed)
    corpus.py write DIR         DIR/train.txt: documents separated by NUL bytes, always the same bytes
    corpus.py tokens DIR VOCAB  DIR/train.npz: the documents as token ids, each preceded by token 0
"""
import array
import gzip
import os
import random
import re
import struct
import subprocess
import sys
import zlib

from heldout import clean
from stories import write

PACKAGES = ["sword-text-web", "r-cran-janeaustenr", "miscfiles"]
STORY_CHARS = 100_000_000
SEED = 20250717

def fetch(where):
    os.makedirs(where, exist_ok=True)
    subprocess.run(["apt-get", "download"] + PACKAGES, cwd=where, check=True)
    for f in sorted(os.listdir(where)):
        if f.endswith(".deb"):
            subprocess.run(["dpkg", "-x", f, "root"], cwd=where, check=True)

# --- public-domain text ------------------------------------------------------------------------------

def plain(s):
    """Straight quotes, single spaces."""
    for a, b in (("\u2018", "'"), ("\u2019", "'"), ("\u201c", '"'), ("\u201d", '"')):
        s = s.replace(a, b)
    return re.sub(r"\s+", " ", s).strip()

def world_english_bible(root):
    """Paragraphs. SWORD zText: .bzs holds (offset, size, plain size) of the zlib blocks in .bzz; OSIS markup."""
    for part in ("ot", "nt"):
        base = root + "/usr/share/sword/modules/texts/ztext/engWEB2015eb/" + part
        index, blocks = open(base + ".bzs", "rb").read(), open(base + ".bzz", "rb").read()
        for at in range(0, len(index), 12):
            lo, size, _ = struct.unpack_from("<III", index, at)
            x = zlib.decompress(blocks[lo:lo + size]).decode("utf-8")
            if "<chapter" not in x:
                continue
            x = x[x.index("<chapter"):]
            x = re.sub(r"<(note|title)\b.*?</\1>", " ", x, flags=re.S)
            x = re.sub(r"\s*<div eID=\"gen\d+\" type=\"x-p\"/>", "\n", x)
            for line in re.sub(r"<[^>]*>", "", x).split("\n"):
                if len(line) > 40:
                    yield plain(re.sub(r"\s+([,.;:!?])", r"\1", line))

def jane_austen(root):
    """Paragraphs. An R lazy-load file: zlib blocks behind a 4-byte length, in them XDR character vectors."""
    data = open(root + "/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb", "rb").read()
    at = 0
    while at + 4 < len(data):
        unpack = zlib.decompressobj()
        x = unpack.decompress(data[at + 4:])
        at = len(data) - len(unpack.unused_data)
        paragraph, i = [], x.index(b"\0\4\0\x09")
        while x[i:i + 4] == b"\0\4\0\x09":                           # CHARSXP, ASCII: length, bytes
            (n,) = struct.unpack_from(">i", x, i + 4)
            line = x[i + 8:i + 8 + n].decode("ascii")
            i += 8 + n
            if line.strip():
                paragraph.append(line)
            else:
                if len(paragraph) > 1:
                    yield plain(" ".join(paragraph)).replace("--", " - ").replace("_", "")
                paragraph = []

def american_documents(root):
    for name in ("us-declaration", "us-constitution"):
        text = gzip.open(root + "/usr/share/state/%s.gz" % name, "rt", encoding="latin-1").read()
        for p in text.split("\n\n"):
            if len(p) > 40:
                yield plain(p)

def public_domain(root):
    """Neighbouring paragraphs joined to documents of 300 to about 900 characters."""
    for source in (world_english_bible, jane_austen, american_documents):
        doc = ""
        for p in source(root):
            doc = doc + "\n" + p if doc else p
            if len(doc) >= 300:
                for i in range(0, len(doc), 1500):                    # a very long paragraph is cut at a blank
                    part = doc[i:i + 1500]
                    if i:
                        part = part[part.find(" ") + 1:]
                    if len(part) > 100 and clean(part):
                        yield part
                doc = ""

# --- the corpus --------------------------------------------------------------------------------------

def write_corpus(where):
    rng = random.Random(SEED)
    docs, size, seen = [], 0, set()
    while size < STORY_CHARS:
        d = write(rng)
        docs.append(d)
        size += len(d)
    ours = len(docs)
    docs += public_domain(where + "/root")
    total = sum(map(len, docs))
    rng.shuffle(docs)
    with open(where + "/train.txt", "w", encoding="utf-8") as f:
        f.write("\0".join(docs))
    print("%d stories, %d characters; %d public-domain documents, %d characters" % (ours, size, len(docs) - ours, total - size))

def documents(where):
    return open(where + "/train.txt", encoding="utf-8").read().split("\0")

def write_tokens(where, vocab):
    import numpy as np
    from vocab import Tokenizer
    tok, ids = Tokenizer(vocab), array.array("H")
    for d in documents(where):
        ids.append(0)
        ids.extend(tok.encode(d))
    np.savez_compressed(where + "/train.npz", ids=np.frombuffer(ids, np.uint16))
    print(len(ids), "tokens")

if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "fetch":
        fetch(sys.argv[2])
    elif len(sys.argv) == 3 and sys.argv[1] == "write":
        write_corpus(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "tokens":
        write_tokens(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)
