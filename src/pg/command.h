/*
 * pg/command.h: runs a shell command of the site's and takes what it prints, within a time limit.
 */
#ifndef MIRAGE_PG_COMMAND_H
#define MIRAGE_PG_COMMAND_H

#include "postgres.h"

typedef enum MgCommandEnd
{
	MG_COMMAND_ENDED,    /* by itself: see status */
	MG_COMMAND_TIMEOUT,  /* killed: it took too long */
	MG_COMMAND_TOO_MUCH, /* killed: it printed more than there is room for */
	MG_COMMAND_FAILED    /* it could not be run: see error */
} MgCommandEnd;

typedef struct MgCommand
{
	const char *command;          /* for /bin/sh -c */
	const char *variable, *value; /* an environment variable that it gets in addition to the server's */
	int timeout_ms;
	char *out; /* room for `size` bytes of output; the caller wipes it, also after errors */
	size_t size, len;
	int status; /* as of waitpid */
	int error;  /* an errno */
} MgCommand;

/*
 * Runs it and waits. It has a process group of its own, /dev/null for input and errors, no descriptor and no signal
 * handling of ours. Whatever is left of its group is killed when this returns or raises an error, and the shell has
 * been waited for: no process, no zombie and no descriptor stays behind. Raises errors only for interrupts (cancel,
 * termination).
 */
extern MgCommandEnd mg_command_run(MgCommand *c);

#endif
