/* A row of float32 draws, as mvhg.cu and mvhg_suffix.cu walk its classes: every step a race over its window. */
#ifndef GURN_MVHG_RACE_CUH
#define GURN_MVHG_RACE_CUH

#include "mvhg_step.cuh"

/*
 * Draws a row's class. With p, the fixed-point cost of the draw above the reference, and the sum of 2^-(cost -
 * reference), of which log_p is made. A window of one count has no choice.
 */
template <int LANES, bool WITH_P, bool FRESH>
GURN_DEVICE int32_t gurn_race_draw(const gurn_race_step &s, const gurn_noise_keys &keys, uint64_t row, uint32_t tag,
                                   int32_t *cost, float *p) {
    float best = INFINITY, sum = 0.0f, bits = GURN_SURE_BITS;
    int32_t count = INT32_MAX;
    bool again = true;
    do {
        gurn_support window = gurn_step_window(s, bits);
        if (again) {
            best = INFINITY;
            count = INT32_MAX;
            sum = 0.0f;
            gurn_quad quad;
            for (gurn_stride at = gurn_stride_begin<LANES>(s, window.low); at.k <= window.high;
                 gurn_stride_next<LANES>(&at)) {
                gurn_quad_race<FRESH>(s, at, window, at.k, keys, row, tag, &quad);
                for (int j = 0; j < 4; j++) {
                    if (quad.value[j] < best) {
                        best = quad.value[j];
                        count = at.k + j;
                    }
                    if (WITH_P) sum += s_rough_reciprocal32(quad.growth[j]);
                }
            }
        }
        count = gurn_group_argmin<LANES>(&best, count);
        again = bits < GURN_RACE_BITS && !(best <= GURN_SURE_RACE * GURN_RACE_SCALE) &&
                (window.low > s.support.low || window.high < s.support.high);
        bits = GURN_RACE_BITS;
    } while (gurn_group_any<LANES>(again));
    if (WITH_P) {
        bool choice = s.support.low < s.support.high;
        sum = gurn_group_sum<LANES>(sum);
        *cost = choice ? (int32_t)(gurn_cost_fixed(s.own, s.rest, s.lambda, count) - s.reference) : 0;
        *p = choice ? sum : 1.0f;
    }
    return count;
}

/* log2 of a product of many floats: whole bits apart, so that nothing over- or underflows. */
typedef struct gurn_log_sum {
    int64_t cost;     /* units of 2^-23 bit */
    int32_t exponent; /* bits */
    float product;    /* in [1, 2) */
} gurn_log_sum;
GURN_DEVICE void gurn_log_sum_add(gurn_log_sum *sum, int32_t cost, float p) {
    uint32_t product = s_bits32(sum->product * p);
    sum->cost += cost;
    sum->exponent += (int32_t)(product >> 23) - 127;
    sum->product = s_from_bits32((product & 0x007FFFFFu) | 0x3F800000u);
}

/*
 * Draws the classes of row b; n < 0: a bad row, whose results are NaN. steps: of its urn. live: whether anything is written.
 * begin(step, i, left): the step at place i, by whichever chain. FRESH: as gurn_quad_race has it.
 */
template <int LANES, bool WITH_P, bool FRESH, class Begin>
GURN_DEVICE void gurn_race_row(const gurn_mvhg_work &w, const gurn_step *steps, int64_t b, bool live, int32_t n,
                               const gurn_noise_keys &keys, Begin begin) {
    bool bad = n < 0, leader = (threadIdx.x & (LANES - 1)) == 0;
    uint64_t row = gurn_work_noise(w, b).row;
    int32_t left = bad ? 0 : n;
    float *x_out = w.out.x ? (float *)w.out.x + b * w.view.classes : NULL;
    gurn_log_sum log2_p = {0, 0, 1.0f};
    for (int32_t i = 0; i < w.view.classes; i++) {
        const gurn_step *step = &steps[i];
        int32_t cls = w.order[i], x = step->m_rest > 0 ? 0 : left; /* a class before which nothing is left takes it */
        if (step->m > 0 && step->m_rest > 0) {
            gurn_race_step s = begin(step, i, left);
            int32_t cost;
            float p;
            x = gurn_race_draw<LANES, WITH_P, FRESH>(s, keys, row, gurn_stream_tag(GURN_STREAM_MVHG, (uint32_t)cls),
                                                     &cost, &p);
            if (WITH_P) gurn_log_sum_add(&log2_p, cost, p);
        }
        if (x_out && leader && live) x_out[cls] = bad ? NAN : (float)x;
        left -= x;
    }
    if (WITH_P && leader && live) {
        double sum = fma((double)log2_p.cost, 0x1p-23, log2_p.exponent + s_log2_64(log2_p.product));
        ((float *)w.out.log_p)[b] = bad ? NAN : (float)(-sum * GURN_LN2);
    }
}

#endif
