/* What our kernels share. All matrices of the int16 ones are row-major; widths are padded to 16 with zeros. */
#ifndef KARTOTEKA_INT16_H
#define KARTOTEKA_INT16_H

#include <immintrin.h>
#include <stdint.h>

enum { ROWS = 6, COLUMNS = 16, LEVELS = 2047, CHUNK = 512 };
/* No int32 overflow in a chunk of a sum: LEVELS * LEVELS * CHUNK < 2^31. */

typedef struct {
    const int16_t *weights; /* [out / 16][in / 2][16][2], each output quantised to +-LEVELS; by AMX tiles of bf16 */
    const float *scales;    /* [out], value of one level; by AMX null */
    const float *bias;      /* [out] */
    long in, out;
} Linear;

typedef struct {
    Linear qkv, project, up, down;
    const float *gain1, *shift1, *gain2, *shift2; /* layer norms after attention and after the inner layer */
} Layer;

typedef struct {
    long width;      /* of a token's state, padded */
    long true_width; /* without padding */
    long inner, heads, head_width;
    long activation; /* 0: gelu (erf), 1: gelu (tanh), 2: relu */
    float eps;
    const float *distances; /* MPNet's, else null: [heads][2 * longest - 1], added to the score of a query and a key by
                             * how far behind it the key stands; times log2(e) */
    long longest;
} Shape;

enum { PLAIN = -1, RESIDUAL = -2 }; /* what follows a product; otherwise one of Shape.activation */

void quantise(const float *values, long rows, long width, int16_t *levels, float *scales);
void product(const Linear *linear, const int16_t *a, const float *scales, long rows, int then, float *out);
void layer_norm(float *values, long rows, const Shape *shape, const float *gain, const float *shift);
void attention(const float *qkv, long tokens, const Shape *shape, float *room, float *out);
long attention_room(long tokens, const Shape *shape);

/* 2^x for x <= 0, relative error about 2e-7: range reduction to [-1/2, 1/2] and the Taylor series of degree 6. */
static inline __m256 exp2_nonpositive(__m256 x) {
    x = _mm256_max_ps(x, _mm256_set1_ps(-126.0f));
    __m256 whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 f = _mm256_sub_ps(x, whole);
    __m256 y = _mm256_set1_ps(1.5403530e-4f);
    y = _mm256_fmadd_ps(y, f, _mm256_set1_ps(1.3333558e-3f));
    y = _mm256_fmadd_ps(y, f, _mm256_set1_ps(9.6181291e-3f));
    y = _mm256_fmadd_ps(y, f, _mm256_set1_ps(5.5504109e-2f));
    y = _mm256_fmadd_ps(y, f, _mm256_set1_ps(2.4022651e-1f));
    y = _mm256_fmadd_ps(y, f, _mm256_set1_ps(6.9314718e-1f));
    y = _mm256_fmadd_ps(y, f, _mm256_set1_ps(1.0f));
    __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(y), exponent));
}

static inline float sum8(__m256 x) {
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}

static inline float max8(__m256 x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

#endif
