"""The embedded model: a Llama with grouped-query attention and dropout.

Parameters have the names of Hugging Face's LlamaForCausalLM, so that
state_dict() is what model.safetensors holds.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

# The heads of the paper's worked example.
HEADS = 8
KV_HEADS = 4
HEAD_DIM = 64
ROPE_THETA = 10000.0
NORM_EPS = 1e-5
MAX_POSITIONS = 2048


@dataclass(frozen=True)
class Shape:
    """Sizes that a training may choose."""

    vocab: int
    hidden: int
    layers: int
    intermediate: int


def config_json(shape: Shape) -> dict:
    """The content of config.json."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "max_position_embeddings": MAX_POSITIONS,
        "rms_norm_eps": NORM_EPS,
        "rope_theta": ROPE_THETA,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "torch_dtype": "float16",
    }


def rotary(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines, each [MAX_POSITIONS, HEAD_DIM], halves alike."""
    exponents = torch.arange(0, HEAD_DIM, 2, device=device).float() / HEAD_DIM
    positions = torch.arange(MAX_POSITIONS, device=device).float()
    angles = torch.outer(positions, ROPE_THETA**-exponents).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns dimension i with i + HEAD_DIM / 2; x is [B, heads, T, HEAD_DIM]."""
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    # In f32 also under autocast: bfloat16 positions would be those of no stock model.
    return (x * cos + turned * sin).to(x.dtype)


class RmsNorm(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, NORM_EPS)


def linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


class Attention(nn.Module):
    def __init__(self, hidden: int, dropout: float):
        super().__init__()
        self.q_proj = linear(hidden, HEADS * HEAD_DIM)
        self.k_proj = linear(hidden, KV_HEADS * HEAD_DIM)
        self.v_proj = linear(hidden, KV_HEADS * HEAD_DIM)
        self.o_proj = linear(HEADS * HEAD_DIM, hidden)
        self.dropout = dropout

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        heads = lambda y: y.view(batch, length, -1, HEAD_DIM).transpose(1, 2)
        y = F.scaled_dot_product_attention(
            rotate(heads(self.q_proj(x)), cos, sin),
            rotate(heads(self.k_proj(x)), cos, sin),
            heads(self.v_proj(x)),
            is_causal=True,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=True,
        )
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))


class Mlp(nn.Module):
    def __init__(self, hidden: int, intermediate: int):
        super().__init__()
        self.gate_proj = linear(hidden, intermediate)
        self.up_proj = linear(hidden, intermediate)
        self.down_proj = linear(intermediate, hidden)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape: Shape, dropout: float, attention_dropout: float):
        super().__init__()
        self.input_layernorm = RmsNorm(shape.hidden)
        self.self_attn = Attention(shape.hidden, attention_dropout)
        self.post_attention_layernorm = RmsNorm(shape.hidden)
        self.mlp = Mlp(shape.hidden, shape.intermediate)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, cos, sin):
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), cos, sin))
        return x + self.dropout(self.mlp(self.post_attention_layernorm(x)))


class Decoder(nn.Module):
    def __init__(self, shape: Shape, dropout: float, attention_dropout: float):
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(
            Layer(shape, dropout, attention_dropout) for _ in range(shape.layers)
        )
        self.norm = RmsNorm(shape.hidden)
        self.dropout = nn.Dropout(dropout)


class Llama(nn.Module):
    """logits() of tokens [B, T]; the head is the embedding."""

    def __init__(self, shape: Shape, dropout: float = 0.0, attention_dropout: float = 0.0):
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape, dropout, attention_dropout)
        for name, weight in self.named_parameters():
            if weight.dim() < 2:
                continue
            # Those that add to the residual stream start smaller, as GPT-2's do.
            adds = name.endswith(("o_proj.weight", "down_proj.weight"))
            nn.init.normal_(weight, std=0.02 / (2 * shape.layers) ** 0.5 if adds else 0.02)

    def forward(self, tokens, cos, sin):
        length = tokens.shape[1]
        # The residual stream stays f32 under autocast.
        x = self.model.dropout(self.model.embed_tokens(tokens))
        cos, sin = cos[:length], sin[:length]
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)
