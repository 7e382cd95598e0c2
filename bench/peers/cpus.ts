// Which processors a process may use: every measured process is pinned to as
// many as it has threads, so that no runtime takes more than it was given.

import { InputError } from "../../src/base/errors.ts";

/**
 * Reads a list of processors as Linux writes it.
 *
 * @param list For instance "0-3,8".
 * @returns The numbers in the order of the list.
 * @throws {InputError} If it is not such a list, or names a number twice.
 */
export function parseCpuList(list: string): number[] {
  const cpus = list.trim().split(",").flatMap((range) => {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range) ??
      [];
    if (first === undefined || Number(last) < Number(first)) {
      throw new InputError(
        `Cannot read the list of processors "${list}" as it must be numbers and ranges with commas between: found "${range}"`,
      );
    }
    return Array.from(
      { length: Number(last) - Number(first) + 1 },
      (_, i) => Number(first) + i,
    );
  });
  if (new Set(cpus).size < cpus.length) {
    throw new InputError(
      `Cannot read the list of processors "${list}" as it names one twice`,
    );
  }
  return cpus;
}

/**
 * The processors of each lane.
 *
 * @param cpus Those that may be used, the best first.
 * @param threads Of each process.
 * @param lanes Processes side by side.
 * @returns One list a lane, disjoint; the first is that of everything that runs alone.
 * @throws {InputError} If there are too few.
 */
export function assignCpus(
  cpus: readonly number[],
  threads: number,
  lanes: number,
): number[][] {
  if (cpus.length < threads * lanes) {
    throw new InputError(
      `Cannot run ${lanes} x ${threads} threads as that needs ${
        threads * lanes
      } processors: current value is ${cpus.length}`,
    );
  }
  return Array.from(
    { length: lanes },
    (_, lane) => cpus.slice(lane * threads, (lane + 1) * threads),
  );
}

/**
 * One processor of each core first, then their siblings: two threads of one
 * core are slower than two cores.
 *
 * @param cpus With those that share their cores, themselves included.
 * @returns Their numbers.
 */
export function coresFirst(
  cpus: readonly {
    readonly cpu: number;
    readonly siblings: readonly number[];
  }[],
): number[] {
  const usable = new Set(cpus.map(({ cpu }) => cpu));
  const ranked = cpus.map(({ cpu, siblings }) => ({
    cpu,
    rank: siblings.filter((other) => other < cpu && usable.has(other)).length,
  }));
  ranked.sort((a, b) => a.rank - b.rank || a.cpu - b.cpu);
  return ranked.map(({ cpu }) => cpu);
}
