"""RWKV-7 in numpy: the reference every golden and every number of the demo model comes from.

Plain and slow on purpose: one sequence, one token at a time through the recurrence, one floating
type throughout (float64 unless told otherwise).  Tensors are named as in BlinkDL checkpoints inside
this file; load_model() also reads Flash Linear Attention (FLA) names, one file or a sharded folder.

    rwkv7_ref.py list MODEL             names, shapes, dtypes as stored
    rwkv7_ref.py logits MODEL 0,5,7     logits after the last token
"""
import json
import os
import struct
import sys

import numpy as np

LN_EPS = 1e-5
GN_EPS = 64e-5                          # a constant: it does not scale with the head size
KEY_FLOOR = 1e-12                       # floor of the removal key's norm
KAPPA = float(np.exp(-0.5))             # log decay = -KAPPA * sigmoid(z)

# ---------------------------------------------------------------------------------------------------
# 16-bit floats

def bf16_to_f32(bits):
    """uint16 bfloat16 patterns -> float32, exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)

def f32_to_bf16(x):
    """float32 -> uint16 bfloat16 patterns, round to nearest even. x is finite."""
    u = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)

def round_bf16(x):
    """The nearest values that bfloat16 can hold, as float32."""
    return bf16_to_f32(f32_to_bf16(x))

# ---------------------------------------------------------------------------------------------------
# safetensors: u64 header length, JSON header padded to 8, raw little-endian tensors

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

def read_safetensors(path):
    """name -> array; BF16 comes back as float32 (exact)."""
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(n))
        body = f.read()
    out = {}
    for name, d in head.items():
        if name == "__metadata__":
            continue
        lo, hi = d["data_offsets"]
        a = np.frombuffer(body[lo:hi], DTYPES[d["dtype"]])
        out[name] = (bf16_to_f32(a) if d["dtype"] == "BF16" else a).reshape(d["shape"])
    return out

def write_safetensors(path, tensors, dtype_of, metadata=None):
    """tensors: name -> array; dtype_of(name) -> "F64" | "F32" | "F16" | "BF16"."""
    head, blobs, at = {}, [], 0
    if metadata:
        head["__metadata__"] = metadata
    for name, a in tensors.items():
        kind = dtype_of(name)
        raw = (f32_to_bf16(a) if kind == "BF16" else np.ascontiguousarray(a, DTYPES[kind])).tobytes()
        head[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))

# ---------------------------------------------------------------------------------------------------
# names and shapes: BlinkDL <-> FLA.  The LoRA factors are the only transposed tensors.

TOP = {"emb.weight": "model.embeddings.weight", "head.weight": "lm_head.weight", "head.bias": "lm_head.bias",
       "ln_out.weight": "model.norm.weight", "ln_out.bias": "model.norm.bias"}
NORM = {"ln0": "pre_norm", "ln1": "attn_norm", "ln2": "ffn_norm"}
PROJ = {"receptance": "r_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj", "ln_x": "g_norm"}
LORA = {"0": "2.bias", "1": "0.weight", "2": "2.weight"}

def inverse(d):
    return {v: k for k, v in d.items()}

def blink_to_fla(t, old_mix=False):
    """FLA names. Drops layer 0's v0, v1, v2, which no implementation uses.
    old_mix: one x_x [6,C] in place of x_r x_w x_k x_v x_a x_g, as FLA wrote it before April 2025."""
    out = {}
    for name, a in t.items():
        if name in TOP:
            out[TOP[name]] = a
            continue
        _, n, group, rest = name.split(".", 3)
        layer = "model.layers.%s." % n
        if group in NORM:
            out[layer + NORM[group] + "." + rest] = a
        elif group == "ffn":
            out[layer + "ffn." + rest] = a.reshape(-1) if rest == "x_k" else a
        elif len(rest) == 2 and rest[0] in "wavg" and rest[1] in LORA:
            if not (n == "0" and rest[0] == "v"):
                out[layer + "attn.%s_lora.lora.%s" % (rest[0], LORA[rest[1]])] = (
                    a.reshape(-1) if rest[1] == "0" else np.ascontiguousarray(a.T))
        elif rest in ("k_k", "k_a"):
            out[layer + "attn." + rest] = a.reshape(-1)
        elif rest == "r_k":
            out[layer + "attn.r_k"] = a
        elif rest.startswith("x_") and old_mix:
            if rest == "x_r":
                out[layer + "attn.x_x"] = np.stack([t["blocks.%s.att.x_%s" % (n, c)].reshape(-1) for c in "rwkvag"])
        elif rest.startswith("x_"):
            out[layer + "attn." + rest] = a.reshape(1, 1, -1)
        else:
            module, leaf = rest.split(".")
            out[layer + "attn.%s.%s" % (PROJ[module], leaf)] = a
    return out

def fla_to_blink(t):
    top, norm, proj, lora = inverse(TOP), inverse(NORM), inverse(PROJ), inverse(LORA)
    out = {}
    for name, a in t.items():
        if name in top:
            out[top[name]] = a
            continue
        p = name.split(".")
        layer = "blocks.%s." % p[2]
        if p[3] in norm:
            out[layer + norm[p[3]] + "." + p[4]] = a
        elif p[3] == "ffn":
            out[layer + "ffn." + ".".join(p[4:])] = a.reshape(1, 1, -1) if p[4] == "x_k" else a
        elif p[4].endswith("_lora"):
            i = lora[p[6] + "." + p[7]]
            out[layer + "att." + p[4][0] + i] = a.reshape(1, 1, -1) if i == "0" else np.ascontiguousarray(a.T)
        elif p[4] == "x_x":
            for c, row in zip("rwkvag", a.reshape(6, -1)):
                out[layer + "att.x_" + c] = row.reshape(1, 1, -1)
        elif p[4] == "r_k":
            out[layer + "att.r_k"] = a
        elif p[4] in ("k_k", "k_a") or p[4].startswith("x_"):
            out[layer + "att." + p[4]] = a.reshape(1, 1, -1)
        else:
            out[layer + "att.%s.%s" % (proj[p[4]], p[5])] = a
    return out

def load_tensors(path):
    """A .safetensors file, or a folder with model.safetensors or a sharded index."""
    if not os.path.isdir(path):
        return read_safetensors(path)
    index = os.path.join(path, "model.safetensors.index.json")
    names = sorted(set(json.load(open(index))["weight_map"].values())) if os.path.exists(index) else ["model.safetensors"]
    out = {}
    for n in names:
        out.update(read_safetensors(os.path.join(path, n)))
    return out

def load_model(path, dtype=np.float64):
    t = load_tensors(path)
    return RWKV7(fla_to_blink(t) if "model.embeddings.weight" in t else t, dtype)

# ---------------------------------------------------------------------------------------------------
# the model

def sigmoid(x):
    return 0.5 * (1.0 + np.tanh(0.5 * x))              # no overflow for either sign

def layer_norm(x, w, b):
    m = x.mean(-1, keepdims=True)
    var = ((x - m) ** 2).mean(-1, keepdims=True)       # biased
    return (x - m) / np.sqrt(var + LN_EPS) * w + b

def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))

class RWKV7:
    """L layers, C channels, H heads of N, F channel-mix width, V tokens: all read from the tensors."""

    def __init__(self, tensors, dtype=np.float64):
        self.dtype = np.dtype(dtype)
        # vectors are kept flat, whatever leading ones the file has
        self.t = {k: np.asarray(a, self.dtype) for k, a in tensors.items()}
        self.t = {k: a.reshape(-1) if a.ndim == 3 else a for k, a in self.t.items()}
        self.L = sum(k.endswith(".ln1.weight") for k in self.t)
        self.V, self.C = self.t["emb.weight"].shape
        self.H, self.N = self.t["blocks.0.att.r_k"].shape
        self.F = self.t["blocks.0.ffn.key.weight"].shape[0]
        assert self.H * self.N == self.C

    def zero_state(self):
        """S[layer][head][value channel][key channel]."""
        return {"att_shift": np.zeros((self.L, self.C), self.dtype),
                "S": np.zeros((self.L, self.H, self.N, self.N), self.dtype),
                "ffn_shift": np.zeros((self.L, self.C), self.dtype)}

    def forward(self, tokens, state=None):
        """Logits [T, V] and the state after the last token; the given state is not changed."""
        state = {k: a.copy() for k, a in (state or self.zero_state()).items()}
        t, T = self.t, len(tokens)
        if T == 0:
            return np.zeros((0, self.V), self.dtype), state
        x = t["emb.weight"][list(tokens)]
        if "blocks.0.ln0.weight" in t:
            x = layer_norm(x, t["blocks.0.ln0.weight"], t["blocks.0.ln0.bias"])
        v_first = None
        for n in range(self.L):
            p = {k.split(".", 2)[2]: a for k, a in t.items() if k.startswith("blocks.%d." % n)}
            h = layer_norm(x, p["ln1.weight"], p["ln1.bias"])
            y, v_first = self.time_mix(n, p, h, state, v_first)
            x = x + y
            h = layer_norm(x, p["ln2.weight"], p["ln2.bias"])
            d = np.vstack([state["ffn_shift"][n], h[:-1]]) - h
            state["ffn_shift"][n] = h[-1]
            q = (h + d * p["ffn.x_k"]) @ p["ffn.key.weight"].T
            x = x + np.maximum(q, 0) ** 2 @ p["ffn.value.weight"].T
        logits = layer_norm(x, t["ln_out.weight"], t["ln_out.bias"]) @ t["head.weight"].T
        if "head.bias" in t:
            logits = logits + t["head.bias"]
        assert logits.dtype == self.dtype
        return logits, state

    def time_mix(self, n, p, h, state, v_first):
        T, heads = len(h), (len(h), self.H, self.N)
        d = np.vstack([state["att_shift"][n], h[:-1]]) - h
        state["att_shift"][n] = h[-1]
        m = {c: h + d * p["att.x_" + c] for c in "rwkvag"}
        r = m["r"] @ p["att.receptance.weight"].T
        k = m["k"] @ p["att.key.weight"].T
        v = m["v"] @ p["att.value.weight"].T
        w = np.exp(-KAPPA * sigmoid(p["att.w0"] + np.tanh(m["w"] @ p["att.w1"]) @ p["att.w2"]))
        a = sigmoid(p["att.a0"] + m["a"] @ p["att.a1"] @ p["att.a2"])
        g = sigmoid(m["g"] @ p["att.g1"]) @ p["att.g2"]
        if n == 0:
            v_first = v
        else:
            v = v + (v_first - v) * sigmoid(p["att.v0"] + m["v"] @ p["att.v1"] @ p["att.v2"])
        kk = (k * p["att.k_k"]).reshape(heads)                          # from the key before its update
        kk = kk / np.maximum(np.sqrt((kk * kk).sum(-1, keepdims=True)), KEY_FLOOR)
        k = k * (1 + (a - 1) * p["att.k_a"])
        r, w, k, v, a = (z.reshape(heads) for z in (r, w, k, v, a))
        b, y, S = kk * a, np.empty(heads, self.dtype), state["S"][n]
        for s in range(T):
            sa = S @ -kk[s][:, :, None]                                  # S before its decay, [H, N, 1]
            S = S * w[s][:, None, :] + sa * b[s][:, None, :] + v[s][:, :, None] * k[s][:, None, :]
            y[s] = (S @ r[s][:, :, None])[:, :, 0]                       # S after its update
        state["S"][n] = S
        c = y - y.mean(-1, keepdims=True)
        y = (c / np.sqrt((c * c).mean(-1, keepdims=True) + GN_EPS)).reshape(T, -1)
        y = y * p["att.ln_x.weight"] + p["att.ln_x.bias"]
        bonus = (r * k * p["att.r_k"]).sum(-1, keepdims=True) * v        # after the norm, before the gate
        y = ((y + bonus.reshape(T, -1)) * g) @ p["att.output.weight"].T
        return y + p.get("att.output.bias", 0), v_first

    # --- what goldens and claims are made of ---------------------------------------------------

    def score(self, context, target, state=None):
        """Sum of log p(target | context) and whether greedy decoding would write it. context is not empty
        unless a state is given together with the logits that belong to it."""
        z, _ = self.forward(list(context) + list(target[:-1]), state)
        z = z[len(context) - 1:]
        lp = log_softmax(z.astype(np.float64))
        return (float(sum(lp[i, t] for i, t in enumerate(target))),
                bool(all(int(z[i].argmax()) == t for i, t in enumerate(target))))

    def token_logprobs(self, tokens):
        """log p(token t+1 | tokens up to t), len(tokens) - 1 numbers."""
        lp = log_softmax(self.forward(tokens[:-1])[0].astype(np.float64))
        return [float(lp[i, t]) for i, t in enumerate(tokens[1:])]

    def greedy(self, tokens, count, stop_ids=(0,)):
        """Continuation ids and the smallest top-1 margin met on the way."""
        z, state = self.forward(tokens)
        out, margin = [], np.inf
        while len(out) < count:
            top = np.sort(z[-1])[-2:]
            margin = min(margin, float(top[1] - top[0]))
            out.append(int(z[-1].argmax()))
            if out[-1] in stop_ids:
                break
            z, state = self.forward(out[-1:], state)
        return out, margin

# ---------------------------------------------------------------------------------------------------
# golden records

def state_checksums(state):
    """Per layer: sum, sum of magnitudes, 2-norm, and a weighted sum that notices transposed or swapped parts
    (weights ((7919*i) mod 1009)/1009 - 0.5 over the row-major index i inside the layer)."""
    out = {}
    for key, a in state.items():
        out[key] = []
        for row in a.reshape(len(a), -1).astype(np.float64):
            w = (7919 * np.arange(row.size) % 1009) / 1009.0 - 0.5
            out[key].append({"sum": float(row.sum()), "abssum": float(abs(row).sum()),
                             "l2": float(np.sqrt(row @ row)), "dot": float(row @ w)})
    return out

def golden_prompt(tensors, tokens):
    """One entry of an expected file, the float64 logits and the final state."""
    m64, m32 = RWKV7(tensors), RWKV7(tensors, np.float32)
    z, state = m64.forward(tokens)
    z32, state32 = m32.forward(tokens)
    lp = log_softmax(z)
    top = np.sort(z, -1)[:, -2:]
    entry = {"tokens": list(tokens), "final_logits": z[-1].tolist(),
             "next_token_logprobs": [float(lp[i, t]) for i, t in enumerate(tokens[1:])],
             "argmax_per_position": z.argmax(-1).tolist(),
             "min_top1_margin": float((top[:, 1] - top[:, 0]).min()),
             "final_state_checksums": state_checksums(state),
             "float32_numpy_max_abs_diff": {"logits": float(abs(z - z32).max()),
                                            **{k: float(abs(state[k] - state32[k]).max()) for k in state}}}
    return entry, z, state

def main(argv):
    if len(argv) == 3 and argv[1] == "list":
        for name, a in load_tensors(argv[2]).items():
            print(name, a.shape, a.dtype)
    elif len(argv) == 4 and argv[1] == "logits":
        z, _ = load_model(argv[2]).forward([int(s) for s in argv[3].split(",")])
        print("\n".join(repr(float(v)) for v in z[-1]))
    else:
        print(__doc__)
        return 2
    return 0

if __name__ == "__main__":
    sys.exit(main(sys.argv))
