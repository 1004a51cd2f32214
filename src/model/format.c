/*
 * model/format.c: a model as bytes, and back.
 *
 *   magic     8 bytes  "MGMODEL" and a zero
 *   version   u32      MODEL_VERSION
 *   method    string   its name
 *   columns   u32      how many, then each as mg_column_write wrote it
 *   total     f64      noisy number of rows, >= 1
 *   constraints        as mg_constraints_write wrote them
 *   depends            columns that are functions of others, as mg_dependencies_write wrote them
 *   body      u64      its length, then the method's own bytes
 *   checksum  u32      CRC-32C of everything before it
 *
 * All little-endian. The reader trusts nothing: the checksum guards against accidents only (a stored model is sealed
 * with authenticated encryption, seal/), so every length, code and figure is checked again, every count is held against
 * the bytes that are left, and what may be allocated is bounded by a multiple of the bytes given. A model owns one
 * arena, in which the model itself lives.
 */
#include "model/model.h"

#include "model/dependency.h"

#include <math.h>
#include <string.h>

#define MODEL_VERSION 2
#define MAX_METHOD_NAME 64
/* A parsed model may take this many times its bytes, and this much beside (small vectors become 64-byte blocks). */
#define ARENA_FACTOR 64
#define ARENA_FLOOR ((size_t) 4 << 20)

static const uint8_t model_magic[8] = {'M', 'G', 'M', 'O', 'D', 'E', 'L', 0};

/* CRC-32C (Castagnoli), reflected polynomial 0x82F63B78, a byte at a time. The table is cheap next to a blob, so no
 * state is kept. */
uint32_t
mg_crc32c(const void *data, size_t n)
{
	const uint8_t *p = data;
	uint32_t table[256];
	uint32_t crc = 0xFFFFFFFFu;

	for (uint32_t i = 0; i < 256; i++)
	{
		uint32_t v = i;

		for (int bit = 0; bit < 8; bit++)
			v = (v >> 1) ^ ((v & 1) ? 0x82F63B78u : 0);
		table[i] = v;
	}
	for (size_t i = 0; i < n; i++)
		crc = (crc >> 8) ^ table[(crc ^ p[i]) & 0xFF];
	return ~crc;
}

mg_code
mg_model_create(mg_ctx *ctx, const mg_method *method, uint32_t ncolumns, size_t memory, mg_model **out)
{
	mg_arena *arena = mg_arena_create(memory);
	mg_model *m;

	*out = NULL;
	if (arena == NULL)
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	m = mg_arena_alloc(arena, 1, sizeof(*m));
	if (m != NULL && ncolumns > 0)
		m->columns = mg_arena_alloc(arena, ncolumns, sizeof(*m->columns));
	if (m == NULL || (ncolumns > 0 && m->columns == NULL))
	{
		mg_arena_destroy(arena);
		return mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	m->method = method;
	m->arena = arena;
	m->ncolumns = ncolumns;
	m->total = 1;
	*out = m;
	return MG_OK;
}

void
mg_model_destroy(mg_model *m)
{
	if (m != NULL)
		mg_arena_destroy(m->arena);
}

mg_code
mg_model_constrain(mg_ctx *ctx, mg_model *m, const mg_constraint *constraints, uint32_t n)
{
	m->nconstraints = 0;
	MG_TRY(mg_constraints_copy(ctx, m->arena, m->columns, m->ncolumns, constraints, n, &m->constraints));
	m->nconstraints = n;
	return MG_OK;
}

mg_code
mg_model_write(mg_ctx *ctx, const mg_model *m, mg_writer *w)
{
	size_t start = w->len;
	mg_writer body;
	mg_code code;

	mg_put_raw(w, model_magic, sizeof(model_magic));
	mg_put_u32(w, MODEL_VERSION);
	mg_put_str(w, m->method->name, strlen(m->method->name));
	mg_put_u32(w, m->ncolumns);
	for (uint32_t i = 0; i < m->ncolumns; i++)
		mg_column_write(w, &m->columns[i]);
	mg_put_f64(w, m->total);
	mg_constraints_write(w, m->constraints, m->nconstraints);
	mg_dependencies_write(w, m);

	mg_writer_init(&body);
	code = m->method->write_body(ctx, m, &body);
	if (code == MG_OK && body.failed)
		code = mg_fail(ctx, MG_NOMEM, "out of memory");
	if (code == MG_OK)
	{
		mg_put_u64(w, body.len);
		mg_put_raw(w, body.data, body.len);
		if (!w->failed)
			mg_put_u32(w, mg_crc32c(w->data + start, w->len - start));
		if (w->failed)
			code = mg_fail(ctx, MG_NOMEM, "out of memory");
	}
	mg_writer_free(&body);
	return code;
}

static mg_code
corrupt(mg_ctx *ctx)
{
	return mg_fail(ctx, MG_CORRUPT, "the stored model is damaged");
}

static const mg_method *
find_method(const mg_method *const *methods, const char *name, size_t len)
{
	for (; *methods != NULL; methods++)
		if (strlen((*methods)->name) == len && memcmp((*methods)->name, name, len) == 0)
			return *methods;
	return NULL;
}

/* Everything up to the number of columns. */
static mg_code
read_header(mg_ctx *ctx, const mg_method *const *methods, mg_reader *r, const mg_method **method, uint32_t *ncolumns)
{
	const uint8_t *magic = mg_get_raw(r, sizeof(model_magic));
	uint32_t version;
	const char *name;
	size_t len;

	if (magic == NULL || memcmp(magic, model_magic, sizeof(model_magic)) != 0)
		return corrupt(ctx);
	version = mg_get_u32(r);
	if (r->failed)
		return corrupt(ctx);
	if (version != MODEL_VERSION)
	{
		mg_fail(ctx, MG_CORRUPT, "the stored model has format version %u", (unsigned) version);
		return mg_hint(ctx, "This release reads version %d. Use the release that trained it, or train again.",
					   MODEL_VERSION);
	}
	name = mg_get_str(r, &len);
	if (name == NULL || len == 0 || len > MAX_METHOD_NAME)
		return corrupt(ctx);
	*method = find_method(methods, name, len);
	if (*method == NULL)
		return mg_fail(ctx, MG_CORRUPT, "the stored model is of a method that this release does not have");
	*ncolumns = mg_get_u32(r);
	if (r->failed || *ncolumns == 0 || *ncolumns > MG_MAX_COLUMNS)
		return corrupt(ctx);
	return MG_OK;
}

/* The rest: columns, total, constraints, body. The body must be read to its last byte. */
static mg_code
read_rest(mg_ctx *ctx, mg_reader *r, mg_model *m)
{
	mg_reader body;
	const uint8_t *bytes;
	uint64_t len;

	for (uint32_t i = 0; i < m->ncolumns; i++)
	{
		MG_TRY(mg_column_read(ctx, m->arena, r, &m->columns[i]));
		if (r->failed)
			return corrupt(ctx);
	}
	m->total = mg_get_f64(r);
	if (r->failed || !isfinite(m->total) || m->total < 1)
		return corrupt(ctx);
	MG_TRY(mg_constraints_read(ctx, m->arena, r, m->columns, m->ncolumns, &m->constraints, &m->nconstraints));
	MG_TRY(mg_dependencies_read(ctx, m, r));
	len = mg_get_u64(r);
	if (r->failed || len != mg_reader_left(r))
		return corrupt(ctx);
	bytes = mg_get_raw(r, (size_t) len);
	if (bytes == NULL && len > 0)
		return corrupt(ctx);
	mg_reader_init(&body, bytes, (size_t) len);
	MG_TRY(m->method->read_body(ctx, m, &body));
	if (body.failed || mg_reader_left(&body) != 0)
		return corrupt(ctx);
	return MG_OK;
}

mg_code
mg_model_read(mg_ctx *ctx, const mg_method *const *methods, const void *data, size_t len, mg_model **out)
{
	const mg_method *method = NULL;
	uint32_t ncolumns = 0, sum;
	size_t memory;
	mg_reader r;
	mg_model *m;
	mg_code code;

	*out = NULL;
	if (len < sizeof(model_magic) + 4)
		return corrupt(ctx);
	mg_reader_init(&r, (const uint8_t *) data + len - 4, 4);
	sum = mg_get_u32(&r);
	if (sum != mg_crc32c(data, len - 4))
		return corrupt(ctx);

	mg_reader_init(&r, data, len - 4);
	MG_TRY(read_header(ctx, methods, &r, &method, &ncolumns));
	if (!mg_mul_size(len, ARENA_FACTOR, &memory) || !mg_add_size(memory, ARENA_FLOOR, &memory))
		return corrupt(ctx);
	MG_TRY(mg_model_create(ctx, method, ncolumns, memory, &m));
	code = read_rest(ctx, &r, m);
	if (code != MG_OK)
	{
		mg_model_destroy(m);
		return code;
	}
	*out = m;
	return MG_OK;
}
