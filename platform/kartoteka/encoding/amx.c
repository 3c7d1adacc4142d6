/* A BERT layer by AMX: products of bf16 with sums in fp32, everything between them in fp32 and AVX-512. */
#include "amx.h"

#include <sys/syscall.h>
#include <unistd.h>

enum { BLOCK = 16 }; /* tiles of rows taken through a layer at once */

/* Asks Linux for the tiles, which a process has to before it uses them; 0 where it has them. */
long amx_ready(void) { return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */); }

/* 1 / x, relative error below 2^-14. */
static inline vec reciprocal(vec x) { return _mm512_rcp14_ps(x); }

/* x * Phi(x), the error function as an odd polynomial fitted up to 3, where it is 1: absolute error below 6e-5 for x of
 * -6 to 6, an eighth of the step from 0.1 to the next bf16. */
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
            const bf16 *a0 = a + i * depth * TILE, *a1 = both ? a0 + depth * TILE : a0;
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
            if (then == RESIDUAL) now->sums = sums + i * SIDE * linear->out + j * DEPTH;
            else now->out = out + (i * columns + j) * TILE;
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

/* Bytes of scratch for `amx_layer` on a batch of `rows` (a multiple of 16) whose longest text has `longest` tokens. */
long amx_room(long rows, long longest, const Shape *shape) {
    long wide = shape->heads * shape->head_width, block = BLOCK * SIDE * (shape->width + shape->inner);
    return sizeof(bf16) * (4 * rows * wide + block) + sizeof(float) * attend_room(longest, shape);
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
    written();
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
    written();
    _tile_loadconfig(before);
}
