/*
 * catalog/keys.c: the master key, and the keys that are wrapped under it.
 *
 * The master key comes from a command or from a file and is never kept: each use reads it, compares its fingerprint
 * with the one that the catalog records, and wipes it. Once a fingerprint is recorded no other key is accepted and no
 * file is made, so that a lost or exchanged file is noticed before anything is sealed under the wrong key. Several
 * databases of a cluster share the file.
 *
 * Wrapped keys are sealed with AAD "pg_mirage key|purpose|model": a wrapped key moved to another row does not unwrap. A
 * model's blob is sealed under the model's own key with AAD "pg_mirage model|id|version".
 *
 * Key bytes live on the stack or in the core's malloc'ed buffers and are wiped before anything can raise an error or
 * return. No message shows a byte of a key, or what a command printed.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/keys.h"
#include "miscadmin.h"
#include "pg/guc.h"
#include "port.h"
#include "seal/seal.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define KEY_DIGITS (2 * MG_KEY_BYTES)
#define KEY_TEXT_MAX (KEY_DIGITS + 8) /* room to see that there is more than a key */
#define FINGERPRINT_SIZE 33
#define WRAPPED_SIZE (VARHDRSZ + MG_KEY_BYTES + MG_SEAL_OVERHEAD)

/* Why there is no master key; raised by those who cannot do without. Where the key lies is for superusers and the
 * server's log. */
typedef struct KeyProblem
{
	char message[256];
	char hint[256];
	char path[MAXPGPATH]; /* may be empty */
} KeyProblem;

static bool problem(KeyProblem *p, const char *hint, const char *fmt, ...) pg_attribute_printf(3, 4);

static bool
problem(KeyProblem *p, const char *hint, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(p->message, sizeof(p->message), fmt, args);
	va_end(args);
	strlcpy(p->hint, hint, sizeof(p->hint));
	p->path[0] = '\0';
	return false;
}

/* ---------------------------------------------------------------- reading the master key */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Exactly 64 digits, and at most one newline after them. */
static bool
parse_key(const char *text, size_t len, uint8 key[MG_KEY_BYTES])
{
	if (len == KEY_DIGITS + 1 && text[KEY_DIGITS] == '\n')
		len--;
	if (len != KEY_DIGITS)
		return false;
	for (int i = 0; i < MG_KEY_BYTES; i++)
	{
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		key[i] = (uint8) (high << 4 | low);
	}
	return true;
}

static void
format_key(const uint8 key[MG_KEY_BYTES], char text[KEY_DIGITS + 1])
{
	static const char digit[] = "0123456789abcdef";

	for (int i = 0; i < MG_KEY_BYTES; i++)
	{
		text[2 * i] = digit[key[i] >> 4];
		text[2 * i + 1] = digit[key[i] & 15];
	}
	text[KEY_DIGITS] = '\n';
}

/*
 * A cancel or a timeout reaches the command too, since the server signals our whole process group; it then ends, and so
 * does the wait for its output.
 */
static bool
key_from_command(uint8 key[MG_KEY_BYTES], KeyProblem *why)
{
	const char *hint = "The command in pg_mirage.master_key_command must print 64 hexadecimal digits and exit with 0.";
	char text[KEY_TEXT_MAX];
	FILE *pipe = OpenPipeStream(mg_guc_master_key_command, "r");
	size_t len;
	int status;
	bool good;

	if (pipe == NULL)
		return problem(why, hint, "could not run the master key command: %m");
	setvbuf(pipe, NULL, _IONBF, 0); /* no copy of the key in a buffer of the C library */
	len = fread(text, 1, sizeof(text), pipe);
	status = ClosePipeStream(pipe);
	good = parse_key(text, len, key);
	mg_wipe(text, sizeof(text));
	if (status == 0 && good)
		return true;
	mg_wipe(key, MG_KEY_BYTES);
	CHECK_FOR_INTERRUPTS();
	if (status != 0)
		return problem(why, hint, "the master key command failed: %s",
					   status == -1 ? "it could not be waited for" : wait_result_to_str(status));
	return problem(why, hint, "the master key command did not print a key");
}

static void
key_path(char path[MAXPGPATH])
{
	if (is_absolute_path(mg_guc_master_key_file))
		strlcpy(path, mg_guc_master_key_file, MAXPGPATH);
	else
		snprintf(path, MAXPGPATH, "%s/%s", DataDir, mg_guc_master_key_file);
}

/* Judges an open key file: our own, regular, and nobody else's to read. */
static bool
check_key_file(int fd, KeyProblem *why)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return problem(why, "", "could not stat the master key file: %m");
	if (!S_ISREG(st.st_mode))
		return problem(why, "", "the master key file is not a regular file");
	if (st.st_uid != geteuid())
		return problem(why, "The user that the server runs as must own the file.",
					   "the master key file belongs to another user");
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return problem(why, "Its permissions must be u=rw (0600) or less.",
					   "the master key file can be accessed by others");
	return true;
}

/* missing: set when there is no file of that name, which is the one case where a file may be made. */
static bool
key_from_file(const char *path, uint8 key[MG_KEY_BYTES], bool *missing, KeyProblem *why)
{
	char text[KEY_TEXT_MAX];
	ssize_t len;
	bool good;
	int fd;

	*missing = false;
	fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY); /* a FIFO must not hold us */
	if (fd < 0)
	{
		*missing = errno == ENOENT;
		return problem(why, "Put the key file back, or name it in pg_mirage.master_key_file.",
					   "could not open the master key file: %m");
	}
	if (!check_key_file(fd, why))
	{
		CloseTransientFile(fd);
		return false;
	}
	len = read(fd, text, sizeof(text));
	CloseTransientFile(fd);
	good = len >= 0 && parse_key(text, (size_t) len, key);
	mg_wipe(text, sizeof(text));
	if (good)
		return true;
	mg_wipe(key, MG_KEY_BYTES);
	return problem(why, "Put the right key file back; a file made anew does not open what the old key sealed.",
				   "the master key file does not hold 64 hexadecimal digits");
}

/* ---------------------------------------------------------------- making the key file */

/* Writes text to a new file and makes it durable; errno says why not. */
static bool
write_new_file(const char *path, const char *text, size_t len)
{
	int fd = OpenTransientFilePerm(path, O_CREAT | O_EXCL | O_WRONLY | PG_BINARY, S_IRUSR | S_IWUSR);
	int saved;
	bool good;

	if (fd < 0)
		return false;
	errno = ENOSPC; /* what a short write means */
	good = write(fd, text, len) == (ssize_t) len && pg_fsync(fd) == 0;
	saved = errno;
	if (CloseTransientFile(fd) != 0 && good)
		return false;
	errno = saved;
	return good;
}

/*
 * Makes the key file unless somebody else does at the same moment: the whole file is written under another name and
 * linked into place, which never replaces a file and never shows half of one.
 */
static void
make_key_file(const char *path)
{
	char temp[MAXPGPATH + 32], dir[MAXPGPATH], text[KEY_DIGITS + 1];
	uint8 key[MG_KEY_BYTES];
	mg_ctx ctx;
	bool written;

	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_random_key(&ctx, key));
	format_key(key, text);
	mg_wipe(key, sizeof(key));
	snprintf(temp, sizeof(temp), "%s.tmp.%d", path, MyProcPid);
	(void) unlink(temp); /* of a process of this number that crashed */
	written = write_new_file(temp, text, sizeof(text));
	mg_wipe(text, sizeof(text));
	if (!written || (link(temp, path) != 0 && errno != EEXIST))
	{
		int saved = errno;

		(void) unlink(temp);
		errno = saved;
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not make the master key file: %m"),
						errdetail_log("The file is \"%s\".", path),
						errhint("Make it beforehand, or name another file in pg_mirage.master_key_file.")));
	}
	(void) unlink(temp);
	strlcpy(dir, path, sizeof(dir));
	get_parent_directory(dir);
	fsync_fname(dir[0] == '\0' ? "." : dir, true);
}

/* ---------------------------------------------------------------- the recorded fingerprint */

/* The fingerprint that is in force, or NULL. */
static char *
recorded_fingerprint(void)
{
	MgQuery q;
	char *fingerprint = NULL;

	mg_query_begin(&q);
	if (mg_query_run(&q, true,
					 "SELECT fingerprint FROM mirage.master_key ORDER BY recorded_at DESC, fingerprint LIMIT 1", 0,
					 NULL) > 0)
		fingerprint = mg_get_text(&q, 0, 1);
	mg_query_end(&q);
	return fingerprint;
}

/* Records the first fingerprint of this database; one that another transaction recorded meanwhile stands. Returns what
 * stands. */
static char *
record_fingerprint(const char *fingerprint)
{
	MgArg arg = MG_TEXT(fingerprint);
	MgQuery q;
	char *standing;

	mg_query_begin(&q);
	mg_query_run(&q, false, "LOCK TABLE mirage.master_key IN SHARE ROW EXCLUSIVE MODE", 0, NULL);
	mg_query_end(&q);
	standing = recorded_fingerprint();
	if (standing != NULL)
		return standing;
	mg_query_begin(&q);
	mg_query_run(&q, false, "INSERT INTO mirage.master_key (fingerprint) VALUES ($1)", 1, &arg);
	mg_query_end(&q);
	return pstrdup(fingerprint);
}

static bool
fetch_key(uint8 key[MG_KEY_BYTES], bool may_make, KeyProblem *why)
{
	char path[MAXPGPATH];
	bool missing;

	if (mg_guc_master_key_command != NULL && mg_guc_master_key_command[0] != '\0')
		return key_from_command(key, why);
	if (mg_guc_master_key_file == NULL || mg_guc_master_key_file[0] == '\0')
		return problem(why, "Set pg_mirage.master_key_file or pg_mirage.master_key_command.",
					   "no master key is configured");
	key_path(path);
	if (key_from_file(path, key, &missing, why))
		return true;
	if (missing && may_make)
	{
		make_key_file(path);
		if (key_from_file(path, key, &missing, why))
			return true;
	}
	strlcpy(why->path, path, MAXPGPATH);
	return false;
}

/* The master key and its fingerprint; false, with the reason, when there is none that this database may use. */
static bool
find_master_key(uint8 key[MG_KEY_BYTES], char fingerprint[FINGERPRINT_SIZE], bool create, KeyProblem *why)
{
	char *recorded = recorded_fingerprint();
	mg_ctx ctx;
	bool same;

	if (recorded == NULL && !create)
		return problem(why,
					   "The first training records one; where there are models, restore the table mirage.master_key.",
					   "no master key is recorded in this database");
	if (!fetch_key(key, recorded == NULL, why))
		return false;
	mg_ctx_init(&ctx);
	if (mg_key_fingerprint(&ctx, key, fingerprint) != MG_OK)
	{
		mg_wipe(key, MG_KEY_BYTES);
		mg_throw(&ctx);
	}
	if (recorded == NULL)
	{
		PG_TRY();
		{
			recorded = record_fingerprint(fingerprint);
		}
		PG_CATCH();
		{
			mg_wipe(key, MG_KEY_BYTES);
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	same = strcmp(recorded, fingerprint) == 0;
	if (!same)
	{
		char hint[sizeof(why->hint)];

		mg_wipe(key, MG_KEY_BYTES);
		snprintf(hint, sizeof(hint), "Provide the key with fingerprint %s, which sealed what this database holds.",
				 recorded);
		problem(why, hint, "the master key is not the one of this database");
	}
	return same;
}

static void
require_master_key(uint8 key[MG_KEY_BYTES], char fingerprint[FINGERPRINT_SIZE], bool create)
{
	KeyProblem why;

	if (!find_master_key(key, fingerprint, create, &why))
		ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("%s", why.message),
						why.path[0] != '\0' && superuser() ? errdetail("The file is \"%s\".", why.path) : 0,
						why.path[0] != '\0' ? errdetail_log("The file is \"%s\".", why.path) : 0,
						why.hint[0] != '\0' ? errhint("%s", why.hint) : 0));
}

void
mg_master_key(uint8 key[MG_KEY_BYTES], bool create)
{
	char fingerprint[FINGERPRINT_SIZE];

	require_master_key(key, fingerprint, create);
}

/* ---------------------------------------------------------------- wrapping */

static int
wrap_aad(char *aad, size_t size, const char *purpose, int64 model)
{
	return snprintf(aad, size, "pg_mirage key|%s|" INT64_FORMAT, purpose, model);
}

/* key under the master key, into a bytea of WRAPPED_SIZE bytes. Wipes `master`, whatever happens. */
static void
wrap(uint8 master[MG_KEY_BYTES], const char *purpose, int64 model, const uint8 key[MG_KEY_BYTES], bytea *wrapped)
{
	char aad[128];
	uint8_t *out;
	size_t len;
	mg_ctx ctx;
	mg_code code;

	mg_ctx_init(&ctx);
	code =
		mg_seal(&ctx, master, aad, (size_t) wrap_aad(aad, sizeof(aad), purpose, model), key, MG_KEY_BYTES, &out, &len);
	mg_wipe(master, MG_KEY_BYTES);
	MG_CHECK(&ctx, code);
	Assert(len == WRAPPED_SIZE - VARHDRSZ);
	memcpy(VARDATA(wrapped), out, WRAPPED_SIZE - VARHDRSZ);
	SET_VARSIZE(wrapped, WRAPPED_SIZE);
	free(out);
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

/* The wrapped key of (purpose, model), or NULL. */
static bytea *
wrapped_find(const char *purpose, int64 model)
{
	MgArg args[] = {MG_TEXT(purpose), MG_INT8(model)};
	MgQuery q;
	bytea *wrapped = NULL;

	mg_query_begin(&q);
	if (mg_query_run(&q, true, "SELECT wrapped FROM mirage.wrapped_key WHERE purpose = $1 AND model = $2",
					 lengthof(args), args) > 0)
		wrapped = (bytea *) mg_get_varlena(&q, 0, 1);
	mg_query_end(&q);
	return wrapped;
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

static void
unwrap_or_fail(const char *purpose, int64 model, const bytea *wrapped, uint8 key[MG_KEY_BYTES])
{
	uint8 master[MG_KEY_BYTES];
	mg_ctx ctx;

	mg_master_key(master, false);
	mg_ctx_init(&ctx);
	if (unwrap(&ctx, master, purpose, model, wrapped, key))
		return;
	if (ctx.code == MG_CORRUPT)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("a wrapped key (%s) is damaged", purpose),
						errhint("Restore the table mirage.wrapped_key from a backup.")));
	mg_throw(&ctx);
}

/* ---------------------------------------------------------------- keys of models */

void
mg_model_key_create(int64 model, uint8 key[MG_KEY_BYTES])
{
	bytea *wrapped = palloc(WRAPPED_SIZE);
	uint8 master[MG_KEY_BYTES];
	char fingerprint[FINGERPRINT_SIZE];
	mg_ctx ctx;

	require_master_key(master, fingerprint, true);
	mg_ctx_init(&ctx);
	if (mg_random_key(&ctx, key) != MG_OK)
	{
		mg_wipe(master, sizeof(master));
		mg_throw(&ctx);
	}
	wrap(master, "model", model, key, wrapped);
	if (!wrapped_store("model", model, fingerprint, wrapped, NULL))
		elog(ERROR, "model " INT64_FORMAT " has a key already", model);
}

void
mg_model_key(int64 model, uint8 key[MG_KEY_BYTES])
{
	bytea *wrapped = wrapped_find("model", model);

	if (wrapped == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("the model's key is missing"),
				 errhint("Restore the table mirage.wrapped_key from a backup, or drop the model and train again.")));
	unwrap_or_fail("model", model, wrapped, key);
}

/* ---------------------------------------------------------------- roots */

static void
root_create(const char *purpose)
{
	bool signs = strcmp(purpose, "log") == 0 || strcmp(purpose, "receipt") == 0;
	bytea *wrapped = palloc(WRAPPED_SIZE), *public_key = palloc(VARHDRSZ + 32);
	uint8 master[MG_KEY_BYTES], root[MG_KEY_BYTES];
	char fingerprint[FINGERPRINT_SIZE];
	mg_ctx ctx;

	require_master_key(master, fingerprint, true);
	mg_ctx_init(&ctx);
	SET_VARSIZE(public_key, VARHDRSZ + 32);
	if (mg_random_key(&ctx, root) != MG_OK ||
		(signs && mg_sign_public(&ctx, root, (uint8 *) VARDATA(public_key)) != MG_OK))
	{
		mg_wipe(root, sizeof(root));
		mg_wipe(master, sizeof(master));
		mg_throw(&ctx);
	}
	wrap(master, purpose, 0, root, wrapped);
	mg_wipe(root, sizeof(root));
	/* where another transaction was first, its root counts */
	(void) wrapped_store(purpose, 0, fingerprint, wrapped, signs ? public_key : NULL);
}

void
mg_root_key(const char *purpose, uint8 key[MG_KEY_BYTES], bool create)
{
	bytea *wrapped = wrapped_find(purpose, 0);

	if (wrapped == NULL && create)
	{
		root_create(purpose);
		wrapped = wrapped_find(purpose, 0);
	}
	if (wrapped == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("the root key for \"%s\" is missing", purpose),
						errhint("Restore the table mirage.wrapped_key from a backup.")));
	unwrap_or_fail(purpose, 0, wrapped, key);
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
	bytea *wrapped = wrapped_find(purpose, 0);
	uint8 master[MG_KEY_BYTES], seed[MG_KEY_BYTES], own[32];
	char fingerprint[FINGERPRINT_SIZE];
	KeyProblem why;
	mg_ctx ctx;
	mg_code code;

	if (wrapped == NULL)
		return MG_GENUINE_NO;
	if (!find_master_key(master, fingerprint, false, &why))
		return MG_GENUINE_UNKNOWN;
	mg_ctx_init(&ctx);
	if (!unwrap(&ctx, master, purpose, 0, wrapped, seed))
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
mg_model_seal(int64 model, const void *plain, size_t len)
{
	uint8 key[MG_KEY_BYTES];
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
	mg_model_key(model, key);
	mg_ctx_init(&ctx);
	code = mg_seal(&ctx, key, aad, (size_t) model_aad(aad, sizeof(aad), model), plain, len, &out, &out_len);
	mg_wipe(key, sizeof(key));
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
