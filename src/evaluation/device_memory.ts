// Memory as the driver or the system counts it, beside what the engine says its
// cache takes: a cache that does not really shrink shows here.

import type { Session } from "../engine/engine.ts";
import type { CacheTheory } from "./cache_bytes.ts";

/** Bytes of a device, or of the process where the device is the processor. */
export interface MemoryState {
  readonly usedBytes: number;
  /** Absent where nobody tells. */
  readonly freeBytes?: number;
}

/** How much memory a longer cache took. */
export interface MemoryGrowth {
  readonly memoryGrowthBytes?: number;
  /** Theory: more tokens times bytes a token. */
  readonly expectedGrowthBytes?: number;
  readonly memoryGrowthRatio?: number;
  /** Why it was not measured. */
  readonly memoryNote?: string;
}

/** What growth is measured with. */
export interface GrowthRequest {
  readonly theory: CacheTheory;
  readonly adapterKind: "gpu" | "software";
  /** A short prompt. */
  readonly prompt: Int32Array;
  /** Positions that the model has. */
  readonly maxTokens: number;
  /** @default memoryState(adapterKind) */
  state?(): Promise<MemoryState | undefined>;
}

const MIB = 2 ** 20;

/**
 * Growth that is looked for. WebGPU implementations take memory from drivers in
 * blocks of 256 MiB and keep half-used ones, which must not matter; a process's
 * resident memory is counted in pages, but other things in it move by a few MiB.
 */
const WANTED_BYTES = { gpu: 8192 * MIB, software: 96 * MIB } as const;

/** Less would be lost among blocks and what else the process does. */
const LEAST_BYTES = { gpu: 256 * MIB, software: 4 * MIB } as const;

/** Sequences of one cache; more would only make scratch buffers larger. */
const MAX_BATCH = 256;

/**
 * Asks for the memory in use: of all NVIDIA GPUs of the machine together, or
 * of this process.
 *
 * @param adapterKind What the engine computes on.
 * @returns Undefined where nobody tells: no nvidia-smi, or it may not run.
 */
export async function memoryState(
  adapterKind: "gpu" | "software",
): Promise<MemoryState | undefined> {
  if (adapterKind === "software") {
    return { usedBytes: Deno.memoryUsage().rss };
  }
  const table = await nvidiaSmi("memory.used,memory.free");
  return table === undefined ? undefined : parseMemoryTable(table);
}

/**
 * Asks for the memory that a GPU has.
 *
 * @returns Bytes, of the machine's NVIDIA GPU that has least; undefined where nobody tells.
 */
export async function deviceMemoryBytes(): Promise<number | undefined> {
  const text = await nvidiaSmi("memory.total");
  const sizes = text?.trim().split("\n").map((line) => Number(line || NaN));
  return sizes?.every(Number.isFinite) ? Math.min(...sizes) * MIB : undefined;
}

async function nvidiaSmi(query: string): Promise<string | undefined> {
  try {
    // Loader variables in the environment would need every permission to run.
    const { success, stdout } = await new Deno.Command("nvidia-smi", {
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "" },
      args: [`--query-gpu=${query}`, "--format=csv,noheader,nounits"],
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch {
    // Not installed or not permitted.
    return undefined;
  }
}

/**
 * Reads lines of "used, free" in MiB, one a GPU.
 *
 * @param text What nvidia-smi prints.
 * @returns All used together, and the least that one has free; undefined if a line is anything else.
 */
export function parseMemoryTable(text: string): MemoryState | undefined {
  const rows = text.trim().split("\n").map((line) =>
    line.split(",").map((field) => Number(field.trim() || NaN) * MIB)
  );
  const isTable = rows.every((row) =>
    row.length === 2 && row.every(Number.isFinite)
  );
  if (!isTable) return undefined;
  return {
    usedBytes: rows.reduce((sum, [used]) => sum + used!, 0),
    freeBytes: Math.min(...rows.map(([, free]) => free!)),
  };
}

/**
 * Measures by how much the memory in use grows from a short cache to a long one
 * of the same sequences. The session is left with the short one.
 *
 * @param session A session of the model that `theory` describes.
 * @param request What to measure with.
 * @returns Growth beside theory, or why there is none.
 */
export async function measureMemoryGrowth(
  session: Session,
  request: GrowthRequest,
): Promise<MemoryGrowth> {
  const { theory, adapterKind, prompt, maxTokens } = request;
  const state = request.state ?? (() => memoryState(adapterKind));
  const before = await state();
  if (before === undefined) {
    return { memoryNote: "nothing here tells the device's memory in use" };
  }
  const { freeBytes = Infinity } = before;
  const wanted = Math.min(WANTED_BYTES[adapterKind], freeBytes / 4);
  const room = maxTokens - prompt.length;
  const batch = Math.min(
    MAX_BATCH,
    Math.max(1, Math.ceil(wanted / (theory.bytesPerToken * room))),
  );
  const tokens = Math.min(
    room,
    Math.ceil(wanted / (theory.bytesPerToken * batch)),
  );
  const expectedGrowthBytes = batch * tokens * theory.bytesPerToken;
  if (expectedGrowthBytes < LEAST_BYTES[adapterKind]) {
    return {
      memoryNote:
        `a cache can grow by ${expectedGrowthBytes} bytes here, too few to be told from other memory`,
    };
  }
  const prompts = Array.from({ length: batch }, () => prompt);
  const used = async (reserve: number) => {
    await session.prefill(prompts, reserve);
    // Waits until the device has done what was submitted.
    await session.lastLogits();
    return (await state())?.usedBytes ?? NaN;
  };
  // The first makes pipelines and scratch buffers, which stay.
  await used(0);
  const short = await used(0);
  const long = await used(tokens);
  await session.prefill([prompt]);
  const memoryGrowthBytes = long - short;
  return Number.isFinite(memoryGrowthBytes)
    ? {
      memoryGrowthBytes,
      expectedGrowthBytes,
      memoryGrowthRatio: memoryGrowthBytes / expectedGrowthBytes,
    }
    : { memoryNote: "the device's memory in use could not be read again" };
}
