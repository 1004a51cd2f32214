/*
 * graphical/graphical.h: the methods of this folder.
 *
 * Options (text; numbers are shares of the training's rho, each between 0.001 and 0.9, at least 0.05 left for
 * the marginals):
 *   independent  learn_share
 *   mst          learn_share, oneway_share, select_share
 */
#ifndef MIRAGE_GRAPHICAL_GRAPHICAL_H
#define MIRAGE_GRAPHICAL_GRAPHICAL_H

#include "model/model.h"

extern const mg_method mg_method_independent;
extern const mg_method mg_method_mst;
extern const mg_method mg_method_aim;
extern const mg_method mg_method_swift;

#endif
