import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { fileLock, tryFileLock } from "./file_lock.ts";

async function inFolder(body: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "lock-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("tryFileLock() lets one in at a time, and leaves no file", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a");
    const lock = await tryFileLock(path);
    assert(lock !== undefined);
    assertEquals(await tryFileLock(path), undefined);
    await lock.release();
    const next = await tryFileLock(path);
    assert(next !== undefined);
    await next.release();
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});

Deno.test("fileLock() waits, says so once, and no two are in at a time", async () => {
  await inFolder(async (folder) => {
    let inside = 0;
    let most = 0;
    let waited = 0;
    await Promise.all(Array.from({ length: 6 }, async () => {
      const lock = await fileLock(join(folder, "a"), () => waited++);
      most = Math.max(most, ++inside);
      await new Promise((done) => setTimeout(done, 5));
      inside--;
      await lock.release();
    }));
    assertEquals([most, inside], [1, 0]);
    assert(waited > 0 && waited < 6);
  });
});

Deno.test("a lock ends with its process, however it ends", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "a");
    const module = new URL("./file_lock.ts", import.meta.url);
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "eval",
        "--no-lock",
        "--no-config",
        `const { tryFileLock } = await import("${module}");
         await tryFileLock("${path}"); console.log("held");
         setInterval(() => {}, 1000);`,
      ],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    assertEquals(await tryFileLock(path), undefined);
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    const lock = await tryFileLock(path);
    assert(lock !== undefined);
    await lock.release();
  });
});
