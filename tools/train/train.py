"""Trains the demo model on one GPU and writes it as an FLA folder.

    train.py check                                  kernels and forward pass against the float64 reference
    train.py run TRAIN.npz FOLDER [STEPS]           writes FOLDER/model.safetensors and config.json
"""
import json
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

import rwkv7_ref as ref
from model import Model, layer, load_kernels, wkv_plain

V, L, H, N, FFN = 2304, 6, 3, 64, 768
RANKS = {"w": 32, "a": 24, "v": 16, "g": 48}
ROWS, T = 64, 512                       # a step: 64 rows of 512 tokens
STEPS = 6000
LR, LR_END, WARM, DECAY = 2e-3, 1e-4, 200, 0.1

# --- data: every row starts with token 0 at the start of a document ---------------------------------------

def rows(ids, rng):
    """Endless rows of T + 1 tokens: the documents in random order, a new one wherever a row starts."""
    starts = np.append(np.flatnonzero(ids == 0), len(ids))
    while True:
        order = rng.permutation(len(starts) - 1)
        length = (starts[1:] - starts[:-1])[order]
        stream = np.concatenate([ids[starts[i]:starts[i + 1]] for i in order])
        begin = np.concatenate([[0], np.cumsum(length)])
        at = 0
        while at + T + 1 <= len(stream):
            yield stream[at:at + T + 1].astype(np.int64)
            at = begin[np.searchsorted(begin, at + T)]

def batches(ids, seed):
    source = rows(ids, np.random.default_rng(seed))
    while True:
        yield torch.from_numpy(np.stack([next(source) for _ in range(ROWS)]))

# --- export ----------------------------------------------------------------------------------------------------

def config():
    C = H * N
    return {"architectures": ["RWKV7ForCausalLM"], "model_type": "rwkv7", "attn": None, "attn_mode": "chunk", "vocab_size": V,
            "hidden_size": C, "num_hidden_layers": L, "head_dim": N, "num_heads": H, "value_dim": [C] * L,
            "intermediate_size": FFN, "hidden_ratio": FFN / C, "decay_low_rank_dim": RANKS["w"], "a_low_rank_dim": RANKS["a"],
            "v_low_rank_dim": RANKS["v"], "gate_low_rank_dim": RANKS["g"], "hidden_act": "sqrelu", "norm_first": True,
            "norm_bias": True, "norm_eps": 1e-5, "fuse_norm": False, "fuse_cross_entropy": True, "use_cache": True,
            "tie_word_embeddings": False, "initializer_range": 0.02, "max_position_embeddings": 2048, "bos_token_id": 0,
            "eos_token_id": 0, "torch_dtype": "bfloat16"}

def export(model, folder):
    """FLA names; matrices BF16, vectors (and r_k) F32."""
    os.makedirs(folder, exist_ok=True)
    t = ref.blink_to_fla({k: x.detach().cpu().numpy() for k, x in model.tensors().items()})
    matrix = lambda n: t[n].ndim == 2 and not n.endswith("r_k")
    ref.write_safetensors(folder + "/model.safetensors", t, lambda n: "BF16" if matrix(n) else "F32", {"format": "pt"})
    with open(folder + "/config.json", "w") as f:
        json.dump(config(), f, indent=1)
        f.write("\n")

# --- checks -----------------------------------------------------------------------------------------------------

def check(device, wkv):
    """A model with every parameter disturbed, so that nothing is zero."""
    model = Model(97, 3, 2, 64, 160, {"w": 12, "a": 8, "v": 4, "g": 20}, 1)
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for x in model.parameters():
            x += torch.randn(x.shape, generator=g) * (0.1 if x.ndim == 2 else 0.2)
    tensors = {k: x.detach().numpy() for k, x in model.tensors().items()}
    tokens = torch.randint(0, 97, (2, 48), generator=g)
    want = np.stack([ref.RWKV7(tensors).forward(row.tolist())[0] for row in tokens])
    model.to(device)
    got = model(tokens.to(device), wkv)
    print("forward: max |logit - float64 reference| %.2e of %.1f" % (abs(got.detach().cpu().numpy() - want).max(), abs(want).max()))
    grads = []
    for f, m in ((wkv, model), (wkv_plain, Model(97, 3, 2, 64, 160, {"w": 12, "a": 8, "v": 4, "g": 20}, 1).double())):
        if m is not model:
            m.load_state_dict({k: x.double().cpu() for k, x in model.state_dict().items()})
        z = m(tokens.to(next(m.parameters()).device), f)
        F.cross_entropy(z[:, :-1].flatten(0, 1), tokens[:, 1:].flatten().to(z.device)).backward()
        grads.append({k: p.grad.double().cpu() for k, p in m.named_parameters()})
    worst = max((((grads[0][k] - d).norm() / (d.norm() + 1e-12)).item(), k) for k, d in grads[1].items())
    print("gradients: worst relative difference to float64 autograd %.2e (%s)" % worst)
    assert worst[0] < 1e-3

# --- training -----------------------------------------------------------------------------------------------------

def run(data, folder, steps):
    wkv = load_kernels()
    check("cuda", wkv)
    torch.set_float32_matmul_precision("high")                      # TF32 products
    ids = np.load(data)["ids"]
    cut = np.flatnonzero(ids == 0)[-1000]                            # the last 1000 documents are never trained on
    train, dev = batches(ids[:cut], 1), batches(ids[cut:], 2)
    dev = next(dev).cuda()
    model = Model(V, L, H, N, FFN, RANKS, 3).cuda()
    print("parameters", sum(p.numel() for p in model.parameters()), "tokens", len(ids))
    fast = torch.compile(layer)
    decay = [p for k, p in model.named_parameters() if p.ndim == 2 and "emb" not in k and "r_k" not in k]
    other = [p for p in model.parameters() if not any(p is q for q in decay)]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": DECAY}, {"params": other, "weight_decay": 0.0}],
                            lr=LR, betas=(0.9, 0.98), eps=1e-12, fused=True)
    begin, recent = time.time(), []

    def loss_of(x, layer):
        z = model(x[:, :-1], wkv, layer)
        return F.cross_entropy(z.flatten(0, 1), x[:, 1:].flatten())

    for step in range(steps + 1):
        if step % 500 == 0 or step in (50, steps):
            with torch.no_grad():
                d = loss_of(dev, layer).item()
            mean = np.mean([x.item() for x in recent] or [0])
            print("step %5d  train %.4f  dev %.4f  %.0f s" % (step, mean, d, time.time() - begin), flush=True)
            recent = []
            if step == steps:
                break
        lr = LR * min(1, (step + 1) / WARM)
        lr = min(lr, LR_END + (LR - LR_END) * 0.5 * (1 + np.cos(np.pi * step / steps)))
        for group in opt.param_groups:
            group["lr"] = lr
        loss = loss_of(next(train).cuda(), fast)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        opt.step()
        opt.zero_grad(set_to_none=True)
        recent.append(loss.detach())
    export(model, folder)

if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        cuda = torch.cuda.is_available()
        check("cuda" if cuda else "cpu", load_kernels() if cuda else wkv_plain)
    elif len(sys.argv) in (4, 5) and sys.argv[1] == "run":
        run(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) == 5 else STEPS)
    else:
        sys.exit(__doc__)
