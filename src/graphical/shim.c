#include "graphical/marginals.h"
#include <string.h>
bool mg_junction_calibrate_linear(const mg_junction *j, mg_messages *m, double total, mg_factor *f, double *log_z);
bool mg_junction_calibrate_linear(const mg_junction *j, mg_messages *m, double total, mg_factor *f, double *log_z)
{
	*log_z = 0;
	for (uint32_t c = j->count; c-- > 0;)
	{
		mg_factor_marginal(&f[c], &m->sum[c]);
		if (c > 0)
		{
			double top = 0;
			for (size_t i = 0; i < m->sum[c].cells; i++) top = m->sum[c].v[i] > top ? m->sum[c].v[i] : top;
			if (!(top > 1e-300) || top > 1e300) return false;
			for (size_t i = 0; i < m->sum[c].cells; i++) m->peak[c].v[i] = m->sum[c].v[i] / top;
			*log_z += __builtin_log(top);
			mg_factor_scale(&f[j->clique[c].parent], &m->peak[c]);
		}
		else { *log_z += __builtin_log(m->sum[0].v[0]); if (!(m->sum[0].v[0] > 1e-300)) return false; }
	}
	for (uint32_t c = 0; c < j->count; c++)
	{
		mg_factor *mass = &m->peak[c], *sum = &m->sum[c];
		if (c > 0) mg_factor_marginal(&f[j->clique[c].parent], mass);
		else mass->v[0] = total;
		for (size_t i = 0; i < mass->cells; i++) mass->v[i] = sum->v[i] > 0 ? mass->v[i] / sum->v[i] : 0;
		mg_factor_scale(&f[c], mass);
	}
	return true;
}
mg_code mg_junction_marginals(mg_ctx *ctx, const mg_junction *j, const mg_factor *f, const mg_column_set *sets,
							  uint32_t count, size_t most_cells, double *const *out, bool *answered)
{
	for (uint32_t s = 0; s < count; s++)
	{
		const mg_column_set *S = &sets[s];
		mg_arena *a;
		mg_factor *msg;
		uint32_t home;
		answered[s] = false;
		if (!out[s]) continue;
		a = mg_arena_create(0);
		home = mg_junction_find(j, S->cols, S->k);
		if (home < j->count)
		{
			mg_factor g; double *keep;
			mg_factor_make(ctx, a, S->cols, S->k, j->size, &g); keep = g.v; g.v = out[s];
			mg_factor_marginal(&f[home], &g); (void) keep;
			answered[s] = true; mg_arena_destroy(a); continue;
		}
		MG_NEW(ctx, a, msg, j->count);
		bool ok = true;
		bool *need; MG_NEW(ctx, a, need, j->count);
		/* a clique is needed if its subtree introduces some column of S */
		for (uint32_t c = j->count; c-- > 0;)
		{
			for (uint32_t x = 0; x < S->k; x++)
				if (mg_columns_within(&S->cols[x], 1, j->clique[c].cols, j->clique[c].k) && !mg_columns_within(&S->cols[x], 1, j->clique[c].sep, j->clique[c].nsep)) need[c] = true;
			if (need[c] && c > 0) need[j->clique[c].parent] = true;
		}
		for (uint32_t c = j->count; c-- > 0 && ok;)
		{
			mg_factor cur = f[c], sep, outf; double *own;
			uint32_t cols[MG_FACTOR_COLUMNS], k = 0;
			if (!need[c]) continue;
			MG_NEW(ctx, a, own, cur.cells); memcpy(own, cur.v, cur.cells * 8); cur.v = own;
			/* divide by sep marginal */
			mg_factor_make(ctx, a, j->clique[c].sep, j->clique[c].nsep, j->size, &sep);
			mg_factor_marginal(&cur, &sep);
			if (c > 0) { for (size_t i = 0; i < sep.cells; i++) sep.v[i] = sep.v[i] > 0 ? 1 / sep.v[i] : 0; mg_factor_scale(&cur, &sep); }
			for (uint32_t d = c + 1; d < j->count && ok; d++)
				if (need[d] && j->clique[d].parent == c)
				{
					mg_factor n;
					if (cur.cells * msg[d].cells > 4e8) { ok = false; break; }
					if (mg_factor_product(ctx, a, &cur, &msg[d], false, &n) != MG_OK) { ok = false; ctx->code = MG_OK; ctx->failures = 0; break; }
					cur = n;
					/* sum out what is neither in clique nor in S nor.. keep: sep, S, clique columns */
					
				}
			if (!ok) break;
			for (uint32_t x = 0; x < cur.k; x++)
				if (mg_columns_within(&cur.cols[x], 1, S->cols, S->k) || (c > 0 && mg_columns_within(&cur.cols[x], 1, j->clique[c].sep, j->clique[c].nsep)))
					cols[k++] = cur.cols[x];
			mg_factor_make(ctx, a, cols, k, j->size, &outf);
			mg_factor_marginal(&cur, &outf);
			msg[c] = outf;
			if (c == 0) { memcpy(out[s], outf.v, outf.cells * 8); }
		}
		answered[s] = ok;
		mg_arena_destroy(a);
	}
	return MG_OK;
}
