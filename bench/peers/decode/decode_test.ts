import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { InputError } from "../../../src/base/errors.ts";
import {
  caseName,
  type DecodeCase,
  defaultCases,
  isWithinBudget,
  parseCases,
  stepBytes,
} from "./cases.ts";
import { type DecodeEvent, EVENT, fastestForm } from "./events.ts";
import { compareTokens, readRun, writtenRun } from "./greedy.ts";
import {
  type DecodeReport,
  findings,
  isComplete,
  type SideReport,
} from "./report.ts";
import { describeDecode } from "./report_text.ts";
import { configOf, parseSettings } from "./settings.ts";

const MLA = { kvLoraRank: 512, qkRopeHeadDim: 64 };
const LLAMA = "synthetic:llama-2-7b";

Deno.test("parseCases() reads what caseName() writes, and refuses the rest", () => {
  const text = "original:1x1K,mla:244x1K,mla:3x100";
  const cases = parseCases(text);
  assertEquals(cases[1], { kind: "mla", batch: 244, context: 1024 });
  assertEquals(cases.map(caseName).join(), text);
  assertEquals(parseCases("mla:30x8192").map(caseName), ["mla:30x8K"]);
  for (const wrong of ["gqa:1x1K", "mla:0x1K", "mla:1", "mla:1x1M", ""]) {
    assertThrows(() => parseCases(wrong), InputError, "option --cases: found");
  }
});

Deno.test("defaultCases() has LLaMA-2-7B's published batches, and others' by arithmetic", () => {
  assertEquals(
    defaultCases(LLAMA, configOf(LLAMA), MLA).map(caseName),
    [
      ...["1x1K", "1x8K", "1x32K", "17x1K", "8x2K", "4x4K", "2x8K", "1x16K"]
        .map((load) => `original:${load}`),
      ...["1x1K", "1x8K", "1x32K", "244x1K", "122x2K", "61x4K", "30x8K"]
        .map((load) => `mla:${load}`),
      "mla:15x16K",
      "mla:7x32K",
    ],
  );
  for (const model of ["synthetic:llama-3-8b", "synthetic:qwen2.5-7b", LLAMA]) {
    const config = configOf(model);
    const cases = defaultCases(model, config, MLA);
    assert(new Set(cases.map(caseName)).size === cases.length, model);
    for (const one of cases.filter(({ batch }) => batch > 1)) {
      assert(isWithinBudget(config, MLA, one), `${model} ${caseName(one)}`);
      assert(stepBytes(config, MLA, one) < 0.9 * 24 * 2 ** 30);
      if (model === LLAMA) continue;
      const more = { ...one, batch: one.batch + 1 };
      assert(!isWithinBudget(config, MLA, more), `${model} ${caseName(more)}`);
    }
  }
});

Deno.test("stepBytes() counts weights that a step reads and the cache", () => {
  const config = configOf(LLAMA);
  const bytes = (kind: "original" | "mla", batch: number, context: number) =>
    stepBytes(config, MLA, { kind, batch, context });
  // Four projections, the MLP and the head, two bytes each; keys and values.
  assertEquals(
    bytes("original", 1, 1024),
    2 * (32 * (4 * 4096 ** 2 + 3 * 11008 * 4096) + 32000 * 4096) +
      32 * 2 * 4096 * 2 * 1024,
  );
  assertEquals(
    bytes("mla", 30, 8192) - bytes("mla", 29, 8192),
    32 * 576 * 2 * 8192,
  );
  // q 6144 + latent 576 rows, o, up-projections of keys and values, MLP, head.
  const layer = (6720 + 4096 + 3 * 11008) * 4096 + 2 * 4096 * 512;
  assertEquals(
    bytes("mla", 1, 1) - 32 * 576 * 2,
    2 * (32 * layer + 32000 * 4096),
  );
});

Deno.test("compareTokens() finds the first token that differs and how close it was", () => {
  const logits = [[Float32Array.of(0, 1, 4, 4.001)], [
    Float32Array.of(3, 1, 0, 0),
  ]];
  const tokens = [Int32Array.of(3, 0)];
  const compare = (found: number[], dtype: "f16" | "f32") =>
    compareTokens({ tokens, logits }, [Int32Array.from(found)], dtype);
  assertEquals(compare([3, 0], "f32"), {
    batch: 1,
    steps: 2,
    equalSteps: 2,
    holds: true,
  });
  const tie = compare([2, 1], "f16");
  assertEquals([tie.equalSteps, tie.holds], [0, true]);
  // 0.001 of a standard deviation of 1.79.
  assertAlmostEquals(tie.gap!, 0.001 / 1.787, 1e-5);
  assertEquals(compare([2, 1], "f32").holds, false);
  const far = compare([3, 1], "f16");
  assertEquals([far.equalSteps, far.holds], [1, false]);
  assertEquals(compare([99, 0], "f16").holds, false);
  const run = { prompts: [Int32Array.of(1, 2)], tokens, logits };
  assertEquals(readRun(writtenRun(run)), run);
});

const CASES: DecodeCase[] = parseCases(
  "original:1x1K,original:2x8K,mla:1x1K,mla:30x8K",
);

function ours(one: DecodeCase, seconds: number): DecodeEvent {
  return EVENT.parse({
    event: "ourCase",
    case: one,
    seconds,
    repetitionSeconds: [seconds],
    steps: 64,
    firstContext: one.context,
    lastContext: one.context + 64,
    cacheBytes: 1,
    fillSeconds: 1,
  });
}

function peer(one: DecodeCase, seconds: number): DecodeEvent {
  const timed = (form: string, seconds: number) => ({
    form,
    relativeError: 1e-4,
    residual: "addmm",
    seconds,
    fastestSeconds: seconds,
    steps: 24,
  });
  return EVENT.parse({
    event: "peerCase",
    case: one,
    weightBytes: 1,
    forms: [
      timed("two matmuls", 2 * seconds),
      timed("triton", seconds),
      { form: "third", error: "does not compile" },
    ],
  });
}

const SIDES: SideReport[] = [
  {
    side: "torch",
    wallSeconds: 9,
    events: [
      { event: "copy", bytesPerSecond: 3e12 },
      ...CASES.map((one, i) => peer(one, [8e-3, 10e-3, 9e-3, 12e-3][i]!)),
    ],
  },
  {
    side: "dawn",
    wallSeconds: 9,
    error: "it ended before its last case",
    events: [
      { event: "copy", bytesPerSecond: 2.9e12 },
      ...CASES.slice(0, 3).map((one, i) => ours(one, [5e-3, 8e-3, 4.5e-3][i]!)),
      { event: "failed", case: CASES[3]!, error: "out of memory" },
    ],
  },
];

Deno.test("findings() holds ours against torch's fastest form and the bytes", () => {
  const found = findings({ cases: CASES, mla: MLA }, configOf(LLAMA), SIDES);
  assertEquals(found.copyBytesPerSecond, 3e12);
  const [first, , , last] = found.rows;
  assertEquals(first!.speeds.torch!.form, "triton");
  assertAlmostEquals(first!.speeds.dawn!.ratio!, 1.6, 1e-12);
  assertAlmostEquals(first!.speeds.dawn!.tokensPerSecond, 200, 1e-9);
  const limit = first!.stepBytes / 3e12;
  assertAlmostEquals(first!.speeds.dawn!.fraction, limit / 5e-3, 1e-12);
  assertEquals(last!.errors, { dawn: "out of memory" });
  assertEquals(last!.speeds.dawn, undefined);
  assertEquals(
    found.mlaRatios.map(({ load, batches }) => [load, ...batches]),
    [["one", 1, 1], ["budget", 2, 30]],
  );
  // A few sequences are not what a budget holds.
  const few = parseCases("original:1x8K,mla:5x8K");
  const { mlaRatios } = findings(
    { cases: few, mla: MLA },
    configOf(LLAMA),
    [{
      side: "torch",
      wallSeconds: 1,
      events: few.map((one) => peer(one, 1e-2)),
    }],
  );
  assertEquals(mlaRatios, []);
  const [, budget] = found.mlaRatios;
  // 30 sequences in 12 ms beside 2 in 10.
  assertAlmostEquals(budget!.ratios.torch!, 12.5, 1e-9);
  assertEquals(budget!.ratios.dawn, undefined);
});

Deno.test("findings() holds a side that computes in f32 against twice the bytes", () => {
  const settings = { cases: CASES, mla: MLA };
  const config = configOf(LLAMA);
  const narrow = findings(settings, config, SIDES).rows[0]!.speeds;
  const wide = findings({ ...settings, dtype: "f32" }, config, SIDES)
    .rows[0]!.speeds;
  assertAlmostEquals(wide.dawn!.fraction, 2 * narrow.dawn!.fraction, 1e-12);
  assertEquals(wide.torch!.fraction, narrow.torch!.fraction);
});

Deno.test("describeDecode() shows times, ratios, forms and failures", () => {
  const settings = parseSettings(["--cases", CASES.map(caseName).join()])!;
  const report: DecodeReport = {
    schemaVersion: 1,
    date: "2026-01-01T00:00:00.000Z",
    settings,
    machine: {
      cpu: "A CPU",
      cores: 1,
      memoryBytes: 1,
      os: "linux",
      osRelease: "6",
      architecture: "x86_64",
    },
    gpu: { name: "A GPU", driver: "1.2" },
    wallSeconds: 18,
    ...findings(settings, configOf(LLAMA), SIDES),
    sides: SIDES,
  };
  const text = describeDecode(report);
  for (
    const part of [
      "synthetic:llama-2-7b on A GPU, driver 1.2",
      "copy 3000 GB/s",
      "1.60x",
      "12.50x",
      "does not compile",
      "dawn: mla:30x8K failed: out of memory",
      "dawn: it ended before its last case",
    ]
  ) assertStringIncludes(text, part);
  assert(!text.includes("NaN") && !text.includes("undefined"), text);
  assertEquals(isComplete(report), false);
  const [torch] = SIDES;
  const alone = findings(settings, configOf(LLAMA), [torch!]);
  assertEquals(isComplete({ ...report, ...alone, sides: [torch!] }), true);
});

Deno.test("fastestForm() is none where all forms failed", () => {
  const event = peer(CASES[0]!, 1);
  assert(event.event === "peerCase");
  assertEquals(fastestForm(event)!.form, "triton");
  const forms = [{ form: "triton", error: "does not compile" }];
  assertEquals(fastestForm({ ...event, forms }), undefined);
});

Deno.test("parseSettings() refuses what cannot be meant", () => {
  const refused = (args: string[], message: string) =>
    assertThrows(() => parseSettings(args), InputError, message);
  refused(["--provider", "metal"], "option --provider: found metal");
  refused(["--peer-only", "--ours-only"], "allowed: one of them");
  refused(["--model", "smollm2"], "allowed: synthetic:NAME");
  refused(["llama"], "--model names the model");
  refused(["--provider", "deno,deno"], "found deno again");
  refused(["--cases", "mla:1x1K,mla:1x1024"], "found mla:1x1K again");
  refused(["--cases", "mla:99999x1"], "at most 65536 sequences");
  refused(["--score-windows", "2"], "allowed: only with --score");
  refused(["--time-limit", "2147484"], "allowed: at most 2147483");
  refused(
    ["--kv-lora-rank", "9999"],
    "with synthetic:llama-2-7b: Cannot convert with kvLoraRank 9999",
  );
  refused(
    ["--qk-rope-head-dim", "48"],
    "must be an even divisor of headDim 128",
  );
  assertEquals(parseSettings(["--help"]), undefined);
  assertEquals(parseSettings([])!.providers, ["dawn", "deno"]);
});
