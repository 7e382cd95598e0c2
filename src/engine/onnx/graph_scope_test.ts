import { assertEquals } from "@std/assert";
import { causalMask } from "./graph_scope.ts";

Deno.test("causalMask() opens each row up to its own position", () => {
  for (const tokens of [1, 5, 300]) {
    const { shape, data } = causalMask(tokens);
    const rows = shape[0]!;
    assertEquals(shape, [Math.min(tokens, 256), tokens]);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < tokens; j++) {
        const isOpen = j <= tokens - rows + i;
        assertEquals(data[i * tokens + j], isOpen ? 0 : -Infinity);
      }
    }
  }
});
