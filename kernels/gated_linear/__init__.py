"""Linear attention with gates: S_t = f_t S_{t-1} + i_t k_t v_t^T, y_t = q_t S_t."""
