"""The two attentions of the official procedure as modules that take the place of
a transformers layer's self_attn: partial RoPE, and latent attention.

Letters: B sequences, T tokens, H query heads, G key-value heads, d head width,
m rotary width, r latent width, C = d / m.

Both run transformers' own rotary tables and torch's fused attention. Where the
fused kernel wants keys and values of one width, values are wider than they need
to be: that is more than twice as fast as the kernel for unequal widths.
"""

import torch
import torch.nn.functional as F
from torch import nn


def linear(weight, bias):
    """A float32 nn.Linear of a float64 weight [out, in] and bias [out] or None."""
    layer = nn.Linear(*weight.shape[::-1], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.float().contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.float().contiguous(), requires_grad=False)
    return layer


def rotary_table(position_embeddings, collapse):
    """cos and sin [B, T, m] of every C-th frequency, for halves."""
    tables = []
    for table in position_embeddings:
        kept = table[..., : table.shape[-1] // 2 : collapse]
        tables.append(torch.cat([kept, kept], dim=-1))
    return tables


def rotate(x, cos, sin):
    """RoPE of x [..., m]; pair n is (n, n + m/2)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class PartialRope(nn.Module):
    """One merged key of G*d dims for all heads, RoPE on its first m dims only."""

    def __init__(self, original, basis, rotary_dim):
        """basis: P [G*d, G*d], float64, as rorope_basis() gives it."""
        super().__init__()
        config = original.config
        self.heads = config.num_attention_heads
        self.groups = config.num_key_value_heads
        self.head_dim = original.head_dim
        self.rotary_dim = rotary_dim
        self.collapse = self.head_dim // rotary_dim
        self.scale = self.head_dim**-0.5
        self.basis = basis
        self.q_proj = original.q_proj
        self.v_proj = original.v_proj
        self.o_proj = original.o_proj
        key = original.k_proj
        bias = None if key.bias is None else basis @ key.bias.double()
        self.k_proj = linear(basis @ key.weight.double(), bias)
        self.k_up = self.key_up().float().contiguous()

    def key_up(self):
        """What takes a query head to the merged key's basis, [H, d, G*d], float64."""
        blocks = self.basis.T.reshape(self.groups, self.head_dim, -1)
        return blocks.repeat_interleave(self.heads // self.groups, dim=0)

    def forward(self, hidden_states, position_embeddings=None, **_):
        batch, tokens, _ = hidden_states.shape
        m = self.rotary_dim
        cos, sin = rotary_table(position_embeddings, self.collapse)
        q = self.q_proj(hidden_states).view(batch, tokens, self.heads, self.head_dim)
        q = torch.einsum("bthd,hdn->bhtn", q, self.k_up)
        # einsum's result is nobody else's; the key is, since hooks keep it.
        q[..., :m] = rotate(q[..., :m], cos[:, None], sin[:, None])
        k = self.k_proj(hidden_states)
        k = torch.cat([rotate(k[..., :m], cos, sin), k[..., m:]], dim=-1)
        v = self.v_proj(hidden_states)
        mixed = F.scaled_dot_product_attention(
            q,
            k[:, None],
            v[:, None],
            is_causal=True,
            scale=self.scale,
            enable_gqa=True,
        )
        # v_up: each head takes the d dims of its own key-value head.
        mixed = mixed.transpose(1, 2).reshape(
            batch, tokens, self.groups, -1, self.groups, self.head_dim
        )
        own = torch.stack([mixed[:, :, g, :, g] for g in range(self.groups)], dim=2)
        return self.o_proj(own.view(batch, tokens, -1)), None


class Latent(nn.Module):
    """Multi-head latent attention without absorption, as it is evaluated."""

    def __init__(self, partial, directions, ratio):
        """
        directions: R [2*G*d - m, r], float64; ratio: BKV's divisor of the keys.
        """
        super().__init__()
        self.heads = partial.heads
        self.head_dim = partial.head_dim
        self.rotary_dim = partial.rotary_dim
        self.collapse = partial.collapse
        self.rank = directions.shape[1]
        self.o_proj = partial.o_proj
        d, m, heads = self.head_dim, self.rotary_dim, self.heads
        width = partial.basis.shape[0]
        self.scale = (d + m) ** -0.5
        gain = ((d + m) / d) ** 0.5

        key, value, query = partial.k_proj, partial.v_proj, partial.q_proj
        joint = torch.cat([key.weight[m:].double() / ratio, value.weight.double()])
        down = torch.cat([directions.T @ joint, key.weight[:m].double()])
        bias = None
        if key.bias is not None:
            joint = torch.cat([key.bias[m:].double() / ratio, value.bias.double()])
            bias = torch.cat([directions.T @ joint, key.bias[:m].double()])
        self.kv_a_proj_with_mqa = linear(down, bias)

        of_keys, of_values = directions[: width - m], directions[width - m :]
        k_up = partial.key_up()
        per_group = heads // partial.groups
        up = []
        for head in range(heads):
            group = head // per_group
            up.append(k_up[head][:, m:] @ (of_keys * ratio))
            up.append(of_values[group * d : (group + 1) * d])
        self.kv_b_proj = linear(torch.cat(up), None)

        weight = query.weight.double().view(heads, d, -1)
        rotary = k_up[:, :, :m].transpose(1, 2)
        bias = None
        if query.bias is not None:
            per_head = query.bias.double().view(heads, d, 1)
            bias = gain * torch.cat([per_head, rotary @ per_head], dim=1).flatten()
        both = torch.cat([weight, rotary @ weight], dim=1)
        self.q_proj = linear(gain * both.reshape(heads * (d + m), -1), bias)

    def forward(self, hidden_states, position_embeddings=None, **_):
        batch, tokens, _ = hidden_states.shape
        d, m, heads = self.head_dim, self.rotary_dim, self.heads
        cos, sin = rotary_table(position_embeddings, self.collapse)
        compressed = self.kv_a_proj_with_mqa(hidden_states)
        latent, k_rotary = compressed.split([self.rank, m], dim=-1)
        k_rotary = rotate(k_rotary, cos, sin)[:, None]
        up = self.kv_b_proj(latent).view(batch, tokens, heads, 2 * d).transpose(1, 2)
        k, v = up.split(d, dim=-1)
        k = torch.cat([k, k_rotary.expand(-1, heads, -1, -1)], dim=-1)
        q = self.q_proj(hidden_states).view(batch, tokens, heads, d + m)
        q = q.transpose(1, 2)
        q = torch.cat(
            [q[..., :d], rotate(q[..., d:], cos[:, None], sin[:, None])], dim=-1
        )
        mixed = F.scaled_dot_product_attention(
            q, k, F.pad(v, (0, m)), is_causal=True, scale=self.scale
        )
        mixed = mixed[..., :d].transpose(1, 2).reshape(batch, tokens, heads * d)
        return self.o_proj(mixed), None
