import { assertEquals, assertRejects } from "@std/assert";
import { CheckpointError, UnavailableError } from "../base/errors.ts";
import { openWikiText, rowsOfParquet, rowsOfRawFile } from "./wikitext.ts";

const PARQUET = new URL(
  "../../tests/golden/text/rows.parquet",
  import.meta.url,
);

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

const noNetwork = () => Promise.reject(new Error("no network"));

Deno.test("rowsOfRawFile() keeps line feeds and empties blank lines", () => {
  assertEquals(rowsOfRawFile(" \n = T = \n \n A b . \n"), [
    "",
    " = T = \n",
    "",
    " A b . \n",
  ]);
});

Deno.test("rowsOfParquet() reads the column text", async () => {
  assertEquals(await rowsOfParquet(await Deno.readFile(PARQUET), "it"), [
    "",
    " = Homarus = \n",
    "",
    " A café — ½ of it . \n",
  ]);
});

Deno.test("rowsOfParquet() refuses a truncated file", async () => {
  const bytes = (await Deno.readFile(PARQUET)).subarray(0, 300);
  await assertRejects(
    () => rowsOfParquet(bytes, "cut.parquet"),
    CheckpointError,
    "cut.parquet",
  );
});

Deno.test("openWikiText() names both ways to get the text", async () => {
  await withFolder(async (folder) => {
    const places = {
      dataFolder: undefined,
      cacheFolder: folder,
      fetch: noNetwork,
    };
    for (const part of ["TRANSMLA_DATA", "wiki.valid.raw", "(no network)"]) {
      await assertRejects(
        () => openWikiText("validation", places),
        UnavailableError,
        part,
      );
    }
    await assertRejects(
      () =>
        openWikiText("test", {
          ...places,
          fetch: () => Promise.resolve(new Response("", { status: 404 })),
        }),
      UnavailableError,
      "status 404",
    );
  });
});

Deno.test("openWikiText() refuses a raw file that is not the published one", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/wikitext-2-raw`);
    await Deno.writeTextFile(`${folder}/wikitext-2-raw/wiki.test.raw`, " \n");
    await assertRejects(
      () => openWikiText("test", { dataFolder: folder, fetch: noNetwork }),
      CheckpointError,
      "wiki.test.raw as its sha256 must be the published 173c87a5",
    );
  });
});

Deno.test("openWikiText() neither accepts nor keeps a download with other rows", async () => {
  await withFolder(async (folder) => {
    const parquet = await Deno.readFile(PARQUET);
    await assertRejects(
      () =>
        openWikiText("test", {
          dataFolder: undefined,
          cacheFolder: folder,
          fetch: () => Promise.resolve(new Response(parquet)),
        }),
      CheckpointError,
      "sha256 must be the published 696cca6b",
    );
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});
