"""Decode steps of PyTorch: eager kernels in one CUDA graph. Lines of JSON come out.

python torch_decode.py JOB, where JOB is a file of JSON:
  config   a model's configuration, as ours: hiddenSize, numAttentionHeads, ...
  mla      kvLoraRank and qkRopeHeadDim of the converted shape
  cases    {kind: "original" or "mla", batch, context}, in order
  steps    measured steps of each form of a case
  prefill  tokens whose linear layers are timed; 0: none
  device   "cuda" or "cpu", the latter for tests: no graph, no Triton
"""

import gc
import json
import platform
import statistics
import sys
import time

import torch
import torch.nn.functional as F

from torch_attention import latent_forms, original_forms, relative_error
from torch_model import Shape, Step, Weights

# Of an attention in float16 against float64; a form beyond it is not used.
TOLERANCE = 1e-2

# Copies and products whose rates are measured.
COPY_BYTES = 1 << 30
PRODUCT = 8192


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def first_line(error):
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


class Clock:
    """Times work: on CUDA as a graph that is replayed, between events."""

    def __init__(self, device):
        self.cuda = device == "cuda"

    def seconds(self, work, count):
        """Seconds of each of count runs, after runs that are not counted."""
        if not self.cuda:
            return [self.wall(work) for _ in range(count)]
        graph = self.capture(work)
        for _ in range(3):
            graph.replay()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
        events[0].record()
        for event in events[1:]:
            graph.replay()
            event.record()
        torch.cuda.synchronize()
        pairs = zip(events[:-1], events[1:], strict=True)
        times = [start.elapsed_time(end) / 1000 for start, end in pairs]
        del graph
        return times

    def capture(self, work):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            work()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph

    def wall(self, work):
        started = time.perf_counter()
        work()
        return time.perf_counter() - started


def free(device):
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


class Run:
    def __init__(self, job):
        self.job = job
        self.device = job["device"]
        self.dtype = torch.float16 if self.device == "cuda" else torch.float32
        self.clock = Clock(self.device)
        self.weights = None

    def weights_of(self, kind):
        if self.weights is None or self.weights.shape.kind != kind:
            self.weights = None
            free(self.device)
            shape = Shape(kind, self.job["config"], self.job["mla"])
            self.weights = Weights(shape, self.device, self.dtype)
        return self.weights

    def describe(self):
        cuda = self.device == "cuda"
        facts = {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": torch.cuda.get_device_name(0) if cuda else "cpu",
            "cuda": torch.version.cuda if cuda else None,
            "dtype": str(self.dtype).removeprefix("torch."),
        }
        emit("machine", facts=facts)

    def rates(self):
        """Bytes a second of a copy, read and written ones, and FLOP a second of a product."""
        small = 1 if self.device == "cuda" else 64
        source = torch.zeros(COPY_BYTES // small, device=self.device, dtype=torch.uint8)
        target = torch.empty_like(source)
        copy = min(self.clock.seconds(lambda: target.copy_(source), 10))
        emit("copy", bytesPerSecond=2 * source.numel() / copy)
        del source, target
        size = PRODUCT // small
        a, b = (
            torch.ones(size, size, device=self.device, dtype=self.dtype)
            for _ in range(2)
        )
        out = torch.empty_like(a)
        a.normal_()
        b.normal_()
        product = min(self.clock.seconds(lambda: torch.mm(a, b, out=out), 10))
        emit("product", size=size, flopsPerSecond=2 * size**3 / product)

    def case(self, case):
        emit("begin", case=case)
        weights = self.weights_of(case["kind"])
        step = Step(weights, case["batch"], case["context"])
        forms = []
        for name, make in self.makers(step).items():
            try:
                forms.append({"form": name, **self.form(step, make)})
            except Exception as error:
                forms.append({"form": name, "error": first_line(error)})
            free(self.device)
        emit("peerCase", case=case, weightBytes=weights.bytes(), forms=forms)

    def makers(self, step):
        if step.shape.kind == "mla":
            return latent_forms(step, lambda candidates: self.fastest(step, candidates))
        forms = original_forms(step.shape, self.device)
        return {name: lambda form=form: form for name, form in forms.items()}

    def form(self, step, make):
        attend = make()
        shape = step.shape
        width = shape.width if shape.kind != "mla" else shape.rotary + shape.rank
        size = (step.batch, shape.heads, width)
        queries = torch.empty(size, device=self.device, dtype=self.dtype)
        queries.normal_(generator=step.weights.generator)
        if shape.kind == "mla":
            queries *= (shape.width + shape.rotary) ** -0.5
        error = relative_error(shape, attend, queries, step.cache[0])
        if not error <= TOLERANCE:
            raise ArithmeticError(f"relative error {error} > {TOLERANCE}")
        fields = {"relativeError": error}
        if hasattr(attend, "describe"):
            fields["tuned"] = attend.describe()
        times = {}
        for accumulate in (True, False):
            step.accumulate = accumulate
            seconds = self.clock.seconds(lambda: step.run(attend), self.job["steps"])
            times["addmm" if accumulate else "linear and add"] = seconds
        residual = min(times, key=lambda name: statistics.median(times[name]))
        logits = step.run(attend)
        if not bool(logits.isfinite().all()):
            raise ArithmeticError("logits are not finite")
        return {
            **fields,
            "residual": residual,
            "seconds": statistics.median(times[residual]),
            "fastestSeconds": min(times[residual]),
            "steps": len(times[residual]),
        }

    def fastest(self, step, candidates):
        """The candidate that attends over all layers in the least time."""
        shape = step.shape
        size = (step.batch, shape.heads, shape.rotary + shape.rank)
        queries = torch.zeros(size, device=self.device, dtype=self.dtype)
        best, least, failure = None, float("inf"), None
        unusable = set()
        for candidate in candidates:
            if candidate.tile in unusable:
                continue

            def attend():
                for cache in step.cache:
                    candidate(queries, cache)

            try:
                seconds = min(self.clock.seconds(attend, 3))
            except Exception as error:
                # A tile that needs more shared memory than there is.
                unusable.add(candidate.tile)
                failure = error
                continue
            if seconds < least:
                best, least = candidate, seconds
        if best is None:
            raise failure
        return best

    def prefill(self, tokens):
        """Seconds a layer of each linear layer, the weights of all layers in turn."""
        weights = self.weights_of("original")
        products = {}
        for name in ("project", "output", "gate_up", "down"):
            matrices = [layer[name] for layer in weights.layers]
            rows, columns = matrices[0].shape
            x = torch.randn(tokens, columns, device=self.device, dtype=self.dtype)

            def work():
                for matrix in matrices:
                    F.linear(x, matrix)

            seconds = statistics.median(self.clock.seconds(work, 5)) / len(matrices)
            products[f"{name} {rows}x{columns}"] = {
                "seconds": seconds,
                "flops": 2 * tokens * rows * columns,
            }
            free(self.device)
        emit("prefill", tokens=tokens, products=products)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    run = Run(job)
    with torch.inference_mode():
        run.describe()
        run.rates()
        free(run.device)
        for case in job["cases"]:
            try:
                run.case(case)
            except Exception as error:
                emit("failed", case=case, error=first_line(error))
            free(run.device)
        if job["prefill"] > 0:
            try:
                run.prefill(job["prefill"])
            except Exception as error:
                emit("workFailed", work="prefill", error=first_line(error))


if __name__ == "__main__":
    main()
