/*
 * synthesis/stream_private.h: what stream.c and redraw.c share. Private to synthesis/.
 */
#ifndef MIRAGE_SYNTHESIS_STREAM_PRIVATE_H
#define MIRAGE_SYNTHESIS_STREAM_PRIVATE_H

#include "synthesis/synthesis.h"
#include "synthesis/condition.h"
#include "synthesis/depend.h"
#include "synthesis/values.h"

/* A number that comparisons with others bound. */
typedef struct mg_target
{
	uint32_t col, natoms;
	const mg_expr **atom; /* comparisons of several numbers, this one among them */
} mg_target;

/* What keeps rows within the model's constraints; a stream has none where no constraint is enforced. */
typedef struct mg_redraw
{
	uint32_t nchecks;
	mg_check **check;           /* [nchecks] the enforced ones */
	const mg_constraint **from; /* [nchecks] */
	bool *needed;               /* [ncolumns] mentioned by one of them */
	bool fixed;                 /* codes say all about the needed columns: new values within bins are the same values */
	uint32_t ntargets;
	mg_target *target;
	uint16_t **codes; /* [ncolumns][MG_BATCH_ROWS] candidates */
	mg_values *value; /* [ncolumns] the needed columns of candidates */
	uint8_t *truth;   /* [MG_BATCH_ROWS] of one constraint */
	bool *bad;        /* [MG_BATCH_ROWS] rows or candidates that violate a constraint */
	bool *open;       /* [MG_BATCH_ROWS] rows of the batch that do */
	uint16_t *row;    /* [MG_BATCH_ROWS] those rows, in order */
} mg_redraw;

/* Which rows of a batch may satisfy a query's conditions (where.c). */
typedef struct mg_where
{
	const mg_condition *condition; /* [n] */
	uint32_t n;
	bool **may;     /* [n][ncoarse] may the code satisfy it? NULL: of a column that depends on others */
	bool dependent; /* is there one of those? */
	bool nothing;   /* no code of one of the columns may satisfy its condition: no row does */
	bool *needed;   /* [ncolumns] the conditions' columns, and what they depend on */
	bool *made;     /* [ncolumns] has its values in this batch */
	uint16_t *row;  /* [MG_BATCH_ROWS] the rows that are left */
	uint32_t nrows;
} mg_where;

struct mg_stream
{
	mg_arena *arena;
	const mg_model *model;
	const mg_conditioned *given; /* NULL: no conditions; else the sampler is its own */
	mg_sampler *sampler;
	uint64_t key[4];
	uint64_t next;             /* the batch to come */
	bool ready;                /* codes and batch have their memory */
	bool *make;                /* [ncolumns] those that are wanted, or that one depends on that is */
	mg_dependents *dependents; /* NULL: none */
	mg_decoder_column **decoder;
	uint16_t **codes;
	mg_values_scratch scratch;
	mg_batch batch;
	mg_snap snap;
	void *snap_arg;
	mg_redraw *redraw;        /* or NULL */
	struct mg_marker *marker; /* NULL: unmarked */
	mg_where *where;          /* NULL: all rows are asked for */
};

/* Memory for codes and values of a batch, once. */
mg_code mg_stream_ready(mg_ctx *ctx, mg_stream *s);
/* Memory for values of column col. */
mg_code mg_stream_alloc_values(mg_ctx *ctx, mg_stream *s, uint32_t col, mg_values *v);
/* Values of column col from n codes, as they will be seen. */
void mg_stream_fill(mg_stream *s, uint32_t col, mg_rng *rng, const uint16_t *codes, uint32_t n, mg_values *v);
/* Values, as they will be seen, of the dependent columns among make[], from those of their determinants. */
void mg_stream_fill_dependents(mg_stream *s, const bool *make, uint16_t *const *codes, uint32_t n, mg_values *column);
/* A generator for (key, batch, lane). Lanes: columns by number; the codes; the re-draws; the mark. */
#define MG_LANE_CODES UINT64_MAX
#define MG_LANE_REDRAWS (UINT64_MAX - 1)
#define MG_LANE_MARK (UINT64_MAX - 2)
void mg_stream_seed(const mg_stream *s, uint64_t batch, uint64_t lane, mg_rng *rng);

/* redraw.c: s->redraw, NULL where the model has no enforced constraint. */
mg_code mg_redraw_create(mg_ctx *ctx, mg_stream *s);
/*
 * The batch's codes and needed values are there; afterwards every row satisfies every enforced constraint, and codes
 * have changed with them. MG_IMPOSSIBLE: no row was found that does.
 */
mg_code mg_redraw_batch(mg_ctx *ctx, mg_stream *s, mg_rng *rng, uint32_t rows);

/*
 * where.c: the batch's codes are there, and values of the columns made[] (NULL: of none): judges the rows, and makes
 * what is wanted of those that are left.
 */
mg_code mg_where_batch(mg_ctx *ctx, mg_stream *s, uint32_t rows, const bool *made);

#endif
