// Runs a process pinned to processors and reads what it took: wall time,
// processor time, peak resident memory. measure.py waits for it, since Deno
// tells none of these of a child.

import { fileURLToPath } from "node:url";
import { z } from "zod";
import { InputError } from "../../src/base/errors.ts";
import { parseCpuList } from "./cpus.ts";

const MEASURE = fileURLToPath(new URL("./measure.py", import.meta.url));

/** What a process took. */
export interface Usage {
  readonly wallSeconds: number;
  /** User and system time of all its threads. */
  readonly cpuSeconds: number;
  /** Highest resident size. */
  readonly peakRssBytes: number;
}

/** A process's standard output, and what it took. */
export interface MeasuredRun extends Usage {
  readonly output: string;
}

const USAGE = z.object({
  wallSeconds: z.number().positive(),
  cpuSeconds: z.number().nonnegative(),
  peakRssBytes: z.int().positive(),
});

const TOPOLOGY = z.array(z.object({ cpu: z.int(), siblings: z.string() }));

/** A processor and those that share its core, itself included. */
export interface Cpu {
  readonly cpu: number;
  readonly siblings: readonly number[];
}

/**
 * The processors that this process may use.
 *
 * @param python The interpreter.
 * @throws {InputError} If it cannot be run.
 */
export async function usableCpus(python: string): Promise<Cpu[]> {
  const output = await run(python, [MEASURE, "topology"], {});
  return TOPOLOGY.parse(JSON.parse(output)).map(({ cpu, siblings }) => ({
    cpu,
    siblings: parseCpuList(siblings),
  }));
}

/**
 * Runs a command to its end; its standard error is passed on.
 *
 * @param command The program and its arguments.
 * @param where The interpreter that measures, the processors, variables added to the environment.
 * @returns Its output and what it took.
 * @throws {InputError} If it cannot be started or fails.
 */
export async function runMeasured(
  command: readonly string[],
  { python, cpus, env = {} }: {
    readonly python: string;
    readonly cpus: readonly number[];
    readonly env?: Readonly<Record<string, string>>;
  },
): Promise<MeasuredRun> {
  const report = await Deno.makeTempFile({ suffix: ".json" });
  try {
    const args = [MEASURE, report, cpus.join(","), ...command];
    const output = await run(python, args, env);
    const usage = USAGE.parse(JSON.parse(await Deno.readTextFile(report)));
    return { output, ...usage };
  } finally {
    await Deno.remove(report);
  }
}

async function run(
  python: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command(python, {
      args: [...args],
      env: { ...env },
      stdin: "null",
      stderr: "inherit",
    }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new InputError(
      `Cannot run ${python} as it is not there; --python names an interpreter with torch and transformers`,
      { cause: error },
    );
  }
  if (output.code !== 0) {
    throw new InputError(
      `Cannot go on as ${args.slice(1).join(" ")} ended with ${
        output.signal ?? `exit code ${output.code}`
      }`,
    );
  }
  return new TextDecoder().decode(output.stdout);
}
