import { assertEquals, assertThrows } from "@std/assert";
import type { Matrix64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import { columnBlock, rowBlock, scaled, stackRows, trace } from "./blocks.ts";

function matrix(rows: number, columns: number): Matrix64 {
  const data = Float64Array.from({ length: rows * columns }, (_, i) => i);
  return { rows, columns, data };
}

Deno.test("rowBlock() is a view, columnBlock() a copy", () => {
  const a = matrix(3, 2);
  const rows = rowBlock(a, 1, 3);
  assertEquals([...rows.data], [2, 3, 4, 5]);
  assertEquals(rows.data.buffer, a.data.buffer);
  assertEquals(rowBlock(a, 3, 3).rows, 0);
  assertEquals([...columnBlock(matrix(2, 3), 1, 3).data], [1, 2, 4, 5]);
});

Deno.test("rowBlock() and columnBlock() refuse what is outside", () => {
  assertThrows(() => rowBlock(matrix(3, 2), 1, 4), RangeError, "3 rows");
  assertThrows(() => columnBlock(matrix(3, 2), 2, 1), RangeError, "2 columns");
});

Deno.test("stackRows() stacks in order and refuses differing widths", () => {
  const stacked = stackRows(matrix(1, 2), matrix(2, 2));
  assertEquals(stacked.rows, 3);
  assertEquals([...stacked.data], [0, 1, 0, 1, 2, 3]);
  assertThrows(() => stackRows(matrix(1, 2), matrix(1, 3)), ShapeError);
});

Deno.test("scaled() and trace() are what their names say", () => {
  assertEquals([...scaled(matrix(1, 3), 2).data], [0, 2, 4]);
  assertEquals(trace(matrix(3, 3)), 12);
  assertEquals(trace(matrix(3, 3), 1, 3), 12);
  assertEquals(trace(matrix(3, 3), 2, 3), 8);
});
