/* The stream: Random123's known answers, cuRAND's host generator, and end to end through a draw. */
#include <dlfcn.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "golden.h"
#include "kernels/philox.h"

using namespace gurn_test;

namespace {

std::array<uint32_t, 4> library_philox(const std::array<uint32_t, 4> &counter, const std::array<uint32_t, 2> &key) {
    std::array<uint32_t, 4> out;
    gurn_philox4x32_10(counter.data(), key.data(), out.data());
    return out;
}

}  // namespace

TEST(Philox, KnownAnswers) {
    std::ifstream in(data_path("philox_known_answers.txt"));
    int lines = 0;
    for (std::string line; std::getline(in, line);) {
        if (line.empty() || line[0] == '#') continue;
        std::istringstream words(line);
        words >> std::hex;
        std::array<uint32_t, 4> counter, want;
        std::array<uint32_t, 2> key;
        for (uint32_t &w : counter) words >> w;
        for (uint32_t &w : key) words >> w;
        for (uint32_t &w : want) words >> w;
        ASSERT_FALSE(words.fail()) << line;
        EXPECT_EQ(library_philox(counter, key), want) << line;
        EXPECT_EQ(oracle::philox4x32_10(counter, key), want) << line;
        lines++;
    }
    EXPECT_EQ(lines, 3);
}

TEST(Philox, AgreesWithTheOracleAnywhere) {
    std::array<uint32_t, 4> counter = {1, 2, 3, 4};
    std::array<uint32_t, 2> key = {5, 6};
    for (int i = 0; i < 10000; i++) {
        const auto out = oracle::philox4x32_10(counter, key);
        ASSERT_EQ(library_philox(counter, key), out);
        key = {counter[0], counter[3]};
        counter = out;
    }
}

/*
 * cuRAND's host generator needs no GPU. It interleaves 65536 subsequences: after an offset of 4 * 65536 * q words, its i-th four
 * words are those of counter q in xy and subsequence i in zw (i < 65536). Its offset has 64 bits, so stream tags reach 2^14 - 1.
 */
TEST(Philox, IsTheStreamOfCurand) {
    void *library = nullptr;
    const char *named = getenv("GURN_CURAND_LIBRARY");
    const std::string beside = beside_program("libcurand.so.10");
    for (const char *path : {named, beside.c_str(), "libcurand.so.10", "libcurand.so"})
        if (!library && path && *path) library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) GTEST_SKIP() << "no cuRAND here (GURN_CURAND_LIBRARY names one): " << dlerror();
    using Generator = void *;
    const auto create = reinterpret_cast<int (*)(Generator *, int)>(dlsym(library, "curandCreateGeneratorHost"));
    const auto seed =
        reinterpret_cast<int (*)(Generator, unsigned long long)>(dlsym(library, "curandSetPseudoRandomGeneratorSeed"));
    const auto offset =
        reinterpret_cast<int (*)(Generator, unsigned long long)>(dlsym(library, "curandSetGeneratorOffset"));
    const auto generate = reinterpret_cast<int (*)(Generator, unsigned *, size_t)>(dlsym(library, "curandGenerate"));
    const auto destroy = reinterpret_cast<int (*)(Generator)>(dlsym(library, "curandDestroyGenerator"));
    ASSERT_TRUE(create && seed && offset && generate && destroy);

    const int kPhilox4x32_10 = 161; /* CURAND_RNG_PSEUDO_PHILOX4_32_10 */
    for (uint64_t key : {UINT64_C(1), UINT64_C(0x123456789abcdef0)}) {
        for (uint64_t tag : {UINT64_C(0), UINT64_C(7), UINT64_C(16383)}) {
            for (uint64_t block : {0, 1, 1000}) {
                Generator generator = nullptr;
                ASSERT_EQ(create(&generator, kPhilox4x32_10), 0);
                ASSERT_EQ(seed(generator, key), 0);
                ASSERT_EQ(offset(generator, 4 * UINT64_C(65536) * ((tag << 32) + block)), 0);
                const uint32_t rows = 500;
                std::vector<unsigned> words(4 * rows);
                ASSERT_EQ(generate(generator, words.data(), words.size()), 0);
                ASSERT_EQ(destroy(generator), 0);
                for (uint32_t row = 0; row < rows; row++)
                    for (uint32_t w = 0; w < 4; w++)
                        ASSERT_EQ(words[4 * row + w], oracle::word(key, row, 0, static_cast<uint32_t>(tag),
                                                                   static_cast<uint32_t>(4 * block + w)))
                            << "key " << key << " tag " << tag << " block " << block << " row " << row;
            }
        }
    }
    /* The library stays loaded: its run time does not like to be unloaded. */
}

/* ------------------------------------------------------------------------------------------------------- end to end --- */

class NoiseAddress : public OnTarget {};

/*
 * The oracle regenerates the noise from its address and judges every step of the library's draw. What float32 may get wrong: the
 * two table entries of a cost, 2^-24 bit each, and its linear term, 9 * 2^-23 bit (mvhg.h): 8.3e-7 nats; the roundings of E and
 * of 2^x and of their product (6 * 2^-24); for either of two points: 2 * (8.3e-7 + 3.6e-7). Float64: logits of size 1e3 nats in
 * 2^-53, a few times. A draw that falls short of the best by more than this is another draw.
 */
TEST_P(NoiseAddress, DrawsAreTheOraclesDraws) {
    const double limit = float32() ? 2.5e-6 : 1e-11;
    int64_t drawn = 0, different = 0;
    for (const uint64_t seed : {UINT64_C(1), UINT64_C(0xfedcba9876543210)}) {
        for (const uint64_t offset :
             {UINT64_C(0), (UINT64_C(1) << 32) - 20, ~UINT64_C(0) - 1000}) { /* carries into ctr.w */
            Problem p;
            p.urn.m = {20, 30, 0, 7, 40};
            p.urn.order = {3, 1, 0, 4, 2};
            p.rows = scaled(400, 40);
            p.n = 45;
            p.log_omega = {0.3, -0.4, 2.0, 1.1, 0.0};
            p.seed = seed;
            p.offset = offset;
            p.row0 = 7;
            const Answer a = forward(p, kX);
            for (int64_t b = 0; b < p.rows; b++) {
                const std::vector<double> x(a.x.begin() + 5 * b, a.x.begin() + 5 * (b + 1));
                const double shortfall = oracle::shortfall(p.urn, p.row(b, dtype()), x);
                ASSERT_TRUE(shortfall <= limit)
                    << shortfall << " seed " << seed << " offset " << offset << " row " << b;
                drawn++;
                different += shortfall > 0;
            }
        }
    }
    /* A near-tie within the limit is rarer than 1e-6 * (points near the best) a step: at most one or two among all of these. */
    EXPECT_LE(different, 2) << "of " << drawn;
}

/* {seed, offset} read from device memory override those of the call. */
TEST_P(NoiseAddress, DeviceSeedAndOffsetOverride) {
    Problem p;
    p.urn.m = {20, 30, 10};
    p.rows = 50;
    p.n = 25;
    p.log_omega = {0.3, -0.4, 0.2};
    p.seed = 42;
    p.offset = 1000;
    const Answer want = forward(p, kX);
    const Plan plan = make_plan(context(), p.urn, p.n, dtype());
    const RealArray log_omega(device(), dtype(), p.log_omega), x(device(), dtype(), 150);
    const DeviceArray<uint64_t> seed_offset(device(), {42, 1000});
    gurn_mvhg_inputs in = GURN_MVHG_INPUTS_INIT;
    in.rows = p.rows;
    in.log_omega = log_omega.data();
    in.n = p.n;
    in.noise.seed = 7;
    in.noise.offset = 5;
    in.noise.device_seed_offset = seed_offset.data();
    gurn_mvhg_outputs out = GURN_MVHG_OUTPUTS_INIT;
    out.x = x.data();
    size_t bytes = 0;
    ASSERT_EQ(gurn_mvhg_workspace(context(), plan.get(), &in, &bytes, nullptr), GURN_SUCCESS);
    const DeviceBytes workspace(device(), bytes);
    ASSERT_EQ(gurn_mvhg_forward(context(), plan.get(), &in, &out, workspace.data(), bytes), GURN_SUCCESS);
    device_synchronize(device());
    EXPECT_TRUE(same_bits(x.values(), want.x));
}

ON_ALL_TARGETS(NoiseAddress);
