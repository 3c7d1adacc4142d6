/* The rest of a BERT layer: attention in fp32, layer norm, and the order of things. */
#include "int16.h"

#include <string.h>

enum { BLOCK = 48, HEAD = 32 }; /* tokens taken through the inner layer at once (they fit the L2 cache); V's panel */

static long up_to(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

/* Floats of scratch that `attention` wants for a text: keys, values and the scores of 6 queries. */
long attention_room(long tokens, const Shape *shape) {
    long padded = up_to(tokens, COLUMNS);
    return padded * (up_to(shape->head_width, 8) + up_to(shape->head_width, HEAD) + ROWS);
}

/* scores[6][padded] = queries (6 rows `stride` apart) times keys ([padded / 16][head][16]). */
static void score(const float *const q[ROWS], const float *keys, long head, long padded, float *scores) {
    for (long j = 0; j < padded; j += COLUMNS, keys += head * COLUMNS) {
        __m256 s[ROWS][2];
        for (int r = 0; r < ROWS; r++) s[r][0] = s[r][1] = _mm256_setzero_ps();
        for (long k = 0; k < head; k++) {
            __m256 k0 = _mm256_loadu_ps(keys + k * COLUMNS), k1 = _mm256_loadu_ps(keys + k * COLUMNS + 8);
#pragma GCC unroll 6
            for (int r = 0; r < ROWS; r++) {
                __m256 x = _mm256_broadcast_ss(q[r] + k);
                s[r][0] = _mm256_fmadd_ps(x, k0, s[r][0]);
                s[r][1] = _mm256_fmadd_ps(x, k1, s[r][1]);
            }
        }
        for (int r = 0; r < ROWS; r++) {
            _mm256_storeu_ps(scores + r * padded + j, s[r][0]);
            _mm256_storeu_ps(scores + r * padded + j + 8, s[r][1]);
        }
    }
}

/* Adds to the scores [tokens] of the query at `place` what `distances` says of its keys. */
static void add_distances(const float *distances, long longest, long place, long tokens, float *scores) {
    const float *own = distances + longest - 1 - place;
    for (long j = 0; j < tokens; j++) scores[j] += own[j];
}

/* scores -> 2^(score - largest), in place; returns 1 / their sum. */
static float soften(float *scores, long tokens, long padded) {
    for (long j = tokens; j < padded; j++) scores[j] = -1e30f;
    __m256 top = _mm256_loadu_ps(scores);
    for (long j = 8; j < padded; j += 8) top = _mm256_max_ps(top, _mm256_loadu_ps(scores + j));
    top = _mm256_set1_ps(max8(top));
    __m256 total = _mm256_setzero_ps();
    for (long j = 0; j < padded; j += 8) {
        __m256 e = exp2_nonpositive(_mm256_sub_ps(_mm256_loadu_ps(scores + j), top));
        total = _mm256_add_ps(total, e);
        _mm256_storeu_ps(scores + j, e);
    }
    return 1.0f / sum8(total);
}

/* out[3][32] = weights (3 rows `padded` apart) times values ([tokens][32]), times `inverse`. */
static void mix(const float *weights, long padded, const float *values, long tokens, const float *inverse, float out[3][HEAD]) {
    __m256 o[3][4];
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 4; c++) o[r][c] = _mm256_setzero_ps();
    for (long t = 0; t < tokens; t++) {
        __m256 v0 = _mm256_loadu_ps(values + t * HEAD), v1 = _mm256_loadu_ps(values + t * HEAD + 8);
        __m256 v2 = _mm256_loadu_ps(values + t * HEAD + 16), v3 = _mm256_loadu_ps(values + t * HEAD + 24);
#pragma GCC unroll 3
        for (int r = 0; r < 3; r++) {
            __m256 x = _mm256_broadcast_ss(weights + r * padded + t);
            o[r][0] = _mm256_fmadd_ps(x, v0, o[r][0]);
            o[r][1] = _mm256_fmadd_ps(x, v1, o[r][1]);
            o[r][2] = _mm256_fmadd_ps(x, v2, o[r][2]);
            o[r][3] = _mm256_fmadd_ps(x, v3, o[r][3]);
        }
    }
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 4; c++) _mm256_storeu_ps(&out[r][8 * c], _mm256_mul_ps(o[r][c], _mm256_set1_ps(inverse[r])));
}

/* Self-attention of one text: qkv [tokens, 3 * width] -> out [tokens, width]. The queries' weights already carry
 * log2(e) / sqrt(head_width), so that softmax is a power of two. */
void attention(const float *qkv, long tokens, const Shape *shape, float *room, float *out) {
    const long head = shape->head_width, width = shape->width, stride = 3 * width;
    const long padded = up_to(tokens, COLUMNS), panels = up_to(head, HEAD) / HEAD;
    float *keys = room, *values = keys + padded * up_to(head, 8), *scores = values + padded * panels * HEAD;
    float mixed[3][HEAD], inverse[ROWS];
    for (long h = 0; h < shape->heads; h++) {
        const float *q = qkv + h * head, *k = q + width, *v = k + width;
        for (long t = 0; t < padded; t++) /* beyond the text: zeros, masked in `soften` */
            for (long c = 0; c < head; c++)
                keys[(t / COLUMNS * head + c) * COLUMNS + t % COLUMNS] = t < tokens ? k[t * stride + c] : 0.0f;
        memset(values, 0, sizeof(float) * padded * panels * HEAD);
        for (long p = 0; p < panels; p++)
            for (long t = 0; t < tokens; t++) {
                long count = head - p * HEAD < HEAD ? head - p * HEAD : HEAD;
                memcpy(values + (p * padded + t) * HEAD, v + t * stride + p * HEAD, sizeof(float) * count);
            }
        for (long i = 0; i < tokens; i += ROWS) {
            const float *rows[ROWS]; /* past the end the last query is repeated and its result dropped */
            for (long r = 0; r < ROWS; r++) rows[r] = q + (i + r < tokens ? i + r : tokens - 1) * stride;
            score(rows, keys, head, padded, scores);
            for (long r = 0; shape->distances && r < ROWS && i + r < tokens; r++) {
                const float *of_head = shape->distances + h * (2 * shape->longest - 1);
                add_distances(of_head, shape->longest, i + r, tokens, scores + r * padded);
            }
            for (long r = 0; r < ROWS; r++) inverse[r] = soften(scores + r * padded, tokens, padded);
            for (long r = 0; r < ROWS && i + r < tokens; r += 3)
                for (long p = 0; p < panels; p++) {
                    mix(scores + r * padded, padded, values + p * padded * HEAD, tokens, inverse + r, mixed);
                    long count = head - p * HEAD < HEAD ? head - p * HEAD : HEAD;
                    for (long n = 0; n < 3 && i + r + n < tokens; n++)
                        memcpy(out + (i + r + n) * width + h * head + p * HEAD, mixed[n], sizeof(float) * count);
                }
        }
    }
}

/* Rows of values [rows, width] to mean 0 and variance 1, times gain plus shift, in place. Padding stays zero. */
void layer_norm(float *values, long rows, const Shape *shape, const float *gain, const float *shift) {
    const long width = shape->width;
    const float count = (float)shape->true_width, padding = (float)(width - shape->true_width);
    for (long r = 0; r < rows; r++, values += width) {
        __m256 total = _mm256_setzero_ps(), squares = total;
        for (long k = 0; k < width; k += 8) total = _mm256_add_ps(total, _mm256_loadu_ps(values + k));
        float mean = sum8(total) / count;
        __m256 centre = _mm256_set1_ps(mean);
        for (long k = 0; k < width; k += 8) {
            __m256 x = _mm256_sub_ps(_mm256_loadu_ps(values + k), centre);
            squares = _mm256_fmadd_ps(x, x, squares);
        }
        float variance = (sum8(squares) - padding * mean * mean) / count;
        __m256 inverse = _mm256_div_ps(_mm256_set1_ps(1.0f), _mm256_sqrt_ps(_mm256_set1_ps(variance + shape->eps)));
        for (long k = 0; k < width; k += 8) {
            __m256 x = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(values + k), centre), inverse);
            _mm256_storeu_ps(values + k, _mm256_fmadd_ps(x, _mm256_loadu_ps(gain + k), _mm256_loadu_ps(shift + k)));
        }
    }
}

/* Bytes of scratch for `run_layer` on a batch of `tokens` (a multiple of 6) whose longest text has `longest`. */
long layer_room(long tokens, long longest, const Shape *shape) {
    long wide = shape->inner > shape->width ? shape->inner : shape->width;
    return 4 * (tokens * 4 * shape->width + attention_room(longest, shape) + BLOCK * (shape->inner + 1)) + 2 * BLOCK * wide + 64;
}

/* One layer on packed texts, in place: hidden [tokens, width]; rows past the last text are padding to a multiple of 6. */
void run_layer(const Layer *layer, const Shape *shape, const int64_t *lengths, long texts, long tokens, float *hidden, float *room) {
    const long width = shape->width;
    float *qkv = room, *mixed = qkv + tokens * 3 * width, *inner = mixed + tokens * width;
    float *scales = inner + BLOCK * shape->inner, *own = scales + BLOCK;
    for (long i = 0; i < tokens; i += BLOCK) {
        long rows = tokens - i < BLOCK ? tokens - i : BLOCK;
        int16_t *levels = (int16_t *)own;
        quantise(hidden + i * width, rows, width, levels, scales);
        product(&layer->qkv, levels, scales, rows, PLAIN, qkv + i * 3 * width);
    }
    /* What attention leaves alone must be zero: it counts when a row is scaled. */
    if (width > shape->true_width) memset(mixed, 0, sizeof(float) * tokens * width);
    long start = 0;
    for (long n = 0; n < texts; start += lengths[n++])
        attention(qkv + start * 3 * width, lengths[n], shape, own, mixed + start * width);
    memset(mixed + start * width, 0, sizeof(float) * (tokens - start) * width);
    for (long i = 0; i < tokens; i += BLOCK) {
        long rows = tokens - i < BLOCK ? tokens - i : BLOCK;
        int16_t *levels = (int16_t *)own;
        float *state = hidden + i * width;
        quantise(mixed + i * width, rows, width, levels, scales);
        product(&layer->project, levels, scales, rows, RESIDUAL, state);
        layer_norm(state, rows, shape, layer->gain1, layer->shift1);
        quantise(state, rows, width, levels, scales);
        product(&layer->up, levels, scales, rows, (int)shape->activation, inner);
        quantise(inner, rows, shape->inner, levels, scales);
        product(&layer->down, levels, scales, rows, RESIDUAL, state);
        layer_norm(state, rows, shape, layer->gain2, layer->shift2);
    }
}
