/* gumbelurn: the command-line program. See cli.h for how it is divided. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char INFO_HELP[] =
    "usage: gumbelurn info [--device auto|cpu|cuda] [--threads T]\n"
    "\n"
    "Prints the version, the devices that are there, and what a run with these options would use.\n";

/* One line for the device that a context with these options gets; false when there is none. */
static bool print_device(const char *label, gurn_device device, int32_t index, int32_t threads) {
    gurn_context_options options = GURN_CONTEXT_OPTIONS_INIT;
    options.device = device;
    options.device_index = index;
    options.threads = threads;
    gurn_context *context;
    gurn_status status = gurn_context_create(&options, &context);
    if (status != GURN_SUCCESS) {
        if (index == 0) printf("%-8s not available: %s\n", label, gurn_status_string(status));
        return false;
    }
    gurn_context_info info = {.size = sizeof info};
    gurn_context_get_info(context, &info);
    if (info.device == GURN_DEVICE_CUDA)
        printf("%-8s device %d: %s, %s\n", label, info.device_index, info.device_name, info.isa_name);
    else
        printf("%-8s %s, %d thread%s\n", label, info.isa_name, info.threads, info.threads == 1 ? "" : "s");
    gurn_context_destroy(context);
    return true;
}

static int run_info(int argc, char **argv) {
    static const struct option options[] = {{"device", required_argument, NULL, OPT_DEVICE},
                                            {"threads", required_argument, NULL, OPT_THREADS},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    static const char *const help[] = {INFO_HELP, NULL};
    struct urn urn = URN_INIT;
    next_option(argc, argv, options, &urn, help);
    gurn_context *context = open_context(urn.device, urn.threads); /* fails here for a device that is not there */
    gurn_context_info used = {.size = sizeof used};
    gurn_context_get_info(context, &used);
    gurn_context_destroy(context);
    printf("gumbelurn %s, library %s\n", GURN_VERSION_STRING, gurn_version());
    print_device("cpu", GURN_DEVICE_CPU, 0, urn.threads);
    for (int32_t index = 0; print_device("cuda", GURN_DEVICE_CUDA, index, urn.threads);) index++;
    print_device("in use", used.device, 0, urn.threads);
    printf("%-8s %s\n", "chain", DEFAULT_CHAIN_NAME);
    flush_stdout();
    return EXIT_OK;
}

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} COMMANDS[] = {
    {"sample", "draw rows of counts", run_sample},
    {"fit", "learn the importances behind observed counts", run_fit},
    {"logprob", "log-probability of observed counts", run_logprob},
    {"moments", "exact mean, standard deviation and mode of every class", run_moments},
    {"kl", "divergence of two laws on one urn", run_kl},
    {"info", "version, devices, instruction set, threads", run_info},
};
enum {
    COMMAND_COUNT = sizeof COMMANDS / sizeof COMMANDS[0]
};

static void print_help(FILE *file) {
    fputs(
        "usage: gumbelurn COMMAND [options]\n"
        "\n"
        "Differentiable urn models: the multivariate noncentral (Fisher) hypergeometric distribution.\n"
        "\n",
        file);
    for (int i = 0; i < COMMAND_COUNT; i++) fprintf(file, "  %-10s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    fputs(
        "\n"
        "gumbelurn COMMAND --help tells about a command, gumbelurn --version the version.\n"
        "Exit status: 0 success, 1 failure, 2 wrong usage. A file that is written appears, or\n"
        "replaces the older one, when it is complete.\n"
        "\n"
        "  gumbelurn sample --m 200,200,200 --n 180 --omega 1,5,1 --rows 50000 --out draws.csv\n"
        "  gumbelurn fit --m 200,200,200 --n 180 --in draws.csv\n",
        file);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    bool help = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0;
    if (help && argc == 2) {
        print_help(stdout);
        flush_stdout();
        return EXIT_OK;
    }
    if (strcmp(name, "--version") == 0) {
        printf("gumbelurn %s\n", gurn_version());
        flush_stdout();
        return EXIT_OK;
    }
    char help_option[] = "--help";
    if (help) { /* gumbelurn help COMMAND */
        name = argv[2];
        argv[2] = help_option;
    }
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, COMMANDS[i].name) != 0) continue;
        char title[64];
        snprintf(title, sizeof title, "gumbelurn %s", name);
        command_name = title;
        return COMMANDS[i].run(argc - 1, argv + 1);
    }
    usage_error("unknown command '%s'", name);
}
