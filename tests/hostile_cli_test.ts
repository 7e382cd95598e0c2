// Hostile input through the command line, as a process with the permissions of
// its task: exit code 2, or 1 where a cell failed; one line; no stack trace.

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runExperiment, withTinyFile } from "./fixtures/experiment_process.ts";
import { changeJson, changeSafetensors } from "./fixtures/hostile_model.ts";
import { type TinyRun, tinyYaml } from "./fixtures/tiny_run.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Start of a process included, on a machine that is busy. */
const MAX_SECONDS = 40;

/** What a user must not see. */
function assertQuiet(stderr: string, lines: number): void {
  assert(!stderr.includes("    at "), stderr);
  // deno-lint-ignore no-control-regex -- these must not reach a terminal
  assert(!/[\u0000-\u0009\u000b-\u001f]/.test(stderr), stderr);
  assertEquals(stderr.trimEnd().split("\n").length, lines, stderr);
}

interface HostileRun {
  readonly what: string;
  /** Breaks something of the tiny run. */
  readonly change: (tiny: TinyRun, file: string) => Promise<void>;
  readonly says: readonly string[];
}

const FILE = "model.safetensors";

const RUNS: readonly HostileRun[] = [
  {
    what: "truncated weights",
    change: async ({ model }) => {
      const path = join(model, FILE);
      await Deno.truncate(path, (await Deno.stat(path)).size - 8);
    },
    says: [FILE, "Cannot read tensor", "outside the file's"],
  },
  {
    what: "an index of another folder's weights",
    change: async ({ model }) => {
      await Deno.rename(join(model, FILE), join(model, "..", "x.safetensors"));
      await Deno.writeTextFile(
        join(model, `${FILE}.index.json`),
        '{"weight_map":{"a":"../x.safetensors"}}',
      );
    },
    says: [`${FILE}.index.json`, "same folder", '"../x.safetensors"'],
  },
  {
    what: "a tensor's name that would write to the terminal",
    change: ({ model }) =>
      changeSafetensors(join(model, FILE), (header) => {
        header["\x1b]0;owned\x07\n"] = header["model.norm.weight"]!;
        delete header["model.norm.weight"];
      }),
    says: ['tensor "\\u001b]0;owned\\u0007\\n"'],
  },
  {
    what: "a GGUF that counts 2^64 keys",
    change: async ({ model }) => {
      await Deno.remove(join(model, FILE));
      const bytes = new Uint8Array(64).fill(0xff);
      bytes.set(new TextEncoder().encode("GGUF\x03\0\0\0"));
      await Deno.writeFile(join(model, "x.gguf"), bytes);
    },
    says: ["x.gguf", "18446744073709551615 keys do not fit in 64 bytes"],
  },
  {
    what: "heads that do not group",
    change: ({ model }) =>
      changeJson(join(model, "config.json"), (json) => {
        json.num_key_value_heads = 3;
      }),
    says: ["multiple of num_key_value_heads: current values are 4 and 3"],
  },
  {
    what: "a tokenizer that is cut off",
    change: ({ model }) => Deno.truncate(join(model, "tokenizer.json"), 50),
    says: ["tokenizer.json", "not JSON"],
  },
  {
    what: "an experiment file of 100 MB",
    change: (_, file) => Deno.truncate(file, 1e8),
    says: ["tiny.yaml:1:1: the file has 100000000 bytes; allowed: at most"],
  },
  {
    what: "an experiment file that is not UTF-8",
    change: (_, file) =>
      Deno.writeFile(file, Uint8Array.of(0xff, 0xfe, 0x6e, 0)),
    says: ["tiny.yaml:1:1: the file is not UTF-8"],
  },
  {
    what: "an experiment file 100,000 deep",
    change: (_, file) => Deno.writeTextFile(file, "a: " + "[".repeat(1e5)),
    says: ["tiny.yaml:1:28: found more than 24 levels of nesting"],
  },
  {
    what: "a test text that is the calibration text",
    change: async ({ calibration }, file) => {
      const yaml = await Deno.readTextFile(file);
      await Deno.writeTextFile(
        file,
        yaml.replace(
          /perplexity: \{ text: "[^"]+"/,
          () => `perplexity: { text: "${calibration}"`,
        ),
      );
    },
    says: ["calibration.txt", "they are the same text"],
  },
  {
    what: "a binary text",
    change: ({ test }) =>
      Deno.writeFile(test.slice("file:".length), new Uint8Array(100)),
    says: ["test.txt", "byte 0 is 0"],
  },
];

for (const { what, change, says } of RUNS) {
  Deno.test(`experiment exits with 2 and one line for ${what}`, async () => {
    await withTinyFile(tinyYaml, async (tiny, file) => {
      await change(tiny, file);
      const start = performance.now();
      const run = await runExperiment(tiny, [file, "--out", tiny.out]);
      assertEquals(run.code, 2, run.stderr);
      assertEquals(run.stdout, "");
      assertQuiet(run.stderr, 1);
      assertMatch(run.stderr, /^error: /);
      for (const part of says) assertStringIncludes(run.stderr, part);
      assert(performance.now() - start < 1000 * MAX_SECONDS);
    });
  });
}

Deno.test("experiment exits with 1 and names the tensor where a weight is NaN", async () => {
  await withTinyFile(
    (tiny) =>
      tinyYaml(tiny, {
        variants: "[{ method: original }]",
        measure: `{ contexts: [32], perplexity: { text: "${tiny.test}" } }`,
      }),
    async (tiny, file) => {
      const name = "model.layers.1.mlp.up_proj.weight";
      await changeSafetensors(join(tiny.model, FILE), (header, data) => {
        const [from] = header[name]!.data_offsets as [number, number];
        new DataView(data.buffer).setFloat32(from, NaN, true);
      });
      const run = await runExperiment(tiny, [file, "--out", tiny.out]);
      assertEquals(run.code, 1, run.stderr);
      assertStringIncludes(run.stdout, "1 failed");
      assertStringIncludes(run.stderr, `tensor "${name}"`);
      assertStringIncludes(run.stderr, "must be finite: element 0 is NaN");
      assert(!run.stderr.includes("    at "), run.stderr);
      const results = await Deno.readTextFile(join(tiny.out, "results.jsonl"));
      const record = JSON.parse(results);
      assertEquals([record.status, record.metrics], ["failed", undefined]);
    },
  );
});

Deno.test("experiment records no figure where finite weights overflow", async () => {
  await withTinyFile(
    (tiny) =>
      tinyYaml(tiny, {
        engine: "{ name: onnx }",
        variants: "[{ method: original }]",
        measure: `{ contexts: [32], perplexity: { text: "${tiny.test}" } }`,
      }),
    async (tiny, file) => {
      await changeSafetensors(join(tiny.model, FILE), (header, data) => {
        const [from, to] = header["model.norm.weight"]!.data_offsets as [
          number,
          number,
        ];
        const view = new DataView(data.buffer);
        for (let at = from; at < to; at += 4) view.setFloat32(at, 3e38, true);
      });
      const run = await runExperiment(tiny, [file, "--out", tiny.out]);
      assertEquals(run.code, 1, run.stderr);
      assertStringIncludes(run.stderr, "its NLL must be finite");
      const results = await Deno.readTextFile(join(tiny.out, "results.jsonl"));
      const record = JSON.parse(results);
      assertEquals([record.status, record.metrics], ["failed", undefined]);
    },
  );
});

Deno.test("convert exits with 2 and one line for ranks and widths that heads cannot have", async () => {
  await withTinyFile(tinyYaml, async (tiny) => {
    for (
      const [options, says] of [
        [
          ["--kv-lora-rank=49", "--qk-rope-head-dim=16"],
          "kvLoraRank 49 as it must be 1 to 48",
        ],
        [["--kv-lora-rank=8", "--qk-rope-head-dim=6"], "qkRopeHeadDim"],
        [
          [
            "--kv-lora-rank=8",
            "--qk-rope-head-dim=4",
            "--freq-fold=2",
          ],
          "freqFold",
        ],
      ] as const
    ) {
      const run = await runVerb(tiny, "convert", [
        tiny.model,
        "--out",
        join(tiny.folder, "converted"),
        ...options,
      ]);
      assertEquals(run.code, 2, run.stderr);
      assertQuiet(run.stderr, 1);
      assertStringIncludes(run.stderr, says);
    }
  });
});

Deno.test("report and verify exit with 2 and one line for folders of something else", async () => {
  await withTinyFile(tinyYaml, async (tiny) => {
    await Deno.writeTextFile(
      join(tiny.model, "results.jsonl"),
      `{"a":${"[".repeat(1e5)}${"]".repeat(1e5)}}\n`,
    );
    await Deno.writeTextFile(
      join(tiny.model, "certificate.json"),
      '{"format": 1, "format": 1}',
    );
    for (
      const [verb, says] of [
        ["report", "results.jsonl:1 as it is nested deeper than 32 levels"],
        ["verify", 'certificate.json as the key "format" is there twice'],
      ] as const
    ) {
      const run = await runVerb(tiny, verb, [tiny.model]);
      assertEquals(run.code, 2, run.stderr);
      assertQuiet(run.stderr, 1);
      assertStringIncludes(run.stderr, says);
    }
  });
});

/** Another verb, with the permissions of its task. */
async function runVerb(
  tiny: TinyRun,
  verb: string,
  args: readonly string[],
): Promise<{ code: number; stderr: string }> {
  const { tasks } = JSON.parse(
    await Deno.readTextFile(join(ROOT, "deno.json")),
  );
  const [, ...words] = (tasks[verb].command as string).split(" ");
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...words, ...args],
    cwd: ROOT,
    env: { TRANSMLA_CACHE: join(tiny.folder, "cache"), NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}
