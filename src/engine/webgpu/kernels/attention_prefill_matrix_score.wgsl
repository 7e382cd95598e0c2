// Scores of the own rows with the tile's keys.
#for j in 0..KEYS / 16
    {
#for a in 0..ROW_BLOCKS
      var score$(a) = subgroup_matrix_result<f32, 16, 16>();
#end
#for f in 0..W / 16
      let key$(f) = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&key_tile, $(j * 16)u * KEY_LINE + $(f * 2)u, KEY_LINE);
#for a in 0..ROW_BLOCKS
      score$(a) = subgroupMatrixMultiplyAccumulate(query$(a)_$(f), key$(f), score$(a));
#end
#end
#for a in 0..ROW_BLOCKS
      subgroupMatrixStore<row_major>(&scores, own_scores + $(a * 16)u * SCORE_LINE + $(j * 4)u, score$(a), SCORE_LINE);
#end
    }
#end
