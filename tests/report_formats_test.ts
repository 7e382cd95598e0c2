// The main tables as Markdown, CSV, JSON and LaTeX.

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { InputError } from "../src/base/errors.ts";
import { report } from "../src/cli/report.ts";
import { csvField } from "../src/experiment/assemble.ts";
import { htmlTable } from "../src/report/html_parts.ts";
import { escapeLatex } from "../src/report/latex.ts";
import { loadRuns, writeReport } from "../src/report/mod.ts";
import { type NamedTable, namedTables } from "../src/report/named_tables.ts";
import { formatNamedTable, parseFormats } from "../src/report/table_formats.ts";
import {
  LARGE,
  SEEDED,
  SMALL,
  withSampleRun as withRun,
} from "./fixtures/sample_run.ts";

/** Every table of runs with failures, and of runs with seeds and divergences. */
async function withTables(
  use: (tables: readonly NamedTable[]) => void,
): Promise<void> {
  for (const options of [LARGE, SEEDED]) {
    await withRun(options, async (directory) => {
      use(namedTables(await loadRuns([directory])));
    });
  }
}

Deno.test("namedTables() has every table that the run has rows for, each with its protocol", async () => {
  const names: string[][] = [];
  await withTables((tables) => {
    names.push(tables.map(({ name }) => name));
    for (const { name, caption, protocols } of tables) {
      const protocol = protocols.get("")!;
      assertEquals(protocol.dtype, "f32");
      assertEquals(protocol.engine, "onnx (cpu, f32)");
      assertEquals(protocol.machine, "Sample CPU, 4 cores");
      assertEquals(protocol.commit, "0000000000");
      assertMatch(protocol.text, /^sample-text\/test, .* tokens/);
      assertStringIncludes(caption, "Sample CPU", name);
      assertStringIncludes(caption, "Commit 0000000000", name);
    }
  });
  assertEquals(names, [
    [
      "results",
      "perplexity",
      "throughput",
      "crossovers",
      "checks",
      "conversions",
      "cells",
    ],
    [
      "results",
      "perplexity",
      "divergence",
      "throughput",
      "crossovers",
      "seeds",
      "checks",
      "conversions",
      "cells",
    ],
  ]);
});

Deno.test("CSV and JSON hold the same rows, numbers as numbers, names without spaces", async () => {
  await withTables((tables) => {
    for (const table of tables) {
      const json = JSON.parse(formatNamedTable(table, "json"));
      const [names, ...rows] = parseCsv(formatNamedTable(table, "csv"));
      assertEquals(rows.length, table.table.rows.length, table.name);
      assertEquals(json.rows.length, rows.length);
      const own = names!.filter((name) => !name.startsWith("protocol"));
      assertEquals(own, Object.keys(json.rows[0]));
      assertEquals(new Set(names).size, names!.length, table.name);
      for (const name of names!) assertMatch(name, /^[A-Za-z][A-Za-z0-9]*$/);
      for (const [i, row] of rows.entries()) {
        assertEquals(row.length, names!.length);
        for (const [j, name] of own.entries()) {
          const value = json.rows[i][name];
          assertEquals(
            row[j],
            value === null ? "" : String(value),
            `${table.name} ${name}`,
          );
        }
        assertEquals(
          row[names!.indexOf("protocolMachine")],
          json.protocol.machine,
        );
      }
      assert(
        json.columns.every(({ name }: { name: string }) => own.includes(name)),
      );
    }
  });
});

Deno.test("the results' values are the records', not their texts", async () => {
  await withRun(SEEDED, async (directory, records) => {
    const [results] = namedTables(await loadRuns([directory]));
    const { rows } = JSON.parse(formatNamedTable(results!, "json"));
    const group = rows.find(({ variant }: { variant: string }) =>
      variant === "transmla F4 m32 r88 bkv"
    );
    const values = records.flatMap((cell) =>
      cell.measure === "perplexity" && cell.contextTokens === 2048 &&
        cell.variantGroup === group.variant && cell.metrics !== undefined
        ? [cell.metrics.value]
        : []
    );
    assertEquals(values.length, 3);
    const mean = values.reduce((sum, value) => sum + value, 0) / 3;
    const deviation = Math.sqrt(
      values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 2,
    );
    assert(Math.abs(group.perplexityAt2048 - mean) < 1e-12);
    assert(
      Math.abs(group.perplexityAt2048SeedDeviation - deviation) < 1e-12,
      `${group.perplexityAt2048SeedDeviation} and ${deviation}`,
    );
    assertEquals(group.calibrationSeeds, 3);
    assertEquals(group.cacheBytesPerToken, 14400);
    assertEquals(typeof group.paretoOptimal, "boolean");
  });
});

Deno.test("LaTeX is balanced, has as many cells in every line as columns, and only what pdfLaTeX knows", async () => {
  await withTables((tables) => {
    for (const table of tables) {
      const text = formatNamedTable(table, "latex");
      const columns = table.table.columns.length;
      const where = table.name;
      const open: string[] = [];
      for (const [, verb, name] of text.matchAll(/\\(begin|end)\{(\w+)\}/g)) {
        if (verb === "begin") open.push(name!);
        else assertEquals(open.pop(), name, where);
      }
      assertEquals(open, [], where);
      const code = text.replace(/^%.*$|%$/gm, "").replace(/\\[\\{}&%$#_]/g, "");
      let depth = 0;
      for (const character of code) {
        if (character === "{") depth++;
        if (character === "}") depth--;
        assert(depth >= 0, `${where}: a brace closes nothing`);
      }
      assertEquals(depth, 0, where);
      assertEquals(code.split("$").length % 2, 1, `${where}: odd count of $`);
      assertEquals(/[#%_^]/.test(code), false, where);
      assertMatch(code, /^[\n\x20-\x7e]*$/, where);
      const [, body] = /\\toprule\n([^]*)\\bottomrule/.exec(text)!;
      const lines = body!.split("\n").filter((line) => line.endsWith("\\\\"));
      assert(lines.length > table.table.rows.length, where);
      for (const line of lines) {
        const spans = [...line.matchAll(/\\multicolumn\{(\d+)\}/g)].reduce(
          (sum, [, span]) => sum + Number(span) - 1,
          0,
        );
        assertEquals(line.split(" & ").length + spans, columns, line);
        // An optional argument of the line break before.
        assertEquals(line.startsWith("["), false, line);
      }
      assertStringIncludes(text, "% machine: Sample CPU, 4 cores");
    }
  });
});

Deno.test("escapeLatex() leaves no character to be taken for a command", () => {
  assertEquals(
    escapeLatex("a_b & 5 % of {x}\\y #1 ~^ \u221210\u00a0\u00d7 $"),
    "a\\_b \\& 5 \\% of \\{x\\}\\textbackslash{}y \\#1 \\textasciitilde{}\\textasciicircum{} $-$10~$\\times$ \\$",
  );
  assertEquals(escapeLatex("one\n\ntwo"), "one two");
});

Deno.test("report() writes the formats that are asked for and refuses others", async () => {
  await withRun(SEEDED, async (directory) => {
    const out = `${directory}/out`;
    assertEquals(
      await report([directory, "--out", out, "--format", "md, latex"]),
      0,
    );
    const names = [...Deno.readDirSync(`${out}/tables`)].map(({ name }) => name)
      .sort();
    assertEquals(names.length, 18);
    assertEquals(names.slice(0, 2), ["cells.md", "cells.tex"]);
    const text = await Deno.readTextFile(`${out}/tables/results.md`);
    assertMatch(text, /^\| Variant \|/);
    assertMatch(text, /\n\n\*Results\. .*Sample CPU.*\*\n$/);
    await assertRejects(
      () => report([directory, "--format", "md,xls"]),
      InputError,
      "found xls; allowed: md, csv, json, latex",
    );
  });
  assertEquals(parseFormats("csv,csv"), ["csv"]);
});

/** RFC 4180. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  for (
    const [, quoted, plain, end] of text.matchAll(
      /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g,
    )
  ) {
    rows.at(-1)!.push(quoted?.replaceAll('""', '"') ?? plain!);
    if (end !== ",") rows.push([]);
  }
  return rows.slice(0, -1);
}

Deno.test("writeReport() keeps a report that it cannot replace whole", async () => {
  await withRun(SMALL, async (directory) => {
    await writeReport(directory);
    const path = `${directory}/report.html`;
    const inode = (await Deno.stat(path)).ino;
    const { size } = await Deno.stat(path);
    // Whoever reads while it is written keeps the old file, not a part.
    using reader = await Deno.open(path);
    await writeReport(directory);
    assertEquals((await reader.stat()).size, size);
    assertEquals((await Deno.stat(path)).ino === inode, false);
    assertEquals(
      [...Deno.readDirSync(directory)].filter(({ name }) =>
        name.endsWith(".tmp")
      ),
      [],
    );
  });
});

Deno.test("csvField() leaves no text for a spreadsheet to compute", () => {
  for (const sign of ["=", "+", "-", "@"]) {
    assertEquals(csvField(`${sign}A1`), `'${sign}A1`);
  }
  assertEquals(
    csvField('=HYPERLINK("x","y")'),
    `"'=HYPERLINK(""x"",""y"")"`,
  );
  for (const number of [-1.5, "-1.5", "+2", "1e-3"]) {
    assertEquals(csvField(number), String(number));
  }
});

Deno.test("htmlTable() tells what has no value from text, for sorting", () => {
  const html = htmlTable({
    columns: [{ head: "speed", align: "right" }],
    rows: [
      { cells: [{ text: "12", value: 12 }] },
      { cells: [{ text: "no memory", value: null }] },
      { cells: [{ text: "word" }] },
    ],
  });
  assertMatch(html, / data-value="12">12</);
  assertMatch(html, / data-value="">no memory</);
  assertEquals(/data-value="[^"]*">word</.test(html), false);
});
