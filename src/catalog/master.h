/*
 * catalog/master.h: where the master key comes from, and its exchange. Several keys may be about at once: the one that
 * is in force seals new keys, an older one is still wanted for what it sealed. Each is known by its fingerprint.
 */
#ifndef MIRAGE_CATALOG_MASTER_H
#define MIRAGE_CATALOG_MASTER_H

#include "postgres.h"

#include "seal/seal.h"

#define MG_FINGERPRINT_SIZE 33

/* Why there is no master key; raised by those who cannot do without. Where the key lies is for superusers and the
 * server's log. */
typedef struct MgKeyProblem
{
	char message[256];
	char hint[256];
	char path[MAXPGPATH]; /* may be empty */
} MgKeyProblem;

/* As an error: ERRCODE_CONFIG_FILE_ERROR; the path to the server's log only. */
extern void mg_key_problem_raise(const MgKeyProblem *why) __attribute__((noreturn));

/* The fingerprint in force in this database, palloc'ed; NULL: none yet. */
extern char *mg_master_fingerprint(void);
/* The key of that fingerprint, of what is held (mg_keys_hold) or as the site gives it. Wipe after use. */
extern bool mg_master_find(const char *fingerprint, uint8 key[MG_KEY_BYTES], MgKeyProblem *why);
/* False, and says that no such key is recorded. */
extern bool mg_master_unknown(const char *fingerprint, MgKeyProblem *why);
/*
 * The key in force and its fingerprint; error when it is not to be had. create: where none is recorded, what the site
 * gives is, and a file may be made.
 */
extern void mg_master_require(uint8 key[MG_KEY_BYTES], char fingerprint[MG_FINGERPRINT_SIZE], bool create);
/* To the end of the transaction, the key in force stays in force: for whoever is about to wrap a key under it. */
extern void mg_master_pin(void);

/*
 * What is held under a name of up to 32 bytes: fingerprints of master keys, which are digits, and names of
 * catalog/keys.c, which are not. Where keys are not held, or too many are, nothing is put and nothing found.
 */
extern bool mg_held_find(const char *name, uint8 key[MG_KEY_BYTES]);
extern void mg_held_put(const char *name, const uint8 key[MG_KEY_BYTES]);

/* -- exchange: by one process of the cluster at a time, see worker/rotate.c -- */

/* What the site gives when no particular key is asked for. */
extern bool mg_master_offered(char fingerprint[MG_FINGERPRINT_SIZE], MgKeyProblem *why);
/* Does a command give the keys? Else they are files, and ours to exchange. */
extern bool mg_master_by_command(void);
/* The file of the next key, made where there is none; error when that fails or it holds none. */
extern void mg_master_prepare(char fingerprint[MG_FINGERPRINT_SIZE]);
/*
 * Puts the next key's file in the place of the key file, which stays beside it under the name of its fingerprint.
 * Nothing to do where the key file holds that key already. Whenever it is interrupted, both keys are found, and a
 * second call goes on.
 */
extern void mg_master_install(const char *fingerprint);

#endif
