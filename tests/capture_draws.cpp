/*
 * Writes tests/data/captured_draws.txt anew, from the portable CPU path: build the target capture-draws. A change of this file
 * is a change of what users' seeds mean.
 */
#include <cstdio>

#include "captured.h"
#include "plain_call.h"

using namespace gurn_test;

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    FILE *file = fopen(argv[1], "w");
    if (!file) {
        perror(argv[1]);
        return 1;
    }
    fprintf(file,
            "# x[rows][C] of fixed seeds (tests/captured.cpp). Rewritten by the build target capture-draws alone.\n");
    for (const CapturedProblem &c : captured_problems()) {
        const Target target = {"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, c.dtype};
        const Context context = make_context(target, 1);
        const Answer a = run_forward(context.get(), target, c.problem, kX);
        fprintf(file, "case %s\nx", c.name.c_str());
        for (double x : a.x) fprintf(file, " %.0f", x);
        fprintf(file, "\n\n");
    }
    for (const CapturedProblem &c : captured_plain_problems()) {
        const Target target = {"portable", GURN_DEVICE_CPU, GURN_ISA_PORTABLE, c.dtype};
        const Context context = make_context(target, 1);
        fprintf(file, "case %s\nx", c.name.c_str());
        for (int32_t x : run_draw(context.get(), target, c.problem)) fprintf(file, " %d", static_cast<int>(x));
        fprintf(file, "\n\n");
    }
    if (fclose(file) != 0) {
        perror(argv[1]);
        return 1;
    }
    return testing::Test::HasFailure();
}
