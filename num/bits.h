/* SPDX-License-Identifier: Apache-2.0
 * Float bit patterns: casts, the canonical NaN, distances in ulps, and the hash that goldens and fingerprints use.
 * Law: docs/arithmetic.md A-2 (any NaN equals any NaN). Threads: values.
 */
#ifndef SV_NUM_BITS_H
#define SV_NUM_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SV_NAN_BITS 0x7fc00000u

static inline uint32_t sv_bits_u32(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static inline int32_t sv_bits_i32(float f)
{
    int32_t i;
    memcpy(&i, &f, 4);
    return i;
}

static inline float sv_bits_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* The pattern with every NaN mapped to 0x7fc00000: what is compared, hashed and written. */
static inline uint32_t sv_bits_canonical(uint32_t u)
{
    return (u & 0x7fffffffu) > 0x7f800000u ? SV_NAN_BITS : u;
}

/* Equal bits, or both NaN. +0 and -0 differ. */
static inline bool sv_bits_same(float a, float b)
{
    return sv_bits_canonical(sv_bits_u32(a)) == sv_bits_canonical(sv_bits_u32(b));
}

/* Number of floats between a and b (0: equal, or both zero); UINT32_MAX when just one is NaN. */
static inline uint32_t sv_bits_ulps(float a, float b)
{
    bool an = a != a, bn = b != b;
    if (an || bn)
        return an && bn ? 0 : UINT32_MAX;
    uint32_t ua = sv_bits_u32(a), ub = sv_bits_u32(b);
    int64_t ia = ua >> 31 ? -(int64_t)(ua & 0x7fffffffu) : (int64_t)ua;
    int64_t ib = ub >> 31 ? -(int64_t)(ub & 0x7fffffffu) : (int64_t)ub;
    return (uint32_t)(ia > ib ? ia - ib : ib - ia);
}

/* FNV-1a, 64 bits, over 32-bit words (Fowler, Noll, Vo): h = SV_FNV_START; h = sv_fnv_word(h, word) for each. */
#define SV_FNV_START 0xcbf29ce484222325ull

static inline uint64_t sv_fnv_word(uint64_t h, uint32_t word)
{
    return (h ^ word) * 0x100000001b3ull;
}

/* Hash of n floats with canonical NaNs, going on from h. */
static inline uint64_t sv_fnv_floats(uint64_t h, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = sv_fnv_word(h, sv_bits_canonical(sv_bits_u32(x[i])));
    return h;
}

/* The finaliser of splitmix64 (Steele, Lea & Flood 2014). */
static inline uint64_t sv_bits_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

/* One hash for bits: sum over i of mix(mix(i + 1) + x_i) mod 2^64, NaN made canonical. A sum, so it may be made in any
 * order, by any number of threads. `first` is the index of word[0]: several tensors are hashed as one by adding their
 * hashes with the index running on. It finds faults; it is no defence against an attacker. () 0; (0) 7ab40e090f363a7d.
 * */
static inline uint64_t sv_bits_hash(const void *words, uint64_t n, uint64_t first)
{
    uint64_t h = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, (const char *)words + 4 * i, 4);
        h += sv_bits_mix(sv_bits_mix(first + i + 1) + sv_bits_canonical(u));
    }
    return h;
}

#endif
