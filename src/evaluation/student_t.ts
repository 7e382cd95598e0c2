// Quantiles of Student's t distribution, for intervals of paired differences
// over few windows, where 1.96 would be too narrow.

/**
 * Two-sided critical value: P(|T| <= t) = `confidence`.
 *
 * @param degrees Degrees of freedom, >= 1.
 * @param confidence Between 0 and 1. @default 0.95
 * @returns t, to 1e-10.
 * @throws {RangeError} If an argument is out of range.
 */
export function studentT(degrees: number, confidence = 0.95): number {
  if (!(degrees >= 1)) {
    throw new RangeError(
      `Cannot compute a t quantile as degrees must be >= 1: current value is ${degrees}`,
    );
  }
  if (!(confidence > 0 && confidence < 1)) {
    throw new RangeError(
      `Cannot compute a t quantile as confidence must be between 0 and 1: current value is ${confidence}`,
    );
  }
  let low = 0;
  let high = 1;
  while (centralMass(high, degrees) < confidence) high *= 2;
  while (high - low > 1e-11 * high) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (centralMass(middle, degrees) < confidence) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(|T| <= t), through the regularized incomplete beta function. */
function centralMass(t: number, degrees: number): number {
  return 1 - incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5);
}

/** I_x(a, b) by its continued fraction (modified Lentz). */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast only below the mean of the distribution.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) +
      b * Math.log1p(-x),
  ) / a;
  const tiny = 1e-300;
  let c = 1;
  let d = 1 - (a + b) * x / (a + 1);
  d = 1 / (Math.abs(d) < tiny ? tiny : d);
  let sum = d;
  for (let n = 1; n <= 500; n++) {
    const even = n * (b - n) * x / ((a + 2 * n - 1) * (a + 2 * n));
    const odd = -(a + n) * (a + b + n) * x /
      ((a + 2 * n) * (a + 2 * n + 1));
    let change = 1;
    for (const term of [even, odd]) {
      d = 1 + term * d;
      d = 1 / (Math.abs(d) < tiny ? tiny : d);
      c = 1 + term / c;
      if (Math.abs(c) < tiny) c = tiny;
      change = c * d;
      sum *= change;
    }
    if (Math.abs(change - 1) < 1e-15) break;
  }
  return front * sum;
}

/** ln Gamma(x) for x > 0, Stirling's series after a shift. */
function logGamma(x: number): number {
  let shift = 0;
  while (x < 10) shift += Math.log(x++);
  const inverse = 1 / (x * x);
  const series = (1 / 12 -
    inverse * (1 / 360 -
        inverse * (1 / 1260 - inverse * (1 / 1680 - inverse / 1188)))) / x;
  return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series -
    shift;
}
