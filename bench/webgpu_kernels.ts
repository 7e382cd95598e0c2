// How fast every kernel of the webgpu engine is on this machine's GPU, beside the
// memory bandwidth of a copy and the best matrix product of the same run.

import { InputError, UnavailableError } from "../src/base/errors.ts";
import {
  EXIT,
  type Flags,
  integerFlag,
  note,
  parseFlags,
  print,
  runVerb,
} from "../src/cli/terminal.ts";
import { copyBandwidth } from "../src/engine/webgpu/device/copy_bandwidth.ts";
import type { Gpu, GpuProvider } from "../src/engine/webgpu/device/gpu.ts";
import { openGpu } from "../src/engine/webgpu/device/open_gpu.ts";
import type { KernelCase } from "../src/engine/webgpu/kernels/cases/kernel_case.ts";
import {
  missingNeeds,
  runCase,
} from "../src/engine/webgpu/kernels/cases/run_case.ts";
import { KERNELS } from "../src/engine/webgpu/kernels/table.ts";
import { writeAtomically } from "../src/experiment/run_folder.ts";
import { formatSignificant } from "../src/report/format.ts";
import {
  describeCase,
  describeParity,
  type KernelResult,
  peakOf,
  type Peaks,
  type TimedCase,
} from "./kernel_report.ts";
import { timeCase } from "../src/engine/webgpu/kernels/cases/case_timing.ts";
import { checkWritable } from "./output_file.ts";

const HELP = `deno task bench kernels [options]

Times the kernels of the webgpu engine.

  --provider NAME   deno (default) or dawn
  --only PATTERN    of "kernel: shape", * for anything; several with commas and no spaces
  --parity          first check every parity case of those kernels on this device
  --no-bench        no timing
  --json FILE       write all there, after every kernel
  --time-limit SEC  start no case after so many seconds
  --software        time an adapter that computes on the CPU, too
  --help            this text`;

interface Settings {
  readonly provider: GpuProvider;
  readonly only: (name: string) => boolean;
  readonly parity: boolean;
  readonly bench: boolean;
  readonly json: string | undefined;
  readonly deadline: number;
  readonly software: boolean;
}

export async function benchKernels(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, {
    string: ["provider", "only", "json", "time-limit"],
    boolean: ["parity", "no-bench", "software"],
  });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  const settings = settingsOf(flags);
  if (settings.json !== undefined) await checkWritable(settings.json);
  return await new KernelBench(settings).run();
}

function settingsOf(flags: Flags): Settings {
  if (flags._.length > 0) {
    throw new InputError(
      `Cannot take ${
        flags._.join(", ")
      }: deno task bench kernels takes options only`,
    );
  }
  const provider = flags["provider"] ?? "deno";
  if (provider !== "deno" && provider !== "dawn") {
    throw new InputError(
      `option --provider: found ${provider}; allowed: deno, dawn`,
    );
  }
  // Shapes have commas, too, with a space after.
  const patterns = String(flags["only"] ?? "*").split(/,(?! )/).map((pattern) =>
    new RegExp(
      `^${
        pattern.split("*").map((text) =>
          text.replace(/[.+?^${}()|[\]\\]/g, "\\$&")
        ).join(".*")
      }$`,
    )
  );
  const seconds = integerFlag(flags, "time-limit", 1) ?? Infinity;
  // A bare name is all cases of that kernel.
  const only = (name: string) =>
    patterns.some((pattern) =>
      pattern.test(name) || pattern.test(name.split(":", 1)[0]!)
    );
  const parity = flags["parity"] === true;
  const bench = flags["no-bench"] !== true;
  checkSelection(String(flags["only"] ?? "*"), only, parity, bench);
  return {
    provider,
    only,
    parity,
    bench,
    json: typeof flags["json"] === "string" ? flags["json"] : undefined,
    deadline: performance.now() + 1000 * seconds,
    software: flags["software"] === true,
  };
}

/** A pattern of a typo must not pass for a device on which all is well. */
function checkSelection(
  pattern: string,
  only: (name: string) => boolean,
  parity: boolean,
  bench: boolean,
): void {
  if (!parity && !bench) {
    throw new InputError("Cannot leave out timing without --parity");
  }
  const matches = KERNELS.some((kernel) =>
    [...parity ? kernel.parity : [], ...bench ? kernel.bench : []]
      .some(({ label }) => only(`${kernel.name}: ${label}`))
  );
  if (matches) return;
  throw new InputError(
    `option --only: ${pattern} matches no case; kernels: ${
      KERNELS.map(({ name }) => name).join(", ")
    }`,
  );
}

/** One run over the table. */
class KernelBench {
  readonly #settings: Settings;
  readonly #results: KernelResult[] = [];
  readonly #peaks: Peaks = {};
  #gpu!: Gpu;
  #copy = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  async run(): Promise<number> {
    this.#gpu = await openGpu({ provider: this.#settings.provider });
    const { facts, features } = this.#gpu;
    if (facts.software && !this.#settings.software) {
      throw new UnavailableError(
        `Cannot time kernels on ${facts.name} as it computes on the CPU; --software does it nonetheless`,
      );
    }
    const able = Object.entries(features).filter(([, has]) => has)
      .map(([name]) => name);
    print(`${facts.provider}: ${facts.name}, ${able.join(", ")}`);
    this.#copy = (await copyBandwidth(this.#gpu)).bytesPerSecond;
    print(`copy: ${formatSignificant(this.#copy / 1e9)} GB/s`);
    if (this.#settings.parity) await this.#checkAll();
    if (this.#settings.bench) await this.#timeAll();
    await this.#save();
    return this.#conclude();
  }

  async #checkAll(): Promise<void> {
    for (const { name, parity } of KERNELS) {
      const result = this.#resultOf(name);
      for (const kernelCase of parity) {
        const title = `${name}: ${kernelCase.label}`;
        if (!this.#settings.only(title)) continue;
        if (this.#isLate()) return;
        result.parity.push(
          await this.#attempt(kernelCase, async () => {
            const report = await runCase(this.#gpu, kernelCase);
            const { label, passed, message } = report;
            if (!passed) throw new Error(message);
            const { outputs } = report;
            return {
              label,
              excess: Math.max(...outputs.map(({ excess }) => excess)),
              error: Math.max(...outputs.map(({ error }) => error)),
            };
          }),
        );
      }
      if (result.parity.length > 0) print(describeParity(result));
      await this.#save();
    }
  }

  async #timeAll(): Promise<void> {
    // The matrix products first: the others are held against them.
    const order = KERNELS.toSorted((a, b) =>
      Number(b.name === "gemm") - Number(a.name === "gemm")
    );
    for (const { name, bench } of order) {
      const result = this.#resultOf(name);
      const chosen = bench.filter(({ label }) =>
        this.#settings.only(`${name}: ${label}`)
      );
      const isYardstick = name === "gemm" && chosen.length === 0;
      const cases = isYardstick ? yardsticks(this.#gpu, bench) : chosen;
      for (const kernelCase of cases) {
        if (this.#isLate()) return;
        const timed: TimedCase = {
          ...await this.#attempt(kernelCase, async () => ({
            label: kernelCase.label,
            ...await timeCase(this.#gpu, kernelCase),
          })),
          ...(isYardstick ? { yardstick: true as const } : {}),
        };
        result.cases.push(timed);
        if (name === "gemm") peakOf(this.#peaks, timed);
        print(describeCase(name, timed, this.#copy, this.#peaks));
      }
      await this.#save();
    }
  }

  /** Runs a case; what it lacks and what it throws becomes part of its result. */
  async #attempt<T extends object>(
    kernelCase: KernelCase,
    run: () => Promise<T>,
  ): Promise<
    T | { label: string; missing: string } | {
      label: string;
      failure: string;
    }
  > {
    const { label } = kernelCase;
    try {
      const missing = missingNeeds(this.#gpu, kernelCase);
      if (missing.length > 0) return { label, missing: missing.join(", ") };
      return await run();
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error);
      await this.#recover();
      return { label, failure };
    }
  }

  /** A device that has reported a fault may be lost; a fresh one goes on. */
  async #recover(): Promise<void> {
    try {
      await this.#gpu.destroy();
    } catch (error) {
      note(`closing the device: ${error}`);
    }
    this.#gpu = await openGpu({ provider: this.#settings.provider });
  }

  #resultOf(name: string): KernelResult {
    let result = this.#results.find((one) => one.name === name);
    if (result === undefined) {
      result = { name, parity: [], cases: [] };
      this.#results.push(result);
    }
    return result;
  }

  #isLate(): boolean {
    return performance.now() > this.#settings.deadline;
  }

  async #save(): Promise<void> {
    const { json } = this.#settings;
    if (json === undefined) return;
    const { facts, features } = this.#gpu;
    const report = {
      date: new Date().toISOString(),
      deno: Deno.version.deno,
      adapter: facts,
      features,
      copyBytesPerSecond: this.#copy,
      gemmFlopsPerSecond: this.#peaks,
      kernels: this.#results.filter(({ parity, cases }) =>
        parity.length + cases.length > 0
      ),
    };
    await writeAtomically(json, JSON.stringify(report, null, 2) + "\n");
  }

  #conclude(): number {
    const all = this.#results.flatMap(({ parity, cases }) => [
      ...parity,
      ...cases,
    ]);
    const failed = all.filter((one) => "failure" in one).length;
    const missing = all.filter((one) => "missing" in one).length;
    const late = this.#isLate() ? ", stopped at the time limit" : "";
    print(
      `${
        all.length - failed - missing
      } cases done, ${failed} failed, ${missing} need what this device lacks${late}`,
    );
    return failed > 0 || all.length === 0 ? EXIT.failed : EXIT.ok;
  }
}

/** A matrix product of each element type: the largest, on a CPU the smallest. */
function yardsticks(gpu: Gpu, bench: readonly KernelCase[]): KernelCase[] {
  const runnable = bench.filter((one) => missingNeeds(gpu, one).length === 0);
  return ["f16", "f32"].flatMap((element) => {
    // Cases grow.
    const cases = runnable.filter(({ label }) => label.includes(element));
    return gpu.facts.software ? cases.slice(0, 1) : cases.slice(-1);
  });
}

if (import.meta.main) await runVerb(benchKernels);
