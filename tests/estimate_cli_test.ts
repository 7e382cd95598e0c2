// The estimate verb as a user meets it.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildGguf, f32Tensor } from "../src/checkpoint/testdata/build_gguf.ts";
import { runVerbTask } from "./fixtures/verb_child.ts";

const GOLDEN = fileURLToPath(new URL("golden/llama", import.meta.url));

/** Lines whose first word is an m or "original", split at columns. */
function cacheRows(stdout: string): string[][] {
  return stdout.split("\n").filter((line) =>
    /^(original|m\d+ r\d+) {2,}/.test(line)
  ).map((line) => line.split(/ {2,}/));
}

Deno.test("estimate shows the paper's cuts of LLaMA-2-7B with their equations", async () => {
  const { code, stdout, stderr } = await runVerbTask("estimate", [
    "llama-2-7b",
    "--contexts",
    "8192",
  ]);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(cacheRows(stdout).map((row) => row.slice(0, 4)), [
    ["original", "8,192", "–", "524,288"],
    ["m64 r2496", "2,560", "−68.75\u00a0%", "163,840"],
    ["m64 r1472", "1,536", "−81.25\u00a0%", "98,304"],
    ["m64 r960", "1,024", "−87.5\u00a0%", "65,536"],
    ["m64 r512", "576", "−92.97\u00a0%", "36,864"],
  ]);
  assertMatch(stdout, /m \+ r += 64 \+ 512 += 576/);
  assertMatch(stdout, /2·G·d += 2 · 32 · 128 += 8,192/);
  assertMatch(stdout, /\(D \+ 1\)²·8 += 4,097² · 8 += 134,283,272 B/);
  assertStringIncludes(stdout, "Estimates, not measurements");
});

Deno.test("estimate takes the worked example from 1024 numbers to 192, in JSON", async () => {
  const { code, stdout } = await runVerbTask("estimate", [
    "worked-example",
    "--qk-rope-head-dim",
    "128",
    "--kv-lora-rank",
    "64,full",
    "--dtype",
    "f32",
    "--json",
  ]);
  assertEquals(code, 0);
  const { caches } = JSON.parse(stdout);
  assertEquals(
    caches.map((cache: Record<string, unknown>) => [
      cache["elementsPerTokenPerLayer"],
      cache["reduction"],
      cache["bytesPerToken"],
    ]),
    [[1024, 0, 8192], [192, 0.8125, 1536], [1024, 0, 8192]],
  );
});

Deno.test("estimate reads a config.json, a folder and a GGUF's header, and no weights", async () => {
  const folder = await Deno.makeTempDir({ prefix: "estimate-" });
  try {
    const config = join(folder, "config.json");
    await Deno.copyFile(join(GOLDEN, "config.json"), config);
    const gguf = join(folder, "tiny.gguf");
    await Deno.writeFile(gguf, tinyGguf());
    const args = ["--qk-rope-head-dim", "8", "--kv-lora-rank", "24"];
    for (const model of [config, folder, gguf]) {
      const { code, stdout, stderr } = await runVerbTask(
        "estimate",
        [model, ...args],
      );
      assertEquals([code, stderr], [0, ""], model);
      assertEquals(cacheRows(stdout).map((row) => row.slice(0, 3)), [
        ["original", "64", "–"],
        ["m8 r24", "32", "−50\u00a0%"],
      ]);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("estimate fetches config.json alone of a hub id, once", async () => {
  const bytes = await Deno.readFile(join(GOLDEN, "config.json"));
  const asked: string[] = [];
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => {
      const name = new URL(request.url).pathname.split("/").at(-1)!;
      asked.push(name);
      if (name !== "config.json") return new Response(null, { status: 404 });
      const digest = createHash("sha1").update(`blob ${bytes.length}\0`)
        .update(bytes).digest("hex");
      return new Response(request.method === "HEAD" ? null : bytes.slice(), {
        headers: {
          "x-repo-commit": "0".repeat(40),
          "etag": `"${digest}"`,
          "content-length": String(bytes.length),
        },
      });
    },
  );
  const folder = await Deno.makeTempDir({ prefix: "estimate-hub-" });
  const env = {
    HF_ENDPOINT: `http://127.0.0.1:${server.addr.port}`,
    TRANSMLA_CACHE: folder,
  };
  const args = [
    "some/model",
    ...["--qk-rope-head-dim", "8", "--kv-lora-rank", "24"],
  ];
  try {
    const first = await runVerbTask("estimate", args, env);
    assertEquals([first.code, first.stderr], [0, ""]);
    assertEquals(new Set(asked), new Set(["config.json"]));
    const count = asked.length;
    const again = await runVerbTask("estimate", args, env);
    assertEquals([again.code, asked.length], [0, count]);
    assertEquals(again.stdout, first.stdout);
    assertEquals(cacheRows(first.stdout)[1]!.slice(0, 2), ["m8 r24", "32"]);
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("estimate knows the model of the repository and synthetic shapes", async () => {
  for (
    const [model, elements] of [
      ["embedded", /^original +\d/m],
      ["synthetic:smollm2-135m", /^original +384 /m],
    ] as const
  ) {
    const { code, stdout, stderr } = await runVerbTask("estimate", [model]);
    assertEquals([code, stderr], [0, ""], model);
    assertMatch(stdout, elements);
  }
});

Deno.test("estimate refuses in one line, exit 2", async () => {
  for (
    const [args, message] of [
      [
        ["llama-2-7b", "--kv-lora-rank", "8129"],
        /kvLoraRank 8129 .* 1 to 8128/,
      ],
      [
        ["llama-2-7b", "--qk-rope-head-dim", "48"],
        /qkRopeHeadDim 48 .* even divisor of headDim 128/,
      ],
      [
        ["llama2-7b"],
        /Cannot find model llama2-7b \(did you mean "llama-2-7b"/,
      ],
      [["llama-2-7b", "--contexts", "1k"], /--contexts: found 1k; allowed/],
      [
        ["llama-2-7b", "--dtype", "int8"],
        /--dtype: found int8; allowed: f16, f32/,
      ],
      [[], /one MODEL must be given/],
    ] as const
  ) {
    const { code, stdout, stderr } = await runVerbTask("estimate", args);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertMatch(stderr, message);
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
  }
});

/** The golden model's sizes; its weights are no numbers, which a reader of them would refuse. */
function tinyGguf(): Uint8Array {
  const sizes: readonly [string, number][] = [
    ["block_count", 2],
    ["context_length", 512],
    ["embedding_length", 64],
    ["feed_forward_length", 128],
    ["attention.head_count", 4],
    ["attention.head_count_kv", 2],
  ];
  return buildGguf([
    ["general.architecture", { string: "llama" }],
    ...sizes.map(([key, u32]) => [`llama.${key}`, { u32 }] as const),
    ["llama.attention.layer_norm_rms_epsilon", { f32: 1e-5 }],
  ], [
    f32Tensor("token_embd.weight", [256, 64], new Array(256 * 64).fill(NaN)),
  ]);
}
