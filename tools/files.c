/*
 * The files that options name: which may not be one and the same, and how an output comes into being.
 *
 * An output is written to a temporary file in the target's folder, TARGET.gumbelurn-PID-NUMBER.partial, which takes the target's
 * name when it is complete. Until then nothing has happened to the target: not when a signal ends the program, the disk is
 * full, or another run writes there too. What a plain open would have done is kept up: a symbolic link is followed and the file
 * that it points to replaced, a new file has the permissions that the umask leaves, an old one keeps its own and is not replaced
 * where it could not have been written. (Of several hard links to an old file, the others go on being the old file.) What is no
 * regular file is written as it is.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* ------------------------------------------------------------------------------------------------------- names --- */

bool has_suffix(const char *path, const char *suffix) {
    size_t length = path ? strlen(path) : 0, tail = strlen(suffix);
    return length > tail && strcasecmp(path + length - tail, suffix) == 0;
}

/* Endings of formats that are not written here, under which a CSV would be misread. */
static const char *foreign_ending(const char *path) {
    static const char *const endings[] = {
        ".npz",    ".gz",  ".bz2",     ".xz",      ".zst",    ".lz4",    ".zip",  ".7z",   ".rar",
        ".tar",    ".tgz", ".parquet", ".feather", ".arrow",  ".orc",    ".avro", ".h5",   ".hdf5",
        ".hdf",    ".nc",  ".mat",     ".pkl",     ".pickle", ".joblib", ".pt",   ".pth",  ".safetensors",
        ".rds",    ".rda", ".rdata",   ".dta",     ".sav",    ".xls",    ".xlsx", ".xlsb", ".ods",
        ".sqlite", ".db",  ".json",    ".jsonl",   ".ndjson", ".xml",    ".tsv",  ".bin"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (has_suffix(path, endings[i])) return endings[i];
    return NULL;
}

/* The descriptor that a path names, or -1. */
static int descriptor_of(const char *path, int standard) {
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "-") == 0) return standard;
    if (strcmp(path, "/dev/stdin") == 0) return STDIN_FILENO;
    if (strcmp(path, "/dev/stdout") == 0) return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0) return STDERR_FILENO;
    for (int i = 0; i < 2; i++) {
        const size_t length = strlen(folders[i]);
        bool negative;
        uint64_t number;
        if (strncmp(path, folders[i], length) == 0 && read_whole(path + length, &negative, &number) == READ_OK &&
            !negative && number <= INT_MAX)
            return (int)number;
    }
    return -1;
}

static char *copy_of(const char *text, size_t length) {
    char *copy = allocate(length + 1, 1);
    memcpy(copy, text, length);
    return copy;
}

/* The length of the part of a path that is its folder, with the slash; 0 for a plain name. */
static size_t folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Follows symbolic links of the path's last part, also one that points nowhere yet, or to where a descriptor is named. */
static char *followed(const char *path) {
    char *current = copy_of(path, strlen(path));
    for (int links = 0; descriptor_of(current, -1) < 0; links++) {
        struct stat status;
        char target[4096];
        if (lstat(current, &status) != 0 || !S_ISLNK(status.st_mode)) break;
        const ssize_t length = readlink(current, target, sizeof target - 1);
        if (length < 0) fail("%s: %s", path, strerror(errno));
        if (links == 40) fail("%s: %s", path, strerror(ELOOP));
        target[length] = '\0';
        const size_t folder = *target == '/' ? 0 : folder_length(current);
        char *next = allocate(folder + (size_t)length + 1, 1);
        memcpy(next, current, folder);
        memcpy(next + folder, target, (size_t)length);
        free(current);
        current = next;
    }
    return current;
}

/* ------------------------------------------------------------------------------------------------------ claims --- */

struct claim {
    const char *option;
    const char *path;
    bool output;
    int descriptor; /* that it names, or -1 */
    bool there;     /* whether the file exists: then it is */
    struct stat file;
    struct stat folder; /* else it will be in this folder, with this name */
    char *name;
};

/* More than any command has options that name files. */
#define CLAIMS 32
static struct claim claims[CLAIMS];
static int claim_count;

static bool same_file(const struct claim *a, const struct claim *b) {
    if (a->there != b->there) return false;
    if (!a->there)
        return a->name && b->name && a->folder.st_dev == b->folder.st_dev && a->folder.st_ino == b->folder.st_ino &&
               strcmp(a->name, b->name) == 0;
    return S_ISREG(a->file.st_mode) && a->file.st_dev == b->file.st_dev && a->file.st_ino == b->file.st_ino;
}

static void claim(const struct claim *mine) {
    for (int i = 0; i < claim_count; i++) {
        const struct claim *other = &claims[i];
        if (!mine->output && !other->output) {
            if (mine->descriptor == STDIN_FILENO && other->descriptor == STDIN_FILENO)
                usage_error("%s and %s: both read standard input", other->option, mine->option);
            continue;
        }
        /* Outputs that go to descriptors go there one after the other. */
        if (mine->output && other->output && mine->descriptor >= 0 && other->descriptor >= 0) continue;
        if (!same_file(mine, other)) continue;
        if (strcmp(mine->path, other->path) == 0)
            usage_error("%s and %s are the same file: '%s'", other->option, mine->option, mine->path);
        usage_error("%s and %s are the same file: '%s' is '%s'", other->option, mine->option, other->path, mine->path);
    }
    if (claim_count == CLAIMS) fail("more than %d files", CLAIMS);
    claims[claim_count++] = *mine;
}

static struct claim claim_of(const char *option, const char *path, int standard) {
    if (claim_count == 0) { /* the shell's > FILE: an output of every command */
        static const char standard_output[] = "standard output";
        claims[claim_count] = (struct claim){
            .option = standard_output, .path = standard_output, .output = true, .descriptor = STDOUT_FILENO};
        claims[claim_count].there = fstat(STDOUT_FILENO, &claims[claim_count].file) == 0;
        claim_count++;
    }
    if (!*path) usage_error("%s: '' is not the name of a file", option);
    struct claim mine = {.option = option, .path = path, .descriptor = descriptor_of(path, standard)};
    mine.there = (mine.descriptor >= 0 ? fstat(mine.descriptor, &mine.file) : stat(path, &mine.file)) == 0;
    return mine;
}

void claim_input(const char *option, const char *path) {
    if (!path) return;
    struct claim mine = claim_of(option, path, STDIN_FILENO);
    claim(&mine);
}

void claim_output(const char *option, const char *path, bool npy) {
    if (!path) return;
    struct claim mine = claim_of(option, path, STDOUT_FILENO);
    mine.output = true;
    const char *ending = !npy && has_suffix(path, ".npy") ? ".npy" : foreign_ending(path);
    if (ending)
        usage_error("%s: '%s': a %s file is not written here, only CSV%s", option, path, ending,
                    npy ? " and .npy" : "");
    char *target = followed(path);
    mine.descriptor = descriptor_of(target, mine.descriptor);
    if (mine.descriptor < 0) {
        const size_t length = folder_length(target);
        char *folder = length ? copy_of(target, length) : copy_of(".", 1);
        if (mine.there && S_ISDIR(mine.file.st_mode)) fail("%s: %s", path, strerror(EISDIR));
        if (mine.there && access(path, W_OK) != 0) fail("%s: %s", path, strerror(errno));
        if (!mine.there && stat(folder, &mine.folder) != 0) fail("%s: %s", path, strerror(errno));
        if (!mine.there) mine.name = copy_of(target + length, strlen(target + length));
        if ((!mine.there || S_ISREG(mine.file.st_mode)) && access(folder, W_OK | X_OK) != 0)
            fail("%s: its folder takes no new file: %s", path, strerror(errno));
        free(folder);
    }
    free(target);
    claim(&mine);
}

FILE *open_input(const char *option, const char *path, const char **name) {
    const bool standard_input = strcmp(path, "-") == 0;
    *name = standard_input ? "standard input" : path;
    FILE *file = standard_input ? stdin : fopen(path, "rb");
    if (!file) fail("%s: %s: %s", option, path, strerror(errno));
    return file;
}

/* --------------------------------------------------------------------------------------------- temporary files --- */

/* Those that exist now. Strings are set before the file is there and cleared when it is not. */
#define TEMPORARIES 8
static char *volatile temporaries[TEMPORARIES];

/* Of a signal handler: nothing is called but what POSIX lets one call. */
void abandon_outputs(void) {
    for (int i = 0; i < TEMPORARIES; i++) {
        const char *name = temporaries[i];
        if (name) unlink(name);
    }
}

static void on_signal(int number) {
    abandon_outputs();
    raise(number); /* the default action is back: SA_RESETHAND */
}

/* Signals that end the program by default, unless whoever started it has them ignored. */
static void catch_signals(void) {
    static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGXCPU};
    static bool done;
    if (done) return;
    done = true;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) != 0 || action.sa_handler != SIG_DFL) continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
        sigaction(numbers[i], &action, NULL);
    }
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write */
}

/* A name for a temporary file beside the target: no longer than names may be, and cut where a character of UTF-8 ends. */
static char *temporary_name(const char *target) {
    enum {
        LONGEST = 200
    };
    static unsigned calls;
    const size_t folder = folder_length(target), all = strlen(target);
    size_t length = all - folder > LONGEST ? folder + LONGEST : all;
    while (length < all && length > folder && ((unsigned char)target[length] & 0xC0) == 0x80) length--;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char tail[64];
    snprintf(tail, sizeof tail, ".gumbelurn-%ld-%08lx%02x.partial", (long)getpid(), (unsigned long)now.tv_nsec,
             calls++ % 256);
    char *name = allocate(length + strlen(tail) + 1, 1);
    memcpy(name, target, length);
    strcpy(name + length, tail);
    return name;
}

/* A new file beside the target, open; its place among the temporary files goes to output->temporary. */
static void open_temporary(struct output *output, mode_t mode) {
    int slot = 0;
    while (slot < TEMPORARIES && temporaries[slot]) slot++;
    if (slot == TEMPORARIES) fail("%s: more than %d outputs", output->name, TEMPORARIES);
    catch_signals();
    for (;;) {
        char *name = temporary_name(output->target);
        temporaries[slot] = name;
        output->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (output->fd >= 0) break;
        const int error = errno;
        temporaries[slot] = NULL;
        free(name);
        if (error != EEXIST) fail("%s: %s", output->name, strerror(error));
    }
    output->temporary = slot;
}

void output_open(struct output *output, const char *path) {
    if (!path) path = "-";
    char *target = followed(path);
    *output = (struct output){.name = strcmp(path, "-") == 0 ? "standard output" : path, .temporary = -1};
    const int descriptor = descriptor_of(target, STDOUT_FILENO);
    struct stat old;
    if (descriptor >= 0) {
        output->fd = descriptor;
        output->shared = true;
        free(target);
        return;
    }
    const bool there = stat(path, &old) == 0;
    if (there && !S_ISREG(old.st_mode)) {
        free(target);
        output->fd = open(path, O_WRONLY | O_CLOEXEC);
        if (output->fd < 0) fail("%s: %s", path, strerror(errno));
        return;
    }
    if (there && access(path, W_OK) != 0) fail("%s: %s", path, strerror(errno));
    output->target = target;
    open_temporary(output, there ? 0600 : 0666); /* no wider than the old one's mode, at any time */
    if (!there) return;
    const bool given = fchown(output->fd, old.st_uid, old.st_gid) == 0;
    (void)given; /* who may not give files away has one of their own */
    if (fchmod(output->fd, old.st_mode & 0777) != 0) fail("%s: %s", path, strerror(errno));
}

void output_close(struct output *output) {
    /* Closing may be what tells of a failure. A descriptor that others use stays open: a copy is closed. */
    const int fd = output->shared ? dup(output->fd) : output->fd;
    if (fd < 0 || (close(fd) != 0 && errno != EINTR)) fail("%s: %s", output->name, strerror(errno));
    if (output->temporary < 0) return;
    char *temporary = temporaries[output->temporary];
    if (rename(temporary, output->target) != 0) fail("%s: %s", output->name, strerror(errno));
    temporaries[output->temporary] = NULL;
    free(temporary);
    free(output->target);
    output->target = NULL;
}
