// Splits of decode attention put together, and multiplied by the value
// up-projection where there is one. A workgroup takes one head of $ROWS
// sequences, so that the head's up-projection is read once for all of them. Work
// is parallel over splits too: weights by $SEGMENT threads a sequence, parts by $VL
// threads along columns times $SLICES slices of splits, $AHEAD loads in flight. Where
// that leaves processors idle, workgroups along z share the rows of the
// up-projection, and each puts the splits together for itself.

const LOWEST = -3.0e38;

// exp2(max of a split - max of all) / sum of all, [sequences, splits].
var<workgroup> weights: array<f32, $(ROWS * SPLITS_PADDED)>;
var<workgroup> part: array<f32, $THREADS>;
var<workgroup> mixed: array<vec4<f32>, $(ROWS * V4)>;
#if SLICES > 1
var<workgroup> slices: array<vec4<f32>, $THREADS>;
#end
#if UP
var<workgroup> products: array<f32, $(THREADS * ROWS)>;
#end

fn load_partial(start: u32, c: u32) -> vec4<f32> {
#if PARTIAL_VECTOR
  return vec4<f32>(partial[start / 4u + c]);
#else
  var value = vec4<f32>();
  if (4u * c < $(V)u) { value.x = f32(partial[start + 4u * c]); }
  if (4u * c + 1u < $(V)u) { value.y = f32(partial[start + 4u * c + 1u]); }
  if (4u * c + 2u < $(V)u) { value.z = f32(partial[start + 4u * c + 2u]); }
  if (4u * c + 3u < $(V)u) { value.w = f32(partial[start + 4u * c + 3u]); }
  return value;
#end
}
#if UP

fn load_up(row: u32, c: u32) -> vec4<f32> {
  let at = params.up_offset + row * params.up_stride + 4u * c;
#if UP_VECTOR
  return vec4<f32>(up[at / 4u]);
#else
  var value = vec4<f32>();
  if (4u * c < $(V)u) { value.x = f32(up[at]); }
  if (4u * c + 1u < $(V)u) { value.y = f32(up[at + 1u]); }
  if (4u * c + 2u < $(V)u) { value.z = f32(up[at + 2u]); }
  if (4u * c + 3u < $(V)u) { value.w = f32(up[at + 3u]); }
  return value;
#end
}
#end

// Largest number of a segment's threads, in all of them; in two levels.
fn largest(lane: u32, value: f32) -> f32 {
  let start = lane - lane % $(SEGMENT)u;
  part[lane] = value;
  workgroupBarrier();
  var top = LOWEST;
  for (var k = lane % $(FAN)u; k < $(SEGMENT)u; k += $(FAN)u) { top = max(top, part[start + k]); }
  workgroupBarrier();
  part[lane] = top;
  workgroupBarrier();
#for k in 0..FAN
  top = max(top, part[start + $(k)u]);
#end
  workgroupBarrier();
  return top;
}

fn total(lane: u32, value: f32) -> f32 {
  let start = lane - lane % $(SEGMENT)u;
  part[lane] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var k = lane % $(FAN)u; k < $(SEGMENT)u; k += $(FAN)u) { sum += part[start + k]; }
  workgroupBarrier();
  part[lane] = sum;
  workgroupBarrier();
  sum = 0.0;
#for k in 0..FAN
  sum += part[start + $(k)u];
#end
  return sum;
}

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let head = group.x;
  let first_row = group.y * $(ROWS)u;

  {
    // Sequences past the last repeat it: all threads must reach the barriers.
    let segment = lane / $(SEGMENT)u;
    let first_part = (min(first_row + segment, params.batch - 1u) * params.heads + head) * params.splits;
    let to = segment * $(SPLITS_PADDED)u;
    var top = LOWEST;
    for (var s = lane % $(SEGMENT)u; s < params.splits; s += $(SEGMENT)u) { top = max(top, stats[first_part + s].x); }
    top = largest(lane, top);
    var sum = 0.0;
    for (var s = lane % $(SEGMENT)u; s < params.splits; s += $(SEGMENT)u) {
      let of_split = stats[first_part + s];
      let weight = select(0.0, exp2(of_split.x - top), of_split.y > 0.0);
#if MEANS
      weights[to + s] = weight * of_split.y;
#else
      weights[to + s] = weight;
#end
      sum += weight * of_split.y;
    }
    let scale = 1.0 / total(lane, sum);
    for (var s = lane % $(SEGMENT)u; s < params.splits; s += $(SEGMENT)u) { weights[to + s] *= scale; }
  }
  workgroupBarrier();

  let column = lane % $(VL)u;
  let slice = lane / $(VL)u;
#for r in 0..ROWS
  {
    let first_part = (min(first_row + $(r)u, params.batch - 1u) * params.heads + head) * params.splits;
#for c in 0..VC
    {
      var acc = vec4<f32>();
      if (column + $(c * VL)u < $(V4)u) {
        for (var s = slice; s < params.splits; s += $(SLICES * AHEAD)u) {
#for a in 0..AHEAD
          let s$(a) = min(s + $(a * SLICES)u, params.splits - 1u);
          let part$(a) = load_partial((first_part + s$(a)) * $(V)u, column + $(c * VL)u);
#end
#for a in 0..AHEAD
          {
            let weight = select(0.0, weights[$(r * SPLITS_PADDED)u + s$(a)], s + $(a * SLICES)u < params.splits);
            // Nothing was written where a split is empty.
            acc = fma(vec4<f32>(weight), select(vec4<f32>(), part$(a), weight > 0.0), acc);
          }
#end
        }
      }
#if SLICES > 1
      slices[lane] = acc;
      workgroupBarrier();
      if (slice == 0u) {
#for s in 1..SLICES
        acc += slices[lane + $(s * VL)u];
#end
      }
      workgroupBarrier();
#end
      if (slice == 0u && column + $(c * VL)u < $(V4)u) { mixed[$(r * V4)u + column + $(c * VL)u] = acc; }
    }
#end
  }
#end
  workgroupBarrier();

#if UP
  let up_row = (head * params.groups / params.heads) * params.rows_per_group + params.first_row;
  let turn = lane % $(LANES)u;
  for (var first = group.z * $(UP_ROWS * THREADS / LANES)u; first < params.value; first += params.sharers * $(UP_ROWS * THREADS / LANES)u) {
#for p in 0..UP_ROWS
    let i$(p) = first + $(p * (THREADS / LANES))u + lane / $(LANES)u;
#for r in 0..ROWS
    var dot$(p)_$(r) = 0.0;
#end
#end
    for (var c = turn; c < $(V4)u; c += $(LANES * UP_AHEAD)u) {
#for a in 0..UP_AHEAD
      let c$(a) = min(c + $(a * LANES)u, $(V4 - 1)u);
#for p in 0..UP_ROWS
      let weight$(p)_$(a) = load_up(up_row + min(i$(p), params.value - 1u), c$(a));
#end
#end
#for a in 0..UP_AHEAD
      if (c + $(a * LANES)u < $(V4)u) {
#for r in 0..ROWS
        let x$(r) = mixed[$(r * V4)u + c$(a)];
#for p in 0..UP_ROWS
        dot$(p)_$(r) += dot(weight$(p)_$(a), x$(r));
#end
#end
      }
#end
    }
#for p in 0..UP_ROWS
#for r in 0..ROWS
    products[$(r * THREADS)u + lane] = dot$(p)_$(r);
#end
    workgroupBarrier();
    for (var at = lane; at < $(ROWS * (THREADS / LANES))u; at += $(THREADS)u) {
      let r = at / $(THREADS / LANES)u;
      let k = at % $(THREADS / LANES)u;
      let i = first + $(p * (THREADS / LANES))u + k;
      var sum = 0.0;
#for l in 0..LANES
      // Each row begins elsewhere: a bank of workgroup memory serves one at a time.
      sum += products[r * $(THREADS)u + k * $(LANES)u + ($(l)u + k) % $(LANES)u];
#end
      if (i < params.value && first_row + r < params.batch) {
        out[params.out_offset + (first_row + r) * params.out_stride + head * params.value + i] = $OUT(sum);
      }
    }
    workgroupBarrier();
#end
  }
#else
  for (var at = lane; at < $(ROWS * V)u; at += $(THREADS)u) {
    let r = at / $(V)u;
    let i = at % $(V)u;
    if (first_row + r < params.batch) {
      out[params.out_offset + (first_row + r) * params.out_stride + head * $(V)u + i] = $OUT(mixed[r * $(V4)u + i / 4u][i % 4u]);
    }
  }
#end
}
