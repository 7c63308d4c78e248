/* gumbelurn sample: draws rows batch by batch, so that any number of them passes through bounded memory. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define BATCH_VALUES (1 << 20) /* counts held at once */

static const char HELP[] =
    "usage: gumbelurn sample --m LIST --n N [options]\n"
    "\n"
    "Draws rows of counts from Fisher's noncentral hypergeometric urn, as CSV with the header\n"
    "x0,x1,... or as .npy.\n"
    "\n" URN_HELP
    "  --rows B            rows drawn; default 1\n"
    "  --seed S            default 0; the same seed gives the same rows on every device\n"
    "  --offset O          where in the seed's stream to begin; default 0. 100 rows, and then 100\n"
    "                      more with --offset 100, are the 200 rows of one run\n"
    "  --plain             whole counts by inversion: the same law many times faster, from\n"
    "                      noise of its own, so that a seed gives other rows than without\n"
    "  --tau T             temperature, at least 1e-30, for --soft; default 1\n"
    "  --soft              relaxed counts: the real numbers that gradients flow through\n"
    "  --no-noise          no randomness: the mode of every conditional step\n"
    "  --log-p             each row's log-probability under the chain as well\n"
    "  --out FILE          to FILE; a NAME.npy becomes a NumPy array. Default standard output\n"
    "  --no-header         CSV without its first line\n"
    "\n"
    "A .npy file holds int32 [rows][classes], or reals with --soft; with --log-p a structured\n"
    "array with the fields x and log_p. CSV has log_p to six decimals (float64: 17 digits).\n"
    "\n" LIST_HELP;

enum {
    OPT_ROWS = OPT_OWN,
    OPT_SEED,
    OPT_OFFSET,
    OPT_PLAIN,
    OPT_TAU,
    OPT_SOFT,
    OPT_NO_NOISE,
    OPT_LOG_P,
    OPT_OUT,
    OPT_NO_HEADER
};

static const struct option OPTIONS[] = {URN_OPTIONS,
                                        {"rows", required_argument, NULL, OPT_ROWS},
                                        {"seed", required_argument, NULL, OPT_SEED},
                                        {"offset", required_argument, NULL, OPT_OFFSET},
                                        {"plain", no_argument, NULL, OPT_PLAIN},
                                        {"tau", required_argument, NULL, OPT_TAU},
                                        {"soft", no_argument, NULL, OPT_SOFT},
                                        {"no-noise", no_argument, NULL, OPT_NO_NOISE},
                                        {"log-p", no_argument, NULL, OPT_LOG_P},
                                        {"out", required_argument, NULL, OPT_OUT},
                                        {"no-header", no_argument, NULL, OPT_NO_HEADER},
                                        {NULL, 0, NULL, 0}};

struct sample {
    struct urn urn;
    gurn_mvhg_inputs inputs;
    bool plain, log_p, header;
    const char *out;
};

/* How a batch becomes bytes. */
struct format {
    bool npy, plain, soft, log_p; /* plain: x is int32, else real */
    int32_t classes;
};

static void write_header(struct writer *writer, const struct format *format, const struct session *session,
                         int64_t rows) {
    const int32_t classes = format->classes;
    if (!format->npy) {
        for (int32_t c = 0; c < classes; c++) write_text(writer, c ? ",x%d" : "x%d", c);
        write_text(writer, format->log_p ? ",log_p\n" : "\n");
        return;
    }
    const char *real = session->real_size == sizeof(float) ? "'<f4'" : "'<f8'";
    const char *x = format->soft ? real : "'<i4'";
    char descr[128], shape[64];
    if (format->log_p) {
        snprintf(descr, sizeof descr, "[('x', %s, (%d,)), ('log_p', %s)]", x, classes, real);
        snprintf(shape, sizeof shape, "(%" PRId64 ",)", rows);
    } else {
        snprintf(descr, sizeof descr, "%s", x);
        snprintf(shape, sizeof shape, "(%" PRId64 ", %d)", rows, classes);
    }
    write_npy_header(writer, descr, shape);
}

/* One value of x, or log_p, as CSV text. */
static void put_text(struct writer *writer, char separator, size_t length) {
    writer->buffer[writer->used + length] = separator;
    writer->used += length + 1;
}

static void write_csv(struct writer *writer, const struct format *format, const struct session *session, const void *x,
                      const void *log_p, int64_t rows) {
    const int32_t classes = format->classes;
    const size_t size = session->real_size;
    for (int64_t b = 0; b < rows; b++) {
        for (int32_t c = 0; c < classes; c++) {
            const double value =
                format->plain ? (double)((const int32_t *)x)[b * classes + c] : real_at(session, x, b * classes + c);
            char *text = writer_room(writer, WRITER_ROOM);
            put_text(writer, c + 1 < classes || format->log_p ? ',' : '\n',
                     format->soft ? format_real(text, value, size) : format_count(text, (uint32_t)value));
        }
        if (format->log_p) {
            const double value = real_at(session, log_p, b);
            char *text = writer_room(writer, WRITER_ROOM);
            put_text(writer, '\n', size == sizeof(float) ? format_fixed6(text, value) : format_real(text, value, size));
        }
    }
}

static void write_npy(struct writer *writer, const struct format *format, const struct session *session, const void *x,
                      const void *log_p, int64_t rows) {
    const int32_t classes = format->classes;
    const size_t size = session->real_size;
    for (int64_t b = 0; b < rows; b++) {
        if (format->soft || format->plain) { /* as they are */
            const size_t each = format->plain ? sizeof(int32_t) : size;
            write_bytes(writer, (const char *)x + (size_t)(b * classes) * each, (size_t)classes * each);
        } else {
            for (int32_t c = 0; c < classes; c++) {
                const int32_t value = (int32_t)real_at(session, x, b * classes + c);
                write_bytes(writer, &value, sizeof value);
            }
        }
        if (format->log_p) write_bytes(writer, (const char *)log_p + (size_t)b * size, size);
    }
}

/* The next rows, into outputs->x and log_p. */
static void draw_batch(const struct sample *sample, const struct session *session, const gurn_mvhg_outputs *outputs,
                       void *workspace, size_t workspace_bytes) {
    if (sample->plain)
        check(session,
              gurn_mvhg_draw(session->context, session->plan, &sample->inputs, outputs->x, workspace, workspace_bytes),
              "gurn_mvhg_draw");
    else
        check(session,
              gurn_mvhg_forward(session->context, session->plan, &sample->inputs, outputs, workspace, workspace_bytes),
              "gurn_mvhg_forward");
}

/* Whether all classes that have balls have one omega, above 0: plain draws need not know which, nor have memory for tables. */
static bool all_equal(const struct urn *urn) {
    double one = NAN;
    for (int32_t c = 0; c < urn->classes; c++) {
        if (urn->m[c] == 0) continue;
        if (isnan(one)) one = urn->log_omega[c];
        if (urn->log_omega[c] != one) return false;
    }
    return isnan(one) || isfinite(one);
}

static void draw(struct sample *sample) {
    const struct urn *urn = &sample->urn;
    gurn_mvhg_inputs *inputs = &sample->inputs;
    const int64_t rows = inputs->rows;
    struct session session;
    session_open(&session, urn, urn->n);

    const int64_t fitting = BATCH_VALUES / urn->classes > 0 ? BATCH_VALUES / urn->classes : 1;
    const int64_t batch = rows < fitting ? rows : fitting;
    const size_t x_size = sample->plain ? sizeof(int32_t) : session.real_size;
    const size_t x_bytes = (size_t)batch * (size_t)urn->classes * x_size;
    const size_t log_p_bytes = sample->log_p ? (size_t)batch * session.real_size : 0;
    void *log_omega = device_alloc(&session, (size_t)urn->classes * session.real_size);
    put_log_omega(&session, log_omega, urn->log_omega, urn->classes);
    inputs->log_omega = sample->plain && all_equal(urn) ? NULL : log_omega;
    inputs->n = urn->n;
    inputs->rows = batch;
    size_t workspace_bytes;
    check(&session,
          sample->plain ? gurn_mvhg_draw_workspace(session.context, session.plan, inputs, &workspace_bytes)
                        : gurn_mvhg_workspace(session.context, session.plan, inputs, &workspace_bytes, NULL),
          "workspace");
    void *workspace = device_alloc(&session, workspace_bytes);
    gurn_mvhg_outputs outputs = GURN_MVHG_OUTPUTS_INIT;
    outputs.x = device_alloc(&session, x_bytes);
    outputs.log_p = device_alloc(&session, log_p_bytes);
    void *x_host = session.cuda ? allocate(x_bytes, 1) : NULL;
    void *log_p_host = session.cuda ? allocate(log_p_bytes, 1) : NULL;

    const struct format format = {has_suffix(sample->out, ".npy"), sample->plain, inputs->relaxation == GURN_SOFT,
                                  sample->log_p, urn->classes};
    struct writer writer;
    writer_open(&writer, sample->out);
    if (format.npy || sample->header) write_header(&writer, &format, &session, rows);
    for (int64_t done = 0; done < rows; done += inputs->rows, inputs->noise.offset += (uint64_t)inputs->rows) {
        inputs->rows = rows - done < batch ? rows - done : batch;
        draw_batch(sample, &session, &outputs, workspace, workspace_bytes);
        const void *x = to_host(&session, outputs.x, x_host, (size_t)(inputs->rows * urn->classes) * x_size);
        const void *log_p = NULL;
        if (sample->log_p)
            log_p = to_host(&session, outputs.log_p, log_p_host, (size_t)inputs->rows * session.real_size);
        (format.npy ? write_npy : write_csv)(&writer, &format, &session, x, log_p, inputs->rows);
    }
    writer_close(&writer);

    free(x_host);
    free(log_p_host);
    device_free(&session, outputs.x);
    device_free(&session, outputs.log_p);
    device_free(&session, workspace);
    device_free(&session, log_omega);
    session_close(&session);
}

int run_sample(int argc, char **argv) {
    struct sample sample = {.urn = URN_INIT, .inputs = GURN_MVHG_INPUTS_INIT, .header = true};
    gurn_mvhg_inputs *inputs = &sample.inputs;
    inputs->rows = 1;
    for (int code; (code = next_option(argc, argv, OPTIONS, &sample.urn, HELP)) != -1;) {
        switch (code) {
            case OPT_ROWS: inputs->rows = parse_integer("--rows", optarg, 0, INT64_C(1) << 53); break;
            case OPT_SEED: inputs->noise.seed = parse_u64("--seed", optarg); break;
            case OPT_OFFSET: inputs->noise.offset = parse_u64("--offset", optarg); break;
            case OPT_PLAIN: sample.plain = true; break;
            case OPT_TAU: inputs->tau = parse_tau("--tau", optarg); break;
            case OPT_SOFT: inputs->relaxation = GURN_SOFT; break;
            case OPT_NO_NOISE: inputs->noise.kind = GURN_NOISE_OFF; break;
            case OPT_LOG_P: sample.log_p = true; break;
            case OPT_OUT: sample.out = optarg; break;
            case OPT_NO_HEADER: sample.header = false; break;
        }
    }
    urn_finish(&sample.urn);
    if (sample.urn.n < 0) usage_error("--n is missing: the number of balls drawn");
    if (sample.plain && (sample.log_p || inputs->tau != 0 || inputs->relaxation == GURN_SOFT ||
                         inputs->noise.kind != GURN_NOISE_PHILOX))
        usage_error("--plain draws whole counts alone: it goes with none of --tau, --soft, --no-noise and --log-p");
    draw(&sample);
    urn_release(&sample.urn);
    return EXIT_OK;
}
