/*
 * model/binning.c: see model/binning.h. Pure functions of public figures and of the noisy number of rows; nothing is
 * allocated.
 */
#include "model/binning.h"

#include "model/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A bin is worth having from this many deviations of a marginal's noise on. */
#define BIN_DEVIATIONS 4.0
/*
 * Bins of a number: b^2 cells of a pair of two such numbers hold so many deviations of its noise each, 8 b^2 sigma = n.
 * Merging into b bins blurs what depends on the column by about 1 / b, noise adds about b^2 sigma / n. Where the
 * pairs are known exactly, the best b lies within a factor of 1.8 of this law from n / sigma = 200 to 50,000. With few
 * bins the least mass decides: methods then choose marginals whose other columns are small.
 */
#define CELL_DEVIATIONS 8.0
#define LEAST_BINS 12
#define MOST_BINS 128
/* Of a training's rho, were all columns open text. */
#define LEARN_SHARE 0.40
/* A number's range is found in few rounds, and what they miss the histogram shows; a label missed is lost. */
#define NUMBER_WEIGHT (1.0 / 3)
#define LEAST_DEVIATIONS 0.1
#define MOST_DEVIATIONS 1000.0

/* Deviation of a cell of the marginals that will be measured, if their rho is shared evenly; 0 where none will. */
static double
marginal_noise(const mg_discretize_options *opt, uint32_t ncolumns)
{
	double marginals = opt->marginals > 0 ? opt->marginals : ncolumns > 1 ? ncolumns - 1.0 : 1;
	double k = opt->rows_per_unit > 0 ? opt->rows_per_unit : 1;

	return opt->rho_measure > 0 ? k * sqrt(marginals / (2 * opt->rho_measure)) : 0;
}

mg_bin_rule
mg_bin_rule_for(const mg_discretize_options *opt, const mg_domain *d, uint32_t ncolumns, double total)
{
	double sigma = marginal_noise(opt, ncolumns), most = MOST_BINS;
	mg_bin_rule rule = {.how = opt->how};

	rule.least = sigma > 0 ? (opt->bin_deviations > 0 ? opt->bin_deviations : BIN_DEVIATIONS) * sigma : 1;
	if (sigma > 0)
		most = fmin(fmax(rint(sqrt(total / (CELL_DEVIATIONS * sigma))), LEAST_BINS), MOST_BINS);
	if (opt->most_bins > 0)
		most = opt->most_bins;
	if (d->bins > 0)
		most = d->bins;
	rule.most = (uint32_t) fmin(most, MG_MAX_CELLS);
	return rule;
}

double
mg_learning_weight(const mg_domain *d)
{
	return d->kind == MG_CATEGORY ? 1 : NUMBER_WEIGHT;
}

/*
 * Two errors that fall with the root of what is spent on them, one f times as large as the other: their sum is least
 * where the budget is shared as f^(2/3) to 1. f is the part of the columns that learn.
 */
double
mg_discretize_learn_share(const mg_domain *domains, uint32_t ncolumns)
{
	double learning = 0;

	for (uint32_t i = 0; i < ncolumns; i++)
		if (domains[i].open || mg_domain_is_wide(&domains[i]))
			learning += mg_learning_weight(&domains[i]);
	return ncolumns > 0 ? LEARN_SHARE * pow(learning / ncolumns, 2.0 / 3) : 0;
}

static mg_code
parse_number(mg_ctx *ctx, const mg_option *option, double least, double most, bool integer, double *out)
{
	char *end = NULL;
	double x = option->value == NULL ? NAN : strtod(option->value, &end);

	if (end == NULL || end == option->value || *end != '\0' || !(x >= least && x <= most) || (integer && x != rint(x)))
	{
		mg_fail(ctx, MG_INVALID, "option \"%s\" is not %s between %g and %g", option->name,
				integer ? "a whole number" : "a number", least, most);
		return mg_hint(ctx, "Left out, it follows the noise.");
	}
	*out = x;
	return MG_OK;
}

static mg_code
parse_binning(mg_ctx *ctx, const mg_option *option, mg_binning *out)
{
	static const char *const names[] =
		{[MG_BINS_MERGED] = "merged", [MG_BINS_UNIFORM] = "uniform", [MG_BINS_QUANTILE] = "quantile"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (option->value != NULL && strcmp(option->value, names[i]) == 0)
		{
			*out = (mg_binning) i;
			return MG_OK;
		}
	mg_fail(ctx, MG_INVALID, "option \"binning\" names no way of cutting numbers into bins");
	return mg_hint(ctx, "It is one of merged, uniform, quantile.");
}

mg_code
mg_discretize_option(mg_ctx *ctx, const mg_option *option, mg_discretize_options *out, bool *mine)
{
	double x;

	*mine = true;
	if (strcmp(option->name, "binning") == 0)
		return parse_binning(ctx, option, &out->how);
	if (strcmp(option->name, "bins") == 0)
	{
		MG_TRY(parse_number(ctx, option, 1, MG_MAX_CELLS, true, &x));
		out->most_bins = (uint32_t) x;
		return MG_OK;
	}
	if (strcmp(option->name, "bin_deviations") == 0)
		return parse_number(ctx, option, LEAST_DEVIATIONS, MOST_DEVIATIONS, false, &out->bin_deviations);
	*mine = false;
	return MG_OK;
}
