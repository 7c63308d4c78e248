/*
 * What the files of host/ share: the context, the plan, and the table of functions that makes a back end. No
 * mathematics.
 */
#ifndef GURN_HOST_INTERNAL_H
#define GURN_HOST_INTERNAL_H

#include "gumbelurn.h"
#include "kernels/law.h"
#include "kernels/plain_job.h"
#include "kernels/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A validated call: every default filled in, every structure copied to this version's size. */
typedef struct gurn_mvhg_call {
    gurn_mvhg_inputs in;         /* tau > 0; order always set: that of the call or of the plan (host memory) */
    gurn_mvhg_outputs out;       /* forward */
    const void *x;               /* backward */
    gurn_mvhg_upstream upstream; /* backward */
    gurn_mvhg_gradients grad;    /* backward */
    void *workspace;
} gurn_mvhg_call;

/*
 * A back end: how one kind of device does each thing. Arguments are valid when a function is called. Each returns a
 * status and, on failure, has put its message into the context with gurn_fail().
 */
typedef struct gurn_backend {
    gurn_device device;
    gurn_status (*open)(gurn_context *context, const gurn_context_options *options); /* fills context->info */
    void (*close)(gurn_context *context);
    gurn_status (*plan_upload)(gurn_context *context, gurn_plan *plan); /* from plan->host to plan->view */
    void (*plan_free)(gurn_plan *plan);
    gurn_status (*zero)(gurn_context *context, void *p, size_t bytes); /* sets device memory to 0, in stream order */
    size_t (*mvhg_bytes)(const gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in, int backward);
    /* Looks at the data where the host can see it (CPU); NULL where it cannot. x is NULL in forward. */
    gurn_status (*mvhg_check)(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_call *call);
    gurn_status (*mvhg_forward)(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_call *call);
    gurn_status (*mvhg_backward)(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_call *call);
    /* The law itself (host/law.c); the job's view and threads are the back end's to fill in. */
    size_t (*law_bytes)(const gurn_context *context, const gurn_plan *plan, const gurn_law_job *job);
    gurn_status (*law_check)(gurn_context *context, const gurn_plan *plan, const gurn_law_job *job); /* as mvhg_check */
    gurn_status (*law_run)(gurn_context *context, const gurn_plan *plan, const gurn_law_job *job);
    /* Plain draws (host/plain.c), likewise; NULL: not supported. The checks may be NULL. */
    size_t (*plain_bytes)(const gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job);
    gurn_status (*plain_draw)(gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job);
    gurn_status (*hypergeometric_check)(gurn_context *context, const gurn_hypergeometric_job *job);
    gurn_status (*hypergeometric_draw)(gurn_context *context, const gurn_hypergeometric_job *job);
} gurn_backend;

/*
 * Judges log omega, which may be that of the other law of a divergence: values, and that no row draws more than its classes of
 * omega > 0 hold. name: the argument's (backend_cpu.c).
 */
gurn_status gurn_cpu_check_log_omega(gurn_context *context, const gurn_plan *plan, const gurn_mvhg_inputs *in,
                                     const char *name, const void *log_omega, int64_t stride);

/* The CPU back end's part of them (backend_cpu_law.c). */
size_t gurn_cpu_law_bytes(const gurn_context *context, const gurn_plan *plan, const gurn_law_job *job);
gurn_status gurn_cpu_law_check(gurn_context *context, const gurn_plan *plan, const gurn_law_job *job);
gurn_status gurn_cpu_law_run(gurn_context *context, const gurn_plan *plan, const gurn_law_job *job);

/* And backend_cpu_plain.c. */
size_t gurn_cpu_plain_bytes(const gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job);
gurn_status gurn_cpu_plain_draw(gurn_context *context, const gurn_plan *plan, const gurn_plain_job *job);
gurn_status gurn_cpu_hypergeometric_check(gurn_context *context, const gurn_hypergeometric_job *job);
gurn_status gurn_cpu_hypergeometric_draw(gurn_context *context, const gurn_hypergeometric_job *job);

extern const gurn_backend gurn_backend_cpu;
#ifdef GURN_HAVE_CUDA
extern const gurn_backend gurn_backend_cuda;
#endif

struct gurn_context {
    const gurn_backend *backend;
    gurn_context_info info;
    struct CUstream_st *stream;
    struct CUctx_st *primary; /* CUDA: the device's primary context */
    const void *cpu_kernels;  /* CPU: the functions of the chosen instruction set (kernels/cpu.h) */
    char message[256];
};

struct gurn_plan {
    const gurn_backend *backend;
    int32_t device_index;
    int32_t classes, n_max, max_m;
    gurn_dtype dtype;
    gurn_chain chain;
    gurn_plan_use use;
    int all_m_equal;
    int32_t *m;      /* [C], host */
    int32_t *order;  /* [C], host */
    int64_t *offset; /* [C + 1], host: position of each class in the ragged width */
    size_t bytes;    /* held by the tables */
    gurn_plan_view
        host; /* the tables in host memory, in host_storage; plan_upload may free them and set host_storage to NULL */
    void *host_storage;
    gurn_plan_view view;      /* what kernels read: device memory */
    void *storage;            /* the back end's own memory, NULL if it has none; plan_free is called when it is set */
    struct CUctx_st *primary; /* CUDA: as the context's */
};

/* Writes the message into the context (which may be NULL) and returns the status. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
gurn_status
gurn_fail(gurn_context *context, gurn_status status, const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
