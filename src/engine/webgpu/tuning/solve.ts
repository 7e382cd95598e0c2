// Finds the fastest shape of a problem: each is compared with the default on the
// same random inputs before it is timed, since a fast wrong kernel is worth nothing.

import type { Gpu } from "../device/gpu.ts";
import type { TunedShape } from "../kernels/tuning_table.ts";
import { type Entrant, Race, type RefusedShape, timesOf } from "./race.ts";
import type { Stopwatch } from "./stopwatch.ts";
import type { TuningProblem } from "./tuning_problem.ts";

/** Bytes of the inputs that take turns: many times the cache of a GPU. */
const ROTATED_BYTES = 300e6;
const MAX_COPIES = 32;

const ROUNDS = 4;
const FINAL_ROUNDS = 8;
const FINALISTS = 3;

/** The default stays where the best is not faster by more than this: clocks differ by as much. */
const WORTHWHILE = 1.02;

/** Shapes that are all timed; of more, slices are first tried in one number. */
const FEW = 24;

/** What was found. */
export interface Solution {
  readonly shape: TunedShape;
  readonly seconds: number;
  readonly defaultSeconds: number;
  /** Whether the device had nothing else to do. */
  readonly calm: boolean;
  /** Shapes that were right. */
  readonly timed: number;
  readonly refused: readonly RefusedShape[];
}

/**
 * Solves a problem.
 *
 * @param gpu The device.
 * @param problem The problem.
 * @param watch Times.
 * @param isLate Whether no other shape is to be started.
 * @returns The fastest shape so far; undefined where there is nothing to choose.
 * @throws {GpuError} If the device is lost, or cannot run the default.
 */
export async function solve(
  gpu: Gpu,
  problem: TuningProblem,
  watch: Stopwatch,
  isLate: () => boolean = () => false,
): Promise<Solution | undefined> {
  const shapes = problem.shapes(gpu);
  if (shapes.length < 2) return undefined;
  const arena = gpu.arena();
  let race: Race | undefined;
  try {
    const wanted = Math.ceil(ROTATED_BYTES / problem.inputBytes);
    const count = gpu.facts.software ? 1 : Math.min(MAX_COPIES, wanted);
    const copies = Array.from({ length: count }, () => problem.prepare(arena));
    await gpu.settle();
    race = new Race(arena, watch, copies, isLate);
    return await decide(race, shapes, gpu.facts.software);
  } finally {
    race?.release([]);
    arena.destroy();
    await gpu.settle();
  }
}

async function decide(
  race: Race,
  shapes: readonly TunedShape[],
  isSlow: boolean,
): Promise<Solution> {
  const rounds = isSlow ? 1 : ROUNDS;
  const standard = await race.begin(shapes[0]!);
  const groups = groupsOf(shapes);
  await race.enter(
    shapes.length <= FEW
      ? shapes
      : groups.map((group) => representative(group, shapes[0]!)),
  );
  await race.run(race.entrants(), rounds);
  if (shapes.length > FEW) {
    const leaders = race.ranking().slice(0, 2).map(({ shape }) => shape);
    race.release([standard, ...race.ranking().slice(0, FINALISTS)]);
    await race.enter(
      groups.filter((group) => group.some((shape) => leaders.includes(shape)))
        .flat(),
    );
    await race.run(race.untimed(), rounds);
  }
  const finalists = [
    ...new Set([standard, ...race.ranking().slice(0, FINALISTS)]),
  ];
  for (const entrant of finalists) {
    entrant.calm = [];
    entrant.busy = [];
  }
  await race.run(finalists, isSlow ? 1 : FINAL_ROUNDS);
  const [best] = finalists.toSorted((a, b) => quartile(a) - quartile(b));
  const isWorthwhile = quartile(best!) * WORTHWHILE < quartile(standard);
  const chosen = isWorthwhile ? best! : standard;
  return {
    shape: chosen.shape,
    seconds: quartile(chosen),
    defaultSeconds: quartile(standard),
    calm: chosen.calm.length > 0 && standard.calm.length > 0,
    timed: race.size,
    refused: race.refused,
  };
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

/** A lower quartile: the least of many times is luck. */
function quartile(entrant: Entrant): number {
  const times = timesOf(entrant).toSorted((a, b) => a - b);
  return times[Math.floor((times.length - 1) / 4)]!;
}
