import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { InputError } from "../base/errors.ts";
import type { AdapterFacts } from "../engine/webgpu/device/gpu.ts";
import {
  checkTuningFamily,
  checkTuningTable,
} from "../engine/webgpu/kernels/tuning_table.ts";
import { rememberTable, tableWith } from "./tuning_file.ts";

const FACTS = {
  name: "Card",
  driver: "1",
  provider: "deno",
  software: false,
} as AdapterFacts;

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
