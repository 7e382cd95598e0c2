import { assertEquals, assertInstanceOf } from "@std/assert";
import * as errors from "./errors.ts";

Deno.test("every error class names itself and is an Error", () => {
  for (const [name, ErrorClass] of Object.entries(errors)) {
    const error = new ErrorClass("what", { cause: 5 });
    assertInstanceOf(error, Error);
    assertEquals([error.name, error.message, error.cause], [name, "what", 5]);
  }
});

Deno.test("ShapeError is a TypeError, CheckpointError a SyntaxError", () => {
  assertInstanceOf(new errors.ShapeError(), TypeError);
  assertInstanceOf(new errors.CheckpointError(), SyntaxError);
});
