/* Self-attention by AMX: scores and sums of values are products of tiles, the softmax between them is AVX-512 in fp32. */
#include "amx.h"

#include <string.h>

/* A tile of 16 keys as the second operand: [16 pairs of components][16 keys][2], a transposed matrix of 32-bit words. */
static void transpose(const bf16 *from, bf16 *to) {
    __m512i r[SIDE], t[SIDE];
    for (int i = 0; i < SIDE; i++) r[i] = _mm512_loadu_si512(from + i * DEPTH);
    for (int i = 0; i < SIDE; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < SIDE; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        _mm512_storeu_si512(to + i * DEPTH, _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88));
        _mm512_storeu_si512(to + (i + 8) * DEPTH, _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd));
    }
}

/* 32 values (two tiles of 16 rows; the second null: zeros) as two second operands: [16 pairs of keys][16 columns][2]. */
static void interleave(const bf16 *first, const bf16 *second, bf16 *to) {
    __m512i low, high;
    for (int i = 0; i < 32; i++) {
        ((uint16_t *)&low)[i] = i / 2 + i % 2 * 32;
        ((uint16_t *)&high)[i] = 16 + i / 2 + i % 2 * 32;
    }
    for (long t = 0; t < SIDE; t++) {
        const bf16 *own = t < SIDE / 2 ? first : second;
        __m512i even = _mm512_setzero_si512(), odd = even;
        if (own) {
            even = _mm512_loadu_si512(own + (2 * t % SIDE) * DEPTH);
            odd = _mm512_loadu_si512(own + (2 * t % SIDE + 1) * DEPTH);
        }
        _mm512_storeu_si512(to + t * DEPTH, _mm512_permutex2var_epi16(even, low, odd));
        _mm512_storeu_si512(to + TILE + t * DEPTH, _mm512_permutex2var_epi16(even, high, odd));
    }
}

/* The scores [padded] of a query -> 2^(score - largest) of its `tokens` keys as bf16, 32 in a row of each tile of
 * `weights`; returns 1 / their sum. `distances`: null, or what is added to the score of each key. */
static float soften_to(float *scores, const float *distances, long tokens, long padded, bf16 *weights) {
    vec top = _mm512_set1_ps(-1e30f);
    for (long j = 0; j < padded; j += SIDE) {
        __mmask16 real = tokens - j >= SIDE ? 0xffff : tokens > j ? (1 << (tokens - j)) - 1 : 0;
        vec x = _mm512_mask_loadu_ps(_mm512_set1_ps(-1e30f), real, scores + j);
        if (distances) x = _mm512_mask_add_ps(x, real, x, _mm512_maskz_loadu_ps(real, distances + j));
        _mm512_storeu_ps(scores + j, x);
        top = _mm512_max_ps(top, x);
    }
    top = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    vec sum0 = _mm512_setzero_ps(), sum1 = sum0;
    for (long j = 0; j < padded; j += DEPTH, weights += TILE) {
        vec x = power(_mm512_sub_ps(_mm512_loadu_ps(scores + j), top));
        vec y = power(_mm512_sub_ps(_mm512_loadu_ps(scores + j + SIDE), top));
        sum0 = _mm512_add_ps(sum0, x);
        sum1 = _mm512_add_ps(sum1, y);
        put(weights, x, y);
    }
    return 1.0f / _mm512_reduce_add_ps(_mm512_add_ps(sum0, sum1));
}

/* Floats of scratch that `attend` wants for a text: keys and values, scores of 32 queries and their weights. */
long attend_room(long tokens, const Shape *shape) {
    long padded = up_to(tokens, DEPTH);
    return padded * shape->head_width + padded * DEPTH + padded * DEPTH / 2;
}

/* Self-attention of one text: qkv, tiles of its rows by 3 * heads * head_width -> out, tiles by heads * head_width. */
void attend(const bf16 *qkv, long tokens, const Shape *shape, float *room, bf16 *out) {
    const long depth = shape->head_width / DEPTH, wide = shape->heads * depth, padded = up_to(tokens, DEPTH);
    const long tiles = up_to(tokens, SIDE) / SIDE, size = 3 * wide * TILE;
    float *scores = room, inverse[DEPTH], mixed[DEPTH * DEPTH] __attribute__((aligned(64)));
    bf16 *weights = (bf16 *)(scores + padded * DEPTH), *keys = weights + padded * DEPTH, *values = keys + padded * shape->head_width;
    for (long h = 0; h < shape->heads; h++) {
        const bf16 *q = qkv + h * depth * TILE, *k = q + wide * TILE, *v = k + wide * TILE;
        for (long t = 0; t < padded / SIDE; t++)
            for (long c = 0; c < depth; c++) {
                bf16 *to = keys + (t * depth + c) * TILE;
                if (t < tiles) transpose(k + t * size + c * TILE, to);
                else memset(to, 0, sizeof(bf16) * TILE);
            }
        for (long t = 0; t < tiles; t += 2)
            for (long c = 0; c < depth; c++) {
                const bf16 *first = v + t * size + c * TILE;
                interleave(first, t + 1 < tiles ? first + size : 0, values + (t / 2 * depth + c) * 2 * TILE);
            }
        for (long i = 0; i < tiles; i += 2) {
            const int both = i + 1 < tiles;
            const long rows = both ? 2 * SIDE : SIDE;
            const bf16 *own = q + i * size;
            for (long j = 0; j < padded; j += DEPTH) {
                const bf16 *b = keys + j / SIDE * depth * TILE;
                multiply(own, size, both, b, b + depth * TILE, TILE, depth, scores + j, padded);
            }
            for (long r = 0; r < rows; r++) {
                long place = i * SIDE + r < tokens ? i * SIDE + r : tokens - 1;
                const float *distances = shape->distances ? shape->distances + h * (2 * shape->longest - 1) + shape->longest - 1 - place : 0;
                bf16 *to = weights + r / SIDE * (padded / DEPTH) * TILE + r % SIDE * DEPTH;
                inverse[r] = soften_to(scores + r * padded, distances, tokens, padded, to);
            }
            for (long c = 0; c < depth; c++) {
                const bf16 *b = values + c * 2 * TILE;
                multiply(weights, padded / DEPTH * TILE, both, b, b + TILE, 2 * depth * TILE, padded / DEPTH, mixed, DEPTH);
                for (long r = 0; r < rows; r++) {
                    vec scale = _mm512_set1_ps(inverse[r]), x = _mm512_load_ps(mixed + r * DEPTH);
                    vec y = _mm512_load_ps(mixed + r * DEPTH + SIDE);
                    bf16 *place = out + ((i + r / SIDE) * wide + h * depth + c) * TILE + r % SIDE * DEPTH;
                    put(place, _mm512_mul_ps(x, scale), _mm512_mul_ps(y, scale));
                }
            }
        }
    }
}
