import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../base/errors.ts";
import { parseCell } from "./record_schema.ts";

const METRICS = {
  value: 20,
  meanNll: 3,
  stderr: 0.1,
  windows: 1,
  windowTokens: 64,
  tokens: 64,
  text: "t",
  textSha256: "a",
  windowNll: [3],
};

const RECORD = {
  schemaVersion: 1,
  experiment: "e",
  runId: "r",
  cell: "0123456789abcdef",
  status: "ok",
  model: {
    id: "m",
    sha256: "b",
    modelType: "llama",
    numHiddenLayers: 1,
    hiddenSize: 8,
    numAttentionHeads: 2,
    numKeyValueHeads: 1,
    headDim: 4,
  },
  variant: { method: "original" },
  variantLabel: "original",
  engine: { name: "webgpu", dtype: "f32" },
  contextTokens: 64,
  peakMemoryBytes: 1,
  wallSeconds: 1,
  startedAt: "2026-01-01T00:00:00Z",
  measure: "perplexity",
  metrics: METRICS,
};

function refused(changes: object, field: string): void {
  const error = assertThrows(
    () => parseCell({ ...RECORD, ...changes }, "cell.json"),
    InputError,
    `as ${field} is not valid`,
  );
  // deno-lint-ignore no-control-regex
  assertEquals(/[\x00-\x1f\x7f-\x9f]/.test(error.message), false);
}

Deno.test("parseCell() refuses control characters in what a terminal shows", () => {
  assertEquals(parseCell(RECORD, "cell.json").variantLabel, "original");
  const { model, engine } = RECORD;
  for (const text of ["\x1b[2J", "a\nb", "\x9b2J", "\x7f"]) {
    refused({ variantLabel: text }, "variantLabel");
    refused({ variantGroup: text }, "variantGroup");
    refused({ experiment: text }, "experiment");
    refused({ model: { ...model, id: text } }, "model.id");
    for (const field of ["name", "provider", "dtype", "adapter"]) {
      refused({ engine: { ...engine, [field]: text } }, `engine.${field}`);
    }
    refused({ metrics: { ...METRICS, text } }, "metrics.text");
  }
});

Deno.test("parseCell() refuses a perplexity that is not positive or has no windows", () => {
  for (const value of [0, -1]) {
    refused({ metrics: { ...METRICS, value } }, "metrics.value");
  }
  refused({ metrics: { ...METRICS, windowNll: [] } }, "metrics.windowNll");
});
