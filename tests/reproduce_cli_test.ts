// The reproduce verb as a user meets it, on a tiny run.

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { runPlan } from "../src/experiment/run.ts";
import {
  makeTinyRun,
  tinyPlan,
  type TinyRun,
  tinyYaml,
} from "./fixtures/tiny_run.ts";
import { runVerbTask, type VerbResult } from "./fixtures/verb_child.ts";

/** Two variants at one context, speeds included. */
function yaml(tiny: TinyRun): string {
  return tinyYaml(tiny, {
    variants: `
  - method: original
  - { method: transmla, qkRopeHeadDim: 16, freqFold: 2, kvLoraRank: 24 }`,
    measure: `
  contexts: [32]
  perplexity: { text: "${tiny.test}", tokens: 128 }
  cache: {}
  throughput: { batch: 1, steps: 2, repetitions: 1, warmups: 0 }`,
  });
}

async function withRun(
  body: (
    tiny: TinyRun,
    reproduce: (...args: string[]) => Promise<VerbResult>,
  ) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "reproduce-" });
  try {
    const tiny = await makeTinyRun(folder);
    const result = await runPlan(await tinyPlan(yaml(tiny)), {
      out: tiny.out,
      momentsFolder: tiny.moments,
      measureRate: false,
    });
    assertEquals([result.exitCode, result.missing], [0, 0]);
    await body(
      tiny,
      (...args) =>
        runVerbTask("reproduce", [tiny.out, ...args], {
          TRANSMLA_CACHE: join(folder, "cache"),
        }),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("reproduce measures a run again, exit 0, and exit 1 where a recorded figure is another", async () => {
  await withRun(async (tiny, reproduce) => {
    const out = join(tiny.folder, "again");
    const same = await reproduce("--out", out, "--quiet");
    assertEquals(same.code, 0, same.stderr + same.stdout);
    assertStringIncludes(same.stdout, "of 5 cells of");
    assertStringIncludes(same.stdout, "0 differ");
    assertStringIncludes(
      same.stdout,
      "2 throughput cells are left out: --timings RATIO compares speeds",
    );
    assertMatch(
      same.stdout,
      /^transmla F2 m16 r24 bkv +perplexity +32 +perplexity +\d+\.\d+ +\d+\.\d+ +0 .* identical$/m,
    );
    assertMatch(same.stdout, /energy kept, farthest of 2 layers/);
    const written = JSON.parse(
      await Deno.readTextFile(join(out, "reproduction.json")),
    );
    assert(written.agrees);
    assertEquals(
      [...Deno.readDirSync(out)].some(({ name }) => name === "moments"),
      false,
    );

    await change(tiny, "perplexity", (metrics) => {
      metrics["windowNll"] = (metrics["windowNll"] as number[]).map((nll) =>
        nll + 2e-4
      );
    });
    const other = await reproduce(
      "--out",
      out,
      "--quiet",
      "--only",
      "original",
    );
    assertEquals(other.code, 1, other.stderr);
    assertMatch(
      other.stdout,
      /original +perplexity .* 0\.00020 of it .* differs$/m,
    );
    assertMatch(other.stdout, /original +cache .* identical$/m);
    const loose = await reproduce(
      "--out",
      out,
      "--quiet",
      "--only",
      "original",
      "--tolerance",
      "0.001",
      "--json",
    );
    assertEquals(loose.code, 0, loose.stderr);
    assertEquals(
      JSON.parse(loose.stdout).verdicts.map((
        { verdict }: { verdict: string },
      ) => verdict).sort(),
      ["agrees", "identical", "identical", "identical"],
    );
  });
});

Deno.test("reproduce takes part of the windows, another engine, and speeds within a ratio", async () => {
  await withRun(async (tiny, reproduce) => {
    const part = await reproduce(
      ...["--out", join(tiny.folder, "part"), "--quiet"],
      ...["--only", "original", "--tokens", "64", "--engine", "onnx"],
      ...["--timings", "1e9"],
    );
    assertEquals(part.code, 0, part.stderr + part.stdout);
    assertMatch(
      part.stdout,
      /perplexity, first 2 of 4 windows .* 0\.0010 of it/,
    );
    assertMatch(part.stdout, /throughput .* decode, tokens\/s /);
    assertMatch(part.stdout, /^engine\.name +reference +onnx$/m);
  });
});

Deno.test("reproduce refuses other inputs and what is not there in one line, exit 2", async () => {
  await withRun(async (tiny, reproduce) => {
    const refused = async (message: RegExp, ...args: string[]) => {
      const { code, stdout, stderr } = await reproduce(...args, "--quiet");
      assertEquals([code, stdout], [2, ""], stderr);
      assertMatch(stderr, message);
      assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
    };
    await refused(/--only nothing: matches no variant/, "--only", "nothing");
    await refused(
      /--timings: found 0\.5; allowed: a number >= 1/,
      "--timings",
      "0.5",
    );
    const text = join(tiny.folder, "test.txt");
    const before = await Deno.readTextFile(text);
    await Deno.writeTextFile(text, `${before}more words\n`);
    await refused(
      /Cannot reproduce .* as text file:.* must have sha256 [0-9a-f]{64}: found [0-9a-f]{64}/,
    );
    await Deno.writeTextFile(text, before);
    const weights = join(tiny.model, "model.safetensors");
    const bytes = await Deno.readFile(weights);
    bytes[bytes.length - 4]! ^= 1;
    await Deno.writeFile(weights, bytes);
    await refused(/Cannot reproduce .* as weights of .* must have sha256/);
    await Deno.remove(tiny.model, { recursive: true });
    await refused(/Cannot open model/);
    await Deno.remove(join(tiny.out, "experiment.yaml"));
    await refused(/as it has no experiment\.yaml/);
  });
});

Deno.test("reproduce leaves its source and other runs as they are: exit 2 where --out is one", async () => {
  await withRun(async (tiny, reproduce) => {
    const before = await contentsOf(tiny.out);
    const link = join(tiny.folder, "link");
    await Deno.symlink(tiny.out, link);
    const other = join(tiny.folder, "other");
    await Deno.mkdir(other);
    await Deno.copyFile(
      join(tiny.out, "results.jsonl"),
      join(other, "results.jsonl"),
    );
    const foreign = join(tiny.folder, "foreign");
    await Deno.mkdir(foreign);
    await Deno.writeTextFile(
      join(foreign, "reproduction_of.json"),
      JSON.stringify({ source: other }),
    );
    for (
      const [out, message] of [
        [tiny.out, /must be outside the run: found the run itself$/m],
        [link, /must be outside the run: found the run itself$/m],
        [join(tiny.out, "cells"), /must be outside the run: found a place/],
        [join(tiny.out, "new", "er"), /must be outside the run/],
        [other, /as it holds a run that is no reproduction: --out must be/],
        [foreign, /as it holds a reproduction of .*other: --out must be/],
      ] as const
    ) {
      const { code, stdout, stderr } = await reproduce("--out", out, "--quiet");
      assertEquals([code, stdout], [2, ""], stderr);
      assertMatch(stderr, message);
      assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
    }
    assertEquals(await contentsOf(tiny.out), before);
    assertEquals([...Deno.readDirSync(other)].length, 1);
  });
});

/** Every file directly in a folder and in its cells/. */
async function contentsOf(folder: string): Promise<Record<string, string>> {
  const contents: Record<string, string> = {};
  for (const part of [folder, join(folder, "cells")]) {
    for await (const { name, isFile } of Deno.readDir(part)) {
      const path = join(part, name);
      if (isFile) contents[path] = await Deno.readTextFile(path);
    }
  }
  return contents;
}

/** Changes the metrics of the original's cell of a measure. */
async function change(
  tiny: TinyRun,
  measure: string,
  alter: (metrics: Record<string, unknown>) => void,
): Promise<void> {
  for await (const { name } of Deno.readDir(join(tiny.out, "cells"))) {
    const path = join(tiny.out, "cells", name);
    const record = JSON.parse(await Deno.readTextFile(path));
    if (record.measure !== measure || record.variant.method !== "original") {
      continue;
    }
    alter(record.metrics);
    await Deno.writeTextFile(path, JSON.stringify(record));
    return;
  }
  throw new Error(`no cell of ${measure}`);
}
