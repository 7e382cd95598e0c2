// Splits of decode attention put together, and multiplied by the value
// up-projection where there is one. A workgroup takes one head of $ROWS
// sequences, so that the head's up-projection is read once for all of them. Work
// is parallel over splits too: $VL threads along columns, $SLICES slices of splits.

const LOWEST = -3.0e38;

// exp2(max of a split - max of all) / sum of all, a split.
var<workgroup> weights: array<f32, $SPLITS_PADDED>;
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
  return partial[start / 4u + c];
#else
  var value = vec4<f32>();
  if (4u * c < $(V)u) { value.x = partial[start + 4u * c]; }
  if (4u * c + 1u < $(V)u) { value.y = partial[start + 4u * c + 1u]; }
  if (4u * c + 2u < $(V)u) { value.z = partial[start + 4u * c + 2u]; }
  if (4u * c + 3u < $(V)u) { value.w = partial[start + 4u * c + 3u]; }
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

// Largest of a number a thread, in all threads; two levels of $FAN and $(THREADS / FAN).
fn largest(lane: u32, value: f32) -> f32 {
  part[lane] = value;
  workgroupBarrier();
  var top = LOWEST;
  for (var k = lane % $(FAN)u; k < $(THREADS)u; k += $(FAN)u) { top = max(top, part[k]); }
  workgroupBarrier();
  part[lane] = top;
  workgroupBarrier();
  for (var k = 0u; k < $(FAN)u; k += 1u) { top = max(top, part[k]); }
  workgroupBarrier();
  return top;
}

fn total(lane: u32, value: f32) -> f32 {
  part[lane] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var k = lane % $(FAN)u; k < $(THREADS)u; k += $(FAN)u) { sum += part[k]; }
  workgroupBarrier();
  part[lane] = sum;
  workgroupBarrier();
  sum = 0.0;
  for (var k = 0u; k < $(FAN)u; k += 1u) { sum += part[k]; }
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let head = group.x;
  let first_row = group.y * $(ROWS)u;
  let column = lane % $(VL)u;
  let slice = lane / $(VL)u;

  for (var r = 0u; r < $(ROWS)u; r += 1u) {
    // Sequences past the last repeat it: all threads must reach the barriers.
    let row = min(first_row + r, params.batch - 1u);
    let first_part = (row * params.heads + head) * params.splits;
    var top = LOWEST;
    for (var s = lane; s < params.splits; s += $(THREADS)u) { top = max(top, stats[first_part + s].x); }
    top = largest(lane, top);
    var sum = 0.0;
    for (var s = lane; s < params.splits; s += $(THREADS)u) {
      let of_split = stats[first_part + s];
      let weight = select(0.0, exp2(of_split.x - top), of_split.y > 0.0);
      weights[s] = weight;
      sum += weight * of_split.y;
    }
    sum = total(lane, sum);
#for c in 0..VC
    {
      var acc = vec4<f32>();
      if (column + $(c * VL)u < $(V4)u) {
        for (var s = slice; s < params.splits; s += $(SLICES)u) {
          let weight = weights[s];
          // Nothing was written where a split is empty.
          if (weight > 0.0) {
            acc = fma(vec4<f32>(weight), load_partial((first_part + s) * $(V)u, column + $(c * VL)u), acc);
          }
        }
      }
#if SLICES > 1
      slices[lane] = acc;
      workgroupBarrier();
#for s in 1..SLICES
      if (slice == 0u) { acc += slices[lane + $(s * VL)u]; }
#end
#end
      if (slice == 0u && column + $(c * VL)u < $(V4)u) {
        mixed[r * $(V4)u + column + $(c * VL)u] = acc / sum;
      }
    }
#end
    workgroupBarrier();
  }

#if UP
  let up_row = (head * params.groups / params.heads) * params.rows_per_group + params.first_row;
  let turn = lane % $(LANES)u;
  for (var first = 0u; first < params.value; first += $(THREADS / LANES)u) {
    let i = first + lane / $(LANES)u;
#for r in 0..ROWS
    var dot$(r) = 0.0;
#end
    if (i < params.value) {
      for (var c = turn; c < $(V4)u; c += $(LANES)u) {
        let weight = load_up(up_row + i, c);
#for r in 0..ROWS
        dot$(r) += dot(weight, mixed[$(r * V4)u + c]);
#end
      }
    }
#for r in 0..ROWS
    products[$(r * THREADS)u + lane] = dot$(r);
#end
    workgroupBarrier();
    for (var at = lane; at < $(ROWS * (THREADS / LANES))u; at += $(THREADS)u) {
      let r = at / $(THREADS / LANES)u;
      let k = at % $(THREADS / LANES)u;
      var sum = 0.0;
#for l in 0..LANES
      sum += products[r * $(THREADS)u + k * $(LANES)u + $(l)u];
#end
      if (first + k < params.value && first_row + r < params.batch) {
        out[params.out_offset + (first_row + r) * params.out_stride + head * params.value + first + k] = sum;
      }
    }
    workgroupBarrier();
  }
#else
  for (var at = lane; at < $(ROWS * V)u; at += $(THREADS)u) {
    let r = at / $(V)u;
    let i = at % $(V)u;
    if (first_row + r < params.batch) {
      out[params.out_offset + (first_row + r) * params.out_stride + head * $(V)u + i] = mixed[r * $(V4)u + i / 4u][i % 4u];
    }
  }
#end
}
