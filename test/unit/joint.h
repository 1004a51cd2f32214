/*
 * test/unit/joint.h: the oracle of tests of graphical models: the joint table in full, cell by cell. It shares nothing
 * with what it judges. MOST columns; a joint has the last column fastest.
 */
#ifndef MIRAGE_TEST_JOINT_H
#define MIRAGE_TEST_JOINT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MOST 16

typedef struct joint
{
	uint32_t n;
	const uint32_t *size;
	size_t cells;
} joint;

static inline joint
whole(const uint32_t *size, uint32_t n)
{
	joint j = {n, size, 1};

	for (uint32_t i = 0; i < n; i++)
		j.cells *= size[i];
	return j;
}

/* The codes of cell x, the last column fastest. */
static inline void
codes_of(const joint *j, size_t x, uint32_t *code)
{
	for (uint32_t i = j->n; i-- > 0;)
	{
		code[i] = (uint32_t) (x % j->size[i]);
		x /= j->size[i];
	}
}

static inline size_t
cell_of(const uint32_t *cols, uint32_t k, const uint32_t *size, const uint32_t *code)
{
	size_t x = 0;

	for (uint32_t i = 0; i < k; i++)
		x = x * size[cols[i]] + code[cols[i]];
	return x;
}

/* The cell over cols, of all n, that cell x of the joint falls into. */
static inline size_t
cell_under(const uint32_t *size, uint32_t n, size_t x, const uint32_t *cols, uint32_t k)
{
	joint j = {n, size, 0};
	uint32_t code[MOST];

	codes_of(&j, x, code);
	return cell_of(cols, k, size, code);
}

static inline void
oracle_marginal(const joint *j, const double *p, const uint32_t *cols, uint32_t k, double *out, size_t cells)
{
	uint32_t code[MOST];

	memset(out, 0, cells * sizeof(*out));
	for (size_t x = 0; x < j->cells; x++)
	{
		codes_of(j, x, code);
		out[cell_of(cols, k, j->size, code)] += p[x];
	}
}

#endif
