// One thread a unit of a row: a rotary pair, or a column that only goes to a
// cache. All regions are one dispatch, since each dispatch costs a barrier. Where all
// regions allow it, a number is a vector of $LANES, and all columns count vectors.

struct Target { start: u32, width: u32, rotary_start: u32, pairs: u32, unit: u32 }

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let units = params.query_units + params.first_units + params.second_units;
  let item = (group.x + group.y * groups.x) * $(THREADS)u + lane;
  if (item >= params.rows * units) { return; }
  let row = item / units;
  let unit = item % units;
  let first_unit = params.query_units;
  let second_unit = first_unit + params.first_units;
  var to = Target(params.query_start, params.query_width, params.query_rotary, params.query_pairs, unit);
  if (unit >= second_unit) {
    to = Target(params.second_start, params.second_width, params.second_rotary, params.second_pairs, unit - second_unit);
  } else if (unit >= first_unit) {
    to = Target(params.first_start, params.first_width, params.first_rotary, params.first_pairs, unit - first_unit);
  }
  // Of the query only pairs are units: its other columns stay where they are.
  let per_head = select(to.width - to.pairs, to.pairs, unit < first_unit);
  let head = to.unit / per_head;
  let k = to.unit % per_head;
#if STORES
  let slot = row_sequence[row] * params.capacity + row_position[row];
#end
  let x_row = params.x_offset + row * params.x_stride + to.start;
#if ROTATES
  if (k < to.pairs) {
#if HALF
    let re = head * to.width + to.rotary_start + k;
    let im = re + to.pairs;
#else
    let re = head * to.width + to.rotary_start + 2u * k;
    let im = re + 1u;
#end
    let angle = row_position[row] * to.pairs + k;
    let c = cosines[angle];
    let s = sines[angle];
    let a = x[x_row + re];
    let b = x[x_row + im];
    let turned_re = a * c - b * s;
    let turned_im = b * c + a * s;
    x[x_row + re] = turned_re;
    x[x_row + im] = turned_im;
#if STORES_FIRST
    if (unit >= first_unit && unit < second_unit) {
      let at = params.first_to_offset + slot * params.first_to_stride;
      first_to[at + re] = $FIRST_TYPE(turned_re);
      first_to[at + im] = $FIRST_TYPE(turned_im);
    }
#end
#if STORES_SECOND
    if (unit >= second_unit) {
      let at = params.second_to_offset + slot * params.second_to_stride;
      second_to[at + re] = $SECOND_TYPE(turned_re);
      second_to[at + im] = $SECOND_TYPE(turned_im);
    }
#end
    return;
  }
#end
  let plain = k - to.pairs;
  let column = head * to.width + plain + select(0u, 2u * to.pairs, plain >= to.rotary_start);
#if STORES_FIRST
  if (unit >= first_unit && unit < second_unit) {
    first_to[params.first_to_offset + slot * params.first_to_stride + column] = $FIRST_TYPE(x[x_row + column]);
  }
#end
#if STORES_SECOND
  if (unit >= second_unit) {
    second_to[params.second_to_offset + slot * params.second_to_stride + column] = $SECOND_TYPE(x[x_row + column]);
  }
#end
}
