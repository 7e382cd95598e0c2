// The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), 32-bit outputs:
// the generator behind torch.manual_seed on the CPU, so that the official
// sampler's draws can be repeated.

const SIZE = 624;
const SHIFT = 397;

/** A seeded stream of 32-bit integers. */
export class Mt19937 {
  readonly #state = new Uint32Array(SIZE);
  #next = SIZE;

  /**
   * @param seed An integer in [0, 2^32).
   * @throws {RangeError} If it is none.
   */
  constructor(seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
      throw new RangeError(
        `Cannot seed MT19937 as the seed must be an integer in [0, 4294967295]: current value is ${seed}`,
      );
    }
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const last = state[i - 1]!;
      state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
    }
  }

  /** The next integer in [0, 2^32). */
  nextUint32(): number {
    if (this.#next === SIZE) this.#twist();
    let y = this.#state[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < SIZE; i++) {
      const y = (state[i]! & 0x80000000) |
        (state[(i + 1) % SIZE]! & 0x7fffffff);
      state[i] = state[(i + SHIFT) % SIZE]! ^ (y >>> 1) ^
        (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}
