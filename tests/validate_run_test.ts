// validate on run folders: a real tiny run is good, each kind of damage is named.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import type { CellRecord } from "../src/experiment/record.ts";
import { auditRecord } from "../src/experiment/record_audit.ts";
import { runPlan } from "../src/experiment/run.ts";
import { auditRun } from "../src/experiment/run_audit.ts";
import { publishRun } from "../src/report/mod.ts";
import {
  makeTinyRun,
  tinyPlan,
  type TinyRun,
  tinyYaml,
} from "./fixtures/tiny_run.ts";
import { runVerbTask } from "./fixtures/verb_child.ts";

async function withRun(
  body: (tiny: TinyRun, records: readonly CellRecord[]) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "validate-" });
  try {
    const tiny = await makeTinyRun(folder);
    const yaml = tinyYaml(tiny, {
      measure: `
  contexts: [32]
  perplexity: { text: "${tiny.test}", tokens: 128 }
  cache: {}
  throughput: { batch: 1, steps: 2, repetitions: 1, warmups: 0 }`,
    });
    const { records, exitCode } = await runPlan(await tinyPlan(yaml), {
      out: tiny.out,
      momentsFolder: tiny.moments,
      measureRate: false,
    });
    assertEquals(exitCode, 0);
    await body(tiny, records);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("auditRun() finds a run and its publication good, and names damage by its file", async () => {
  await withRun(async ({ folder, out }, records) => {
    const sound = await auditRun(out);
    assertEquals(sound.problems, []);
    assertEquals(
      [sound.experiment, sound.planned, sound.recorded, sound.failed],
      ["tiny", records.length, records.length, 0],
    );
    const published = join(folder, "published");
    await publishRun(out, published);
    assertEquals((await auditRun(published)).problems, []);

    const cell = (measure: string) =>
      join(
        out,
        "cells",
        `${records.find((record) => record.measure === measure)!.cell}.json`,
      );
    const damages: readonly [
      file: string,
      damage: (text: string) => string | undefined,
      problem: RegExp,
    ][] = [
      [
        cell("cache"),
        () => undefined,
        /plan\.json: 1 of \d+ cells are not measured/,
      ],
      [
        cell("cache"),
        (text) => text.slice(0, 90),
        /Cannot parse .*\.json as it is not JSON: /,
      ],
      [
        cell("cache"),
        (text) => text.replace('"status": "ok"', '"status": "fine"'),
        /as status is not valid/,
      ],
      [
        cell("perplexity"),
        (text) => text.replace(/"value": [\d.]+/, '"value": 1.5'),
        /perplexity\.value is 1\.5: exp\(meanNll\) is /,
      ],
      [
        cell("perplexity"),
        (text) => text.replace(/"tokens": \d+/, '"tokens": 7'),
        /perplexity\.tokens is 7: windows · windowTokens is 128/,
      ],
      [
        cell("perplexity"),
        (text) => text.replace(/("wallSeconds": )[\d.]+/, "$11234"),
        /results\.jsonl: 1 of \d+ cells are not those of cells/,
      ],
      [
        join(out, "experiment.yaml"),
        (text) => text.replace("tokens: 128", "tokens: 160"),
        /experiment\.yaml: is of run [0-9a-f]{16}: \d+ of \d+ cells are of /,
      ],
      [
        join(out, "experiment.yaml"),
        (text) => text.replace("variants:", "variance:"),
        /experiment\.yaml:\d+:\d+: unknown key "variance"/,
      ],
      [
        join(out, "environment.json"),
        (text) => text.replace(/("sha256": ")[0-9a-f]{4}/, "$10000"),
        /environment\.json: model has sha256 0000/,
      ],
      [
        join(out, "results.jsonl"),
        (text) => text.split("\n").slice(1).join("\n"),
        /results\.jsonl: 1 of \d+ cells are not those of cells/,
      ],
    ];
    for (const [file, damage, problem] of damages) {
      const before = await Deno.readTextFile(file);
      const after = damage(before);
      assert(after !== before, file);
      if (after === undefined) await Deno.remove(file);
      else await Deno.writeTextFile(file, after);
      const { problems } = await auditRun(out);
      assert(
        problems.some((line) => problem.test(line)),
        `${problem}: ${problems.join("\n")}`,
      );
      await Deno.writeTextFile(file, before);
    }
    assertEquals((await auditRun(out)).problems, []);
  });
});

Deno.test("auditRun() refuses what report refuses: a key twice, __proto__, a line twice, a plan of nulls", async () => {
  await withRun(async ({ folder, out }) => {
    const published = join(folder, "published");
    await publishRun(out, published);
    const lines = join(published, "results.jsonl");
    const plan = join(out, "plan.json");
    const environment = join(out, "environment.json");
    for (
      const [file, damage, problem] of [
        [
          lines,
          (text: string) => text.replace("{", '{"__proto__":{},'),
          /results\.jsonl:1.*__proto__/,
        ],
        [
          lines,
          (text: string) => text.replace("{", '{"status":"failed",'),
          /results\.jsonl:1.*status/,
        ],
        [
          lines,
          (text: string) => text + text,
          /results\.jsonl:\d+: holds cell [0-9a-f]{16}, which line 1 holds$/,
        ],
        [plan, () => "[null]", /Cannot read .*plan\.json as 0 is not valid/],
        [plan, () => "{}", /Cannot read .*plan\.json as .* is not valid/],
        [
          environment,
          () => '{"texts":[null]}',
          /Cannot read .*environment\.json as texts\.0 is not valid/,
        ],
      ] as const
    ) {
      const before = await Deno.readTextFile(file);
      await Deno.writeTextFile(file, damage(before));
      const { problems } = await auditRun(join(file, ".."));
      assert(
        problems.some((line) => problem.test(line)),
        `${problem}: ${problems.join("\n")}`,
      );
      await Deno.writeTextFile(file, before);
    }
  });
});

Deno.test(
  "validate, report, compare and reproduce refuse folders and pipes in the place of files, exit 2",
  {
    ignore: Deno.build.os === "windows",
  },
  async () => {
    await withRun(async ({ out }) => {
      for (
        const [name, make, message] of [
          [
            "results.jsonl",
            (path: string) => Deno.mkdir(path),
            /found a folder/,
          ],
          ["results.jsonl", pipe, /must be a file: found a pipe/],
          [
            "cells",
            (path: string) => Deno.writeTextFile(path, ""),
            /Cannot read .*cells: Not a directory/,
          ],
        ] as const
      ) {
        const path = join(out, name);
        await Deno.rename(path, `${out}-kept`);
        await make(path);
        for (const verb of ["validate", "report", "compare", "reproduce"]) {
          const args = verb === "compare" ? [out, out] : [out];
          const { code, stderr } = await runVerbTask(verb, args);
          assertEquals(code, 2, `${verb}: ${stderr}`);
          assertMatch(stderr, message);
          assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
        }
        await Deno.remove(path, { recursive: true });
        await Deno.rename(`${out}-kept`, path);
      }
    });
  },
);

async function pipe(path: string): Promise<void> {
  const { success } = await new Deno.Command("mkfifo", { args: [path] })
    .output();
  assert(success);
}

Deno.test("auditRecord() finds every figure that the others contradict", async () => {
  // deno-lint-ignore require-await -- as the others
  await withRun(async (_tiny, records) => {
    const changes: Readonly<Record<string, readonly string[]>> = {
      perplexity: ["value", "meanNll", "stderr", "windows", "tokens"],
      cache: ["elementsPerTokenPerLayer", "bytesPerToken", "reduction"],
      throughput: ["decodeTokensPerSecond", "p50Ms"],
    };
    for (const record of records) {
      assertEquals(auditRecord(record), []);
      for (const field of changes[record.measure] ?? []) {
        const metrics = record.metrics as unknown as Record<string, number>;
        const changed = {
          ...record,
          metrics: { ...metrics, [field]: metrics[field]! * 1.001 + 0.001 },
        } as unknown as CellRecord;
        assert(auditRecord(changed).length > 0, `${record.measure}.${field}`);
      }
    }
  });
});

Deno.test("validate says of runs and files whether they are good, in text and JSON", async () => {
  await withRun(async ({ out }, records) => {
    const args = [out, "quickstart"];
    const good = await runVerbTask("validate", [...args, "--inputs"]);
    assertEquals([good.code, good.stderr], [0, ""]);
    assertEquals(good.stdout.split("\n").slice(0, 1), [
      `${out}: good, ${records.length} cells`,
    ]);
    await Deno.remove(join(out, "cells", `${records[0]!.cell}.json`));
    const bad = await runVerbTask("validate", [...args, "--json"]);
    assertEquals([bad.code, bad.stderr], [1, ""]);
    const [run, file] = JSON.parse(bad.stdout);
    assertEquals(
      [run.kind, run.good, run.recorded, file.kind, file.good],
      ["run", false, records.length - 1, "experiment", true],
    );
    const text = await runVerbTask("validate", [out]);
    assertEquals(text.code, 1);
    assertMatch(text.stderr, /^error: .*plan\.json: 1 of \d+ cells are not/m);
    const folder = await runVerbTask("validate", [join(out, "cells")]);
    assertEquals(folder.code, 2);
    assertMatch(
      folder.stderr,
      /^error: Cannot read run folder .* none found$/m,
    );
  });
});
