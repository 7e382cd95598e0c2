// Broken safetensors and indexes: one line that names file and item, says what was
// found and what is allowed. Units beside safetensors.ts have further headers.

import { join } from "node:path";
import {
  assertRefusedModel,
  changeSafetensors,
  type Header,
  type HostileModel,
} from "./fixtures/hostile_model.ts";

const FILE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const NORM = "model.norm.weight";

/** Changes the header of the tiny model's weights. */
const header =
  (change: (header: Header, data: Uint8Array) => string | void) =>
  (folder: string) => changeSafetensors(join(folder, FILE), change);

/** Changes the file's bytes. */
const bytes =
  (change: (bytes: Uint8Array) => Uint8Array) => async (folder: string) => {
    const path = join(folder, FILE);
    await Deno.writeFile(path, change(await Deno.readFile(path)));
  };

/** Sets a number of the final norm. */
const weight = (value: number) =>
  header((entries, data) => {
    const [from] = entries[NORM]!.data_offsets as [number, number];
    new DataView(data.buffer).setFloat32(from + 4 * 3, value, true);
  });

/** Makes the weights a shard of an index. */
const index =
  (change: (map: Record<string, unknown>, folder: string) => unknown) =>
  async (folder: string) => {
    const map: Record<string, unknown> = {};
    await changeSafetensors(join(folder, FILE), (entries) => {
      for (const name of Object.keys(entries)) {
        if (name !== "__metadata__") map[name] = "one.safetensors";
      }
    });
    await Deno.rename(join(folder, FILE), join(folder, "one.safetensors"));
    const content = await change(map, folder) ?? { weight_map: map };
    await Deno.writeTextFile(
      join(folder, INDEX),
      typeof content === "string" ? content : JSON.stringify(content),
    );
  };

/** Places one tensor elsewhere. */
const placed = (shard: unknown) =>
  index((map) => {
    map[NORM] = shard;
  });

const CASES: readonly HostileModel[] = [
  {
    what: "cut off in its data",
    change: bytes((all) => all.slice(0, -10)),
    says: [FILE, "Cannot read tensor", "outside the file's"],
  },
  {
    what: "cut off in its header",
    change: bytes((all) => all.slice(0, 100)),
    says: [FILE, "its length must be from 2 to the file's 100 bytes"],
  },
  {
    what: "empty",
    change: bytes(() => new Uint8Array(0)),
    says: [FILE, "0 bytes"],
  },
  {
    what: "with a header longer than itself",
    change: bytes((all) => {
      new DataView(all.buffer).setBigUint64(0, 2n ** 40n, true);
      return all;
    }),
    says: [FILE, "must be from 2 to", "current value is 1099511627776"],
  },
  {
    what: "with a header that is not UTF-8",
    change: bytes((all) => {
      all[12] = 0xff;
      return all;
    }),
    says: [FILE, "not UTF-8"],
  },
  {
    what: "with overlapping tensors",
    change: header((entries) => {
      const other = Object.keys(entries).find((name) =>
        name !== NORM && JSON.stringify(entries[name]!.shape) === "[64]"
      )!;
      entries[NORM]!.data_offsets = entries[other]!.data_offsets;
    }),
    says: [FILE, "must neither overlap nor leave holes", "begins at byte"],
  },
  {
    what: "with offsets out of range",
    change: header((entries) => {
      entries[NORM]!.data_offsets = [1e9, 1e9 + 256];
    }),
    says: [FILE, `"${NORM}"`, "[1000000000, 1000000256] are outside"],
  },
  {
    what: "with a shape that overflows",
    change: header((entries) => {
      entries[NORM]!.shape = [2 ** 31, 2 ** 31, 2 ** 31];
    }),
    says: [FILE, `"${NORM}"`, "too many elements"],
  },
  {
    what: "with a hundred thousand axes",
    change: header((entries) => {
      entries[NORM]!.shape = [64, ...Array(1e5).fill(1)];
    }),
    says: [FILE, `"${NORM}"`, "at most 8 axes: current number is 100001"],
  },
  {
    what: "with a shape of its own",
    change: header((entries) => {
      entries[NORM]!.shape = [8, 8];
    }),
    says: [`"${NORM}"`, "must have shape [64]: current shape is [8,8]"],
  },
  {
    what: "with a tensor that is there twice",
    change: header((entries) =>
      `${JSON.stringify(entries).slice(0, -1)},"${NORM}":${
        JSON.stringify(entries[NORM])
      }}`
    ),
    says: [FILE, `"${NORM}" is there twice`],
  },
  {
    what: "without a tensor",
    change: header((entries) => {
      entries["other"] = entries[NORM]!;
      delete entries[NORM];
    }),
    says: ['tensor "other"'],
  },
  {
    what: "with norms on queries and keys",
    change: header((entries) => {
      entries["model.layers.0.self_attn.q_norm.weight"] = entries[NORM]!;
      delete entries[NORM];
    }),
    says: ["norms on queries and keys", "self_attn.q_norm.weight"],
  },
  {
    what: "of a type that is not read",
    change: header((entries) => {
      entries[NORM] = { ...entries[NORM]!, dtype: "I32" };
    }),
    says: [FILE, `"${NORM}"`, "one of F32, F16, BF16: current value is I32"],
  },
  {
    what: "of a type that there is not",
    change: header((entries) => {
      entries[NORM] = { ...entries[NORM]!, dtype: "F31" };
    }),
    says: [FILE, `"${NORM}"`, 'unknown: "F31"', "F32, F16, BF16"],
  },
  {
    what: "with NaN",
    change: weight(NaN),
    says: [FILE, `"${NORM}"`, "must be finite: element 3 is NaN"],
  },
  {
    what: "with infinity",
    change: weight(-Infinity),
    says: [FILE, `"${NORM}"`, "must be finite: element 3 is -Infinity"],
  },
  {
    what: "with metadata that is not text",
    change: header((entries) => {
      entries["__metadata__"] = { format: 3 } as unknown as Header[string];
    }),
    says: [FILE, "__metadata__ must be an object of strings", '{"format":3}'],
  },
  {
    what: "with an entry nested beyond any walk",
    change: header((entries) => {
      const [open, close] = ["[".repeat(1e5), "]".repeat(1e5)];
      return JSON.stringify(entries).replace('"F32"', open + close);
    }),
    says: [FILE, "nested deeper than 32 levels"],
  },
  {
    what: "with a name that would write to the terminal",
    change: header((entries) => {
      entries["a\n\x1b[31mb"] = { ...entries[NORM]!, dtype: 7 };
      delete entries[NORM];
    }),
    says: [FILE, '"a\\n\\u001b[31mb"', "unknown: 7"],
  },
  ...["../../x.safetensors", "/etc/x.safetensors", "C:\\x.safetensors"].map(
    (shard): HostileModel => ({
      what: `with an index that names ${shard}`,
      change: placed(shard),
      says: [INDEX, "in the same folder", JSON.stringify(shard)],
    }),
  ),
  {
    what: "with an index that names no text",
    change: placed({ a: 1 }),
    says: [INDEX, "in the same folder", '{"a":1}'],
  },
  {
    what: "with a shard that links out of the folder",
    change: index(async (map, folder) => {
      const outside = join(folder, "..", "outside.safetensors");
      await Deno.copyFile(join(folder, "one.safetensors"), outside);
      await Deno.symlink(outside, join(folder, "two.safetensors"));
      map[NORM] = "two.safetensors";
    }),
    says: [INDEX, "in the same folder", "two.safetensors links to"],
  },
  {
    what: "with a shard that is missing",
    change: placed("two.safetensors"),
    says: [INDEX, "names two.safetensors, which is not in the folder"],
  },
  {
    what: "with a tensor that no shard has",
    change: index((map) => {
      map["extra"] = "one.safetensors";
    }),
    says: ['"extra"', "places it in one.safetensors, which does not have it"],
  },
  {
    what: "with a tensor that the index leaves out",
    change: index((map) => {
      delete map[NORM];
    }),
    says: ["one.safetensors", `"${NORM}"`, "does not list"],
  },
  {
    what: "with an index of nothing",
    change: index(() => ({ weight_map: {} })),
    says: [INDEX, "weight_map must be an object that names tensors", "{}"],
  },
  {
    what: "with an index that places a tensor twice",
    change: index((map) =>
      `{"weight_map":{"${NORM}":"a.safetensors",${
        JSON.stringify(map).slice(1)
      }}`
    ),
    says: [INDEX, `"${NORM}" is there twice`],
  },
];

for (const hostile of CASES) {
  Deno.test(`safetensors ${hostile.what} are refused in one line`, async () => {
    await assertRefusedModel(hostile);
  });
}
