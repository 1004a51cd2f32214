/*
 * catalog/keys.h: what the log and rotation need of the keys beside catalog.h.
 */
#ifndef MIRAGE_CATALOG_KEYS_H
#define MIRAGE_CATALOG_KEYS_H

#include "catalog/catalog.h"

/* The recorded Ed25519 public key of the root `purpose`; false: there is none. Needs no master key. */
extern bool mg_root_public(const char *purpose, uint8 pub[32]);
/* A root that signs, made where there is none, and its public half as recorded (zeros: none). Wipe the key after use.
 */
extern void mg_root_key_pair(const char *purpose, uint8 key[32], uint8 pub[32]);

/* Is that public key the one of the wrapped seed? */
typedef enum MgGenuine
{
	MG_GENUINE_UNKNOWN, /* the master key is not to be had: nothing can be said */
	MG_GENUINE_YES,
	MG_GENUINE_NO
} MgGenuine;
extern MgGenuine mg_root_public_genuine(const char *purpose, const uint8 pub[32]);

/*
 * The same key wrapped under `next`, palloc'ed; NULL: it does not unwrap. Wipes both master keys, whatever happens.
 */
extern bytea *mg_key_rewrap(uint8 old[32], uint8 next[32], const char *purpose, int64 model, const bytea *wrapped);

#endif
