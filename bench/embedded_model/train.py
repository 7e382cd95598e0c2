"""Trains the embedded model: one run is one seed, on a CPU or a GPU.

    deno run -A bench/embedded_model/write_texts.ts TEXTS
    python3 bench/embedded_model/train.py --texts TEXTS --out OUT/1 --seed 1 [--set dropout=0.2]

It needs torch >= 2.9 (Muon), safetensors and tokenizers. OUT/1 is what
transformers and this suite open, with training.json beside it. Of seeds 1 to
3 the repository keeps the one of the lowest held-out perplexity, in
src/checkpoint/embedded/; a GPU takes minutes, a CPU hours.
"""

import argparse
import dataclasses
import hashlib
import json
import math
import platform
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from llama import MAX_POSITIONS, Llama, Shape, config_json, rotary

CONTEXT = 1024
# A part of the batches: positions that a longer context reaches are trained too.
LONG_CONTEXT = MAX_POSITIONS
LONG_EVERY = 4
FIRST_WINDOWS = 4


@dataclasses.dataclass(frozen=True)
class Settings:
    vocab: int = 3072
    hidden: int = 256
    layers: int = 4
    intermediate: int = 512
    dropout: float = 0.2
    attention_dropout: float = 0.1
    optimizer: str = "muon"
    learning_rate: float = 4e-3
    weight_decay: float = 0.5
    epochs: float = 24.0
    batch_tokens: int = 16384
    warmup: float = 0.03
    # Evaluations without a better one after which the training stops.
    patience: int = 5

    @property
    def shape(self) -> Shape:
        return Shape(self.vocab, self.hidden, self.layers, self.intermediate)


def read_documents(texts: Path, part: str) -> list[str]:
    with open(texts / f"{part}.jsonl", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def train_tokenizer(documents: list[str], vocab: int) -> Tokenizer:
    """Byte-level BPE: every text can be encoded, and no token is special."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


class Stream:
    """The training documents as one stream, their order drawn anew each epoch."""

    def __init__(self, documents: list[torch.Tensor], generator: torch.Generator):
        self.documents = documents
        self.generator = generator
        self.tokens = torch.cat(documents)
        self.at = len(self.tokens)

    def next(self, count: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets, each [count, length]."""
        size = count * length
        if self.at + size + 1 > len(self.tokens):
            order = torch.randperm(len(self.documents), generator=self.generator)
            self.tokens = torch.cat([self.documents[i] for i in order])
            # Windows begin elsewhere in each epoch.
            self.at = int(torch.randint(length, (1,), generator=self.generator))
        window = self.tokens[self.at : self.at + size + 1]
        self.at += size
        return window[:-1].view(count, length), window[1:].view(count, length)


def optimizers_of(model: Llama, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices where asked for, AdamW for all else."""
    rate, decay = settings.learning_rate, settings.weight_decay
    matrices = [p for p in model.model.layers.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() < 2]
    embedding = [model.model.embed_tokens.weight]
    groups = [
        {"params": embedding, "weight_decay": decay},
        {"params": norms, "weight_decay": 0.0},
    ]
    fused = embedding[0].is_cuda
    if settings.optimizer == "adamw":
        groups.append({"params": matrices, "weight_decay": decay})
        return [torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=fused)]
    if settings.optimizer != "muon":
        raise ValueError(f"optimizer must be muon or adamw: current value is {settings.optimizer}")
    return [
        torch.optim.Muon(
            matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=fused),
    ]


def rate_at(step: int, steps: int, warmup: float) -> float:
    """Factor of the learning rate: linear warm-up, then a cosine to nothing."""
    begin = max(1, round(steps * warmup))
    if step < begin:
        return (step + 1) / begin
    return 0.5 * (1 + math.cos(math.pi * (step - begin) / max(1, steps - begin)))


@torch.no_grad()
def mean_nll(model: Llama, ids: torch.Tensor, rope, length: int = CONTEXT) -> tuple[float, int]:
    """Mean NLL over windows that do not overlap, and how many tokens it is of.

    A window's first token is context only, as in the suite's perplexity.
    """
    model.eval()
    windows = ids[: len(ids) // length * length].view(-1, length)
    total, count = 0.0, 0
    for batch in windows.split(16):
        logits = model(batch, *rope)[:, :-1].float()
        losses = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="none")
        total += losses.double().sum().item()
        count += losses.numel()
    model.train()
    return total / count, count


def first_windows(model: Llama, ids: torch.Tensor, rope, length: int) -> dict:
    """Of a few windows only, for a test of the suite that may not take long."""
    nll, tokens = mean_nll(model, ids[: FIRST_WINDOWS * length], rope, length)
    return {"windows": FIRST_WINDOWS, "nll": nll, "tokens": tokens}


def figures(nll: float, tokens: int, ids: torch.Tensor, text: str) -> dict:
    bytes_per_token = len(text.encode()) / len(ids)
    return {
        "perplexity": math.exp(nll),
        "nll": nll,
        "bitsPerByte": nll / math.log(2) / bytes_per_token,
        "tokens": tokens,
    }


def train(texts: Path, out: Path, seed: int, settings: Settings, device: torch.device, max_steps: int | None, measure_test: bool) -> dict:
    started = time.monotonic()
    torch.manual_seed(seed)
    documents = read_documents(texts, "training")
    tokenizer = train_tokenizer(documents, settings.vocab)
    encode = lambda text: torch.tensor(tokenizer.encode(text).ids, device=device)
    newline = encode("\n")
    # As the suite joins rows of a text: two line ends, each a token here.
    stream = Stream(
        [torch.cat((encode(text), newline, newline)) for text in documents],
        torch.Generator().manual_seed(seed),
    )
    parts = {part: "\n\n".join(read_documents(texts, part)) for part in ("held-out", "test")}
    ids = {part: encode(text) for part, text in parts.items()}
    rope = rotary(device)
    model = Llama(settings.shape, settings.dropout, settings.attention_dropout).to(device)
    optimizers = optimizers_of(model, settings)
    per_epoch = len(stream.tokens) / settings.batch_tokens
    steps = round(settings.epochs * per_epoch)
    autocast = lambda: torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
    curve, best, waited, seen = [], None, 0, 0
    recent = torch.zeros((), device=device)
    since = 0
    evaluate_every = max(1, round(per_epoch))
    for step in range(steps if max_steps is None else min(steps, max_steps)):
        length = LONG_CONTEXT if step % LONG_EVERY == LONG_EVERY - 1 else CONTEXT
        inputs, targets = stream.next(settings.batch_tokens // length, length)
        factor = rate_at(step, steps, settings.warmup)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * factor
        with autocast():
            logits = model(inputs, *rope)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        recent += loss.detach()
        since += 1
        seen += targets.numel()
        is_last = step + 1 == steps or step + 1 == max_steps
        if not is_last and (step + 1) % evaluate_every != 0:
            continue
        with autocast():
            nll, _ = mean_nll(model, ids["held-out"], rope)
        curve.append({"step": step + 1, "trainLoss": recent.item() / since, "heldOutLoss": nll})
        print(f"seed {seed} step {step + 1}/{steps} train {curve[-1]['trainLoss']:.4f} held-out {nll:.4f}", flush=True)
        recent.zero_()
        since = 0
        if best is None or nll < best[0]:
            best = (nll, step + 1, {k: v.half().cpu().clone() for k, v in model.state_dict().items()})
            waited = 0
        elif (waited := waited + 1) >= settings.patience:
            break
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.monotonic() - started

    # The figures are of what is written: the weights as F16, computed in f32.
    torch.set_float32_matmul_precision("highest")
    weights = best[2]
    model.load_state_dict({k: v.float() for k, v in weights.items()})
    held_out = figures(*mean_nll(model, ids["held-out"], rope), ids["held-out"], parts["held-out"])
    test = {
        str(length): {
            **figures(*mean_nll(model, ids["test"], rope, length), ids["test"], parts["test"]),
            "first": first_windows(model, ids["test"], rope, length),
        }
        for length in (CONTEXT // 2, CONTEXT, LONG_CONTEXT)
        if measure_test
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in weights.items()}, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config_json(settings.shape), indent=2) + "\n")
    (out / "tokenizer.json").write_text(compact_tokenizer(tokenizer), encoding="utf-8")
    names = ("config.json", "model.safetensors", "tokenizer.json")
    result = {
        "seed": seed,
        "settings": dataclasses.asdict(settings),
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": sum((out / name).stat().st_size for name in names),
        "sha256": {name: sha256(out / name) for name in names},
        "trainingTokens": sum(len(d) for d in stream.documents),
        "tokensSeen": seen,
        "bestStep": best[1],
        "heldOut": held_out,
        "test": test,
        "seconds": round(seconds, 1),
        "machine": machine(device),
        "torch": torch.__version__,
        "textSha256": {part: sha256(texts / f"{part}.jsonl") for part in ("training", "held-out", "test")},
        "curve": curve,
    }
    (out / "training.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def compact_tokenizer(tokenizer: Tokenizer) -> str:
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def settings_of(assignments: list[str]) -> Settings:
    kinds = {field.name: field.type for field in dataclasses.fields(Settings)}
    values = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name not in kinds:
            raise SystemExit(f"Cannot set {name}; allowed: {', '.join(kinds)}")
        values[name] = {"int": int, "float": float, "str": str}.get(kinds[name], kinds[name])(value)
    return Settings(**values)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="folder of write_texts.ts")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, repeatable")
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--no-test", action="store_true", help="without figures on the test part")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    result = train(
        options.texts, options.out, options.seed, settings_of(options.set),
        torch.device(options.device), options.steps, not options.no_test,
    )
    print(json.dumps({k: v for k, v in result.items() if k != "curve"}, indent=1))
