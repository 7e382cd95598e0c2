  {
    var score = subgroup_matrix_result<f32, 16, 16>();
#for f in 0..FRAGMENTS
    let key$(f) = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&tile, ($ROW + token_block * 16u) * LINE + slice_at + $(f * 2)u, LINE);
    score = subgroupMatrixMultiplyAccumulate(query$(f), key$(f), score);
#end
    subgroupMatrixStore<row_major>(&scores, own, score, $(TOKENS)u);
  }
