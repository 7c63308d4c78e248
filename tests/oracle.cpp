#include "oracle.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>

namespace oracle {

namespace {

constexpr Real kMinusInfinity = -std::numeric_limits<Real>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Real log_sum_exp(const std::vector<Real> &v) {
    Real top = kMinusInfinity;
    for (Real a : v) top = std::max(top, a);
    if (!(top > kMinusInfinity)) return kMinusInfinity;
    Real sum = 0;
    for (Real a : v) sum += expl(a - top);
    return top + logl(sum);
}

Real log_factorial(Real a) { return lgammal(a + 1); }

Real log_binomial(int m, int k) { return log_factorial(m) - log_factorial(k) - log_factorial(m - k); }

/* Recurrence up to 20, then the asymptotic series; its first term left out, B_16/(16 x^16), is below 1e-21 there. */
Real digamma(Real x) {
    Real sum = 0;
    for (; x < 20; x += 1) sum -= 1 / x;
    const Real t = 1 / (x * x);
    const Real series =
        t * (1.0L / 12 -
             t * (1.0L / 120 -
                  t * (1.0L / 252 - t * (1.0L / 240 - t * (1.0L / 132 - t * (691.0L / 32760 - t * (1.0L / 12)))))));
    return sum + logl(x) - 1 / (2 * x) - series;
}

/* The last class: y(k) = max(0, 1 - |k - x|). */
Real hat(Real distance) { return std::max<Real>(0, 1 - fabsl(distance)); }

}  // namespace

Real hat_slope(const std::vector<Real> &u, Real x) {
    const int m = int(u.size()) - 1;
    const auto at = [&](int k) { return k < 0 || k > m ? 0 : u[k]; };
    const int f = int(floorl(x));
    if (x != f || f < 0 || f > m) return at(f + 1) - at(f);
    if (m == 0) return 0;
    if (f == 0) return u[1] - u[0];
    if (f == m) return u[m] - u[m - 1];
    return (u[f + 1] - u[f - 1]) / 2;
}

/* ------------------------------------------------------------------------------------------------------------ noise --- */

std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
    for (int round = 0; round < 10; round++) {
        const uint64_t a = 0xD2511F53ull * counter[0], b = 0xCD9E8D57ull * counter[2];
        counter = {uint32_t(b >> 32) ^ counter[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ counter[3] ^ key[1],
                   uint32_t(a)};
        key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
    }
    return counter;
}

Real exponential(uint32_t word) {
    const Real u = (word + 0.5L) * 0x1p-32L; /* 33 bits: exact, and so is 1 - u */
    return word < 0x80000000u ? -logl(u) : -log1pl(-(1 - u));
}

Real gumbel(uint32_t word) { return -logl(exponential(word)); }

uint32_t word(uint64_t seed, uint64_t row, uint32_t operation, uint32_t cls, uint32_t k) {
    const auto block = philox4x32_10({k >> 2, operation << 24 | cls, uint32_t(row), uint32_t(row >> 32)},
                                     {uint32_t(seed), uint32_t(seed >> 32)});
    return block[k & 3];
}

std::vector<double> philox_gumbel(const Urn &urn, uint64_t seed, uint64_t row) {
    std::vector<double> g(urn.width(), 0.0);
    for (int place = 0; place < urn.last(); place++) {
        const int c = urn.at(place);
        for (int k = 0; k <= urn.m[c]; k++) g[urn.offset(c) + k] = double(gumbel(word(seed, row, 1, c, k)));
    }
    return g;
}

/* ---------------------------------------------------------------------------------------------------------- the chain --- */

int Urn::total() const { return std::accumulate(m.begin(), m.end(), 0); }

int Urn::last() const {
    int place = classes() - 1;
    while (place > 0 && m[at(place)] == 0) place--;
    return place;
}

int Urn::offset(int cls) const { return std::accumulate(m.begin(), m.begin() + cls, 0) + cls; }

RowChain::RowChain(const Urn &urn, const std::vector<double> &log_omega) : urn_(urn), log_omega_(log_omega) {
    const int C = urn.classes();
    later_.assign(C, 0);
    for (int i = C - 2; i >= 0; i--) later_[i] = later_[i + 1] + urn.m[urn.at(i + 1)];

    if (urn.chain == Chain::merged) { /* [MVHG] Eq. 3 */
        for (int i = 0; i < C; i++) {
            std::vector<Real> terms;
            for (int j = i + 1; j < C; j++) {
                const int c = urn.at(j);
                if (urn.m[c] > 0) terms.push_back(log_omega[c] + logl(urn.m[c]));
            }
            log_omega_rest_.push_back(later_[i] == 0 ? 0 : log_sum_exp(terms) - logl(later_[i]));
        }
        return;
    }

    /* Suffix sums from the last place upward: S_C(0) = 1 of no classes, S_i(r) = sum_k C(m_i,k) omega_i^k S_{i+1}(r-k), with
     * the mean of every later count given that they sum to r. */
    log_suffix_.resize(C + 1);
    suffix_means_.resize(C + 1);
    log_suffix_[C] = {0};
    suffix_means_[C].assign(C, {0});
    for (int i = C - 1; i >= 1; i--) { /* no step needs the sums of all classes */
        const int c = urn.at(i), m = urn.m[c], rest = int(log_suffix_[i + 1].size()) - 1;
        log_suffix_[i].resize(m + rest + 1);
        suffix_means_[i].assign(C, std::vector<Real>(m + rest + 1, 0));
        for (int r = 0; r <= m + rest; r++) {
            const int lo = std::max(0, r - rest), hi = std::min(m, r);
            std::vector<Real> terms;
            for (int k = lo; k <= hi; k++)
                terms.push_back(log_binomial(m, k) + k * Real(log_omega[c]) + log_suffix_[i + 1][r - k]);
            const Real total = log_suffix_[i][r] = log_sum_exp(terms);
            for (int k = lo; k <= hi; k++) {
                const Real p = expl(terms[k - lo] - total);
                suffix_means_[i][c][r] += p * k;
                for (int j = i + 1; j < C; j++) {
                    const int later = urn.at(j);
                    suffix_means_[i][later][r] += p * suffix_means_[i + 1][later][r - k];
                }
            }
        }
    }
}

const RowChain &chain_of(const Urn &urn, const std::vector<double> &log_omega) {
    thread_local std::unique_ptr<RowChain> last;
    const bool same = last && last->urn().m == urn.m && last->urn().order == urn.order &&
                      last->urn().chain == urn.chain && last->log_omega() == log_omega;
    if (!same) last.reset(new RowChain(urn, log_omega));
    return *last;
}

/* Where r falls between whole counts 0..m_R of the exact chain's interpolant: left end and weight of the right end. Beyond the
 * ends the first and the last piece go on. */
static void piece(Real r, int m_rest, int *left, Real *weight) {
    *left = std::clamp(int(floorl(r)), 0, std::max(0, m_rest - 1));
    *weight = m_rest == 0 ? 0 : r - *left;
}

Real RowChain::rest(int place, Real r) const {
    if (urn_.chain == Chain::merged) return r * log_omega_rest_[place];
    const int m = later_[place];
    int a;
    Real w;
    piece(r, m, &a, &w);
    const auto at = [&](int k) { return log_suffix_[place + 1][k] - log_binomial(m, k); };
    return w == 0 ? at(a) : (1 - w) * at(a) + w * at(a + 1);
}

Real RowChain::rest_derivative(int place, Real r) const {
    if (urn_.chain == Chain::merged) return log_omega_rest_[place];
    const int m = later_[place];
    if (m == 0) return 0;
    const Real whole = roundl(r);
    if (r == whole && r > 0 && r < m) return (rest(place, r + 1) - rest(place, r - 1)) / 2;
    int a;
    Real w;
    piece(r, m, &a, &w);
    return rest(place, a + 1) - rest(place, a);
}

std::vector<Real> RowChain::rest_gradient(int place, Real r) const {
    const int C = urn_.classes(), m = later_[place];
    std::vector<Real> out(C, 0);
    int a;
    Real w;
    piece(r, m, &a, &w);
    for (int j = place + 1; j < C && m > 0; j++) {
        const int c = urn_.at(j);
        if (urn_.chain == Chain::merged)
            out[c] = r * urn_.m[c] * expl(log_omega_[c] - log_omega_rest_[place]) / m;
        else
            out[c] = (1 - w) * suffix_means_[place + 1][c][a] + w * suffix_means_[place + 1][c][a + 1];
    }
    return out;
}

Step step(const RowChain &chain, int place, Real n_i) {
    return step(chain, place, n_i, 0, std::numeric_limits<int>::max());
}

Step step(const RowChain &chain, int place, Real n_i, int first, int last) {
    const Urn &urn = chain.urn();
    const int c = urn.at(place), m = urn.m[c], m_rest = chain.later(place);
    Step s;
    s.lo = m + 1;
    for (int k = std::max(0, first); k <= std::min(m, last); k++) {
        const Real r = n_i - k;
        if (!(r > -1 && r < m_rest + 1)) continue; /* 1/Gamma vanishes at both ends */
        s.lo = std::min(s.lo, k);
        s.logit.push_back(k * Real(chain.log_omega()[c]) + chain.rest(place, r) - log_factorial(k) -
                          log_factorial(m - k) - log_factorial(r) - log_factorial(m_rest - r));
    }
    if (s.logit
            .empty()) { /* x rounded to float32 can put n_i on an open end of the range: the point beside it is left */
        s.lo = n_i > 0 ? m : 0;
        s.logit.push_back(0);
    }
    const Real total = log_sum_exp(s.logit);
    for (Real l : s.logit) s.log_p.push_back(l - total);
    return s;
}

std::vector<Real> step_slopes(const RowChain &chain, int place, Real n_i, const Step &s) {
    std::vector<Real> slope;
    for (size_t a = 0; a < s.logit.size(); a++) {
        const Real r = n_i - (s.lo + int(a));
        slope.push_back(chain.rest_derivative(place, r) - digamma(r + 1) + digamma(chain.later(place) - r + 1));
    }
    return slope;
}

std::vector<Real> step_scores(const Urn &urn, const Row &row, int place, const Step &s) {
    std::vector<Real> score(s.logit);
    if (row.gumbel.empty()) return score;
    const auto noise = row.gumbel.begin() + urn.offset(urn.at(place)) + s.lo;
    const Real most = *std::max_element(noise, noise + int(score.size()));
    for (size_t k = 0; k < score.size(); k++)
        score[k] = noise[int(k)] > kMinusInfinity ? score[k] + (noise[int(k)] - most) : kMinusInfinity;
    return score;
}

bool any_choice(const std::vector<Real> &score) {
    return *std::max_element(score.begin(), score.end()) > kMinusInfinity;
}

std::vector<Real> softmax(const std::vector<Real> &score, Real tau) {
    const Real top = *std::max_element(score.begin(), score.end());
    std::vector<Real> y(score.size());
    Real sum = 0;
    for (size_t k = 0; k < y.size(); k++) sum += y[k] = expl((score[k] - top) / tau);
    for (Real &v : y) v /= sum;
    return y;
}

/* ------------------------------------------------------------------------------------------------ forward, backward --- */

Outputs forward(const Urn &urn, const Row &row) {
    const int C = urn.classes();
    const RowChain &chain = chain_of(urn, row.log_omega);
    Outputs out;
    out.x.assign(C, 0);
    out.y.assign(urn.width(), 0);
    out.mask.assign(urn.width(), 0);
    Real left = row.n, log_p = 0;
    for (int i = 0; i < urn.last(); i++) {
        const int c = urn.at(i);
        const Step s = step(chain, i, left);
        const std::vector<Real> score = step_scores(urn, row, i, s);
        if (!any_choice(score)) {
            for (std::vector<double> *v : {&out.x, &out.y, &out.mask}) std::fill(v->begin(), v->end(), kNaN);
            out.log_p = kNaN;
            return out;
        }
        std::vector<Real> y(score.size(), 0);
        if (row.soft)
            y = softmax(score, row.tau);
        else
            y[std::max_element(score.begin(), score.end()) - score.begin()] = 1;
        Real x = 0;
        for (size_t k = 0; k < y.size(); k++) {
            x += y[k] * (s.lo + k);
            if (y[k] > 0) log_p += y[k] * s.log_p[k];
            out.y[urn.offset(c) + s.lo + k] = double(y[k]);
        }
        out.x[c] = double(x);
        left -= x;
    }
    for (int i = urn.last(); i < C; i++, left = 0) { /* classes after the last are empty */
        const int c = urn.at(i);
        out.x[c] = double(left);
        for (int k = 0; k <= urn.m[c]; k++) out.y[urn.offset(c) + k] = double(hat(k - left));
    }
    for (int c = 0; c < C; c++) {
        Real sum = 0;
        for (int k = urn.m[c]; k >= 0; k--) out.mask[urn.offset(c) + k] = double(sum += out.y[urn.offset(c) + k]);
    }
    out.log_p = double(log_p);
    return out;
}

Gradients backward(const Urn &urn, const Row &row, const std::vector<double> &x, const Upstream &up) {
    const int C = urn.classes();
    const RowChain &chain = chain_of(urn, row.log_omega);
    const auto entry = [](const std::vector<double> &v, int i) -> Real { return v.empty() ? 0 : v[i]; };
    if (std::isnan(x[0])) return {std::vector<double>(C, kNaN), kNaN};

    /* What y_c(k) receives from y and mask: dy_k + sum_{j<=k} dmask_j. */
    std::vector<std::vector<Real>> dy(C);
    for (int c = 0; c < C; c++) {
        Real sum = 0;
        for (int k = 0; k <= urn.m[c]; k++) {
            sum += entry(up.mask, urn.offset(c) + k);
            dy[c].push_back(entry(up.y, urn.offset(c) + k) + sum);
        }
    }

    std::vector<Real> dx(C), dlw(C, 0);
    for (int c = 0; c < C; c++) dx[c] = entry(up.x, c);
    Real dtau = 0;

    const int last = urn.at(urn.last());
    dx[last] += hat_slope(dy[last], x[last]);
    for (int j = 0; j < urn.last(); j++) dx[urn.at(j)] -= dx[last];

    for (int i = urn.last() - 1; i >= 0; i--) {
        const int c = urn.at(i);
        Real n_i = row.n;
        for (int j = 0; j < i; j++) n_i -= x[urn.at(j)];
        const Step s = step(chain, i, n_i);
        if (s.logit.size() == 1) continue; /* no choice, no gradient */
        const std::vector<Real> score = step_scores(urn, row, i, s);
        if (!any_choice(score)) continue; /* so it is only where x was rounded */
        const std::vector<Real> y = softmax(score, row.tau), slope = step_slopes(chain, i, n_i, s);
        /* sum_k dlogit_k = 0, so what multiplies it may be counted from anywhere: from the heaviest point nothing cancels. */
        const size_t heaviest = std::max_element(y.begin(), y.end()) - y.begin();
        const auto upstream = [&](size_t a) {
            return dy[c][s.lo + a] - dy[c][s.lo + heaviest] + dx[c] * (Real(a) - Real(heaviest)) +
                   up.log_p * (s.log_p[a] - s.log_p[heaviest]);
        };
        Real mean = 0;
        for (size_t a = 0; a < y.size(); a++) mean += y[a] > 0 ? y[a] * upstream(a) : 0;
        const std::vector<Real> dR0 = chain.rest_gradient(i, n_i - (s.lo + int(heaviest)));
        Real dn = 0;
        for (size_t a = 0; a < y.size(); a++) {
            const int k = s.lo + int(a);
            const Real dz = y[a] > 0 ? y[a] * (upstream(a) - mean) / row.tau : 0;
            const Real taken = row.soft ? y[a] : Real(k == x[c]);
            const Real dlogit = dz + up.log_p * (taken - expl(s.log_p[a]));
            if (dz != 0) dtau -= dz * (score[a] - score[heaviest]) / row.tau;
            if (dlogit == 0) continue;
            dlw[c] += (Real(a) - Real(heaviest)) * dlogit;
            const std::vector<Real> dR = chain.rest_gradient(i, n_i - k);
            for (int j = 0; j < C; j++) dlw[j] += dlogit * (dR[j] - dR0[j]);
            dn += dlogit * (slope[a] - slope[heaviest]);
        }
        for (int j = 0; j < i; j++) dx[urn.at(j)] -= dn;
    }

    Gradients g;
    for (Real v : dlw) g.log_omega.push_back(double(v));
    g.tau = double(dtau);
    return g;
}

double shortfall(const Urn &urn, const Row &row, const std::vector<double> &x) {
    const RowChain &chain = chain_of(urn, row.log_omega);
    Real left = row.n, worst = 0;
    for (int i = 0; i < urn.last(); i++) {
        const int c = urn.at(i);
        const Step s = step(chain, i, left);
        const std::vector<Real> score = step_scores(urn, row, i, s);
        const int k = int(x[c]) - s.lo;
        if (x[c] != floor(x[c]) || k < 0 || k >= int(score.size())) return std::numeric_limits<double>::infinity();
        worst = std::max(worst, *std::max_element(score.begin(), score.end()) - score[k]);
        left -= x[c];
    }
    const double last = x[urn.at(urn.last())];
    return last == double(left) ? double(worst) : std::numeric_limits<double>::infinity();
}

/* ------------------------------------------------------------------------------------------------------ exact laws --- */

double log_prob(const Urn &urn, const std::vector<double> &log_omega, int n, const std::vector<int> &x) {
    const RowChain &chain = chain_of(urn, log_omega);
    Real sum = 0;
    int left = n;
    for (int i = 0; i < urn.last(); i++) {
        const Step s = step(chain, i, left);
        const int k = x[urn.at(i)] - s.lo;
        if (k < 0 || k >= int(s.log_p.size())) return -std::numeric_limits<double>::infinity();
        sum += s.log_p[k];
        left -= x[urn.at(i)];
    }
    return x[urn.at(urn.last())] == left ? double(sum) : -std::numeric_limits<double>::infinity();
}

std::map<std::vector<int>, double> joint_pmf(const Urn &urn, const std::vector<double> &log_omega, int n) {
    const RowChain &chain = chain_of(urn, log_omega);
    std::map<std::vector<int>, double> pmf;
    std::vector<int> x(urn.classes(), 0);
    const std::function<void(int, int, Real)> visit = [&](int i, int left, Real log_p) {
        if (i == urn.last()) {
            x[urn.at(i)] = left;
            pmf[x] = double(expl(log_p));
            return;
        }
        const Step s = step(chain, i, left);
        for (size_t k = 0; k < s.log_p.size(); k++) {
            x[urn.at(i)] = s.lo + int(k);
            visit(i + 1, left - s.lo - int(k), log_p + s.log_p[k]);
        }
    };
    visit(0, n, 0);
    return pmf;
}

std::vector<std::vector<double>> marginals(const Urn &urn, const std::vector<double> &log_omega, int n) {
    const RowChain &chain = chain_of(urn, log_omega);
    const int C = urn.classes();
    std::vector<std::vector<double>> out(C);
    for (int c = 0; c < C; c++) out[c].assign(urn.m[c] + 1, 0);
    std::vector<Real> left(n + 1, 0); /* P(this many are left to draw) */
    left[n] = 1;
    for (int i = 0; i < urn.last(); i++) {
        std::vector<Real> next(n + 1, 0);
        for (int r = 0; r <= n; r++) {
            if (!(left[r] > 0)) continue;
            const Step s = step(chain, i, r);
            for (size_t a = 0; a < s.log_p.size(); a++) {
                const Real p = left[r] * expl(s.log_p[a]);
                const int k = s.lo + int(a);
                out[urn.at(i)][k] += double(p);
                next[r - k] += p;
            }
        }
        left = next;
    }
    const int last = urn.at(urn.last());
    for (int i = urn.last() + 1; i < C; i++) out[urn.at(i)][0] = 1;
    for (int k = 0; k <= std::min(n, urn.m[last]); k++) out[last][k] = double(left[k]);
    return out;
}

}  // namespace oracle
