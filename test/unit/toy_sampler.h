/*
 * test/unit/toy_sampler.h: samplers that are nothing but their model and a way to draw a batch, for methods made up by
 * tests. Included after cmocka.h.
 */
#ifndef MIRAGE_TEST_TOY_SAMPLER_H
#define MIRAGE_TEST_TOY_SAMPLER_H

#include <stdlib.h>

#include "model/model.h"

typedef struct toy_sampler
{
	mg_sampler base;
	const mg_model *model;
} toy_sampler;

static inline void
toy_sampler_destroy(mg_sampler *s)
{
	free(s);
}

/* What a method's compile does; batch finds the model as ((toy_sampler *) s)->model. */
static inline mg_code
toy_sampler_make(const mg_model *m, __typeof__(((mg_sampler *) 0)->batch) batch, mg_sampler **out)
{
	toy_sampler *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	*s = (toy_sampler){{batch, toy_sampler_destroy}, m};
	*out = &s->base;
	return MG_OK;
}

#endif
