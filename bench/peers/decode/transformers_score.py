"""A text's perplexity by transformers, at several numbers of windows a pass.

python transformers_score.py JOB, where JOB is a file of JSON:
  model    a Hugging Face folder; nothing is downloaded
  windows  a file of token ids as JSON, windows of equal length
  device   "cuda" in float16, or "cpu" in float32, for tests
Lines of JSON come out.
"""

import json
import math
import os
import platform
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

BATCHES = (1, 4, 8, 16)

# Logits in float32 are made for so many positions at a time.
POSITIONS = 4096


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def losses(model, ids):
    """Sum of the next-token losses of windows [B, T], as a tensor."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    states = hidden[:, :-1].flatten(0, 1)
    targets = ids[:, 1:].flatten()
    total = torch.zeros((), device=ids.device, dtype=torch.float64)
    for first in range(0, len(targets), POSITIONS):
        part = slice(first, first + POSITIONS)
        logits = model.lm_head(states[part]).float()
        total += F.cross_entropy(logits, targets[part], reduction="sum").double()
    return total


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def score(model, ids, batch, device):
    """Tokens a second and the perplexity of windows [N, T]."""
    losses(model, ids[:batch])
    if len(ids) % batch:
        losses(model, ids[-(len(ids) % batch) :])
    synchronize(device)
    started = time.perf_counter()
    total = sum(losses(model, part) for part in ids.split(batch))
    synchronize(device)
    seconds = time.perf_counter() - started
    predicted = ids.shape[0] * (ids.shape[1] - 1)
    return {
        "batch": batch,
        "tokensPerSecond": ids.numel() / seconds,
        "perplexity": math.exp(total.item() / predicted),
    }


def run(job):
    import transformers

    device = job["device"]
    dtype = torch.float16 if device == "cuda" else torch.float32
    model = transformers.AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=dtype, attn_implementation="sdpa", local_files_only=True
    )
    model = model.to(device).eval()
    with open(job["windows"], encoding="utf-8") as file:
        ids = torch.tensor(json.load(file), dtype=torch.long, device=device)
    batches = [score(model, ids, size, device) for size in BATCHES if size <= len(ids)]
    emit(
        "score",
        windows=ids.shape[0],
        windowTokens=ids.shape[1],
        batches=batches,
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    )


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    try:
        with torch.inference_mode():
            run(job)
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        emit("workFailed", work="score", error=text)


if __name__ == "__main__":
    main()
