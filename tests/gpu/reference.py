#!/usr/bin/env python3
"""The engine's log-probabilities against RWKV-7 in float64, by PyTorch.

Usage: tests/gpu/reference.py [--shape 1.5B | --model FILE] [--sequences 8]
           [--length 1024] [--bin DIR] [--device cuda|cpu] [--types LIST]

Written from docs/model.md. The model is the random one that `skein-bench
make-model` writes, or a safetensors file with BlinkDL's names. Each compute type
is also emulated here, rounding where the contract allows it: to 16 bit at the
inputs of matrix products, nowhere else; products accumulate in fp32. The engine
may be as far from float64 as that emulation, times RATIO_MAX; with fp32 at most
FP32_MAX nats in the mean. Exit 1 if it is farther, 77 without PyTorch or GPU.
"""
import argparse
import json
import math
import mmap
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

FP32_MAX = 1e-5
RATIO_MAX = 1.15
HEAD_ROWS = 1024
KAPPA = math.exp(-0.5)

try:
    import torch
except ImportError:
    print("SKIP: no PyTorch")
    sys.exit(77)


class Checkpoint:
    """A safetensors file, read when asked for."""

    TYPES = {"F64": torch.float64, "F32": torch.float32,
             "F16": torch.float16, "BF16": torch.bfloat16}

    def __init__(self, path, device):
        self.file = open(path, "rb")
        self.bytes = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_COPY)
        (size,) = struct.unpack("<Q", self.bytes[:8])
        self.header = json.loads(self.bytes[8:8 + size])
        self.start = 8 + size
        self.device = device

    def __contains__(self, name):
        return name in self.header

    def __getitem__(self, name):
        entry = self.header[name]
        begin, end = entry["data_offsets"]
        kind = self.TYPES[entry["dtype"]]
        x = torch.frombuffer(self.bytes, dtype=kind, offset=self.start + begin,
                             count=math.prod(entry["shape"]))
        return x.reshape(entry["shape"]).to(self.device)


class Arithmetic:
    """Everything in `dtype`; inputs of products rounded to `narrow` first."""

    def __init__(self, dtype, narrow=None):
        self.dtype, self.narrow = dtype, narrow

    def wide(self, x):
        return x.to(self.dtype)

    def product(self, x, w):
        """x @ w^T, w [out, in]."""
        if self.narrow is None:
            return x @ self.wide(w).T
        up = None
        if self.narrow == torch.float16:  # a power of two per row
            peak = x.abs().amax(-1, keepdim=True).double()
            e = torch.floor(torch.log2(peak.clamp(min=1e-300)))
            up = torch.exp2((e - 14).clamp(min=0) * (e >= 15)).to(self.dtype)
            x = x / up
        y = self.wide(x.to(self.narrow)) @ self.wide(w.to(self.narrow)).T
        return y if up is None else y * up


def layer_norm(x, weight, bias, eps=1e-5):
    d = x - x.mean(-1, keepdim=True)
    var = (d * d).mean(-1, keepdim=True)
    return d / torch.sqrt(var + eps) * weight + bias


def before(h):
    return torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], 1)


def recurrence(r, w, k, v, kk, b):
    """All [B, T, H, N]; step 13, one token after the other."""
    B, T, H, N = r.shape
    S = torch.zeros(B, H, N, N, dtype=r.dtype, device=r.device)
    y = torch.empty_like(r)
    rows = [x.transpose(0, 1).contiguous() for x in (r, w, k, v, -kk, b)]
    for t in range(T):
        r_t, w_t, k_t, v_t, a_t, b_t = (x[t] for x in rows)
        s = S @ a_t.unsqueeze(-1)
        S.mul_(w_t.unsqueeze(-2))
        S.addcmul_(s, b_t.unsqueeze(-2))
        S.addcmul_(v_t.unsqueeze(-1), k_t.unsqueeze(-2))
        y[:, t] = (S @ r_t.unsqueeze(-1)).squeeze(-1)
    return y


def time_mix(c, A, p, h, v_first):
    V = lambda name: A.wide(c[p + name]).reshape(-1)  # noqa: E731
    B, T, C = h.shape
    H, N = c[p + "r_k"].shape
    d = before(h) - h
    m = {name: h + d * V("x_" + name) for name in "rwkvag"}
    r = A.product(m["r"], c[p + "receptance.weight"])
    k = A.product(m["k"], c[p + "key.weight"])
    v = A.product(m["v"], c[p + "value.weight"])

    def low_rank(name, function):
        inner = function(A.product(m[name], c[p + name + "1"].T))
        return A.product(inner, c[p + name + "2"].T)

    same = lambda x: x  # noqa: E731
    z = V("w0") + low_rank("w", torch.tanh)
    w = torch.exp(-KAPPA * torch.sigmoid(z))
    a = torch.sigmoid(V("a0") + low_rank("a", same))
    g = low_rank("g", torch.sigmoid)
    if v_first is None:
        v_first = v
    else:
        v = v + (v_first - v) * torch.sigmoid(V("v0") + low_rank("v", same))
    heads = lambda x: x.reshape(B, T, H, N)  # noqa: E731
    u = heads(k * V("k_k"))
    kk = u / u.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    k = k * (1 + (a - 1) * V("k_a"))
    r, w, k, a = (heads(x) for x in (r, w, k, a))
    y = recurrence(r, w, k, heads(v), kk, kk * a)
    y = layer_norm(y, V("ln_x.weight").reshape(H, N),
                   V("ln_x.bias").reshape(H, N), 64e-5)
    beta = (r * k * A.wide(c[p + "r_k"])).sum(-1, keepdim=True)
    y = (y + beta * heads(v)).reshape(B, T, C)
    y = A.product(y * g, c[p + "output.weight"])
    if p + "output.bias" in c:
        y = y + V("output.bias")
    return y, v_first


def channel_mix(c, A, p, h):
    x_k = A.wide(c[p + "x_k"]).reshape(-1)
    q = A.product(h + (before(h) - h) * x_k, c[p + "key.weight"])
    return A.product(torch.relu(q) ** 2, c[p + "value.weight"])


def head(c, A, x, target):
    """Log-probabilities of the targets [B, T]."""
    norm = [A.wide(c["ln_out." + s]) for s in ("weight", "bias")]
    weight = c["head.weight"]
    x, out = x.reshape(-1, x.shape[-1]), []
    target = target.reshape(-1)
    for i in range(0, len(x), HEAD_ROWS):
        z = A.product(layer_norm(x[i:i + HEAD_ROWS], *norm), weight)
        if "head.bias" in c:
            z = z + A.wide(c["head.bias"])
        z = torch.log_softmax(z, -1)
        out.append(z.gather(1, target[i:i + HEAD_ROWS, None])[:, 0])
    return torch.cat(out)


def logprobs(c, A, tokens):
    """tokens [B, T + 1]: log P(token t + 1 | tokens up to t), [B * T]."""
    N = lambda name: [A.wide(c[name + s]) for s in (".weight", ".bias")]  # noqa
    x = A.wide(c["emb.weight"][tokens[:, :-1]])
    if "blocks.0.ln0.weight" in c:
        x = layer_norm(x, *N("blocks.0.ln0"))
    v_first, n = None, 0
    while "blocks.%d.ln1.weight" % n in c:
        p = "blocks.%d." % n
        y, v_first = time_mix(c, A, p + "att.", layer_norm(x, *N(p + "ln1")),
                              v_first)
        x = x + y
        x = x + channel_mix(c, A, p + "ffn.", layer_norm(x, *N(p + "ln2")))
        n += 1
    return head(c, A, x, tokens[:, 1:])


TYPES = {
    "fp32": Arithmetic(torch.float32),
    "fp16": Arithmetic(torch.float32, torch.float16),
    "bf16": Arithmetic(torch.float32, torch.bfloat16),
}


def engine(o, model, tokens, kind):
    command = [os.path.join(o.bin, "skein-bench"), "logprobs", model, tokens]
    if o.device == "cpu":
        command += ["--backend", "cpu"]
    else:
        command += ["--compute", kind]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return torch.tensor([float(x) for x in out.split()], dtype=torch.float64)


def distance(x, reference):
    d = (x.double().cpu() - reference).abs()
    return d.mean().item(), d.max().item()


def compare(o, c, model, folder):
    rng = random.Random(1)
    vocab = c["emb.weight"].shape[0]
    ids = [[rng.randrange(vocab) for _ in range(o.length + 1)]
           for _ in range(o.sequences)]
    path = os.path.join(folder, "tokens")
    with open(path, "w") as f:
        f.writelines(" ".join(map(str, row)) + "\n" for row in ids)
    tokens = torch.tensor(ids, device=o.device)

    start = time.time()
    reference = logprobs(c, Arithmetic(torch.float64), tokens).cpu()
    print("%d x %d tokens, logprobs %.2f +- %.2f; float64 took %.1f s"
          % (o.sequences, o.length, reference.mean(), reference.std(),
             time.time() - start))
    print("%-5s %-22s %-22s %s" % ("", "engine mean, max |d|",
                                   "emulation mean, max", "ratio"))
    failed = 0
    for kind in o.types.split(","):
        got = distance(engine(o, model, path, kind), reference)
        want = distance(logprobs(c, TYPES[kind], tokens), reference)
        ratio = got[0] / want[0]
        good = got[0] <= FP32_MAX if kind == "fp32" else ratio <= RATIO_MAX
        failed += not good
        print("%-5s %.3e %.3e    %.3e %.3e    %.3f %s"
              % (kind, *got, *want, ratio, "ok" if good else "TOO FAR"))
        sys.stdout.flush()
    return failed


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    a = argparse.ArgumentParser(usage=__doc__)
    a.add_argument("--shape", default="1.5B")
    a.add_argument("--model")
    a.add_argument("--sequences", type=int, default=8)
    a.add_argument("--length", type=int, default=1024)
    a.add_argument("--bin", default=os.environ.get(
        "BIN", os.path.join(here, "../../build-cuda/bin")))
    a.add_argument("--device", default="cuda")
    a.add_argument("--types", default="fp32,fp16,bf16")
    o = a.parse_args()
    if o.device == "cuda" and not torch.cuda.is_available():
        print("SKIP: PyTorch sees no GPU")
        return 77
    torch.backends.cuda.matmul.allow_tf32 = False
    with tempfile.TemporaryDirectory() as folder:
        model = o.model
        if model is None:
            model = os.path.join(folder, "model.safetensors")
            subprocess.run([os.path.join(o.bin, "skein-bench"), "make-model",
                            "--shape", o.shape, model], check=True)
        with torch.no_grad():
            return 1 if compare(o, Checkpoint(model, o.device), model,
                                folder) else 0


if __name__ == "__main__":
    sys.exit(main())
