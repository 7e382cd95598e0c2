// One workgroup a row: every thread goes over every $(THREADS)th group of four
// columns of both models' logits, a of the original and b of the other, and keeps
// running maxima, sums of exp(logit - maximum), the sum of exp(a - maximum) (a - b)
// and the columns of the maxima; a tree joins the threads, and the first folds them
// into the row's state. Logits are read once.

const LOWEST = -3.40282346e38;

struct Partial {
  a_maximum: f32,
  a_sum: f32,
  // Sum of exp(a - a_maximum) (a - b).
  difference: f32,
  b_maximum: f32,
  b_sum: f32,
  a_column: u32,
  b_column: u32,
}

var<workgroup> partials: array<Partial, $THREADS>;

fn firstOfGreater(x: f32, x_column: u32, y: f32, y_column: u32) -> u32 {
  if (x == y) { return min(x_column, y_column); }
  return select(y_column, x_column, x > y);
}

fn join(x: Partial, y: Partial) -> Partial {
  let a = max(x.a_maximum, y.a_maximum);
  let b = max(x.b_maximum, y.b_maximum);
  let x_scale = exp(x.a_maximum - a);
  let y_scale = exp(y.a_maximum - a);
  return Partial(
    a,
    x.a_sum * x_scale + y.a_sum * y_scale,
    x.difference * x_scale + y.difference * y_scale,
    b,
    x.b_sum * exp(x.b_maximum - b) + y.b_sum * exp(y.b_maximum - b),
    firstOfGreater(x.a_maximum, x.a_column, y.a_maximum, y.a_column),
    firstOfGreater(x.b_maximum, x.b_column, y.b_maximum, y.b_column),
  );
}

#for m in 0..2
fn logits$m(row: u32, column: u32) -> vec4<f32> {
#if VECTOR
  return vec4<f32>(logits_$m[params.offset$m / 4u + row * (params.stride$m / 4u) + column / 4u]);
#else
  let start = params.offset$m + row * params.stride$m + column;
  var four = vec4<f32>(LOWEST);
#for i in 0..4
  if (column + $(i)u < params.columns) { four[$i] = f32(logits_$m[start + $(i)u]); }
#end
  return four;
#end
}
#end

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.x + group.y * groups.x;
  let inside = row < params.rows;
  var own = Partial(LOWEST, 0.0, 0.0, LOWEST, 0.0, 0xffffffffu, 0xffffffffu);
  if (inside) {
    for (var c = thread * 4u; c < params.columns; c += $(THREADS * 4)u) {
      // The padding of a row may hold anything.
      let valid = vec4<u32>(c, c + 1u, c + 2u, c + 3u) < vec4<u32>(params.columns);
      let a = select(vec4<f32>(LOWEST), logits0(row, c), valid);
      let b = select(vec4<f32>(LOWEST), logits1(row, c), valid);
      let a_next = max(own.a_maximum, max(max(a.x, a.y), max(a.z, a.w)));
      let b_next = max(own.b_maximum, max(max(b.x, b.y), max(b.z, b.w)));
      let a_terms = select(vec4<f32>(0.0), exp(a - a_next), valid);
      let b_terms = select(vec4<f32>(0.0), exp(b - b_next), valid);
      let differences = a_terms * select(vec4<f32>(0.0), a - b, valid);
      let a_scale = exp(own.a_maximum - a_next);
      own.a_sum = own.a_sum * a_scale + ((a_terms.x + a_terms.y) + (a_terms.z + a_terms.w));
      own.difference = own.difference * a_scale +
        ((differences.x + differences.y) + (differences.z + differences.w));
      own.b_sum = own.b_sum * exp(own.b_maximum - b_next) +
        ((b_terms.x + b_terms.y) + (b_terms.z + b_terms.w));
      // From the last to the first: the first of equals stays.
#for j in 0..4
      if (a[$(3 - j)] == a_next && a_next > own.a_maximum) { own.a_column = params.first_column + c + $(3 - j)u; }
      if (b[$(3 - j)] == b_next && b_next > own.b_maximum) { own.b_column = params.first_column + c + $(3 - j)u; }
#end
      own.a_maximum = a_next;
      own.b_maximum = b_next;
    }
  }
  partials[thread] = own;
  workgroupBarrier();
  for (var half = $(THREADS / 2)u; half > 0u; half /= 2u) {
    if (thread < half) {
      partials[thread] = join(partials[thread], partials[thread + half]);
    }
    workgroupBarrier();
  }
  if (thread == 0u && inside) {
    var joined = partials[0];
    let s = row * 5u;
    if (params.first == 0u) {
      let before = Partial(
        sums[s],
        sums[s + 1u],
        sums[s + 2u],
        sums[s + 3u],
        sums[s + 4u],
        tops[row * 2u],
        tops[row * 2u + 1u],
      );
      joined = join(before, joined);
    }
    sums[s] = joined.a_maximum;
    sums[s + 1u] = joined.a_sum;
    sums[s + 2u] = joined.difference;
    sums[s + 3u] = joined.b_maximum;
    sums[s + 4u] = joined.b_sum;
    tops[row * 2u] = joined.a_column;
    tops[row * 2u + 1u] = joined.b_column;
  }
}
