// Joins what a workgroup's threads have found: the winner ends in keys[0] and
// columns[0]; of equals it is the lowest column.

var<workgroup> keys: array<u32, $THREADS>;
var<workgroup> columns: array<u32, $THREADS>;

fn joinWinners(thread: u32, best: u32, at: u32) {
  keys[thread] = best;
  columns[thread] = at;
  workgroupBarrier();
  for (var half = $(THREADS / 2)u; half > 0u; half /= 2u) {
    if (thread < half) {
      let other = keys[thread + half];
      let other_at = columns[thread + half];
      if (other > keys[thread] || (other == keys[thread] && other_at < columns[thread])) {
        keys[thread] = other;
        columns[thread] = other_at;
      }
    }
    workgroupBarrier();
  }
}
