import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { Reservoir, reservoirTokens } from "./reservoir.ts";

Deno.test("reservoirTokens() is a seeded ascending sample without repetition", () => {
  const chosen = reservoirTokens(1000, 50, 42);
  assertEquals(chosen.length, 50);
  for (let i = 1; i < chosen.length; i++) assert(chosen[i - 1]! < chosen[i]!);
  assert(chosen[0]! >= 0 && chosen.at(-1)! < 1000);
  assertEquals(reservoirTokens(1000, 50, 42), chosen);
  assertNotEquals(reservoirTokens(1000, 50, 43), chosen);
  assertEquals([...reservoirTokens(3, 50, 42)], [0, 1, 2]);
  assertEquals([...reservoirTokens(3, 3, 1)], [0, 1, 2]);
});

Deno.test("reservoirTokens() takes every token about equally often", () => {
  const counts = new Int32Array(20);
  for (let seed = 0; seed < 4000; seed++) {
    for (const token of reservoirTokens(20, 5, seed)) counts[token]!++;
  }
  // 4000 draws of probability 1/4: mean 1000, standard deviation 27.
  for (const count of counts) assert(Math.abs(count - 1000) < 5 * 27);
});

Deno.test("Reservoir keeps the chosen rows, however they are cut in batches", () => {
  const width = 3;
  const row = (t: number) => [t, t + 0.25, t + 0.5];
  const chosen = Int32Array.of(0, 3, 4, 9);
  for (const batches of [[10], [1, 2, 3, 4], [4, 6]]) {
    const reservoir = new Reservoir(chosen, width);
    let t = 0;
    for (const size of batches) {
      reservoir.add(
        Float32Array.from(
          Array.from({ length: size }, () => row(t++)).flat(),
        ),
      );
    }
    assertEquals(reservoir.seen, 10);
    assertEquals(reservoir.rows.rows, 4);
    assertEquals([...reservoir.rows.data], [...chosen].flatMap(row));
  }
});
