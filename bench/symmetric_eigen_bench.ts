// Time of the dense eigensolver at the sizes that conversions meet: 2·G·d - m of
// SmolLM2-135M (m = 64 and 32) and of wider models.

import { symmetricEigen } from "../src/linalg/symmetric_eigen.ts";

for (const n of [320, 352, 600, 960]) {
  const data = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const value = Math.sin(1 + 7 * i + 13 * j * j) / (1 + i - j);
      data[i * n + j] = value;
      data[j * n + i] = value;
    }
  }
  Deno.bench(`symmetricEigen() n = ${n}`, { n: 3, warmup: 1 }, () => {
    symmetricEigen({ rows: n, columns: n, data });
  });
}
