/*
 * Convolution of the suffix tables, a template over the real type: suffix_cpu.h includes it for float and for double.
 *
 *   GURN_REAL        float or double
 *   GURN_R(name)     name of this type's function or macro: name_f32, name_f64
 *   V_REAL, V_REALS  vector type and its lanes; V_REAL_(name): its load and store; V_REAL_SPLAT, V_REAL_FMA
 */

/* 2^e for -126 <= e <= 127. */
GURN_FN GURN_REAL GURN_R(gurn_power_of_two)(int32_t e) { return (GURN_REAL)s_from_bits32((uint32_t)(e + 127) << 23); }

/*
 * out[j] = sum_k b[k - own_low] in[j + k + shift] for 0 <= j < count, where in[] is zero but from first to last: k
 * upwards, in groups (suffix.h). Four vectors of out go together, to hide latency. Writes up to 4 V_REALS - 1 entries
 * more, reads as many beyond first and last.
 */
GURN_FN void GURN_R(gurn_suffix_convolve)(const GURN_REAL *b, int32_t own_low, int32_t own_high, const GURN_REAL *in,
                                          int32_t first, int32_t last, int32_t shift, GURN_REAL *out, int32_t count) {
    for (int32_t j = 0; j < count; j += 4 * V_REALS) {
        int32_t from = first - shift - (j + 4 * V_REALS - 1), to = last - shift - j;
        from = from > own_low ? from : own_low;
        to = to < own_high ? to : own_high;
        V_REAL total[4] = {{0}, {0}, {0}, {0}};
        for (int32_t k = from; k <= to;) {
            int32_t end = own_low + ((k - own_low) | (GURN_SUFFIX_GROUP - 1));
            end = end < to ? end : to;
            V_REAL sum[4] = {{0}, {0}, {0}, {0}};
            for (; k <= end; k++) {
                const GURN_REAL *at = in + j + k + shift;
                V_REAL weight = V_REAL_SPLAT(b[k - own_low]);
                for (int u = 0; u < 4; u++) sum[u] = V_REAL_FMA(weight, V_REAL_(load)(at + u * V_REALS), sum[u]);
            }
            for (int u = 0; u < 4; u++) total[u] += sum[u];
        }
        for (int u = 0; u < 4; u++) V_REAL_(store)(out + j + u * V_REALS, total[u]);
    }
}

/*
 * Makes a table of what was summed for s's window (its entries from 0 on): scales it by a power of two, sets
 * s->exponent, leaves out what is too small from both ends inwards, which narrows s->low and s->high, and clears the
 * pads.
 */
GURN_FN void GURN_R(gurn_suffix_settle)(gurn_suffix *s, GURN_REAL *table) {
    int32_t count = s->high - s->low + 1, first = 0, last = count - 1;
    for (int32_t j = count; j < count + GURN_SUFFIX_PAD; j++) table[j] = 0;
    for (int32_t j = -GURN_SUFFIX_PAD; j < 0; j++) table[j] = 0;
    V_REAL most = {0};
    for (int32_t j = 0; j < count; j += V_REALS) {
        V_REAL a = V_REAL_(load)(table + j);
        most = V_REAL_MAX(a, most);
    }
    GURN_REAL largest = 0;
    for (int l = 0; l < V_REALS; l++) largest = most[l] > largest ? most[l] : largest;
    int32_t exponent = (int32_t)(s_bits32((float)largest) >> 23) - 127;
    s->exponent =
        (exponent > 0 ? exponent : 0) - GURN_SUFFIX_EXPONENT; /* about -1 to 15: it was the same of the next table */
    V_REAL scale = V_REAL_SPLAT(GURN_R(gurn_power_of_two)(-s->exponent));
    for (int32_t j = 0; j < count; j += V_REALS) V_REAL_(store)(table + j, V_REAL_(load)(table + j) * scale);
    while (first < last && table[first] < (GURN_REAL)GURN_SUFFIX_LEAST) table[first++] = 0;
    while (last > first && table[last] < (GURN_REAL)GURN_SUFFIX_LEAST) table[last--] = 0;
    s->high = s->top - first;
    s->low = s->top - last;
}

/*
 * The tables of one row whose places are set (gurn_suffix_places), from the last place that has balls down to place 1;
 * place 0 is entered at n only and needs none. Table i stands at tables + s[i].begin if they are kept, else there are
 * two buffers of table_entries that take turns. rest: -log2 S_i in units of 2^-23 bit, at rest + s[i].begin; or NULL
 * (and always in double).
 */
GURN_FN void GURN_R(gurn_suffix_fill)(const gurn_plan_view *view, int32_t n, gurn_suffix *s, GURN_REAL *b,
                                      GURN_REAL *tables, int64_t table_entries, bool keep, int32_t *rest) {
    const gurn_suffix *next = NULL;
    const GURN_REAL *next_table = NULL;
    int64_t at = 0;
    int32_t total = view->steps[0].m + view->steps[0].m_rest;
    int turn = 0;
    for (int32_t i = view->classes - 1; i >= 0; i--) {
        const gurn_step *step = &view->steps[i];
        if (step->m == 0) { /* the table of the next place serves */
            gurn_suffix *alias = &s[i];
            alias->low = next ? next->low : 0;
            alias->high = next ? next->high : 0;
            alias->top = next ? next->top : 0;
            alias->exponent = next ? next->exponent : 0;
            alias->begin = next ? next->begin : 0;
            continue;
        }
        gurn_suffix_window(&s[i], next, total - step->m - step->m_rest, n);
        int32_t count = s[i].high - s[i].low + 1;
        s[i].begin = at + GURN_SUFFIX_PAD;
        if (i == 0) break;
        GURN_REAL *table = tables + (keep ? s[i].begin : turn * table_entries + GURN_SUFFIX_PAD);
        turn = 1 - turn;
        at += gurn_suffix_entries(count);
        GURN_R(gurn_suffix_own)(&s[i], step, b);
        if (next) {
            GURN_R(gurn_suffix_convolve)
            (b, s[i].own_low, s[i].own_high, next_table, next->top - next->high, next->top - next->low,
             next->top - s[i].top, table, count);
        } else {
            GURN_REAL scale = GURN_R(gurn_power_of_two)(GURN_SUFFIX_EXPONENT);
            const GURN_REAL *from = b + (s[i].top - s[i].own_low);
            for (int32_t j = 0; j < count; j++) table[j] = from[-j] * scale;
        }
        GURN_R(gurn_suffix_settle)(&s[i], table);
        if (rest) GURN_R(gurn_suffix_logs)(&s[i], table, rest + s[i].begin);
        next = &s[i];
        next_table = table;
    }
}
