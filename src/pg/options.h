/* pg/options.h: the jsonb options of a call as the core's name/value pairs of text. */
#ifndef MIRAGE_PG_OPTIONS_H
#define MIRAGE_PG_OPTIONS_H

#include "postgres.h"

#include "model/model.h"

/* json: text of an object of scalars, or NULL. Fills req->options and noptions, palloc'ed. Errors on anything else. */
extern void mg_options_parse(const char *json, mg_fit_request *req);

#endif
