/*
 * synthesis/mark_trial.c: a plan on trial, with keys that everyone knows.
 *
 * Rows are made with such keys as emission will make them, a large batch and a small one a key, and the detector looks
 * for the keys in extracts of the large ones, and by halves of the columns of the small. Three things come out: how
 * much a rare cell of each subset tells, which the plan keeps for the detector; what the mark costs (mark_cost.c); and
 * how surely it is found in few rows out of many and in few columns. By the latter two mark_plan.c chooses the gate. It
 * is no part of the proof of the p-value: keys of rows that leave are others, and secret.
 *
 * What lasts is the subsets' `tells`; all else is in the maker's memory or dies with a trial.
 */
#include "synthesis/mark_maker.h"

#include "watermark/detect.h"

#include <math.h>
#include <string.h>

#define TRIED_KEYS 4
#define SMALL 3000 /* rows of the small batch */
#define HALVES 512 /* of the columns, that it is left with */
#define SURE 6     /* z that counts as found there */
#define SEED UINT64_C(0x6d61726b74726965)
#define EXTRACT 300
#define EXTRACTS 6 /* of the large batch, spread over it */
#define STRIDE (MG_BATCH_ROWS / (EXTRACT * EXTRACTS))

/* What rare cells did. */
typedef struct tally
{
	double sum;  /* of the signs of both keys, halved */
	double seen; /* rare cells */
} tally;

typedef struct trial
{
	mg_arena *arena;
	uint8_t key[TRIED_KEYS][2][MG_KEY_BYTES]; /* the model's, the recipient's */
	uint8_t **large[TRIED_KEYS];              /* [ncolumns][EXTRACT * EXTRACTS] groups, out of the large batch */
	uint8_t **small[TRIED_KEYS];              /* [ncolumns][SMALL] */
	const uint8_t **at;                       /* [ncolumns] from a row on */
	bool *present;                            /* [ncolumns] */
	bool *whole;                              /* [HALVES * nsubsets] are the subset's columns in the half? */
	mg_detection_part *part;                  /* [nsubsets] */
	tally *tally;                             /* [nsubsets] */
	mg_mark *mark[TRIED_KEYS];
	mg_stream *stream[TRIED_KEYS];
} trial;

static void
add_signs(const maker *k, const mg_mark *mark, uint8_t *const *group, uint32_t rows, tally *t)
{
	for (uint32_t i = 0; i < k->plan->nsubsets; i++)
	{
		const mg_mark_subset *s = &k->plan->subset[i];
		const int8_t *score = mark->score + s->first;
		int64_t sum = 0, seen = 0;

		mg_maker_cells(k, group, s->cols, s->k, rows, k->at);
		for (uint32_t r = 0; r < rows; r++)
		{
			sum += score[k->at[r]];
			seen += s->q[k->at[r]] != MG_MARK_FREQUENT;
		}
		t[i].sum += (double) sum / (2.0 * s->weight);
		t[i].seen += (double) seen;
	}
}

static mg_code
open_streams(mg_ctx *ctx, const maker *k, trial *t)
{
	for (uint32_t i = 0; i < TRIED_KEYS; i++)
	{
		MG_TRY(mg_mark_create(ctx, k->plan, t->key[i][0], t->key[i][1], &t->mark[i]));
		MG_TRY(mg_stream_create(ctx, k->model, t->key[i][0], &t->stream[i]));
		MG_TRY(mg_stream_mark(ctx, t->stream[i], t->mark[i]));
	}
	return MG_OK;
}

/* Marks a batch, whose groups are left in k->group. plain: what it is away from the model before is added to it. */
static mg_code
mark_rows(mg_ctx *ctx, maker *k, trial *t, uint32_t number, uint32_t rows, double *plain)
{
	mg_stream *s = t->stream[number];
	mg_rng rng;

	mg_rng_seed(&rng, (uint64_t) number << 32 | rows);
	MG_TRY(s->sampler->batch(ctx, s->sampler, &rng, mg_mark_pool(s->marker, rows), s->codes));
	if (plain != NULL)
	{
		mg_maker_groups(k, s->codes, rows);
		*plain += mg_maker_distance(k);
	}
	MG_TRY(mg_mark_batch(ctx, s, &rng, rows));
	mg_maker_groups(k, s->codes, rows);
	add_signs(k, t->mark[number], k->group, rows, t->tally);
	return MG_OK;
}

/* The unmarked batches are the same in every trial. */
static mg_code
mark_large(mg_ctx *ctx, maker *k, trial *t, double *cost)
{
	double marked = 0, plain = 0;

	for (uint32_t i = 0; i < TRIED_KEYS; i++)
	{
		MG_TRY(mark_rows(ctx, k, t, i, MG_BATCH_ROWS, k->cost.plain > 0 ? NULL : &plain));
		marked += mg_maker_distance(k);
		for (uint32_t c = 0; c < k->model->ncolumns; c++)
			for (uint32_t r = 0; k->column[c].ngroups > 0 && r < EXTRACT * EXTRACTS; r++)
				t->large[i][c][r] = k->group[c][r * STRIDE];
	}
	if (plain > 0)
		k->cost.plain = plain;
	*cost = k->cost.plain > 0 ? marked / k->cost.plain : 1;
	return MG_OK;
}

static mg_code
mark_small(mg_ctx *ctx, maker *k, trial *t)
{
	for (uint32_t i = 0; i < TRIED_KEYS; i++)
	{
		MG_TRY(mark_rows(ctx, k, t, i, SMALL, NULL));
		for (uint32_t c = 0; c < k->model->ncolumns; c++)
			if (k->column[c].ngroups > 0)
				memcpy(t->small[i][c], k->group[c], SMALL);
	}
	return MG_OK;
}

/* A detector that has seen rows of these groups. */
static mg_code
detect(mg_ctx *ctx, const maker *k, trial *t, uint8_t *const *group, uint32_t from, uint32_t rows, mg_detector **out)
{
	mg_code code = mg_detector_create(ctx, k->plan, t->present, out);

	for (uint32_t c = 0; c < k->model->ncolumns; c++)
		if (k->column[c].ngroups > 0)
			t->at[c] = group[c] + from;
	if (code == MG_OK)
		code = mg_detect_add(ctx, *out, t->at, rows);
	return code == MG_OK ? mg_detect_finish(ctx, *out) : code;
}

/* Mean z of both of a key's signs in an extract of the large batch. */
static mg_code
look_at_rows(mg_ctx *ctx, const maker *k, trial *t, uint32_t number, uint32_t extract, double *mean)
{
	mg_detector *d = NULL;
	mg_detection found;
	mg_code code = detect(ctx, k, t, t->large[number], extract * EXTRACT, EXTRACT, &d);

	*mean = 0;
	for (int i = 0; i < 2 && code == MG_OK; i++)
	{
		code = mg_detect_key(ctx, d, t->key[number][i], &found);
		*mean += found.z / 2;
	}
	mg_detector_destroy(d);
	return code;
}

static double
share_of_halves(const maker *k, const trial *t)
{
	uint32_t found = 0;

	for (uint32_t h = 0; h < HALVES; h++)
	{
		double sum = 0, square = 0;

		for (uint32_t i = 0; i < k->plan->nsubsets; i++)
			if (t->whole[(size_t) h * k->plan->nsubsets + i])
			{
				sum += t->part[i].sum;
				square += t->part[i].square;
			}
		found += square > 0 && sum > SURE * sqrt(square);
	}
	return (double) found / HALVES;
}

/* In what share of the halves of the columns are the signs found, of the small batch's rows? Their mean. */
static mg_code
look_at_halves(mg_ctx *ctx, const maker *k, trial *t, uint32_t number, double *mean)
{
	mg_detector *d = NULL;
	mg_code code = detect(ctx, k, t, t->small[number], 0, SMALL, &d);

	*mean = 0;
	for (int i = 0; i < 2 && code == MG_OK; i++)
	{
		code = mg_detect_parts(ctx, d, t->key[number][i], t->part);
		*mean += share_of_halves(k, t) / 2;
	}
	mg_detector_destroy(d);
	return code;
}

static mg_code
look(mg_ctx *ctx, const maker *k, trial *t, mg_mark_trial *out)
{
	double mean;

	for (uint32_t i = 0; i < TRIED_KEYS; i++)
	{
		for (uint32_t j = 0; j < EXTRACTS; j++)
		{
			MG_TRY(look_at_rows(ctx, k, t, i, j, &mean));
			out->rows += mean / (TRIED_KEYS * EXTRACTS);
		}
		MG_TRY(look_at_halves(ctx, k, t, i, &mean));
		out->columns += mean / TRIED_KEYS;
		MG_TRY(mg_poll(ctx));
	}
	return MG_OK;
}

/* Halves of the columns, drawn at random: the same in every trial. */
static mg_code
draw_halves(mg_ctx *ctx, const maker *k, trial *t)
{
	uint32_t n = k->model->ncolumns;
	bool *kept;
	mg_rng rng;

	mg_rng_seed(&rng, SEED);
	MG_NEW(ctx, t->arena, kept, n);
	MG_NEW(ctx, t->arena, t->whole, (size_t) HALVES * k->plan->nsubsets);
	for (uint32_t h = 0; h < HALVES; h++)
	{
		memset(kept, true, n * sizeof(*kept));
		for (uint32_t left = n / 2; left > 0;)
		{
			uint32_t c = mg_rng_below32((uint32_t) (mg_rng_u64(&rng) >> 32), n);

			left -= kept[c];
			kept[c] = false;
		}
		for (uint32_t i = 0; i < k->plan->nsubsets; i++)
		{
			const mg_mark_subset *s = &k->plan->subset[i];
			bool whole = true;

			for (uint32_t j = 0; j < s->k; j++)
				whole = whole && kept[s->cols[j]];
			t->whole[(size_t) h * k->plan->nsubsets + i] = whole;
		}
	}
	return MG_OK;
}

static mg_code
begin(mg_ctx *ctx, const maker *k, trial *t)
{
	uint32_t n = k->model->ncolumns;

	MG_NEW(ctx, t->arena, t->at, n);
	MG_NEW(ctx, t->arena, t->present, n);
	MG_NEW(ctx, t->arena, t->tally, (size_t) k->plan->nsubsets + 1);
	MG_NEW(ctx, t->arena, t->part, (size_t) k->plan->nsubsets + 1);
	memset(t->present, true, n * sizeof(*t->present));
	MG_TRY(draw_halves(ctx, k, t));
	for (uint8_t i = 0; i < TRIED_KEYS; i++)
	{
		for (uint8_t j = 0; j < 2; j++)
		{
			t->key[i][j][0] = i;
			t->key[i][j][1] = (uint8_t) (j + 1);
		}
		MG_NEW(ctx, t->arena, t->large[i], n);
		MG_NEW(ctx, t->arena, t->small[i], n);
		for (uint32_t c = 0; c < n; c++)
		{
			if (k->column[c].ngroups == 0)
				continue;
			MG_NEW(ctx, t->arena, t->large[i][c], EXTRACT * EXTRACTS);
			MG_NEW(ctx, t->arena, t->small[i][c], SMALL);
		}
	}
	return MG_OK;
}

/*
 * tells: a rare cell of sign + came more often by a factor 1 + d, one of sign - less often by 1 - d: the best weight of
 * a feature is d, which differs between subsets, since the branches that are exchanged reach some more than others.
 */
static void
set_tells(maker *k, const trial *t)
{
	for (uint32_t i = 0; i < k->plan->nsubsets; i++)
	{
		double d = t->tally[i].sum / (t->tally[i].seen + 1);

		k->subset[i].tells = (uint8_t) fmax(MG_MARK_TELLS * fmin(fmax(d, 0.005), 0.99), 1);
	}
}

static mg_code
run(mg_ctx *ctx, maker *k, trial *t, double bound, mg_mark_trial *out)
{
	MG_TRY(begin(ctx, k, t));
	MG_TRY(open_streams(ctx, k, t));
	MG_TRY(mark_large(ctx, k, t, &out->cost));
	set_tells(k, t);
	if (out->cost > bound)
		return MG_OK;
	MG_TRY(mark_small(ctx, k, t));
	set_tells(k, t);
	return look(ctx, k, t, out);
}

mg_code
mg_maker_try(mg_ctx *ctx, maker *k, double bound, mg_mark_trial *out)
{
	trial t = {.arena = mg_arena_create(0)};
	mg_code code;

	*out = (mg_mark_trial){.cost = 1};
	if (t.arena == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	code = k->plan->nsubsets > 0 ? run(ctx, k, &t, bound, out) : MG_OK;
	for (uint32_t i = 0; i < TRIED_KEYS; i++)
	{
		mg_stream_destroy(t.stream[i]);
		mg_mark_destroy(t.mark[i]);
	}
	mg_arena_destroy(t.arena);
	return code;
}
