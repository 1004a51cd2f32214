/*
 * api/synthesize.h: what loading the module has to set up for releases.
 */
#ifndef MIRAGE_API_SYNTHESIZE_H
#define MIRAGE_API_SYNTHESIZE_H

/* Tells emit/ how an issuance is recorded, and which functions its scan node stands for. Called once, from _PG_init. */
extern void mg_synthesize_init(void);

#endif
