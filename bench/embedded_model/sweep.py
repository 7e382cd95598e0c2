"""Chooses the embedded model's settings and trains its three seeds.

    python3 bench/embedded_model/sweep.py --texts FOLDER --out FOLDER [--seconds 180]

First one setting at a time is changed from train.py's defaults in short
trainings; those changes that lower the held-out bits a byte are taken together.
Then three seeds are trained at each of two lengths, and the length whose mean is
lower is kept. FOLDER gets sweep.json and the three seeds' folders. The test part
is only measured on, never chosen on.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

MAX_BYTES = 8_000_000
SHORT_EPOCHS = 10
LENGTHS = (16, 32)
SEEDS = (1, 2, 3)

# By factor: changes of the defaults, the parameters kept within MAX_BYTES.
CHANGES = {
    "dropout": [{"dropout": 0.1}, {"dropout": 0.3}],
    "optimizer": [{"optimizer": "adamw", "learning_rate": 3e-3}],
    "decay": [{"weight_decay": 1.5}],
    "shape": [
        {"vocab": 2048, "intermediate": 592},
        {"vocab": 4096, "intermediate": 416},
        {"hidden": 192, "layers": 6, "intermediate": 448},
    ],
    "rate": [{"learning_rate": 8e-3}],
}


class Training:
    """A run of train.py in a process of its own."""

    def __init__(self, options, name: str, seed: int, settings: dict, extra: tuple[str, ...] = ()):
        self.name, self.settings, self.out = name, settings, options.out / name
        command = [
            sys.executable, str(Path(__file__).with_name("train.py")),
            "--texts", str(options.texts), "--out", str(self.out), "--seed", str(seed),
            *extra,
        ]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        options.out.mkdir(parents=True, exist_ok=True)
        self.log = options.out / f"{name}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def result(self) -> dict | None:
        """training.json; nothing where the run failed or was ended."""
        if self.process.returncode != 0:
            return None
        return json.loads((self.out / "training.json").read_text())


def run_all(options, wanted: list[tuple], until: float) -> list[Training]:
    """Runs trainings side by side; ends those that are not done by `until`."""
    waiting, running, done = list(wanted), [], []
    while waiting or running:
        while waiting and len(running) < options.parallel:
            running.append(Training(options, *waiting.pop(0)))
        time.sleep(0.2)
        late = time.monotonic() > until
        for training in list(running):
            if late:
                training.process.terminate()
                training.process.wait()
            if training.process.poll() is not None:
                running.remove(training)
                done.append(training)
        if late:
            waiting.clear()
    for training in done:
        result = training.result()
        if result is None:
            last = training.log.read_text().strip().splitlines()[-3:]
            print(f"{training.name}: failed or out of time; its last lines: {last}", flush=True)
        else:
            print(
                f"{training.name}: held-out {result['heldOut']['bitsPerByte']:.4f} bits a byte, "
                f"perplexity {result['heldOut']['perplexity']:.2f}, {result['bytes']} bytes, "
                f"best step {result['bestStep']}, {result['seconds']} s",
                flush=True,
            )
    return done


def bits(training: Training) -> float:
    result = training.result()
    if result is None or result["bytes"] > MAX_BYTES:
        return float("inf")
    return result["heldOut"]["bitsPerByte"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=180, help="of which the first part has half")
    parser.add_argument("--parallel", type=int, default=9)
    parser.add_argument("--steps", type=int, help="of each training: to try the script")
    options = parser.parse_args()
    started = time.monotonic()
    limit = () if options.steps is None else ("--steps", str(options.steps))
    quick = (*limit, "--no-test")

    wanted = [("base", 1, {"epochs": SHORT_EPOCHS}, quick)]
    factors = {"base": None}
    for factor, changes in CHANGES.items():
        for i, change in enumerate(changes):
            factors[f"{factor}-{i}"] = (factor, change)
            wanted.append((f"{factor}-{i}", 1, {"epochs": SHORT_EPOCHS, **change}, quick))
    tried = run_all(options, wanted, started + options.seconds / 2)
    best_of, base = {}, next((bits(t) for t in tried if t.name == "base"), float("inf"))
    for training in tried:
        if factors[training.name] is None:
            continue
        factor, change = factors[training.name]
        if bits(training) < best_of.get(factor, (base, {}))[0]:
            best_of[factor] = (bits(training), change)
    if base == float("inf"):
        best_of = {}
    chosen = {}
    for _, change in sorted(best_of.values(), key=lambda pair: -pair[0]):
        chosen |= change
    print(f"chosen: {json.dumps(chosen)}", flush=True)

    wanted = [
        (f"epochs-{epochs}-seed-{seed}", seed, {**chosen, "epochs": epochs}, limit)
        for epochs in LENGTHS
        for seed in SEEDS
    ]
    finals = run_all(options, wanted, started + options.seconds)
    means = {}
    for epochs in LENGTHS:
        group = [bits(t) for t in finals if t.settings["epochs"] == epochs]
        means[epochs] = sum(group) / len(SEEDS) if len(group) == len(SEEDS) else float("inf")
    epochs = min(means, key=means.get)
    if means[epochs] == float("inf"):
        raise SystemExit("Cannot choose a model as no length has all three seeds")
    kept = [t for t in finals if t.settings["epochs"] == epochs]
    best = min(kept, key=bits)
    for training in kept:
        seed = training.result()["seed"]
        shutil.copytree(training.out, options.out / f"seed-{seed}", dirs_exist_ok=True)
    record = {
        "keptSeed": best.result()["seed"],
        "seconds": round(time.monotonic() - started, 1),
        "chosen": {**chosen, "epochs": epochs},
        "tried": [
            {"name": t.name, **{k: v for k, v in r.items() if k in ("seed", "settings", "heldOut", "bytes", "bestStep", "seconds")}}
            for t in tried + finals
            if (r := t.result()) is not None
        ],
        "seeds": sorted((t.result() for t in kept), key=lambda r: r["seed"]),
    }
    (options.out / "sweep.json").write_text(json.dumps(record, indent=1) + "\n")
    print(f"kept: seed {record['keptSeed']}, {epochs} epochs, {record['seconds']} s in all", flush=True)


if __name__ == "__main__":
    main()
