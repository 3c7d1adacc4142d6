/* Tiles of bf16 and what is done with them: what products and attention by AMX share.
 *
 * Matrices that are multiplied lie in tiles of 16 x 32, each a run of memory: of states [rows / 16][width / 32][16][32],
 * of weights as the instruction wants its second operand, [out / 32][in / 32][2][16 pairs][16 columns][2]. A text has a
 * whole number of tiles of rows, so that no tile belongs to two texts; what a text gives depends on no other. */
#ifndef KARTOTEKA_AMX_H
#define KARTOTEKA_AMX_H

#include "int16.h"

typedef uint16_t bf16;
typedef __m512 vec;
enum { SIDE = 16, DEPTH = 32, TILE = SIDE * DEPTH };

long attend_room(long tokens, const Shape *shape);
void attend(const bf16 *qkv, long tokens, const Shape *shape, float *room, bf16 *out);

static inline long up_to(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

/* Sums in tiles 0 to 3 of two tiles of rows, at a0 and a1 (without `both`: of the first), times two of columns. */
static inline __attribute__((always_inline)) void step(
    const bf16 *a0, const bf16 *a1, const bf16 *b0, const bf16 *b1, int both) {
    _tile_loadd(4, a0, 64);
    _tile_loadd(6, b0, 64);
    _tile_loadd(7, b1, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (both) {
        _tile_loadd(5, a1, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

/* What was written is in memory before tiles are loaded: their intrinsics do not tell the compiler that they read it. */
static inline void written(void) { __asm__ volatile("" ::: "memory"); }

/* No sums yet. */
static inline void clear(void) {
    written();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* The sums to c, rows `stride` apart. */
static inline void store(float *c, long stride, int both) {
    _tile_stored(0, c, 4 * stride);
    _tile_stored(1, c + SIDE, 4 * stride);
    if (both) {
        _tile_stored(2, c + SIDE * stride, 4 * stride);
        _tile_stored(3, c + SIDE * stride + SIDE, 4 * stride);
    }
}

/* c [32 rows `stride` apart][32] = two tiles of rows (without `both`: one) times two of columns, over `depth` tiles. Tiles
 * of rows follow each other from a on, the second row's after `apart`; those of columns are `next` apart in b0 and b1. */
static inline __attribute__((always_inline)) void multiply(
    const bf16 *a, long apart, int both, const bf16 *b0, const bf16 *b1, long next, long depth, float *c, long stride) {
    const bf16 *second = both ? a + apart : a;
    clear();
    for (long k = 0; k < depth; k++) step(a + k * TILE, second + k * TILE, b0 + k * next, b1 + k * next, both);
    store(c, stride, both);
}

/* 32 numbers as bf16, rounded to nearest. */
static inline void put(bf16 *to, vec low, vec high) {
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* 2^x for x <= 0, relative error below 6e-6: what is finer, bf16 does not keep. Minus infinity gives 0. */
static inline vec power(vec x) {
    vec whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), f = _mm512_sub_ps(x, whole);
    vec y = _mm512_set1_ps(9.6181291e-3f);
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(5.5826318e-2f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(2.4022651e-1f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(6.9313812e-1f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(y, whole);
}

#endif
