/*
 * test/unit/audit_sabotage.h: mechanisms broken on purpose, for the audits alone.
 *
 * The seam is the linker's: test_audit is linked with --wrap for the functions named in the Makefile, so that calls of
 * them between objects of the core reach the wrappers here, which pass them on unless a defect was asked for. Nothing
 * in src/ knows of it, no other program is linked so, and check-layers proves that neither the core nor the module
 * holds a wrapper.
 */
#ifndef MIRAGE_TEST_AUDIT_SABOTAGE_H
#define MIRAGE_TEST_AUDIT_SABOTAGE_H

#include "privacy/account.h"

typedef enum audit_defect
{
	AUDIT_SOUND,
	/* noise */
	AUDIT_NO_NOISE,   /* counts as they are; the best candidate always */
	AUDIT_WEAK_NOISE, /* half the variance; half the scale; twice the epsilon of a selection */
	/* sensitivity */
	AUDIT_NO_CLIP,   /* a number out of its range counts as the bound, and as NULL for each width that it is out by */
	AUDIT_NO_BOUND,  /* the row of a unit that brings several is counted three times */
	AUDIT_NO_UNITS,  /* each row is taken for a unit of its own, so that none is left out */
	AUDIT_NO_WEIGHT, /* weighted scores are chosen from, or released, as if none weighed more than one */
	AUDIT_ONE_SCORE, /* a vector of scores is released at the sensitivity of one of them */
	/* domain discovery */
	AUDIT_NO_THRESHOLD,  /* every label that occurs is named */
	AUDIT_LOW_THRESHOLD, /* the threshold is one too low */
	/* accounting */
	AUDIT_FREE_DELTA, /* atoms are not charged */
	AUDIT_ONE_DEBIT   /* of a training's mechanisms only the first is charged */
} audit_defect;

/* Breaks the core from here on, or mends it, and forgets what was recorded. */
void audit_break(audit_defect d);
audit_defect audit_broken(void);
/* How often the present defect has changed what a call did. */
size_t audit_defective_calls(void);

/* The row that is loaded next belongs to a unit that brings more of them: what bounding has to deal with. */
void audit_unit_brings_more(void);

/* What was charged since audit_break or audit_forget: the first AUDIT_EVENTS events, and how many there were. */
#define AUDIT_EVENTS 32
void audit_forget(void);
const mg_event *audit_charged(size_t *count);

#endif
