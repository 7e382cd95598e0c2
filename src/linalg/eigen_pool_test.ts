import { assertEquals, assertRejects } from "@std/assert";
import { zeros64 } from "../base/tensor.ts";
import { EigenPool } from "./eigen_pool.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";

function symmetric(n: number, seed: number) {
  const a = zeros64(n, n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const value = Math.sin(seed + 7 * i + 13 * j * j) / (1 + i - j);
      a.data[i * n + j] = value;
      a.data[j * n + i] = value;
    }
  }
  return a;
}

Deno.test("EigenPool gives symmetricEigen()'s results, more jobs than threads and small ones too", async () => {
  using pool = new EigenPool(2);
  const matrices = [130, 20, 140, 150, 129].map((n, i) => symmetric(n, i));
  const results = await Promise.all(matrices.map((a) => pool.decompose(a)));
  for (const [i, a] of matrices.entries()) {
    assertEquals(results[i], symmetricEigen(a));
  }
});

Deno.test("EigenPool refuses what symmetricEigen() refuses, and goes on", async () => {
  using pool = new EigenPool(2);
  const broken = symmetric(130, 1);
  broken.data[5] = NaN;
  await assertRejects(
    () => pool.decompose(broken),
    RangeError,
    "element [0, 5] is NaN",
  );
  const a = symmetric(130, 2);
  assertEquals(await pool.decompose(a), symmetricEigen(a));
});

Deno.test("EigenPool fails what is under way when it ends", async () => {
  const pool = new EigenPool(2);
  const pending = [1, 2, 3].map((seed) => pool.decompose(symmetric(200, seed)));
  pool[Symbol.dispose]();
  for (const result of pending) {
    await assertRejects(() => result, Error, "pool is closed");
  }
});
