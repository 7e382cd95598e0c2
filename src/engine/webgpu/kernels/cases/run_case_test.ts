import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import type { Arena, Dispatch, Gpu } from "../../device/gpu.ts";
import type { CaseOutput, KernelCase } from "./kernel_case.ts";
import { caseRandom, missingNeeds, runCase } from "./run_case.ts";

// A device whose buffers are arrays and whose dispatches are functions: what
// runCase() says of wrong kernels needs kernels that are wrong on purpose.

interface Memory {
  readonly size: number;
  readonly bytes: ArrayBuffer;
}

const memoryOf = (buffer: GPUBuffer) => buffer as unknown as Memory;

function fakeGpu(): Gpu {
  const gpu = {
    features: {
      f16: false,
      subgroups: true,
      subgroupMatrix: false,
      timestamps: false,
    },
    arena: () => ({ gpu, destroy() {} }),
    write(buffer: GPUBuffer, byteOffset: number, data: Uint32Array) {
      const bytes = new Uint8Array(memoryOf(buffer).bytes, byteOffset);
      bytes.set(new Uint8Array(data.buffer));
    },
    read: (buffer: GPUBuffer, byteOffset: number, bytes: number) =>
      Promise.resolve(
        memoryOf(buffer).bytes.slice(byteOffset, byteOffset + bytes),
      ),
    run(work: readonly { execute(): void }[]) {
      for (const { execute } of work) execute();
    },
    settle: () => Promise.resolve(),
  };
  return gpu as unknown as Gpu;
}

function bufferOf(values: Float32Array | Float16Array | Uint32Array) {
  const bytes = values.buffer;
  return { size: bytes.byteLength, bytes } as unknown as GPUBuffer;
}

function caseOf(
  output: Omit<CaseOutput, "name"> & { readonly keep?: boolean },
  execute: () => void,
): KernelCase {
  return {
    label: "a case",
    prepare: () => ({
      dispatches: [{ execute } as unknown as Dispatch],
      outputs: [{ name: "out", ...output }],
    }),
  };
}

const exact = { atol: 0, rtol: 0 };

Deno.test("runCase() passes what is within its tolerance and counts how near it was", async () => {
  const out = new Float32Array(4);
  const report = await runCase(
    fakeGpu(),
    caseOf({
      buffer: bufferOf(out),
      element: "f32",
      expected: Float64Array.of(1, 2, 4, NaN),
      atol: 0.5,
      rtol: 0.25,
    }, () => out.set([1, 2.5, 3.25])),
  );
  assertEquals(report.message, "");
  assert(report.passed);
  const { worstIndex, error, excess, actual, expected } = report.outputs[0]!;
  assertEquals(
    { worstIndex, error, excess, actual, expected },
    { worstIndex: 1, error: 0.75, excess: 0.5, actual: 2.5, expected: 2 },
  );
});

Deno.test("runCase() names the worst of the numbers that differ", async () => {
  const out = new Uint32Array(3);
  const report = await runCase(
    fakeGpu(),
    caseOf({
      buffer: bufferOf(out),
      element: "u32",
      expected: Float64Array.of(7, 8, 9),
      ...exact,
    }, () => out.set([7, 9, 12])),
  );
  assert(!report.passed);
  assertEquals(report.outputs[0]!.failures, 2);
  assertStringIncludes(report.message, "2 of 3 numbers differ");
});

for (
  const [element, values] of [
    ["f32", new Float32Array(4)],
    ["f16", new Float16Array(4)],
    ["u32", new Uint32Array(4)],
  ] as const
) {
  const buffer = bufferOf(values);
  // As in fresh memory: without poison, what is not written would look right.
  const zeros = Float64Array.of(0, 0, 0);

  Deno.test(`runCase() fails a kernel that leaves ${element} unwritten`, async () => {
    const report = await runCase(
      fakeGpu(),
      caseOf({ buffer, element, expected: zeros, atol: 1, rtol: 1 }, () => {
        values[0] = values[2] = 0;
      }),
    );
    assertEquals(report.outputs[0]!.failures, 1);
    assertStringIncludes(report.message, "worst at index 1");
  });

  Deno.test(`runCase() fails a kernel that writes ${element} where it must not`, async () => {
    const report = await runCase(
      fakeGpu(),
      caseOf({
        buffer,
        element,
        expected: Float64Array.of(0, NaN, 0),
        ...exact,
      }, () => values.fill(0)),
    );
    assertEquals(report.outputs[0]!.failures, 1);
    assertStringIncludes(report.message, "index 1: actual 0, must not be");
  });
}

Deno.test("runCase() leaves the contents of an output that is kept, and checks that they stay", async () => {
  const out = Float32Array.of(5, 6, 7);
  const output = {
    buffer: bufferOf(out),
    element: "f32",
    expected: Float64Array.of(6, NaN, 7),
    keep: true,
    ...exact,
  } as const;
  assert((await runCase(fakeGpu(), caseOf(output, () => out[0]! += 1))).passed);
  out[0] = 5;
  const report = await runCase(
    fakeGpu(),
    caseOf(output, () => out.set([6, 6.5, 7])),
  );
  assertStringIncludes(report.message, "worst at index 1");
});

Deno.test("runCase() fails NaN and takes infinities that are expected", async () => {
  const out = new Float32Array(2);
  const output = {
    buffer: bufferOf(out),
    element: "f32",
    expected: Float64Array.of(Infinity, 1),
    atol: 1e9,
    rtol: 1,
  } as const;
  const run = (values: number[]) =>
    runCase(fakeGpu(), caseOf(output, () => out.set(values)));
  assert((await run([Infinity, 1])).passed);
  assert(!(await run([3e38, 1])).passed);
  assert(!(await run([Infinity, NaN])).passed);
});

Deno.test("runCase() refuses a case that expects nothing", async () => {
  await assertRejects(
    () =>
      runCase(
        fakeGpu(),
        caseOf({
          buffer: bufferOf(new Float32Array(1)),
          element: "f32",
          expected: new Float64Array(),
          ...exact,
        }, () => {}),
      ),
    RangeError,
    "as it expects no output",
  );
});

Deno.test("missingNeeds() names features, and cases that do not fit", () => {
  const base: KernelCase = {
    label: "a case",
    prepare: (_: Arena) => ({ dispatches: [], outputs: [] }),
  };
  const gpu = fakeGpu();
  assertEquals(missingNeeds(gpu, base), []);
  assertEquals(missingNeeds(gpu, { ...base, needs: ["subgroups"] }), []);
  assertEquals(
    missingNeeds(gpu, { ...base, needs: ["f16", "subgroupMatrix"] }),
    ["f16", "subgroupMatrix"],
  );
  assertEquals(missingNeeds(gpu, { ...base, fits: () => false }), ["fits"]);
});

Deno.test("caseRandom() repeats itself by seed and has the moments of its name", () => {
  const { normal, integers } = caseRandom(3);
  const numbers = normal(20_000, 2);
  assertEquals(caseRandom(3).normal(5, 2), numbers.subarray(0, 5));
  assert(caseRandom(4).normal(1)[0] !== caseRandom(3).normal(1)[0]);
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const square = numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length;
  // Standard errors: 0.014 of the mean, 0.04 of the square.
  assert(Math.abs(mean) < 0.06, `mean is ${mean}`);
  assert(Math.abs(square - 4) < 0.16, `mean square is ${square}`);
  const whole = integers(1000, 7);
  assertEquals([...new Set(whole)].sort(), [0, 1, 2, 3, 4, 5, 6]);
});
