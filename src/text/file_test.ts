import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../base/errors.ts";
import { openTextFile } from "./file.ts";

async function withFile(
  content: Uint8Array,
  body: (path: string) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, content);
    await body(path);
  } finally {
    await Deno.remove(path);
  }
}

const utf8 = (text: string) => new TextEncoder().encode(text);

Deno.test("openTextFile() makes rows of paragraphs", async () => {
  await withFile(
    utf8("\ufeff\n First,\r\nstill first.\r\n\r\n \nSecond ü.\n\n\n"),
    async (path) => {
      const text = await openTextFile(path);
      assertEquals(text.name, `file:${path}`);
      assertEquals(text.rows, [" First,\nstill first.", "Second ü."]);
      assertEquals(text.text, " First,\nstill first.\n\nSecond ü.");
    },
  );
});

Deno.test("openTextFile() names the line that is not UTF-8", async () => {
  const bytes = [...utf8("good\nü\n"), 0x61, 0xe4, 0x62, 0x0a];
  await withFile(Uint8Array.from(bytes), async (path) => {
    await assertRejects(
      () => openTextFile(path),
      InputError,
      "must be UTF-8: line 3 is not",
    );
  });
});

Deno.test("openTextFile() refuses an empty, blank or missing file", async () => {
  for (const content of ["", " \n\n\t\n"]) {
    await withFile(utf8(content), async (path) => {
      await assertRejects(
        () => openTextFile(path),
        InputError,
        `holds no text: its size is ${content.length} bytes`,
      );
    });
  }
  await assertRejects(
    () => openTextFile("no/such/file.txt"),
    InputError,
    "file:no/such/file.txt: the file does not exist",
  );
});
