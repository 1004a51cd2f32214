/*
 * pg/spill.h: what spill.c tells errors.c about the last failure of a temporary file.
 */
#ifndef MIRAGE_PG_SPILL_H
#define MIRAGE_PG_SPILL_H

#include "postgres.h"

/* The SQLSTATE of the last failed store call of this process, and forgets it; 0 when there was none. */
extern int mg_spill_take_sqlstate(void);

#endif
