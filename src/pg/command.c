/*
 * pg/command.c: a command of the site's, for the master key: run by a shell, watched, and gone when it is over.
 *
 * OpenPipeStream would do for commands that end. It cannot bound one that hangs: reading its output blocks, closing it
 * waits for it, and what it started lives on. Here the command leads a process group, which is killed as a whole: when
 * the time is up, when the call is cancelled or the session terminated (also by FATAL, hence an exit callback), when
 * it has printed too much, and when the shell ended and left something behind. A process that makes a session of its
 * own escapes that; it holds none of our descriptors.
 *
 * Between fork and exec only async-signal-safe calls are made, so the environment is built before. All signals are
 * blocked meanwhile, lest the child runs a handler of the server's. Where the system can, the shell is killed with
 * this process (`kill -9` of the session).
 *
 * What it prints on standard error goes nowhere: it may be a key (set -x), and the server's log is no place for it.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "miscadmin.h"
#include "pg/command.h"
#include "pgstat.h"
#include "postmaster/postmaster.h"
#include "seal/seal.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#define SHELL "/bin/sh"
#define LOOK_MS 50L      /* has the shell ended, though something keeps its output open? */
#define FIRST_LOOK_MS 1L /* after the output's end, the shell's own is near */
#define FIRST_FD 3
#define MANY_FDS 65536

extern char **environ;

typedef struct Running
{
	pid_t pid; /* also the group's; 0: none, or waited for */
	int fd;    /* the output's reading end; -1: closed */
	int status;
} Running;

/* ---------------------------------------------------------------- in the child */

static void
close_descriptors(void)
{
	struct rlimit limit;
	int end = MANY_FDS;

#if defined(__linux__) && defined(SYS_close_range)
	if (syscall(SYS_close_range, (unsigned) FIRST_FD, ~0U, 0U) == 0)
		return;
#endif
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < MANY_FDS)
		end = (int) limit.rlim_cur;
	for (int fd = FIRST_FD; fd < end; fd++)
		(void) close(fd);
}

static void
default_signals(void)
{
	struct sigaction action;
	sigset_t none;

	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	sigemptyset(&action.sa_mask);
	for (int s = 1; s < NSIG; s++)
		(void) sigaction(s, &action, NULL); /* two cannot be set, and some do not exist */
	sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Becomes the command; nothing here may allocate, print or call the server. */
static void child(const char *command, char **environment, int out, pid_t parent) __attribute__((noreturn));

static void
child(const char *command, char **environment, int out, pid_t parent)
{
	char shell[] = "sh", option[] = "-c";
	char *argv[] = {shell, option, (char *) command, NULL};
	int null = open("/dev/null", O_RDWR);

	(void) setpgid(0, 0);
#ifdef __linux__
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
#endif
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(126);
	close_descriptors();
	default_signals();
	execve(SHELL, argv, environment);
	_exit(127);
}

/* ---------------------------------------------------------------- starting */

/* The server's environment and one variable more, which replaces one of its name. */
static char **
make_environment(const char *variable, const char *value)
{
	size_t n = 0, kept = 0, length = strlen(variable);
	char **list;

	while (environ[n] != NULL)
		n++;
	list = palloc(sizeof(char *) * (n + 2));
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], variable, length) != 0 || environ[i][length] != '=')
			list[kept++] = environ[i];
	list[kept++] = psprintf("%s=%s", variable, value);
	list[kept] = NULL;
	return list;
}

static bool
start(MgCommand *c, Running *r)
{
	char **environment = make_environment(c->variable, c->value);
	sigset_t all, before;
	pid_t parent = getpid();
	int pipes[2], saved;

	if (pipe(pipes) != 0)
	{
		c->error = errno;
		return false;
	}
	/* pipes below FIRST_FD would be closed or overwritten in the child; a server's own are never that low */
	if (pipes[1] < FIRST_FD || fcntl(pipes[0], F_SETFD, FD_CLOEXEC) != 0 || fcntl(pipes[0], F_SETFL, O_NONBLOCK) != 0)
	{
		c->error = pipes[1] < FIRST_FD ? EBADF : errno;
		close(pipes[0]);
		close(pipes[1]);
		return false;
	}
	sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &before);
	r->pid = fork();
	if (r->pid == 0)
		child(c->command, environment, pipes[1], parent);
	saved = errno;
	if (r->pid > 0)
	{
		(void) setpgid(r->pid, r->pid); /* whoever of the two is first */
		r->fd = pipes[0];
	}
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	close(pipes[1]);
	if (r->pid > 0)
		return true;
	close(pipes[0]);
	r->pid = 0;
	c->error = saved;
	return false;
}

/* ---------------------------------------------------------------- watching */

/* Has the shell ended? Waits for it when asked, which is only done after it was killed. */
static bool
reap(Running *r, bool wait)
{
	siginfo_t info = {0};
	int rc;

	if (r->pid == 0)
		return true;
	do
		rc = waitid(P_PID, (id_t) r->pid, &info, WEXITED | WNOWAIT | (wait ? 0 : WNOHANG));
	while (rc < 0 && errno == EINTR);
	if (rc == 0 && info.si_pid == 0)
		return false;
	/* What it left of its group, while its number, which is the group's, cannot be another's. */
	(void) kill(-r->pid, SIGKILL);
	while (waitpid(r->pid, &r->status, 0) < 0)
		if (errno != EINTR)
		{
			r->status = -1;
			break;
		}
	r->pid = 0;
	return true;
}

static void
stop(Running *r)
{
	if (r->pid != 0)
	{
		(void) kill(-r->pid, SIGKILL);
		(void) kill(r->pid, SIGKILL); /* where it had not got its group yet */
		(void) reap(r, true);
	}
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

static void
stop_at_exit(int code, Datum arg)
{
	stop((Running *) DatumGetPointer(arg));
}

/* Takes what is there; true at the end of the output. A byte beyond the room shows that there is more. */
static bool
take_output(MgCommand *c, Running *r, bool *too_much)
{
	char more;

	for (;;)
	{
		bool full = c->len == c->size;
		ssize_t n = read(r->fd, full ? &more : c->out + c->len, full ? 1 : c->size - c->len);

		if (n > 0 && full)
		{
			mg_wipe(&more, 1);
			*too_much = true;
			return true;
		}
		if (n > 0)
			c->len += (size_t) n;
		else if (n == 0)
			return true;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return false;
		else if (errno != EINTR)
			return true;
	}
}

static void
wait_for_more(const Running *r, bool open, long ms)
{
	int events = WL_LATCH_SET | WL_TIMEOUT | WL_POSTMASTER_DEATH | (open ? WL_SOCKET_READABLE : 0);
	int got = WaitLatchOrSocket(MyLatch, events, open ? r->fd : PGINVALID_SOCKET, ms, PG_WAIT_EXTENSION);

	if ((got & WL_POSTMASTER_DEATH) != 0)
		proc_exit(1); /* through stop_at_exit */
	if ((got & WL_LATCH_SET) != 0)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static MgCommandEnd
watch(MgCommand *c, Running *r)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), c->timeout_ms);
	bool open = true, too_much = false;
	long pause = FIRST_LOOK_MS;

	for (;;)
	{
		bool ended = reap(r, false);
		long left;

		/* in this order: what it printed before it ended is there now */
		if (open)
			open = !take_output(c, r, &too_much);
		if (too_much)
			return MG_COMMAND_TOO_MUCH;
		if (ended)
		{
			c->status = r->status;
			return MG_COMMAND_ENDED;
		}
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (left <= 0)
			return MG_COMMAND_TIMEOUT;
		wait_for_more(r, open, Min(left, open ? LOOK_MS : pause));
		if (!open)
			pause = Min(2 * pause, LOOK_MS);
	}
}

MgCommandEnd
mg_command_run(MgCommand *c)
{
	Running r = {.fd = -1};
	MgCommandEnd volatile end = MG_COMMAND_FAILED;

	c->len = 0;
	c->status = c->error = 0;
	PG_ENSURE_ERROR_CLEANUP(stop_at_exit, PointerGetDatum(&r));
	{
		if (start(c, &r))
			end = watch(c, &r);
		stop(&r);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_at_exit, PointerGetDatum(&r));
	return end;
}
