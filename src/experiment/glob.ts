// Globs over variant labels, which have spaces and no slashes.

/**
 * Whether a label matches a glob: `*` is any text, `?` one character, commas
 * separate alternatives; case counts.
 *
 * @param glob For instance "transmla F4*,original".
 * @param label The label.
 */
export function matchesGlob(glob: string, label: string): boolean {
  return glob.split(",").some((part) => {
    const pattern = part.trim().replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", ".*").replaceAll("?", ".");
    return new RegExp(`^${pattern}$`).test(label);
  });
}
