// One query row a sequence against its cache, for any width, without subgroups.
// A workgroup takes $HB heads of a group and one split of the keys, in tiles of
// one key a thread. Values are then read across threads: $VL threads along
// columns, $SLICES slices of keys side by side, summed at the end.

const LOWEST = -3.0e38;

var<workgroup> q_tile: array<vec4<f32>, $(HB * W4)>;
var<workgroup> p_tile: array<f32, $(HB * THREADS)>;
var<workgroup> part: array<f32, $THREADS>;
#if SLICES > 1
var<workgroup> slices: array<vec4<f32>, $(HB * THREADS)>;
#end

$LOADS

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let batch = group.z;
  let split = group.y;
  let head_group = group.x / params.blocks;
  let key_group = head_group * params.key_groups / params.groups;
  let value_group = head_group * params.value_groups / params.groups;
  // Head h belongs to group floor(h G / H).
  let head_end = ((head_group + 1u) * params.heads + params.groups - 1u) / params.groups;
  let first_head = (head_group * params.heads + params.groups - 1u) / params.groups
    + (group.x % params.blocks) * $(HB)u;
  if (first_head >= head_end) { return; }
  let keys = lengths[batch] + 1u;
  let share = (keys + params.splits - 1u) / params.splits;
  let start = split * share;
  let end = min(keys, start + share);
  if (start >= end) {
    if (lane < $(HB)u && first_head + lane < head_end) {
      stats[(batch * params.heads + first_head + lane) * params.splits + split] = vec2<f32>(LOWEST, 0.0);
    }
    return;
  }

  for (var at = lane; at < $(HB * W4)u; at += $(THREADS)u) {
    let head = min(first_head + at / $(W4)u, params.heads - 1u);
    q_tile[at] = params.scale * load_query(batch, head, at % $(W4)u);
  }
  workgroupBarrier();

  // Threads (own, turn) share the softmax of head `own`.
  let own = lane / $(THREADS / HB)u;
  let turn = lane % $(THREADS / HB)u;
  let column = lane % $(VL)u;
  let slice = lane / $(VL)u;
  var top = LOWEST;
  var sum = 0.0;
#for h in 0..HB
#for c in 0..VC
  var acc$(h)_$(c) = vec4<f32>();
#end
#end

  for (var first_key = start; first_key < end; first_key += $(THREADS)u) {
    let count = min($(THREADS)u, end - first_key);
#for h in 0..HB
    var s$(h) = LOWEST;
#end
    if (lane < count) {
#for h in 0..HB
      s$(h) = 0.0;
#end
      let position = first_key + lane;
      for (var c = 0u; c < $(W4)u; c += 1u) {
        let key_part = load_key(batch, position, key_group, c);
#for h in 0..HB
        s$(h) += dot(q_tile[$(h * W4)u + c], key_part);
#end
      }
    }
#for h in 0..HB
    p_tile[$(h * THREADS)u + lane] = s$(h);
#end
    workgroupBarrier();
    var own_top = LOWEST;
    for (var k = turn; k < $(THREADS)u; k += $(THREADS / HB)u) {
      own_top = max(own_top, p_tile[own * $(THREADS)u + k]);
    }
    part[lane] = own_top;
    workgroupBarrier();
    var new_top = top;
    for (var k = 0u; k < $(THREADS / HB)u; k += 1u) {
      new_top = max(new_top, part[own * $(THREADS / HB)u + k]);
    }
    var own_sum = 0.0;
    for (var k = turn; k < $(THREADS)u; k += $(THREADS / HB)u) {
      let p = exp2(p_tile[own * $(THREADS)u + k] - new_top);
      p_tile[own * $(THREADS)u + k] = p;
      own_sum += p;
    }
    let factor = exp2(top - new_top);
    // Each thread sums its own keys: the parts meet at the end.
    sum = sum * factor + own_sum;
    top = new_top;
    workgroupBarrier();
    part[lane] = factor;
    workgroupBarrier();
#for h in 0..HB
    {
      let factor = part[$(h * (THREADS / HB))u];
#for c in 0..VC
      acc$(h)_$(c) *= factor;
#end
    }
#end
#for c in 0..VC
    if (column + $(c * VL)u < $(V4)u) {
      for (var k = slice; k < count; k += $(SLICES)u) {
        let value = load_value(batch, first_key + k, value_group, column + $(c * VL)u);
#for h in 0..HB
        acc$(h)_$(c) = fma(vec4<f32>(p_tile[$(h * THREADS)u + k]), value, acc$(h)_$(c));
#end
      }
    }
#end
    workgroupBarrier();
  }

  part[lane] = sum;
#if SLICES > 1
#for h in 0..HB
  slices[$(h * THREADS)u + lane] = acc$(h)_0;
#end
#end
  workgroupBarrier();
  if (turn == 0u && first_head + own < head_end) {
    var total = 0.0;
    for (var k = 0u; k < $(THREADS / HB)u; k += 1u) { total += part[lane + k]; }
    stats[(batch * params.heads + first_head + own) * params.splits + split] = vec2<f32>(top, total);
  }
  if (slice > 0u) { return; }
#if SLICES > 1
#for s in 1..SLICES
#for h in 0..HB
  acc$(h)_0 += slices[$(h * THREADS + s * VL)u + lane];
#end
#end
#end
#for h in 0..HB
  if (first_head + $(h)u < head_end) {
    let to = ((batch * params.heads + first_head + $(h)u) * params.splits + split) * $(V)u;
#for c in 0..VC
    store_out(to, column + $(c * VL)u, acc$(h)_$(c));
#end
  }
#end
}
