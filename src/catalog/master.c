/*
 * catalog/master.c: the master keys: from a command or from files, known by their fingerprints.
 *
 * A key is read when it is needed, compared with the fingerprint that is wanted, and wiped after use. The fingerprint
 * that is in force is recorded in the catalog; each wrapped key names the one that it was wrapped under. Once one is
 * recorded no other key is accepted in its place and no file is made, so that a lost or exchanged file is noticed
 * before anything is sealed under the wrong key. Several databases of a cluster share the file.
 *
 * Files. Beside the key file FILE there may be FILE.new, which holds the next key while keys are exchanged, and
 * FILE.<fingerprint> with keys that were in force before. A key that is wanted is looked for in FILE, FILE.<its
 * fingerprint> and FILE.new, and what counts is its fingerprint, so that it is found at every moment of an exchange:
 * the old key has its second name before FILE is replaced, which a rename does at once.
 *
 * A command gets the wanted fingerprint in the environment variable PG_MIRAGE_KEY_FINGERPRINT; empty: any that the site
 * wants to be used from now on.
 *
 * Holding. Between mg_keys_hold and mg_keys_drop each key is read once: a command may take a second. What is held lies
 * in one page that is not swapped, not in core dumps and not in children, where the system can do that; it is wiped at
 * the last drop, by the abort of any transaction or subtransaction, at the end of the process and, in sessions, of the
 * transaction. Elsewhere key bytes lie on the stack and are wiped before anything can raise an error or return. No
 * message shows a byte of a key, or what a command printed.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/master.h"
#include "miscadmin.h"
#include "pg/command.h"
#include "pg/guc.h"
#include "port.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#define KEY_DIGITS (2 * MG_KEY_BYTES)
#define KEY_TEXT_MAX (KEY_DIGITS + 8) /* room to see that there is more than a key */
#define PATH_ROOM 64                  /* for the endings of a path */
#define NEXT_SUFFIX ".new"
#define WANTED_VARIABLE "PG_MIRAGE_KEY_FINGERPRINT"

static bool problem(MgKeyProblem *p, const char *hint, const char *fmt, ...) pg_attribute_printf(3, 4);

static bool
problem(MgKeyProblem *p, const char *hint, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(p->message, sizeof(p->message), fmt, args);
	va_end(args);
	strlcpy(p->hint, hint, sizeof(p->hint));
	p->path[0] = '\0';
	return false;
}

void
mg_key_problem_raise(const MgKeyProblem *why)
{
	ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("%s", why->message),
					why->path[0] != '\0' && superuser() ? errdetail("The file is \"%s\".", why->path) : 0,
					why->path[0] != '\0' ? errdetail_log("The file is \"%s\".", why->path) : 0,
					why->hint[0] != '\0' ? errhint("%s", why->hint) : 0));
	pg_unreachable();
}

/* ---------------------------------------------------------------- what is held */

typedef struct Held
{
	char fingerprint[MG_FINGERPRINT_SIZE];
	uint8 key[MG_KEY_BYTES];
} Held;

#define MAX_HELD 16 /* two master keys, unless files of older ones are about; and what was unwrapped by them */

static Held ordinary[MAX_HELD]; /* where there is no page */
static Held *held = ordinary;   /* else a page of its own */
static int nheld, holds;
static char refused[MG_FINGERPRINT_SIZE]; /* the key that was not to be had last, while keys are held; may be empty */
static MgKeyProblem refusal;              /* and why: a command that hangs is not waited for twice */

static void
forget(void)
{
	mg_wipe(held, sizeof(Held) * MAX_HELD);
	nheld = 0;
	refused[0] = '\0';
}

static void
forget_all(void)
{
	forget();
	holds = 0;
}

static void
forget_at_xact(XactEvent event, void *arg)
{
	/* a worker's piece of work has several transactions */
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT ||
		(MyBackendType != B_BG_WORKER && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)))
		forget_all();
}

static void
forget_at_subxact(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_all(); /* an outer holder reads again what it needs */
}

static void
forget_at_exit(int code, Datum arg)
{
	forget_all();
}

static void
make_page(void)
{
	static bool tried;
	size_t size = (size_t) sysconf(_SC_PAGESIZE);
	void *page;

	if (tried)
		return;
	tried = true;
	RegisterXactCallback(forget_at_xact, NULL);
	RegisterSubXactCallback(forget_at_subxact, NULL);
	on_proc_exit(forget_at_exit, (Datum) 0);
	StaticAssertStmt(sizeof(Held) * MAX_HELD <= 4096, "what is held fits a page");
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return;
	(void) mlock(page, size); /* where the limit allows it */
#ifdef MADV_DONTDUMP
	(void) madvise(page, size, MADV_DONTDUMP);
#endif
#ifdef MADV_WIPEONFORK
	(void) madvise(page, size, MADV_WIPEONFORK);
#endif
	held = page;
}

void
mg_keys_hold(void)
{
	make_page();
	holds++;
}

void
mg_keys_drop(void)
{
	if (holds > 0)
		holds--;
	if (holds == 0)
		forget();
}

void
mg_keys_drop_all(void)
{
	forget_all();
}

bool
mg_held_find(const char *fingerprint, uint8 key[MG_KEY_BYTES])
{
	for (int i = 0; i < nheld; i++)
		if (strcmp(held[i].fingerprint, fingerprint) == 0)
		{
			memcpy(key, held[i].key, MG_KEY_BYTES);
			return true;
		}
	return false;
}

void
mg_held_put(const char *fingerprint, const uint8 key[MG_KEY_BYTES])
{
	if (holds == 0 || nheld == MAX_HELD || strlen(fingerprint) >= MG_FINGERPRINT_SIZE)
		return;
	strlcpy(held[nheld].fingerprint, fingerprint, MG_FINGERPRINT_SIZE);
	memcpy(held[nheld].key, key, MG_KEY_BYTES);
	nheld++;
}

/* ---------------------------------------------------------------- reading the master key */

/* Exactly 64 digits, and at most one newline after them. */
static bool
parse_key(const char *text, size_t len, uint8 key[MG_KEY_BYTES])
{
	if (len == KEY_DIGITS + 1 && text[KEY_DIGITS] == '\n')
		len--;
	return mg_unhex(text, len, key, MG_KEY_BYTES);
}

static void
format_key(const uint8 key[MG_KEY_BYTES], char text[KEY_DIGITS + 1])
{
	mg_hex(key, MG_KEY_BYTES, text);
	text[KEY_DIGITS] = '\n';
}

/* wanted: a fingerprint, or "". */
static bool
key_from_command(const char *wanted, uint8 key[MG_KEY_BYTES], MgKeyProblem *why)
{
	const char *hint = "The command in pg_mirage.master_key_command must print 64 hexadecimal digits and exit with 0.";
	char text[KEY_TEXT_MAX];
	MgCommand command = {.command = mg_guc_master_key_command,
						 .variable = WANTED_VARIABLE,
						 .value = wanted,
						 .timeout_ms = mg_guc_master_key_timeout,
						 .out = text,
						 .size = sizeof(text)};
	MgCommandEnd end;
	bool good;

	PG_TRY();
	{
		end = mg_command_run(&command);
	}
	PG_CATCH();
	{
		mg_wipe(text, sizeof(text));
		PG_RE_THROW();
	}
	PG_END_TRY();
	good = end == MG_COMMAND_ENDED && command.status == 0 && parse_key(text, command.len, key);
	mg_wipe(text, sizeof(text));
	if (good)
		return true;
	mg_wipe(key, MG_KEY_BYTES);
	switch (end)
	{
		case MG_COMMAND_TIMEOUT:
			return problem(why,
						   "What needs the key is refused until the command answers; see pg_mirage.master_key_timeout.",
						   "the master key command did not end within %d ms", mg_guc_master_key_timeout);
		case MG_COMMAND_FAILED:
			return problem(why, hint, "could not run the master key command: %s", strerror(command.error));
		case MG_COMMAND_ENDED:
			if (command.status != 0)
				return problem(why, hint, "the master key command failed: %s",
							   command.status == -1 ? "it could not be waited for"
													: wait_result_to_str(command.status));
			break;
		case MG_COMMAND_TOO_MUCH:
			break;
	}
	return problem(why, hint, "the master key command did not print a key");
}

/* Of the key file itself, or with an ending. */
static void
key_path(char path[MAXPGPATH], const char *suffix)
{
	const char *file = mg_guc_master_key_file;

	if (is_absolute_path(file))
		snprintf(path, MAXPGPATH, "%s%s", file, suffix);
	else
		snprintf(path, MAXPGPATH, "%s/%s%s", DataDir, file, suffix);
}

/* Judges an open key file: our own, regular, and nobody else's to read. */
static bool
check_key_file(int fd, MgKeyProblem *why)
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
key_from_file(const char *path, uint8 key[MG_KEY_BYTES], bool *missing, MgKeyProblem *why)
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

static void
sync_folder(const char *path)
{
	char dir[MAXPGPATH];

	strlcpy(dir, path, sizeof(dir));
	get_parent_directory(dir);
	fsync_fname(dir[0] == '\0' ? "." : dir, true);
}

static void
sync_file(const char *path)
{
	fsync_fname(path, false);
	sync_folder(path);
}

/*
 * Makes a key file unless somebody else does at the same moment: the whole file is written under another name and
 * linked into place, which never replaces a file and never shows half of one.
 */
static void
make_key_file(const char *path)
{
	char temp[MAXPGPATH + 32], text[KEY_DIGITS + 1];
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
	sync_folder(path);
}

/* ---------------------------------------------------------------- the recorded fingerprint */

char *
mg_master_fingerprint(void)
{
	MgQuery q;
	char *fingerprint = NULL;

	mg_query_begin(&q);
	mg_query_run(&q, true,
				 "SELECT coalesce((SELECT r.new FROM mirage.key_rotation r ORDER BY r.id DESC LIMIT 1), "
				 "(SELECT m.fingerprint FROM mirage.master_key m ORDER BY m.recorded_at DESC, m.fingerprint LIMIT 1))",
				 0, NULL);
	fingerprint = mg_get_text(&q, 0, 1);
	mg_query_end(&q);
	return fingerprint;
}

void
mg_master_pin(void)
{
	MgQuery q;

	mg_query_begin(&q);
	mg_query_run(&q, false, "LOCK TABLE mirage.master_key IN ROW SHARE MODE", 0, NULL);
	mg_query_end(&q);
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
	standing = mg_master_fingerprint();
	if (standing != NULL)
		return standing;
	mg_query_begin(&q);
	mg_query_run(&q, false, "INSERT INTO mirage.master_key (fingerprint) VALUES ($1)", 1, &arg);
	mg_query_end(&q);
	return pstrdup(fingerprint);
}

/* ---------------------------------------------------------------- finding a key */

bool
mg_master_by_command(void)
{
	return mg_guc_master_key_command != NULL && mg_guc_master_key_command[0] != '\0';
}

/* The fingerprint of a key, which is wiped when there is none. */
static void
fingerprint_of(uint8 key[MG_KEY_BYTES], char fingerprint[MG_FINGERPRINT_SIZE])
{
	mg_ctx ctx;

	mg_ctx_init(&ctx);
	if (mg_key_fingerprint(&ctx, key, fingerprint) != MG_OK)
	{
		mg_wipe(key, MG_KEY_BYTES);
		mg_throw(&ctx);
	}
}

/* False, with the key wiped, where it is another than is wanted. */
static bool
is_wanted(uint8 key[MG_KEY_BYTES], const char *wanted, MgKeyProblem *why)
{
	char fingerprint[MG_FINGERPRINT_SIZE], hint[sizeof(why->hint)];

	fingerprint_of(key, fingerprint);
	if (strcmp(fingerprint, wanted) == 0)
		return true;
	mg_wipe(key, MG_KEY_BYTES);
	snprintf(hint, sizeof(hint), "Provide the key with fingerprint %s, which sealed what this database holds.", wanted);
	return problem(why, hint, "the master key is not the one of this database");
}

static bool
configured(MgKeyProblem *why)
{
	char path[MAXPGPATH];

	if (mg_guc_master_key_file == NULL || mg_guc_master_key_file[0] == '\0')
		return problem(why, "Set pg_mirage.master_key_file or pg_mirage.master_key_command.",
					   "no master key is configured");
	key_path(path, "");
	if (strlen(path) + PATH_ROOM > MAXPGPATH)
		return problem(why, "", "the path of the master key file is too long");
	return true;
}

/* The first of the files that holds the wanted key; what is wrong with the key file itself where none does. */
static bool
wanted_from_files(const char *wanted, uint8 key[MG_KEY_BYTES], MgKeyProblem *why)
{
	char own[MG_FINGERPRINT_SIZE + 1];
	/* the key file once more: since the first look, the next key's may have taken its place */
	const char *suffixes[] = {"", own, NEXT_SUFFIX, ""};
	MgKeyProblem other = {{0}};
	char path[MAXPGPATH];
	bool missing;

	snprintf(own, sizeof(own), ".%s", wanted);
	for (int i = 0; i < (int) lengthof(suffixes); i++)
	{
		MgKeyProblem *p = i == 0 ? why : &other;

		key_path(path, suffixes[i]);
		if (key_from_file(path, key, &missing, p))
		{
			if (is_wanted(key, wanted, p))
				return true;
		}
		else
			strlcpy(p->path, path, MAXPGPATH);
	}
	return false;
}

/* Whatever key the site gives; may_make: where there is no file, one is made. */
static bool
any_key(uint8 key[MG_KEY_BYTES], bool may_make, MgKeyProblem *why)
{
	char path[MAXPGPATH];
	bool missing;

	if (mg_master_by_command())
		return key_from_command("", key, why);
	if (!configured(why))
		return false;
	key_path(path, "");
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

bool
mg_master_find(const char *fingerprint, uint8 key[MG_KEY_BYTES], MgKeyProblem *why)
{
	bool found;

	if (mg_held_find(fingerprint, key))
		return true;
	if (strcmp(refused, fingerprint) == 0)
	{
		*why = refusal;
		return false;
	}
	if (mg_master_by_command())
		found = key_from_command(fingerprint, key, why) && is_wanted(key, fingerprint, why);
	else
		found = configured(why) && wanted_from_files(fingerprint, key, why);
	if (found)
		mg_held_put(fingerprint, key);
	else if (holds > 0)
	{
		strlcpy(refused, fingerprint, sizeof(refused));
		refusal = *why;
	}
	return found;
}

bool
mg_master_unknown(const char *fingerprint, MgKeyProblem *why)
{
	char hint[sizeof(why->hint)];

	snprintf(hint, sizeof(hint), "Restore the table mirage.master_key, which must name the key with fingerprint %s.",
			 fingerprint);
	return problem(why, hint, "a key is wrapped under a master key that is not recorded in this database");
}

/* The first key of this database. */
static bool
first_key(uint8 key[MG_KEY_BYTES], char fingerprint[MG_FINGERPRINT_SIZE], MgKeyProblem *why)
{
	char *standing;

	if (!any_key(key, true, why))
		return false;
	fingerprint_of(key, fingerprint);
	PG_TRY();
	{
		standing = record_fingerprint(fingerprint);
	}
	PG_CATCH();
	{
		mg_wipe(key, MG_KEY_BYTES);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!is_wanted(key, standing, why))
		return false;
	mg_held_put(fingerprint, key);
	return true;
}

void
mg_master_require(uint8 key[MG_KEY_BYTES], char fingerprint[MG_FINGERPRINT_SIZE], bool create)
{
	char *recorded = mg_master_fingerprint();
	MgKeyProblem why = {{0}};
	bool found = false;

	if (recorded != NULL)
	{
		strlcpy(fingerprint, recorded, MG_FINGERPRINT_SIZE);
		found = mg_master_find(recorded, key, &why);
	}
	else if (create)
		found = first_key(key, fingerprint, &why);
	else
		problem(&why, "The first training records one; where there are models, restore the table mirage.master_key.",
				"no master key is recorded in this database");
	if (!found)
		mg_key_problem_raise(&why);
}

void
mg_master_key(uint8 key[MG_KEY_BYTES], bool create)
{
	char fingerprint[MG_FINGERPRINT_SIZE];

	mg_master_require(key, fingerprint, create);
}

/* ---------------------------------------------------------------- exchange */

bool
mg_master_offered(char fingerprint[MG_FINGERPRINT_SIZE], MgKeyProblem *why)
{
	uint8 key[MG_KEY_BYTES];

	if (!any_key(key, false, why))
		return false;
	fingerprint_of(key, fingerprint);
	mg_held_put(fingerprint, key);
	mg_wipe(key, sizeof(key));
	return true;
}

/* The fingerprint of the key in a file; missing: there is no such file, else false says that it holds no key. */
static bool
file_fingerprint(const char *suffix, char fingerprint[MG_FINGERPRINT_SIZE], bool *missing, MgKeyProblem *why)
{
	uint8 key[MG_KEY_BYTES];
	char path[MAXPGPATH];

	key_path(path, suffix);
	if (!key_from_file(path, key, missing, why))
	{
		strlcpy(why->path, path, MAXPGPATH);
		return false;
	}
	fingerprint_of(key, fingerprint);
	mg_wipe(key, sizeof(key));
	return true;
}

void
mg_master_prepare(char fingerprint[MG_FINGERPRINT_SIZE])
{
	char path[MAXPGPATH];
	MgKeyProblem why;
	bool missing;

	key_path(path, NEXT_SUFFIX);
	if (file_fingerprint(NEXT_SUFFIX, fingerprint, &missing, &why))
	{
		sync_file(path); /* whoever put it there may not have */
		return;
	}
	if (missing)
	{
		make_key_file(path);
		if (file_fingerprint(NEXT_SUFFIX, fingerprint, &missing, &why))
			return;
	}
	problem(&why, "Put the next key there, or remove the file: a key is made then.",
			"the file of the next master key holds none that can be used");
	strlcpy(why.path, path, MAXPGPATH);
	mg_key_problem_raise(&why);
}

static void
install_failed(const char *what)
{
	ereport(ERROR, (errcode_for_file_access(), errmsg("could not %s: %m", what),
					errhint("The keys are wrapped under the next key already, which is found in its own file. Mend it, "
							"then call dp_rotate_key() again.")));
}

/* A second name for the key file, by which the key is found when the next one has taken the first. */
static void
keep_old_file(const char *path, const char *old)
{
	char kept[MAXPGPATH], suffix[MG_FINGERPRINT_SIZE + 1], there[MG_FINGERPRINT_SIZE];
	MgKeyProblem why;
	bool missing;

	snprintf(suffix, sizeof(suffix), ".%s", old);
	key_path(kept, suffix);
	if (link(path, kept) != 0 && errno != EEXIST)
		install_failed("keep the old master key file");
	if (!file_fingerprint(suffix, there, &missing, &why) || strcmp(there, old) != 0)
	{
		errno = EEXIST;
		install_failed("keep the old master key file");
	}
	sync_folder(path);
}

void
mg_master_install(const char *fingerprint)
{
	char path[MAXPGPATH], next[MAXPGPATH], there[MG_FINGERPRINT_SIZE];
	MgKeyProblem why;
	bool missing;

	key_path(path, "");
	key_path(next, NEXT_SUFFIX);
	if (file_fingerprint("", there, &missing, &why))
	{
		if (strcmp(there, fingerprint) == 0)
			return;
		keep_old_file(path, there);
	}
	else if (!missing)
		mg_key_problem_raise(&why);
	if (!file_fingerprint(NEXT_SUFFIX, there, &missing, &why) || strcmp(there, fingerprint) != 0)
		return; /* the key is elsewhere, under its fingerprint: the site's business */
	if (durable_rename(next, path, LOG) != 0)
		install_failed("put the next master key file in its place");
}
