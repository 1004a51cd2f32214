/*
 * catalog/objects.h: were the extension's own tables, functions and triggers tampered with?
 */
#ifndef MIRAGE_CATALOG_OBJECTS_H
#define MIRAGE_CATALOG_OBJECTS_H

#include "catalog/verify.h"

/* Compares the objects with what the install script makes of them; a NOTICE names each that differs. */
extern void mg_objects_verify(MgFindings *f);

#endif
