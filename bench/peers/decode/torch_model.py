"""A decoder's decode step in eager PyTorch, with random weights of given shapes.

Letters: B sequences, T tokens in the cache, L layers, D hidden size, H query heads,
G key-value heads, d head width, r rank of the latents, m rotary width, I width of
the MLP. Projections that read the same input are one matrix.
"""

import torch
import torch.nn.functional as F


class Shape:
    """Sizes of a model: its configuration, and those of MLA where kind is "mla"."""

    def __init__(self, kind, config, mla):
        self.kind = kind
        self.layers = config["numHiddenLayers"]
        self.hidden = config["hiddenSize"]
        self.intermediate = config["intermediateSize"]
        self.vocab = config["vocabSize"]
        self.heads = config["numAttentionHeads"]
        self.groups = config["numKeyValueHeads"]
        self.width = config["headDim"]
        self.eps = config["rmsNormEps"]
        self.theta = config["ropeTheta"]
        self.bias = config["attentionBias"]
        self.tied = config["tieWordEmbeddings"]
        self.rank = mla["kvLoraRank"]
        self.rotary = mla["qkRopeHeadDim"] if kind == "mla" else self.width

    @property
    def projected(self):
        """Rows of the projection: what is rotated lies together."""
        if self.kind == "mla":
            own = self.heads * (self.width + self.rotary)
            return own + self.rotary + self.rank
        return (self.heads + 2 * self.groups) * self.width


class Weights:
    """Random weights, uniform in variance: activations keep their size over layers."""

    def __init__(self, shape, device, dtype):
        self.shape = shape
        self.generator = torch.Generator(device).manual_seed(1)
        self.device, self.dtype = device, dtype
        hidden, width = shape.hidden, shape.width
        heads = shape.heads
        self.embed = self.matrix(shape.vocab, hidden, 1.0)
        self.head = self.embed if shape.tied else self.matrix(shape.vocab, hidden)
        self.norm = self.ones(hidden)
        self.layers = []
        for _ in range(shape.layers):
            layer = {
                "norm1": self.ones(hidden),
                "norm2": self.ones(hidden),
                "project": self.matrix(shape.projected, hidden),
                "bias": self.zeros(shape.projected) if shape.bias else None,
                "output": self.matrix(hidden, heads * width),
                "gate_up": self.matrix(2 * shape.intermediate, hidden),
                "down": self.matrix(hidden, shape.intermediate),
            }
            if shape.kind == "mla":
                # The softmax's scale is part of the queries.
                queries = heads * (width + shape.rotary)
                layer["project"][:queries] *= (width + shape.rotary) ** -0.5
                layer["key_up"] = self.random((heads, width, shape.rank), width**-0.5)
                layer["value_up"] = self.random(
                    (heads, shape.rank, width), shape.rank**-0.5
                )
            self.layers.append(layer)

    def random(self, size, scale):
        made = torch.empty(size, device=self.device, dtype=self.dtype)
        return made.normal_(0, scale, generator=self.generator)

    def matrix(self, rows, columns, scale=None):
        return self.random((rows, columns), columns**-0.5 if scale is None else scale)

    def ones(self, size):
        return torch.ones(size, device=self.device, dtype=self.dtype)

    def zeros(self, size):
        return torch.zeros(size, device=self.device, dtype=self.dtype)

    def bytes(self):
        """Of all weights, tied ones once."""
        kept = {id(self.embed): self.embed, id(self.head): self.head}
        for layer in self.layers:
            kept.update({id(w): w for w in layer.values() if w is not None})
        return sum(w.numel() * w.element_size() for w in kept.values())


class Step:
    """One decode step of B sequences with T tokens each, the newest included."""

    def __init__(self, weights, batch, tokens):
        self.weights, self.shape = weights, weights.shape
        self.batch, self.tokens = batch, tokens
        shape, device, dtype = self.shape, weights.device, weights.dtype
        # A number of the latents or keys is about as large as a projection's.
        if shape.kind == "mla":
            size = (shape.layers, batch, tokens, shape.rotary + shape.rank)
        else:
            size = (shape.layers, 2, batch, shape.groups, tokens, shape.width)
        self.cache = torch.empty(size, device=device, dtype=dtype)
        for layer in self.cache:
            layer.normal_(generator=weights.generator)
        self.ids = torch.zeros(batch, device=device, dtype=torch.long)
        self.cos, self.sin = rotation(shape, tokens - 1, device, dtype)
        # Residual sums by the product's own accumulation, or by an addition.
        self.accumulate = True

    def run(self, attend):
        """Feeds ids and leaves the most likely next ones there."""
        weights, shape = self.weights, self.shape
        size = (shape.hidden,)
        x = F.embedding(self.ids, weights.embed)
        for index, layer in enumerate(weights.layers):
            y = F.rms_norm(x, size, layer["norm1"], shape.eps)
            y = F.linear(y, layer["project"], layer["bias"])
            mixed = self.attention(index, layer, y, attend)
            x = self.add(x, mixed, layer["output"])
            y = F.rms_norm(x, size, layer["norm2"], shape.eps)
            gate, up = F.linear(y, layer["gate_up"]).chunk(2, dim=-1)
            x = self.add(x, F.silu(gate).mul_(up), layer["down"])
        logits = F.linear(F.rms_norm(x, size, weights.norm, shape.eps), weights.head)
        self.ids.copy_(logits.argmax(-1))
        return logits

    def add(self, x, y, weight):
        if self.accumulate:
            return x.addmm_(y, weight.t())
        return x.add_(F.linear(y, weight))

    def rotate(self, rows):
        """Rotates rows [B, N, width] where they lie."""
        swapped = rows.roll(self.shape.rotary // 2, -1)
        torch.addcmul(rows * self.cos, swapped, self.sin, out=rows)

    def attention(self, index, layer, y, attend):
        if self.shape.kind == "mla":
            return self.latent_attention(index, layer, y, attend)
        shape = self.shape
        heads, groups, width = shape.heads, shape.groups, shape.width
        y = y.view(self.batch, heads + 2 * groups, width)
        self.rotate(y[:, : heads + groups])
        fresh = y[:, heads:].view(self.batch, 2, groups, width)
        cache = self.cache[index]
        cache[:, :, :, -1].copy_(fresh.transpose(0, 1))
        return attend(y[:, :heads], cache).reshape(self.batch, heads * width)

    def latent_attention(self, index, layer, y, attend):
        """Rows of y: nope parts of all heads, rotary parts, the key's rotary part, the latent."""
        queries = self.queries(layer, y)
        cache = self.cache[index]
        shape = self.shape
        cache[:, -1].copy_(y[:, -(shape.rotary + shape.rank) :])
        mixed = attend(queries, cache)
        values = y.new_empty(self.batch, shape.heads, shape.width)
        torch.bmm(mixed.transpose(0, 1), layer["value_up"], out=values.transpose(0, 1))
        return values.view(self.batch, -1)

    def queries(self, layer, y):
        """[B, H, m + r]: rotated parts, and nope parts through the keys' up-projections."""
        shape = self.shape
        heads, width, rotary = shape.heads, shape.width, shape.rotary
        nope = y[:, : heads * width].view(self.batch, heads, width)
        rotated = y[:, heads * width : -shape.rank]
        rotated = rotated.view(self.batch, heads + 1, rotary)
        self.rotate(rotated)
        queries = y.new_empty(self.batch, heads, rotary + shape.rank)
        queries[:, :, :rotary].copy_(rotated[:, :heads])
        absorbed = queries[:, :, rotary:].transpose(0, 1)
        torch.bmm(nope.transpose(0, 1), layer["key_up"], out=absorbed)
        return queries


def rotation(shape, position, device, dtype):
    """cos and sin [width] of a position; the sine of the first half is negative."""
    half = shape.rotary // 2
    frequencies = shape.theta ** -(torch.arange(half, dtype=torch.float64) / half)
    angle = position * frequencies
    cos, sin = angle.cos(), angle.sin()
    both = torch.cat([cos, cos]), torch.cat([-sin, sin])
    return tuple(part.to(device, dtype) for part in both)
