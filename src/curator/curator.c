/*
 * curator/curator.c: life of a curator, loading, domains. What is here releases nothing.
 */
#include "curator/curator_private.h"

#include <math.h>
#include <stdlib.h>

mg_code
mg_curator_create(mg_ctx *ctx, const mg_domain *columns, uint32_t ncolumns, mg_noise *noise, mg_odometer *odometer,
				  mg_store *store, size_t memory, mg_curator **out)
{
	return mg_curator_create_for_units(ctx, columns, ncolumns, NULL, noise, odometer, store, memory, out);
}

mg_code
mg_curator_create_for_units(mg_ctx *ctx, const mg_domain *columns, uint32_t ncolumns, const mg_units *units,
							mg_noise *noise, mg_odometer *odometer, mg_store *store, size_t memory, mg_curator **out)
{
	uint8_t key[MG_HASH_KEY_BYTES + 8];
	mg_curator *c = calloc(1, sizeof(*c));
	mg_code code;

	if (c == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	c->noise = noise;
	c->odometer = odometer;
	c->memory = memory;
	c->ncolumns = ncolumns;
	c->k = units != NULL ? units->most_rows : 1;
	if (c->k < 1 || c->k > MG_MAX_ROWS_PER_UNIT)
		code = mg_fail(ctx, MG_INVALID, "a unit has between 1 and %d rows", MG_MAX_ROWS_PER_UNIT);
	else if (units != NULL)
		code = mgc_bounding_create(ctx, units, ncolumns, store, mgc_counting_memory(c), key, &c->units);
	else
		code = mg_noise_bytes(ctx, noise, key, sizeof(key));
	if (code == MG_OK)
		code = (c->k > 1 ? mg_codes_create_with_units : mg_codes_create)(ctx, columns, ncolumns, key, store, memory,
																		 &c->codes);
	if (code == MG_OK && units == NULL)
		code = mg_codes_pack(ctx, c->codes); /* bounding tells rows apart by their number */
	mg_zeroize(key, sizeof(key));
	if (code != MG_OK)
	{
		mgc_bounding_destroy(c->units);
		mg_codes_destroy(c->codes);
		free(c);
		return code;
	}
	*out = c;
	return MG_OK;
}

void
mg_curator_destroy(mg_curator *c)
{
	if (c == NULL)
		return;
	mgc_bounding_destroy(c->units);
	mg_codes_destroy(c->codes);
	mg_zeroize_free(c, sizeof(*c));
}

uint32_t
mg_curator_rows_per_unit(const mg_curator *c)
{
	return c->k;
}

/* rho = squared / (2 sigma2), solved for sigma2. Beyond mg_ratio_above's range, where many rows a unit lead, in whole
 * numbers. */
static bool
noise_for(double rho, double squared, mg_ratio *sigma2)
{
	double x = squared / (2 * rho);

	if (!(rho > 0 && x <= 0x1.0p52))
		return false;
	if (x <= 0x1.0p40)
		return mg_ratio_above(x, sigma2);
	*sigma2 = (mg_ratio){(uint64_t) ceil(x), 1};
	return true;
}

bool
mg_noise_for_rows(double rho, uint32_t k, mg_ratio *sigma2)
{
	return noise_for(rho, (double) k * k, sigma2);
}

bool
mg_noise_for_labels(double rho, uint32_t k, mg_ratio *sigma2)
{
	return noise_for(rho, k, sigma2);
}

bool
mg_noise_for_scores(double rho, uint32_t k, size_t count, mg_ratio *sigma2)
{
	return noise_for(rho, (double) k * k * (double) count, sigma2);
}

void
mg_load_null(mg_curator *c, uint32_t col)
{
	mg_codes_load_null(c->codes, col);
}

void
mg_load_number(mg_curator *c, uint32_t col, double v)
{
	mg_codes_load_number(c->codes, col, v);
}

void
mg_load_text(mg_curator *c, uint32_t col, const char *s, size_t len)
{
	mg_codes_load_text(c->codes, col, s, len);
}

void
mg_load_code(mg_curator *c, uint32_t col, uint32_t code)
{
	mg_codes_load_code(c->codes, col, code);
}

mg_code
mg_load_row(mg_ctx *ctx, mg_curator *c)
{
	if (c->loaded)
		return mg_fail(ctx, MG_INVALID, "the table is loaded already");
	if (c->units != NULL)
		MG_TRY(mgc_bounding_row(ctx, c->units, c->codes));
	return mg_codes_load_row(ctx, c->codes);
}

mg_code
mg_load_finish(mg_ctx *ctx, mg_curator *c)
{
	if (c->loaded)
		return mg_fail(ctx, MG_INVALID, "the table is loaded already");
	c->loaded = true;
	MG_TRY(mg_codes_load_finish(ctx, c->codes));
	if (c->units != NULL)
		MG_TRY(mgc_bounding_run(ctx, c->units, c->codes));
	mgc_bounding_destroy(c->units);
	c->units = NULL;
	return MG_OK;
}

static mg_code
check_stage(mg_ctx *ctx, const mg_curator *c, bool coarse)
{
	if (!c->loaded)
		return mg_fail(ctx, MG_INVALID, "the table is not loaded yet");
	if (c->units != NULL)
		return mg_fail(ctx, MG_INVALID, "the rows of units were not bounded");
	if (c->codes->broken)
		return mg_fail(ctx, MG_INVALID, "an earlier step over the table failed");
	if (c->codes->recoded != coarse)
		return mg_fail(ctx, MG_INVALID, coarse ? "the table is not recoded yet" : "the table is recoded already");
	return MG_OK;
}

mg_code
mgc_check_fine(mg_ctx *ctx, const mg_curator *c, uint32_t col)
{
	MG_TRY(check_stage(ctx, c, false));
	if (col >= c->ncolumns)
		return mg_fail(ctx, MG_INVALID, "there is no column %u", col + 1);
	return MG_OK;
}

mg_code
mgc_check_coarse(mg_ctx *ctx, const mg_curator *c)
{
	return check_stage(ctx, c, true);
}

mg_code
mgc_check_sigma2(mg_ctx *ctx, mg_ratio sigma2)
{
	if (sigma2.num == 0 || sigma2.den == 0 || sigma2.num > UINT64_C(1) << 53 || sigma2.den > UINT64_C(1) << 53)
		return mg_fail(ctx, MG_INVALID, "a variance must be a positive ratio");
	return MG_OK;
}

/*
 * Sensitivity 1 is what the event of that name says; others are their zCDP, which holds for any shift by a vector of
 * integers of that norm (Canonne, Kamath, Steinke 2020, Theorem 14).
 */
mg_event
mgc_gaussian_event(mg_ratio sigma2, uint64_t squared, double delta)
{
	double variance = (double) sigma2.num / (double) sigma2.den;
	mg_event e = {MG_EVENT_DISCRETE_GAUSSIAN, 0, 1, delta};

	/* Towards the dearer by an ulp or two: the charge is never under the truth. */
	if (squared == 1)
		e.param = sqrt(variance) * (1 - 0x1.0p-51);
	else
	{
		e.kind = MG_EVENT_ZCDP;
		e.param = (double) squared / (2 * variance) * (1 + 0x1.0p-50);
	}
	return e;
}

mg_code
mgc_debit(mg_ctx *ctx, mg_curator *c, const mg_event *e)
{
	return mg_odometer_debit(ctx, c->odometer, e);
}

mg_code
mgc_debit_all(mg_ctx *ctx, mg_curator *c, size_t count,
			  mg_event (*event)(const mg_curator *c, const void *arg, size_t i), const void *arg)
{
	mg_odometer trial = *c->odometer;

	for (size_t i = 0; i < count; i++)
	{
		mg_event e = event(c, arg, i);

		MG_TRY(mg_odometer_debit(ctx, &trial, &e));
	}
	*c->odometer = trial;
	return MG_OK;
}

size_t
mgc_counting_memory(const mg_curator *c)
{
	return c->memory / 4;
}

uint32_t
mg_curator_nfine(const mg_curator *c, uint32_t col)
{
	return col < c->ncolumns ? c->codes->column[col].nfine : 0;
}

mg_code
mg_curator_fix_number(mg_ctx *ctx, mg_curator *c, uint32_t col, const mg_cell *cells, uint32_t ncells)
{
	MG_TRY(mgc_check_fine(ctx, c, col));
	if (c->codes->column[col].storage != MG_STORE_KEY)
		return mg_fail(ctx, MG_INVALID, "the cells of column %u are not to be learnt", col + 1);
	if (c->codes->column[col].fixed)
		return mg_fail(ctx, MG_INVALID, "the cells of column %u are fixed already", col + 1);
	if (ncells == 0 || ncells > MG_MAX_CELLS)
		return mg_fail(ctx, MG_INVALID, "a number has 1 to %d cells", MG_MAX_CELLS);
	return mg_codes_fix_number(ctx, c->codes, col, cells, ncells);
}

mg_code
mg_curator_fix_labels(mg_ctx *ctx, mg_curator *c, uint32_t col, const mg_label *labels, uint32_t nlabels)
{
	MG_TRY(mgc_check_fine(ctx, c, col));
	if (c->codes->column[col].storage != MG_STORE_TEXT)
		return mg_fail(ctx, MG_INVALID, "the labels of column %u are not to be learnt", col + 1);
	if (c->codes->column[col].fixed)
		return mg_fail(ctx, MG_INVALID, "the labels of column %u are fixed already", col + 1);
	if (nlabels > MG_MAX_LABELS)
		return mg_fail(ctx, MG_INVALID, "a category has at most %d labels", MG_MAX_LABELS);
	return mg_codes_fix_labels(ctx, c->codes, col, labels, nlabels);
}

mg_code
mg_curator_recode(mg_ctx *ctx, mg_curator *c, const uint16_t *const *merge, const uint32_t *ncoarse)
{
	MG_TRY(check_stage(ctx, c, false));
	for (uint32_t j = 0; j < c->ncolumns; j++)
	{
		const mg_code_column *col = &c->codes->column[j];

		if (!col->fixed)
			return mg_fail(ctx, MG_INVALID, "the domain of column %u is not fixed yet", j + 1);
		if (ncoarse[j] < 1 || ncoarse[j] > 65535 || ncoarse[j] > col->nfine)
			return mg_fail(ctx, MG_INVALID, "column %u must have 1 to %u codes", j + 1, col->nfine);
		for (uint32_t i = 0; i < col->nfine; i++)
			if (merge[j][i] >= ncoarse[j])
				return mg_fail(ctx, MG_INVALID, "a cell of column %u is merged into a code that is not there", j + 1);
	}
	return mg_codes_recode(ctx, c->codes, merge, ncoarse);
}
