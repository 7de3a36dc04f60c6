"""The demo vocabulary: World format, greedy longest match, learnt from the training text.

    vocab.py build DIR FILE     DIR/train.txt -> FILE, V = 2304 with token 0
    vocab.py check FILE TEXT    the tokens of TEXT

Lines `ID SPACE LITERAL SPACE BYTELENGTH`, ids from 1, sorted by byte length; byte b alone is id b + 1, so any bytes
encode. Token 0 ends a document and has no line.
"""
import collections
import re
import sys

V = 2304
# Text falls into pieces no token crosses: an optional blank and a run of letters, of digits, or of other characters.
PIECE = re.compile(r" ?[A-Za-z]+| ?[0-9]+| ?[^A-Za-z0-9 ]+| ")

def literal(token):
    """As in the original vocabulary: a str literal, or a bytes literal where the bytes are not UTF-8 alone."""
    try:
        return repr(token.decode("utf-8"))
    except UnicodeDecodeError:
        return repr(token)

def parse_literal(s):
    raw = s[0] == "b"
    body, out, i = s[2 if raw else 1:-1], bytearray(), 0
    while i < len(body):
        if body[i] != "\\":
            out += body[i].encode("utf-8")
            i += 1
        elif body[i + 1] in "xu":
            n = 4 if body[i + 1] == "x" else 6
            v = int(body[i + 2:i + n], 16)
            out += bytes([v]) if raw else chr(v).encode("utf-8")
            i += n
        else:
            out += {"n": b"\n", "t": b"\t", "r": b"\r", "\\": b"\\", "'": b"'", '"': b'"'}[body[i + 1]]
            i += 2
    return bytes(out)

class Tokenizer:
    def __init__(self, path):
        self.bytes_of, self.ids = {0: b""}, {}
        for line in open(path, encoding="utf-8", newline="\n").read().split("\n")[:-1]:
            ident, rest = line.split(" ", 1)
            text, size = rest.rsplit(" ", 1)
            token = parse_literal(text)
            assert len(token) == int(size) and token not in self.ids, line
            self.ids[token] = int(ident)
            self.bytes_of[int(ident)] = token
        self.longest = max(map(len, self.ids))
        self.cache = {}

    def encode_bytes(self, src):
        """The definition: at each place the longest vocabulary entry."""
        out, at = [], 0
        while at < len(src):
            for n in range(min(self.longest, len(src) - at), 0, -1):
                if src[at:at + n] in self.ids:
                    out.append(self.ids[src[at:at + n]])
                    at += n
                    break
        return out

    def encode(self, text):
        """The same, piece by piece with a cache; equal because no token crosses a piece."""
        out = []
        for p in PIECE.findall(text):
            if p not in self.cache:
                self.cache[p] = self.encode_bytes(p.encode("utf-8"))
            out += self.cache[p]
        return out

    def decode(self, ids):
        return b"".join(self.bytes_of[i] for i in ids).decode("utf-8", "replace")

def build(where):
    """256 bytes, the most useful whole pieces, then parts of the words that are left."""
    text = open(where + "/train.txt", encoding="utf-8").read().replace("\0", "\n\n")
    pieces = collections.Counter(PIECE.findall(text))
    pieces = {p.encode("utf-8"): n for p, n in pieces.items()}
    vocab = {bytes([b]) for b in range(256)}
    # two first bytes of punctuation such as a dash or a curly quote: not UTF-8 alone, as in the original
    vocab |= {b"\xe2\x80", "\u2014".encode(), "\u2019".encode(), "\u201c".encode(), "\u201d".encode(), "\u00e9".encode()}
    digits = lambda p: any(48 <= b <= 57 for b in p)             # numbers stay single digits
    vocab |= {b" %d" % d for d in range(10)}
    useful = sorted((p for p in pieces if p not in vocab and len(p) > 1 and not digits(p) and len(p) <= 16),
                    key=lambda p: (-pieces[p] * (len(p) - 1), p))
    vocab |= set(useful[:1500])
    while len(vocab) < V - 1:
        # parts that would save most tokens in what still takes several
        longest, gain = max(map(len, vocab)), collections.Counter()
        for p, n in pieces.items():
            if p in vocab or digits(p) or n < 3:
                continue
            cuts, at = [0], 0
            while at < len(p):
                at += next(k for k in range(min(longest, len(p) - at), 0, -1) if p[at:at + k] in vocab)
                cuts.append(at)
            for i in range(len(cuts)):
                for j in range(i + 2, min(i + 4, len(cuts))):
                    gain[p[cuts[i]:cuts[j]]] += n * (j - i - 1)
        best = sorted(gain, key=lambda p: (-gain[p], p))[:80]
        vocab |= set(best[:V - 1 - len(vocab)])
    return sorted((t for t in vocab if len(t) > 1), key=lambda t: (len(t), t))

def write_vocab(path, longer):
    tokens = [bytes([b]) for b in range(256)] + longer
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for i, t in enumerate(tokens):
            f.write("%d %s %d\n" % (i + 1, literal(t), len(t)))

if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "build":
        write_vocab(sys.argv[3], build(sys.argv[2]))
    elif len(sys.argv) == 4 and sys.argv[1] == "check":
        tok = Tokenizer(sys.argv[2])
        print([tok.decode([i]) for i in tok.encode(sys.argv[3])])
    else:
        sys.exit(__doc__)
