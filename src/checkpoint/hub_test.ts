// Against a local server that answers as the hub does.

import { createHash } from "node:crypto";
import {
  assert,
  assertEquals,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  CheckpointError,
  InputError,
  UnavailableError,
} from "../base/errors.ts";
import { downloadConfig, downloadFromHub, type HubOptions } from "./hub.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const REPO = "some/model";

interface Served {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Break the first transfer of this file after so many bytes. */
  readonly breakAt?: number;
  /** Send other bytes than the digest says. */
  readonly corrupt?: boolean;
  readonly status?: number;
}

interface Seen {
  readonly ranges: (string | null)[];
  readonly authorizations: Set<string | null>;
  readonly revisions: Set<string>;
}

const weights = new Uint8Array(300_000).map((_, i) => i * 7 + (i >> 8));
const SINGLE = {
  "config.json": new TextEncoder().encode('{"model_type":"llama"}'),
  "tokenizer.json": new TextEncoder().encode("{}"),
  "model.safetensors": weights,
};

async function withHub(
  served: Served,
  work: (endpoint: string, folder: string, seen: Seen) => Promise<void>,
): Promise<void> {
  const seen: Seen = {
    ranges: [],
    authorizations: new Set(),
    revisions: new Set(),
  };
  let broken = false;
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => {
      const url = new URL(request.url);
      const [, revision = "", name = ""] =
        /^\/some\/model\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname) ?? [];
      const stored = url.pathname.startsWith("/storage/")
        ? url.pathname.slice("/storage/".length)
        : undefined;
      const bytes = served.files[stored ?? name];
      if (served.status !== undefined) {
        return new Response(null, { status: served.status });
      }
      if (bytes === undefined) return new Response(null, { status: 404 });
      const large = name.endsWith(".safetensors");
      if (stored === undefined) {
        seen.revisions.add(revision);
        seen.authorizations.add(request.headers.get("authorization"));
        const etag = large
          ? createHash("sha256").update(bytes).digest("hex")
          : createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes)
            .digest("hex");
        const headers = new Headers({ "x-repo-commit": COMMIT });
        if (large) {
          headers.set("x-linked-etag", `"${etag}"`);
          headers.set("x-linked-size", String(bytes.length));
          headers.set("location", `/storage/${name}`);
          return new Response(null, { status: 302, headers });
        }
        headers.set("etag", `"${etag}"`);
        headers.set("content-length", String(bytes.length));
        return new Response(request.method === "HEAD" ? null : bytes.slice(), {
          headers,
        });
      }
      const range = request.headers.get("range");
      seen.ranges.push(range);
      const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
      const body = bytes.slice(from);
      if (served.corrupt) body[0]! ^= 1;
      const headers = new Headers();
      if (range !== null) {
        headers.set(
          "content-range",
          `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
        );
      }
      const status = range === null ? 200 : 206;
      if (served.breakAt !== undefined && !broken) {
        broken = true;
        const part = body.slice(0, served.breakAt);
        let sent = false;
        const stream = new ReadableStream<Uint8Array>({
          async pull(controller) {
            if (!sent) controller.enqueue(part);
            else {
              // So that the bytes are out before the connection breaks.
              await new Promise((resolve) => setTimeout(resolve, 100));
              controller.error(new Error("broken"));
            }
            sent = true;
          },
        });
        return new Response(stream, { status, headers });
      }
      return new Response(body, { status, headers });
    },
  );
  const folder = await Deno.makeTempDir();
  try {
    await work(`http://127.0.0.1:${server.addr.port}`, folder, seen);
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
}

const anonymous = (endpoint: string): HubOptions => ({ endpoint, token: "" });

Deno.test("downloadFromHub() brings all files of one commit", async () => {
  await withHub({ files: SINGLE }, async (endpoint, folder, seen) => {
    const progress: [number, number, string][] = [];
    const commit = await downloadFromHub(REPO, "main", folder, {
      endpoint,
      token: "secret",
      progress: (...report) => progress.push(report),
    });
    assertEquals(commit, COMMIT);
    for (const [name, bytes] of Object.entries(SINGLE)) {
      assertEquals(await Deno.readFile(`${folder}/${name}`), bytes);
    }
    assertEquals([...Deno.readDirSync(folder)].length, 3);
    assertEquals(progress.at(-1), [
      weights.length,
      weights.length,
      "some/model/model.safetensors",
    ]);
    assertEquals([...seen.revisions], ["main", COMMIT]);
    assertEquals([...seen.authorizations], ["Bearer secret"]);
  });
});

Deno.test("downloadFromHub() goes on where a broken transfer ended", async () => {
  await withHub(
    { files: SINGLE, breakAt: 100_000 },
    async (endpoint, folder, seen) => {
      await downloadFromHub(REPO, "main", folder, anonymous(endpoint));
      assertEquals(seen.ranges, [null, "bytes=100000-"]);
      assertEquals(await Deno.readFile(`${folder}/model.safetensors`), weights);
    },
  );
});

Deno.test("downloadFromHub() goes on with an earlier process's partial file", async () => {
  await withHub({ files: SINGLE }, async (endpoint, folder, seen) => {
    const digest = createHash("sha256").update(weights).digest("hex");
    await Deno.writeFile(
      `${folder}/model.safetensors.${digest.slice(0, 12)}.partial`,
      weights.subarray(0, 1234),
    );
    await downloadFromHub(REPO, "main", folder, anonymous(endpoint));
    assertEquals(seen.ranges, ["bytes=1234-"]);
    assertEquals(await Deno.readFile(`${folder}/model.safetensors`), weights);
  });
});

Deno.test("downloadFromHub() refuses a file whose digest is wrong", async () => {
  await withHub({ files: SINGLE, corrupt: true }, async (endpoint, folder) => {
    await assertRejects(
      () => downloadFromHub(REPO, "main", folder, anonymous(endpoint)),
      CheckpointError,
      "sha256 must be",
    );
    const left = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assertEquals(left, ["config.json", "tokenizer.json"]);
  });
  await withHub({ files: SINGLE }, async (endpoint, folder) => {
    await assertRejects(
      () =>
        downloadFromHub(REPO, "main", folder, {
          ...anonymous(endpoint),
          pinned: { "config.json": "0".repeat(64) },
        }),
      CheckpointError,
      "0000",
    );
  });
});

Deno.test("downloadFromHub() brings shards, and only plain file names", async () => {
  const index = (shard: string) =>
    new TextEncoder().encode(
      JSON.stringify({ weight_map: { a: shard, b: "two.safetensors" } }),
    );
  const { "model.safetensors": _, ...rest } = SINGLE;
  const files = {
    ...rest,
    "model.safetensors.index.json": index("one.safetensors"),
    "one.safetensors": weights.subarray(0, 100),
    "two.safetensors": weights.subarray(100, 300),
  };
  await withHub({ files }, async (endpoint, folder) => {
    await downloadFromHub(REPO, "main", folder, anonymous(endpoint));
    assertEquals(
      await Deno.readFile(`${folder}/two.safetensors`),
      weights.slice(100, 300),
    );
  });
  const hostile = {
    ...files,
    "model.safetensors.index.json": index("../one.safetensors"),
  };
  await withHub({ files: hostile }, async (endpoint, folder) => {
    await assertRejects(
      () => downloadFromHub(REPO, "main", folder, anonymous(endpoint)),
      CheckpointError,
      "../one.safetensors",
    );
  });
});

Deno.test("downloadFromHub() says what is missing", async () => {
  await withHub({ files: {} }, async (endpoint, folder) => {
    await assertRejects(
      () => downloadFromHub(REPO, "main", folder, anonymous(endpoint)),
      UnavailableError,
      "no model of that name",
    );
  });
  const { "model.safetensors": _, ...rest } = SINGLE;
  await withHub({ files: rest }, async (endpoint, folder) => {
    await assertRejects(
      () => downloadFromHub(REPO, "main", folder, anonymous(endpoint)),
      InputError,
      "no model.safetensors",
    );
  });
  await withHub({ files: SINGLE, status: 401 }, async (endpoint, folder) => {
    await assertRejects(
      () => downloadFromHub(REPO, "main", folder, anonymous(endpoint)),
      UnavailableError,
      "HF_TOKEN",
    );
  });
});

Deno.test("downloadFromHub() is quick to say that there is no network", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const endpoint = `http://127.0.0.1:${listener.addr.port}`;
  listener.close();
  const start = performance.now();
  const error = await assertRejects(
    () => downloadFromHub(REPO, "main", "/nowhere", anonymous(endpoint)),
    UnavailableError,
  ) as Error;
  assertStringIncludes(error.message, endpoint);
  assertLess(performance.now() - start, 5000);
  assert(!error.message.includes("\n"));
});

Deno.test("downloadConfig() brings config.json and nothing else", async () => {
  await withHub({ files: SINGLE }, async (endpoint, folder, seen) => {
    assertEquals(
      await downloadConfig(REPO, "main", folder, { endpoint }),
      COMMIT,
    );
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
    assertEquals(names, ["config.json"]);
    assertEquals(
      await Deno.readFile(`${folder}/config.json`),
      SINGLE["config.json"],
    );
    assertEquals(seen.ranges, []);
  });
});
