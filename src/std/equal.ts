// Deep equality with the rules of @std/assert's equal().

type Seen = Map<object, object>;

/**
 * Compares two values deeply. Numbers compare by value (NaN equals NaN, 0 equals
 * -0); objects by prototype, own enumerable keys and symbols; Map and Set
 * without regard to order; Date, RegExp, URL and buffers by content.
 *
 * @param a One value.
 * @param b The other.
 * @returns Whether they are equal.
 * @throws {TypeError} If a WeakMap or WeakSet has to be compared.
 */
export function equal(a: unknown, b: unknown): boolean {
  return compare(a, b, new Map());
}

function compare(a: unknown, b: unknown, seen: Seen): boolean {
  if (typeof a === "number" && typeof b === "number") {
    return a === b || (Number.isNaN(a) && Number.isNaN(b));
  }
  if (Object.is(a, b)) return true;
  if (
    typeof a !== "object" || typeof b !== "object" || a === null || b === null
  ) {
    return false;
  }
  if (seen.get(a) === b) return true;
  if (!samePrototype(a, b)) return false;
  if (a instanceof WeakMap || a instanceof WeakSet) {
    throw new TypeError(`Cannot compare two values of ${a.constructor.name}`);
  }
  seen.set(a, b);
  return sameContent(a, b, seen);
}

function sameContent(a: object, b: object, seen: Seen): boolean {
  if (a instanceof RegExp || a instanceof URL) {
    return String(a) === String(b);
  }
  if (a instanceof Date) {
    return compare(a.getTime(), (b as Date).getTime(), seen);
  }
  if (a instanceof WeakRef) {
    return compare(a.deref(), (b as WeakRef<WeakKey>).deref(), seen);
  }
  if (a instanceof ArrayBuffer || a instanceof SharedArrayBuffer) {
    return sameBytes(new Uint8Array(a), new Uint8Array(b as ArrayBuffer));
  }
  if (ArrayBuffer.isView(a)) {
    return sameView(a, b as ArrayBufferView);
  }
  if (a instanceof Map) {
    return sameEntries([...a], [...(b as Map<unknown, unknown>)], seen);
  }
  if (a instanceof Set) {
    return sameEntries([...a], [...(b as Set<unknown>)], seen);
  }
  if (Array.isArray(a) && a.length !== (b as unknown[]).length) return false;
  if (a instanceof Error && a.message !== (b as Error).message) return false;
  const keys = ownKeys(a);
  if (keys.length !== ownKeys(b).length) return false;
  return keys.every((key) =>
    Object.hasOwn(b, key) &&
    compare(Reflect.get(a, key), Reflect.get(b, key), seen)
  );
}

function samePrototype(a: object, b: object): boolean {
  const [left, right] = [a, b].map((value) => value.constructor ?? Object);
  return left === right;
}

function ownKeys(value: object): PropertyKey[] {
  return Reflect.ownKeys(value).filter((key) =>
    Object.prototype.propertyIsEnumerable.call(value, key)
  );
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function sameView(a: ArrayBufferView, b: ArrayBufferView): boolean {
  if (a instanceof DataView) {
    return sameBytes(
      new Uint8Array(a.buffer, a.byteOffset, a.byteLength),
      new Uint8Array(b.buffer, b.byteOffset, b.byteLength),
    );
  }
  const [left, right] = [a, b] as unknown as ArrayLike<number | bigint>[];
  if (left!.length !== right!.length) return false;
  for (let i = 0; i < left!.length; i++) {
    const [x, y] = [left![i]!, right![i]!];
    if (x !== y && !(Number.isNaN(x) && Number.isNaN(y))) return false;
  }
  return true;
}

function sameEntries(
  a: readonly unknown[],
  b: readonly unknown[],
  seen: Seen,
): boolean {
  if (a.length !== b.length) return false;
  const left = [...b];
  for (const item of a) {
    const at = left.findIndex((other) => compare(item, other, new Map(seen)));
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return true;
}
