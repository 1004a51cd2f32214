/*
 * catalog/highwater.h: the high-water mark: what the ledger held, signed, in a file outside of the cluster, so that a
 * ledger that was rewound is noticed before it is spent a second time.
 */
#ifndef MIRAGE_CATALOG_HIGHWATER_H
#define MIRAGE_CATALOG_HIGHWATER_H

#include "catalog/catalog.h"

/* The SQLSTATE of everything that is refused because of the mark. */
#define MG_ERRCODE_HIGH_WATER MAKE_SQLSTATE('M', 'G', '0', '0', '1')

/* Is a mark to be kept (pg_mirage.high_water_file)? The functions below are for when it is. */
extern bool mg_high_water_kept(void);

/* Error unless the ledger holds all that its mark shows, or an administrator has acknowledged what it lacks. */
extern void mg_high_water_require(void);

/*
 * Writes a mark of what the ledger holds now: committed charges only, so to be called in a transaction after the one
 * that reserved. Durable when it returns but for an entry in the log, which is when the transaction commits. Error
 * where it cannot be written, or must not be.
 */
extern void mg_high_water_write(void);

/*
 * For dp_acknowledge_rewind: charges what the mark shows and the ledger lacks to its budgets again, and records the
 * acknowledgement of exactly this mark in the log. Returns how many charges had been lost. Error where there is nothing
 * to acknowledge.
 */
extern int64 mg_high_water_acknowledge(const char *note);

#endif
