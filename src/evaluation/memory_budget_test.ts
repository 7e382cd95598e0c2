import { assertEquals, assertStringIncludes } from "@std/assert";
import { type BatchRequest, FORESEEN, planBatch } from "./memory_budget.ts";

const REQUEST: BatchRequest = {
  batch: "auto",
  memoryBudgetBytes: 10_000,
  weightBytes: 1000,
  cacheBytesPerToken: 10,
  tokens: 100,
  device: "gpu",
};

Deno.test("planBatch() takes the largest batch that fits, 1 on a CPU", () => {
  const plan = planBatch(REQUEST);
  assertEquals(plan.batchSize, 9);
  assertEquals(plan.memoryBytes, 10_000);
  assertEquals(plan.exceeded, undefined);
  assertEquals(planBatch({ ...REQUEST, device: "cpu" }).batchSize, 1);
  assertEquals(planBatch({ ...REQUEST, memoryBudgetBytes: 9999 }).batchSize, 8);
});

Deno.test("planBatch() without a budget is 1 sequence", () => {
  const { memoryBudgetBytes: _, ...request } = REQUEST;
  const plan = planBatch(request);
  assertEquals(plan.batchSize, 1);
  assertEquals(plan.memory, {
    weightBytes: 1000,
    cacheBytes: 1000,
    scratchBytes: 0,
  });
});

Deno.test("planBatch() finds the largest batch beside scratch that does not grow evenly", () => {
  // At 7 and more a second buffer is needed; at 6 a third, which 5 can do without.
  const scratchBytes = (batch: number) =>
    batch >= 7 ? 2500 : batch === 6 ? 4000 : 100;
  const fits = (batch: number) =>
    1000 + batch * 1000 + scratchBytes(batch) <= 9000;
  const plan = planBatch({
    ...REQUEST,
    memoryBudgetBytes: 9000,
    scratchBytes,
  });
  assertEquals(plan.batchSize, 5);
  assertEquals([5, 6, 7, 8].filter(fits), [5]);
  assertEquals(plan.memory.scratchBytes, 100);
  assertEquals(plan.memoryBytes, 6100);
});

Deno.test("planBatch() leaves the part of the budget that memoryUtilization says", () => {
  const plan = planBatch({ ...REQUEST, memoryUtilization: 0.5 });
  assertEquals(plan.batchSize, 4);
  assertEquals(plan.memory.budgetBytes, 5000);
});

Deno.test("planBatch() takes no more sequences than there are", () => {
  assertEquals(planBatch({ ...REQUEST, mostSequences: 3 }).batchSize, 3);
});

Deno.test("planBatch() states the arithmetic of a foreseen out of memory", () => {
  const plan = planBatch({
    batch: "auto",
    memoryBudgetBytes: 24 * 2 ** 30,
    memoryUtilization: 0.9,
    weightBytes: 13_476_831_232,
    cacheBytesPerToken: 524_288,
    tokens: 32_768,
    scratchBytes: () => 12_000_000,
    device: "gpu",
  });
  assertEquals(plan.batchSize, 1);
  assertEquals(
    plan.exceeded,
    `${FORESEEN}: weights 13.48 GB + cache 1 x 32768 tokens x 524288 B + ` +
      "scratch 12.00 MB = 30.67 GB > 23.19 GB, 0.9 of 25.77 GB",
  );
  const small = planBatch({ ...REQUEST, batch: 4, memoryBudgetBytes: 4999 });
  assertStringIncludes(
    small.exceeded!,
    "weights 1000 B + cache 4 x 100 tokens x 10 B + scratch 0 B = 5000 B > 4999 B",
  );
});
