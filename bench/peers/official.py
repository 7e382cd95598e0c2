"""The official TransMLA procedure on transformers, as a peer to be timed beside.

    python official.py JOB.json

The job (bench/peers/job.ts writes it) names a Hugging Face folder, token ids and
what to do; the result is one JSON object on standard output. Needs torch,
transformers and safetensors, no network, no GPU.

The faster way is taken wherever results allow: fused attention without a mask,
the decoder without its head while calibrating, weights that stay loaded between
variants, each stage's activations freed before the next.
"""

import json
import os
import platform
import resource
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A torch built for GPUs must not open one.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
import torch.nn.functional as F
import transformers

from official_steps import to_latent, to_partial_rope

PROJECTIONS = ("q_proj", "k_proj", "v_proj")

# Sequences of a calibration batch, as the official code has them.
BATCH = 8

# Batches of the comparison with and without hooks.
RATE_BATCHES = 4


class Kept:
    """Everything that one layer's projections put out."""

    def __init__(self):
        self.parts = {name: [] for name in PROJECTIONS}

    def joined(self, name):
        """[N, width], float64."""
        return torch.cat(self.parts[name]).flatten(0, 1).double()


class Clock:
    """Wall and processor seconds since it was made."""

    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self):
        return {
            "seconds": time.perf_counter() - self.wall,
            "cpuSeconds": time.process_time() - self.cpu,
        }


def note(text):
    print(text, file=sys.stderr, flush=True)


def peak_bytes():
    """Highest resident size so far; Linux counts it in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def batches_of(ids):
    rows = torch.tensor(ids, dtype=torch.long)
    return [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]


def install(model, attentions):
    for layer, attention in zip(model.model.layers, attentions, strict=True):
        layer.self_attn = attention


def run_hooked(model, batches):
    """Runs the decoder and keeps what every q, k and v projection puts out."""
    kept = [Kept() for _ in model.model.layers]
    handles = []
    for layer, store in zip(model.model.layers, kept, strict=True):
        for name in PROJECTIONS:
            part = store.parts[name]
            handles.append(
                getattr(layer.self_attn, name).register_forward_hook(
                    lambda _module, _inputs, output, part=part: part.append(output)
                )
            )
    try:
        run_plain(model, batches)
    finally:
        for handle in handles:
            handle.remove()
    return kept


def run_plain(model, batches):
    """transformers' decoder alone, without its head."""
    for batch in batches:
        model.model(input_ids=batch, use_cache=False)


def tokens_of(batches):
    return sum(batch.numel() for batch in batches)


def compare_rates(model, batches):
    """Tokens a second without hooks and with, in turns over the same batches."""
    chosen = batches[:RATE_BATCHES]
    run_plain(model, chosen[:1])
    seconds = {"plain": 0.0, "hooked": 0.0}
    for batch in chosen:
        for name, run in (("plain", run_plain), ("hooked", run_hooked)):
            clock = Clock()
            run(model, [batch])
            seconds[name] += clock.read()["seconds"]
    tokens = tokens_of(chosen)
    return {
        "tokens": tokens,
        "plainTokensPerSecond": tokens / seconds["plain"],
        "hookedTokensPerSecond": tokens / seconds["hooked"],
    }


def window_nll(model, window):
    """Mean next-token NLL of one window."""
    ids = torch.tensor([window], dtype=torch.long)
    logits = model(input_ids=ids, use_cache=False).logits
    return F.cross_entropy(logits[0, :-1], ids[0, 1:]).item()


def score(model, windows, name):
    """NLL and wall seconds of each window; the first is run once before."""
    window_nll(model, windows[0])
    nll, seconds = [], []
    for i, window in enumerate(windows):
        clock = Clock()
        nll.append(window_nll(model, window))
        seconds.append(clock.read()["seconds"])
        note(f"transformers: {name}, window {i + 1} of {len(windows)}")
    return {"windowNll": nll, "windowSeconds": seconds}


def convert(model, originals, batches, variant, rotary_dim):
    """
    The whole procedure once. Returns both stages' attentions and what each step
    took; the model is left with its original attentions.
    """
    stages = {}
    install(model, originals)

    def timed(name, work):
        clock = Clock()
        result = work()
        stages[name] = clock.read()
        return result

    kept = timed("calibrateOriginal", lambda: run_hooked(model, batches))
    partials = timed(
        "partialRope", lambda: to_partial_rope(originals, kept, variant, rotary_dim)
    )
    del kept
    install(model, partials)
    kept = timed("calibratePartial", lambda: run_hooked(model, batches))
    latents = timed("loraQkv", lambda: to_latent(partials, kept, variant))
    install(model, originals)
    return partials, latents, stages


def convert_all(model, job, batches):
    """Every variant of this job, each from the start."""
    originals = [layer.self_attn for layer in model.model.layers]
    results, checks = [], []
    for number, variant in enumerate(job["variants"]):
        partials, latents, stages = convert(
            model, originals, batches, variant, job["qkRopeHeadDim"]
        )
        results.append({"variant": variant, "stages": stages})
        seconds = sum(stage["seconds"] for stage in stages.values())
        count = len(job["variants"])
        note(f"official: variant {number + 1} of {count}, {seconds:.1f} s")
        if variant == job.get("checked"):
            checks = [("partial-rope", partials), ("transmla", latents)]
        del partials, latents
    peak = peak_bytes()
    scores = {}
    for name, attentions in checks:
        install(model, attentions)
        scores[name] = score(model, job["windows"], name)
    return {"variants": results, "scores": scores, "peakRssBytes": peak}


def describe(model):
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "attention": model.config._attn_implementation,
        "threads": torch.get_num_threads(),
    }


def main(path):
    clock = Clock()
    with open(path, encoding="utf-8") as file:
        job = json.load(file)
    torch.set_num_threads(job["threads"])
    transformers.utils.logging.disable_progress_bar()
    with torch.inference_mode():
        model = transformers.AutoModelForCausalLM.from_pretrained(
            job["model"], dtype=torch.float32, attn_implementation="sdpa"
        ).eval()
        opened = clock.read() | {"peakRssBytes": peak_bytes()}
        batches = batches_of(job["ids"])
        if job["mode"] == "score":
            rates = compare_rates(model, batches)
            scores = {"original": score(model, job["windows"], "original")}
            result = {"rates": rates, "scores": scores, "peakRssBytes": peak_bytes()}
        elif job["mode"] == "convert":
            result = convert_all(model, job, batches)
        else:
            raise ValueError(f"mode: found {job['mode']}; allowed: score, convert")
    result |= {"open": opened, "total": clock.read(), "versions": describe(model)}
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
