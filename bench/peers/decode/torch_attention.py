"""Forms of one token's attention over a static cache, in PyTorch.

The original's forms take queries [B, H, d] and a cache [2, B, G, T, d]; those of
absorbed MLA take queries [B, H, m + r], scale included, and a cache [B, T, m + r].
"""

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel


def grouped(queries, cache):
    """Heads that share keys are rows of one query: [B, G, H/G, d]."""
    batch, _, width = queries.shape
    return queries.reshape(batch, cache.shape[2], -1, width)


def sdpa(backend, enable_gqa=False):
    def attend(queries, cache):
        keys, values = cache[0], cache[1]
        rows = queries.unsqueeze(2) if enable_gqa else grouped(queries, cache)
        with sdpa_kernel(backend):
            out = F.scaled_dot_product_attention(
                rows, keys, values, enable_gqa=enable_gqa
            )
        return out.reshape(queries.shape)

    return attend


def matmuls(queries, cache):
    """Two batched products and a softmax."""
    batch, groups, tokens, width = cache.shape[1:]
    rows = grouped(queries, cache).flatten(0, 1)
    keys, values = cache[0].flatten(0, 1), cache[1].flatten(0, 1)
    scores = rows.new_empty(batch * groups, rows.shape[1], tokens)
    torch.baddbmm(
        scores, rows, keys.transpose(1, 2), beta=0, alpha=width**-0.5, out=scores
    )
    return torch.bmm(scores.softmax(-1), values).view(queries.shape)


def latent_matmuls(rotary):
    """Absorbed MLA as two batched products and a softmax."""

    def attend(queries, cache):
        scores = torch.bmm(queries, cache.transpose(1, 2))
        return torch.bmm(scores.softmax(-1), cache[:, :, rotary:])

    return attend


def original_forms(shape, device):
    """Forms of the original's attention by name."""
    if device == "cpu":
        forms = {"sdpa": sdpa(SDPBackend.MATH)}
    else:
        forms = {
            "sdpa flash": sdpa(SDPBackend.FLASH_ATTENTION),
            "sdpa cudnn": sdpa(SDPBackend.CUDNN_ATTENTION),
        }
        if shape.groups < shape.heads:
            backend = SDPBackend.FLASH_ATTENTION
            forms["sdpa flash enable_gqa"] = sdpa(backend, enable_gqa=True)
    # With one query a key these would be products of a matrix and a vector.
    if shape.groups < shape.heads or device == "cpu":
        forms["two matmuls"] = matmuls
    return forms


def latent_forms(step, fastest):
    """
    Forms of absorbed MLA by name; each value makes its form, and may fail.

    fastest takes candidates, and gives the one that attends over all layers in the
    least time.
    """
    return {
        "two matmuls": lambda: latent_matmuls(step.shape.rotary),
        "triton": lambda: fused(step, fastest),
    }


def fused(step, fastest):
    import triton_mla

    shape = step.shape
    candidates = [
        triton_mla.FusedMla(
            step.batch,
            shape.heads,
            shape.rank,
            shape.rotary,
            step.tokens,
            step.cache.dtype,
            tile,
            splits,
        )
        for tile in triton_mla.TILES
        for splits in triton_mla.split_counts(
            step.batch, shape.heads, step.tokens, tile
        )
    ]
    return fastest(candidates)


def exact(shape, queries, cache):
    """The same attention of the last sequence in float64."""
    if shape.kind == "mla":
        rows, keys = queries[-1].double(), cache[-1].double()
        return (rows @ keys.T).softmax(-1) @ keys[:, shape.rotary :]
    rows = grouped(queries[-1:], cache)[0].double()
    keys, values = cache[0, -1].double(), cache[1, -1].double()
    scores = rows @ keys.transpose(1, 2) * shape.width**-0.5
    return (scores.softmax(-1) @ values).reshape(shape.heads, shape.width)


def relative_error(shape, attend, queries, cache):
    """Of a form against exact(), the last sequence, whose offsets are the largest."""
    found = attend(queries, cache)[-1].double()
    expected = exact(shape, queries, cache)
    return ((found - expected).norm() / expected.norm()).item()
