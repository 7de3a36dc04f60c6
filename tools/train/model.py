"""RWKV-7 in PyTorch for training: BlinkDL names and shapes, float32 (TF32 products), state zero at the row's start."""
import ctypes
import math
import os
import subprocess
import tempfile

import torch
import torch.nn.functional as F

KAPPA = math.exp(-0.5)

# --- the recurrence ----------------------------------------------------------------------------------

def wkv_plain(r, w, k, v, a, b):
    """The definition, token by token, for checks. All [B, T, H, N]."""
    B, T, H, N = r.shape
    S, ys = r.new_zeros(B, H, N, N), []
    for t in range(T):
        sa = S @ a[:, t].unsqueeze(-1)
        S = S * w[:, t].unsqueeze(-2) + sa * b[:, t].unsqueeze(-2) + v[:, t].unsqueeze(-1) * k[:, t].unsqueeze(-2)
        ys.append((S @ r[:, t].unsqueeze(-1)).squeeze(-1))
    return torch.stack(ys, 1)

def load_kernels():
    """Compiles wkv7.cu and returns wkv(r, w, k, v, a, b) as an operator torch.compile can see through."""
    lib = os.path.join(tempfile.mkdtemp(), "wkv7.so")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wkv7.cu")
    subprocess.run(["nvcc", "-O3", "-arch=native", "--use_fast_math", "-shared", "-Xcompiler", "-fPIC", "-o", lib, source], check=True)
    lib = ctypes.CDLL(lib)

    def call(f, B, T, H, *tensors):
        assert all(x.is_contiguous() and x.dtype == torch.float32 for x in tensors) and T % 16 == 0
        f(ctypes.c_void_p(torch.cuda.current_stream().cuda_stream), B, T, H, *(ctypes.c_void_p(x.data_ptr()) for x in tensors))

    @torch.library.custom_op("demo::wkv7", mutates_args=())
    def wkv7(r: torch.Tensor, w: torch.Tensor, k: torch.Tensor, v: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        B, T, H, N = r.shape
        y, sa, kept = torch.empty_like(r), torch.empty_like(r), r.new_empty(B, H, T // 16, N, N)
        call(lib.forward, B, T, H, r, w, k, v, a, b, y, sa, kept)
        return y, sa, kept

    @wkv7.register_fake
    def _(r, w, k, v, a, b):
        B, T, H, N = r.shape
        return torch.empty_like(r), torch.empty_like(r), r.new_empty(B, H, T // 16, N, N)

    @torch.library.custom_op("demo::wkv7_grad", mutates_args=())
    def wkv7_grad(r: torch.Tensor, w: torch.Tensor, k: torch.Tensor, v: torch.Tensor, a: torch.Tensor, b: torch.Tensor,
                  sa: torch.Tensor, kept: torch.Tensor, dy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        out = tuple(torch.empty_like(r) for _ in range(6))
        call(lib.backward, *r.shape[:3], r, w, k, v, a, b, sa, kept, dy, *out)
        return out

    @wkv7_grad.register_fake
    def _(r, w, k, v, a, b, sa, kept, dy):
        return tuple(torch.empty_like(r) for _ in range(6))

    def setup(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output[1], output[2])

    wkv7.register_autograd(lambda ctx, dy, _sa, _kept: wkv7_grad(*ctx.saved_tensors, dy.contiguous()), setup_context=setup)
    return lambda *x: wkv7(*(z.contiguous() for z in x))[0]

# --- one layer, as a function of its parameters ------------------------------------------------------

def shift(h):
    return F.pad(h, (0, 0, 1, -1)) - h

def layer(x, v_first, p, wkv):
    """p: the layer's parameters by name without their prefix. Returns x and v_first."""
    B, T, C = x.shape
    H, N = p["att.r_k"].shape
    h = F.layer_norm(x, (C,), p["ln1.weight"], p["ln1.bias"], 1e-5)
    d = shift(h)
    mr, mw, mk, mv, ma, mg = (h + d * p["att.x_" + c] for c in "rwkvag")
    r = F.linear(mr, p["att.receptance.weight"])
    k = F.linear(mk, p["att.key.weight"])
    v = F.linear(mv, p["att.value.weight"])
    w = torch.exp(-KAPPA * torch.sigmoid(p["att.w0"] + torch.tanh(mw @ p["att.w1"]) @ p["att.w2"]))
    a = torch.sigmoid(p["att.a0"] + ma @ p["att.a1"] @ p["att.a2"])
    g = torch.sigmoid(mg @ p["att.g1"]) @ p["att.g2"]
    if v_first is None:
        v_first = v
    else:
        v = v + (v_first - v) * torch.sigmoid(p["att.v0"] + mv @ p["att.v1"] @ p["att.v2"])
    kk = F.normalize((k * p["att.k_k"]).view(B, T, H, N), dim=-1, eps=1e-12)
    k = k * (1 + (a - 1) * p["att.k_a"])
    r, w, k, v4, a = (z.view(B, T, H, N) for z in (r, w, k, v, a))
    y = wkv(r, w, k, v4, -kk, kk * a)
    y = F.group_norm(y.reshape(B * T, C), H, p["att.ln_x.weight"], p["att.ln_x.bias"], 64e-5).view(B, T, C)
    y = y + ((r * k * p["att.r_k"]).sum(-1, keepdim=True) * v4).view(B, T, C)
    x = x + F.linear(y * g, p["att.output.weight"])
    h = F.layer_norm(x, (C,), p["ln2.weight"], p["ln2.bias"], 1e-5)
    q = F.linear(h + shift(h) * p["ffn.x_k"], p["ffn.key.weight"])
    return x + F.linear(torch.relu(q) ** 2, p["ffn.value.weight"]), v_first

class Model(torch.nn.Module):
    def __init__(self, V, L, H, N, F_, ranks, seed):
        """Initial values in the manner of RWKV-LM: output projections and first LoRA factors zero, decays and token-shift
        weights as ramps over the channels."""
        super().__init__()
        torch.manual_seed(seed)
        C = H * N
        t = {}
        uniform = lambda bound, *shape: torch.empty(*shape).uniform_(-bound, bound)
        ortho = lambda gain, *shape: torch.nn.init.orthogonal_(torch.empty(*shape), gain)
        ramp = torch.arange(C) / C
        t["emb.weight"] = uniform(0.02, V, C)
        for n in range(L):
            b = "blocks.%d." % n
            depth, rest = n / max(1, L - 1), 1 - n / L
            for ln in (["ln0"] if n == 0 else []) + ["ln1", "ln2"]:
                t[b + ln + ".weight"], t[b + ln + ".bias"] = torch.ones(C), torch.zeros(C)
            for c, power in zip("rwkvag", (0.2, 0.9, 0.7, 0.7, 0.9, 0.2)):
                t[b + "att.x_" + c] = (1 - ramp ** (power * rest))
            for c in "wavg":
                if not (n == 0 and c == "v"):
                    t[b + "att.%s1" % c] = torch.zeros(C, ranks[c])
                    t[b + "att.%s2" % c] = ortho(0.1, ranks[c], C)
            t[b + "att.w0"] = (-5.5 + 5 * (torch.arange(C) / (C - 1)) ** (0.85 + depth ** 0.5))
            t[b + "att.a0"] = torch.zeros(C)
            if n:
                t[b + "att.v0"] = torch.ones(C)
            t[b + "att.k_k"] = torch.full((C,), 0.85)
            t[b + "att.k_a"] = torch.ones(C)
            t[b + "att.r_k"] = torch.zeros(H, N)
            t[b + "att.receptance.weight"] = uniform(0.5 / C ** 0.5, C, C)
            t[b + "att.key.weight"] = uniform(0.05 / C ** 0.5, C, C)
            t[b + "att.value.weight"] = uniform(0.5 / C ** 0.5, C, C)
            t[b + "att.output.weight"] = torch.zeros(C, C)
            t[b + "att.ln_x.weight"], t[b + "att.ln_x.bias"] = torch.full((C,), ((1 + n) / L) ** 0.7), torch.zeros(C)
            t[b + "ffn.x_k"] = (1 - ramp ** (rest ** 4))
            t[b + "ffn.key.weight"] = uniform(0.5 / C ** 0.5, F_, C)
            t[b + "ffn.value.weight"] = torch.zeros(C, F_)
        t["ln_out.weight"], t["ln_out.bias"] = torch.ones(C), torch.zeros(C)
        t["head.weight"] = ortho(0.5, V, C)
        # a ParameterDict key may not hold a dot
        self.p = torch.nn.ParameterDict({k.replace(".", "/"): torch.nn.Parameter(x) for k, x in t.items()})
        self.L = L

    def tensors(self):
        return {k.replace("/", "."): x for k, x in self.p.items()}

    def forward(self, tokens, wkv, layer=layer):
        t = self.tensors()
        x = t["emb.weight"][tokens]
        x = F.layer_norm(x, x.shape[-1:], t["blocks.0.ln0.weight"], t["blocks.0.ln0.bias"], 1e-5)
        v_first = None
        for n in range(self.L):
            pre = "blocks.%d." % n
            x, v_first = layer(x, v_first, {k[len(pre):]: z for k, z in t.items() if k.startswith(pre)}, wkv)
        x = F.layer_norm(x, x.shape[-1:], t["ln_out.weight"], t["ln_out.bias"], 1e-5)
        return F.linear(x, t["head.weight"])
