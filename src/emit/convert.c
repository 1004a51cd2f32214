/*
 * emit/convert.c: casts and domains between a model's column and the attribute that it fills; see convert.h.
 *
 * Nobody's code runs here that the caller did not name. A model's column may be of somebody's enum or domain type, and
 * its owner may write a cast for it, which would run as the caller: so casts are taken only where all their functions
 * are the server's own (enums become texts by their output function, whatever cast there is). The constraints of a
 * domain run where the caller asked for a value of that very type.
 *
 * A value must satisfy its declared type, and a model knows only those constraints that its training could use, as
 * they were then. A value that fails is replaced by one of the same column that passes, from rows that are drawn for
 * nothing else (mg_release_spare): the choice is a function of the stream and the row's number, so it repeats with a
 * seed. Where none passes, NULL, if type and column allow it; else an error, which is about the model, not about data:
 * all of this is post-processing.
 *
 * Memory: everything in the context of creation, but for values that are converted afresh for each row.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "emit/convert.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "pg/column_condition.h"
#include "parser/parse_collate.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#define RESET_ROWS 64

/* What became of one label. */
typedef struct Converted
{
	bool known, null, passes;
	Datum value;
} Converted;

struct MgConversion
{
	MemoryContext context;
	MgRelease *release;
	MgColumn column;
	Oid type;        /* of the attribute */
	ExprState *cast; /* NULL: none, the base types agree */
	ExprContext *econtext;
	DomainConstraintRef *domain; /* NULL: no domain, or one without constraints */
	uint32 nlabels;
	Converted *label; /* [nlabels + 1], of a category: the last is `other` */
	bool searched;    /* for spare values */
	bool null_passes;
	uint32 nspare;
	Datum *spare; /* [nspare] */
};

/* ---------------------------------------------------------------- casts */

static bool
function_is_foreign(Oid func, void *context)
{
	return func >= FirstNormalObjectId;
}

/* Is there a function, type input and output included, that is not the server's own? */
static bool
contains_foreign_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, function_is_foreign, context))
		return true;
	return expression_tree_walker(node, contains_foreign_code, context);
}

static void
refuse_cast(const MgConversion *c, Form_pg_attribute att, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of model \"%s\" is of type %s and cannot be assigned to type %s", c->column.name,
					mg_release_model_name(c->release), format_type_with_typemod(c->column.type, c->column.typmod),
					format_type_with_typemod(att->atttypid, att->atttypmod)),
			 why != NULL ? errdetail("%s", why) : 0, errhint("List it with its own type, and cast it in the query.")));
}

static Node *
assignment(Node *value, Oid from, Oid to, int32 typmod)
{
	return coerce_to_target_type(NULL, value, from, to, typmod, COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
}

/* The value's text as the server itself writes it, read as the target type: as for types that have no cast. */
static Node *
through_text(Node *value, Oid to, int32 typmod)
{
	CoerceViaIO *io = makeNode(CoerceViaIO);

	io->arg = (Expr *) value;
	io->resulttype = to;
	io->resultcollid = get_typcollation(to);
	io->coerceformat = COERCE_IMPLICIT_CAST;
	io->location = -1;
	return assignment((Node *) io, to, to, typmod);
}

/* From the column's base type to that of the attribute; NULL where there is nothing to do. */
static ExprState *
compile_cast(const MgConversion *c, Form_pg_attribute att)
{
	int32 typmod = att->atttypmod;
	Oid from = c->column.base, to = getBaseTypeAndTypmod(att->atttypid, &typmod);
	CaseTestExpr *value;
	Node *expr;

	if (from == to && (typmod < 0 || typmod == c->column.base_typmod))
		return NULL;
	value = makeNode(CaseTestExpr);
	value->typeId = from;
	value->typeMod = c->column.base_typmod;
	value->collation = get_typcollation(from);
	expr = assignment((Node *) value, from, to, typmod);
	if (expr == NULL)
		refuse_cast(c, att, NULL);
	if (contains_foreign_code(expr, NULL) && TypeCategory(to) == TYPCATEGORY_STRING)
		expr = through_text((Node *) value, to, typmod);
	if (expr == NULL || contains_foreign_code(expr, NULL))
		refuse_cast(c, att, "The cast between them is a function that a user wrote.");
	if (expr == (Node *) value || (IsA(expr, RelabelType) && ((RelabelType *) expr)->arg == (Expr *) value))
		return NULL;
	assign_expr_collations(NULL, expr);
	return ExecInitExpr(expression_planner((Expr *) expr), NULL);
}

/* ---------------------------------------------------------------- domains */

static bool
passes(MgConversion *c, Datum value, bool null)
{
	ListCell *cell;
	bool ok = true;

	UpdateDomainConstraintRef(c->domain);
	foreach (cell, c->domain->constraints)
	{
		DomainConstraintState *constraint = lfirst(cell);

		if (constraint->constrainttype == DOM_CONSTRAINT_NOTNULL)
			ok = !null;
		else
		{
			c->econtext->domainValue_datum = value;
			c->econtext->domainValue_isNull = null;
			ok = ExecCheck(constraint->check_exprstate, c->econtext);
		}
		if (!ok)
			break;
	}
	/* what a function of the constraint left behind */
	ReScanExprContext(c->econtext);
	return ok;
}

/* ---------------------------------------------------------------- values */

static void
convert_afresh(MgConversion *c, Converted *v)
{
	if (c->cast != NULL)
	{
		c->econtext->caseValue_datum = v->value;
		c->econtext->caseValue_isNull = v->null;
		v->value = ExecEvalExpr(c->cast, c->econtext, &v->null);
	}
	v->passes = c->domain == NULL || passes(c, v->value, v->null);
	v->known = true;
}

/* Labels are converted and judged once. */
static Converted
convert(MgConversion *c, const mg_batch *batch, uint32 row, Datum value, bool null)
{
	Converted fresh = {.value = value, .null = null};
	const mg_values *from = c->label == NULL || null ? NULL : &batch->column[c->column.core];
	Converted *label;

	/* a NULL of the model that is not one here is the decoder's fallback, which is no label of the row */
	if (from == NULL || from->null[row] || from->label[row] > c->nlabels)
	{
		convert_afresh(c, &fresh);
		return fresh;
	}
	label = &c->label[from->label[row]];
	if (unlikely(!label->known))
	{
		MemoryContext old = MemoryContextSwitchTo(c->context);

		convert_afresh(c, &fresh);
		MemoryContextSwitchTo(old);
		*label = fresh;
	}
	return *label;
}

/* Values that pass: those of a batch that serves nothing else. */
static void
find_spare_values(MgConversion *c)
{
	MemoryContext old = MemoryContextSwitchTo(c->context);
	MgColumns one = {.n = 1, .ncore = mg_release_columns(c->release)->ncore, .col = &c->column};
	const mg_batch *batch;
	MgDecoder *decoder;
	MemoryContext scratch;
	int16 len;
	bool by_value;

	c->searched = true;
	c->null_passes = !c->column.notnull &&
					 (c->column.condition == NULL || mg_condition_core(c->column.condition).null) &&
					 passes(c, (Datum) 0, true);
	if (c->column.core >= 0)
	{
		get_typlenbyval(c->type, &len, &by_value);
		batch = mg_release_spare(c->release, c->column.core);
		decoder = mg_release_decoder(c->release, &one);
		c->spare = palloc(sizeof(Datum) * Max(batch->rows, 1));
		scratch = AllocSetContextCreate(c->context, "pg_mirage spare values", ALLOCSET_DEFAULT_SIZES);
		for (uint32 row = 0; row < batch->rows; row++)
		{
			Converted v;
			Datum value;
			bool null;

			CHECK_FOR_INTERRUPTS();
			if (row % RESET_ROWS == 0)
				MemoryContextReset(scratch);
			MemoryContextSwitchTo(scratch);
			mg_decoder_row(decoder, batch, row, row, &value, &null);
			v = convert(c, batch, row, value, null);
			MemoryContextSwitchTo(c->context);
			if (v.passes && !v.null)
				c->spare[c->nspare++] = datumCopy(v.value, by_value, len);
		}
		MemoryContextDelete(scratch);
	}
	MemoryContextSwitchTo(old);
}

static void
replace(MgConversion *c, uint64 number, Converted *v)
{
	if (!c->searched)
		find_spare_values(c);
	if (c->nspare == 0 && !c->null_passes)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("model \"%s\" has no value for column \"%s\" that domain %s allows",
						mg_release_model_name(c->release), c->column.name, format_type_be(c->type)),
				 errdetail("Constraints that the training did not use, or that came later, reject all that it draws."),
				 errhint("List the column with type %s.", format_type_be(getBaseType(c->type)))));
	v->null = c->nspare == 0;
	v->value = v->null ? (Datum) 0 : c->spare[number % c->nspare];
}

void
mg_convert(MgConversion *c, const mg_batch *batch, uint32 row, uint64 number, Datum *value, bool *null)
{
	Converted v = convert(c, batch, row, *value, *null);

	if (unlikely(!v.passes))
		replace(c, number, &v);
	*value = v.value;
	*null = v.null;
}

/* ---------------------------------------------------------------- creation */

MgConversion *
mg_conversion_create(MgRelease *release, const MgColumn *column, Form_pg_attribute att)
{
	MgConversion *c = palloc0(sizeof(MgConversion));

	c->context = CurrentMemoryContext;
	c->release = release;
	c->column = *column;
	c->type = att->atttypid;
	c->cast = compile_cast(c, att);
	if (get_typtype(c->type) == TYPTYPE_DOMAIN && DomainHasConstraints(c->type))
	{
		c->domain = palloc(sizeof(DomainConstraintRef));
		InitDomainConstraintRef(c->type, c->domain, c->context, true);
	}
	if (c->cast == NULL && c->domain == NULL)
	{
		pfree(c);
		return NULL;
	}
	c->econtext = CreateStandaloneExprContext();
	if (column->kind == MG_COLUMN_CATEGORY && column->core >= 0)
	{
		c->nlabels = column->domain.nlabels;
		c->label = palloc0(sizeof(Converted) * ((Size) c->nlabels + 1));
	}
	return c;
}
