/*
 * test/unit/test_marking.c: marks in streams of models with a junction tree, and without. What an exchange may not
 * touch is compared exactly; that it prefers nothing over all keys is a test of means, which one key used again fails;
 * that it can be found, and only with its own keys, is what it is for.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graphical/body.h"
#include "graphical/graphical.h"
#include "synthesis/condition.h"
#include "synthesis/marking.h"
#include "watermark/detect.h"
#include "world.h"

#define COLUMNS 8
#define CODES 7
#define CLIQUES 6
#define ROWS 6000
#define EXTRACT 300
#define SOME 3000

static const uint32_t abc[] = {0, 1, 2}, cd[] = {2, 3}, de[] = {3, 4}, ef[] = {4, 5}, eg[] = {4, 6}, lone[] = {7};
static const mg_column_set net[CLIQUES] = {{3, abc, 0}, {2, cd, 0}, {2, de, 0}, {2, ef, 0}, {2, eg, 0}, {1, lone, 0}};
/* Every two of the last four columns meet behind a separator that hardly any two rows agree on. */
static const uint32_t abcde[] = {0, 1, 2, 3, 4}, abcdf[] = {0, 1, 2, 3, 5}, abcdg[] = {0, 1, 2, 3, 6},
					  abcdh[] = {0, 1, 2, 3, 7};
static const mg_column_set wide[] = {{5, abcde, 0}, {5, abcdf, 0}, {5, abcdg, 0}, {5, abcdh, 0}};
static const char *const names[COLUMNS] = {"a", "b", "c", "d", "e", "f", "g", "h"};
static const mg_label labels[CODES] = {{"v0", 2}, {"v1", 2}, {"v2", 2}, {"v3", 2}, {"v4", 2}, {"v5", 2}, {"v6", 2}};

typedef struct world
{
	WORLD;
	mg_model *model;
	mg_mark_plan *plan;
	mg_mark *mark;
	uint8_t key[32], model_key[32], recipient_key[32];
} world;

static mg_writer plan_bytes;

/* ---- a model: labels are codes, so that rows show them; random potentials over the cliques ---- */

static void
fill_columns(mg_model *m)
{
	for (uint32_t i = 0; i < COLUMNS; i++)
	{
		mg_column *c = &m->columns[i];
		double *fine = mg_arena_alloc(m->arena, CODES + 2, sizeof(*fine));
		uint16_t *merge = mg_arena_alloc(m->arena, CODES + 2, sizeof(*merge));

		for (uint32_t f = 0; f < CODES; f++)
		{
			fine[f] = 1;
			merge[f] = (uint16_t) f;
		}
		*c = (mg_column){.nfine = CODES + 2, .fine = fine, .merge = merge, .ncoarse = CODES, .total = 5000};
		c->domain = (mg_domain){.name = names[i], .kind = MG_CATEGORY, .nlabels = CODES, .labels = labels};
	}
}

static mg_model *
make_model(world *w, const mg_method *method, const mg_column_set *cliques, uint32_t ncliques)
{
	uint32_t sizes[COLUMNS];
	mg_messages messages;
	mg_graphical *g;
	mg_model *m;

	assert_int_equal(mg_model_create(&w->ctx, method, COLUMNS, 0, &m), MG_OK);
	fill_columns(m);
	for (uint32_t i = 0; i < COLUMNS; i++)
		sizes[i] = CODES;
	g = mg_arena_alloc(m->arena, 1, sizeof(*g));
	m->total = 5000;
	m->body = g;
	assert_int_equal(mg_junction_build(&w->ctx, m->arena, sizes, COLUMNS, cliques, ncliques, &g->tree), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, m->arena, &g->tree, &g->marginal), MG_OK);
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &g->tree, &messages), MG_OK);
	for (uint32_t c = 0; c < g->tree.count; c++)
		for (size_t i = 0; i < g->marginal[c].cells; i++)
			g->marginal[c].v[i] = 2.5 * (2 * mg_rng_unit(&w->rng) - 1);
	mg_junction_calibrate(&g->tree, &messages, m->total, g->marginal);
	return m;
}

static void
new_keys(world *w)
{
	for (int i = 0; i < 32; i++)
	{
		w->model_key[i] = (uint8_t) mg_rng_u64(&w->rng);
		w->recipient_key[i] = (uint8_t) mg_rng_u64(&w->rng);
		w->key[i] = (uint8_t) mg_rng_u64(&w->rng);
	}
}

static void
new_mark(world *w)
{
	new_keys(w);
	mg_mark_destroy(w->mark);
	assert_int_equal(mg_mark_create(&w->ctx, w->plan, w->model_key, w->recipient_key, &w->mark), MG_OK);
}

static int
set_up(void **state)
{
	world *w = make_world(state, sizeof(*w), 17);

	if (w == NULL)
		return 1;
	w->model = make_model(w, &mg_method_mst, net, CLIQUES);
	/* every test's model is the same one: its plan is made once, and read again */
	if (plan_bytes.len == 0)
	{
		assert_int_equal(mg_mark_plan_make(&w->ctx, w->model, &w->plan), MG_OK);
		mg_mark_plan_write(w->plan, &plan_bytes);
		mg_mark_plan_destroy(w->plan);
	}
	assert_int_equal(mg_mark_plan_read(&w->ctx, plan_bytes.data, plan_bytes.len, &w->plan), MG_OK);
	new_mark(w);
	return 0;
}

static int
tear_down(void **state)
{
	world *w = *state;

	mg_mark_destroy(w->mark);
	mg_mark_plan_destroy(w->plan);
	mg_model_destroy(w->model);
	return free_world(state);
}

/* ---- rows ---- */

typedef struct rows
{
	uint32_t n;
	uint8_t v[COLUMNS][MG_BATCH_ROWS];
} rows;

static mg_stream *
open_stream(world *w, const mg_mark *mark)
{
	mg_stream *s = NULL;

	assert_int_equal(mg_stream_create(&w->ctx, w->model, w->key, &s), MG_OK);
	if (mark != NULL)
		assert_int_equal(mg_stream_mark(&w->ctx, s, mark), MG_OK);
	return s;
}

static void
take_batch(world *w, mg_stream *s, uint32_t n, rows *out)
{
	const mg_batch *b = NULL;

	assert_int_equal(mg_stream_next(&w->ctx, s, n, &b), MG_OK);
	out->n = n;
	for (uint32_t c = 0; c < COLUMNS; c++)
		for (uint32_t i = 0; i < n; i++)
			out->v[c][i] = (uint8_t) b->column[c].label[i];
}

static void
draw(world *w, const mg_mark *mark, uint32_t n, rows *out)
{
	mg_stream *s = open_stream(w, mark);

	take_batch(w, s, n, out);
	mg_stream_destroy(s);
}

static void
count(const rows *r, const uint32_t *cols, uint32_t k, uint32_t *cells)
{
	memset(cells, 0, CODES * CODES * CODES * sizeof(*cells));
	for (uint32_t i = 0; i < r->n; i++)
	{
		uint32_t at = 0;

		for (uint32_t j = 0; j < k; j++)
			at = at * CODES + r->v[cols[j]][i];
		cells[at]++;
	}
}

static bool
same_rows(const rows *a, const rows *b)
{
	bool same = a->n == b->n;

	for (uint32_t c = 0; c < COLUMNS; c++)
		same = same && memcmp(a->v[c], b->v[c], a->n) == 0;
	return same;
}

static bool
same_marginal(const rows *a, const rows *b, const uint32_t *cols, uint32_t k)
{
	static uint32_t x[CODES * CODES * CODES], y[CODES * CODES * CODES];

	count(a, cols, k, x);
	count(b, cols, k, y);
	return memcmp(x, y, sizeof(x)) == 0;
}

/* ---- detection ---- */

static mg_detector *
detector_of_columns(world *w, const rows *r, const bool *present)
{
	static uint8_t group[COLUMNS][MG_BATCH_ROWS];
	const uint8_t *list[COLUMNS];
	mg_detector *d = NULL;

	for (uint32_t c = 0; c < COLUMNS; c++)
	{
		list[c] = group[c];
		for (uint32_t i = 0; i < r->n; i++)
			group[c][i] = mg_mark_text_group(&w->plan->column[c], labels[r->v[c][i]].text, 2);
	}
	assert_int_equal(mg_detector_create(&w->ctx, w->plan, present, &d), MG_OK);
	assert_int_equal(mg_detect_add(&w->ctx, d, list, r->n), MG_OK);
	assert_int_equal(mg_detect_finish(&w->ctx, d), MG_OK);
	return d;
}

static mg_detector *
detector_of(world *w, const rows *r)
{
	bool all[COLUMNS];

	memset(all, true, sizeof(all));
	return detector_of_columns(w, r, all);
}

static mg_detection
detect(world *w, const rows *r, const uint8_t *key)
{
	mg_detector *d = detector_of(w, r);
	mg_detection found;

	assert_int_equal(mg_detect_key(&w->ctx, d, key, &found), MG_OK);
	mg_detector_destroy(d);
	return found;
}

/* ---- branches ---- */

static bool
listed(const uint32_t *cols, uint32_t n, uint32_t col)
{
	for (uint32_t i = 0; i < n; i++)
		if (cols[i] == col)
			return true;
	return false;
}

/* Behind a separator: no clique has columns on both sides. */
static void
branches_are_separated(void **state)
{
	world *w = *state;
	const mg_junction *tree = &((const mg_graphical *) w->model->body)->tree;
	const mg_branch *b = NULL;
	uint32_t n = 0;

	assert_int_equal(w->model->method->branches(&w->ctx, w->model, w->a, &b, &n), MG_OK);
	assert_true(n >= 4 && n < tree->count);
	for (uint32_t i = 0; i < n; i++)
	{
		assert_true(b[i].nbranch > 0 && b[i].nbranch + b[i].nsep < COLUMNS);
		for (uint32_t j = 0; j < b[i].nbranch; j++)
			assert_false(listed(b[i].sep, b[i].nsep, b[i].branch[j]));
		for (uint32_t c = 0; c < tree->count; c++)
		{
			bool within = false, without = false;

			for (uint32_t j = 0; j < tree->clique[c].k; j++)
			{
				uint32_t col = tree->clique[c].cols[j];
				bool branch = listed(b[i].branch, b[i].nbranch, col);

				within = within || branch;
				without = without || (!branch && !listed(b[i].sep, b[i].nsep, col));
			}
			assert_false(within && without);
		}
	}
}

/* ---- what an exchange leaves alone ---- */

static void
cliques_keep_their_counts(void **state)
{
	static const uint32_t sizes[] = {5000, ROWS, MG_BATCH_ROWS}, af[] = {0, 5};
	world *w = *state;
	static rows plain, marked;

	assert_true(w->plan->nbranches > 0 && w->plan->nsubsets > 4);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
	{
		new_mark(w);
		draw(w, NULL, sizes[i], &plain);
		draw(w, w->mark, sizes[i], &marked);
		for (uint32_t c = 0; c < CLIQUES; c++)
			assert_true(same_marginal(&plain, &marked, net[c].cols, net[c].k));
		/* and what lies across separators is another sample */
		assert_false(same_marginal(&plain, &marked, af, 2));
	}
}

/*
 * Small batches are chosen from candidates, and are as good as a sample of independent draws: summed over keys and over
 * the cells of some pairs of columns, squared differences to the model's counts are no larger than theirs would be.
 */
#define SMALL 300
#define SMALL_KEYS 60
static void
small_batches_are_samples(void **state)
{
	static const uint32_t pairs[][2] = {{0, 1}, {2, 3}, {4, 6}, {0, 5}, {1, 7}, {5, 6}};
	static double share[6][CODES * CODES];
	static uint32_t n[CODES * CODES * CODES];
	static rows r;
	world *w = *state;
	double squares = 0, variance = 0;

	for (int b = 0; b < 4; b++)
	{
		new_keys(w);
		draw(w, NULL, MG_BATCH_ROWS, &r);
		for (int p = 0; p < 6; p++)
		{
			count(&r, pairs[p], 2, n);
			for (int i = 0; i < CODES * CODES; i++)
				share[p][i] += n[i] / 4.0 / MG_BATCH_ROWS;
		}
	}
	for (int k = 0; k < SMALL_KEYS; k++)
	{
		new_mark(w);
		draw(w, w->mark, SMALL, &r);
		for (int p = 0; p < 6; p++)
		{
			count(&r, pairs[p], 2, n);
			for (int i = 0; i < CODES * CODES; i++)
			{
				double d = n[i] - SMALL * share[p][i];

				squares += d * d;
				variance += SMALL * share[p][i] * (1 - share[p][i]);
			}
		}
	}
	assert_true(squares < 1.02 * variance);
}

/*
 * Over keys, how far the mean shift of a cell's count is from zero, beside the shift that one key makes: the largest
 * such ratio over cells of pairs across separators. Of n keys about 1 / sqrt n where nothing is preferred; near 1 where
 * all push the same way.
 */
#define KEYS 40
#define FEW_KEYS 8
#define NPAIRS 5
static double
worst_mean(world *w, bool fixed)
{
	static const uint32_t pairs[NPAIRS][2] = {{0, 3}, {1, 5}, {5, 6}, {3, 6}, {0, 7}};
	static double sum[NPAIRS][CODES * CODES], squares[NPAIRS][CODES * CODES];
	static uint32_t a[CODES * CODES * CODES], b[CODES * CODES * CODES];
	static rows plain, marked;
	double worst = 0;

	memset(sum, 0, sizeof(sum));
	memset(squares, 0, sizeof(squares));
	for (int k = 0; k < KEYS; k++)
	{
		if (fixed)
			w->key[0]++;
		else
			new_mark(w);
		draw(w, NULL, MG_BATCH_ROWS, &plain);
		draw(w, w->mark, MG_BATCH_ROWS, &marked);
		for (int p = 0; p < NPAIRS; p++)
		{
			count(&plain, pairs[p], 2, a);
			count(&marked, pairs[p], 2, b);
			for (int i = 0; i < CODES * CODES; i++)
			{
				double d = (double) b[i] - a[i];

				sum[p][i] += d;
				squares[p][i] += d * d;
			}
		}
	}
	for (int p = 0; p < NPAIRS; p++)
		for (int i = 0; i < CODES * CODES; i++)
			if (squares[p][i] > 100 * KEYS)
				worst = fmax(worst, fabs(sum[p][i] / KEYS) / sqrt(squares[p][i] / KEYS));
	return worst;
}

static void
no_row_is_preferred_over_all_keys(void **state)
{
	world *w = *state;
	double any = worst_mean(w, false), one = worst_mean(w, true);

	/* 4 standard errors of a mean of 40 */
	assert_true(any < 0.65);
	/* one mark used again pushes always the same way, and is seen */
	assert_true(one > 0.85);
}

/* Rare cells of the plan's subsets, in all rows. */
static double
rare_cells(const world *w, const rows *r)
{
	uint8_t group[COLUMNS][CODES];
	double sum = 0;

	for (uint32_t c = 0; c < COLUMNS; c++)
		for (uint32_t v = 0; v < CODES; v++)
			group[c][v] = mg_mark_text_group(&w->plan->column[c], labels[v].text, 2);
	for (uint32_t s = 0; s < w->plan->nsubsets; s++)
	{
		const mg_mark_subset *of = &w->plan->subset[s];

		for (uint32_t i = 0; i < r->n; i++)
		{
			uint32_t cell = 0;

			for (uint32_t j = 0; j < of->k; j++)
				cell += of->stride[j] * group[of->cols[j]][r->v[of->cols[j]][i]];
			sum += of->q[cell] != MG_MARK_FREQUENT;
		}
	}
	return sum;
}

/* What is rare does not come more often, over keys. */
static void
rare_cells_stay_rare(void **state)
{
	world *w = *state;
	double with = 0, without = 0;
	static rows r;

	for (int k = 0; k < FEW_KEYS; k++)
	{
		new_mark(w);
		draw(w, NULL, MG_BATCH_ROWS, &r);
		without += rare_cells(w, &r);
		draw(w, w->mark, MG_BATCH_ROWS, &r);
		with += rare_cells(w, &r);
	}
	assert_near(with / without, 1, 0.02);
}

/* Nor in small batches, beside the model, not beside the same batch without a mark, which is another one. */
static void
rare_cells_stay_rare_in_small_batches(void **state)
{
	static const uint32_t tried[][2] = {{1000, 60}, {40, 600}, {1, 4000}};
	/* the choice alone, of one row, hits the share; exchanges, which have no price, prefer cells as rare as these */
	static const double most[] = {0.12, 0.2, 0.08};
	world *w = *state;
	double share = 0;
	static rows r;

	for (int k = 0; k < FEW_KEYS; k++)
	{
		new_keys(w);
		draw(w, NULL, MG_BATCH_ROWS, &r);
		share += rare_cells(w, &r) / FEW_KEYS / MG_BATCH_ROWS;
	}
	for (int i = 0; i < 3; i++)
	{
		double with = 0;
		mg_stream *s;

		for (uint32_t k = 0; k < tried[i][1]; k += 20)
		{
			new_mark(w);
			s = open_stream(w, w->mark);
			for (int b = 0; b < 20; b++)
			{
				take_batch(w, s, tried[i][0], &r);
				with += rare_cells(w, &r);
			}
			mg_stream_destroy(s);
		}
		with /= (double) tried[i][0] * tried[i][1];
		/* 1.09, 1.16, 0.96; without a price 1.6 to 1.75 */
		assert_near(with / share, 1, most[i]);
	}
}

/* ---- functions of what they are given ---- */

static void
batches_are_functions_of_their_number(void **state)
{
	world *w = *state;
	static rows first[3], again;
	bool want[COLUMNS] = {false, true};
	const mg_batch *b = NULL;
	mg_stream *s = open_stream(w, w->mark);

	for (int i = 0; i < 3; i++)
		take_batch(w, s, 700, &first[i]);
	assert_false(same_rows(&first[0], &first[1]));
	mg_stream_seek(s, 1);
	take_batch(w, s, 700, &again);
	assert_true(same_rows(&first[1], &again));
	mg_stream_destroy(s);
	/* another stream, the batches in another order, few columns */
	s = open_stream(w, w->mark);
	mg_stream_want(s, want);
	mg_stream_seek(s, 2);
	assert_int_equal(mg_stream_next(&w->ctx, s, 700, &b), MG_OK);
	for (uint32_t i = 0; i < 700; i++)
		assert_int_equal(b->column[1].label[i], first[2].v[1][i]);
	mg_stream_destroy(s);
}

static void
rows_follow_the_mark(void **state)
{
	world *w = *state;
	static rows a, b;
	mg_mark *other = NULL;

	draw(w, w->mark, ROWS, &a);
	assert_int_equal(mg_mark_create(&w->ctx, w->plan, w->model_key, w->key, &other), MG_OK);
	draw(w, other, ROWS, &b);
	assert_false(same_rows(&a, &b));
	mg_mark_destroy(other);
}

static void
plans_are_functions_of_the_model(void **state)
{
	world *w = *state;
	mg_mark_plan *again = NULL, *read = NULL;
	mg_writer a, b;

	mg_writer_init(&a);
	mg_writer_init(&b);
	assert_int_equal(mg_mark_plan_make(&w->ctx, w->model, &again), MG_OK);
	mg_mark_plan_write(w->plan, &a);
	mg_mark_plan_write(again, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	assert_int_equal(mg_mark_plan_read(&w->ctx, a.data, a.len, &read), MG_OK);
	mg_writer_free(&b);
	mg_mark_plan_write(read, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	mg_writer_free(&a);
	mg_writer_free(&b);
	mg_mark_plan_destroy(read);
	mg_mark_plan_destroy(again);
}

/* ---- found, and by whom ---- */

static void
marks_are_found_with_their_keys_only(void **state)
{
	world *w = *state;
	static rows r;

	for (int round = 0; round < 5; round++)
	{
		uint8_t wrong[32] = {(uint8_t) round, 77};

		new_mark(w);
		draw(w, w->mark, ROWS, &r);
		assert_true(detect(w, &r, w->model_key).p < 1e-6);
		assert_true(detect(w, &r, w->recipient_key).p < 1e-6);
		assert_true(detect(w, &r, wrong).p > 1e-3);
		/* nor without the mark */
		draw(w, NULL, ROWS, &r);
		assert_true(detect(w, &r, w->model_key).p > 1e-3);
		assert_true(detect(w, &r, w->recipient_key).p > 1e-3);
	}
}

/* A mark without a recipient names the model alone, and more strongly. */
static void
recipients_may_be_left_out(void **state)
{
	world *w = *state;
	mg_mark *alone = NULL;
	double both;
	static rows r;

	draw(w, w->mark, ROWS, &r);
	both = detect(w, &r, w->model_key).z;
	assert_int_equal(mg_mark_create(&w->ctx, w->plan, w->model_key, NULL, &alone), MG_OK);
	draw(w, alone, ROWS, &r);
	assert_true(detect(w, &r, w->model_key).z > 1.2 * both);
	assert_true(detect(w, &r, w->recipient_key).p > 1e-3);
	mg_mark_destroy(alone);
}

/* Mean z of both keys in so many rows of a batch, from one of them on, over keys. */
static double
extract_z(world *w, uint32_t from, uint32_t size)
{
	double sum = 0;
	static rows all, some;

	for (int k = 0; k < FEW_KEYS; k++)
	{
		new_mark(w);
		draw(w, w->mark, MG_BATCH_ROWS, &all);
		some.n = size;
		for (uint32_t c = 0; c < COLUMNS; c++)
			memcpy(some.v[c], all.v[c] + from, size);
		sum += detect(w, &some, w->model_key).z + detect(w, &some, w->recipient_key).z;
	}
	return sum / (2 * FEW_KEYS);
}

/*
 * How much farther marked batches are from the model than the same batches unmarked, by all pairs of columns. What
 * stands for the model are batches that the plan never saw.
 */
#define MANY 16
static double
cost_in_pairs(world *w)
{
	static double share[COLUMNS][COLUMNS][CODES * CODES];
	static uint32_t n[CODES * CODES * CODES];
	static rows r;
	double distance[2] = {0};

	memset(share, 0, sizeof(share));
	for (int batch = 0; batch < MANY + 2 * FEW_KEYS; batch++)
	{
		bool model = batch < MANY, marked = (batch - MANY) % 2 == 1;

		if (!marked)
			new_mark(w);
		draw(w, marked ? w->mark : NULL, MG_BATCH_ROWS, &r);
		for (uint32_t a = 0; a < COLUMNS; a++)
			for (uint32_t b = a + 1; b < COLUMNS; b++)
			{
				count(&r, (const uint32_t[]){a, b}, 2, n);
				for (int i = 0; i < CODES * CODES; i++)
					if (model)
						share[a][b][i] += (double) n[i] / MANY;
					else
						distance[marked] += fabs(n[i] - share[a][b][i]);
			}
	}
	return distance[1] / distance[0];
}

/*
 * In a table of so few columns and labels a mark has few rare combinations to live on: without a bound it doubles
 * the distance to the model. Its gate is bounded, so that it hardly shows; and 3,000 rows out of many still tell.
 */
static void
costs_are_bounded(void **state)
{
	assert_true(cost_in_pairs(*state) < 1.1);
	assert_true(extract_z(*state, MG_BATCH_ROWS / 2, SOME) > 7);
}

/*
 * Those at the begin of a batch, which a LIMIT takes, are marked as well as any, where few rows agree on a separator
 * and those that come first have little to choose from.
 */
static void
first_rows_are_marked_as_well(void **state)
{
	world *w = *state;
	double first, later;

	mg_model_destroy(w->model);
	mg_mark_plan_destroy(w->plan);
	w->model = make_model(w, &mg_method_mst, wide, 4);
	assert_int_equal(mg_mark_plan_make(&w->ctx, w->model, &w->plan), MG_OK);
	first = extract_z(w, 0, EXTRACT);
	later = extract_z(w, MG_BATCH_ROWS / 2, EXTRACT);
	/* three standard errors of a difference of means */
	assert_near(first, later, 3 * sqrt(2.0 / (2 * FEW_KEYS)));
}

/* A model whose separators hardly two rows of a small batch agree on, and one of a single clique: no exchange helps. */
static void
small_batches_are_found(void **state)
{
	world *w = *state;
	mg_method whole = mg_method_mst;
	static rows r;

	whole.branches = NULL;
	for (int i = 0; i < 2; i++)
	{
		mg_model_destroy(w->model);
		mg_mark_plan_destroy(w->plan);
		w->model = make_model(w, i == 0 ? &mg_method_mst : &whole, wide, 4);
		assert_int_equal(mg_mark_plan_make(&w->ctx, w->model, &w->plan), MG_OK);
		for (int round = 0; round < 10; round++)
		{
			new_mark(w);
			draw(w, w->mark, SMALL, &r);
			assert_true(detect(w, &r, w->model_key).p < 1e-6);
			assert_true(detect(w, &r, w->recipient_key).p < 1e-6);
			draw(w, NULL, SMALL, &r);
			assert_true(detect(w, &r, w->model_key).p > 1e-3);
		}
	}
	/* its method is on this stack */
	mg_mark_destroy(w->mark);
	w->mark = NULL;
	mg_model_destroy(w->model);
	w->model = NULL;
}

/* Of many keys that had no part in the rows few give small p-values, on unmarked rows and on marked ones. */
static void
false_alarms_are_rare(void **state)
{
	world *w = *state;
	static rows r;

	for (int marked = 0; marked < 2; marked++)
	{
		uint32_t alarms = 0;
		mg_detector *d;

		draw(w, marked ? w->mark : NULL, ROWS, &r);
		d = detector_of(w, &r);
		for (int i = 0; i < 2000; i++)
		{
			mg_detection found;

			new_keys(w);
			assert_int_equal(mg_detect_key(&w->ctx, d, w->recipient_key, &found), MG_OK);
			alarms += found.p < 0.01;
		}
		/* at most 20 are expected; four deviations beyond */
		assert_true(alarms <= 20 + 4 * 5);
		mg_detector_destroy(d);
	}
}

/* What is found by some of the columns is the sum of what subsets of them find among all. */
static void
parts_add_up(void **state)
{
	world *w = *state;
	mg_detection_part part[MG_MARK_SUBSETS];
	mg_detection found;
	mg_detector *d;
	static rows r;

	draw(w, w->mark, ROWS, &r);
	d = detector_of(w, &r);
	assert_int_equal(mg_detect_parts(&w->ctx, d, w->model_key, part), MG_OK);
	mg_detector_destroy(d);
	for (uint32_t dropped = 0; dropped < COLUMNS; dropped++)
	{
		bool present[COLUMNS];
		double sum = 0, square = 0;

		memset(present, true, sizeof(present));
		present[dropped] = present[dropped / 2] = false;
		for (uint32_t i = 0; i < w->plan->nsubsets; i++)
		{
			const mg_mark_subset *s = &w->plan->subset[i];
			bool whole = true;

			for (uint32_t j = 0; j < s->k; j++)
				whole = whole && present[s->cols[j]];
			sum += whole ? part[i].sum : 0;
			square += whole ? part[i].square : 0;
		}
		d = detector_of_columns(w, &r, present);
		assert_int_equal(mg_detect_key(&w->ctx, d, w->model_key, &found), MG_OK);
		mg_detector_destroy(d);
		assert_true(square > 0);
		assert_near(sum / sqrt(square), found.z, 1e-9);
	}
}

/* Where much would be rare, subsets have gates of their own, so that a row has but a few rare cells. */
static void
rare_cells_are_few(void **state)
{
	world *w = *state;
	static rows r;

	mg_model_destroy(w->model);
	mg_mark_plan_destroy(w->plan);
	w->model = make_model(w, &mg_method_mst, wide, 4);
	assert_int_equal(mg_mark_plan_make(&w->ctx, w->model, &w->plan), MG_OK);
	draw(w, NULL, MG_BATCH_ROWS, &r);
	/* 10, and what one step more adds; where all below the highest gate counted 15.7 */
	assert_true(rare_cells(w, &r) < 13 * MG_BATCH_ROWS);
}

/* `n` rows in batches of `size`. */
static void
draw_small(world *w, const mg_mark *mark, uint32_t size, uint32_t n, rows *r)
{
	mg_stream *s = open_stream(w, mark);
	static rows part;

	for (r->n = 0; r->n + size <= n; r->n += size)
	{
		take_batch(w, s, size, &part);
		for (uint32_t c = 0; c < COLUMNS; c++)
			memcpy(&r->v[c][r->n], part.v[c], size);
	}
	mg_stream_destroy(s);
}

/* Two samples of one distribution, as far as a clique's cells tell. */
static bool
alike(const rows *a, const rows *b, const mg_column_set *clique)
{
	static uint32_t x[CODES * CODES * CODES], y[CODES * CODES * CODES];

	count(a, clique->cols, clique->k, x);
	count(b, clique->cols, clique->k, y);
	for (uint32_t i = 0; i < CODES * CODES * CODES; i++)
		if (fabs((double) x[i] - y[i]) > 5 * sqrt((double) x[i] + y[i] + 1))
			return false;
	return true;
}

/*
 * Rows asked for one at a time, or a few, bear the mark like others: who asks often has as many marked rows as who asks
 * once. In a batch of so few rows nobody has a partner; they are taken out of a larger one, cliques as they were.
 */
static void
small_batches_are_marked(void **state)
{
	static const uint32_t sizes[] = {1, 7, 60};
	world *w = *state;
	static rows marked, plain;

	for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++)
	{
		draw_small(w, w->mark, sizes[k], ROWS / 4, &marked);
		draw_small(w, NULL, sizes[k], ROWS / 4, &plain);
		assert_true(detect(w, &marked, w->model_key).p < 1e-6);
		assert_true(detect(w, &marked, w->recipient_key).p < 1e-6);
		assert_true(detect(w, &plain, w->model_key).p > 1e-3);
		assert_true(detect(w, &plain, w->recipient_key).p > 1e-3);
		for (uint32_t c = 0; c < CLIQUES; c++)
			assert_true(alike(&marked, &plain, &net[c]));
	}
}

/* ---- other streams ---- */

/* Without branches each row is the better of two. */
static void
models_without_branches_are_marked_too(void **state)
{
	world *w = *state;
	mg_method method = mg_method_mst;
	static rows r;

	method.branches = NULL;
	mg_model_destroy(w->model);
	w->model = make_model(w, &method, net, CLIQUES);
	mg_mark_plan_destroy(w->plan);
	assert_int_equal(mg_mark_plan_make(&w->ctx, w->model, &w->plan), MG_OK);
	assert_int_equal(w->plan->nbranches, 0);
	new_mark(w);
	draw(w, w->mark, ROWS, &r);
	assert_true(detect(w, &r, w->model_key).p < 1e-6);
	assert_true(detect(w, &r, w->recipient_key).p < 1e-6);
	draw(w, NULL, ROWS, &r);
	assert_true(detect(w, &r, w->model_key).p > 1e-3);
	mg_mark_destroy(w->mark);
	w->mark = NULL;
	mg_model_destroy(w->model);
	w->model = NULL;
}

/* Conditions hold in every marked row; the mark is there all the same. */
static void
conditioned_streams_are_marked(void **state)
{
	static const bool some[CODES + 1] = {true, false, true, true, false, true, false};
	world *w = *state;
	const mg_condition given = {.col = 3, .label = some};
	mg_conditioned *c = NULL;
	mg_stream *s = NULL;
	static rows plain, r;

	assert_int_equal(mg_conditioned_create(&w->ctx, w->model, &given, 1, &c), MG_OK);
	for (int marked = 0; marked < 2; marked++)
	{
		assert_int_equal(mg_stream_create_conditioned(&w->ctx, c, w->key, &s), MG_OK);
		if (marked)
			assert_int_equal(mg_stream_mark(&w->ctx, s, w->mark), MG_OK);
		take_batch(w, s, ROWS, marked ? &r : &plain);
		mg_stream_destroy(s);
	}
	for (uint32_t i = 0; i < ROWS; i++)
		assert_true(some[r.v[3][i]]);
	for (uint32_t i = 0; i < CLIQUES; i++)
		assert_true(same_marginal(&plain, &r, net[i].cols, net[i].k));
	assert_true(detect(w, &r, w->model_key).p < 1e-6);
	assert_true(detect(w, &plain, w->model_key).p > 1e-3);
	mg_conditioned_destroy(c);
}

static void
plans_of_other_models_are_refused(void **state)
{
	static const mg_label fewer[] = {{"x", 1}, {"y", 1}};
	world *w = *state;
	mg_stream *s = NULL;

	assert_int_equal(mg_stream_create(&w->ctx, w->model, w->key, &s), MG_OK);
	w->model->columns[w->plan->subset[0].cols[0]].domain.name = "renamed";
	assert_int_equal(mg_stream_mark(&w->ctx, s, w->mark), MG_INVALID);
	mg_stream_destroy(s);
	mg_ctx_init(&w->ctx);
	fill_columns(w->model);
	w->model->columns[w->plan->subset[0].cols[0]].domain.labels = fewer;
	w->model->columns[w->plan->subset[0].cols[0]].domain.nlabels = 2;
	w->model->columns[w->plan->subset[0].cols[0]].nfine = 4;
	assert_int_equal(mg_stream_create(&w->ctx, w->model, w->key, &s), MG_OK);
	assert_int_equal(mg_stream_mark(&w->ctx, s, w->mark), MG_INVALID);
	mg_stream_destroy(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(branches_are_separated, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cliques_keep_their_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(small_batches_are_samples, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_row_is_preferred_over_all_keys, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rare_cells_stay_rare, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rare_cells_stay_rare_in_small_batches, set_up, tear_down),
		cmocka_unit_test_setup_teardown(batches_are_functions_of_their_number, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rows_follow_the_mark, set_up, tear_down),
		cmocka_unit_test_setup_teardown(plans_are_functions_of_the_model, set_up, tear_down),
		cmocka_unit_test_setup_teardown(marks_are_found_with_their_keys_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(recipients_may_be_left_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(costs_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(first_rows_are_marked_as_well, set_up, tear_down),
		cmocka_unit_test_setup_teardown(small_batches_are_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(false_alarms_are_rare, set_up, tear_down),
		cmocka_unit_test_setup_teardown(parts_add_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rare_cells_are_few, set_up, tear_down),
		cmocka_unit_test_setup_teardown(small_batches_are_marked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(models_without_branches_are_marked_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(conditioned_streams_are_marked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(plans_of_other_models_are_refused, set_up, tear_down),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	mg_writer_free(&plan_bytes);
	return failed;
}
