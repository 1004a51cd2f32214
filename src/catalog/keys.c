/*
 * catalog/keys.c: the keys that are wrapped under the master key: one of each model, and roots.
 *
 * Wrapped keys are sealed with AAD "pg_mirage key|purpose|model": a wrapped key moved to another row does not unwrap.
 * Each names the master key that it was wrapped under; while keys are exchanged (catalog/rotate.c) there are two. A
 * model's blob is sealed under the model's own key with AAD "pg_mirage model|id|version".
 *
 * Key bytes live on the stack or in the core's malloc'ed buffers and are wiped before anything can raise an error or
 * return.
 */
#include "postgres.h"

#include "catalog/keys.h"
#include "catalog/master.h"
#include "utils/memutils.h"

#define WRAPPED_SIZE (VARHDRSZ + MG_KEY_BYTES + MG_SEAL_OVERHEAD)
#define LOOKS 3 /* at a key that another process wraps anew */

/* ---------------------------------------------------------------- wrapping */

static int
wrap_aad(char *aad, size_t size, const char *purpose, int64 model)
{
	return snprintf(aad, size, "pg_mirage key|%s|" INT64_FORMAT, purpose, model);
}

/* key under the master key, into a bytea of WRAPPED_SIZE bytes. Wipes `master`, whatever happens. */
static mg_code
wrap(mg_ctx *ctx, uint8 master[MG_KEY_BYTES], const char *purpose, int64 model, const uint8 key[MG_KEY_BYTES],
	 bytea *wrapped)
{
	char aad[128];
	uint8_t *out;
	size_t len;
	mg_code code =
		mg_seal(ctx, master, aad, (size_t) wrap_aad(aad, sizeof(aad), purpose, model), key, MG_KEY_BYTES, &out, &len);

	mg_wipe(master, MG_KEY_BYTES);
	if (code != MG_OK)
		return code;
	Assert(len == WRAPPED_SIZE - VARHDRSZ);
	memcpy(VARDATA(wrapped), out, WRAPPED_SIZE - VARHDRSZ);
	SET_VARSIZE(wrapped, WRAPPED_SIZE);
	free(out);
	return MG_OK;
}

/* Back. False when it was not sealed so. Wipes `master`. */
static bool
unwrap(mg_ctx *ctx, uint8 master[MG_KEY_BYTES], const char *purpose, int64 model, const bytea *wrapped,
	   uint8 key[MG_KEY_BYTES])
{
	char aad[128];
	uint8_t *out;
	size_t len;
	mg_code code;

	code = mg_unseal(ctx, master, aad, (size_t) wrap_aad(aad, sizeof(aad), purpose, model), VARDATA_ANY(wrapped),
					 VARSIZE_ANY_EXHDR(wrapped), &out, &len);
	mg_wipe(master, MG_KEY_BYTES);
	if (code != MG_OK)
		return false;
	if (len == MG_KEY_BYTES)
		memcpy(key, out, MG_KEY_BYTES);
	mg_wipe(out, len);
	free(out);
	if (len != MG_KEY_BYTES)
		mg_fail(ctx, MG_CORRUPT, "a wrapped key has the wrong length");
	return len == MG_KEY_BYTES;
}

bytea *
mg_key_rewrap(uint8 old[MG_KEY_BYTES], uint8 next[MG_KEY_BYTES], const char *purpose, int64 model, const bytea *wrapped)
{
	bytea *again = MemoryContextAllocExtended(CurrentMemoryContext, WRAPPED_SIZE, MCXT_ALLOC_NO_OOM);
	uint8 key[MG_KEY_BYTES];
	mg_ctx ctx;
	mg_code code;

	mg_ctx_init(&ctx);
	if (again == NULL)
	{
		mg_wipe(old, MG_KEY_BYTES);
		mg_wipe(next, MG_KEY_BYTES);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	if (!unwrap(&ctx, old, purpose, model, wrapped, key))
	{
		mg_wipe(next, MG_KEY_BYTES);
		if (ctx.code != MG_CORRUPT)
			mg_throw(&ctx);
		return NULL;
	}
	code = wrap(&ctx, next, purpose, model, key, again);
	mg_wipe(key, sizeof(key));
	MG_CHECK(&ctx, code);
	return again;
}

typedef struct Wrapped
{
	bytea *bytes; /* NULL: there is none */
	bytea *pub;   /* the public half, of what signs; else NULL */
	char *master; /* the fingerprint of what it is wrapped under */
	bool known;   /* that is recorded as a master key of this database */
} Wrapped;

static Wrapped
wrapped_find(const char *purpose, int64 model)
{
	MgArg args[] = {MG_TEXT(purpose), MG_INT8(model)};
	Wrapped found = {0};
	MgQuery q;

	mg_query_begin(&q);
	if (mg_query_run(&q, true,
					 "SELECT w.wrapped, w.master, m.fingerprint IS NOT NULL, w.public_key FROM mirage.wrapped_key w "
					 "LEFT JOIN mirage.master_key m ON m.fingerprint = w.master WHERE w.purpose = $1 AND w.model = $2",
					 lengthof(args), args) > 0)
	{
		found.bytes = (bytea *) mg_get_varlena(&q, 0, 1);
		found.master = mg_get_text(&q, 0, 2);
		found.known = mg_get_bool(0, 3);
		found.pub = (bytea *) mg_get_varlena(&q, 0, 4);
	}
	mg_query_end(&q);
	return found;
}

/*
 * Looks at a wrapped key and finds the master key that it names; false: the master key is not to be had. Where it was
 * wrapped anew between the two, and its old master key is gone, it is looked at again. found->bytes NULL: there is no
 * such key.
 */
static bool
wrapped_open(const char *purpose, int64 model, Wrapped *found, uint8 master[MG_KEY_BYTES], MgKeyProblem *why)
{
	char *before = NULL;

	for (int i = 0; i < LOOKS; i++)
	{
		*found = wrapped_find(purpose, model);
		if (found->bytes == NULL)
			return false;
		if (before != NULL && strcmp(before, found->master) == 0)
			return false;
		if (!found->known)
			return mg_master_unknown(found->master, why);
		if (mg_master_find(found->master, master, why))
			return true;
		before = found->master;
	}
	return false;
}

/* Stores it unless there is one; true when it was stored. */
static bool
wrapped_store(const char *purpose, int64 model, const char *fingerprint, const bytea *wrapped, const bytea *public_key)
{
	MgArg args[] = {MG_TEXT(purpose),
					MG_INT8(model),
					MG_TEXT(fingerprint),
					MG_BYTEA(wrapped),
					{BYTEAOID, PointerGetDatum(public_key), public_key == NULL}};
	MgQuery q;
	uint64 n;

	mg_query_begin(&q);
	n = mg_query_run(&q, false,
					 "INSERT INTO mirage.wrapped_key (purpose, model, master, wrapped, public_key) "
					 "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (purpose, model) DO NOTHING",
					 lengthof(args), args);
	mg_query_end(&q);
	return n > 0;
}

/*
 * The key, by what is held or unwrapped. False: there is none; every other failure is an error. pub: where it is one
 * that signs, its recorded public half; NULL: not wanted.
 */
static bool
unwrap_found(const char *purpose, int64 model, uint8 key[MG_KEY_BYTES], uint8 *pub)
{
	char name[MG_FINGERPRINT_SIZE], pub_name[MG_FINGERPRINT_SIZE];
	uint8 master[MG_KEY_BYTES];
	MgKeyProblem why;
	Wrapped found;
	mg_ctx ctx;

	snprintf(name, sizeof(name), "%s|" INT64_FORMAT, purpose, model);
	snprintf(pub_name, sizeof(pub_name), "pub %s", name);
	if (mg_held_find(name, key) && (pub == NULL || mg_held_find(pub_name, pub)))
		return true;
	if (!wrapped_open(purpose, model, &found, master, &why))
	{
		if (found.bytes != NULL)
			mg_key_problem_raise(&why);
		return false;
	}
	mg_ctx_init(&ctx);
	if (unwrap(&ctx, master, purpose, model, found.bytes, key))
	{
		bool has_pub = found.pub != NULL && VARSIZE_ANY_EXHDR(found.pub) == 32;

		mg_held_put(name, key);
		if (has_pub)
			mg_held_put(pub_name, (const uint8 *) VARDATA_ANY(found.pub));
		if (pub != NULL && has_pub)
			memcpy(pub, VARDATA_ANY(found.pub), 32);
		else if (pub != NULL)
			memset(pub, 0, 32);
		return true;
	}
	if (ctx.code == MG_CORRUPT)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("a wrapped key (%s) is damaged", purpose),
						errhint("Restore the table mirage.wrapped_key from a backup.")));
	mg_throw(&ctx);
}

static void
refuse_missing(const char *missing, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("%s", missing), errhint("%s", hint)));
}

/* ---------------------------------------------------------------- keys of models */

void
mg_model_key_create(int64 model, uint8 key[MG_KEY_BYTES])
{
	bytea *wrapped = palloc(WRAPPED_SIZE);
	uint8 master[MG_KEY_BYTES];
	char fingerprint[MG_FINGERPRINT_SIZE];
	mg_ctx ctx;
	mg_code code;

	mg_master_pin();
	mg_master_require(master, fingerprint, true);
	mg_ctx_init(&ctx);
	code = mg_random_key(&ctx, key);
	if (code == MG_OK)
		code = wrap(&ctx, master, "model", model, key, wrapped);
	mg_wipe(master, sizeof(master));
	PG_TRY();
	{
		MG_CHECK(&ctx, code);
		if (!wrapped_store("model", model, fingerprint, wrapped, NULL))
			elog(ERROR, "model " INT64_FORMAT " has a key already", model);
	}
	PG_CATCH();
	{
		mg_wipe(key, MG_KEY_BYTES);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

void
mg_model_key(int64 model, uint8 key[MG_KEY_BYTES])
{
	if (!unwrap_found("model", model, key, NULL))
		refuse_missing("the model's key is missing",
					   "Restore the table mirage.wrapped_key from a backup, or drop the model and train again.");
}

void
mg_model_key_forget(int64 model)
{
	MgArg arg = MG_INT8(model);
	MgQuery q;

	mg_query_begin(&q);
	mg_query_run(&q, false, "DELETE FROM mirage.wrapped_key WHERE purpose = 'model' AND model = $1", 1, &arg);
	mg_query_end(&q);
}

/* ---------------------------------------------------------------- roots */

static void
root_create(const char *purpose)
{
	bool signs = strcmp(purpose, "log") == 0 || strcmp(purpose, "receipt") == 0;
	bytea *wrapped = palloc(WRAPPED_SIZE), *public_key = palloc(VARHDRSZ + 32);
	uint8 master[MG_KEY_BYTES], root[MG_KEY_BYTES];
	char fingerprint[MG_FINGERPRINT_SIZE];
	mg_ctx ctx;
	mg_code code;

	mg_master_pin();
	mg_master_require(master, fingerprint, true);
	mg_ctx_init(&ctx);
	SET_VARSIZE(public_key, VARHDRSZ + 32);
	code = mg_random_key(&ctx, root);
	if (code == MG_OK && signs)
		code = mg_sign_public(&ctx, root, (uint8 *) VARDATA(public_key));
	if (code == MG_OK)
		code = wrap(&ctx, master, purpose, 0, root, wrapped);
	mg_wipe(root, sizeof(root));
	mg_wipe(master, sizeof(master));
	MG_CHECK(&ctx, code);
	/* where another transaction was first, its root counts */
	(void) wrapped_store(purpose, 0, fingerprint, wrapped, signs ? public_key : NULL);
}

static void
root_open(const char *purpose, uint8 key[MG_KEY_BYTES], uint8 *pub, bool create)
{
	char missing[128];

	if (unwrap_found(purpose, 0, key, pub))
		return;
	if (create)
	{
		root_create(purpose);
		if (unwrap_found(purpose, 0, key, pub))
			return;
	}
	snprintf(missing, sizeof(missing), "the root key for \"%s\" is missing", purpose);
	refuse_missing(missing, "Restore the table mirage.wrapped_key from a backup.");
}

void
mg_root_key(const char *purpose, uint8 key[MG_KEY_BYTES], bool create)
{
	root_open(purpose, key, NULL, create);
}

void
mg_root_key_pair(const char *purpose, uint8 key[MG_KEY_BYTES], uint8 pub[32])
{
	root_open(purpose, key, pub, true);
}

void
mg_keys_warm(const char *purpose)
{
	uint8 root[MG_KEY_BYTES];

	mg_root_key(purpose, root, true);
	mg_wipe(root, sizeof(root));
}

bool
mg_root_public(const char *purpose, uint8 pub[32])
{
	MgArg arg = MG_TEXT(purpose);
	MgQuery q;
	bytea *found = NULL;

	mg_query_begin(&q);
	if (mg_query_run(&q, true, "SELECT public_key FROM mirage.wrapped_key WHERE purpose = $1 AND model = 0", 1, &arg) >
		0)
		found = (bytea *) mg_get_varlena(&q, 0, 1);
	mg_query_end(&q);
	if (found == NULL || VARSIZE_ANY_EXHDR(found) != 32)
		return false;
	memcpy(pub, VARDATA_ANY(found), 32);
	return true;
}

MgGenuine
mg_root_public_genuine(const char *purpose, const uint8 pub[32])
{
	uint8 master[MG_KEY_BYTES], seed[MG_KEY_BYTES], own[32];
	MgKeyProblem why;
	Wrapped found;
	mg_ctx ctx;
	mg_code code;

	if (!wrapped_open(purpose, 0, &found, master, &why))
		return found.bytes == NULL ? MG_GENUINE_NO : MG_GENUINE_UNKNOWN;
	mg_ctx_init(&ctx);
	if (!unwrap(&ctx, master, purpose, 0, found.bytes, seed))
	{
		if (ctx.code != MG_CORRUPT)
			mg_throw(&ctx);
		return MG_GENUINE_NO;
	}
	code = mg_sign_public(&ctx, seed, own);
	mg_wipe(seed, sizeof(seed));
	MG_CHECK(&ctx, code);
	return memcmp(own, pub, sizeof(own)) == 0 ? MG_GENUINE_YES : MG_GENUINE_NO;
}

/* ---------------------------------------------------------------- sealed models */

static int
model_aad(char *aad, size_t size, int64 model)
{
	return snprintf(aad, size, "pg_mirage model|" INT64_FORMAT "|%d", model, MG_MODEL_KEY_VERSION);
}

bytea *
mg_model_seal_with(int64 model, const uint8 key[MG_KEY_BYTES], const void *plain, size_t len)
{
	char aad[128];
	uint8_t *out;
	size_t out_len;
	bytea *sealed;
	mg_ctx ctx;
	mg_code code;

	if (len > MaxAllocSize - VARHDRSZ - MG_SEAL_OVERHEAD)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("the model is too large to be stored"),
						errhint("Train over fewer columns, or with fewer bins.")));
	sealed = palloc(VARHDRSZ + len + MG_SEAL_OVERHEAD);
	mg_ctx_init(&ctx);
	code = mg_seal(&ctx, key, aad, (size_t) model_aad(aad, sizeof(aad), model), plain, len, &out, &out_len);
	MG_CHECK(&ctx, code);
	Assert(out_len == len + MG_SEAL_OVERHEAD);
	memcpy(VARDATA(sealed), out, len + MG_SEAL_OVERHEAD);
	SET_VARSIZE(sealed, VARHDRSZ + len + MG_SEAL_OVERHEAD);
	free(out);
	return sealed;
}

void *
mg_model_unseal(int64 model, const bytea *sealed, size_t *len)
{
	uint8 key[MG_KEY_BYTES];
	char aad[128];
	uint8_t *out;
	void *plain;
	mg_ctx ctx;
	mg_code code;

	mg_model_key(model, key);
	mg_ctx_init(&ctx);
	code = mg_unseal(&ctx, key, aad, (size_t) model_aad(aad, sizeof(aad), model), VARDATA_ANY(sealed),
					 VARSIZE_ANY_EXHDR(sealed), &out, len);
	mg_wipe(key, sizeof(key));
	if (code == MG_CORRUPT)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("the model's parameters are damaged"),
				 errhint("Restore the table mirage.model_blob from a backup, or drop the model and train again.")));
	MG_CHECK(&ctx, code);
	plain = MemoryContextAllocExtended(CurrentMemoryContext, Max(*len, 1), MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (plain != NULL)
		memcpy(plain, out, *len);
	mg_wipe(out, *len);
	free(out);
	if (plain == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return plain;
}
