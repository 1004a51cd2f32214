/*
 * catalog/receipt.h: receipts of issuances, and the fingerprints of models that they name.
 */
#ifndef MIRAGE_CATALOG_RECEIPT_H
#define MIRAGE_CATALOG_RECEIPT_H

#include "catalog/catalog.h"
#include "utils/jsonb.h"

/* The fingerprint of a model's sealed parameters: SHA-256, recorded when it is stored. */
extern void mg_fingerprint_record(int64 model, const bytea *sealed);

/*
 * The receipt of an issuance that the current transaction has just inserted; before its log entry. To be called by the
 * worker that records it, whose authenticated user is the caller's login.
 */
extern void mg_receipt_write(int64 issuance);
/*
 * A second receipt of the same issuance that also names the hash of its rows; in a transaction of its own, with its log
 * entry. False when there is one already.
 */
extern bool mg_receipt_write_rows(int64 issuance, const char *hash, int64 rows);

/* The receipt with its proof, the one with the hash where there are two; NULL: there is none. */
extern Jsonb *mg_receipt_find(int64 issuance);
/* May the role read it: who had logged in, who asked, the model's owner, auditors and administrators. */
extern bool mg_receipt_may_read(int64 issuance, Oid role);
/* Was this document signed by the owner of `pub`, and not changed since? Needs no table. */
extern bool mg_receipt_verify(Jsonb *receipt, const uint8 pub[32]);

#endif
