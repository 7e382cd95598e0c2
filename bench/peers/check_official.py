"""Checks official.py's procedure against golden logits of the official code on tiny models.

    python check_official.py [FOLDER]    default: tests/golden of this repository

Prints the largest error of each entry; exit code 1 if one is above 1e-4. The
goldens are of float64, the procedure runs the models in float32.
"""

import json
import pathlib
import sys

import official

import torch
import transformers
from safetensors.torch import load_file

LIMIT = 1e-4

GOLDEN = pathlib.Path(__file__).parents[2] / "tests" / "golden"


def variant_of(entry):
    """What an entry's name says: "mla.m16.F2.r24.bkv1"; a stage without a rank has none."""
    _, *options = entry.split(".")
    values = {option.rstrip("0123456789"): option for option in options}
    number = {name: int(text[len(name) :]) for name, text in values.items()}
    variant = {
        "freqFold": number["F"],
        "kvLoraRank": number.get("r", 1),
        "balanceKv": number.get("bkv", 0) == 1,
    }
    return variant, number["m"]


def logits(model, originals, entry, ids):
    official.install(model, originals)
    if entry != "orig":
        variant, rotary_dim = variant_of(entry)
        partials, latents, _ = official.convert(
            model, originals, [torch.tensor(ids["calib"])], variant, rotary_dim
        )
        official.install(model, partials if entry.startswith("partial") else latents)
    return model(input_ids=torch.tensor(ids["eval"]), use_cache=False).logits


def main(folder):
    ids = json.loads((folder / "ids.json").read_text())
    worst = 0.0
    for path in sorted(folder.glob("*.logits.safetensors")):
        kind = path.name.split(".")[0]
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder / kind, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()
        originals = [layer.self_attn for layer in model.model.layers]
        for entry, golden in sorted(load_file(path).items()):
            found = logits(model, originals, entry, ids)[:, -golden.shape[1] :]
            error = (found - golden).abs().max().item()
            # NaN is worse than anything.
            worst = max(worst, error) if error == error else float("inf")
            print(f"{kind} {entry}: {error:.1e}")
    print(f"largest error {worst:.1e}, allowed {LIMIT:.0e}")
    return 0 if 0 < worst <= LIMIT else 1


if __name__ == "__main__":
    transformers.utils.logging.disable_progress_bar()
    # Matrices are tiny.
    torch.set_num_threads(1)
    with torch.inference_mode():
        sys.exit(main(pathlib.Path(sys.argv[1]) if sys.argv[1:] else GOLDEN))
