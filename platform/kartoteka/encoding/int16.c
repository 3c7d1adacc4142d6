/* Linear layers in 12-bit integers.
 *
 * One vpmaddwd multiplies and adds 16 pairs of int16 where one fp32 FMA does 8; AVX-512 VNNI does 32 in one instruction.
 * Each token's state and each weight column is scaled to +-2047: 16 times finer than int8, whose vectors differ too much
 * from the fp32 ones. Integer sums are exact, so a token's result depends on its own text alone, not on the batch around
 * it, and both instructions give the same. */
#include "int16.h"

#include <string.h>

/* values [rows, width] -> levels int16 [rows, width] and the value of one level in each row. */
void quantise(const float *values, long rows, long width, int16_t *levels, float *scales) {
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    for (long r = 0; r < rows; r++, values += width, levels += width) {
        __m256 top0 = _mm256_setzero_ps(), top1 = top0;
        for (long k = 0; k < width; k += 16) {
            top0 = _mm256_max_ps(top0, _mm256_and_ps(_mm256_loadu_ps(values + k), magnitude));
            top1 = _mm256_max_ps(top1, _mm256_and_ps(_mm256_loadu_ps(values + k + 8), magnitude));
        }
        float top = max8(_mm256_max_ps(top0, top1));
        scales[r] = top / LEVELS;
        __m256 inverse = _mm256_set1_ps(top > 1e-30f ? LEVELS / top : 0.0f);
        for (long k = 0; k < width; k += 16) {
            __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(values + k), inverse));
            __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(values + k + 8), inverse));
            __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
            _mm256_storeu_si256((__m256i *)(levels + k), both);
        }
    }
}

/* sums [6 * 16] = a (6 rows, `stride` int16 apart) times b ([pairs][16][2]); pairs is a multiple of 4. */
#ifdef __AVX512VNNI__
static void tile(const int16_t *a, long stride, const int16_t *b, long pairs, int32_t *sums) {
    __m512i s[ROWS];
    for (int r = 0; r < ROWS; r++) s[r] = _mm512_setzero_si512();
    for (long k = 0; k < pairs; k++) {
        __m512i columns = _mm512_loadu_si512(b + 2 * COLUMNS * k);
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++) {
            int32_t pair;
            memcpy(&pair, a + r * stride + 2 * k, sizeof pair);
            s[r] = _mm512_dpwssd_epi32(s[r], columns, _mm512_set1_epi32(pair));
        }
    }
    for (int r = 0; r < ROWS; r++) _mm512_storeu_si512(sums + r * COLUMNS, s[r]);
}
#else
/* In assembly because compilers spill the 12 accumulators, which costs 40 %. */
#define ROW(row, at, sum0, sum1)                         \
    "vpbroadcastd " at "(" row "), %%ymm14\n\t"          \
    "vpmaddwd %%ymm12, %%ymm14, %%ymm15\n\t"             \
    "vpmaddwd %%ymm13, %%ymm14, %%ymm14\n\t"             \
    "vpaddd %%ymm15, %%ymm" sum0 ", %%ymm" sum0 "\n\t"   \
    "vpaddd %%ymm14, %%ymm" sum1 ", %%ymm" sum1 "\n\t"
#define PAIR(at, at_b)                                   \
    "vmovdqu " at_b "(%[b]), %%ymm12\n\t"                \
    "vmovdqu 32+" at_b "(%[b]), %%ymm13\n\t"             \
    ROW("%[a]", at, "0", "1")                            \
    ROW("%[a],%[s]", at, "2", "3")                       \
    ROW("%[a],%[s],2", at, "4", "5")                     \
    ROW("%[d]", at, "6", "7")                            \
    ROW("%[d],%[s]", at, "8", "9")                       \
    ROW("%[d],%[s],2", at, "10", "11")
#define CLEAR(n) "vpxor %%ymm" n ", %%ymm" n ", %%ymm" n "\n\t"
#define STORE(n, at) "vmovdqu %%ymm" n ", " at "(%[c])\n\t"

static void tile(const int16_t *a, long stride, const int16_t *b, long pairs, int32_t *sums) {
    const char *a0 = (const char *)a, *a3 = (const char *)(a + 3 * stride);
    long steps = pairs / 4;
    __asm__ volatile(
        CLEAR("0") CLEAR("1") CLEAR("2") CLEAR("3") CLEAR("4") CLEAR("5")
        CLEAR("6") CLEAR("7") CLEAR("8") CLEAR("9") CLEAR("10") CLEAR("11")
        ".p2align 5\n1:\n\t"
        PAIR("0", "0") PAIR("4", "64") PAIR("8", "128") PAIR("12", "192")
        "add $16, %[a]\n\tadd $16, %[d]\n\tadd $256, %[b]\n\tdec %[n]\n\tjnz 1b\n\t"
        STORE("0", "0") STORE("1", "32") STORE("2", "64") STORE("3", "96") STORE("4", "128") STORE("5", "160")
        STORE("6", "192") STORE("7", "224") STORE("8", "256") STORE("9", "288") STORE("10", "320") STORE("11", "352")
        : [a] "+r"(a0), [d] "+r"(a3), [b] "+r"(b), [n] "+r"(steps)
        : [s] "r"(2 * stride), [c] "r"(sums)
        : "memory", "cc", "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7", "ymm8", "ymm9", "ymm10",
          "ymm11", "ymm12", "ymm13", "ymm14", "ymm15");
}
#endif

/* 1 / (1 + e^-y) without overflow on either side. */
static inline __m256 logistic(__m256 y) {
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    __m256 e = exp2_nonpositive(_mm256_mul_ps(_mm256_or_ps(y, sign), _mm256_set1_ps(1.44269504f)));
    __m256 small = _mm256_div_ps(e, _mm256_add_ps(one, e)); /* the value at -|y| */
    return _mm256_blendv_ps(_mm256_sub_ps(one, small), small, y);
}

/* x * Phi(x): Abramowitz & Stegun 7.1.26 for the error function, absolute error below 2e-7. */
static inline __m256 gelu(__m256 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    __m256 z = _mm256_mul_ps(_mm256_andnot_ps(sign, x), _mm256_set1_ps(0.70710678f));
    __m256 t = _mm256_div_ps(one, _mm256_fmadd_ps(z, _mm256_set1_ps(0.3275911f), one));
    __m256 y = _mm256_set1_ps(1.061405429f);
    y = _mm256_fmadd_ps(y, t, _mm256_set1_ps(-1.453152027f));
    y = _mm256_fmadd_ps(y, t, _mm256_set1_ps(1.421413741f));
    y = _mm256_fmadd_ps(y, t, _mm256_set1_ps(-0.284496736f));
    y = _mm256_fmadd_ps(y, t, _mm256_set1_ps(0.254829592f));
    __m256 e = exp2_nonpositive(_mm256_mul_ps(_mm256_mul_ps(z, z), _mm256_set1_ps(-1.44269504f)));
    __m256 tail = _mm256_mul_ps(_mm256_mul_ps(_mm256_mul_ps(y, t), e), _mm256_set1_ps(0.5f)); /* Phi(-|x|) */
    return _mm256_mul_ps(x, _mm256_blendv_ps(_mm256_sub_ps(one, tail), tail, x));
}

/* x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), Hendrycks & Gimpel 2016. */
static inline __m256 gelu_tanh(__m256 x) {
    __m256 cubic = _mm256_fmadd_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(0.044715f), _mm256_set1_ps(1.0f));
    return _mm256_mul_ps(x, logistic(_mm256_mul_ps(_mm256_mul_ps(x, cubic), _mm256_set1_ps(1.5957691f))));
}

static inline __attribute__((always_inline)) __m256 finish(__m256 x, int then, const float *out) {
    switch (then) {
    case RESIDUAL: return _mm256_add_ps(x, _mm256_loadu_ps(out));
    case 0: return gelu(x);
    case 1: return gelu_tanh(x);
    case 2: return _mm256_max_ps(x, _mm256_setzero_ps());
    default: return x;
    }
}

/* `then` is a constant in each caller, so that its branch is gone from the loops. */
static inline __attribute__((always_inline)) void product_then(
    const Linear *linear, const int16_t *a, const float *scales, long rows, int then, float *out) {
    const long in = linear->in, width = linear->out;
    int32_t sums[ROWS * COLUMNS] __attribute__((aligned(64)));
    float totals[ROWS * COLUMNS] __attribute__((aligned(64)));
    for (long j = 0; j < width; j += COLUMNS)
        for (long i = 0; i < rows; i += ROWS) {
            long k = 0;
            for (; in - k > CHUNK; k += CHUNK) {
                tile(a + i * in + k, in, linear->weights + j * in + k * COLUMNS, CHUNK / 2, sums);
                for (long n = 0; n < ROWS * COLUMNS; n++) totals[n] = (k ? totals[n] : 0.0f) + (float)sums[n];
            }
            tile(a + i * in + k, in, linear->weights + j * in + k * COLUMNS, (in - k) / 2, sums);
            for (long h = 0; h < COLUMNS; h += 8) {
                __m256 scale = _mm256_loadu_ps(linear->scales + j + h), bias = _mm256_loadu_ps(linear->bias + j + h);
                for (long r = 0; r < ROWS; r++) {
                    float *place = out + (i + r) * width + j + h;
                    __m256 x = _mm256_cvtepi32_ps(_mm256_load_si256((const __m256i *)(sums + r * COLUMNS + h)));
                    if (k) x = _mm256_add_ps(x, _mm256_load_ps(totals + r * COLUMNS + h));
                    x = _mm256_fmadd_ps(x, _mm256_mul_ps(scale, _mm256_broadcast_ss(scales + i + r)), bias);
                    _mm256_storeu_ps(place, finish(x, then, place));
                }
            }
        }
}

/* out [rows, linear->out] = a times the weights, plus bias; with RESIDUAL plus what `out` held. rows: multiple of 6. */
void product(const Linear *linear, const int16_t *a, const float *scales, long rows, int then, float *out) {
    switch (then) {
    case RESIDUAL: product_then(linear, a, scales, rows, RESIDUAL, out); break;
    case 0: product_then(linear, a, scales, rows, 0, out); break;
    case 1: product_then(linear, a, scales, rows, 1, out); break;
    case 2: product_then(linear, a, scales, rows, 2, out); break;
    default: product_then(linear, a, scales, rows, PLAIN, out);
    }
}
