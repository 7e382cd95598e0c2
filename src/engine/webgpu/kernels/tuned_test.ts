import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { dirname } from "node:path";
import { InputError } from "../../../base/errors.ts";
import type { AdapterFacts, Gpu } from "../device/gpu.ts";
import {
  ignoreTuned,
  ownTable,
  ownTablePath,
  shippedTables,
  tuned,
  tuningName,
  useTables,
} from "./tuned.ts";
import h100 from "./tuned/nvidia_h100.json" with { type: "json" };
import { attentionKey, gemmKey, rowsClass } from "./tuning_keys.ts";
import { checkTuningFamily, type TuningTable } from "./tuning_table.ts";

const FACTS = {
  name: "Card (R) 7",
  driver: "1.2.3",
  provider: "dawn",
  software: false,
} as AdapterFacts;

Deno.test("tuned() takes the first table that has the size", () => {
  const gpu = gpuOf(FACTS);
  useTables(gpu, [
    { name: "own", table: tableOf({ gemm: { "a": { rows: 1 } } }) },
    {
      name: "shipped",
      table: tableOf({ gemm: { "a": { rows: 2 }, "b": { rows: 3 } } }),
    },
  ]);
  assertEquals(tuned(gpu, "gemm", "a"), { rows: 1 });
  assertEquals(tuned(gpu, "gemm", "b"), { rows: 3 });
  assertEquals(tuned(gpu, "gemm", "c"), undefined);
  assertEquals(tuned(gpu, "gemv", "a"), undefined);
  assert(/^own [0-9a-f]{8}, shipped [0-9a-f]{8}$/.test(tuningName(gpu) ?? ""));
  ignoreTuned(gpu);
  assertEquals(tuned(gpu, "gemm", "a"), undefined);
  assertEquals(tuningName(gpu), undefined);
});

Deno.test("tuned() knows nothing of software adapters", () => {
  const gpu = gpuOf({ ...FACTS, name: "NVIDIA H100", software: true });
  assertEquals(tuned(gpu, "gemm", "f16 32x4096x4096"), undefined);
  assertEquals(tuningName(gpu), undefined);
});

Deno.test("ownTable() reads the file of the adapter, its driver and its provider", async () => {
  const folder = await Deno.makeTempDir();
  try {
    assertEquals(ownTable(FACTS, folder), undefined);
    const path = ownTablePath(FACTS, folder);
    assertStringIncludes(path, "card_r_7_1.2.3_dawn.json");
    await Deno.mkdir(dirname(path));
    const table = tableOf({
      gemv: { k: { threads: 64, subgroups: true, rows: 1, unroll: 4 } },
    });
    await Deno.writeTextFile(path, JSON.stringify(table));
    assertEquals(ownTable(FACTS, folder), { name: "own", table });
    assertEquals(ownTable({ ...FACTS, driver: "2" }, folder), undefined);
    // The same file name, another adapter.
    assertEquals(ownTable({ ...FACTS, name: "Card R 7" }, folder), undefined);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("ownTable() names file and field of a broken table and does without it", async () => {
  const folder = await Deno.makeTempDir();
  const path = ownTablePath(FACTS, folder);
  await Deno.mkdir(dirname(path));
  const good = tableOf({});
  try {
    for (
      const [text, field] of [
        ["{", "not JSON"],
        [JSON.stringify({ ...good, format: 0 }), "format"],
        [
          JSON.stringify({ ...good, kernels: { gemm: { k: { rows: [] } } } }),
          "kernels.gemm.k.rows",
        ],
        [JSON.stringify({ ...good, more: 1 }), "more"],
      ] as const
    ) {
      await Deno.writeTextFile(path, text);
      const { lines, value } = warningsOf(() => ownTable(FACTS, folder));
      assertEquals(value, undefined);
      assertEquals(lines.length, 1);
      assertStringIncludes(lines[0]!, path);
      assertStringIncludes(lines[0]!, field);
      assert(!lines[0]!.includes("\n"));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("ownTable() does without a shape that has no sense, a folder, a device and a large file", async () => {
  const folder = await Deno.makeTempDir();
  const path = ownTablePath(FACTS, folder);
  await Deno.mkdir(dirname(path));
  const refuses = async (make: () => Promise<void>, reason: string) => {
    await make();
    const { lines, value } = warningsOf(() => ownTable(FACTS, folder));
    assertEquals(value, undefined);
    assertEquals(lines.length, 1);
    assertStringIncludes(lines[0]!, path);
    assertStringIncludes(lines[0]!, reason);
    await Deno.remove(path, { recursive: true });
  };
  try {
    await refuses(() => {
      const shape = { subgroups: true, threads: 0, rows: 1, unroll: 1 };
      const table = tableOf({ gemv: { k: shape } });
      return Deno.writeTextFile(path, JSON.stringify(table));
    }, "kernels.gemv.k.threads is wrong");
    await refuses(() => Deno.mkdir(path), "it is not a file");
    await refuses(
      () => Deno.writeTextFile(path, " ".repeat(2 ** 22 + 1)),
      "its size is 4194305",
    );
    if (Deno.build.os !== "windows") {
      await refuses(() => Deno.symlink("/dev/zero", path), "it is not a file");
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("TRANSMLA_TUNING with a word that means nothing is refused", () => {
  const before = Deno.env.get("TRANSMLA_TUNING");
  try {
    Deno.env.set("TRANSMLA_TUNING", "None");
    assertThrows(
      () => tuned(gpuOf(FACTS), "gemm", "a"),
      InputError,
      'TRANSMLA_TUNING: found "None"; allowed: all, shipped, none',
    );
    Deno.env.set("TRANSMLA_TUNING", "none");
    assertEquals(tuned(gpuOf(FACTS), "gemm", "a"), undefined);
  } finally {
    if (before === undefined) Deno.env.delete("TRANSMLA_TUNING");
    else Deno.env.set("TRANSMLA_TUNING", before);
  }
});

Deno.test("shippedTables() are for adapters of the family, by provider", () => {
  const family = checkTuningFamily("family", {
    format: 1,
    adapters: ["Card"],
    tables: [tableOf({}), { ...tableOf({}), provider: "deno" }],
  });
  assertEquals(
    shippedTables("family", family, FACTS).map(({ table }) => table.provider),
    ["dawn"],
  );
  const other = { ...FACTS, name: "A Card" };
  assertEquals(shippedTables("family", family, other), []);
});

Deno.test("checkTuningFamily() takes the shipped table and names a wrong field", () => {
  const family = checkTuningFamily("nvidia_h100", h100);
  assert(family.adapters.includes("NVIDIA H100"));
  const providers = family.tables.map(({ provider }) => provider);
  assertEquals(providers.length, new Set(providers).size);
  assertThrows(
    () => checkTuningFamily("file", { ...h100, adapters: [] }),
    InputError,
    "Cannot use file as adapters is wrong",
  );
});

Deno.test("gemmKey() puts near counts of rows together", () => {
  assertEquals([1, 8, 9, 30, 33, 244, 513, 9999].map(rowsClass), [
    8,
    8,
    16,
    32,
    48,
    256,
    2048,
    2048,
  ]);
  assertEquals(
    gemmKey({ element: "f16", rows: 30, height: 12288, width: 4096 }),
    "f16 32x12288x4096",
  );
});

Deno.test("attentionKey() puts a context and a little room together", () => {
  const keys = [[7, 32768], [30, 8192 + 64], [244, 1000]].map((
    [batch, context],
  ) =>
    attentionKey({
      kind: "mla",
      heads: 32,
      groups: 1,
      width: 512,
      batch: batch!,
      context: context!,
    })
  );
  assertEquals(keys, [
    "mla 32/1x512 8 32768",
    "mla 32/1x512 32 8192",
    "mla 32/1x512 256 1024",
  ]);
});

function tableOf(kernels: TuningTable["kernels"]): TuningTable {
  const { name: adapter, driver, provider } = FACTS;
  return {
    format: 1,
    adapter,
    driver,
    provider,
    date: "2026-01-02",
    deno: "2.9.6",
    kernels,
  };
}

function gpuOf(facts: AdapterFacts): Gpu {
  return { facts } as Gpu;
}

function warningsOf<T>(run: () => T): { lines: string[]; value: T } {
  const lines: string[] = [];
  const { warn } = console;
  console.warn = (line: string) => void lines.push(line);
  try {
    return { value: run(), lines };
  } finally {
    console.warn = warn;
  }
}
