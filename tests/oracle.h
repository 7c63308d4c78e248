/*
 * The oracle: the multivariate noncentral hypergeometric chain, its relaxation and its gradients, straight from the papers'
 * equations, in long double, over the whole support, with no table, window, race or line of code in common with kernels/.
 * Slow, small, and to be read side by side with the comment in gumbelurn.h above gurn_mvhg_inputs.
 */
#ifndef GURN_TESTS_ORACLE_H
#define GURN_TESTS_ORACLE_H

#include <array>
#include <cstdint>
#include <map>
#include <vector>

namespace oracle {

using Real = long double;

/* ------------------------------------------------------------------------------------------------------------ noise --- */

std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/* -log u and -log(-log u) with u = (word + 1/2) / 2^32, accurate at both ends. */
Real exponential(uint32_t word);
Real gumbel(uint32_t word);

/* The word at an address, as gumbelurn.h lays it out; row = offset + row0 + b. */
uint32_t word(uint64_t seed, uint64_t row, uint32_t operation, uint32_t cls, uint32_t k);

/* ------------------------------------------------------------------------------------------------------- urn and row --- */

enum class Chain {
    merged,
    exact
};

struct Urn {
    std::vector<int> m;
    std::vector<int> order; /* the class visited at each place; empty = 0..C-1 */
    Chain chain = Chain::merged;

    int classes() const { return static_cast<int>(m.size()); }
    int at(int place) const { return order.empty() ? place : order[place]; }
    int total() const;
    int width() const { return total() + classes(); }
    int offset(int cls) const; /* of a class in the ragged width */
    int last() const; /* place of the class that takes what is left: the last one that has balls (or place 0) */
};

struct Row {
    std::vector<double> log_omega; /* [C] */
    int n = 0;
    double tau = 1;
    bool soft = false;
    std::vector<double> gumbel; /* [W]; empty = noise off */
};

/* Noise of one row as the library addresses it, operation 1, for every class before the last() (later entries are 0). */
std::vector<double> philox_gumbel(const Urn &urn, uint64_t seed, uint64_t row);

/* ---------------------------------------------------------------------------------------------------------- the chain --- */

/* One row's chain: what depends on log omega alone. */
class RowChain {
public:
    RowChain(const Urn &urn, const std::vector<double> &log_omega);

    Real rest(int place, Real r) const;            /* R_i(r) */
    Real rest_derivative(int place, Real r) const; /* d R_i / d r; the mean of both sides at a kink */
    /* d R_i(r) / d log omega_j, for every class j (0 for classes not in the rest). */
    std::vector<Real> rest_gradient(int place, Real r) const;

    int later(int place) const { return later_[place]; } /* m_R */
    const Urn &urn() const { return urn_; }
    const std::vector<double> &log_omega() const { return log_omega_; }

private:
    Urn urn_;
    std::vector<double> log_omega_;
    std::vector<int> later_;
    std::vector<Real> log_omega_rest_;          /* merged: [place] */
    std::vector<std::vector<Real>> log_suffix_; /* exact: log S_place(r), [place][r] */
    std::vector<std::vector<std::vector<Real>>>
        suffix_means_; /* exact: E[X_j | rest after place sums to r], [place][j][r] */
};

/* The chain of an urn and log omega, kept until another is asked for: rows that share them need not make it again. */
const RowChain &chain_of(const Urn &urn, const std::vector<double> &log_omega);

/* The conditional law of one step, given that n_i (real in soft mode) are left to draw. */
struct Step {
    int lo = 0;              /* first k of the support */
    std::vector<Real> logit; /* (A) */
    std::vector<Real> log_p; /* logit - logsumexp logit */
};
Step step(const RowChain &chain, int place, Real n_i);
/* The same over first..last only, of a law whose weight outside is nothing. */
Step step(const RowChain &chain, int place, Real n_i, int first, int last);

/* d logit(k) / d n_i over the support of a step. */
std::vector<Real> step_slopes(const RowChain &chain, int place, Real n_i, const Step &step);

/*
 * logit + g over the support of a step, less the largest g of it; -infinity where g is. Whether that leaves any;
 * softmax(score / tau).
 */
std::vector<Real> step_scores(const Urn &urn, const Row &row, int place, const Step &step);
bool any_choice(const std::vector<Real> &score);
std::vector<Real> softmax(const std::vector<Real> &score, Real tau);

/*
 * d/dx of sum_k u_k max(0, 1 - |k - x|): how what reaches y of the last class reaches its x. At whole x, where the two sides
 * differ, the central difference of u, one-sided at both ends.
 */
Real hat_slope(const std::vector<Real> &u, Real x);

/* ------------------------------------------------------------------------------------------------ forward, backward --- */

struct Outputs {
    std::vector<double> x, y, mask; /* [C], [W], [W] */
    double log_p = 0;
};

struct Upstream {
    std::vector<double> x, y, mask; /* empty = 0 */
    double log_p = 0;
};

struct Gradients {
    std::vector<double> log_omega;
    double tau = 0;
};

/* A row in which a step has no choice left is NaN in all of its outputs, and where x is NaN in its gradients. */
Outputs forward(const Urn &urn, const Row &row);
Gradients backward(const Urn &urn, const Row &row, const std::vector<double> &x, const Upstream &upstream);

/* Hard mode: by how much the chosen count of the worst step falls short of that step's best logit + g. 0: x is the draw. */
double shortfall(const Urn &urn, const Row &row, const std::vector<double> &x);

/* ------------------------------------------------------------------------------------------------------ exact laws --- */

/* Log-probability of whole counts under the chain. */
double log_prob(const Urn &urn, const std::vector<double> &log_omega, int n, const std::vector<int> &x);

/* Every x with its probability under the chain (small urns). */
std::map<std::vector<int>, double> joint_pmf(const Urn &urn, const std::vector<double> &log_omega, int n);

/* P(x_c = k) under the chain, [C][k], by summing over what earlier steps left. */
std::vector<std::vector<double>> marginals(const Urn &urn, const std::vector<double> &log_omega, int n);

}  // namespace oracle

#endif
