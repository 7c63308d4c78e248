/* A run's results as a table, JSON and CSV. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static void processor_name(char *name, size_t size) {
    snprintf(name, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(name, size, "%s", colon + 2);
        break;
    }
    if (file) fclose(file);
}

void bench_report_begin(bench_report *report, const char *commit, const char *clock) {
    memset(report, 0, sizeof *report);
    processor_name(report->processor, sizeof report->processor);
    struct utsname system;
    if (uname(&system) == 0)
        snprintf(report->system, sizeof report->system, "%.30s %.60s %.30s", system.sysname, system.release,
                 system.machine);
    report->cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    snprintf(report->commit, sizeof report->commit, "%s", commit);
    time_t now = time(NULL);
    strftime(report->date, sizeof report->date, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    report->clock = clock;
}

static double draws(const bench_result *r, double seconds) { return (double)r->rows / seconds; }

/* Thread-nanoseconds a support point. */
static double point_time(const bench_result *r, double seconds) {
    return seconds * r->threads * 1e9 / ((double)r->rows * r->points);
}

static double distance(const bench_result *r) { return r->floor > 0.0 ? r->median / r->floor : 0.0; }

/* ------------------------------------------------------------------------------------------------------------ table --- */

void bench_report_head(const bench_report *report) {
    printf("gumbelurn %s, commit %s, %s\n%s, %d cores, %s; compiler %s\n", gurn_version(), report->commit, report->date,
           report->processor, report->cores, report->system, __VERSION__);
    if (report->device[0]) printf("device %s\n", report->device);
    printf("clock: %s. draws/s: median (best). ns/point: thread time a support point; floor: in this run\n\n",
           report->clock);
    printf("%-4s %-6s %-16s %-7s %-8s %3s %9s %21s %8s %9s %7s %6s\n", "case", "omega", "pass", "of", "isa", "thr",
           "rows", "draws/s", "points", "ns/point", "floor", "ratio");
}

static void print_line(const bench_result *r) {
    printf("%-4s %-6s %-16s %-7s %-8s %3d %9lld %10.0f (%8.0f) %8.1f %9.3f", r->c->name, r->omega, r->pass, r->what,
           r->isa, r->threads, (long long)r->rows, draws(r, r->median), draws(r, r->least), r->points,
           point_time(r, r->median));
    if (r->floor > 0.0) printf(" %7.3f %6.2f", point_time(r, r->floor), distance(r));
    if (r->merged > 0.0) printf("  %.2f of merged", r->median / r->merged);
    if (strcmp(r->mode, "warm") != 0) printf("  %s", r->mode);
    printf("\n");
    fflush(stdout);
}

/* The result that is like r but for its threads. */
static const bench_result *on_one_thread(const bench_report *report, const bench_result *r) {
    for (size_t i = 0; i < report->count; i++) {
        const bench_result *one = &report->results[i];
        if (one->threads == 1 && one->c == r->c && one->rows == r->rows && !strcmp(one->omega, r->omega) &&
            !strcmp(one->pass, r->pass) && !strcmp(one->what, r->what) && !strcmp(one->isa, r->isa))
            return one;
    }
    return NULL;
}

void bench_report_scaling(const bench_report *report) {
    bool begun = false;
    for (size_t i = 0; i < report->count; i++) {
        const bench_result *r = &report->results[i], *one = on_one_thread(report, r);
        if (r->threads == 1 || !one) continue;
        if (!begun) printf("\nspeed on more threads, as a multiple of that on one\n");
        begun = true;
        printf("%-4s %-6s %-16s %-7s %-8s %3d %6.2f", r->c->name, r->omega, r->pass, r->what, r->isa, r->threads,
               one->median / r->median);
        if (r->floor > 0.0 && one->floor > 0.0) printf("   floor %.2f", one->floor / r->floor);
        printf("\n");
    }
}

/* ------------------------------------------------------------------------------------------------------------ files --- */

static void json_string(FILE *file, const char *s) {
    fputc('"', file);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') fputc('\\', file);
        if ((unsigned char)*s >= ' ') fputc(*s, file);
    }
    fputc('"', file);
}

static void json_text(FILE *file, const char *key, const char *value) {
    fprintf(file, "\"%s\": ", key);
    json_string(file, value);
    fputs(", ", file);
}

static void json_counts(FILE *file, const char *key, const double *value, int32_t count) {
    fprintf(file, ", \"%s\": [", key);
    for (int32_t i = 0; i < count; i++) fprintf(file, "%s%.6g", i ? ", " : "", value[i]);
    fputc(']', file);
}

static void write_json(const bench_report *report, FILE *file) {
    fputs("{", file);
    json_text(file, "date", report->date);
    json_text(file, "version", gurn_version());
    json_text(file, "commit", report->commit);
    json_text(file, "processor", report->processor);
    json_text(file, "system", report->system);
    json_text(file, "device", report->device);
    json_text(file, "compiler", __VERSION__);
    json_text(file, "clock", report->clock);
    fprintf(file, "\"cores\": %d, \"finished\": %s,\n\"checks\": [", report->cores,
            report->finished ? "true" : "false");
    for (size_t i = 0; i < report->check_count; i++) {
        const struct bench_checked *c = &report->checks[i];
        fprintf(file, "%s\n  {\"case\": \"%s\", \"omega\": \"%s\", \"passed\": %s", i ? "," : "", c->c->name, c->omega,
                c->check.passed ? "true" : "false");
        json_counts(file, "mean", c->check.mean, c->c->classes);
        if (strcmp(c->omega, "shared") == 0) json_counts(file, "expected", c->expected, c->c->classes);
        fprintf(file,
                ", \"largest_z\": %.3g, \"largest_log_p_error\": %.3g, \"bits\": %.1f, \"points\": %.6g,"
                " \"relaxed_bits\": %.1f, \"relaxed_points\": %.6g}",
                c->check.largest_z, c->check.largest_log_p_error, c->check.bits, c->check.points, c->check.relaxed_bits,
                c->check.relaxed_points);
    }
    fputs("],\n\"results\": [", file);
    for (size_t i = 0; i < report->count; i++) {
        const bench_result *r = &report->results[i], *one = on_one_thread(report, r);
        fprintf(
            file,
            "%s\n  {\"case\": \"%s\", \"classes\": %d, \"m\": %d, \"n\": %d, \"omega\": \"%s\", \"pass\": \"%s\","
            " \"of\": \"%s\", \"mode\": \"%s\", \"isa\": \"%s\", \"threads\": %d, \"rows\": %lld, \"tau\": %g,"
            " \"repetitions\": %d, \"seconds_median\": %.6g, \"seconds_min\": %.6g, \"draws_per_s\": %.6g,"
            " \"draws_per_s_best\": %.6g, \"points_per_draw\": %.6g, \"points_per_s\": %.6g, \"ns_per_point\": %.5g",
            i ? "," : "", r->c->name, r->c->classes, r->c->m, r->c->n, r->omega, r->pass, r->what, r->mode, r->isa,
            r->threads, (long long)r->rows, r->tau, r->repetitions, r->median, r->least, draws(r, r->median),
            draws(r, r->least), r->points, draws(r, r->median) * r->points, point_time(r, r->median));
        if (r->floor > 0.0)
            fprintf(file, ", \"floor_ns_per_point\": %.5g, \"floor_ratio\": %.4g", point_time(r, r->floor),
                    distance(r));
        if (r->merged > 0.0) fprintf(file, ", \"of_merged\": %.4g", r->median / r->merged);
        if (one && one != r) fprintf(file, ", \"thread_scaling\": %.4g", one->median / r->median);
        fprintf(file,
                ", \"bytes_per_draw\": %.6g, \"bytes_per_s\": %.6g, \"workspace_bytes\": %.0f, \"plan_bytes\": %.0f}",
                r->bytes, draws(r, r->median) * r->bytes, r->workspace, r->tables);
    }
    fputs("]}\n", file);
}

static void write_csv(const bench_report *report, FILE *file) {
    fputs(
        "case,omega,pass,of,mode,isa,threads,rows,tau,repetitions,seconds_median,seconds_min,draws_per_s,points_per_"
        "draw,"
        "ns_per_point,floor_ns_per_point,floor_ratio,bytes_per_draw,commit\n",
        file);
    for (size_t i = 0; i < report->count; i++) {
        const bench_result *r = &report->results[i];
        fprintf(file, "%s,%s,%s,\"%s\",%s,%s,%d,%lld,%g,%d,%.6g,%.6g,%.6g,%.6g,%.5g,", r->c->name, r->omega, r->pass,
                r->what, r->mode, r->isa, r->threads, (long long)r->rows, r->tau, r->repetitions, r->median, r->least,
                draws(r, r->median), r->points, point_time(r, r->median));
        if (r->floor > 0.0)
            fprintf(file, "%.5g,%.4g,", point_time(r, r->floor), distance(r));
        else
            fputs(",,", file);
        fprintf(file, "%.6g,%s\n", r->bytes, report->commit);
    }
}

/* Under a name beside it first, and renamed: who looks finds the last whole file. */
static bool save(const bench_report *report, const char *path, void (*write)(const bench_report *report, FILE *file)) {
    struct stat status;
    bool in_place = lstat(path, &status) == 0 && !S_ISREG(status.st_mode);
    if (in_place && !report->finished && access(path, W_OK) == 0 && !S_ISDIR(status.st_mode)) return true;
    size_t size = strlen(path) + sizeof ".part";
    char *part = malloc(size);
    if (part) snprintf(part, size, "%s%s", path, in_place ? "" : ".part");
    FILE *file = part ? fopen(part, "w") : NULL;
    bool good = file != NULL;
    if (file) {
        write(report, file);
        good = !ferror(file);
        good = fclose(file) == 0 && good;
        if (!in_place) good = good && rename(part, path) == 0;
    }
    if (!good) fprintf(stderr, "bench_mvhg: could not write %s\n", path);
    free(part);
    return good;
}

bool bench_report_save(const bench_report *report) {
    bool json = !report->json || save(report, report->json, write_json);
    return (!report->csv || save(report, report->csv, write_csv)) && json;
}

bool bench_report_add(bench_report *report, const bench_result *result) {
    if (report->count == report->room) {
        size_t room = report->room ? 2 * report->room : 64;
        bench_result *results = realloc(report->results, room * sizeof *results);
        if (!results) {
            fprintf(stderr, "bench_mvhg: no memory for the results\n");
            return false;
        }
        report->results = results;
        report->room = room;
    }
    report->results[report->count++] = *result;
    if (!bench_report_save(report)) return false;
    print_line(result);
    return true;
}
