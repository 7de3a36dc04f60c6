"""Two small random RWKV-7 models in every file layout we read, with float64 goldens.

    make_small.py               writes small16*, small32* beside itself (numpy only)
    make_small.py pth           writes small16.pth from small16-blink.safetensors (needs torch)

small16: H = 3, N = 16, L = 3, F = 80, four different LoRA ranks, layer 0 carries v0, v1, v2 as published
.pth files do, filled with 1000: whoever applies them gets far-off logits.  small32: H = 2, N = 32, L = 2, no ln0,
biases on att.output and head.  Every value is exact in bfloat16 AND float16, so all files of one model hold the
same numbers whatever their dtype.
"""
import json
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tools/train"))
from rwkv7_ref import (RWKV7, blink_to_fla, fla_to_blink, golden_prompt, load_tensors, read_safetensors, round_bf16,
                       write_safetensors)

V = 101

def make_model(rng, L, H, N, F, ranks, ln0, bias):
    """BlinkDL names and shapes. The scales make every part of the model matter to the logits."""
    C = H * N
    t = {}

    def put(name, shape, scale, centre=0.0):
        x = round_bf16(centre + scale * rng.standard_normal(shape).astype(np.float32))
        x[abs(x) < 2.0 ** -14] = 0                     # below float16's normal range: not exact there
        t[name] = x

    def norm(name):
        put(name + ".weight", C, 0.2, 1.0)
        put(name + ".bias", C, 0.2)

    put("emb.weight", (V, C), 1.0)
    for n in range(L):
        b = "blocks.%d." % n
        if n == 0 and ln0:
            norm(b + "ln0")
        norm(b + "ln1")
        norm(b + "ln2")
        a = b + "att."
        for c in "rwkvag":
            put(a + "x_" + c, (1, 1, C), 0.25, 0.5)
        for c, scale0, centre0 in (("w", 1.5, -0.5), ("a", 0.7, 0.0), ("v", 0.7, 0.5), ("g", 0, 0)):
            R = ranks[c]
            if c != "g":
                put(a + c + "0", (1, 1, C), scale0, centre0)
            put(a + c + "1", (C, R), 1.5 / C ** 0.5)
            put(a + c + "2", (R, C), 1.2 / R ** 0.5)
        put(a + "k_k", (1, 1, C), 0.15, 0.85)
        put(a + "k_a", (1, 1, C), 0.2, 0.9)
        put(a + "r_k", (H, N), 0.3)
        for m in ("receptance", "key", "value", "output"):
            put(a + m + ".weight", (C, C), 1.0 / C ** 0.5)
        if bias:
            put(a + "output.bias", C, 0.5)
        norm(a + "ln_x")
        put(b + "ffn.x_k", (1, 1, C), 0.25, 0.5)
        put(b + "ffn.key.weight", (F, C), 1.0 / C ** 0.5)
        put(b + "ffn.value.weight", (C, F), 0.8 / F ** 0.5)
    norm("ln_out")
    put("head.weight", (V, C), 1.5 / C ** 0.5)
    if bias:
        put("head.bias", V, 0.5)
    for i in "012":
        t["blocks.0.att.v" + i][:] = 1000
    return t

def config(t, **extra):
    H, N = t["blocks.0.att.r_k"].shape
    F, C = t["blocks.0.ffn.key.weight"].shape
    L = sum(k.endswith("ln1.weight") for k in t)
    rank = lambda c: t["blocks.1.att.%s1" % c].shape[1]
    return {"architectures": ["RWKV7ForCausalLM"], "model_type": "rwkv7", "attn": None, "attn_mode": "chunk",
            "vocab_size": V, "hidden_size": C, "num_hidden_layers": L, "head_dim": N, "num_heads": None,
            "value_dim": [C] * L, "intermediate_size": F, "hidden_ratio": F / C, "decay_low_rank_dim": rank("w"),
            "a_low_rank_dim": rank("a"), "v_low_rank_dim": rank("v"), "gate_low_rank_dim": rank("g"),
            "hidden_act": "sqrelu", "norm_first": "blocks.0.ln0.weight" in t, "norm_bias": True, "norm_eps": 1e-5,
            "fuse_norm": False, "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 0,
            "torch_dtype": "bfloat16", **extra}

def expected(name, t, rng, lengths):
    """prompts, scoring, greedy; all logits and final states go to a safetensors file of F64."""
    out = {"note": "made by make_small.py in float64; GroupNorm eps is 64e-5 although N is not 64",
           "state_layout": "S[layer][head][i=value][j=key]; att_shift/ffn_shift[layer][channel]",
           "checksum_weights": "dot = sum_i x_i*(((7919*i) mod 1009)/1009 - 0.5), i = row-major index inside one layer",
           "gn_eps": 64e-5, "ln_eps": 1e-5, "prompts": {}, "scoring": [], "greedy": []}
    arrays = {}
    for T in lengths:
        tokens = [0] + rng.integers(1, V, T - 1).tolist()
        key = "t%d" % T
        out["prompts"][key], z, state = golden_prompt(t, tokens)
        arrays[key + ".logits"] = z
        arrays.update({key + "." + k: a for k, a in state.items()})
    m = RWKV7(t)
    for n, k in ((1, 1), (3, 2), (9, 4), (40, 3)):
        context = [0] + rng.integers(1, V, n - 1).tolist()
        target = m.greedy(context, k, ())[0] if n == 9 else rng.integers(1, V, k).tolist()
        lp, greedy = m.score(context, target)
        out["scoring"].append({"context": context, "continuation": target, "sum_logprob": lp, "is_greedy": greedy})
    for n in (1, 5, 20):
        prompt = [0] + rng.integers(1, V, n - 1).tolist()
        ids, margin = m.greedy(prompt, 24, ())
        out["greedy"].append({"prompt": prompt, "ids": ids, "min_top1_margin": margin})
    with open(os.path.join(HERE, name + "-expected.json"), "w") as f:
        json.dump(out, f, indent=None, separators=(",", ":"))
        f.write("\n")
    write_safetensors(os.path.join(HERE, name + "-expected.safetensors"), arrays, lambda _: "F64")

def mixed(t):
    """Matrices 16 bit, vectors float32: the common shape of published files."""
    return lambda name: "BF16" if t[name].ndim == 2 and not name.endswith("x_x") else "F32"

def write_small():
    rng = np.random.default_rng(20250701)
    path = lambda n: os.path.join(HERE, n)

    t = make_model(rng, 3, 3, 16, 80, {"w": 12, "a": 8, "v": 4, "g": 20}, True, False)
    write_safetensors(path("small16-blink.safetensors"), t, lambda _: "BF16")
    fla = blink_to_fla(t)
    write_safetensors(path("small16-fla.safetensors"), fla, mixed(fla), {"format": "pt"})
    old = blink_to_fla(t, old_mix=True)
    write_safetensors(path("small16-xx-fla.safetensors"), old, lambda _: "F16", {"format": "pt"})
    # the same as a sharded folder, cut in the middle of layer 1
    folder = path("small16-fla-sharded")
    os.makedirs(folder, exist_ok=True)
    names = list(fla)
    parts = [names[:len(names) // 2], names[len(names) // 2:]]
    weight_map = {}
    for i, part in enumerate(parts):
        file = "model-%05d-of-00002.safetensors" % (i + 1)
        write_safetensors(os.path.join(folder, file), {n: fla[n] for n in part}, lambda _: "BF16", {"format": "pt"})
        weight_map.update({n: file for n in part})
    json.dump({"metadata": {"total_size": sum(2 * a.size for a in fla.values())}, "weight_map": weight_map},
              open(os.path.join(folder, "model.safetensors.index.json"), "w"), indent=1)
    json.dump(config(t), open(os.path.join(folder, "config.json"), "w"), indent=1)
    expected("small16", t, rng, (1, 2, 17, 64, 65))
    for other in ("small16-fla.safetensors", "small16-xx-fla.safetensors", "small16-fla-sharded"):
        u = fla_to_blink(load_tensors(path(other)))
        same = {k: a for k, a in t.items() if not k.startswith("blocks.0.att.v") or k.endswith("weight")}
        assert set(u) == set(same) and all(np.array_equal(u[k].reshape(-1), same[k].reshape(-1)) for k in same), other

    t = make_model(rng, 2, 2, 32, 96, {"w": 16, "a": 12, "v": 8, "g": 24}, False, True)
    write_safetensors(path("small32-noln0-bias-blink.safetensors"), t, lambda _: "BF16")
    expected("small32-noln0-bias", t, rng, (1, 2, 33))

def write_pth():
    """The awkward but legal things a checkpoint may contain, all in one file: an OrderedDict with _metadata, a
    Parameter, tensors sharing a storage at offsets, transposed strides, four dtypes."""
    import collections
    import torch
    t = read_safetensors(os.path.join(HERE, "small16-blink.safetensors"))
    kinds = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
    out = collections.OrderedDict()
    for i, (name, a) in enumerate(t.items()):
        # float64 only on vectors, to stay small
        kind = kinds[i % 4] if a.size <= 768 else kinds[i % 2]
        out[name] = torch.from_numpy(a.copy()).to(kind)
    out["head.weight"] = torch.nn.Parameter(out["head.weight"].float())
    for name in ("blocks.0.att.key.weight", "blocks.1.att.w1"):
        out[name] = out[name].t().contiguous().t()                     # strides (1, rows)
        assert not out[name].is_contiguous()
    both = torch.cat([out["ln_out.weight"].float(), out["ln_out.bias"].float()])
    C = len(both) // 2
    out["ln_out.weight"], out["ln_out.bias"] = both[:C], both[C:]      # one storage, offsets 0 and C
    out["blocks.2.att.receptance.weight"], out["blocks.2.att.key.weight"] = torch.stack(
        [out["blocks.2.att.receptance.weight"].bfloat16(), out["blocks.2.att.key.weight"].bfloat16()]).unbind(0)
    out._metadata = collections.OrderedDict([("", {"version": 1}), ("emb", {"version": 1})])
    file = os.path.join(os.environ.get("OUT", HERE), "small16.pth")
    torch.save(out, file)
    back = torch.load(file, weights_only=True)
    for name, a in t.items():
        assert np.array_equal(back[name].detach().float().numpy(), a), name
    print("torch", torch.__version__, os.path.getsize(file), "bytes, all tensors equal")

if __name__ == "__main__":
    write_pth() if sys.argv[1:] == ["pth"] else write_small()
