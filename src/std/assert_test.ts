import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertInstanceOf,
  AssertionError,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";

/** Calls what must fail and returns its message; independent of assertThrows(). */
function failure(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    if (error instanceof AssertionError) return error.message;
    throw error;
  }
  throw new Error("nothing was thrown");
}

async function rejection(fn: () => Promise<unknown>): Promise<string> {
  try {
    await fn();
  } catch (error) {
    if (error instanceof AssertionError) return error.message;
    throw error;
  }
  throw new Error("nothing was thrown");
}

Deno.test("assert() passes truthy values only", () => {
  assert(1);
  if (failure(() => assert(0, "zero")) !== "zero") throw new Error("message");
  assertFalse("");
  assertEquals(failure(() => assertFalse(1, "one")), "one");
});

Deno.test("assertEquals() compares deeply", () => {
  assertEquals({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] });
  assertEquals(new Map([[{ k: 1 }, [2]]]), new Map([[{ k: 1 }, [2]]]));
  assertEquals(new Set([[1], [2]]), new Set([[2], [1]]));
  assertEquals(new Date(5), new Date(5));
  assertEquals(/a/g, /a/g);
  assertEquals(NaN, NaN);
  assertEquals(0, -0);
  assertEquals([NaN], [NaN]);
});

Deno.test("assertEquals() tells unequal values apart", () => {
  const pairs: readonly (readonly [unknown, unknown])[] = [
    [1, 2],
    [1, "1"],
    [null, undefined],
    [[1], [1, 2]],
    [{ a: 1 }, { a: 1, b: undefined }],
    [{ a: undefined }, { b: undefined }],
    [{ 0: 1, length: 1 }, [1]],
    [new Map([[1, 2]]), new Map([[1, 3]])],
    [new Set([1]), new Set([2])],
    [new Set([1, 1]), new Set([1, 2])],
    [new Date(5), new Date(6)],
    [/a/, /a/g],
    [new Error("a"), new Error("b")],
    [new Error("a"), new TypeError("a")],
    [new Float32Array([1]), new Float64Array([1])],
    [new Float32Array([1, 2]), new Float32Array([1, 3])],
    [new Uint8Array([1]).buffer, new Uint8Array([2]).buffer],
    [new class A {}(), new class B {}()],
  ];
  for (const [a, b] of pairs) {
    failure(() => assertEquals(a, b));
    failure(() => assertEquals(b, a));
    assertNotEquals(a, b);
  }
});

Deno.test("assertEquals() compares typed arrays, NaN included", () => {
  assertEquals(new Float32Array([1, NaN]), new Float32Array([1, NaN]));
  assertEquals(
    new Uint8Array([1, 2, 3]).subarray(1),
    new Uint8Array([2, 3]),
  );
});

Deno.test("assertEquals() ends on cyclic values", () => {
  const cycle = (end: number) => {
    const value: Record<string, unknown> = { end };
    value.self = value;
    return value;
  };
  assertEquals(cycle(1), cycle(1));
  assertNotEquals(cycle(1), cycle(2));
});

Deno.test("assertEquals() accepts an object without a prototype as a plain one", () => {
  const bare = Object.assign(Object.create(null), { a: 1 });
  assertEquals(bare, { a: 1 });
});

Deno.test("assertEquals() shows a diff by line", () => {
  const message = failure(() =>
    assertEquals(
      { alpha: "x".repeat(60), beta: 2 },
      { alpha: "x".repeat(60), beta: 3 },
      "numbers",
    )
  );
  assertStringIncludes(message, "Values are not equal: numbers");
  assertStringIncludes(message, "-   beta: 2");
  assertStringIncludes(message, "+   beta: 3");
  assertStringIncludes(message, "    alpha:");
});

Deno.test("assertNotEquals() fails on deeply equal values", () => {
  assertMatch(failure(() => assertNotEquals([1], [1])), /not to be/);
});

Deno.test("assertAlmostEquals() allows a relative 1e-7, or the given tolerance", () => {
  assertAlmostEquals(1e9, 1e9 + 50);
  failure(() => assertAlmostEquals(1e9, 1e9 + 200));
  assertAlmostEquals(1, 1.05, 0.1);
  assertMatch(
    failure(() => assertAlmostEquals(1, 1.2, 0.1, "mean")),
    /delta .* greater than "0.1": mean/,
  );
  failure(() => assertAlmostEquals(NaN, 1, 1));
  failure(() => assertAlmostEquals(1, NaN, 1));
  assertAlmostEquals(NaN, NaN);
  assertAlmostEquals(Infinity, Infinity);
});

Deno.test("assertGreater() and assertLess() exclude equality and NaN", () => {
  assertGreater(2, 1);
  assertLess(1, 2);
  failure(() => assertGreater(1, 1));
  failure(() => assertLess(1, 1));
  failure(() => assertGreater(NaN, 1));
  failure(() => assertLess(NaN, 1));
});

Deno.test("assertExists() passes all but null and undefined", () => {
  for (const value of [0, "", false, NaN]) assertExists(value);
  failure(() => assertExists(null));
  failure(() => assertExists(undefined));
});

Deno.test("assertStringIncludes() and assertMatch() look into strings", () => {
  assertStringIncludes("kv_b_proj", "_b_");
  assertMatch("layer 12", /\d+$/);
  const sticky = /a/g;
  assertMatch("a", sticky);
  assertMatch("a", sticky);
  assertMatch(failure(() => assertStringIncludes("a", "b", "c")), /"b": c$/);
  failure(() => assertMatch("layer", /\d/));
});

Deno.test("assertInstanceOf() names the class that it found", () => {
  assertInstanceOf(new RangeError(), Error);
  assertStringIncludes(
    failure(() => assertInstanceOf(new Map(), Set)),
    'instance of "Set" but was "Map"',
  );
  assertStringIncludes(
    failure(() => assertInstanceOf(null, Set)),
    'but was "null"',
  );
});

Deno.test("assertThrows() returns what was thrown", () => {
  const error = assertThrows(
    () => {
      throw new RangeError("too large: 5");
    },
    RangeError,
    "large",
  );
  assertEquals(error.message, "too large: 5");
  assertEquals(
    assertThrows(() => {
      throw 5;
    }),
    5,
  );
});

Deno.test("assertThrows() fails where nothing or something else is thrown", () => {
  const fails = () => {
    throw new TypeError("no");
  };
  assertEquals(
    failure(() => assertThrows(() => {}, "why")),
    "Expected function to throw: why",
  );
  assertMatch(
    failure(() => assertThrows(fails, RangeError)),
    /instance of "RangeError", but was "TypeError"/,
  );
  assertMatch(
    failure(() => assertThrows(fails, TypeError, "yes", "why")),
    /to include "yes", but got "no": why/,
  );
  failure(() =>
    assertThrows(() => {
      throw "text";
    }, Error)
  );
});

Deno.test("assertRejects() returns the reason", async () => {
  const error = await assertRejects(
    () => Promise.reject(new RangeError("r <= 448")),
    RangeError,
    "448",
  );
  assertInstanceOf(error, RangeError);
});

Deno.test("assertRejects() fails on a result, another error and a synchronous throw", async () => {
  assertMatch(
    await rejection(() => assertRejects(() => Promise.resolve(1))),
    /Expected function to reject/,
  );
  assertMatch(
    await rejection(() =>
      assertRejects(() => Promise.reject(new TypeError("a")), RangeError)
    ),
    /but was "TypeError"/,
  );
  assertMatch(
    await rejection(() =>
      assertRejects(() => {
        throw new RangeError("now");
      }, RangeError)
    ),
    /throws when expected to reject/,
  );
});
