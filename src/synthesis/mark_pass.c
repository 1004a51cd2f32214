/*
 * synthesis/mark_pass.c: branches passed around among rows that agree on a separator, so that scores rise.
 *
 * This is most of what a mark costs. What columns add is summed in registers (the number of vectors is a constant in
 * each copy of the inner loops), for some rows before any of them chooses; what the separator adds is summed once a
 * group; and what is chosen is found without a branch that depends on scores.
 */
#include "synthesis/marking_private.h"

#include "graphical/factor.h"

#include <string.h>

#define LANES MG_MARK_LANES
#define MOST_VECTORS (MG_MARK_SUBSETS / LANES + MG_MOST_PLACES / LANES)
#define MOST_VALUES (2 * MG_MOST_PLACES + 1) /* vectors of them, the last zero */
#define CHUNK 16                             /* rows whose terms are summed at a time */

#define INLINE static inline __attribute__((always_inline))

/* Numbers of vectors: constants where inlined. */
typedef struct shape
{
	uint32_t tables, places, loose;
} shape;

/* Lanes as they are read one by one. */
typedef union numbers
{
	mg_lanes v[MOST_VECTORS];
	uint16_t at[MOST_VECTORS * LANES];
} numbers;

typedef union values
{
	mg_sums v[MOST_VALUES];
	int16_t at[MOST_VALUES * LANES];
} values;

/* out = from + what the columns of a part add, for a row of these groups. */
INLINE void
sum_terms(const mg_edge *e, int part, const uint8_t *groups, uint32_t vectors, const mg_lanes *from, mg_lanes *out)
{
	const mg_terms *list = e->terms[part];
	uint32_t n = e->nterms[part];
	mg_lanes sum[MOST_VECTORS];

	for (uint32_t t = 0; t < vectors; t++)
		sum[t] = from[t];
	for (uint32_t i = 0; i < n; i++)
	{
		const mg_lanes *add = list[i].add + (size_t) groups[list[i].slot] * vectors;

		for (uint32_t t = 0; t < vectors; t++)
			sum[t] += add[t];
	}
	for (uint32_t t = 0; t < vectors; t++)
		out[t] = sum[t];
}

/* What each lane of each segment is worth to a row: the sum of its rows of the tables. */
INLINE void
sum_tables(const mg_edge *e, const uint16_t *unit, values *out)
{
	const mg_sums *table = e->table;
	mg_sums *to = out->v;

	for (uint32_t s = 0; s < e->nsegments; s++)
	{
		const uint16_t *end = unit + e->segment[s].ntables;
		mg_sums low = {0}, high = {0};

		if (e->segment[s].wide)
			for (; unit < end; unit++)
			{
				low += table[*unit];
				high += table[*unit + 1];
			}
		else
		{
			for (; unit + 1 < end; unit += 2)
			{
				low += table[unit[0]];
				high += table[unit[1]];
			}
			if (unit < end)
				low += table[*unit++];
			low += high;
		}
		*to++ = low;
		if (e->segment[s].wide)
			*to++ = high;
	}
	*to = (mg_sums){0};
}

/*
 * The score of a row's loose cells with this rest and this branch. The cells go through memory: a compiler that keeps
 * them in a vector takes them out again one by one, at several times the cost.
 */
INLINE int
score_loose(const mg_edge *e, shape v, const mg_lanes *rest, const mg_lanes *part)
{
	const int8_t *score = e->score;
	int a = 0, b = 0, c = 0, d = 0;
	numbers cell;

	for (uint32_t t = 0; t < v.loose; t++)
		cell.v[t] = rest[v.tables + t] + part[v.places + t];
	__asm__("" : "+m"(cell));
	for (uint32_t t = 0; t < e->nloose; t += 4) /* those beyond score nothing */
	{
		a += score[cell.at[t]];
		b += score[cell.at[t + 1]];
		c += score[cell.at[t + 2]];
		d += score[cell.at[t + 3]];
	}
	return a + b + c + d;
}

INLINE int
score_of(const mg_edge *e, shape v, const mg_lanes *rest, const values *worth, const mg_lanes *part)
{
	const uint16_t *place = (const uint16_t *) part, *own = place + v.places * LANES;
	const uint16_t *cell = (const uint16_t *) rest + v.tables * LANES;
	int sum = 0;

	/* beside tables there are one or two, if any: not worth a vector */
	if (v.tables > 0 && v.loose == 1)
		for (uint32_t t = 0; t < e->nloose; t++)
			sum += e->score[(uint16_t) (cell[t] + own[t])];
	else if (v.loose > 0)
		sum = score_loose(e, v, rest, part);
	for (uint32_t i = 0; v.places > 0 && i < e->nplaces; i += 4) /* those beyond are worth nothing */
		sum += (worth->at[place[i]] + worth->at[place[i + 1]]) + (worth->at[place[i + 2]] + worth->at[place[i + 3]]);
	return sum;
}

/* Some rows of a group, after the branches that are carried to them from those before. */
typedef struct chunk
{
	mg_lanes part[(MG_MOST_HAND + CHUNK) * MOST_VECTORS];
	mg_lanes rest[CHUNK * MOST_VECTORS];
	uint16_t whose[MG_MOST_HAND + CHUNK]; /* the branches: carried ones, then the rows' own */
} chunk;

INLINE void
sum_chunk(const mg_edge *e, shape v, const mg_exchange *x, const mg_lanes *base, const uint16_t *row, uint32_t n,
		  uint32_t carried, chunk *c)
{
	uint32_t outside = v.tables + v.loose, vectors = v.places + v.loose;

	for (uint32_t i = 0; i < n; i++)
	{
		const uint8_t *groups = x->row + (size_t) row[i] * x->nslots;

		sum_terms(e, MG_PART_BRANCH, groups, vectors, e->own_base, c->part + (carried + i) * vectors);
		sum_terms(e, MG_PART_REST, groups, outside, base, c->rest + i * outside);
		c->whose[carried + i] = row[i];
	}
}

/*
 * Gives a row the best of the branches hand[0 .. choices), of equal ones the last, its own, or else the first; the last
 * takes the place of what it took. Score and rank are one number, so that nothing is to be guessed.
 */
INLINE uint16_t
take_branch(const mg_edge *e, shape v, const chunk *c, uint32_t row, uint32_t *hand, uint32_t choices)
{
	const mg_lanes *rest = c->rest + row * (v.tables + v.loose);
	uint32_t vectors = v.places + v.loose, last = choices - 1, taken = hand[last];
	values worth;
	int most;

	if (v.tables > 0)
		sum_tables(e, (const uint16_t *) rest, &worth);
	most = score_of(e, v, rest, &worth, c->part + hand[last] * vectors) * 8 + 7;
	for (uint32_t i = 0; i < last; i++)
	{
		int rated = score_of(e, v, rest, &worth, c->part + hand[i] * vectors) * 8 + 6 - (int) i;

		most = rated > most ? rated : most;
	}
	for (uint32_t i = 0; i < last; i++)
	{
		uint32_t swap = (hand[i] ^ hand[last]) & -(uint32_t) ((most & 7) == 6 - (int) i);

		taken ^= swap;
		hand[i] ^= swap;
	}
	return c->whose[taken];
}

/* The branches in hand become the first of the chunk. */
INLINE void
carry(shape v, chunk *c, uint32_t *hand, uint32_t inhand)
{
	uint32_t vectors = v.places + v.loose;
	mg_lanes part[MG_MOST_HAND * MOST_VECTORS];
	uint16_t whose[MG_MOST_HAND];

	for (uint32_t i = 0; i < inhand; i++)
	{
		for (uint32_t t = 0; t < vectors; t++)
			part[i * vectors + t] = c->part[hand[i] * vectors + t];
		whose[i] = c->whose[hand[i]];
	}
	for (uint32_t i = 0; i < inhand; i++)
	{
		for (uint32_t t = 0; t < vectors; t++)
			c->part[i * vectors + t] = part[i * vectors + t];
		c->whose[i] = whose[i];
		hand[i] = i;
	}
}

/*
 * Passes branches around one group. The first rows' branches, `inhand` of them, are taken into the hand; each other row
 * takes the best of its own and those in the hand, and leaves its own there; in the end the first rows choose from what
 * is left. inhand: at most n / 2.
 */
INLINE void
pass_group(const mg_edge *e, shape v, const mg_exchange *x, const uint16_t *row, uint32_t n, uint32_t inhand)
{
	uint32_t outside = v.tables + v.loose, hand[MG_MOST_HAND + 1];
	mg_lanes base[MOST_VECTORS];
	chunk c;

	sum_terms(e, MG_PART_SEPARATOR, x->row + (size_t) row[0] * x->nslots, outside, e->base, base);
	sum_chunk(e, v, x, base, row, inhand, 0, &c);
	for (uint32_t i = 0; i < inhand; i++)
		hand[i] = i;
	for (uint32_t at = inhand; at < n; at += CHUNK)
	{
		uint32_t m = n - at < CHUNK ? n - at : CHUNK;

		sum_chunk(e, v, x, base, row + at, m, inhand, &c);
		for (uint32_t i = 0; i < m; i++)
		{
			hand[inhand] = inhand + i;
			x->from[row[at + i]] = take_branch(e, v, &c, i, hand, inhand + 1);
		}
		carry(v, &c, hand, inhand);
	}
	for (uint32_t i = 0; i < inhand; i++)
		sum_terms(e, MG_PART_REST, x->row + (size_t) row[i] * x->nslots, outside, base, c.rest + i * outside);
	for (uint32_t i = 0; i < inhand; i++)
		x->from[row[i]] = take_branch(e, v, &c, i, hand, inhand - i);
}

/* hand: a constant where inlined */
INLINE void
pass_groups(const mg_edge *e, shape v, const mg_exchange *x, uint32_t most_hand, const mg_row_groups *g)
{
	for (uint32_t i = 0; i < g->n; i++)
	{
		const uint16_t *row = g->row + g->start[i];
		uint32_t n = g->start[i + 1] - g->start[i];

		if (n >= 2 * most_hand)
			pass_group(e, v, x, row, n, most_hand);
		else if (n > 1)
			pass_group(e, v, x, row, n, most_hand == 2 ? 1 : n / 2);
		else
			x->from[row[0]] = row[0];
	}
}

/* One copy of the loops for each shape that is common: with tables, two branches in hand; without, any number. */
MG_WIDE static void
pass_all(const mg_edge *e, const mg_exchange *x, const mg_row_groups *g)
{
	shape v = {e->table_vectors, e->place_vectors, e->loose_vectors};
	uint32_t pair = x->hand == 2;

#define IF_SHAPE(t, p, l)                                                   \
	if (v.tables == t && v.places == p && v.loose == l && (t == 0 || pair)) \
	pass_groups(e, (shape){t, p, l}, x, t == 0 ? x->hand : 2, g)

	IF_SHAPE(0, 0, 1);
	else IF_SHAPE(0, 0, 2);
	else IF_SHAPE(0, 0, 3);
	else IF_SHAPE(1, 1, 0);
	else IF_SHAPE(1, 1, 1);
	else IF_SHAPE(2, 1, 0);
	else IF_SHAPE(2, 1, 1);
	else pass_groups(e, v, x, x->hand, g);
#undef IF_SHAPE
}

void
mg_edge_pass(const mg_edge *e, const mg_exchange *x, const mg_row_groups *g)
{
	pass_all(e, x, g);
}
