"""Absorbed MLA decoding as one fused kernel in Triton, split over the tokens.

Stage 1: a program takes a block of heads of one sequence and one split of its
tokens. All heads share the latents, so a tile of them is read once for the block,
as keys and as values; softmax runs online, in base 2. Stage 2 joins the splits.
"""

import torch
import triton
import triton.language as tl

# Heads and tokens of a tile, warps, pipeline stages; the fastest is taken.
TILES = (
    (16, 32, 4, 2),
    (16, 64, 4, 2),
    (32, 32, 4, 2),
    (32, 32, 8, 2),
    (32, 64, 8, 2),
    (64, 32, 8, 2),
    (64, 64, 8, 1),
    (64, 64, 8, 2),
)

# Programs that a split count aims at, per multiprocessor.
WAVES = (1, 2, 4)

MAX_SPLITS = 128


@triton.jit
def _attend(
    queries,
    cache,
    parts,
    sums,
    out,
    sequence_stride,
    tokens,
    split_tokens,
    splits,
    HEADS: tl.constexpr,
    RANK: tl.constexpr,
    ROTARY: tl.constexpr,
    BLOCK_HEADS: tl.constexpr,
    BLOCK_TOKENS: tl.constexpr,
    SINGLE: tl.constexpr,
):
    WIDTH: tl.constexpr = RANK + ROTARY
    sequence = tl.program_id(0)
    head = tl.program_id(1) * BLOCK_HEADS + tl.arange(0, BLOCK_HEADS)
    split = tl.program_id(2)
    is_head = head < HEADS
    rotary = tl.arange(0, ROTARY)
    latent = tl.arange(0, RANK)
    row = sequence * HEADS + head
    query = queries + row[:, None] * WIDTH
    q_rotary = tl.load(query + rotary[None, :], mask=is_head[:, None], other=0.0)
    q_latent = tl.load(
        query + ROTARY + latent[None, :], mask=is_head[:, None], other=0.0
    )
    base = cache + sequence.to(tl.int64) * sequence_stride
    first = split * split_tokens
    last = tl.minimum(first + split_tokens, tokens)
    highest = tl.full([BLOCK_HEADS], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_HEADS], tl.float32)
    mix = tl.zeros([BLOCK_HEADS, RANK], tl.float32)
    for start in range(first, last, BLOCK_TOKENS):
        token = start + tl.arange(0, BLOCK_TOKENS)
        is_token = token < last
        at = base + token[:, None] * WIDTH
        k_rotary = tl.load(at + rotary[None, :], mask=is_token[:, None], other=0.0)
        k_latent = tl.load(
            at + ROTARY + latent[None, :], mask=is_token[:, None], other=0.0
        )
        score = tl.dot(q_rotary, tl.trans(k_rotary))
        score = tl.dot(q_latent, tl.trans(k_latent), score) * 1.4426950408889634
        score = tl.where(is_token[None, :], score, float("-inf"))
        higher = tl.maximum(highest, tl.max(score, 1))
        fade = tl.exp2(highest - higher)
        weight = tl.exp2(score - higher[:, None])
        total = total * fade + tl.sum(weight, 1)
        mix = mix * fade[:, None]
        mix = tl.dot(weight.to(k_latent.dtype), k_latent, mix)
        highest = higher
    mix = mix / total[:, None]
    if SINGLE:
        place = out + row[:, None] * RANK + latent[None, :]
        tl.store(place, mix.to(out.dtype.element_ty), mask=is_head[:, None])
    else:
        part = row * splits + split
        place = parts + part[:, None].to(tl.int64) * RANK + latent[None, :]
        tl.store(place, mix, mask=is_head[:, None])
        tl.store(sums + part, highest + tl.log2(total), mask=is_head)


@triton.jit
def _join(
    parts,
    sums,
    out,
    splits,
    RANK: tl.constexpr,
    MOST_SPLITS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    split = tl.arange(0, MOST_SPLITS)
    is_split = split < splits
    part = row * splits + split
    size = tl.load(sums + part, mask=is_split, other=float("-inf"))
    share = tl.exp2(size - tl.max(size, 0))
    share = share / tl.sum(share, 0)
    place = parts + part[:, None].to(tl.int64) * RANK + column[None, :]
    mix = tl.load(place, mask=is_split[:, None], other=0.0)
    mix = tl.sum(mix * share[:, None], 0)
    tl.store(out + row * RANK + column, mix.to(out.dtype.element_ty))


class FusedMla:
    """One shape's kernel with one tile and split count."""

    def __init__(self, batch, heads, rank, rotary, tokens, dtype, tile, splits):
        self.tile = tile
        self.heads, self.rank, self.rotary = heads, rank, rotary
        self.tokens = tokens
        self.split_tokens = -(-tokens // splits)
        block = tile[1]
        self.split_tokens = -(-self.split_tokens // block) * block
        self.splits = -(-tokens // self.split_tokens)
        rows = batch * heads
        parts = rows * self.splits if self.splits > 1 else 1
        self.parts = torch.empty(parts, rank, device="cuda", dtype=torch.float32)
        self.sums = torch.empty(parts, device="cuda", dtype=torch.float32)
        self.out = torch.empty(batch, heads, rank, device="cuda", dtype=dtype)

    def __call__(self, queries, cache):
        """
        The mix of latents [B, H, r].

        queries [B, H, m + r], scale included; cache [B, T, m + r].
        """
        batch = queries.shape[0]
        block_heads, block_tokens, warps, stages = self.tile
        grid = (batch, -(-self.heads // block_heads), self.splits)
        _attend[grid](
            queries,
            cache,
            self.parts,
            self.sums,
            self.out,
            cache.stride(0),
            self.tokens,
            self.split_tokens,
            self.splits,
            HEADS=self.heads,
            RANK=self.rank,
            ROTARY=self.rotary,
            BLOCK_HEADS=block_heads,
            BLOCK_TOKENS=block_tokens,
            SINGLE=self.splits == 1,
            num_warps=warps,
            num_stages=stages,
        )
        if self.splits > 1:
            columns = min(self.rank, 64)
            _join[(batch * self.heads, self.rank // columns)](
                self.parts,
                self.sums,
                self.out,
                self.splits,
                RANK=self.rank,
                MOST_SPLITS=max(2, triton.next_power_of_2(self.splits)),
                COLUMNS=columns,
                num_warps=4,
            )
        return self.out

    def describe(self):
        return "tile {}x{} warps {} stages {} splits {}".format(
            *self.tile, self.splits
        )


def split_counts(batch, heads, tokens, tile):
    """Split counts worth trying."""
    processors = torch.cuda.get_device_properties(0).multi_processor_count
    blocks = batch * -(-heads // tile[0])
    most = min(MAX_SPLITS, -(-tokens // tile[1]))
    return sorted(
        {max(1, min(most, round(processors * wave / blocks))) for wave in WAVES}
    )
