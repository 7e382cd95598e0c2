// The quickstart where nothing can be downloaded: proxies that refuse every
// connection, an empty cache of models.

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { MODEL_ALIASES } from "../src/checkpoint/model_aliases.ts";
import { runVerbTask } from "./fixtures/verb_child.ts";

/** A port of this machine on which nothing listens. */
function closedPort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

function withoutNetwork(folder: string): Record<string, string> {
  const closed = `http://127.0.0.1:${closedPort()}`;
  const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((name) => [
    [name, closed],
    [name.toLowerCase(), closed],
  ]);
  return {
    ...Object.fromEntries(proxies),
    NO_PROXY: "",
    no_proxy: "",
    HF_ENDPOINT: closed,
    // pip's own sources that need no network would make this a test of them.
    PIP_CONFIG_FILE: Deno.build.os === "windows" ? "nul" : "/dev/null",
    PIP_FIND_LINKS: "",
    PIP_EXTRA_INDEX_URL: "",
    PIP_NO_CACHE_DIR: "1",
    TRANSMLA_CACHE: join(folder, "cache"),
  };
}

Deno.test("without a network the quickstart runs on the embedded model, and says so everywhere", async () => {
  const folder = await Deno.makeTempDir({ prefix: "offline-" });
  try {
    const out = join(folder, "run");
    const { code, stdout, stderr } = await runVerbTask("experiment", [
      ...["--only", "original,transmla F4 m64 r128 bkv", "--out", out],
      ...["--set", "measure.contexts=[256]"],
      ...["--set", "measure.perplexity.tokens=1024"],
      ...["--set", "calibration.samples=8"],
    ], withoutNetwork(folder));
    assertEquals(code, 0, stderr);
    const lines = stderr.split("\n");
    const lost = ["smollm2-135m-q4_1", "smollm2-135m"];
    for (const name of lost) {
      const own = lines.filter((line) => line.startsWith(`model ${name} `));
      assertEquals(own.length, 1, stderr);
      assertMatch(own[0]!, /cannot be had: .+; trying the next$/);
    }
    assert(lines.includes("model: embedded"), stderr);
    assert(!stderr.includes("Traceback"), stderr);
    assertStringIncludes(stdout, "transmla F4 m64 r128 bkv");

    const { model } = JSON.parse(
      await Deno.readTextFile(join(out, "environment.json")),
    );
    assertEquals(model.name, "embedded");
    assertEquals(
      model.sha256,
      MODEL_ALIASES["embedded"]!.files["model.safetensors"],
    );
    assertEquals(
      model.notHad.map(({ name }: { name: string }) => name),
      lost,
    );
    assertStringIncludes(model.notHad[1].reason, "Cannot reach");
    for (const name of ["summary.md", "report.html"]) {
      const report = (await Deno.readTextFile(join(out, name)))
        .replaceAll("\\_", "_");
      assertMatch(
        report,
        /Measured on embedded: the experiment file lists smollm2-135m-q4_1 \(.+ and smollm2-135m \(.+ before it, which could not be had\./,
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
