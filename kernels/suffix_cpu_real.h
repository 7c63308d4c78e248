/*
 * Convolution of the suffix tables, a template over the real type: suffix_cpu.h includes it for float and for double.
 *
 *   GURN_REAL        float or double
 *   GURN_R(name)     name of this type's function or macro: name_f32, name_f64
 *   V_REAL, V_REALS  vector type and its lanes; V_REAL_(name): its load and store; V_REAL_SPLAT, V_REAL_FMA
 *   GURN_SUFFIX_B, GURN_SUFFIX_TURNS   members of gurn_suffix_work
 */

/*
 * Adds `groups` groups of counts (suffix.h), weights b[] from 0 on, to `vectors` vectors of outputs, which begin from 0
 * if `begin`. Both numbers are constants where it is called. All sums go on together, which hides latency, and share
 * what they load: a group is a whole number of vectors.
 */
GURN_FN void GURN_R(gurn_suffix_groups)(const GURN_REAL *b, const GURN_REAL *in, GURN_REAL *out, bool begin,
                                        int vectors, int groups) {
    enum {
        apart = GURN_SUFFIX_GROUP / V_REALS
    };
    V_REAL sum[GURN_SUFFIX_GROUPS][GURN_SUFFIX_VECTORS] = {{{0}}};
    for (int k = 0; k < GURN_SUFFIX_GROUP; k++) {
        V_REAL x[(GURN_SUFFIX_GROUPS - 1) * apart + GURN_SUFFIX_VECTORS];
        for (int v = 0; v < (groups - 1) * apart + vectors; v++) x[v] = V_REAL_(load)(in + k + v * V_REALS);
        for (int g = 0; g < groups; g++) {
            V_REAL weight = V_REAL_SPLAT(b[g * GURN_SUFFIX_GROUP + k]);
            for (int u = 0; u < vectors; u++) sum[g][u] = V_REAL_FMA(weight, x[g * apart + u], sum[g][u]);
        }
    }
    for (int u = 0; u < vectors; u++) {
        V_REAL total = sum[0][u];
        if (!begin) total += V_REAL_(load)(out + u * V_REALS);
        for (int g = 1; g < groups; g++) total += sum[g][u];
        V_REAL_(store)(out + u * V_REALS, total);
    }
}

/*
 * out[j] = sum_k b[k - own_low] in[j + k + shift] for 0 <= j < count, in the order of suffix.h, where in[] is zero but
 * from first to last and b[] is zero for GURN_SUFFIX_GROUP entries behind own_high. Writes up to V_REALS - 1 entries
 * more, reads up to GURN_SUFFIX_PAD beyond first and last.
 */
GURN_FN void GURN_R(gurn_suffix_convolve)(const GURN_REAL *b, int32_t own_low, int32_t own_high, const GURN_REAL *in,
                                          int32_t first, int32_t last, int32_t shift, GURN_REAL *out, int32_t count) {
    const int32_t group = GURN_SUFFIX_GROUP;
    for (int32_t j = 0, outputs; j < count; j += outputs) {
        int vectors = (count - j + V_REALS - 1) / V_REALS;
        vectors = vectors < GURN_SUFFIX_VECTORS ? vectors : GURN_SUFFIX_VECTORS;
        outputs = vectors * V_REALS;
        /* counts from own_low */
        int32_t from = first - shift - (j + outputs - 1) - own_low, to = last - shift - j;
        from = from > 0 ? from & -group : 0;
        to = (to < own_high ? to : own_high) - own_low;
        bool begin = true;
        for (; from <= to; from += GURN_SUFFIX_GROUPS * group) {
            int groups = (to - from) / group + 1;
            groups = groups < GURN_SUFFIX_GROUPS ? groups : GURN_SUFFIX_GROUPS;
            const GURN_REAL *at = in + (j + own_low + from + shift);
            switch (4 * (vectors - 1) + groups - 1) {
#define GURN_CASE(v, g)                                                     \
    case 4 * (v - 1) + g - 1:                                               \
        if (v <= GURN_SUFFIX_VECTORS && g <= GURN_SUFFIX_GROUPS)            \
            GURN_R(gurn_suffix_groups)(b + from, at, out + j, begin, v, g); \
        break;
#define GURN_CASES(v) GURN_CASE(v, 1) GURN_CASE(v, 2) GURN_CASE(v, 3) GURN_CASE(v, 4)
                GURN_CASES(1) GURN_CASES(2) GURN_CASES(3) GURN_CASES(4)
#undef GURN_CASES
#undef GURN_CASE
            }
            begin = false;
        }
        for (int u = 0; begin && u < vectors; u++) V_REAL_(store)(out + j + u * V_REALS, (V_REAL){0});
    }
}

/*
 * Makes a table of what was summed for s's window (its entries from 0 on): scales it by a power of two, sets
 * s->exponent, and leaves out what is too small from both ends inwards, which narrows s->low and s->high.
 */
GURN_FN void GURN_R(gurn_suffix_settle)(gurn_suffix *s, GURN_REAL *table) {
    int32_t count = s->high - s->low + 1, first = 0, last = count - 1;
    for (int32_t j = count; j < count + V_REALS; j++) table[j] = 0;
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
    s->apart = 0;
    V_REAL scale = V_REAL_SPLAT(GURN_R(gurn_power_of_two)(-s->exponent));
    for (int32_t j = 0; j < count; j += V_REALS) V_REAL_(store)(table + j, V_REAL_(load)(table + j) * scale);
    while (first < last && table[first] < (GURN_REAL)GURN_SUFFIX_LEAST) table[first++] = 0;
    while (last > first && table[last] < (GURN_REAL)GURN_SUFFIX_LEAST) table[last--] = 0;
    s->high = s->top - first;
    s->low = s->top - last;
}

/*
 * The tables of one row whose places are set (gurn_suffix_places), from the last place that has balls down to place 1;
 * place 0 is entered at n only and needs none. Table i is kept at tables + s[i].begin, unless tables is NULL. rest:
 * -log2 S_i in units of 2^-23 bit, at rest + s[i].begin (float; NULL in double).
 */
GURN_FN void GURN_R(gurn_suffix_fill)(const gurn_plan_view *view, int32_t n, const gurn_suffix_work *work,
                                      gurn_suffix *s, GURN_REAL *tables, int32_t *rest) {
    const gurn_suffix *next = NULL;
    GURN_REAL *b = work->GURN_SUFFIX_B, *next_table = NULL;
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
            alias->apart = next ? next->apart : 0;
            alias->begin = next ? next->begin : 0;
            continue;
        }
        gurn_suffix_window(&s[i], next, total - step->m - step->m_rest, n);
        int32_t count = s[i].high - s[i].low + 1, own = s[i].own_high - s[i].own_low + 1;
        s[i].begin = at + GURN_SUFFIX_PAD;
        if (i == 0) break;
        GURN_REAL *table = work->GURN_SUFFIX_TURNS[turn];
        turn = 1 - turn;
        at += gurn_suffix_entries(count);
        bool settled = true;
        if (next) {
            GURN_R(gurn_suffix_own)(&s[i], step, b, NULL);
            int32_t last = next->top - next->low;
            size_t beside = (size_t)gurn_suffix_beside(own);
            memset(next_table - beside, 0, beside * sizeof *b);
            memset(next_table + last + 1, 0, beside * sizeof *b);
            settled = GURN_R(gurn_suffix_smooth)(&s[i], next, &step->left, b, next_table, table,
                                                 rest ? rest + s[i].begin : NULL);
            if (!settled) GURN_R(gurn_suffix_convolve)
            (b, s[i].own_low, s[i].own_high, next_table, next->top - next->high, last, next->top - s[i].top, table,
             count);
        } else {
            GURN_R(gurn_suffix_last)
            (&s[i], step, b, work->GURN_SUFFIX_TURNS[turn], table, rest ? rest + s[i].begin : NULL);
        }
        if (!settled) {
            GURN_R(gurn_suffix_settle)(&s[i], table);
            if (rest) GURN_R(gurn_suffix_logs)(&s[i], table, rest + s[i].begin);
        }
        for (int32_t j = 0; tables && j < count; j += V_REALS)
            V_REAL_(store)(tables + s[i].begin + j, V_REAL_(load)(table + j));
        next = &s[i];
        next_table = table;
    }
}
