/* A BERT layer by AMX: products of bf16 with sums in fp32, everything between them in fp32 and AVX-512.
 *
 * Matrices that are multiplied lie in tiles of 16 x 32, each a run of memory: of states [rows / 16][width / 32][16][32],
 * of weights as the instruction wants its second operand, [out / 32][in / 32][2][16 pairs][16 columns][2]. A text has a
 * whole number of tiles of rows, so that a row of no tile belongs to two texts; what a text gives depends on no other. */
#include "int16.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef uint16_t bf16;
typedef __m512 vec;
enum { SIDE = 16, DEPTH = 32, TILE = SIDE * DEPTH, BLOCK = 16 }; /* BLOCK: tiles of rows taken through a layer at once */

static long up_to(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

/* Asks Linux for the tiles, which a process has to before it uses them; 0 where it has them. */
long amx_ready(void) { return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */); }

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

static inline void clear(void) {
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

/* c [32 rows `stride` apart][32] = two tiles of rows times two of columns, over `depth` tiles. Tiles of rows follow each
 * other in a0 and a1 (null: only the first 16 rows), those of columns are `next` apart in b0 and b1. */
static inline __attribute__((always_inline)) void multiply(
    const bf16 *a0, const bf16 *a1, const bf16 *b0, const bf16 *b1, long next, long depth, float *c, long stride) {
    clear();
    for (long k = 0; k < depth; k++) step(a0 + k * TILE, a1 + k * TILE, b0 + k * next, b1 + k * next, a1 != 0);
    store(c, stride, a1 != 0);
}

/* 32 numbers as bf16, rounded to nearest. */
static inline void put(bf16 *to, vec low, vec high) {
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* 2^x for x <= 0, relative error below 5e-6: what is finer, bf16 does not keep. Minus infinity gives 0. */
static inline vec power(vec x) {
    vec whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), f = _mm512_sub_ps(x, whole);
    vec y = _mm512_set1_ps(9.6181291e-3f);
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(5.5826318e-2f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(2.4022651e-1f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(6.9313812e-1f));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(y, whole);
}

/* 1 / x, relative error below 2^-14. */
static inline vec reciprocal(vec x) { return _mm512_rcp14_ps(x); }

/* x * Phi(x), the error function as an odd polynomial fitted up to 3, where it is 1: absolute error below 6e-5 for x of
 * -6 to 6, an eighth of what bf16 rounds 0.1 by. */
static inline vec gelu(vec x) {
    const vec bound = _mm512_set1_ps(3.0f), half = _mm512_mul_ps(x, _mm512_set1_ps(0.5f));
    vec z = _mm512_mul_ps(x, _mm512_set1_ps(0.70710678f));
    z = _mm512_max_ps(_mm512_min_ps(z, bound), _mm512_sub_ps(_mm512_setzero_ps(), bound));
    vec u = _mm512_mul_ps(z, z), y = _mm512_set1_ps(3.3318832e-8f);
    y = _mm512_fmadd_ps(y, u, _mm512_set1_ps(-1.649521e-6f));
    y = _mm512_fmadd_ps(y, u, _mm512_set1_ps(3.6183151e-5f));
    y = _mm512_fmadd_ps(y, u, _mm512_set1_ps(-4.6780586e-4f));
    y = _mm512_fmadd_ps(y, u, _mm512_set1_ps(4.0136635e-3f));
    y = _mm512_fmadd_ps(y, u, _mm512_set1_ps(-2.4441852e-2f));
    y = _mm512_fmadd_ps(y, u, _mm512_set1_ps(0.10999333f));
    y = _mm512_fmadd_ps(y, u, _mm512_set1_ps(-0.37445606f));
    y = _mm512_fmadd_ps(y, u, _mm512_set1_ps(1.1280377f));
    return _mm512_fmadd_ps(half, _mm512_mul_ps(y, z), half);
}

/* x * logistic(2 * sqrt(2 / pi) (x + 0.044715 x^3)), as in int16.c. */
static inline vec gelu_tanh(vec x) {
    const vec one = _mm512_set1_ps(1.0f);
    vec cubic = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(0.044715f), one);
    vec y = _mm512_mul_ps(_mm512_mul_ps(x, cubic), _mm512_set1_ps(1.5957691f));
    vec e = power(_mm512_mul_ps(_mm512_abs_ps(y), _mm512_set1_ps(-1.44269504f)));
    vec small = _mm512_mul_ps(e, reciprocal(_mm512_add_ps(one, e))); /* the logistic of -|y| */
    __mmask16 negative = _mm512_movepi32_mask((__m512i)y);
    return _mm512_mul_ps(x, _mm512_mask_mov_ps(_mm512_sub_ps(one, small), negative, small));
}

static inline __attribute__((always_inline)) vec activated(vec x, int then) {
    switch (then) {
    case 0: return gelu(x);
    case 1: return gelu_tanh(x);
    case 2: return _mm512_max_ps(x, _mm512_setzero_ps());
    default: return x;
    }
}

/* A block of 32 x 32 sums that waits for what follows its product. */
typedef struct {
    float c[DEPTH * DEPTH] __attribute__((aligned(64)));
    vec low, high; /* bias */
    float *sums;
    bf16 *out;
    long rows, stride, next; /* rows of `sums`; tiles of rows of `out` */
} Waiting;

/* Row r of the block: bias, and added to `sums`, or activated and put into `out`. */
static inline __attribute__((always_inline)) void finish_row(const Waiting *block, long r, int then) {
    vec x = _mm512_add_ps(_mm512_load_ps(block->c + r * DEPTH), block->low);
    vec y = _mm512_add_ps(_mm512_load_ps(block->c + r * DEPTH + SIDE), block->high);
    if (then == RESIDUAL) {
        float *place = block->sums + r * block->stride;
        _mm512_storeu_ps(place, _mm512_add_ps(x, _mm512_loadu_ps(place)));
        _mm512_storeu_ps(place + SIDE, _mm512_add_ps(y, _mm512_loadu_ps(place + SIDE)));
    } else {
        put(block->out + r / SIDE * block->next + r % SIDE * DEPTH, activated(x, then), activated(y, then));
    }
}

/* `then` is a constant in each caller, so that its branch is gone from the loops. What follows the product of a block is
 * done while the tiles of the next are multiplied: they are two units of the processor. And the weights of the columns
 * to come are called into the L2 cache meanwhile: all of a model's weights are too many for it. */
static inline __attribute__((always_inline)) void product_then(
    const Linear *linear, const bf16 *a, long tiles, int then, float *sums, bf16 *out) {
    const long depth = linear->in / DEPTH, columns = linear->out / DEPTH, each = (DEPTH + depth - 1) / depth;
    const long ahead = 2 * TILE / ((tiles + 1) / 2); /* of the next columns' weights, at each step */
    Waiting blocks[2], *before = &blocks[0], *now = &blocks[1];
    before->rows = 0;
    for (long j = 0; j < columns; j++) {
        const bf16 *b = (const bf16 *)linear->weights + j * depth * 2 * TILE, *next = b + depth * 2 * TILE;
        for (long i = 0; i < tiles; i += 2) {
            const int both = i + 1 < tiles;
            const bf16 *a0 = a + i * depth * TILE, *a1 = a0 + depth * TILE;
            clear();
            for (long k = 0, r = 0; k < depth; k++) {
                step(a0 + k * TILE, a1 + k * TILE, b + 2 * k * TILE, b + (2 * k + 1) * TILE, both);
                for (long n = 0; n < ahead; n += DEPTH) _mm_prefetch((const char *)(next + n), _MM_HINT_T1);
                next += ahead;
                for (long stop = r + each < before->rows ? r + each : before->rows; r < stop; r++)
                    finish_row(before, r, then);
            }
            store(now->c, DEPTH, both);
            now->low = _mm512_loadu_ps(linear->bias + j * DEPTH);
            now->high = _mm512_loadu_ps(linear->bias + j * DEPTH + SIDE);
            now->sums = sums + i * SIDE * linear->out + j * DEPTH;
            now->out = out + (i * columns + j) * TILE;
            now->rows = both ? 2 * SIDE : SIDE;
            now->stride = linear->out;
            now->next = columns * TILE;
            Waiting *other = before;
            before = now;
            now = other;
        }
    }
    for (long r = 0; r < before->rows; r++) finish_row(before, r, then);
}

/* The states a, `tiles` tiles of rows, times the weights, plus bias: with RESIDUAL added to `sums` [rows, out] in fp32,
 * else activated and as tiles into `out`. */
static void product_of(const Linear *linear, const bf16 *a, long tiles, int then, float *sums, bf16 *out) {
    switch (then) {
    case RESIDUAL: product_then(linear, a, tiles, RESIDUAL, sums, out); break;
    case 0: product_then(linear, a, tiles, 0, sums, out); break;
    case 1: product_then(linear, a, tiles, 1, sums, out); break;
    case 2: product_then(linear, a, tiles, 2, sums, out); break;
    default: product_then(linear, a, tiles, PLAIN, sums, out);
    }
}

/* values fp32 [tiles * 16, width] as tiles. */
static void to_tiles(const float *values, long tiles, long width, bf16 *out) {
    for (long i = 0; i < tiles; i++)
        for (long k = 0; k < width; k += DEPTH)
            for (long r = 0; r < SIDE; r++, out += DEPTH) {
                const float *place = values + (i * SIDE + r) * width + k;
                put(out, _mm512_loadu_ps(place), _mm512_loadu_ps(place + SIDE));
            }
}

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
static long attend_room(long tokens, const Shape *shape) {
    long padded = up_to(tokens, DEPTH);
    return padded * shape->head_width + padded * DEPTH + padded * DEPTH / 2;
}

/* Self-attention of one text: qkv, tiles of its rows by 3 * heads * head_width -> out, tiles by heads * head_width. */
static void attend(const bf16 *qkv, long tokens, const Shape *shape, float *room, bf16 *out) {
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
                multiply(own, both ? own + size : 0, b, b + depth * TILE, TILE, depth, scores + j, padded);
            }
            for (long r = 0; r < rows; r++) {
                long place = i * SIDE + r < tokens ? i * SIDE + r : tokens - 1;
                const float *distances = shape->distances ? shape->distances + h * (2 * shape->longest - 1) + shape->longest - 1 - place : 0;
                bf16 *to = weights + r / SIDE * (padded / DEPTH) * TILE + r % SIDE * DEPTH;
                inverse[r] = soften_to(scores + r * padded, distances, tokens, padded, to);
            }
            for (long c = 0; c < depth; c++) {
                const bf16 *a = weights, *b = values + c * 2 * TILE;
                multiply(a, both ? a + padded / DEPTH * TILE : 0, b, b + TILE, 2 * depth * TILE, padded / DEPTH, mixed, DEPTH);
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

/* Bytes of scratch for `amx_layer` on a batch of `rows` (a multiple of 16) whose longest text has `longest` tokens. */
long amx_room(long rows, long longest, const Shape *shape) {
    long wide = shape->heads * shape->head_width, block = BLOCK * SIDE * (shape->width + shape->inner);
    return sizeof(bf16) * (4 * rows * wide + block) + sizeof(float) * attend_room(longest, shape) + 64;
}

/* One layer on texts of a whole number of tiles each, in place: hidden fp32 [rows, width]. `lengths`: their tokens; rows
 * behind the last token of a text hold anything finite, and do so again. */
void amx_layer(const Layer *layer, const Shape *shape, const int64_t *lengths, long texts, long rows, float *hidden, void *room) {
    const long width = shape->width, wide = shape->heads * shape->head_width, tiles = rows / SIDE;
    uint8_t before[64] __attribute__((aligned(64))), chosen[64] __attribute__((aligned(64))) = {1};
    for (int i = 0; i < 8; i++) chosen[16 + 2 * i] = 64, chosen[48 + i] = SIDE; /* bytes of a row, and rows, of each tile */
    bf16 *qkv = room, *mixed = qkv + 3 * rows * wide, *states = mixed + rows * wide;
    bf16 *inner = states + BLOCK * SIDE * width;
    float *own = (float *)(inner + BLOCK * SIDE * shape->inner);
    _tile_storeconfig(before); /* torch's products have one of their own in this thread */
    _tile_loadconfig(chosen);
    for (long i = 0; i < tiles; i += BLOCK) {
        long count = tiles - i < BLOCK ? tiles - i : BLOCK;
        to_tiles(hidden + i * SIDE * width, count, width, states);
        product_of(&layer->qkv, states, count, PLAIN, 0, qkv + 3 * i * SIDE * wide);
    }
    for (long n = 0, start = 0; n < texts; start += up_to(lengths[n++], SIDE))
        attend(qkv + 3 * start * wide, lengths[n], shape, own, mixed + start * wide);
    for (long i = 0; i < tiles; i += BLOCK) {
        long count = tiles - i < BLOCK ? tiles - i : BLOCK;
        float *state = hidden + i * SIDE * width;
        product_of(&layer->project, mixed + i * SIDE * wide, count, RESIDUAL, state, 0);
        layer_norm(state, count * SIDE, shape, layer->gain1, layer->shift1);
        to_tiles(state, count, width, states);
        product_of(&layer->up, states, count, (int)shape->activation, 0, inner);
        product_of(&layer->down, inner, count, RESIDUAL, state, 0);
        layer_norm(state, count * SIDE, shape, layer->gain2, layer->shift2);
    }
    _tile_loadconfig(before);
}
