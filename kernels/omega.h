/*
 * What a row of log omega means, in C and in CUDA device code.
 *
 * Only ratios of omega count ([MVHG] Eq. 1): every formula takes log omega as its distance from the largest of the row's
 * classes that have balls, and takes that difference before anything else, so that 800000, 800001 is the law of 0, 1. A
 * class further than 2^20 bits below the largest is held there.
 *
 * omega = 0, which is log omega = -infinity, is a class that is never drawn. It is the law, and the chain, of an urn in which
 * that class has no balls: gurn_omega_steps describes this urn, and what holds for classes without balls does the rest. A row
 * can not draw more than its other classes hold.
 */
#ifndef GURN_OMEGA_H
#define GURN_OMEGA_H

#include "logmath.h"
#include "plan.h"
#include "real.h"

/* Furthest below the largest log2 omega. */
#define GURN_OMEGA_REACH 0x1p20

GURN_FN int gurn_omega_is_zero(double log_omega) { return log_omega == -INFINITY; }

/*
 * The largest log omega of a row's classes that have balls; 0 where no class has both balls and omega > 0. log_omega: the
 * row begins at element `at`, by class; steps and order: by place.
 */
GURN_FN double gurn_omega_largest(const gurn_step *steps, int32_t classes, const int32_t *order, const void *log_omega,
                                  gurn_dtype dtype, int64_t at) {
    double largest = -INFINITY;
    for (int32_t i = 0; i < classes; i++) {
        double value = gurn_real(log_omega, dtype, at + order[i]);
        if (steps[i].m > 0 && value > largest) largest = value;
    }
    return largest > -INFINITY ? largest : 0.0;
}

/* log2 of omega over that of the largest; omega > 0. (Of a class without balls, whatever its omega, something finite.) */
GURN_FN double gurn_log2_omega(double log_omega, double largest) {
    double a = (log_omega - largest) * 1.44269504088896340736;
    return a > GURN_OMEGA_REACH ? GURN_OMEGA_REACH : a < -GURN_OMEGA_REACH ? -GURN_OMEGA_REACH : a;
}

/* The balls of the classes that can be drawn: those of omega > 0. */
GURN_FN int64_t gurn_omega_balls(const gurn_step *steps, int32_t classes, const int32_t *order, const void *log_omega,
                                 gurn_dtype dtype, int64_t at) {
    int64_t balls = 0;
    for (int32_t i = 0; i < classes; i++)
        if (!gurn_omega_is_zero(gurn_real(log_omega, dtype, at + order[i]))) balls += steps[i].m;
    return balls;
}

/*
 * A step of the row's urn, from the plan's: without balls where omega is 0, with m_rest of them in later classes. The table of
 * the rest is missing where it is not of m_rest balls. `own` stays, and is right at its count 0; `left` stays, as something
 * that the urn's sums are smooth beside too, which is judged where it is used (suffix_nodes.h).
 */
GURN_FN gurn_step gurn_omega_step(gurn_step step, int zero, int32_t m_rest) {
    if (zero) {
        step.m = 0;
        step.log2_m = 0.0;
    }
    if (m_rest != step.m_rest) {
        step.m_rest = m_rest;
        step.log2_m_rest = m_rest > 0 ? s_log2_64((double)m_rest) : 0.0;
        step.rest.fixed = NULL;
        step.rest.wide = NULL;
        step.rest.psi = NULL;
    }
    return step;
}

/* All of them, out[classes], by place. Returns the balls of the urn, m + m_rest of place 0. */
GURN_FN int32_t gurn_omega_steps(const gurn_step *steps, int32_t classes, const int32_t *order, const void *log_omega,
                                 gurn_dtype dtype, int64_t at, gurn_step *out) {
    int32_t rest = 0;
    for (int32_t i = classes - 1; i >= 0; i--) {
        out[i] = gurn_omega_step(steps[i], gurn_omega_is_zero(gurn_real(log_omega, dtype, at + order[i])), rest);
        rest += out[i].m;
    }
    return rest;
}

/* The view of a row's urn: the plan's, with steps of its own in room[C] where a class that has balls has omega 0. */
GURN_FN gurn_plan_view gurn_omega_view(const gurn_plan_view *view, const int32_t *order, const void *log_omega,
                                       gurn_dtype dtype, int64_t at, gurn_step *room) {
    gurn_plan_view own = *view;
    for (int32_t i = 0; i < view->classes; i++) {
        if (view->steps[i].m == 0 || !gurn_omega_is_zero(gurn_real(log_omega, dtype, at + order[i]))) continue;
        gurn_omega_steps(view->steps, view->classes, order, log_omega, dtype, at, room);
        own.steps = room;
        break;
    }
    return own;
}

#endif
