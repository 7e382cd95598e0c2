// The documents say what is there: links, files, keys, fields, differences.

import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/base/errors.ts";
import { docs, GENERATED, withPart } from "../src/cli/docs.ts";
import { readme } from "../src/cli/readme.ts";
import { recordSchema } from "../src/experiment/record_schema.ts";
import { VARYING_FIELDS } from "../src/experiment/varying_fields.ts";
import {
  anchorsOf,
  documents,
  fencesOf,
  linksOf,
  READMES,
  ROOT,
} from "./fixtures/documents.ts";

const DOCUMENTS = await documents();

Deno.test("both READMEs show what results/published holds, in Korean under Korean headings", async () => {
  assertEquals(await readme(["--check"]), 0, "deno task readme writes them");
  const text = DOCUMENTS.get("README.ko.md")!;
  const [head] = /^\| 변환 \|.*$/m.exec(text) ?? [""];
  assert(head.split("|").length > 6, head);
  assert(!/[a-z] (at|change|bytes)/.test(head), `not translated: ${head}`);
});

Deno.test("links of the documents lead to files and headings", async () => {
  const others = ["src/std/README.md", "src/checkpoint/embedded/README.md"];
  const texts = new Map(DOCUMENTS);
  for (const path of others) {
    texts.set(path, await Deno.readTextFile(join(ROOT, path)));
  }
  let links = 0;
  for (const [document, text] of texts) {
    for (const link of linksOf(text)) {
      if (/^https?:/.test(link)) continue;
      links++;
      const [path, anchor] = link.split("#") as [string, string?];
      const target = path === ""
        ? document
        : join(dirname(document), decodeURIComponent(path));
      const info = await Deno.stat(join(ROOT, target)).catch(() => undefined);
      assert(info !== undefined, `${document} links to ${link}`);
      if (anchor === undefined) continue;
      const anchors = anchorsOf(await Deno.readTextFile(join(ROOT, target)));
      assert(
        anchors.has(decodeURIComponent(anchor)),
        `${document} links to ${link}; headings: ${[...anchors].join(", ")}`,
      );
    }
  }
  assert(links > 60, `only ${links} links`);
});

Deno.test("files and folders that the documents name exist", async () => {
  for (const [document, text] of DOCUMENTS) {
    const named = text.matchAll(
      /(?:^|[`\s(])((?:src|tests|bench|docs|experiments|results\/published)\/[\w./-]*)/gm,
    );
    for (const [, path] of named) {
      const info = await Deno.stat(join(ROOT, path!)).catch(() => undefined);
      assert(info !== undefined, `${document} names ${path}`);
    }
  }
});

Deno.test("generated parts of docs/ are in step, and say something of everything", async () => {
  assertEquals(await docs(["--check"]), 0, "deno task docs writes them");
  for (const [document, parts] of Object.entries(GENERATED)) {
    for (const part of Object.values(parts)) {
      for (const line of (await part()).split("\n")) {
        assert(
          !/(?<!\\)\| +\|/.test(line),
          `${document}: nothing is said of ${line}`,
        );
      }
    }
  }
});

Deno.test("docs() refuses arguments, withPart() a document without its markers", async () => {
  await assertRejects(() => docs(["README.md"]), InputError, "no arguments");
  assertThrows(
    () => withPart("text", "keys", "new", "docs/x.md"),
    InputError,
    "Cannot update docs/x.md as it must hold <!-- generated:keys:begin -->",
  );
});

Deno.test("docs/record-format.md names every field of a cell, what varies, statuses and exit codes", () => {
  const text = DOCUMENTS.get("docs/record-format.md")!;
  const fields = propertiesOf(
    z.toJSONSchema(recordSchema, { io: "input", unrepresentable: "any" }),
  );
  assert(fields.size > 80, `only ${fields.size} fields`);
  for (const field of fields) {
    assert(
      new RegExp(`\`([\\w.[\\]]+\\.)?${field}\``).test(text),
      `${field} is not named`,
    );
  }
  for (const field of VARYING_FIELDS) {
    assert(text.includes(`\`${field.replace("*", "")}\``), field);
  }
  for (const status of ["ok", "failed", "oom", "timeout", "skipped"]) {
    assert(text.includes(`| \`${status}\``), status);
  }
  for (const code of [0, 1, 2, 130]) {
    assert(
      new RegExp(`^\\| ${code} +\\|`, "m").test(text),
      `exit code ${code}`,
    );
  }
});

Deno.test("docs/method.md names every deliberate difference to the official code", async () => {
  const text = DOCUMENTS.get("docs/method.md")!;
  let marks = 0;
  for await (const path of sources(join(ROOT, "src"))) {
    if (!(await Deno.readTextFile(path)).includes("Differs from official")) {
      continue;
    }
    const name = path.slice(ROOT.length).replaceAll("\\", "/");
    assert(text.includes(`\`${name}\``), `${name} is not named`);
    marks++;
  }
  assert(marks >= 2);
});

Deno.test("code in ts is tested: README.md's by mod_test.ts, a method's here for its types", async () => {
  const withCode = [...DOCUMENTS].filter(([, text]) =>
    fencesOf(text).some(({ language }) => language === "ts")
  ).map(([document]) => document);
  assertEquals(
    withCode.sort(),
    [
      ...READMES,
      "docs/adding-a-method.md",
    ].sort(),
  );
  const [method] = fencesOf(DOCUMENTS.get("docs/adding-a-method.md")!).filter(
    ({ language }) => language === "ts",
  );
  const folder = await Deno.makeTempDir({ prefix: "transmla-docs-" });
  try {
    const conversion = pathToFileURL(join(ROOT, "src/conversion/")).href;
    const file = join(folder, "slow_rope.ts");
    await Deno.writeTextFile(
      file,
      method!.text.replaceAll('"../', `"${conversion}`),
    );
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--quiet", `--config=${join(ROOT, "deno.json")}`, file],
      env: { NO_COLOR: "1" },
    }).output();
    assert(success, new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Names of properties, at any depth. */
function propertiesOf(schema: unknown): Set<string> {
  const names = new Set<string>();
  const walk = (value: unknown) => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (key === "properties") {
        for (const name of Object.keys(inner as object)) names.add(name);
      }
      walk(inner);
    }
  };
  walk(schema);
  return names;
}

async function* sources(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) yield* sources(path);
    else if (name.endsWith(".ts")) yield path;
  }
}
