// Shapes of one problem that are timed in turns, so that a device that slows down
// for a while slows all of them down.

import { GpuError } from "../device/faults.ts";
import type { Arena, Dispatch, Gpu, Work } from "../device/gpu.ts";
import type { TunedShape } from "../kernels/tuning_table.ts";
import { differenceOf, sampleOutputs } from "./outputs.ts";
import type { Stopwatch } from "./stopwatch.ts";
import type { PreparedProblem } from "./tuning_problem.ts";

/** Shapes that are timed between two looks at whether the device is busy. */
const TOGETHER = 4;

/** A shape that takes so many times the best sits out. */
const HOPELESS = 1.5;

/** How long a race waits for a busy device altogether, and at once. */
const PATIENCE_MS = 2500;
const PAUSE_MS = 20;

/** Dispatches of a pass at most: encoding takes longer than running them. */
const MOST_DISPATCHES = 2000;

/** A shape that gave other numbers than the default, or none. */
export interface RefusedShape {
  readonly shape: TunedShape;
  readonly reason: string;
}

/** A shape that is right. */
export interface Entrant {
  readonly shape: TunedShape;
  readonly arena: Arena;
  /** A pass. */
  readonly work: readonly Dispatch[];
  /** Times that the problem is solved in it. */
  readonly count: number;
  /** Seconds of the problem on a device with nothing else to do, and on a busy one. */
  calm: number[];
  busy: number[];
}

/** What counts of an entrant: times on a busy device only where there are no others. */
export function timesOf({ calm, busy }: Entrant): readonly number[] {
  return calm.length > 0 ? calm : busy;
}

function bestOf(entrant: Entrant): number {
  return Math.min(...timesOf(entrant));
}

/** A race on one problem. */
export class Race {
  readonly #gpu: Gpu;
  readonly #arena: Arena;
  readonly #watch: Stopwatch;
  readonly #copies: readonly PreparedProblem[];
  readonly #isLate: () => boolean;
  readonly #entrants = new Map<TunedShape, Entrant>();
  readonly #refused = new Map<TunedShape, string>();
  #expected: readonly Float64Array[] = [];
  #zeros: readonly GPUBuffer[] = [];
  #patience = PATIENCE_MS;

  /**
   * @param arena Owns the copies.
   * @param watch Times.
   * @param copies The same inputs several times, which take turns.
   * @param isLate Whether no other shape is to be started.
   */
  constructor(
    arena: Arena,
    watch: Stopwatch,
    copies: readonly PreparedProblem[],
    isLate: () => boolean,
  ) {
    this.#gpu = arena.gpu;
    this.#arena = arena;
    this.#watch = watch;
    this.#copies = copies;
    this.#isLate = isLate;
  }

  /** Shapes that were right. */
  get size(): number {
    return this.#entrants.size;
  }

  get refused(): RefusedShape[] {
    return [...this.#refused].map(([shape, reason]) => ({ shape, reason }));
  }

  entrants(): Entrant[] {
    return [...this.#entrants.values()];
  }

  untimed(): Entrant[] {
    return this.entrants().filter((entrant) => timesOf(entrant).length === 0);
  }

  /** Those that were timed, the fastest first. */
  ranking(): Entrant[] {
    return this.entrants()
      .filter((entrant) => timesOf(entrant).length > 0)
      .sort((a, b) => bestOf(a) - bestOf(b));
  }

  /**
   * Lets the default in, whose numbers the others must give.
   *
   * @param shape The default.
   * @throws {GpuError} If it cannot be run.
   */
  async begin(shape: TunedShape): Promise<Entrant> {
    this.#zeros = this.#copies[0]!.outputs.map(({ buffer }) =>
      this.#arena.buffer("zeros", buffer.size)
    );
    const arena = this.#gpu.arena();
    try {
      const each = this.#copies.map((copy) => copy.dispatches(arena, shape));
      this.#expected = await this.#outputsOf(each[0]!);
      return await this.#admit(shape, arena, each);
    } catch (error) {
      arena.destroy();
      throw error;
    }
  }

  /**
   * Lets shapes in that are right and not known yet.
   *
   * @param shapes In order of hope.
   * @throws {GpuError} If the device is lost.
   */
  async enter(shapes: readonly TunedShape[]): Promise<void> {
    for (const shape of shapes) {
      if (this.#entrants.has(shape) || this.#refused.has(shape)) continue;
      if (this.#isLate()) return;
      const arena = this.#gpu.arena();
      try {
        const each = this.#copies.map((copy) => copy.dispatches(arena, shape));
        const found = await this.#outputsOf(each[0]!);
        const difference = differenceOf(found, this.#expected);
        if (difference === undefined) await this.#admit(shape, arena, each);
        else this.#refuse(shape, arena, difference);
      } catch (error) {
        if (error instanceof GpuError && error.kind === "lost") throw error;
        if (!(error instanceof GpuError || error instanceof RangeError)) {
          throw error;
        }
        this.#refuse(shape, arena, error.message.split("\n", 1)[0]!);
      }
    }
  }

  /**
   * Times shapes in turns.
   *
   * @param entrants Which.
   * @param rounds How often each; the hopeless less often.
   */
  async run(entrants: readonly Entrant[], rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      const best = Math.min(...this.ranking().slice(0, 1).map(bestOf));
      const running = entrants.filter((entrant) =>
        timesOf(entrant).length === 0 || bestOf(entrant) <= HOPELESS * best
      );
      for (let first = 0; first < running.length; first += TOGETHER) {
        // Late, a time of each is enough.
        if (round > 0 && this.#isLate()) return;
        await this.#together(running.slice(first, first + TOGETHER));
      }
    }
  }

  /** Frees what shapes need but for those that stay in. */
  release(staying: readonly Entrant[]): void {
    for (const entrant of this.entrants()) {
      if (!staying.includes(entrant)) entrant.arena.destroy();
    }
  }

  async #together(entrants: readonly Entrant[]): Promise<void> {
    for (;;) {
      const start = performance.now();
      let isCalm = await this.#watch.isCalm();
      const isPatient = () =>
        performance.now() - start < this.#patience && !this.#isLate();
      while (!isCalm && isPatient()) {
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        isCalm = await this.#watch.isCalm();
      }
      const seconds: number[] = [];
      for (const { work, count } of entrants) {
        seconds.push(await this.#watch.seconds(work) / count);
      }
      isCalm = isCalm && await this.#watch.isCalm();
      for (const [i, entrant] of entrants.entries()) {
        (isCalm ? entrant.calm : entrant.busy).push(seconds[i]!);
      }
      if (isCalm) return;
      this.#patience -= performance.now() - start;
      if (this.#patience <= 0 || this.#isLate()) return;
    }
  }

  async #admit(
    shape: TunedShape,
    arena: Arena,
    each: readonly (readonly Dispatch[])[],
  ): Promise<Entrant> {
    const all = each.flat();
    // Pipelines are built; what the device's caches hold is as in all other passes.
    const once = await this.#watch.seconds(all);
    const most = Math.max(1, Math.floor(MOST_DISPATCHES / all.length));
    const repeats = Math.min(most, this.#watch.repeats(once));
    const entrant = {
      shape,
      arena,
      work: Array.from({ length: repeats }, () => all).flat(),
      count: repeats * each.length,
      calm: [],
      busy: [],
    };
    this.#entrants.set(shape, entrant);
    return entrant;
  }

  #refuse(shape: TunedShape, arena: Arena, reason: string): void {
    arena.destroy();
    this.#refused.set(shape, reason);
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
}
