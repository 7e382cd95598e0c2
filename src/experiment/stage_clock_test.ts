import { assertEquals, assertRejects } from "@std/assert";
import { StageClock } from "./stage_clock.ts";

Deno.test("StageClock charges each stage its own time, a stage within another not twice", async () => {
  let now = 0;
  const clock = new StageClock(() => now);
  const wait = (milliseconds: number) => {
    now += milliseconds;
    return Promise.resolve();
  };
  await wait(500);
  await clock.time("conversion", async () => {
    await wait(1000);
    await clock.time("calibration", () => wait(2000));
    await wait(4000);
  });
  await wait(500);
  await clock.time("conversion", () => wait(8000));
  assertEquals(clock.seconds, { calibration: 2, conversion: 13 });

  clock.reset();
  assertEquals(clock.seconds, {});
  await assertRejects(() =>
    clock.time("opening", async () => {
      await wait(250);
      throw new RangeError("no room");
    }), RangeError);
  await clock.time("measuring", () => wait(125));
  assertEquals(clock.seconds, { opening: 0.25, measuring: 0.125 });
});
