// The engine process: reads requests from standard input, runs one at a time,
// replies on standard output. It owns graphs and devices; when it dies, the
// parent records the cell and starts another.

import { gemm32 } from "../linalg/gemm.ts";
import { tensor } from "../base/tensor.ts";
import { cellOutcome } from "./cell_outcome.ts";
import { CellRunner } from "./cell_runner.ts";
import { randomTokens } from "./inputs.ts";
import { decodedLines } from "./lines.ts";
import { oneLine, ranOutOfMemory } from "./out_of_memory.ts";
import { dieWithParent } from "./parent_death.ts";
import { PeakMemoryMeter } from "./peak_memory.ts";
import type { WorkerReply, WorkerRequest } from "./worker_protocol.ts";

function reply(message: WorkerReply): void {
  let bytes = new TextEncoder().encode(`${JSON.stringify(message)}\n`);
  while (bytes.length > 0) {
    bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
  }
}

let lastProgress = 0;
const REPORT = {
  progress(stage: string, done: number, total: number) {
    // The first and the last of a stage always; between them 10 a second.
    const now = performance.now();
    if (done > 0 && done < total && now - lastProgress < 100) return;
    lastProgress = now;
    reply({ type: "progress", stage, done, total });
  },
  log(message: string) {
    reply({ type: "log", message });
  },
  warn(message: string) {
    reply({ type: "log", level: "info", message });
  },
};

/** GFLOPS of an f32 product of 1024 x 1024 matrices: the best of 10, since others only slow it down. */
async function gemmRate(): Promise<number> {
  const size = 1024;
  const ids = randomTokens(size * size, 1000, 1);
  const a = tensor(Float32Array.from(ids, (v) => v / 1000 - 0.5), [size, size]);
  let best = Infinity;
  for (let i = 0; i < 10; i++) {
    const start = performance.now();
    await gemm32(a, a);
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  return 2 * size ** 3 / best / 1e9;
}

/** Answers requests one after the other. */
class Worker {
  #runner: CellRunner | undefined;
  readonly #memory = new PeakMemoryMeter();
  #busy = false;

  async answer(request: WorkerRequest): Promise<void> {
    this.#busy = true;
    try {
      switch (request.op) {
        case "open":
          this.#runner = await CellRunner.open(request.spec, REPORT);
          reply({ type: "opened", engine: this.#runner.describe() });
          break;
        case "gemmRate":
          reply({ type: "gemmRate", gflops: await gemmRate() });
          break;
        case "cell":
          if (this.#runner === undefined) {
            throw new RangeError("Cannot run a cell before open");
          }
          reply({
            type: "outcome",
            outcome: await cellOutcome(
              this.#runner,
              request.cell,
              this.#memory,
            ),
          });
          break;
        default:
          request satisfies never;
      }
    } catch (error) {
      reply({
        type: "error",
        message: oneLine(error),
        oom: ranOutOfMemory(error),
        ...(error instanceof Error && error.stack
          ? { stack: error.stack }
          : {}),
      });
    } finally {
      this.#busy = false;
    }
  }

  /** Ends; a request that is under way is given up, since nobody waits for it. */
  async end(): Promise<void> {
    if (!this.#busy) await this.#runner?.close();
  }
}

async function main(): Promise<void> {
  dieWithParent();
  // Ctrl-C reaches the whole process group; the parent decides what it means.
  Deno.addSignalListener("SIGINT", () => {});
  // Standard output belongs to the protocol.
  console.log = console.error;
  const worker = new Worker();
  let last = Promise.resolve();
  for await (const line of decodedLines(Deno.stdin.readable)) {
    last = last.then(() => worker.answer(JSON.parse(line) as WorkerRequest));
  }
  // The parent has closed the pipe, or is gone.
  await worker.end();
}

if (import.meta.main) {
  await main();
  Deno.exit(0);
}
