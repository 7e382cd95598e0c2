import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../../src/base/errors.ts";
import { MODEL_ALIASES } from "../../src/checkpoint/model_aliases.ts";
import { compare, median } from "./comparison.ts";
import { assignCpus, coresFirst, parseCpuList } from "./cpus.ts";
import { CHECKED, parseResult, VARIANTS } from "./job.ts";
import { publishedFigures } from "./published.ts";
import { describePeers, type PeerReport } from "./report.ts";
import { sampleRuns } from "./sample_runs.ts";
import { parseSettings } from "./settings.ts";

Deno.test("VARIANTS are 16 different ones, the first four with all FreqFolds", () => {
  assertEquals(new Set(VARIANTS.map((v) => JSON.stringify(v))).size, 16);
  const folds = VARIANTS.slice(0, 4).map(({ freqFold }) => freqFold);
  assertEquals(folds.toSorted((a, b) => a - b), [1, 2, 4, 8]);
  assertEquals(CHECKED, { freqFold: 2, kvLoraRank: 128, balanceKv: true });
});

Deno.test("parseCpuList() reads numbers and ranges, and nothing else", () => {
  assertEquals(parseCpuList("0-3,8\n"), [0, 1, 2, 3, 8]);
  for (const wrong of ["", "1,", "a", "3-1", "0-2,1", "-1", "1.5"]) {
    assertThrows(() => parseCpuList(wrong), InputError, wrong);
  }
});

Deno.test("coresFirst() takes one processor of each core before any sibling", () => {
  const cpus = [0, 1, 2, 3].map((cpu) => ({
    cpu,
    siblings: cpu < 2 ? [0, 1] : [2, 3],
  }));
  assertEquals(coresFirst(cpus), [0, 2, 1, 3]);
  // A sibling that may not be used takes nothing away.
  assertEquals(coresFirst(cpus.slice(1)), [1, 2, 3]);
});

Deno.test("assignCpus() gives each lane its own processors, or says how many it needs", () => {
  assertEquals(assignCpus([4, 5, 6, 7, 8], 2, 2), [[4, 5], [6, 7]]);
  assertThrows(
    () => assignCpus([0, 1], 2, 2),
    InputError,
    "Cannot run 2 x 2 threads as that needs 4 processors: current value is 2",
  );
});

Deno.test("parseSettings() fills in defaults and refuses what cannot be run", () => {
  assertEquals(parseSettings(["--help"]), undefined);
  assertEquals(parseSettings(["--cpus", "2-3"]), {
    model: "smollm2-135m-q4_1",
    python: "python3",
    text: "wikitext-2",
    samples: 128,
    windows: 16,
    variants: 16,
    threads: 2,
    cpus: [2, 3],
    lanes: 1,
  });
  const cases: [string[], string][] = [
    [["a", "b"], "Cannot take b"],
    [["--variants", "17"], "found 17; allowed: 1 to 16"],
    [["--variants", "2", "--lanes", "3"], "found 3; allowed: 1 to the 2"],
    [["--text", "toString"], "found toString; allowed: wikitext-2, brown"],
    [["--samples", "0"], "found 0; allowed: a whole number >= 1"],
    [["--torch"], "unknown option --torch"],
  ];
  for (const [args, message] of cases) {
    assertThrows(() => parseSettings(args), InputError, message);
  }
});

Deno.test("parseResult() takes the last line and names what is wrong with it", () => {
  const { result } = sampleRuns().oursScore;
  const line = JSON.stringify(result);
  assertEquals(parseResult("ours score", `a warning\n${line}\n`), result);
  const cases: [string, string][] = [
    ["", "its last line must be JSON"],
    ["Traceback", 'current value is "Traceback"'],
    ["{}", "Cannot use the output of ours score: scores: "],
    [line.replace("2.5", "NaN"), "its last line must be JSON"],
    [line.replace("2.5", '"2.5"'), "scores.windowNll.0: "],
  ];
  for (const [output, message] of cases) {
    assertThrows(() => parseResult("ours score", output), InputError, message);
  }
});

Deno.test("compare() sums the official variants and stretches them to sixteen", () => {
  // Two lanes of one variant each: 10 s and 14 s.
  const { comparisons, official, ours } = compare(sampleRuns(), 4);
  assertEquals(official.variants, 2);
  const [window, twoPasses, onePass, memory] = comparisons;
  assertEquals(window, {
    name: "window",
    unit: "s",
    official: 3,
    ours: 2,
    ratio: 1.5,
    target: 1,
    met: true,
    extrapolated: false,
  });
  assertEquals(twoPasses!.official, 16 * 12);
  assertEquals(twoPasses!.ours, 16 * 2);
  assertEquals([twoPasses!.ratio, twoPasses!.met], [6, false]);
  assertEquals(twoPasses!.extrapolated, true);
  assertEquals([onePass!.ratio, onePass!.met], [12, false]);
  // The larger of the two lanes against the larger of our two sweeps.
  assertEquals([memory!.official, memory!.ours, memory!.met], [8e9, 2e9, true]);
  assertEquals(ours.twoPasses, {
    calibrationSeconds: 16,
    calibrationRuns: 16,
    conversionSeconds: 16,
  });
});

Deno.test("compare() extrapolates nothing where all sixteen were run", () => {
  const runs = sampleRuns();
  const [lane] = runs.officialConvert;
  const [one] = lane!.result.variants;
  lane!.result.variants = VARIANTS.map((variant) => ({
    ...one!,
    variant: { ...variant },
  }));
  const all = compare({ ...runs, officialConvert: [lane!] }, 4);
  assertEquals(all.official.variants, 16);
  assertEquals(all.comparisons.map(({ extrapolated }) => extrapolated), [
    false,
    false,
    false,
    false,
  ]);
  assertEquals(all.comparisons[1]!.official, 160);
});

Deno.test("compare() tells speeds of calibration and a straw man", () => {
  const runs = sampleRuns();
  const { calibration } = compare(runs, 4);
  assertAlmostEquals(calibration.share, 0.95, 1e-12);
  assertEquals(calibration.fair, true);
  // 4 x 256 tokens in 4 s and 5 s on the original, 3 s and 4 s later.
  assertAlmostEquals(calibration.original, 1024 / 4.5, 1e-9);
  assertAlmostEquals(calibration.partialRope, 1024 / 3.5, 1e-9);
  assertEquals(calibration.ours, 1024);
  runs.officialScore.result.rates.hookedTokensPerSecond = 89;
  assertEquals(compare(runs, 4).calibration.fair, false);
});

Deno.test("compare() finds perplexities that differ, NaN and scores that are missing", () => {
  const runs = sampleRuns();
  const agree = () => compare(runs, 4).checks.map(({ agrees }) => agrees);
  assertEquals(agree(), [true, true, true]);
  runs.oursCheck.result.scores["transmla"] = [3.5, 3.501];
  assertEquals(agree(), [true, true, true]);
  runs.oursCheck.result.scores["transmla"] = [3.5, 3.503];
  assertEquals(agree(), [true, true, false]);
  runs.oursCheck.result.scores["partial-rope"] = [NaN, 3];
  assertEquals(agree(), [true, false, false]);
  delete runs.officialConvert[0]!.result.scores["transmla"];
  assertThrows(
    () => compare(runs, 4),
    RangeError,
    "Cannot compare transmla as one side has not scored it",
  );
});

Deno.test("median() is the middle, or the mean of the middle two", () => {
  assertEquals([median([9, 1, 5]), median([4, 1, 2, 100])], [5, 3]);
});

Deno.test("publishedFigures() has figures only for the official settings", async () => {
  const text = await Deno.readTextFile(
    new URL("../../experiments/official-parity.yaml", import.meta.url),
  );
  const [sha256] = Object.values(MODEL_ALIASES["smollm2-135m-q4_1"]!.files);
  const settings = { text: "wikitext-2", samples: 128, windows: 16 } as const;
  const figures = publishedFigures(text, sha256!, settings);
  assertEquals(Object.keys(figures), ["original", "partial-rope", "transmla"]);
  assertEquals(figures["original"], 20.7107);
  for (
    const [other, otherSha256] of [
      [{ ...settings, text: "brown" }, sha256!],
      [{ ...settings, samples: 8 }, sha256!],
      [{ ...settings, windows: 4 }, sha256!],
      [settings, "0".repeat(64)],
    ] as const
  ) {
    assertEquals(publishedFigures(text, otherSha256, other), {});
  }
});

Deno.test("describePeers() marks what was extrapolated, missed or differs", () => {
  const runs = sampleRuns();
  runs.oursCheck.result.scores["transmla"] = [4, 4];
  const report: PeerReport = {
    schemaVersion: 1,
    settings: {
      model: "some-model",
      text: "brown",
      samples: 4,
      windows: 2,
      variants: 2,
      threads: 2,
      lanes: 2,
    },
    weightsSha256: "",
    machine: {
      cpu: "Some CPU",
      cores: 4,
      memoryBytes: 1,
      os: "linux",
      osRelease: "",
      architecture: "x86_64",
    },
    lanes: [[0, 1], [2, 3]],
    versions: { torch: "2.0" },
    published: { original: 12.18 },
    wallSeconds: 100,
    ...compare(runs, 4),
    runs,
  };
  const lines = describePeers(report).split("\n");
  assertEquals(
    lines[0],
    "some-model on Some CPU: 2 threads, processors 0, 1; the official variants in 2 lanes of as many",
  );
  const cells = (start: string) =>
    lines.find((line) => line.startsWith(start))?.split(/ {2,}/);
  assertEquals(cells("16 variants, passes: 2"), [
    "16 variants, passes: 2",
    "~192.0 s",
    "32.0 s",
    "6.00x",
    "7x",
    "missed",
  ]);
  assertEquals(cells("peak memory"), [
    "peak memory of these",
    "8.00 GB",
    "2.00 GB",
    "4.00x",
    "2x",
    "met",
  ]);
  assertEquals(cells("transmla")?.[4], "DIFFERS");
  assertEquals(cells("original")?.slice(4), ["agrees", "12.1800"]);
  assertEquals(
    cells("~")?.[0],
    "~ extrapolated: 2 of 16 variants were run, the others taken to be as long",
  );
});
