/*
 * catalog/mark.c: the form of a high-water mark, and the file that it is in.
 *
 * The form is that of base/bytes.h: label, version, the database that wrote it, number of charges, highest number, time
 * of the last, head of the log, and for each budget and share what its charges add up to; strings in UTF-8. An Ed25519
 * signature of all of it comes last. The file is replaced by rename, so that readers see a whole mark, this one or the
 * last, and it is flushed, and its folder with it, before anything relies on it.
 */
#include "postgres.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/highwater.h"
#include "catalog/mark.h"
#include "miscadmin.h"
#include "pg/canonical.h"
#include "port.h"
#include "storage/fd.h"

/* Signed with it, so that no signature of a block of the log is one of a mark. */
#define LABEL "pg_mirage high-water mark"
#define VERSION 1
#define FIGURES 7                               /* of a group, beside its numbers */
#define GROUP_LEAST (2 * 4 + (2 + FIGURES) * 8) /* bytes */

/* ---------------------------------------------------------------- its form */

/* Budgets in the order of their bytes, whatever the database's collation. */
int
mg_mark_compare_groups(const void *a, const void *b)
{
	const MgMarkGroup *x = a, *y = b;
	int by_name = strcmp(x->budget, y->budget);

	return by_name != 0 ? by_name : (x->share > y->share) - (x->share < y->share);
}

static void
put_text(mg_writer *w, const char *s)
{
	int n;
	char *utf8 = mg_to_utf8(s, (int) strlen(s), &n);

	mg_put_str(w, utf8, (size_t) n);
}

static char *
get_text(mg_reader *r)
{
	size_t n;
	const char *utf8 = mg_get_str(r, &n);
	char *s = utf8 == NULL ? pstrdup("") : pnstrdup(utf8, n);

	return mg_from_utf8(s, (int) strlen(s));
}

void
mg_mark_encode(mg_writer *w, const MgMark *m)
{
	mg_put_raw(w, LABEL, sizeof(LABEL));
	mg_put_u32(w, VERSION);
	put_text(w, m->identity);
	mg_put_i64(w, m->charges);
	mg_put_i64(w, m->highest);
	mg_put_i64(w, m->last_at);
	mg_put_i64(w, m->head_number);
	mg_put_raw(w, m->head, sizeof(m->head));
	mg_put_u32(w, (uint32_t) m->ngroups);
	for (int i = 0; i < m->ngroups; i++)
	{
		const MgMarkGroup *g = &m->groups[i];
		const double figure[FIGURES] = {g->cap_epsilon, g->cap_delta, g->alpha,      g->epsilon,
										g->rho,         g->rdp,       g->delta_atoms};

		put_text(w, g->budget);
		put_text(w, g->unit_kind);
		mg_put_i64(w, g->share);
		mg_put_i64(w, g->count);
		for (int k = 0; k < FIGURES; k++)
			mg_put_f64(w, figure[k]);
	}
}

/* False where no ledger adds up to such figures. */
static bool
decode_group(mg_reader *r, MgMarkGroup *g)
{
	double *const figure[FIGURES] = {&g->cap_epsilon, &g->cap_delta, &g->alpha,      &g->epsilon,
									 &g->rho,         &g->rdp,       &g->delta_atoms};

	g->budget = get_text(r);
	g->unit_kind = get_text(r);
	g->share = mg_get_i64(r);
	g->count = mg_get_i64(r);
	for (int k = 0; k < FIGURES; k++)
	{
		*figure[k] = mg_get_f64(r);
		if (!(*figure[k] >= 0) || isinf(*figure[k]))
			return false;
	}
	return g->budget[0] != '\0' && g->share >= 0 && g->count >= 0;
}

/* False when it is not a mark that we signed. Nothing is read before the signature is found good, unless pub is NULL.
 */
bool
mg_mark_decode(const uint8 *data, size_t len, const uint8 pub[32], MgMark *m)
{
	const uint8_t *label, *head;
	const char *identity;
	size_t n;
	mg_reader r;
	mg_ctx ctx;
	bool good = true;

	if (len < MG_SIGNATURE_BYTES)
		return false;
	len -= MG_SIGNATURE_BYTES;
	mg_ctx_init(&ctx);
	if (pub != NULL)
		MG_CHECK(&ctx, mg_verify(&ctx, pub, data, len, data + len, &good));
	if (!good)
		return false;
	mg_reader_init(&r, data, len);
	label = mg_get_raw(&r, sizeof(LABEL));
	if (label == NULL || memcmp(label, LABEL, sizeof(LABEL)) != 0 || mg_get_u32(&r) != VERSION)
		return false;
	identity = mg_get_str(&r, &n);
	if (identity == NULL || n >= sizeof(m->identity))
		return false;
	memcpy(m->identity, identity, n);
	m->identity[n] = '\0';
	m->charges = mg_get_i64(&r);
	m->highest = mg_get_i64(&r);
	m->last_at = mg_get_i64(&r);
	m->head_number = mg_get_i64(&r);
	head = mg_get_raw(&r, sizeof(m->head));
	if (head == NULL)
		return false;
	memcpy(m->head, head, sizeof(m->head));
	m->ngroups = (int) mg_get_count(&r, GROUP_LEAST);
	m->groups = palloc(sizeof(MgMarkGroup) * Max(m->ngroups, 1));
	for (int i = 0; i < m->ngroups; i++)
		if (!decode_group(&r, &m->groups[i]))
			return false;
	qsort(m->groups, m->ngroups, sizeof(MgMarkGroup), mg_mark_compare_groups);
	return !r.failed && mg_reader_left(&r) == 0;
}

/* ---------------------------------------------------------------- the file */

static int
path_detail(const char *path)
{
	return superuser() ? errdetail("The file is \"%s\".", path) : errdetail_log("The file is \"%s\".", path);
}

void
mg_mark_unreadable(const char *path)
{
	ereport(
		ERROR,
		(errcode(MG_ERRCODE_HIGH_WATER), errmsg("could not read the high-water mark: %m"), path_detail(path),
		 errhint(
			 "The file that pg_mirage.high_water_file names must be the server's own to read and write. Nothing was read or charged.")));
}

/* The content; NULL when there is no such file. What is too long to be a mark is cut, and so damaged. */
uint8 *
mg_mark_read(const char *path, size_t *len)
{
	int fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK | PG_BINARY);
	struct stat st;
	uint8 *data;

	*len = 0;
	if (fd < 0 && errno == ENOENT)
		return NULL;
	if (fd < 0 || fstat(fd, &st) != 0)
		mg_mark_unreadable(path);
	if (!S_ISREG(st.st_mode))
	{
		errno = EINVAL;
		mg_mark_unreadable(path);
	}
	data = palloc(Min(st.st_size, MG_MARK_MAX) + 1);
	while (*len < (size_t) Min(st.st_size, MG_MARK_MAX))
	{
		ssize_t n = read(fd, data + *len, (size_t) Min(st.st_size, MG_MARK_MAX) - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			mg_mark_unreadable(path);
		if (n == 0)
			break;
		*len += (size_t) n;
	}
	CloseTransientFile(fd);
	return data;
}

static void
unwritable(const char *path, const char *temp)
{
	int saved = errno;

	if (temp != NULL)
		(void) unlink(temp);
	errno = saved;
	ereport(ERROR, (errcode(saved == ENOSPC || saved == EDQUOT ? ERRCODE_DISK_FULL : ERRCODE_IO_ERROR),
					errmsg("could not write the high-water mark: %m"), path_detail(path),
					errhint("The file that pg_mirage.high_water_file names must be the server's own to read and write. "
							"Nothing was read; the charge is given back.")));
}

/* So that a rename survives a power failure. Some file systems cannot do that for a folder, and say so. */
static void
sync_folder(const char *path)
{
	char folder[MAXPGPATH];
	int fd;

	strlcpy(folder, path, sizeof(folder));
	get_parent_directory(folder);
	fd = OpenTransientFile(folder[0] == '\0' ? "/" : folder, O_RDONLY | PG_BINARY);
	if (fd < 0 || (pg_fsync(fd) != 0 && errno != EBADF && errno != EINVAL))
		unwritable(path, NULL);
	CloseTransientFile(fd);
}

/* In the place of the mark before it, whole or not at all. A name of its own each time: another server may write beside
 * us. */
void
mg_mark_replace(const char *path, const uint8 *data, size_t len)
{
	char temp[MAXPGPATH + 32];
	uint32 suffix;
	int fd;

	if (!pg_strong_random(&suffix, sizeof(suffix)))
		elog(ERROR, "could not generate a random number");
	snprintf(temp, sizeof(temp), "%s.tmp.%08x", path, suffix);
	fd = OpenTransientFilePerm(temp, O_CREAT | O_EXCL | O_WRONLY | PG_BINARY, S_IRUSR | S_IWUSR);
	if (fd < 0)
		unwritable(path, NULL);
	errno = ENOSPC; /* what a short write means */
	if (write(fd, data, len) != (ssize_t) len || pg_fsync(fd) != 0)
		unwritable(path, temp);
	if (CloseTransientFile(fd) != 0 || rename(temp, path) != 0)
		unwritable(path, temp);
	sync_folder(path);
}

/* The former ledger's mark is no longer one: whoever still has that ledger misses it. */
void
mg_mark_retire(const char *former)
{
	char to[MAXPGPATH + 16];

	snprintf(to, sizeof(to), "%s.retired", former);
	if (rename(former, to) != 0)
		unwritable(former, NULL);
}
