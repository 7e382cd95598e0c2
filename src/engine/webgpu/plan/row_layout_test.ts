import { assertEquals } from "@std/assert";
import { groupRows, layOut } from "./row_layout.ts";

Deno.test("layOut() packs ragged sequences and cuts query tiles within them", () => {
  const layout = layOut([{ past: 0, length: 5 }, { past: 7, length: 2 }], 4);
  assertEquals(layout.rows, 7);
  assertEquals(layout.longest, 9);
  assertEquals([...layout.rowSequence], [0, 0, 0, 0, 0, 1, 1]);
  assertEquals([...layout.rowPosition], [0, 1, 2, 3, 4, 7, 8]);
  assertEquals([...layout.tiles], [0, 0, 4, 0, 0, 4, 1, 4, 1, 5, 2, 7]);
});

Deno.test("layOut() has the tiles that see most keys last, or rows in order", () => {
  const spans = [{ past: 0, length: 5 }, { past: 1, length: 5 }];
  const [first, rest] = [[0, 0, 4, 0], [0, 4, 1, 4]];
  const [second, last] = [[1, 5, 4, 1], [1, 9, 1, 5]];
  assertEquals(
    [...layOut(spans, 4).tiles],
    [first, rest, second, last].flat(),
  );
  spans.reverse();
  assertEquals(
    [...layOut(spans, 4).tiles],
    [[1, 5, 4, 0], [0, 0, 4, 1], [1, 9, 1, 4], [0, 4, 1, 5]].flat(),
  );
  assertEquals(
    [...layOut(spans, 4, "rows").tiles],
    [[0, 0, 4, 1], [0, 4, 1, 5], [1, 5, 4, 0], [1, 9, 1, 4]].flat(),
  );
});

Deno.test("groupRows() puts short sequences together and cuts long ones", () => {
  const span = (past: number, length: number) => ({ past, length });
  assertEquals(groupRows([3, 4, 2], 8), [
    { first: 0, spans: [span(0, 3), span(0, 4)] },
    { first: 2, spans: [span(0, 2)] },
  ]);
  assertEquals(groupRows([2, 19, 1, 8], 8), [
    { first: 0, spans: [span(0, 2)] },
    { first: 1, spans: [span(0, 8)] },
    { first: 1, spans: [span(8, 8)] },
    { first: 1, spans: [span(16, 3)] },
    { first: 2, spans: [span(0, 1)] },
    { first: 3, spans: [span(0, 8)] },
  ]);
});
