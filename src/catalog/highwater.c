/*
 * catalog/highwater.c: the high-water mark of the ledger.
 *
 * Durable commits do not save a ledger from recovery to an earlier moment, a failover to a standby that was behind, or
 * an old dump: all of them are whole, and all of them have forgotten charges. So each training, once its charge has
 * committed and before it reads a row, writes down what the ledger holds in a file that shares none of the cluster's
 * fates; and before it reserves, it compares.
 *
 * The file. `pg_mirage.high_water_file` names an absolute path outside of the data directory; the mark of an account is
 * `path.account`, where account is the beginning of a hash of the log's public key. The key goes wherever the ledger
 * goes, into dumps, base backups and standbys, so an old dump that is restored as another database finds the mark of
 * the ledger that it is a copy of; other databases have keys, and files, of their own. The content is signed with the
 * log's private key, in this form (base/bytes.h): label, version, the database that wrote it (system identifier and
 * OID), number of charges, highest number, time of the last, head of the log, and for each budget and share the sums of
 * its charges. Signature last.
 *
 * Before the first training there is no key and no account. A cluster that was rewound to then, and a database in which
 * the extension was dropped and made again, find the mark of the former ledger by the database that wrote it, and
 * retire it when theirs begins, so that a server that knows the former key is refused. Its signature cannot be checked,
 * but who forges one can only make us charge more.
 *
 * What is lost is found so. Let M be the mark's charges and L those of the ledger. A rewind keeps a prefix of the
 * commits, so the charges of L that are no newer than M (number and time up to the mark's) are those of M that
 * survived; where a budget has fewer of them than M counted, the difference of the sums is what was lost: charges that
 * were released count in the numbers, but not in the sums. Charges that a rewound ledger took on while no mark was kept
 * are newer, and hide nothing. (Where a copy of the ledger spent beside the original, neither with a mark, no sums can
 * tell whose charges are whose; the log's head then differs.) The log's head must be in the chain as well, so that a
 * rewind that lost no charge, but entries that somebody may hold a head of, shows too.
 *
 * Invariants. A mark that is written covers the one before it. The log says that marks are written (entry "high-water
 * mark") only after one was, so a crash between the two stops nobody; once it says so, a mark that is missing is
 * refused like one that shows a loss. An acknowledgement (entry "acknowledge rewind") names the hash of the file's
 * content, or "missing": for any other mark it is none; that of a missing one ends with the next "high-water mark".
 *
 * Locks: comparing needs none, since a mark appears whole, by rename, after what it shows was committed. Writing and
 * acknowledging hold an object lock of ours on the account to the end of the transaction, taken before any lock on a
 * budget. It is the cluster's, as two copies of a ledger may be two databases of it. Between two servers on one file
 * nothing is locked: each finds the other's mark, which it lacks charges of or which was written elsewhere, and is
 * refused.
 */
#include "postgres.h"

#include "base/bytes.h"
#include "catalog/highwater.h"
#include "catalog/keys.h"
#include "catalog/mark.h"
#include "catalog/pg_extension_d.h"
#include "catalog/seals.h"
#include "miscadmin.h"
#include "pg/guc.h"
#include "pg/json.h"
#include "port.h"
#include "seal/seal.h"
#include "storage/fd.h"
#include "storage/lock.h"
#include "utils/memutils.h"

#define ACCOUNT_DIGITS 16
#define MISSING "missing"
#define WHY_FORMER "former ledger"
#define LOG_WRITTEN "high-water mark"
#define LOG_ACKNOWLEDGED "acknowledge rewind"

typedef enum Finding
{
	LEVEL,   /* the ledger holds all of it, or there is none and never was */
	BEHIND,  /* the ledger, or the log, lacks some of it */
	COPY,    /* another copy of this ledger wrote it */
	LOST,    /* there is none, but the log says there was */
	DAMAGED, /* or not signed by us */
	FORMER   /* there is none, but one of this database under a key that it does not know */
} Finding;

typedef struct Survey
{
	char prefix[MAXPGPATH]; /* the setting */
	char path[MAXPGPATH];   /* of this account; empty before the first training, which makes its key */
	char former[MAXPGPATH]; /* where a former ledger's was found */
	uint32 account;         /* for the lock */
	Finding finding;
	bool acknowledged;                /* what was found, by an administrator, in the log */
	bool announced;                   /* the last thing that the log says about marks is that one was written */
	char hash[2 * MG_HASH_BYTES + 1]; /* of the content; MISSING where there is none */
	MgMark mark;
	int64 nlost;
	int nlost_groups;
	MgMarkGroup *lost; /* what the ledger lacks of the mark */
} Survey;

bool
mg_high_water_kept(void)
{
	return mg_guc_high_water_file != NULL && mg_guc_high_water_file[0] != '\0';
}

/* ---------------------------------------------------------------- where it is */

/*
 * The public half of the log's key, of the seed itself: the recorded one can be exchanged by whoever can write our
 * tables. False: there is none yet.
 */
static bool
signer(uint8 pub[32])
{
	uint8 seed[MG_KEY_BYTES];
	mg_ctx ctx;
	mg_code code;

	if (!mg_root_public("log", pub))
		return false;
	mg_root_key("log", seed, false);
	mg_ctx_init(&ctx);
	code = mg_sign_public(&ctx, seed, pub);
	mg_wipe(seed, sizeof(seed));
	MG_CHECK(&ctx, code);
	return true;
}

/*
 * A setting that cannot do what it is for is an error here, not where it is set: a check hook would put the default, no
 * mark at all, in the place of a value that it refuses.
 */
static void
find_prefix(Survey *s)
{
	strlcpy(s->prefix, mg_guc_high_water_file, sizeof(s->prefix));
	canonicalize_path(s->prefix);
	if (!is_absolute_path(s->prefix) || path_is_prefix_of_path(DataDir, s->prefix) ||
		strlen(mg_guc_high_water_file) + 2 * ACCOUNT_DIGITS > sizeof(s->prefix))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("pg_mirage.high_water_file is not an absolute path outside of the data directory"),
				 errhint("A mark that is rewound with the cluster shows nothing. Name a file on another volume.")));
}

static void
find_account(Survey *s, const uint8 pub[32])
{
	char digits[2 * MG_HASH_BYTES + 1];
	uint8 hash[MG_HASH_BYTES];
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_sha256(&ctx, pub, 32, hash));
	memcpy(&s->account, hash, sizeof(s->account));
	mg_hex(hash, sizeof(hash), digits);
	snprintf(s->path, sizeof(s->path), "%s.%.*s", s->prefix, ACCOUNT_DIGITS, digits);
}

/* ---------------------------------------------------------------- what the ledger holds */

/* The sums of all charges, or of those that are no newer than `until`. One that stands for several lost ones counts as
 * so many. */
static void
read_groups(MgMark *m, const MgMark *until)
{
	MgArg args[] = {MG_INT8(until == NULL ? PG_INT64_MAX : until->highest),
					{TIMESTAMPTZOID, TimestampTzGetDatum(until == NULL ? 0 : until->last_at), until == NULL}};
	MgQuery q;

	mg_query_begin(&q);
	m->ngroups = (int)
		mg_query_run(&q, true,
					 "SELECT l.budget_name, l.share, sum(coalesce((l.events->0->>'lost_charges')::bigint, 1))::bigint, "
					 "coalesce(b.epsilon, 0), coalesce(b.delta, 0), coalesce(b.alpha, 0), "
					 "coalesce(sum(l.epsilon) FILTER (WHERE r.id IS NULL), 0), "
					 "coalesce(sum(l.rho) FILTER (WHERE r.id IS NULL), 0), "
					 "coalesce(sum(l.rdp) FILTER (WHERE r.id IS NULL), 0), "
					 "coalesce(sum(l.delta_atoms) FILTER (WHERE r.id IS NULL), 0), max(l.charge), max(l.charged_at), "
					 "coalesce(b.unit_kind, '') "
					 "FROM mirage.ledger l LEFT JOIN mirage.budget b ON b.id = l.budget "
					 "LEFT JOIN mirage.ledger r ON r.charge = l.charge AND r.state = 'released' "
					 "WHERE l.state = 'reserved' AND l.charge <= $1 AND ($2 IS NULL OR l.charged_at <= $2) "
					 "GROUP BY l.budget_name, l.share, b.id",
					 lengthof(args), args);
	m->groups = MemoryContextAllocHuge(q.caller, sizeof(MgMarkGroup) * Max(m->ngroups, 1));
	for (int i = 0; i < m->ngroups; i++)
	{
		MgMarkGroup *g = &m->groups[i];

		g->budget = mg_get_text(&q, i, 1);
		g->share = mg_get_int8(i, 2);
		g->count = mg_get_int8(i, 3);
		g->cap_epsilon = mg_get_float8(i, 4);
		g->cap_delta = mg_get_float8(i, 5);
		g->alpha = mg_get_float8(i, 6);
		g->epsilon = mg_get_float8(i, 7);
		g->rho = mg_get_float8(i, 8);
		g->rdp = mg_get_float8(i, 9);
		g->delta_atoms = mg_get_float8(i, 10);
		g->unit_kind = mg_get_text(&q, i, 13);
		m->charges += g->count;
		m->highest = Max(m->highest, mg_get_int8(i, 11));
		m->last_at = Max(m->last_at, DatumGetTimestampTz(mg_get_datum(i, 12)));
	}
	mg_query_end(&q);
	qsort(m->groups, m->ngroups, sizeof(MgMarkGroup), mg_mark_compare_groups);
}

static void
read_head(MgMark *m)
{
	MgQuery q;
	bytea *hash = NULL;

	mg_query_begin(&q);
	if (mg_query_run(&q, true, "SELECT number, hash FROM mirage.log_block ORDER BY number DESC LIMIT 1", 0, NULL) > 0)
	{
		m->head_number = mg_get_int8(0, 1);
		hash = (bytea *) mg_get_varlena(&q, 0, 2);
	}
	mg_query_end(&q);
	if (hash != NULL && VARSIZE_ANY_EXHDR(hash) == sizeof(m->head))
		memcpy(m->head, VARDATA_ANY(hash), sizeof(m->head));
}

static bool
head_in_chain(const MgMark *m)
{
	bytea *hash = palloc(VARHDRSZ + sizeof(m->head));
	MgArg args[] = {MG_INT8(m->head_number), MG_BYTEA(hash)};

	if (m->head_number == 0)
		return true;
	SET_VARSIZE(hash, VARHDRSZ + sizeof(m->head));
	memcpy(VARDATA(hash), m->head, sizeof(m->head));
	return mg_query_any("SELECT 1 FROM mirage.log_block WHERE number = $1 AND hash = $2", lengthof(args), args);
}

/* What the log says about marks, and about this one. */
static void
read_log(Survey *s)
{
	MgArg arg = MG_TEXT(s->hash);
	bool written = false, last_is_ours = false;
	MgQuery q;

	mg_query_begin(&q);
	if (mg_query_run(&q, true,
					 "SELECT action = '" LOG_WRITTEN "', "
					 "action = '" LOG_WRITTEN "' OR detail->>'why' <> '" WHY_FORMER "', "
					 "action = '" LOG_ACKNOWLEDGED "' AND detail->>'mark' = $1 FROM mirage.log "
					 "WHERE action IN ('" LOG_WRITTEN "', '" LOG_ACKNOWLEDGED "') ORDER BY id DESC LIMIT 1",
					 1, &arg) > 0)
	{
		s->announced = mg_get_bool(0, 1);
		written = mg_get_bool(0, 2);
		last_is_ours = mg_get_bool(0, 3);
	}
	if (strcmp(s->hash, MISSING) == 0)
	{
		s->finding = written ? LOST : LEVEL;
		s->acknowledged = last_is_ours;
	}
	else
		s->acknowledged = mg_query_run(&q, true,
									   "SELECT 1 FROM mirage.log WHERE action = '" LOG_ACKNOWLEDGED
									   "' AND detail->>'mark' = $1 LIMIT 1",
									   1, &arg) > 0;
	mg_query_end(&q);
}

/* ---------------------------------------------------------------- comparing */

/* What `m` shows and the ledger lacks, by budget and share. */
static void
find_lost(Survey *s)
{
	const MgMark *m = &s->mark;
	MgMark left = {.last_at = PG_INT64_MIN};

	read_groups(&left, m);
	s->lost = palloc(sizeof(MgMarkGroup) * Max(m->ngroups, 1));
	for (int i = 0; i < m->ngroups; i++)
	{
		const MgMarkGroup *was = &m->groups[i];
		const MgMarkGroup *now = bsearch(was, left.groups, left.ngroups, sizeof(MgMarkGroup), mg_mark_compare_groups);
		MgMarkGroup lost = *was;

		if (now != NULL && now->count >= was->count)
			continue;
		if (now != NULL)
		{
			lost.count -= now->count;
			lost.epsilon = Max(lost.epsilon - now->epsilon, 0);
			lost.rho = Max(lost.rho - now->rho, 0);
			lost.rdp = Max(lost.rdp - now->rdp, 0);
			lost.delta_atoms = Max(lost.delta_atoms - now->delta_atoms, 0);
		}
		s->nlost += lost.count;
		s->lost[s->nlost_groups++] = lost;
	}
}

static void
hash_content(const uint8 *data, size_t len, char out[2 * MG_HASH_BYTES + 1])
{
	uint8 hash[MG_HASH_BYTES];
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	MG_CHECK(&ctx, mg_sha256(&ctx, data, len, hash));
	mg_hex(hash, sizeof(hash), out);
}

static bool
is_ours(const MgMark *m)
{
	return strcmp(m->identity, mg_database_identity()) == 0;
}

/* The newest mark that this very database wrote under another key, where there is one. */
static void
find_former(Survey *s)
{
	const char *base = last_dir_separator(s->prefix) + 1;
	size_t stem = strlen(base);
	char folder[MAXPGPATH], path[MAXPGPATH + 64];
	struct dirent *entry;
	DIR *dir;

	strlcpy(folder, s->prefix, sizeof(folder));
	get_parent_directory(folder);
	dir = AllocateDir(folder);
	if (dir == NULL)
		mg_mark_unreadable(s->prefix);
	while ((entry = ReadDir(dir, folder)) != NULL)
	{
		const char *name = entry->d_name;
		MgMark m = {0};
		uint8 *data;
		size_t len;

		if (strncmp(name, base, stem) != 0 || name[stem] != '.' || strlen(name + stem + 1) != ACCOUNT_DIGITS ||
			strspn(name + stem + 1, "0123456789abcdef") != ACCOUNT_DIGITS)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, name);
		data = mg_mark_read(path, &len);
		if (data == NULL || !mg_mark_decode(data, len, NULL, &m) || !is_ours(&m))
			continue;
		if (s->finding == FORMER && m.last_at <= s->mark.last_at)
			continue;
		s->finding = FORMER;
		s->mark = m;
		strlcpy(s->former, path, sizeof(s->former));
		hash_content(data, len, s->hash);
	}
	FreeDir(dir);
}

static void
survey(Survey *s)
{
	uint8 pub[32], *data = NULL;
	size_t len;

	find_prefix(s);
	if (signer(pub))
	{
		find_account(s, pub);
		data = mg_mark_read(s->path, &len);
	}
	strlcpy(s->hash, MISSING, sizeof(s->hash));
	if (data != NULL)
	{
		hash_content(data, len, s->hash);
		if (!mg_mark_decode(data, len, pub, &s->mark))
		{
			memset(&s->mark, 0, sizeof(s->mark));
			s->finding = DAMAGED;
		}
		else
		{
			find_lost(s);
			if (!is_ours(&s->mark))
				s->finding = COPY;
			else
				s->finding = s->nlost > 0 || !head_in_chain(&s->mark) ? BEHIND : LEVEL;
		}
	}
	read_log(s);
	if (data == NULL && s->finding == LEVEL && !s->acknowledged)
	{
		find_former(s);
		if (s->finding == FORMER)
		{
			find_lost(s);
			read_log(s);
		}
	}
}

#define HINT_ACKNOWLEDGE "a member of mirage_admin calls dp_acknowledge_rewind(note)"

static int
lost_detail(const Survey *s)
{
	if (s->nlost > 0)
		return errdetail("The ledger lacks " INT64_FORMAT " of the " INT64_FORMAT " charges that the mark shows.",
						 s->nlost, s->mark.charges);
	return errdetail("No charge is lost.");
}

static void
refuse(const Survey *s)
{
	switch (s->finding)
	{
		case LEVEL:
			break;
		case BEHIND:
			ereport(ERROR, (errcode(MG_ERRCODE_HIGH_WATER),
							s->nlost > 0 ? errmsg("the ledger is behind its high-water mark")
										 : errmsg("the audit log is behind its high-water mark"),
							lost_detail(s),
							errhint("The database was rewound. Recover it to a later moment, or " HINT_ACKNOWLEDGE
									", which charges what was lost again.")));
		case COPY:
			ereport(ERROR, (errcode(MG_ERRCODE_HIGH_WATER),
							errmsg("the high-water mark was written by another copy of this ledger"), lost_detail(s),
							errhint("Where this database takes the other's place, " HINT_ACKNOWLEDGE
									"; the other is refused from then on.")));
		case LOST:
			ereport(
				ERROR,
				(errcode(MG_ERRCODE_HIGH_WATER), errmsg("the high-water mark is missing"),
				 errdetail("The log says that one was written."),
				 errhint(
					 "Put the file back where pg_mirage.high_water_file looks for it. Where it is lost, " HINT_ACKNOWLEDGE
					 ".")));
		case FORMER:
			ereport(
				ERROR,
				(errcode(MG_ERRCODE_HIGH_WATER),
				 errmsg("this database has had a ledger before, which left a high-water mark"), lost_detail(s),
				 errhint(
					 "It was rewound to before its first training, or the extension was dropped. Recover it to a later moment, or " HINT_ACKNOWLEDGE
					 ", which charges what was lost again.")));
		case DAMAGED:
			ereport(ERROR, (errcode(MG_ERRCODE_HIGH_WATER),
							errmsg("the high-water mark is damaged, or was not signed by this database"),
							errhint("Put the right file back. Where it is lost, " HINT_ACKNOWLEDGE ".")));
	}
}

void
mg_high_water_require(void)
{
	Survey s = {.finding = LEVEL};

	survey(&s);
	if (!s.acknowledged)
		refuse(&s);
}

/* ---------------------------------------------------------------- writing */

/* One at a time, of all databases that share the account. */
static void
lock_account(void)
{
	Survey s = {.account = 0};
	uint8 pub[32];
	LOCKTAG tag;

	find_prefix(&s);
	if (signer(pub))
		find_account(&s, pub);
	/* no shared catalog is pg_extension, so nobody else's lock looks like this */
	SET_LOCKTAG_OBJECT(tag, InvalidOid, ExtensionRelationId, s.account, 0);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

static void
sign_and_replace(const char *path, const MgMark *m)
{
	uint8 seed[MG_KEY_BYTES], signature[MG_SIGNATURE_BYTES];
	mg_writer w;
	mg_ctx ctx;
	mg_code code;
	uint8 *data;
	size_t len;

	mg_writer_init(&w);
	mg_mark_encode(&w, m);
	if (w.failed)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	len = w.len;
	data =
		MemoryContextAllocExtended(CurrentMemoryContext, len + MG_SIGNATURE_BYTES, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (data != NULL)
		memcpy(data, w.data, len);
	mg_writer_free(&w);
	if (data == NULL || len + MG_SIGNATURE_BYTES > MG_MARK_MAX)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	mg_root_key("log", seed, false);
	mg_ctx_init(&ctx);
	code = mg_sign(&ctx, seed, data, len, signature);
	mg_wipe(seed, sizeof(seed));
	MG_CHECK(&ctx, code);
	memcpy(data + len, signature, sizeof(signature));
	mg_mark_replace(path, data, len + sizeof(signature));
}

void
mg_high_water_write(void)
{
	Survey s = {.finding = LEVEL};
	MgMark m = {.last_at = PG_INT64_MIN};

	lock_account();
	survey(&s);
	if (!s.acknowledged)
		refuse(&s); /* rewound, or written elsewhere, since we compared: by another server */
	strlcpy(m.identity, mg_database_identity(), sizeof(m.identity));
	read_groups(&m, NULL);
	read_head(&m);
	if (s.mark.charges > 0)
	{
		m.highest = Max(m.highest, s.mark.highest);
		m.last_at = Max(m.last_at, s.mark.last_at);
	}
	if (s.finding == FORMER)
		mg_mark_retire(s.former);
	sign_and_replace(s.path, &m);
	if (!s.announced)
		mg_log(LOG_WRITTEN, "ledger", psprintf("{\"charges\": " INT64_FORMAT "}", m.charges));
}

/* ---------------------------------------------------------------- acknowledging */

/* Numbers that the lost rows had are never given again: models, receipts and people remember them. */
static void
pass_number(const char *sequence, int64 number)
{
	char *sql =
		psprintf("SELECT max(nextval('mirage.%s')) FROM generate_series(1, $1 - (SELECT last_value FROM mirage.%s))",
				 sequence, sequence);
	MgArg arg = MG_INT8(number);
	MgQuery q;

	mg_query_begin(&q);
	mg_query_run(&q, false, sql, 1, &arg);
	mg_query_end(&q);
}

/* The budget of that name, made again where it was lost too: with its own cap and order, and owned by who acknowledges.
 */
static MgBudget *
find_or_remake_budget(const MgMarkGroup *g)
{
	char *owner = GetUserNameFromId(GetUserId(), false);
	MgArg args[] = {MG_TEXT(g->budget),
					MG_FLOAT8(g->cap_epsilon),
					MG_FLOAT8(g->cap_delta),
					MG_FLOAT8(g->alpha),
					MG_OID(GetUserId()),
					MG_TEXT(owner),
					MG_TEXT(mg_database_identity())};
	MgBudget *budget = mg_budget_by_name(g->budget);
	MgQuery q;

	if (budget != NULL)
		return budget;
	if (!(g->cap_epsilon > 0))
		elog(ERROR, "the high-water mark does not say what budget \"%s\" was", g->budget);
	mg_query_begin(&q);
	mg_query_run(&q, false,
				 "WITH b AS (INSERT INTO mirage.budget (name, epsilon, delta, alpha, owner_oid, owner_name, identity) "
				 "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id, epsilon, delta, alpha) "
				 "INSERT INTO mirage.budget_change (budget, epsilon, delta, alpha, changed_by) "
				 "SELECT id, epsilon, delta, alpha, $6 FROM b RETURNING id, budget",
				 lengthof(args), args);
	mg_row_written("budget_change", mg_get_int8(0, 1));
	mg_rows_changed("budget", 1, 2);
	mg_query_end(&q);
	mg_log("create budget", g->budget,
		   psprintf("{\"epsilon\": %.17g, \"delta\": %.17g, \"lost\": true}", g->cap_epsilon, g->cap_delta));
	return mg_budget_by_name(g->budget);
}

/* One charge for all that one share of one budget lost, spent, with the log entry that a charge has. */
static void
charge_again(const MgMarkGroup *g)
{
	MgBudget *budget;
	MgCharge c = {0};

	if (g->rho <= 0 && g->rdp <= 0 && g->delta_atoms <= 0)
		return; /* all of them had been released */
	budget = find_or_remake_budget(g);
	mg_ledger_lock(budget->id);
	if (g->unit_kind[0] != '\0')
		mg_budget_require_kind(budget, g->unit_kind, true);
	c.budget = budget->id;
	c.budget_name = budget->name;
	c.relation = c.model = "(lost in a rewind)";
	c.role = GetUserId();
	c.epsilon = g->epsilon;
	c.delta = g->cap_delta;
	/* what makes the ledger's RDP, at the budget's order, what it was; the rounding of the difference is the people's
	 */
	c.rho = Max(g->rho, g->alpha > 0 ? g->rdp / g->alpha : 0) * (1 + 1e-12);
	c.delta_atoms = g->delta_atoms * (1 + 1e-12);
	c.share = g->share;
	c.events = psprintf(
		"[{\"mechanism\": \"zcdp\", \"rho\": %.17g, \"delta\": %.17g, \"count\": 1, \"lost_charges\": " INT64_FORMAT
		"}]",
		c.rho, c.delta_atoms, g->count);
	c.charge = mg_ledger_reserve(&c);
	mg_ledger_settle(c.charge, "spent", NULL);
	mg_log(
		"charge", c.relation,
		psprintf("{\"charge\": " INT64_FORMAT
				 ", \"job\": 0, \"epsilon\": %.17g, \"delta\": %.17g, \"rho\": %.17g, \"lost_charges\": " INT64_FORMAT
				 "}",
				 c.charge, c.epsilon, c.delta, c.rho, g->count));
}

int64
mg_high_water_acknowledge(const char *note)
{
	static const char *const why[] = {"nothing", "rewound", "copy", MISSING, "damaged", WHY_FORMER};
	Survey s = {.finding = LEVEL};
	StringInfoData detail;

	lock_account();
	survey(&s);
	if (s.finding == LEVEL || s.acknowledged)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 s.acknowledged ? errmsg("that was acknowledged already") : errmsg("there is no rewind to acknowledge"),
				 errhint("dp_train works where nothing else is in its way.")));
	if (s.nlost > 0 && s.finding != FORMER) /* a former ledger's numbers are not ours */
		pass_number("charge_id", s.mark.highest);
	for (int i = 0; i < s.nlost_groups; i++)
	{
		if (s.finding != FORMER)
			pass_number("share_id", s.lost[i].share);
		charge_again(&s.lost[i]);
	}
	mg_json_begin(&detail);
	mg_json_text(&detail, "mark", s.hash);
	mg_json_text(&detail, "why", why[s.finding]);
	mg_json_int(&detail, "lost_charges", s.nlost);
	mg_json_text(&detail, "note", note);
	mg_log(LOG_ACKNOWLEDGED, "ledger", mg_json_end(&detail));
	return s.nlost;
}
