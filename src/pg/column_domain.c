/*
 * pg/column_domain.c: kind and domain of one column, from the owner's declaration and the schema's constraints; and
 * both in words.
 *
 * A declaration narrows what the constraints allow and never widens it. Owner of all memory: the context current at
 * the call.
 */
#include "postgres.h"

#include <math.h>

#include "pg/attribute.h"
#include "pg/column_domain.h"
#include "pg/pattern.h"
#include "pg/texts.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* An integer column declared as a category is enumerated from its bounds up to this many values. */
#define MOST_ENUMERATED 1024

static const char *const kind_names[] = {"category", "number", "time", "identifier", "excluded"};

const char *
mg_column_kind_name(MgColumnKind kind)
{
	return kind_names[kind];
}

bool
mg_column_kind_parse(const char *name, MgColumnKind *kind)
{
	for (int i = 0; i < (int) lengthof(kind_names); i++)
	{
		if (strcmp(name, kind_names[i]) == 0)
		{
			*kind = (MgColumnKind) i;
			return true;
		}
	}
	return false;
}

char *
mg_column_type_text(const MgColumn *col)
{
	return format_type_extended(col->type, col->typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* ---------------------------------------------------------------- kinds */

/* The kind of a column that nobody said anything about. keyed: it holds keys of a public table. */
static MgColumnKind
default_kind(Relation rel, Form_pg_attribute att, MgTypeClass cls, bool notnull, bool keyed)
{
	if (cls == MG_TYPE_UUID && (!keyed || mg_is_key(rel, att->attnum, notnull)))
		return MG_COLUMN_IDENTIFIER;
	if ((MG_TYPE_IS_INT(cls) || MG_TYPE_IS_TEXT(cls)) &&
		((!keyed && mg_is_serial(rel, att)) || mg_is_key(rel, att->attnum, notnull)))
		return MG_COLUMN_IDENTIFIER;
	if (MG_TYPE_IS_NUMBER(cls))
		return MG_COLUMN_NUMBER;
	if (MG_TYPE_IS_TIME(cls))
		return MG_COLUMN_TIME;
	return MG_COLUMN_CATEGORY;
}

static bool
kind_fits(MgColumnKind kind, MgTypeClass cls)
{
	switch (kind)
	{
		case MG_COLUMN_CATEGORY:
			return cls != MG_TYPE_NONE;
		case MG_COLUMN_NUMBER:
			return MG_TYPE_IS_NUMBER(cls);
		case MG_COLUMN_TIME:
			return MG_TYPE_IS_TIME(cls);
		case MG_COLUMN_IDENTIFIER:
			return MG_TYPE_IS_INT(cls) || MG_TYPE_IS_TEXT(cls) || cls == MG_TYPE_UUID;
		case MG_COLUMN_EXCLUDED:
			return true;
	}
	return false;
}

static void
unsupported_type(const MgColumn *col)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("column \"%s\" has type %s, which cannot be learnt", col->name, format_type_be(col->type)),
			 errhint(
				 "Leave it out: call dp_set_column for it with kind => 'excluded', or name the columns to train on.")));
}

static void
does_not_fit(const MgColumn *col, const char *parameter, const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s does not fit column \"%s\" of type %s", parameter, col->name, format_type_be(col->type)),
					errhint("%s", why)));
}

MgColumnKind
mg_column_choose_kind(Relation rel, Form_pg_attribute att, const MgDeclaration *decl, const MgColumn *col, bool keyed)
{
	MgTypeClass cls = mg_type_class(col->base);
	MgColumnKind kind;

	if (decl != NULL && decl->kind != NULL)
	{
		if (!mg_column_kind_parse(decl->kind, &kind))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown kind \"%s\"", decl->kind),
							errhint("Kinds are category, number, time, identifier and excluded.")));
		if (kind == MG_COLUMN_EXCLUDED || cls != MG_TYPE_NONE)
		{
			if (!kind_fits(kind, cls))
				does_not_fit(
					col, psprintf("kind \"%s\"", decl->kind),
					"Numbers need a numeric type, times a date or time type, identifiers an integer, text or uuid.");
			return kind;
		}
	}
	if (cls == MG_TYPE_NONE)
		unsupported_type(col);
	if (decl != NULL && decl->categories != NIL)
		return MG_COLUMN_CATEGORY;
	if (decl != NULL && (decl->lower != NULL || decl->upper != NULL) && MG_TYPE_HAS_AXIS(cls))
		return MG_TYPE_IS_NUMBER(cls) ? MG_COLUMN_NUMBER : MG_COLUMN_TIME;
	if (decl != NULL && decl->pattern != NULL)
		return MG_COLUMN_IDENTIFIER;
	return default_kind(rel, att, cls, col->notnull, keyed);
}

void
mg_column_check_parameters(const MgColumn *col, const MgDeclaration *decl)
{
	MgTypeClass cls = mg_type_class(col->base);
	bool axis = col->kind == MG_COLUMN_NUMBER || col->kind == MG_COLUMN_TIME;

	if (decl == NULL)
		return;
	if ((decl->lower != NULL || decl->upper != NULL) && !axis)
		does_not_fit(col, "a bound (lower, upper)", "Bounds belong to columns of kind number or time.");
	if (decl->bins != 0 && !axis)
		does_not_fit(col, "bins", "Bins belong to columns of kind number or time.");
	if (decl->bins < 0 || decl->bins > MG_MAX_CELLS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("bins must be between 1 and %d", MG_MAX_CELLS)));
	if ((decl->categories != NIL || decl->other != NULL) && col->kind != MG_COLUMN_CATEGORY)
		does_not_fit(col, "categories or other", "They belong to columns of kind category.");
	if (decl->pattern != NULL && (col->kind != MG_COLUMN_IDENTIFIER || !MG_TYPE_IS_TEXT(cls)))
		does_not_fit(col, "pattern", "A pattern belongs to a text column of kind identifier.");
	if (decl->pattern != NULL)
		mg_pattern_check(decl->pattern, col->base_typmod);
	if (decl->depends_on != NIL && (col->kind == MG_COLUMN_IDENTIFIER || col->kind == MG_COLUMN_EXCLUDED))
		does_not_fit(col, "depends_on", "It belongs to columns of kind category, number or time.");
}

/* ---------------------------------------------------------------- ranges */

/* A declared bound as a point of the axis. */
static double
declared_bound(const MgColumn *col, MgTypeClass cls, const char *what, const char *literal)
{
	double v;

	if (!mg_axis_value(cls, mg_value_parse(col->base, col->base_typmod, literal), &v))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s of column \"%s\" must be finite", what, col->name)));
	return v;
}

/*
 * Known bounds go inwards to the lattice of emitted values. A range that holds none of its points falls back to the
 * type's own finer lattice, and then to none. (The type's own bounds are on the lattice already.)
 */
static void
align_bounds(mg_domain *d, bool lower, bool upper, double fine)
{
	double steps[] = {d->step, fine};

	for (int i = 0; i < (int) lengthof(steps); i++)
	{
		double low = lower ? mg_lattice_up(d->lower, steps[i], false) : d->lower;
		double high = upper ? mg_lattice_down(d->upper, steps[i], false) : d->upper;

		if (low <= high)
		{
			d->lower = low;
			d->upper = high;
			d->step = steps[i];
			return;
		}
	}
	d->step = 0;
}

/* The range of a number or time: declared, else checked, else the type's; closed when both ends are known. */
static void
number_domain(MgColumn *col, MgTypeClass cls, const MgDeclaration *decl, const MgChecks *checks)
{
	mg_domain *d = &col->domain;
	bool lower = checks->has_lower, upper = checks->has_upper, declared = false;
	MgAxis axis;

	mg_type_axis(cls, col->base_typmod, &axis);
	d->kind = MG_NUMBER;
	d->step = axis.step;
	d->lower = lower ? Max(axis.lower, checks->lower) : axis.lower;
	d->upper = upper ? Min(axis.upper, checks->upper) : axis.upper;
	d->bins = decl != NULL ? (uint32) decl->bins : 0;
	if (decl != NULL && decl->lower != NULL)
	{
		d->lower = Max(d->lower, declared_bound(col, cls, "lower", decl->lower));
		lower = declared = true;
	}
	if (decl != NULL && decl->upper != NULL)
	{
		d->upper = Min(d->upper, declared_bound(col, cls, "upper", decl->upper));
		upper = declared = true;
	}
	if (d->lower > d->upper)
	{
		if (declared)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the bounds of column \"%s\" leave no value", col->name),
					 errhint("lower must not be above upper, and both must agree with the table's constraints.")));
		/* constraints beyond the type's own range: nothing but NULL; the type's range has to do */
		d->lower = axis.lower;
		d->upper = axis.upper;
		lower = upper = false;
		col->unused_checks = lappend(col->unused_checks, pstrdup(MG_CHECKS_CONTRADICT));
	}

	align_bounds(d, lower, upper, axis.fine);

	/* The hours of a day are as good as declared. */
	d->open = !(lower && upper) && cls != MG_TYPE_TIME;
	if (d->open)
		col->source = pstrdup("learnt");
	else
		col->source = pstrdup(declared                 ? "declared"
							  : !(lower && upper)      ? "type"
							  : checks->source != NULL ? checks->source
													   : "check");
}

/* ---------------------------------------------------------------- labels */

/* Into the domain; texts must be distinct and are owned by the domain from here on. */
static void
set_labels(MgColumn *col, List *texts)
{
	mg_label *labels;
	ListCell *cell;
	uint32 n = 0;

	if (list_length(texts) > MG_MAX_LABELS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("column \"%s\" has more than %d categories", col->name, MG_MAX_LABELS),
						errhint("Declare fewer categories, or exclude the column.")));
	labels = palloc0(sizeof(mg_label) * Max(list_length(texts), 1));
	foreach (cell, texts)
	{
		char *text = lfirst(cell);
		size_t len = strlen(text);

		if (len > MG_MAX_LABEL_BYTES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("a category of column \"%s\" is longer than %d bytes", col->name, MG_MAX_LABEL_BYTES)));
		labels[n].text = text;
		labels[n].len = (uint32) len;
		n++;
	}
	col->domain.nlabels = n;
	col->domain.labels = labels;
}

/*
 * A declared label in its canonical form. By the base type: to describe a column runs no domain's constraints, which
 * may be foreign code.
 */
static char *
declared_label(const MgColumn *col, MgTypeClass cls, const char *literal)
{
	return mg_value_text(cls, mg_value_parse(col->base, col->base_typmod, literal));
}

/* The integers between the bounds, when constraints give a short range for a column that was declared a category. */
static List *
enumerate(MgTypeClass cls, const MgChecks *checks)
{
	List *labels = NIL;

	if (!MG_TYPE_IS_INT(cls) || !checks->has_lower || !checks->has_upper ||
		checks->upper - checks->lower >= MOST_ENUMERATED)
		return NIL;
	for (double v = checks->lower; v <= checks->upper; v++)
		labels = lappend(labels, psprintf(INT64_FORMAT, (int64) v));
	return labels;
}

/* The labels of a category: declared ones within what the schema allows, else the schema's, else learnt. */
static void
category_domain(MgColumn *col, MgTypeClass cls, const MgDeclaration *decl, const MgChecks *checks)
{
	mg_domain *d = &col->domain;
	List *schema = NIL, *labels = NIL;
	const char *source = checks->source != NULL ? checks->source : "check";
	bool unlisted = false;
	ListCell *cell;

	d->kind = MG_CATEGORY;
	if (checks->has_labels)
		schema = checks->labels;
	else if (cls == MG_TYPE_ENUM)
	{
		schema = mg_enum_labels(col->base);
		source = "enum";
	}
	else if (cls == MG_TYPE_BOOL)
	{
		schema = list_make2(pstrdup("false"), pstrdup("true"));
		source = "boolean";
	}
	else
		schema = enumerate(cls, checks);

	if (decl != NULL && decl->categories != NIL)
	{
		foreach (cell, decl->categories)
		{
			char *text = declared_label(col, cls, lfirst(cell));

			if (schema != NIL && !mg_texts_have(schema, text))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("category \"%s\" of column \"%s\" is not allowed by the table", text, col->name)));
			if (!mg_texts_have(labels, text))
				labels = lappend(labels, text);
		}
		/* Only where the declaration names all that the schema allows is there nothing else. */
		unlisted = schema == NIL || list_length(labels) < list_length(schema);
		source = "declared";
	}
	else
		labels = schema;
	if (decl != NULL && decl->other != NULL)
		d->other = declared_label(col, cls, decl->other);
	if (d->other != NULL && schema != NIL && !mg_texts_have(schema, d->other))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("other of column \"%s\", \"%s\", is not allowed by the table", col->name, d->other)));
	if (d->other != NULL && strlen(d->other) > MG_MAX_LABEL_BYTES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("other of column \"%s\" is longer than %d bytes", col->name, MG_MAX_LABEL_BYTES)));
	d->open = labels == NIL;
	d->has_other = d->open || unlisted;
	col->source = pstrdup(d->open ? "learnt" : source);
	if (!d->open)
		set_labels(col, labels);
}

/* A list of allowed values as bounds: of a column that was declared a number all the same. */
static void
bound_by_labels(const MgColumn *col, MgTypeClass cls, MgChecks *checks)
{
	ListCell *cell;

	foreach (cell, checks->labels)
	{
		double v;

		if (!mg_axis_value(cls, mg_value_parse(col->base, col->base_typmod, lfirst(cell)), &v))
			continue;
		/* the first one sets both; earlier bounds were applied to the list already */
		checks->lower = foreach_current_index(cell) == 0 ? v : Min(checks->lower, v);
		checks->upper = foreach_current_index(cell) == 0 ? v : Max(checks->upper, v);
		checks->has_lower = checks->has_upper = true;
	}
}

void
mg_column_set_domain(MgColumn *col, const MgDeclaration *decl, MgChecks *checks)
{
	MgTypeClass cls = mg_type_class(col->base);

	/* A list of allowed values says more than a range: such a column is a category unless it was declared otherwise. */
	if (checks->has_labels && col->kind != MG_COLUMN_CATEGORY)
	{
		if (decl == NULL || (decl->kind == NULL && decl->lower == NULL && decl->upper == NULL))
			col->kind = MG_COLUMN_CATEGORY;
		else
		{
			bound_by_labels(col, cls, checks);
			col->unused_checks = lappend(col->unused_checks, pstrdup("a list of allowed values"));
		}
	}
	if (col->kind == MG_COLUMN_CATEGORY)
		category_domain(col, cls, decl, checks);
	else
		number_domain(col, cls, decl, checks);
}

/* ---------------------------------------------------------------- words */

/* The value at v as text, without quotes. */
static char *
axis_text(const MgColumn *col, double v)
{
	MgTypeClass cls = mg_type_class(col->base);

	return mg_value_text(cls, mg_axis_datum(cls, col->base_typmod, &col->domain, v));
}

static char *
labels_text(const mg_domain *d)
{
	StringInfoData s;

	initStringInfo(&s);
	for (uint32 i = 0; i < d->nlabels; i++)
	{
		if (i == 10 && d->nlabels > 12)
		{
			appendStringInfo(&s, ", .. (%u labels)", d->nlabels);
			break;
		}
		appendStringInfo(&s, "%s%s", i > 0 ? ", " : "", d->labels[i].text);
	}
	if (d->has_other)
		appendStringInfo(&s, ", other%s%s", d->other != NULL ? ": " : "", d->other != NULL ? d->other : "");
	return s.data;
}

char *
mg_domain_text(const MgColumn *col)
{
	const mg_domain *d = &col->domain;
	MgAxis axis;
	bool lower, upper;

	if (col->kind == MG_COLUMN_IDENTIFIER)
		return col->pattern != NULL ? psprintf("fresh values like %s", col->pattern) : pstrdup("fresh values");
	if (col->kind == MG_COLUMN_EXCLUDED)
		return pstrdup(col->pattern != NULL ? "always the default" : "always NULL");
	if (d->kind == MG_CATEGORY)
		return d->open ? pstrdup("learnt from the data, within budget") : labels_text(d);
	if (!d->open)
		return psprintf("%s .. %s", axis_text(col, d->lower), axis_text(col, d->upper));
	mg_type_axis(mg_type_class(col->base), col->base_typmod, &axis);
	lower = d->lower > axis.lower;
	upper = d->upper < axis.upper;
	if (!lower && !upper)
		return pstrdup("learnt from the data, within budget");
	return psprintf("%s%s, learnt from the data, within budget", lower ? "from " : "up to ",
					axis_text(col, lower ? d->lower : d->upper));
}

int64
mg_domain_codes(const MgColumn *col)
{
	const mg_domain *d = &col->domain;
	double values;

	if (col->core < 0 || d->open)
		return 0;
	if (d->kind == MG_CATEGORY)
		return (int64) d->nlabels + d->has_other + d->nullable;
	values = d->step > 0 ? rint((d->upper - d->lower) / d->step) + 1 : MG_MAX_CELLS;
	return (int64) Min(values, (double) MG_MAX_CELLS) + d->nullable;
}
