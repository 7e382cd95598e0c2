import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import type { AdapterFacts } from "../engine/webgpu/device/gpu.ts";
import {
  checkTuningFamily,
  checkTuningTable,
} from "../engine/webgpu/kernels/tuning_table.ts";
import { checkTableFile, rememberTable, tableWith } from "./tuning_file.ts";

const FACTS = {
  name: "Card",
  driver: "1",
  provider: "deno",
  software: false,
} as AdapterFacts;

const SHAPE = { subgroups: true, threads: 64, rows: 1, unroll: 4 };

Deno.test("rememberTable() adds to what the same adapter has, and replaces another driver's", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "deep", "table.json");
    const remember = async (facts: AdapterFacts, key: string, rows: number) => {
      const table = tableWith(facts, { gemm: { [key]: { rows } } });
      assertEquals(await rememberTable(table, facts, out), out);
      const text = await Deno.readTextFile(out);
      return checkTuningTable(out, JSON.parse(text)).kernels;
    };
    await remember(FACTS, "a", 1);
    await remember(FACTS, "b", 2);
    assertEquals(await remember(FACTS, "a", 3), {
      gemm: { a: { rows: 3 }, b: { rows: 2 } },
    });
    assertEquals(await remember({ ...FACTS, driver: "2" }, "c", 4), {
      gemm: { c: { rows: 4 } },
    });
  });
});

Deno.test("rememberTable() puts a table among those of its family", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "family.json");
    const dawn = { ...FACTS, provider: "dawn" } as const;
    await Deno.writeTextFile(
      out,
      JSON.stringify({
        format: 1,
        adapters: ["Card"],
        tables: [tableWith(dawn, { gemv: { k: { rows: 1 } } })],
      }),
    );
    const shapes = { gemv: { k: { rows: 2 } } };
    await rememberTable(tableWith(FACTS, shapes), FACTS, out);
    const text = await Deno.readTextFile(out);
    const { tables } = checkTuningFamily(out, JSON.parse(text));
    assertEquals(
      tables.map(({ provider, kernels }) => [provider, kernels]),
      [["dawn", { gemv: { k: { rows: 1 } } }], ["deno", shapes]],
    );
  });
});

Deno.test("rememberTable() leaves a file that is no table", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "notes.json");
    await Deno.writeTextFile(out, `{"a": 1}`);
    const table = tableWith(FACTS, {});
    await assertRejects(
      () => rememberTable(table, FACTS, out),
      InputError,
      `Cannot use ${out} as format is wrong`,
    );
    assertEquals(await Deno.readTextFile(out), `{"a": 1}`);
  });
});

Deno.test("tables of another adapter are not written over", async () => {
  await withFolder(async (folder) => {
    const other = { ...FACTS, name: "Other" };
    const single = join(folder, "table.json");
    const family = join(folder, "family.json");
    const table = tableWith(other, { gemv: { k: SHAPE } });
    await Deno.writeTextFile(single, JSON.stringify(table));
    await Deno.writeTextFile(
      family,
      JSON.stringify({ format: 1, adapters: ["Other"], tables: [table] }),
    );
    for (const out of [single, family]) {
      const before = await Deno.readTextFile(out);
      const message =
        `Cannot write shapes of Card to ${out} as it has those of Other`;
      await assertRejects(
        () => checkTableFile(FACTS, out),
        InputError,
        message,
      );
      await assertRejects(
        () => rememberTable(tableWith(FACTS, {}), FACTS, out),
        InputError,
        message,
      );
      assertEquals(await Deno.readTextFile(out), before);
      assertEquals(await checkTableFile(other, out), undefined);
    }
  });
});

Deno.test("checkTableFile() says before anything is timed what cannot be written, and what will go", async () => {
  await withFolder(async (folder) => {
    const refuses = (out: string, message: string) =>
      assertRejects(() => checkTableFile(FACTS, out), InputError, message);
    await refuses(folder, `Cannot read ${folder}: it is not a file`);
    const broken = join(folder, "broken.json");
    await Deno.writeTextFile(broken, "{");
    await assertRejects(() => checkTableFile(FACTS, broken), "is not JSON");
    await refuses(join(broken, "below.json"), "Cannot read ");
    const senseless = join(folder, "senseless.json");
    await Deno.writeTextFile(
      senseless,
      JSON.stringify(tableWith(FACTS, { gemv: { k: { rows: -1 } } })),
    );
    await refuses(senseless, "kernels.gemv.k");
    const fresh = join(folder, "deep", "fresh.json");
    assertEquals(await checkTableFile(FACTS, fresh), undefined);
    assertEquals(await Array.fromAsync(Deno.readDir(join(folder, "deep"))), []);
    await rememberTable(tableWith(FACTS, { gemv: { k: SHAPE } }), FACTS, fresh);
    assertEquals(await checkTableFile(FACTS, fresh), undefined);
    assertStringIncludes(
      await checkTableFile({ ...FACTS, driver: "2" }, fresh) ?? "",
      "replaces the shapes of Card, driver 1",
    );
  });
});

async function withFolder(
  body: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
