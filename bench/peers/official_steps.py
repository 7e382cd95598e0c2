"""The official conversion's steps (arXiv 2502.07864 section 4), from activations that
hooks have kept. Grams and eigenvectors in float64.

Letters: N tokens, G key-value heads, d head width, m rotary width, F freqFold,
C = d / m collapse, A = F / C, I = d / (2F) groups of frequencies.
"""

import torch

from official_attention import Latent, PartialRope

# Of the mean of a Gram matrix's diagonal, added to the diagonal.
DAMPING = 0.01


def descending_eigenvectors(gram):
    """Eigenvectors of gram [n, n] in columns, largest eigenvalue first."""
    damped = gram + DAMPING * gram.diagonal().mean() * torch.eye(len(gram)).double()
    return torch.linalg.eigh(damped).eigenvectors.flip(-1)


def rorope_basis(keys, groups, head_dim, freq_fold, rotary_dim):
    """
    P [G*d, G*d] of all keys [N, G*d], float64.

    Slot s of frequency group i is (c, head, a) row-major over (C, G, A): dims
    head*d + i*F + a*C + c, imaginary part d/2 further. Component p is (c, h, a)
    likewise and goes to rows (c, h, i, a, re or im) row-major, but that the m
    rotary rows have all real parts first, as transformers' RoPE wants them: no
    score depends on their order.
    """
    collapse = head_dim // rotary_dim
    steps = freq_fold // collapse
    count = head_dim // (2 * freq_fold)
    width = groups * head_dim
    gram = keys.T @ keys
    i, c, h, a = torch.meshgrid(
        torch.arange(count),
        torch.arange(collapse),
        torch.arange(groups),
        torch.arange(steps),
        indexing="ij",
    )
    real = (h * head_dim + i * freq_fold + a * collapse + c).reshape(count, -1)
    pair = (((c * groups + h) * count + i) * steps + a).reshape(count, -1)
    half = rotary_dim // 2
    real_row = torch.where(pair < half, pair, 2 * pair)
    imaginary_row = torch.where(pair < half, pair + half, 2 * pair + 1)
    basis = torch.zeros(width, width, dtype=torch.float64)
    for group in range(count):
        re = real[group]
        im = re + head_dim // 2
        vectors = descending_eigenvectors(
            gram[re[:, None], re] + gram[im[:, None], im]
        )
        basis[real_row[group][:, None], re] = vectors.T
        basis[imaginary_row[group][:, None], im] = vectors.T
    return basis


def mean_channel_norm(x):
    return x.norm(dim=0).mean().item()


def balance_ratio(keys, values, rotary_dim):
    """BKV's divisor. The values lose their first m channels as well: a quirk that is kept."""
    nope = mean_channel_norm(keys[:, rotary_dim:])
    return nope / mean_channel_norm(values[:, rotary_dim:])


def joint_directions(keys, values, rotary_dim, ratio, rank):
    """R [2*G*d - m, r]: the PCA of balanced nope keys and values, uncentered."""
    joint = torch.cat([keys[:, rotary_dim:] / ratio, values], dim=1)
    return descending_eigenvectors(joint.T @ joint)[:, :rank].contiguous()


def to_partial_rope(attentions, activations, variant, rotary_dim):
    """One PartialRope for each original attention."""
    made = []
    for original, kept in zip(attentions, activations, strict=True):
        basis = rorope_basis(
            kept.joined("k_proj"),
            original.config.num_key_value_heads,
            original.head_dim,
            variant["freqFold"],
            rotary_dim,
        )
        made.append(PartialRope(original, basis, rotary_dim))
    return made


def to_latent(partials, activations, variant):
    """One Latent for each partial-RoPE attention."""
    made = []
    for partial, kept in zip(partials, activations, strict=True):
        keys, values = kept.joined("k_proj"), kept.joined("v_proj")
        m = partial.rotary_dim
        ratio = balance_ratio(keys, values, m) if variant["balanceKv"] else 1.0
        directions = joint_directions(keys, values, m, ratio, variant["kvLoraRank"])
        made.append(Latent(partial, directions, ratio))
    return made
