import { assertThrows } from "@std/assert";
import { checkRange } from "./ranges.ts";

const BUFFER = { label: "keys", size: 20 } as GPUBuffer;

Deno.test("checkRange() allows what ends at the buffer's end", () => {
  checkRange("read", BUFFER, 0, 20, 4);
  checkRange("read", BUFFER, 17, 3, 1);
  checkRange("read", BUFFER, 20, 0, 4);
});

Deno.test("checkRange() refuses what ends past it, and what is no range", () => {
  for (
    const [offset, bytes, multiple, message] of [
      [16, 8, 4, "bytes 16 to 24 must lie within its 20 bytes"],
      [21, 0, 1, "bytes 21 to 21 must lie within its 20 bytes"],
      [2, 4, 4, "the offset must be a whole number of bytes, a multiple of 4"],
      [0, 3, 4, "the size must be a whole number of bytes, a multiple of 4"],
      [
        -1,
        4,
        1,
        "the offset must be a whole number of bytes: current value is -1",
      ],
      [0, NaN, 1, "current value is NaN"],
      [0, Infinity, 1, "current value is Infinity"],
    ] as const
  ) {
    assertThrows(
      () => checkRange("write to", BUFFER, offset, bytes, multiple),
      RangeError,
      message,
    );
  }
});
