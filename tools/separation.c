/*
 * Whether the likelihood has a maximum, and what to maximise where it has none.
 *
 * A row of counts x could have been x + e_c - e_d, class c having had a ball left and class d one drawn: it speaks for d against
 * c. Draw an arrow c -> d for each such pair of any row. A set S of classes without an arrow out of it is one that, in every row,
 * was drawn whole before any other class was touched: x(S) = min(n, m(S)). The likelihood then only grows as omega of S grows
 * beyond the others'. These are all such directions, since the sums of the rows are the bases of the polymatroid
 * S -> sum over rows of min(n, m(S)), whose facets are these equations. So the likelihood of an exponential family with these
 * sufficient statistics has a maximum exactly if the arrows connect every class with every other, there and back.
 *
 * Where they do not, the strongly connected groups are ordered by the arrows between them, and in the limit of infinite ratios of
 * omega between groups every group is an urn of its own, of which the row draws as many as it has in that group: the likelihood is
 * the product over groups, each with a maximum inside.
 *
 * Arrows are never stored: a path goes from a class through a row to a class.
 */
#include <stdlib.h>

#include "cli.h"

struct graph {
    const struct counts *counts;
    const int32_t *m;
    int64_t nodes; /* classes, then rows */
    bool *seen;
    int64_t *stack, *next; /* path of the search, and where each of its nodes has got to */
};

static bool arrow_from_class(const struct graph *graph, int64_t r, int32_t c, bool forward) {
    const int32_t x = graph->counts->x[r * graph->counts->classes + c];
    return forward ? x < graph->m[c] : x > 0;
}

/* The next node not yet seen that an arrow leads to, or -1. Backward: against the arrows. */
static int64_t step(const struct graph *graph, int64_t node, int64_t *next, bool forward) {
    const int32_t classes = graph->counts->classes;
    if (node < classes) {
        for (; *next < graph->counts->rows; ++*next)
            if (!graph->seen[classes + *next] && arrow_from_class(graph, *next, (int32_t)node, forward))
                return classes + *next;
    } else {
        for (; *next < classes; ++*next)
            if (!graph->seen[*next] && arrow_from_class(graph, node - classes, (int32_t)*next, !forward)) return *next;
    }
    return -1;
}

/* Depth-first search from a node; calls done(data, node) for each node it leaves, the first one last. */
static void search(struct graph *graph, int64_t from, bool forward, void (*done)(void *, int64_t), void *data) {
    int64_t depth = 0;
    graph->stack[0] = from;
    graph->next[0] = 0;
    graph->seen[from] = true;
    while (depth >= 0) {
        const int64_t node = step(graph, graph->stack[depth], &graph->next[depth], forward);
        if (node < 0) {
            done(data, graph->stack[depth--]);
        } else {
            graph->seen[node] = true;
            graph->stack[++depth] = node;
            graph->next[depth] = 0;
        }
    }
}

struct finished {
    int64_t *node, count;
};

static void note_finished(void *data, int64_t node) {
    struct finished *finished = data;
    finished->node[finished->count++] = node;
}

struct naming {
    int32_t *group, classes, name;
    bool used;
};

static void name_group(void *data, int64_t node) {
    struct naming *naming = data;
    if (node >= naming->classes) return;
    naming->group[node] = naming->name;
    naming->used = true;
}

int32_t separate(const struct counts *counts, const int32_t *m, int32_t *group) {
    const int32_t classes = counts->classes;
    const int64_t nodes = classes + counts->rows;
    struct graph graph = {counts,
                          m,
                          nodes,
                          allocate((size_t)nodes, sizeof(bool)),
                          allocate((size_t)nodes, sizeof(int64_t)),
                          allocate((size_t)nodes, sizeof(int64_t))};
    struct finished finished = {allocate((size_t)nodes, sizeof(int64_t)), 0};
    for (int64_t node = 0; node < nodes; node++)
        if (!graph.seen[node]) search(&graph, node, true, note_finished, &finished);

    /* Kosaraju: the node finished last is in a group that no arrow leads into; such groups come first, and are the lowest. */
    for (int64_t node = 0; node < nodes; node++) graph.seen[node] = node < classes && m[node] == 0;
    struct naming naming = {group, classes, 0, false};
    for (int64_t i = nodes - 1; i >= 0; i--) {
        if (graph.seen[finished.node[i]]) continue;
        search(&graph, finished.node[i], false, name_group, &naming);
        naming.name += naming.used;
        naming.used = false;
    }
    for (int32_t c = 0; c < classes; c++) group[c] = m[c] == 0 ? -1 : naming.name - 1 - group[c];

    free(finished.node);
    free(graph.seen);
    free(graph.stack);
    free(graph.next);
    return naming.name;
}
