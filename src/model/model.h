/*
 * model/model.h: the interface that every method implements.
 *
 * A method fits a model through a curator, which is all it ever sees of the table; a model writes itself into bytes,
 * reads itself back, describes itself, and compiles into a sampler of coarse codes. Columns (table/domain.h) belong to
 * the model.
 */
#ifndef MIRAGE_MODEL_MODEL_H
#define MIRAGE_MODEL_MODEL_H

#include "curator/curator.h"
#include "model/bins.h"
#include "model/constraint.h"
#include "num/rng.h"

typedef struct mg_model mg_model;
typedef struct mg_sampler mg_sampler;
typedef struct mg_dependency mg_dependency; /* model/dependency.h */

/* How a training's rho is split; what dp_plan shows. Fractions sum to 1. Each is an option of the method. */
typedef struct mg_split
{
	double learn;   /* learning open domains: labels, bounds, spikes */
	double oneway;  /* fine histograms */
	double select;  /* private selection */
	double measure; /* marginals */
} mg_split;

/* Options come as name/value pairs of text; a method refuses a name it does not know (MG_UNKNOWN, hint lists the
 * names). */
typedef struct mg_option
{
	const char *name, *value;
} mg_option;

typedef struct mg_fit_request
{
	const mg_domain *domains;
	uint32_t ncolumns;
	mg_allowance allowance;
	const mg_option *options;
	uint32_t noptions;
	uint32_t rows_per_unit; /* k of the curator, which noise follows; 0 is 1 */
	size_t memory;          /* bytes the fit may use beside the curator */
	/*
	 * Public conditions on rows. A fit may take the structural zeros of those that are sure (mg_constraint_zeros), and
	 * then sets their `how` to MG_HOW_ZEROS. Whoever called the fit stores them with the model.
	 */
	mg_constraint *constraints;
	uint32_t nconstraints;
	/* columns that are to be functions of others: a method does well to measure each with its determinants */
	const mg_dependency *dependencies;
	uint32_t ndependencies;
} mg_fit_request;

/* One line of a plan: what will be measured, with what noise. Known before any private read. */
typedef struct mg_plan_item
{
	char what[96];            /* "labels", "bounds", "fine histogram", "selection", "pair marginals" */
	char column[64];          /* "" for all */
	double rho, delta, share; /* share of the training's rho */
	double sigma;             /* noise of one count; 0 where it does not apply */
	uint64_t count;
} mg_plan_item;

typedef struct mg_plan
{
	mg_plan_item *item;
	uint32_t count;
	mg_split split;
} mg_plan;

/*
 * Columns that may be exchanged among rows: given the codes of `sep`, those of `branch` are independent of all other
 * columns, in the model and under any condition on single columns. Lists ascend and do not meet; sep may be empty,
 * branch and the rest of the columns may not.
 */
typedef struct mg_branch
{
	uint32_t nbranch, nsep;
	const uint32_t *branch, *sep;
} mg_branch;

typedef struct mg_method
{
	const char *name;
	const char *summary;
	/* Checks the options; plans without data. */
	mg_code (*plan)(mg_ctx *ctx, mg_arena *a, const mg_fit_request *req, mg_plan *out);
	mg_code (*fit)(mg_ctx *ctx, mg_curator *c, const mg_fit_request *req, mg_model **out);
	/* The body only; header and columns are written by mg_model_write. */
	mg_code (*write_body)(mg_ctx *ctx, const mg_model *m, mg_writer *w);
	mg_code (*read_body)(mg_ctx *ctx, mg_model *m, mg_reader *r);
	mg_code (*compile)(mg_ctx *ctx, const mg_model *m, mg_sampler **out);
	/*
	 * A sampler of the joint that is proportional to the model's times the product of the columns' weights.
	 * weight[ncolumns]: NULL where a column is free, else [ncoarse] in [0, 1], the probability that a row of this code
	 * satisfies the condition. *log_probability: natural logarithm of the product's expectation under the model.
	 * MG_IMPOSSIBLE where that is zero. NULL: the method cannot.
	 */
	mg_code (*condition)(mg_ctx *ctx, const mg_model *m, const double *const *weight, mg_sampler **out,
						 double *log_probability);
	/* Appends name/value facts (public: structure, noise) as JSON members to `w`, e.g. "cliques": [["age","sex"], ...]
	 */
	mg_code (*describe)(mg_ctx *ctx, const mg_model *m, mg_writer *w);
	/*
	 * The model's marginal over the columns cols[k] (ascending), row-major, the last fastest, any scale, into the
	 * zeroed out[product of their ncoarse]. NULL, or *answered left false: this method, or this marginal, cannot be
	 * told.
	 */
	mg_code (*marginal)(mg_ctx *ctx, const mg_model *m, const uint32_t *cols, uint32_t k, double *out, bool *answered);
	/* The model's branches, in the arena; NULL, or none: it has no such structure. */
	mg_code (*branches)(mg_ctx *ctx, const mg_model *m, mg_arena *a, const mg_branch **out, uint32_t *n);
} mg_method;

struct mg_model
{
	const mg_method *method;
	mg_arena *arena; /* everything of the model */
	uint32_t ncolumns;
	mg_column *columns;
	double total; /* noisy number of rows, >= 1 */
	void *body;   /* the method's own */
	mg_constraint *constraints;
	uint32_t nconstraints;
	/* functions that columns are of others, a column after its determinants (model/dependency.h) */
	uint32_t ndependencies;
	const mg_dependency *dependencies;
	uint64_t dependency_salt; /* of the hash that picks values within a code */
};

/* An empty model that lives in an arena of its own, columns zeroed; memory: the arena's limit, 0 for none. */
mg_code mg_model_create(mg_ctx *ctx, const mg_method *method, uint32_t ncolumns, size_t memory, mg_model **out);
/* Destroys m->arena, in which m itself and its body live. NULL allowed. */
void mg_model_destroy(mg_model *m);

/* Gives the model a copy of these constraints; MG_INVALID where they do not fit its columns. */
mg_code mg_model_constrain(mg_ctx *ctx, mg_model *m, const mg_constraint *constraints, uint32_t n);

/* Versioned, length-checked, with a SHA-free checksum (CRC-32C): magic "MGMODEL", format version, method, columns,
 * constraints, body. */
mg_code mg_model_write(mg_ctx *ctx, const mg_model *m, mg_writer *w);
/*
 * MG_CORRUPT on anything that is not a well-formed model, MG_NOMEM where it would take more memory than a fixed
 * multiple of its bytes; methods are looked up in `methods`, NULL-terminated.
 */
mg_code mg_model_read(mg_ctx *ctx, const mg_method *const *methods, const void *data, size_t len, mg_model **out);
uint32_t mg_crc32c(const void *data, size_t len); /* Castagnoli's, as in iSCSI */

/*
 * A sampler draws batches of coarse codes. codes[col][0..n-1]; the batch is a function of (model, rng state, n) alone.
 * Systematic sampling: each conditional's counts within a group differ from expectation by less than one.
 */
#define MG_BATCH_ROWS 16384
struct mg_sampler
{
	mg_code (*batch)(mg_ctx *ctx, mg_sampler *s, mg_rng *rng, uint32_t n,
					 uint16_t *const *codes); /* n <= MG_BATCH_ROWS */
	void (*destroy)(mg_sampler *s);
};

/*
 * Discretisation: learns open domains, measures fine histograms as hierarchies, makes them
 * consistent, merges fine cells into coarse codes, and recodes the curator's table. Uses rho * (split.learn +
 * split.oneway), to rounding, and at most the atoms. Returns columns in arena a, strings included; `domains` is not
 * kept. Where no column is open the learn share goes to `measure`, by plan; a closed number with more values than
 * MG_MAX_CELLS then learns its cells and frequent values out of its own part of the one-way share.
 * All columns get the same total. A NOT NULL open category of which no label was released, and without a declared
 * `other`, gets the empty text for it.
 */
typedef struct mg_discretize_options
{
	double rho_learn, rho_oneway, delta_atoms;
	double rho_measure;     /* what the method will spend on marginals later: bins are made heavy against that noise */
	uint32_t marginals;     /* how many it will measure with that; 0: one less than there are columns */
	mg_binning how;         /* numbers into bins; zero: merged */
	uint32_t most_bins;     /* of a number, where the column declares none; 0: as many as the noise allows */
	double bin_deviations;  /* least mass of a bin, in deviations of a marginal's noise; 0: a default */
	uint32_t rows_per_unit; /* as in the request; MG_INVALID where the curator has another */
} mg_discretize_options;

mg_code mg_discretize(mg_ctx *ctx, mg_curator *c, const mg_domain *domains, uint32_t ncolumns,
					  const mg_discretize_options *opt, mg_arena *a, mg_column *out);
/*
 * Options of discretisation that every method hands on (names: MG_DISCRETIZE_OPTIONS, for its hints). *mine: the option
 * is one of them, and is now in *out; MG_INVALID where it is, and its value is none.
 */
#define MG_DISCRETIZE_OPTIONS "binning, bins, bin_deviations"
mg_code mg_discretize_option(mg_ctx *ctx, const mg_option *option, mg_discretize_options *out, bool *mine);
/* The share of a training's rho that learning these domains is worth, 0 where nothing is learnt; from public figures.
 */
double mg_discretize_learn_share(const mg_domain *domains, uint32_t ncolumns);
/*
 * The plan items of the same, without data, appended to plan->item (moved to arena a). rho is for all `count` calls;
 * item->share is left to the caller, who knows the training's rho.
 */
mg_code mg_discretize_plan(mg_ctx *ctx, mg_arena *a, const mg_domain *domains, uint32_t ncolumns,
						   const mg_discretize_options *opt, mg_plan *plan);

#endif
