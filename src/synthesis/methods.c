/* synthesis/methods.c: the methods by name. */
#include "synthesis/synthesis.h"

#include "graphical/graphical.h"

#include <string.h>

const mg_method *const mg_methods[] = {&mg_method_independent, &mg_method_mst, &mg_method_aim, &mg_method_swift, NULL};

const mg_method *
mg_method_find(const char *name)
{
	for (const mg_method *const *m = mg_methods; *m != NULL; m++)
		if (strcmp((*m)->name, name) == 0)
			return *m;
	return NULL;
}
