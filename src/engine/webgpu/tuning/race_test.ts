import { assert, assertEquals } from "@std/assert";
import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import type { View } from "../kernels/kernel.ts";
import { Race, timesOf } from "./race.ts";
import type { Stopwatch } from "./stopwatch.ts";
import type { PreparedProblem } from "./tuning_problem.ts";

Deno.test("Race counts what it times on a device with nothing else to do", async () => {
  // Busy in the first round of two groups of shapes, and once within a group.
  const watch = watchOf([true, false, false, true, false, true]);
  const race = new Race(arenaOf(), watch, [problem()], () => false);
  await race.begin({ us: 10 });
  await race.enter([{ us: 9 }, { us: 12 }, { us: 30 }]);
  await race.run(race.entrants(), 3);
  assertEquals(race.ranking().map(({ shape }) => shape["us"]), [9, 10, 12, 30]);
  for (const entrant of race.entrants()) {
    const times = timesOf(entrant).map((seconds) => Math.round(1e6 * seconds));
    // The hopeless one sits out.
    const rounds = entrant.shape["us"] === 30 ? 1 : 3;
    assertEquals(times, new Array(rounds).fill(entrant.shape["us"]));
    assert(entrant.busy.length > 0);
  }
});

Deno.test("Race takes times of a busy device where it is never another", async () => {
  let now = 0;
  const watch = watchOf([], () => now += 1);
  const race = new Race(arenaOf(), watch, [problem()], () => now > 5);
  await race.begin({ us: 10 });
  await race.run(race.entrants(), 1);
  const [entrant] = race.ranking();
  assertEquals([entrant!.calm, entrant!.busy.length], [[], 1]);
});

/** Calm or not as listed, then calm if anything is listed; what is timed on a busy device takes three times as long. */
function watchOf(calm: readonly boolean[], onLook = () => {}): Stopwatch {
  let looks = 0;
  let isCalm = true;
  return {
    repeats: () => 1,
    isCalm() {
      onLook();
      isCalm = calm[looks++] ?? calm.length > 0;
      return Promise.resolve(isCalm);
    },
    seconds: ([dispatch]: readonly Dispatch[]) =>
      Promise.resolve(dispatch!.flops * 1e-6 * (calm[looks] ?? true ? 1 : 3)),
  } as unknown as Stopwatch;
}

function problem(): PreparedProblem {
  const buffer = { size: 16 } as GPUBuffer;
  const out: View = { buffer, element: "f32", offset: 0, stride: 4 };
  return {
    outputs: [out],
    dispatches: (_, { us }) => [{ flops: Number(us) } as Dispatch],
  };
}

function arenaOf(): Arena {
  const gpu = {
    arena: () => arena,
    run() {},
    settle: () => Promise.resolve(),
    read: () => Promise.resolve(Float32Array.of(1, 2, 3, 4).buffer),
  } as unknown as Gpu;
  const arena = {
    gpu,
    buffer: (_: string, size: number) => ({ size }) as GPUBuffer,
    destroy() {},
  } as unknown as Arena;
  return arena;
}
