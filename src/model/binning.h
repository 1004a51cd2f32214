/*
 * model/binning.h: how discretisation decides: how many bins a number gets, how heavy each has to be, and what learning
 * a domain is worth. From public figures and the noisy number of rows alone; the findings behind the constants are in
 * docs/methods.md.
 */
#ifndef MIRAGE_MODEL_BINNING_H
#define MIRAGE_MODEL_BINNING_H

#include "model/model.h"

/* The rule by which a column's cells are merged; total: the noisy number of rows. */
mg_bin_rule mg_bin_rule_for(const mg_discretize_options *opt, const mg_domain *d, uint32_t ncolumns, double total);
/* What a column that learns takes of the learning, relative to others. */
double mg_learning_weight(const mg_domain *d);

#endif
