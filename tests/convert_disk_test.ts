// `deno task convert` where the disk is full: one line, and nothing left behind.

import { join } from "node:path";
import { assertEquals, assertMatch } from "@std/assert";
import { requirement } from "./fixtures/requirements.ts";
import { writeTinyFolder } from "./fixtures/tiny_folder.ts";
import { onTmpfs } from "./fixtures/tmpfs.ts";

const { ignore } = requirement("tmpfs");

Deno.test({
  name:
    "convert() on a full disk names the folder, leaves it empty, and then writes it",
  ignore,
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "transmla-convert-" });
    try {
      const model = join(folder, "model");
      const disk = join(folder, "disk");
      await writeTinyFolder(model, "llama");
      await Deno.mkdir(disk);
      const [program, ...prefix] = onTmpfs(
        disk,
        "size=32k",
        `"$@"; echo "exit $?"
         ls -A "$0"
         mount -o remount,size=16m "$0"
         "$@" > /dev/null; echo "exit $?"`,
      );
      const { code, stdout, stderr } = await new Deno.Command(program!, {
        args: [
          ...prefix,
          Deno.execPath(),
          "run",
          "--no-check",
          "-A",
          new URL("../src/cli/convert.ts", import.meta.url).pathname,
          model,
          "--out",
          join(disk, "out"),
          "--freq-fold=2",
          "--qk-rope-head-dim=8",
          "--kv-lora-rank=24",
          "--samples=8",
          "--tokens=64",
          "--engine=reference",
        ],
        env: { NO_COLOR: "1", TRANSMLA_CACHE: join(folder, "cache") },
        stdin: "null",
      }).output();
      const text = new TextDecoder().decode(stderr);
      assertEquals(code, 0, text);
      assertMatch(
        text,
        /^error: Cannot write \/\S+\/disk\/out: No space left on device \(os error 28\)/m,
      );
      assertEquals(new TextDecoder().decode(stdout), "exit 1\nexit 0\n", text);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
