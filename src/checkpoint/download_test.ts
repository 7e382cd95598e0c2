import { createHash } from "node:crypto";
import { assertEquals, assertRejects } from "@std/assert";
import { CheckpointError, UnavailableError } from "../base/errors.ts";
import { download } from "./download.ts";

const CONTENT = new Uint8Array(10_000).map((_, i) => i * 31);
const EXPECTED = {
  bytes: CONTENT.length,
  digest: {
    kind: "sha256" as const,
    hex: createHash("sha256").update(CONTENT).digest("hex"),
  },
};
const PARTIAL = `file.${EXPECTED.digest.hex.slice(0, 12)}.partial`;

/** A server whose answer depends on the range asked for, and the number of the request. */
async function withServer(
  answer: (range: string | null, request: number) => Response,
  work: (
    get: () => Promise<void>,
    folder: string,
    requests: () => number,
  ) => Promise<void>,
): Promise<void> {
  let requests = 0;
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => answer(request.headers.get("range"), requests++),
  );
  const folder = await Deno.makeTempDir();
  const url = `http://127.0.0.1:${server.addr.port}/file`;
  const options = { what: "a file", attempts: 2, stallMs: 300 };
  try {
    await work(
      () => download(url, `${folder}/file`, EXPECTED, options),
      folder,
      () => requests,
    );
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
}

const from = (start: number) =>
  new Response(CONTENT.slice(start), {
    status: 206,
    headers: { "content-range": `bytes ${start}-9999/10000` },
  });

Deno.test("download() goes on after a transfer that stalls", async () => {
  const stalling = () =>
    new Response(
      new ReadableStream({
        start: (controller) => controller.enqueue(CONTENT.slice(0, 4000)),
      }),
    );
  await withServer(
    (range) => range === null ? stalling() : from(4000),
    async (get, folder, requests) => {
      await get();
      assertEquals(await Deno.readFile(`${folder}/file`), CONTENT);
      assertEquals(requests(), 2);
    },
  );
});

Deno.test("download() starts again where a server ignores ranges or refuses to continue", async () => {
  for (const status of [200, 416]) {
    await withServer(
      (range) =>
        range !== null && status === 416
          ? new Response(null, { status })
          : new Response(CONTENT),
      async (get, folder) => {
        await Deno.writeFile(`${folder}/${PARTIAL}`, new Uint8Array(500));
        await get();
        assertEquals(await Deno.readFile(`${folder}/file`), CONTENT);
      },
    );
  }
});

Deno.test("download() gives up after attempts that bring nothing", async () => {
  await withServer(
    () => new Response(null, { status: 503 }),
    async (get, _folder, requests) => {
      await assertRejects(get, UnavailableError, "503");
      assertEquals(requests(), 2);
    },
  );
  await withServer(
    () => new Response(null, { status: 404 }),
    async (get, _folder, requests) => {
      await assertRejects(get, UnavailableError, "404");
      assertEquals(requests(), 1);
    },
  );
});

Deno.test("download() refuses more bytes than announced", async () => {
  await withServer(
    () => new Response(new Uint8Array(20_000)),
    async (get, folder) => {
      await assertRejects(get, CheckpointError, "sends more");
      assertEquals([...Deno.readDirSync(folder)].length, 0);
    },
  );
});
