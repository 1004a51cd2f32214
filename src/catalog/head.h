/*
 * catalog/head.h: heads of the log, which are kept outside of the database.
 */
#ifndef MIRAGE_CATALOG_HEAD_H
#define MIRAGE_CATALOG_HEAD_H

#include "postgres.h"

#include "seal/seal.h"

#define MG_HEAD_SIZE (24 + 2 * MG_HASH_BYTES)
#define MG_HEAD_TEXT_MAX 512

typedef struct MgHead
{
	int64 number; /* of the block; 0: the log is empty, and the hash all zeros */
	uint8 hash[MG_HASH_BYTES];
	char *statement; /* what is signed; NULL: a plain head */
	uint8 signature[MG_SIGNATURE_BYTES];
} MgHead;

/* "number:hash" */
extern void mg_head_plain(int64 number, const uint8 hash[MG_HASH_BYTES], char out[MG_HEAD_SIZE]);
/* Either form; false: it is neither. */
extern bool mg_head_parse(const char *text, MgHead *head);
/* A plain head claims nothing; a signed one must verify. pub NULL: there is no key that could have signed it. */
extern bool mg_head_genuine(const MgHead *head, const uint8 *pub);
/* The signed head of the log's last block; the caller has seen to it that the log is chained. */
extern char *mg_head_signed(void);

#endif
