// Finds the fastest shape of a problem: each is compared with the default on the
// same random inputs before it is timed, since a fast wrong kernel is worth nothing.

import { GpuError } from "../device/faults.ts";
import type { Arena, Dispatch, Gpu, Work } from "../device/gpu.ts";
import { timePass } from "../device/timing.ts";
import { inARow } from "../kernels/cases/case_timing.ts";
import type { TunedShape } from "../kernels/tuning_table.ts";
import { differenceOf, sampleOutputs } from "./outputs.ts";
import type { PreparedProblem, TuningProblem } from "./tuning_problem.ts";

/** Bytes of the inputs that take turns: many times the cache of a GPU. */
const ROTATED_BYTES = 300e6;
const MAX_COPIES = 32;

/** A timed pass takes about as long, and the best of so many counts. */
const PASS_SECONDS = 1.5e-3;
const PASSES = 3;
const FINAL_PASSES = 10;

/** A shape that takes so many times the best is not timed again. */
const HOPELESS = 1.5;

/** The default stays where the best is not faster by more than this: clocks differ by as much. */
const WORTHWHILE = 1.01;

/** Shapes that are all timed; of more, slices are first tried in one number. */
const FEW = 8;

/** A shape that gave other numbers than the default, or none. */
export interface RefusedShape {
  readonly shape: TunedShape;
  readonly reason: string;
}

/** What was found. */
export interface Solution {
  readonly shape: TunedShape;
  readonly seconds: number;
  readonly defaultSeconds: number;
  /** Shapes that were timed. */
  readonly timed: number;
  readonly refused: readonly RefusedShape[];
}

/**
 * Solves a problem.
 *
 * @param gpu The device.
 * @param problem The problem.
 * @param isLate Whether no other shape is to be started.
 * @returns The fastest shape so far; undefined where there is nothing to choose.
 * @throws {GpuError} If the device is lost, or cannot run the default.
 */
export async function solve(
  gpu: Gpu,
  problem: TuningProblem,
  isLate: () => boolean = () => false,
): Promise<Solution | undefined> {
  const shapes = problem.shapes(gpu);
  if (shapes.length < 2) return undefined;
  const arena = gpu.arena();
  try {
    const wanted = Math.ceil(ROTATED_BYTES / problem.inputBytes);
    const count = gpu.facts.software ? 1 : Math.min(MAX_COPIES, wanted);
    const copies = Array.from({ length: count }, () => problem.prepare(arena));
    await gpu.settle();
    const race = new Race(gpu, arena, copies);
    await race.begin(shapes[0]!);
    const groups = groupsOf(shapes);
    const firsts = shapes.length <= FEW
      ? shapes.slice(1)
      : groups.map((group) => representative(group, shapes[0]!));
    await race.enter(firsts, isLate);
    const leaders = groups.filter((group) =>
      group.some((shape) => race.ranking().slice(0, 2).includes(shape))
    );
    await race.enter(leaders.flat(), isLate);
    return await race.finish();
  } finally {
    arena.destroy();
    await gpu.settle();
  }
}

/** Shapes in rows of those that differ in their slices alone. */
function groupsOf(shapes: readonly TunedShape[]): TunedShape[][] {
  const byRest = Map.groupBy(
    shapes,
    ({ splits: _, ...rest }) => JSON.stringify(Object.entries(rest).sort()),
  );
  return [...byRest.values()];
}

function representative(
  group: readonly TunedShape[],
  otherwise: TunedShape,
): TunedShape {
  if (group.includes(otherwise)) return otherwise;
  return group[Math.floor(group.length / 2)]!;
}

/** Shapes of one problem, timed one after the other. */
class Race {
  readonly #gpu: Gpu;
  readonly #arena: Arena;
  readonly #copies: readonly PreparedProblem[];
  readonly #seconds = new Map<TunedShape, number>();
  readonly #refused = new Map<TunedShape, string>();
  #default!: TunedShape;
  #expected: readonly Float64Array[] = [];
  #zeros: readonly GPUBuffer[] = [];

  constructor(gpu: Gpu, arena: Arena, copies: readonly PreparedProblem[]) {
    this.#gpu = gpu;
    this.#arena = arena;
    this.#copies = copies;
  }

  /** Times the default, whose numbers the others must give. */
  async begin(shape: TunedShape): Promise<void> {
    this.#default = shape;
    this.#zeros = this.#copies[0]!.outputs.map(({ buffer }) =>
      this.#arena.buffer("zeros", buffer.size)
    );
    const arena = this.#gpu.arena();
    try {
      const work = this.#record(arena, shape);
      this.#expected = await this.#outputsOf(work[0]!);
      this.#seconds.set(shape, await this.#time(work, PASSES));
    } finally {
      arena.destroy();
    }
  }

  async enter(
    shapes: readonly TunedShape[],
    isLate: () => boolean,
  ): Promise<void> {
    for (const shape of shapes) {
      if (this.#seconds.has(shape) || this.#refused.has(shape)) continue;
      if (isLate()) return;
      await this.#attempt(shape);
    }
  }

  /** The fastest first. */
  ranking(): TunedShape[] {
    return [...this.#seconds].sort(([, a], [, b]) => a - b)
      .map(([shape]) => shape);
  }

  /** Times the fastest and the default once more, for longer. */
  async finish(): Promise<Solution> {
    const finalists = new Set([...this.ranking().slice(0, 2), this.#default]);
    for (const shape of finalists) {
      const arena = this.#gpu.arena();
      try {
        const work = this.#record(arena, shape);
        this.#seconds.set(shape, await this.#time(work, FINAL_PASSES));
      } finally {
        arena.destroy();
      }
    }
    const defaultSeconds = this.#seconds.get(this.#default)!;
    const [best] = [...finalists].sort((a, b) =>
      this.#seconds.get(a)! - this.#seconds.get(b)!
    );
    const isWorthwhile = this.#seconds.get(best!)! * WORTHWHILE <
      defaultSeconds;
    const shape = isWorthwhile ? best! : this.#default;
    return {
      shape,
      seconds: this.#seconds.get(shape)!,
      defaultSeconds,
      timed: this.#seconds.size,
      refused: [...this.#refused].map(([shape, reason]) => ({
        shape,
        reason,
      })),
    };
  }

  async #attempt(shape: TunedShape): Promise<void> {
    const arena = this.#gpu.arena();
    try {
      const work = this.#record(arena, shape);
      const found = await this.#outputsOf(work[0]!);
      const difference = differenceOf(found, this.#expected);
      if (difference !== undefined) this.#refused.set(shape, difference);
      else this.#seconds.set(shape, await this.#time(work, PASSES));
    } catch (error) {
      if (error instanceof GpuError && error.kind === "lost") throw error;
      if (!(error instanceof GpuError || error instanceof RangeError)) {
        throw error;
      }
      this.#refused.set(shape, error.message.split("\n", 1)[0]!);
    } finally {
      arena.destroy();
    }
  }

  /** The dispatches on each copy of the inputs. */
  #record(arena: Arena, shape: TunedShape): Dispatch[][] {
    return this.#copies.map((copy) => copy.dispatches(arena, shape));
  }

  async #outputsOf(dispatches: readonly Dispatch[]): Promise<Float64Array[]> {
    const { outputs } = this.#copies[0]!;
    // What was not written stays zero.
    const clear = outputs.map(({ buffer }, i): Work => ({
      copy: {
        from: this.#zeros[i]!,
        fromOffset: 0,
        to: buffer,
        toOffset: 0,
        bytes: buffer.size,
      },
    }));
    this.#gpu.run([...clear, ...dispatches]);
    await this.#gpu.settle();
    return await sampleOutputs(this.#gpu, outputs);
  }

  /** Seconds on one copy of the inputs: the best of several passes over all. */
  async #time(
    work: readonly (readonly Dispatch[])[],
    passes: number,
  ): Promise<number> {
    const all = work.flat();
    if (!this.#gpu.features.timestamps) {
      return await inARow(this.#gpu, all, work.length);
    }
    const once = await this.#pass(all);
    // A clock that stands still measures nothing.
    if (!(once > 0)) return await inARow(this.#gpu, all, work.length);
    const least = Math.min(...this.#seconds.values());
    if (once / work.length > 2 * HOPELESS * least) return once / work.length;
    const repeats = this.#gpu.facts.software
      ? 1
      : Math.ceil(PASS_SECONDS / once);
    const repeated = Array.from({ length: repeats }, () => all).flat();
    let best = Infinity;
    for (let i = 0; i < passes; i++) {
      const seconds = await this.#pass(repeated) / repeats / work.length;
      best = Math.min(best, seconds);
      if (best > HOPELESS * least) break;
    }
    return best;
  }

  async #pass(dispatches: readonly Dispatch[]): Promise<number> {
    const gpu = this.#gpu;
    return await timePass(
      gpu.device,
      dispatches,
      (buffer, bytes) => gpu.read(buffer, 0, bytes),
    );
  }
}
