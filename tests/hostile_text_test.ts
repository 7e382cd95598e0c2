// Texts that are none, texts that do not fit together, and options that the
// model's heads cannot have. Units beside text/ have what this does not repeat.

import { assert, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { parseExperiment } from "../src/experiment/experiment_file.ts";
import { identifyInputs } from "../src/experiment/inputs.ts";
import { planExperiment } from "../src/experiment/plan.ts";
import { openText } from "../src/text/open_text.ts";
import { assertRefusal } from "./fixtures/fuzz_verdict.ts";
import { makeTinyRun, type TinyRun, tinyYaml } from "./fixtures/tiny_run.ts";

async function withTiny(work: (tiny: TinyRun) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "transmla-hostile-" });
  try {
    await work(await makeTinyRun(folder));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The message of a refusal; fails where nothing is refused. */
async function refusal(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
  } catch (error) {
    return assertRefusal(error, true);
  }
  throw new Error("it was accepted");
}

const TEXTS: readonly (readonly [
  what: string,
  write: (path: string) => Promise<void>,
  says: string,
])[] = [
  ["a program", bytes(0x7f, 0x45, 0x4c, 0x46, 0, 1), "byte 4 is 0"],
  ["UTF-16", bytes(0xff, 0xfe, 0x61, 0, 0x62, 0), "byte 3 is 0"],
  ["Latin-1", bytes(0x61, 0x0a, 0xe4, 0x62), "must be UTF-8: line 2 is not"],
  ["half a character at its end", bytes(0x61, 0xe2, 0x82), "line 1 is not"],
  ["nothing", bytes(), "holds no text: its size is 0 bytes"],
  ["white space", bytes(0x20, 0x0a, 0x09, 0x0a), "its size is 4 bytes"],
  ["a folder", (path) => Deno.mkdir(path), "Cannot open text file:"],
  [
    "a gigabyte",
    async (path) => {
      await Deno.writeFile(path, new Uint8Array(0));
      await Deno.truncate(path, 2 ** 30);
    },
    "it has 1073741824 bytes, allowed are at most 268435456",
  ],
];

function bytes(...values: number[]) {
  return (path: string) => Deno.writeFile(path, Uint8Array.from(values));
}

for (const [what, write, says] of TEXTS) {
  Deno.test(`a text file that is ${what} is refused in one line`, async () => {
    await withTiny(async ({ folder }) => {
      const path = join(folder, "hostile.txt");
      await write(path);
      const start = performance.now();
      const message = await refusal(() => openText(`file:${path}`));
      assertStringIncludes(message, path);
      assertStringIncludes(message, says);
      assert(performance.now() - start < 5000);
    });
  });
}

async function plan(yaml: string): Promise<void> {
  const experiment = parseExperiment(yaml, "tiny.yaml");
  planExperiment(experiment, await identifyInputs(experiment), "cpu");
}

Deno.test("an experiment is refused where its texts are the same or overlap", async () => {
  await withTiny(async (tiny) => {
    const copy = join(tiny.folder, "copy.txt");
    const path = tiny.calibration.slice("file:".length);
    await Deno.copyFile(path, copy);
    for (
      const [test, says] of [
        [tiny.calibration, "as they are the same text (sha256 "],
        [`file:${copy}`, "as they are the same text (sha256 "],
      ] as const
    ) {
      const message = await refusal(() => plan(tinyYaml({ ...tiny, test })));
      assertStringIncludes(message, says);
      assertStringIncludes(message, tiny.calibration);
      assertStringIncludes(message, test);
    }
  });
});

/** The tiny model has d 16, G 2. */
const OPTIONS:
  readonly (readonly [what: string, options: string, says: string])[] = [
    [
      "m that does not divide d",
      "qkRopeHeadDim: 6, freqFold: 1, kvLoraRank: 8",
      "qkRopeHeadDim 6 as it must be an even divisor of headDim 16",
    ],
    [
      "odd m",
      "qkRopeHeadDim: 5, freqFold: 1, kvLoraRank: 8",
      "qkRopeHeadDim 5 as it must be an even divisor of headDim 16: 2, 4, 8, 16",
    ],
    [
      "m of two heads",
      "qkRopeHeadDim: 32, freqFold: 1, kvLoraRank: 8",
      "qkRopeHeadDim 32 as it must be an even divisor",
    ],
    [
      "F that is no multiple of C",
      "qkRopeHeadDim: 4, freqFold: 2, kvLoraRank: 8",
      "freqFold 2 as headDim/qkRopeHeadDim = 4 must divide it: 4, 8",
    ],
    [
      "F that does not divide d/2",
      "qkRopeHeadDim: 16, freqFold: 3, kvLoraRank: 8",
      "freqFold 3 as it must divide headDim/2 = 8: 1, 2, 4, 8",
    ],
    [
      "F beyond d/2",
      "qkRopeHeadDim: 16, freqFold: 16, kvLoraRank: 8",
      "freqFold 16 as it must divide headDim/2 = 8",
    ],
    [
      "r above 2Gd - m",
      "qkRopeHeadDim: 16, freqFold: 1, kvLoraRank: 49",
      "kvLoraRank 49 as it must be 1 to 48",
    ],
    [
      "r beyond all numbers",
      "qkRopeHeadDim: 16, freqFold: 1, kvLoraRank: 9007199254740991",
      "kvLoraRank 9007199254740991 as it must be 1 to 48",
    ],
  ];

for (const [what, options, says] of OPTIONS) {
  Deno.test(`a conversion with ${what} is refused before anything runs`, async () => {
    await withTiny(async (tiny) => {
      const yaml = tinyYaml(tiny, {
        variants: `[{ method: original }, { method: transmla, ${options} }]`,
      });
      const message = await refusal(() => plan(yaml));
      assertStringIncludes(message, 'variant "transmla');
      assertStringIncludes(message, says);
    });
  });
}

Deno.test("a conversion with numbers of another kind is refused at its line", async () => {
  await withTiny(async (tiny) => {
    for (
      const [options, says] of [
        ["kvLoraRank: 0", "variants[1].kvLoraRank: found 0"],
        ["kvLoraRank: -8", "variants[1].kvLoraRank: found -8"],
        ["kvLoraRank: 8.5", "variants[1].kvLoraRank: found 8.5"],
        ["kvLoraRank: 1e308", "variants[1].kvLoraRank: found 1e+308"],
        ["kvLoraRank: few", 'variants[1].kvLoraRank: found "few"'],
        ["kvLoraRank: 8, balanceKvRatio: .inf", "found Infinity"],
        ["kvLoraRank: 8, balanceKvRatio: 0", "balanceKvRatio: found 0"],
        ["kvLoraRank: 8, freqFold: 0", "freqFold: found 0"],
      ] as const
    ) {
      const yaml = tinyYaml(tiny, {
        variants: `[{ method: original }, { method: transmla, ${options} }]`,
      });
      const message = await refusal(() => plan(yaml));
      assertStringIncludes(message, "tiny.yaml:");
      assertStringIncludes(message, says);
    }
  });
});
