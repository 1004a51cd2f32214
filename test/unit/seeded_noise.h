/* test/unit/seeded_noise.h: a seedable source of noise. It exists in test objects only. */
#ifndef MIRAGE_TEST_SEEDED_NOISE_H
#define MIRAGE_TEST_SEEDED_NOISE_H

#include "privacy/noise.h"

/* Freed by mg_noise_destroy; aborts the test program when there is no memory. */
mg_noise *seeded_noise(uint64_t seed);

/* A source that hands out words[0..count-1] and then repeats the last of them for ever: for broken sources and for
 * driving a sampler into a branch. `words` must outlive the handle. */
mg_noise *scripted_noise(const uint64_t *words, size_t count);

#endif
