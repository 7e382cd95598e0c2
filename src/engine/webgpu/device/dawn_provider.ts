// Dawn inside Deno: npm:webgpu, a Node-API addon, loaded only when it is asked
// for: native code of its own that a run on another provider does without.

import { existsSync } from "node:fs";
import { UnavailableError } from "../../../base/errors.ts";

/** Dawn's package and its version; a computed import keeps it out of the module graph. */
export const DAWN = "npm:webgpu@0.6.2";

const OPTIONS = [
  "backend=vulkan",
  // f16 on NVIDIA and subgroup matrices; and no clamping of indices, since
  // kernels keep within their bounds.
  "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,use_vulkan_memory_model,disable_robustness",
  // Timestamps are rounded to 0.1 ms otherwise.
  "disable-dawn-features=timestamp_quantization",
];

/** The least that a thread sleeps; it is 0.1 ms in truth. */
const LEAST_TICK_MS = 0.02;

/** So that even long work is noticed soon. */
const LONGEST_TICK_MS = 4;

/** A tick's share of the time waited so far: what a wait may be too long by. */
const TICK_SHARE = 0.02;

let waitingSince = 0;

/** Says that a wait for the device begins, whose first ticks are short. */
export function beginWait(): void {
  waitingSince = performance.now();
}

interface DawnModule {
  create(options: readonly string[]): GPU;
}

// Dawn's instance must stay referenced: once collected, the next call crashes.
let instance: GPU | undefined;

/**
 * Dawn's counterpart of `navigator.gpu`, one a process. A process that has used
 * it ends by Deno.exit(): Dawn may keep the event loop alive.
 *
 * @throws {UnavailableError} If the package cannot be loaded.
 */
export async function dawnGpu(): Promise<GPU> {
  if (instance !== undefined) return instance;
  try {
    const dawn = await import(DAWN) as DawnModule;
    paceTicks();
    instance = dawn.create(OPTIONS);
    return instance;
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error))
      .split("\n", 1);
    throw new UnavailableError(
      `Cannot open a GPU as Dawn (${DAWN}) does not load; \`deno task devices --dawn\` installs it where there is a network, and it needs --allow-ffi: ${reason}`,
      { cause: error },
    );
  }
}

/**
 * Makes each turn of setImmediate() take a tenth of a millisecond, and more the
 * longer a wait has lasted. While a promise of Dawn's is open, the addon asks for
 * turn after turn, each with a new function; unpaced, that is a core at full load
 * and so many functions that each garbage collection stops for over a second to
 * finalize them.
 */
function paceTicks(): void {
  const { setImmediate } = globalThis;
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const paced = (
    callback: (...args: unknown[]) => void,
    ...args: unknown[]
  ) => {
    const waited = performance.now() - waitingSince;
    const tick = Math.min(LONGEST_TICK_MS, TICK_SHARE * waited);
    Atomics.wait(cell, 0, 0, Math.max(LEAST_TICK_MS, tick));
    return setImmediate(callback, ...args);
  };
  Object.assign(globalThis, { setImmediate: paced });
}

/** Whether Dawn's package is on this machine, so that opening it downloads nothing. */
export function isDawnInstalled(): boolean {
  let folder = new URL(".", import.meta.url);
  while (folder.protocol === "file:") {
    if (existsSync(new URL("node_modules/webgpu/package.json", folder))) {
      return true;
    }
    const parent = new URL("..", folder);
    if (parent.href === folder.href) break;
    folder = parent;
  }
  return false;
}
