import { assertEquals } from "@std/assert";
import { startMessage } from "./run_voice.ts";

Deno.test("startMessage() says what is there, what is left and what is done now", () => {
  const say = (cells: number, present: number, limit = Infinity) =>
    startMessage({ type: "start", runDir: "runs/a", cells, present }, limit);
  assertEquals(
    say(8, 8),
    "run folder runs/a: all 8 cells are there; nothing to measure (--force measures again)",
  );
  assertEquals(
    say(6, 0, 3),
    "run folder runs/a: 6 cells to measure, 3 of them now",
  );
  assertEquals(say(6, 0, 6), "run folder runs/a: 6 cells to measure");
  assertEquals(
    say(8, 2, 3),
    "run folder runs/a: 2 of 8 cells are there; 6 to measure, 3 of them now (--force measures all again)",
  );
});
