/*
 * test/unit/test_graphical_model.c: stored form, description and sampler of graphical models made by hand, against the
 * whole joint table.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "graphical/body.h"
#include "joint_world.h"

/* ---- a model by hand ---- */

static mg_model *
make_model(world *w, uint32_t ncolumns, const uint32_t *sizes, const mg_column_set *sets, uint32_t count, double spread)
{
	static const char *const names[] = {"a", "b \"quoted\"", "c\\d", "e\n", "f", "g", "h", "i"};
	mg_graphical *g;
	mg_messages messages;
	mg_model *m;

	assert_int_equal(mg_model_create(&w->ctx, &mg_method_mst, ncolumns, 0, &m), MG_OK);
	m->total = 5000;
	for (uint32_t i = 0; i < ncolumns; i++)
	{
		m->columns[i].ncoarse = sizes[i];
		m->columns[i].domain.name = names[i];
	}
	g = mg_arena_alloc(m->arena, 1, sizeof(*g));
	m->body = g;
	g->split = (mg_split){0.1, 0.1, 0.1, 0.7};
	g->rounds = 4;
	g->measured = mg_arena_alloc(m->arena, count, sizeof(*g->measured));
	assert_int_equal(mg_junction_build(&w->ctx, m->arena, sizes, ncolumns, sets, count, &g->tree), MG_OK);
	assert_int_equal(mg_junction_factors(&w->ctx, m->arena, &g->tree, &g->marginal), MG_OK);
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &g->tree, &messages), MG_OK);
	for (uint32_t c = 0; c < count; c++)
	{
		g->measured[g->nmeasured++] = (mg_measured){.k = sets[c].k, .cols = sets[c].cols, .sigma = 1 + c};
		for (size_t i = 0; i < g->marginal[c].cells; i++)
			g->marginal[c].v[i] = mg_rng_unit(&w->rng) < 0.15 ? -INFINITY : spread * normal(&w->rng);
	}
	mg_junction_calibrate(&g->tree, &messages, m->total, g->marginal);
	assert_near(mg_factor_total(&g->marginal[0]), m->total, 1e-6);
	return m;
}

static mg_code
read_bytes(world *w, const mg_model *like, const void *data, size_t len, mg_model **out)
{
	mg_reader r;
	mg_model *m;
	mg_code code;

	mg_ctx_init(&w->ctx);
	assert_int_equal(mg_model_create(&w->ctx, like->method, like->ncolumns, 0, &m), MG_OK);
	memcpy(m->columns, like->columns, like->ncolumns * sizeof(*m->columns));
	m->total = like->total;
	mg_reader_init(&r, data, len);
	code = like->method->read_body(&w->ctx, m, &r);
	if (code == MG_OK && (r.failed || mg_reader_left(&r) != 0))
		code = MG_CORRUPT;
	if (out != NULL && code == MG_OK)
		*out = m;
	else
		mg_model_destroy(m);
	return code;
}

static void
bodies_survive_writing(void **state)
{
	world *w = *state;
	mg_model *m = make_model(w, NET_COLUMNS, net_sizes, net, NET_CLIQUES, 1), *back;
	const mg_graphical *g = m->body, *h;
	mg_writer first, second;

	mg_writer_init(&first);
	mg_writer_init(&second);
	assert_int_equal(m->method->write_body(&w->ctx, m, &first), MG_OK);
	assert_int_equal(read_bytes(w, m, first.data, first.len, &back), MG_OK);
	h = back->body;
	assert_int_equal(h->tree.count, g->tree.count);
	assert_int_equal(h->rounds, 4);
	for (uint32_t c = 0; c < g->tree.count; c++)
		assert_memory_equal(h->marginal[c].v, g->marginal[c].v, g->marginal[c].cells * sizeof(double));
	assert_int_equal(back->method->write_body(&w->ctx, back, &second), MG_OK);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
	/* every shorter string is refused */
	for (size_t n = 0; n < first.len; n++)
		assert_int_equal(read_bytes(w, m, first.data, n, NULL), MG_CORRUPT);
	mg_writer_free(&first);
	mg_writer_free(&second);
	mg_model_destroy(back);
	mg_model_destroy(m);
}

/*
 * Writes the model after `spoil` and expects that it is refused, then undoes nothing: each call gets a fresh
 * model.
 */
static void
expect_corrupt(world *w, void (*spoil)(mg_model *m, mg_graphical *g))
{
	mg_model *m = make_model(w, NET_COLUMNS, net_sizes, net, NET_CLIQUES, 1);
	mg_writer out;

	mg_writer_init(&out);
	spoil(m, m->body);
	assert_int_equal(m->method->write_body(&w->ctx, m, &out), MG_OK);
	assert_int_equal(read_bytes(w, m, out.data, out.len, NULL), MG_CORRUPT);
	mg_writer_free(&out);
	mg_model_destroy(m);
}

static void
spoil_nan(mg_model *m, mg_graphical *g)
{
	g->marginal[1].v[0] = NAN;
}

static void
spoil_negative(mg_model *m, mg_graphical *g)
{
	g->marginal[1].v[1] += g->marginal[1].v[0] + 1;
	g->marginal[1].v[0] = -1;
}

static void
spoil_infinite(mg_model *m, mg_graphical *g)
{
	g->marginal[0].v[0] = INFINITY;
}

static void
spoil_sum(mg_model *m, mg_graphical *g)
{
	g->marginal[2].v[0] += 1;
}

/* Same sum, but the separators no longer agree. */
static void
spoil_consistency(mg_model *m, mg_graphical *g)
{
	for (uint32_t c = 0; c < g->tree.count; c++)
		if (g->tree.clique[c].k == 3 && g->tree.clique[c].cols[0] == 0)
		{
			double *v = g->marginal[c].v, *last = v + g->marginal[c].cells - 1;

			if (*v > *last)
			{
				*last += *v / 2;
				*v /= 2;
			}
			else
			{
				*v += *last / 2;
				*last /= 2;
			}
		}
}

static void
spoil_sigma(mg_model *m, mg_graphical *g)
{
	g->measured[0].sigma = 0;
}

/* Measured, but held by no clique. */
static void
spoil_measured(mg_model *m, mg_graphical *g)
{
	uint32_t *cols = mg_arena_alloc(m->arena, NET_COLUMNS, sizeof(uint32_t));

	for (uint32_t i = 0; i < NET_COLUMNS; i++)
		cols[i] = i;
	g->measured[0].cols = cols;
	g->measured[0].k = NET_COLUMNS;
}

static void
spoil_split(mg_model *m, mg_graphical *g)
{
	g->split.measure = 0.9;
}

static void
spoil_parent(mg_model *m, mg_graphical *g)
{
	g->tree.clique[1].parent = 1;
}

/* The last clique hangs on one that it shares less with: running intersection fails. */
static void
spoil_running(mg_model *m, mg_graphical *g)
{
	for (uint32_t c = 1; c < g->tree.count; c++)
		for (uint32_t p = 0; p < c; p++)
			if (g->tree.clique[c].nsep > 0 && g->tree.clique[p].k == 1)
				g->tree.clique[c].parent = p;
	/* the lone column came too late to be anyone's parent: move the root's child instead */
	if (g->tree.clique[g->tree.count - 1].k != 1)
		return;
	g->tree.clique[g->tree.count - 2].parent = 0;
}

static void
spoil_column(mg_model *m, mg_graphical *g)
{
	uint32_t *cols = mg_arena_alloc(m->arena, 3, sizeof(uint32_t));

	memcpy(cols, g->tree.clique[0].cols, g->tree.clique[0].k * sizeof(uint32_t));
	cols[g->tree.clique[0].k - 1] = NET_COLUMNS;
	g->tree.clique[0].cols = cols;
}

static void
spoil_facts(mg_model *m, mg_graphical *g)
{
	g->report.gap = NAN;
}

static void
damaged_bodies_are_refused(void **state)
{
	static void (*const spoils[])(mg_model *, mg_graphical *) = {
		spoil_nan,      spoil_negative, spoil_infinite, spoil_sum,     spoil_consistency, spoil_sigma,
		spoil_measured, spoil_split,    spoil_parent,   spoil_running, spoil_column,      spoil_facts,
	};
	world *w = *state;
	mg_model *m;
	mg_writer out;

	for (size_t i = 0; i < sizeof(spoils) / sizeof(*spoils); i++)
		expect_corrupt(w, spoils[i]);
	/* random bytes changed: never a crash, whatever the verdict */
	m = make_model(w, NET_COLUMNS, net_sizes, net, NET_CLIQUES, 1);
	mg_writer_init(&out);
	assert_int_equal(m->method->write_body(&w->ctx, m, &out), MG_OK);
	for (int i = 0; i < 3000; i++)
	{
		size_t at = mg_rng_below32((uint32_t) mg_rng_u64(&w->rng), (uint32_t) out.len);
		uint8_t keep = out.data[at];
		mg_code code;

		out.data[at] ^= (uint8_t) (1u << (mg_rng_u64(&w->rng) & 7));
		code = read_bytes(w, m, out.data, out.len, NULL);
		assert_true(code == MG_OK || code == MG_CORRUPT);
		out.data[at] = keep;
	}
	mg_writer_free(&out);
	mg_model_destroy(m);
}

/* A lone clique has no separator that would give a wrong cell away: its own checks must. */
static void
lone_cliques_are_checked(void **state)
{
	static const uint32_t sizes[] = {4}, a[] = {0};
	static const mg_column_set sets[] = {{1, a, 0}};
	/* moved from cell to cell; added */
	static const double move[] = {0, 1e5, 0, INFINITY}, add[] = {0, 0, 100, 0};
	world *w = *state;

	for (int i = 0; i < 4; i++)
	{
		mg_model *m = make_model(w, 1, sizes, sets, 1, 0);
		double *v = ((mg_graphical *) m->body)->marginal[0].v;
		mg_writer out;

		mg_writer_init(&out);
		v[0] -= move[i];
		v[1] += move[i] + add[i];
		assert_int_equal(m->method->write_body(&w->ctx, m, &out), MG_OK);
		assert_int_equal(read_bytes(w, m, out.data, out.len, NULL), i == 0 ? MG_OK : MG_CORRUPT);
		mg_writer_free(&out);
		mg_model_destroy(m);
	}
}

static void
description_is_escaped_json(void **state)
{
	world *w = *state;
	mg_model *m = make_model(w, NET_COLUMNS, net_sizes, net, NET_CLIQUES, 1);
	mg_writer out;
	char *text;

	mg_writer_init(&out);
	assert_int_equal(m->method->describe(&w->ctx, m, &out), MG_OK);
	text = mg_arena_strndup(w->a, (const char *) out.data, out.len);
	assert_non_null(strstr(text, "\"cliques\": [["));
	assert_non_null(strstr(text, "\"b \\\"quoted\\\"\""));
	assert_non_null(strstr(text, "\"c\\\\d\""));
	assert_non_null(strstr(text, "\"e\\u000a\""));
	assert_non_null(strstr(text, "\"selection rounds\": 4"));
	assert_null(strchr(text, '\n'));
	mg_writer_free(&out);
	mg_model_destroy(m);
}

/* ---- sampling ---- */

typedef struct rows
{
	uint16_t *codes[MOST];
} rows;

static void
draw_rows(world *w, mg_sampler *s, uint32_t ncolumns, uint32_t n, rows *out)
{
	for (uint32_t i = 0; i < ncolumns; i++)
		out->codes[i] = mg_arena_alloc(w->a, n + 1, sizeof(uint16_t));
	assert_int_equal(s->batch(&w->ctx, s, &w->rng, n, out->codes), MG_OK);
}

/* Among the rows that agree on the parents, the number of each code differs from its expectation by less than one. */
static void
check_systematic(const mg_model *m, const rows *r, uint32_t n)
{
	const mg_graphical *g = m->body;
	bool seen[MOST] = {false};

	for (uint32_t c = 0; c < g->tree.count; c++)
	{
		const mg_clique *q = &g->tree.clique[c];
		uint32_t known[MOST], nknown = q->nsep;

		memcpy(known, q->sep, q->nsep * sizeof(*known));
		for (uint32_t i = 0; i < q->k; i++)
		{
			double mass[256] = {0}, count[256] = {0}, group_mass[256] = {0}, group_count[256] = {0};
			uint32_t col = q->cols[i], code[MOST], size = g->tree.size[col];
			joint clique = whole(g->marginal[c].size, q->k);

			if (seen[col])
				continue;
			for (size_t x = 0; x < g->marginal[c].cells; x++)
			{
				uint32_t by_column[MOST] = {0};
				size_t cell;

				codes_of(&clique, x, code);
				for (uint32_t k = 0; k < q->k; k++)
					by_column[q->cols[k]] = code[k];
				cell = cell_of(known, nknown, g->tree.size, by_column);
				group_mass[cell] += g->marginal[c].v[x];
				mass[cell * size + by_column[col]] += g->marginal[c].v[x];
			}
			for (uint32_t row = 0; row < n; row++)
			{
				uint32_t by_column[MOST] = {0};
				size_t cell;

				for (uint32_t k = 0; k < m->ncolumns; k++)
					by_column[k] = r->codes[k][row];
				cell = cell_of(known, nknown, g->tree.size, by_column);
				group_count[cell]++;
				count[cell * size + by_column[col]]++;
			}
			for (uint32_t cell = 0; cell < 256 / size; cell++)
				for (uint32_t y = 0; y < size && group_count[cell] > 0; y++)
				{
					double expected = group_count[cell] * mass[cell * size + y] / group_mass[cell];

					assert_true(fabs(count[cell * size + y] - expected) < 1 + 1e-5);
					assert_true(mass[cell * size + y] > 0 || count[cell * size + y] == 0);
				}
			seen[col] = true;
			known[nknown++] = col;
			for (uint32_t k = nknown - 1; k > 0 && known[k] < known[k - 1]; k--)
			{
				uint32_t swap = known[k];

				known[k] = known[k - 1];
				known[k - 1] = swap;
			}
		}
	}
}

static void
batches_are_systematic(void **state)
{
	static const uint32_t sizes[] = {0, 1, 2, 7, 100, 1000, MG_BATCH_ROWS};
	world *w = *state;
	mg_model *m = make_model(w, NET_COLUMNS, net_sizes, net, NET_CLIQUES, 1.5);
	mg_sampler *s;
	rows r;

	assert_int_equal(m->method->compile(&w->ctx, m, &s), MG_OK);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (int again = 0; again < 3; again++)
		{
			draw_rows(w, s, NET_COLUMNS, sizes[i], &r);
			check_systematic(m, &r, sizes[i]);
		}
	mg_ctx_init(&w->ctx);
	assert_int_equal(s->batch(&w->ctx, s, &w->rng, MG_BATCH_ROWS + 1, r.codes), MG_INVALID);
	s->destroy(s);
	mg_model_destroy(m);
}

/*
 * Rows as a whole follow the joint: one row is kept of each small batch, so that what is compared is
 * independent draws (chi-square at 10^-6, fixed seed). Reading a row at a fixed place also shows that places
 * carry no information.
 */
static void
rows_follow_the_joint(void **state)
{
	static const uint32_t sizes[] = {2, 3, 2, 2, 2}, abc[] = {0, 1, 2}, bcd[] = {1, 2, 3}, e[] = {3, 4};
	static const mg_column_set sets[] = {{3, abc, 0}, {3, bcd, 0}, {2, e, 0}};
	enum
	{
		DRAWS = 60000
	};
	world *w = *state;
	mg_model *m = make_model(w, 5, sizes, sets, 3, 0.7);
	const mg_graphical *g = m->body;
	joint all = whole(sizes, 5);
	double expected[64] = {0}, count[64] = {0}, chi = 0, cells = -1;
	mg_messages messages;
	mg_sampler *s;
	rows r;

	/* the joint of a junction tree: product of cliques over product of separators */
	assert_int_equal(mg_messages_make(&w->ctx, w->a, &g->tree, &messages), MG_OK);
	for (size_t x = 0; x < all.cells; x++)
	{
		uint32_t code[MOST];

		codes_of(&all, x, code);
		expected[x] = DRAWS;
		for (uint32_t c = 0; c < g->tree.count; c++)
		{
			mg_factor *sep = &messages.sum[c];
			double mass = g->marginal[c].v[cell_of(g->tree.clique[c].cols, g->tree.clique[c].k, sizes, code)];
			double over;

			mg_factor_marginal(&g->marginal[c], sep);
			over = sep->v[cell_of(g->tree.clique[c].sep, g->tree.clique[c].nsep, sizes, code)];
			expected[x] *= mass > 0 ? mass / over : 0;
		}
	}
	assert_int_equal(m->method->compile(&w->ctx, m, &s), MG_OK);
	for (uint32_t i = 0; i < 5; i++)
		r.codes[i] = mg_arena_alloc(w->a, 16, sizeof(uint16_t));
	for (int i = 0; i < DRAWS; i++)
	{
		uint32_t code[MOST], n = 1 + (uint32_t) i % 9;

		assert_int_equal(s->batch(&w->ctx, s, &w->rng, n, r.codes), MG_OK);
		for (uint32_t k = 0; k < 5; k++)
			code[k] = r.codes[k][(uint32_t) i % n];
		count[cell_of((const uint32_t[]){0, 1, 2, 3, 4}, 5, sizes, code)]++;
	}
	for (size_t x = 0; x < all.cells; x++)
	{
		assert_true(expected[x] > 0 || count[x] == 0);
		if (expected[x] < 1)
			continue;
		chi += (count[x] - expected[x]) * (count[x] - expected[x]) / expected[x];
		cells++;
	}
	/* Wilson, Hilferty 1931: cube root of chi-square / df is nearly normal; 4.75 is one in a million */
	assert_true(cells > 10);
	assert_true((cbrt(chi / cells) - (1 - 2 / (9 * cells))) / sqrt(2 / (9 * cells)) < 4.75);
	assert_true((cbrt(chi / cells) - (1 - 2 / (9 * cells))) / sqrt(2 / (9 * cells)) > -4.75);
	s->destroy(s);
	mg_model_destroy(m);
}

/* Columns that are independent in the model are so in the rows of one batch too: no tie through the order of rows. */
static void
batches_keep_columns_apart(void **state)
{
	static const uint32_t sizes[] = {8, 8}, a[] = {0}, b[] = {1};
	static const mg_column_set sets[] = {{1, a, 0}, {1, b, 0}};
	world *w = *state;
	mg_model *m = make_model(w, 2, sizes, sets, 2, 0);
	const mg_graphical *g = m->body;
	double chi = 0, count[64] = {0}, df = 0;
	mg_sampler *s;
	rows r;

	assert_int_equal(m->method->compile(&w->ctx, m, &s), MG_OK);
	draw_rows(w, s, 2, MG_BATCH_ROWS, &r);
	for (uint32_t i = 0; i < MG_BATCH_ROWS; i++)
		count[r.codes[0][i] * 8 + r.codes[1][i]]++;
	for (uint32_t x = 0; x < 64; x++)
	{
		double expected = MG_BATCH_ROWS * g->marginal[0].v[x / 8] / m->total * g->marginal[1].v[x % 8] / m->total;

		if (expected > 0)
		{
			chi += (count[x] - expected) * (count[x] - expected) / expected;
			df++;
		}
	}
	/* margins are fixed: about (rows - 1) (columns - 1) degrees */
	assert_true(chi < df + 5 * sqrt(2 * df));
	assert_true(chi > df / 4);
	s->destroy(s);
	mg_model_destroy(m);
}

/* Many codes and few rows take the other way through the allocation; both must give the same. */
static void
wide_columns_are_systematic(void **state)
{
	static const uint32_t sizes[] = {3, 5000}, ab[] = {0, 1};
	static const mg_column_set sets[] = {{2, ab, 0}};
	world *w = *state;
	mg_model *m = make_model(w, 2, sizes, sets, 1, 2);
	const mg_graphical *g = m->body;
	mg_sampler *s;
	rows r;

	assert_int_equal(m->method->compile(&w->ctx, m, &s), MG_OK);
	for (uint32_t n = 1; n <= 2000; n = n * 3 + 1)
	{
		draw_rows(w, s, 2, n, &r);
		for (uint32_t x = 0; x < 3; x++)
		{
			double mass = 0, before = 0, rows_of_x = 0, seen = 0;

			for (uint32_t y = 0; y < 5000; y++)
				mass += g->marginal[0].v[x * 5000 + y];
			for (uint32_t i = 0; i < n; i++)
				rows_of_x += r.codes[0][i] == x;
			/* cumulative counts, too, are within one of their expectation */
			for (uint32_t y = 0; y < 5000; y++)
			{
				for (uint32_t i = 0; i < n; i++)
					seen += r.codes[0][i] == x && r.codes[1][i] == y;
				before += g->marginal[0].v[x * 5000 + y];
				assert_true(mass == 0 || fabs(seen - rows_of_x * before / mass) < 1 + 1e-5);
			}
		}
	}
	s->destroy(s);
	mg_model_destroy(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bodies_survive_writing, set_up, free_world),
		cmocka_unit_test_setup_teardown(damaged_bodies_are_refused, set_up, free_world),
		cmocka_unit_test_setup_teardown(lone_cliques_are_checked, set_up, free_world),
		cmocka_unit_test_setup_teardown(description_is_escaped_json, set_up, free_world),
		cmocka_unit_test_setup_teardown(batches_are_systematic, set_up, free_world),
		cmocka_unit_test_setup_teardown(rows_follow_the_joint, set_up, free_world),
		cmocka_unit_test_setup_teardown(batches_keep_columns_apart, set_up, free_world),
		cmocka_unit_test_setup_teardown(wide_columns_are_systematic, set_up, free_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
