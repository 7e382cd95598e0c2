// Cells that are not timed: the speed of a software adapter is no GPU's.

import type { EngineDescription } from "../engine/engine.ts";
import type { CellRecord } from "./record.ts";
import type { Experiment } from "./schema.ts";

/** How the reason begins in a record. */
const NOT_TIMED = "not timed: ";

/** A throughput cell that is left out on purpose: a result, not a failure. */
export class NotTimed extends Error {
  override name = "NotTimed";
}

/**
 * Why an adapter is not timed.
 *
 * @param experiment Says whether a software adapter may be.
 * @param adapter As the engine describes it.
 * @returns Undefined where it is timed.
 */
export function untimedReason(
  { engine }: Pick<Experiment, "engine">,
  { adapter, adapterKind }: Pick<EngineDescription, "adapter" | "adapterKind">,
): string | undefined {
  return adapterKind === "software" && engine.software !== true
    ? `${NOT_TIMED}${
      adapter ?? "the adapter"
    } is a software adapter, whose speed is no GPU's; --set engine.software=true times it`
    : undefined;
}

/** Whether a record says that its cell was left out for the adapter. */
export function isUntimed({ status, error }: CellRecord): boolean {
  return status === "skipped" && error?.startsWith(NOT_TIMED) === true;
}
