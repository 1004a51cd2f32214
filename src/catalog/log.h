/*
 * catalog/log.h: what writing the log and verifying it share: how an entry is hashed, and what is signed of a block.
 */
#ifndef MIRAGE_CATALOG_LOG_H
#define MIRAGE_CATALOG_LOG_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "catalog/catalog.h"
#include "lib/stringinfo.h"
#include "seal/seal.h"

typedef uint8 MgHash[MG_HASH_BYTES];

/* An entry as both read it, from mirage.log l. */
#define MG_ENTRY_COLUMNS \
	"l.id, l.at, l.role_name, l.session_role, l.action, l.object, l.role_oid, l.identity, l.detail::text, l.seals::text"
#define MG_ENTRY_NCOLUMNS 10
/* Is it a charge's? */
#define MG_ENTRY_CHARGES "l.action = 'charge' AND l.detail->>'charge' IS NOT NULL"

/* Those columns begin at column `first` of the tuple. buf: room. Leaves garbage in the current memory context. */
extern void mg_entry_hash(HeapTuple tuple, TupleDesc desc, int first, StringInfo buf, MgHash out);

/*
 * What is signed of a block: a label, the number and the hash, so that the signature means this and nothing else; and
 * what the hash is not about, but verification rests on: `settled`, `charges`, and when it was chained.
 */
typedef struct MgBlock
{
	int64 number, settled, charges;
	TimestampTz chained_at;
	MgHash hash;
} MgBlock;
#define MG_BLOCK_LABEL "pg_mirage log block 2"
#define MG_BLOCK_SIGNED (sizeof(MG_BLOCK_LABEL) + 4 * 8 + MG_HASH_BYTES)
extern void mg_block_signed(const MgBlock *block, uint8 out[MG_BLOCK_SIGNED]);

#endif
