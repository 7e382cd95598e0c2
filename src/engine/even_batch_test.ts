import { assert, assertEquals } from "@std/assert";
import { evenBatch } from "./even_batch.ts";

Deno.test("evenBatch() makes no more batches than must be, and no small last one", () => {
  assertEquals(evenBatch(148, 16), 15);
  assertEquals(evenBatch(10, 4), 4);
  assertEquals(evenBatch(3, 4), 3);
  assertEquals(evenBatch(1, 1), 1);
  for (let count = 1; count <= 60; count++) {
    for (let most = 1; most <= 20; most++) {
      const batch = evenBatch(count, most);
      const batches = Math.ceil(count / most);
      assert(batch <= most, `${batch} of ${count} by ${most}`);
      assertEquals(Math.ceil(count / batch), batches);
      const last = count - (batches - 1) * batch;
      assert(last >= 1 && last <= batch);
    }
  }
});
