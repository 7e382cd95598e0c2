// The machine that a figure was made on.

import os from "node:os";

/** What a timed figure depends on, and provenance records. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly os: string;
  readonly osRelease: string;
  readonly architecture: string;
}

/** Describes this machine. */
export function describeMachine(): Machine {
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model.trim() ?? "unknown",
    cores: cpus.length,
    memoryBytes: os.totalmem(),
    os: Deno.build.os,
    osRelease: Deno.osRelease(),
    architecture: Deno.build.arch,
  };
}

/**
 * What timed cells are named by: the processor, or the GPU where one is used.
 *
 * @param adapter The GPU with its driver; absent on a CPU.
 */
export function machineIdentity(adapter?: string): string {
  const { cpu, cores } = describeMachine();
  return adapter ?? `${cpu} x${cores}`;
}
